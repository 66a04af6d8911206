//! How a device's interrupts reach its driver: by messages, or by a line that it may share.
//!
//! The machine's handler only notes that a vector has come; a driver asks [`Interrupts::serve`] in
//! the kernel's turn. A line stays closed from its interrupt until then, so that a device which
//! holds it active costs one interrupt per turn and not a storm. What came on a line is told by the
//! interrupt status of each device on it, whose reading also releases the line (virtio 1.2, 4.1.4.5).

use super::mmio::Registers;
use super::platform::{self, Message, Vector};
use crate::acpi::{InterruptOverride, Polarity, Trigger};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::Mutex;

/// Most messages of one device: for its configuration and for its queues of either direction.
pub const MESSAGES_MAX: usize = 3;

/// Interrupt status: the device's configuration changed, or it has failed.
const STATUS_CONFIGURATION: u8 = 1 << 1;

/// A line of the interrupt controllers, with its signalling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The global system interrupt.
    pub gsi: u32,
    /// Its active level.
    pub polarity: Polarity,
    /// What in its level is an interrupt.
    pub trigger: Trigger,
}

impl Line {
    /// Where the line arrives that the firmware gave a PCI function, by the number in the function's
    /// configuration. PCI lines are active low and level-triggered unless the firmware says otherwise.
    pub fn of_pci(number: u8, overrides: &[InterruptOverride]) -> Self {
        let moved = overrides.iter().find(|it| it.legacy == number);
        let polarity = moved.map_or(Polarity::BusDefault, |it| it.polarity);
        let trigger = moved.map_or(Trigger::BusDefault, |it| it.trigger);
        Self {
            gsi: moved.map_or(number.into(), |it| it.gsi),
            polarity: if polarity == Polarity::High {
                polarity
            } else {
                Polarity::Low
            },
            trigger: if trigger == Trigger::Edge {
                trigger
            } else {
                Trigger::Level
            },
        }
    }
}

/// Why a device's interrupts cannot be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptError {
    /// The device has neither messages nor a line.
    Missing,
    /// No interrupt controller has that line.
    Unrouted(u32),
    /// All vectors are taken.
    Exhausted,
}

impl fmt::Display for InterruptError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter
                .write_str("it has neither message interrupts nor a line; give it vectors=3"),
            Self::Unrouted(gsi) => {
                write!(
                    formatter,
                    "no interrupt controller has its line {gsi}; give it vectors=3"
                )
            }
            Self::Exhausted => {
                formatter.write_str("all interrupt vectors are taken; remove devices")
            }
        }
    }
}

/// The interrupts of one device.
pub enum Interrupts {
    /// It sends messages: the first one for its configuration. Several meanings may share a vector.
    Messages(Vec<Vector>),
    /// It uses a line.
    Line {
        /// The line and those who share it.
        line: Arc<SharedLine>,
        /// Set when this device's status spoke of its configuration.
        configuration: Arc<AtomicBool>,
    },
}

/// A line and the devices on it.
pub struct SharedLine {
    gsi: u32,
    vector: Vector,
    members: Mutex<Vec<Member>>,
}

struct Member {
    status: Registers,
    configuration: Arc<AtomicBool>,
}

/// The lines in use.
static LINES: Mutex<Vec<Arc<SharedLine>>> = Mutex::new(Vec::new());

impl Interrupts {
    /// Vectors and messages for a device that has `available` messages: one each for its configuration
    /// and the two directions of its queues, or fewer and the last one shared. The second result names,
    /// for the configuration and each direction, the number of its message.
    pub fn by_messages(
        available: usize,
    ) -> Result<(Self, Vec<Message>, [u16; MESSAGES_MAX]), InterruptError> {
        let count = available.clamp(1, MESSAGES_MAX);
        let vectors = (0..count)
            .map(|_| platform::claim_vector().ok_or(InterruptError::Exhausted))
            .collect::<Result<Vec<_>, _>>()?;
        let messages = vectors.iter().map(|&it| platform::message(it)).collect();
        let numbers = core::array::from_fn(|meaning| meaning.min(count - 1) as u16);
        Ok((Self::Messages(vectors), messages, numbers))
    }

    /// Joins a device to a line; `status` is its interrupt status register.
    pub fn by_line(line: Line, status: Registers) -> Result<Self, InterruptError> {
        let configuration = Arc::new(AtomicBool::new(false));
        let member = Member {
            status,
            configuration: configuration.clone(),
        };
        let mut lines = LINES.lock();
        if let Some(shared) = lines.iter().find(|it| it.gsi == line.gsi) {
            shared.members.lock().push(member);
            return Ok(Self::Line {
                line: shared.clone(),
                configuration,
            });
        }
        let vector = platform::claim_vector().ok_or(InterruptError::Exhausted)?;
        let members = Mutex::new(alloc::vec![member]);
        let shared = Arc::new(SharedLine {
            gsi: line.gsi,
            vector,
            members,
        });
        platform::route_line(line, vector).ok_or(InterruptError::Unrouted(line.gsi))?;
        lines.push(shared.clone());
        Ok(Self::Line {
            line: shared,
            configuration,
        })
    }

    /// Takes what has arrived; says whether the device's configuration may have changed. What came for
    /// queues, the queues themselves tell.
    pub fn serve(&self) -> bool {
        match self {
            Self::Messages(vectors) => {
                let [configuration, queues @ ..] = &**vectors else {
                    return false;
                };
                let is_changed = platform::take_pending(*configuration);
                for &vector in queues {
                    platform::take_pending(vector);
                }
                is_changed
            }
            Self::Line {
                line,
                configuration,
            } => {
                line.serve();
                configuration.swap(false, Ordering::Relaxed)
            }
        }
    }
}

impl SharedLine {
    /// After an interrupt: asks every device on the line, as any of them may hold it active, and
    /// opens the line again.
    fn serve(&self) {
        if !platform::take_pending(self.vector) {
            return;
        }
        for member in self.members.lock().iter() {
            let status = member.status.read_u8(0).unwrap_or(0);
            if status & STATUS_CONFIGURATION != 0 {
                member.configuration.store(true, Ordering::Relaxed);
            }
        }
        platform::reopen_line(self.vector);
    }
}
