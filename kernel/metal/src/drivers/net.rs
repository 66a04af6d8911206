//! The virtio network card (virtio 1.2, section 5.1), driven without blocking and with few exits.
//!
//! [`NetworkCard`] keeps all receive buffers with the device, hands each frame to its caller in place
//! and gives the buffer back. To transmit, a frame is copied into a free buffer; [`NetworkCard::flush`]
//! tells the device once for all of them. Finished transmissions are collected when buffers are
//! needed, without interrupts. Receive interrupts are off while frames are being taken, and on again
//! once there are none. A card that fails says why once, and then is out of use for good.

use super::interrupt::Interrupts;
use super::pci::{Bus, Function};
use super::virtio::{BufferQueue, Direction, PciTransport, TransportError};
use alloc::vec::Vec;
use core::fmt;
use virtio_drivers::transport::Transport;

/// Virtio device type.
pub const DEVICE_TYPE: u16 = 1;

/// Descriptors of each queue: what QEMU offers unless told otherwise.
const QUEUE_SIZE: usize = 256;
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

/// Memory for the buffers of one direction, in bytes.
const POOL_BYTES: usize = 512 << 10;
/// Buffer for frames of plain Ethernet, in bytes: header, frame of 1514, tag and some air.
const PLAIN_BUFFER_BYTES: usize = 2048;
/// Largest IP packet that is negotiated, in bytes; a larger offer is not taken up.
const MTU_MAX: usize = 16 << 10;
/// Largest IP packet of plain Ethernet, in bytes.
const MTU_PLAIN: usize = 1500;
/// Least IP packet that every network must carry (RFC 8200, section 5), in bytes.
const MTU_MIN: usize = 1280;

/// Header in front of each frame (5.1.6): 12 bytes with virtio 1.x, zero as nothing is offloaded.
const HEADER_BYTES: usize = 12;
/// Ethernet's own header with one VLAN tag, in bytes.
const ETHERNET_BYTES: usize = 18;
/// After this many returned receive buffers the device is told, should it have run out of them.
const REFILL_BATCH: usize = 64;

/// Feature bits (5.1.3 and chapter 6).
mod features {
    bitflags::bitflags! {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Features: u64 {
            const MTU = 1 << 3;
            const MAC = 1 << 5;
            const STATUS = 1 << 16;
            const VERSION_1 = 1 << 32;
        }
    }
}
use features::Features;

/// Device configuration (5.1.4): offsets.
const CONFIG_MAC: usize = 0;
const CONFIG_STATUS: usize = 6;
const CONFIG_MTU: usize = 10;
/// Bit of the status: the link is up.
const STATUS_LINK_UP: u16 = 1;

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransmitError {
    /// All buffers are with the device; [`NetworkCard::has_pending`] tells when one has come back.
    Full,
    /// It is longer than the network carries.
    TooLong,
    /// The card has failed.
    Failed(TransportError),
}

/// What a card has done so far, for the line that says it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    /// Frames handed to the caller.
    received: u64,
    /// Frames that came too short to be any, and were dropped.
    runts: u64,
    /// Frames given to the device.
    transmitted: u64,
    /// Transmissions refused as all buffers were with the device.
    refused: u64,
}

impl fmt::Display for Counters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} frames received, {} too short, {} sent, {} refused",
            self.received, self.runts, self.transmitted, self.refused
        )
    }
}

/// Whether the caller waits for transmit buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Enough,
    Awaited,
}

/// A network card.
pub struct NetworkCard {
    transport: PciTransport,
    interrupts: Interrupts,
    receive: BufferQueue<QUEUE_SIZE>,
    transmit: BufferQueue<QUEUE_SIZE>,
    /// Transmit buffers that the device does not have.
    free: Vec<u16>,
    features: Features,
    mac: [u8; 6],
    mtu: usize,
    link_is_up: bool,
    /// Receive interrupts are on.
    armed: bool,
    space: Space,
    failure: Option<TransportError>,
    counters: Counters,
}

impl NetworkCard {
    /// Brings the card up.
    ///
    /// # Errors
    ///
    /// Says what the device lacks, or what it did wrong; the device is then reset.
    pub fn new(bus: &Bus, function: &Function) -> Result<Self, TransportError> {
        let mut transport = PciTransport::new(bus, function)?;
        let interrupts = transport.attach_interrupts(bus, function)?;
        let offered = Features::from_bits_truncate(transport.read_device_features());
        let offered_mtu = if offered.contains(Features::MTU) {
            read_config::<u16>(&transport, CONFIG_MTU)?.into()
        } else {
            0
        };
        let mut wanted = Features::MAC | Features::STATUS | Features::VERSION_1;
        if (MTU_MIN..=MTU_MAX).contains(&offered_mtu) {
            wanted |= Features::MTU;
        }
        let features = transport.begin_init(wanted);
        transport.check_features(features.contains(Features::VERSION_1))?;
        let mtu = if features.contains(Features::MTU) {
            offered_mtu
        } else {
            MTU_PLAIN
        };
        let mac = if features.contains(Features::MAC) {
            transport
                .read_consistent(|| transport.read_config_space(CONFIG_MAC))
                .map_err(TransportError::Queue)?
        } else {
            random_address()
        };
        let length = (HEADER_BYTES + ETHERNET_BYTES + mtu)
            .next_power_of_two()
            .max(PLAIN_BUFFER_BYTES);
        let count = (POOL_BYTES / length).min(QUEUE_SIZE);
        let mut queue =
            |number, direction| BufferQueue::new(&mut transport, number, direction, count, length);
        let receive = queue(RECEIVE, Direction::FromDevice)?;
        let transmit = queue(TRANSMIT, Direction::ToDevice)?;
        let mut card = Self {
            transport,
            interrupts,
            free: transmit.buffers().collect(),
            receive,
            transmit,
            features,
            mac,
            mtu,
            link_is_up: true,
            armed: true,
            space: Space::Enough,
            failure: None,
            counters: Counters::default(),
        };
        card.start()?;
        Ok(card)
    }

    /// Gives the device its receive buffers and lets it go.
    fn start(&mut self) -> Result<(), TransportError> {
        self.transmit.disarm();
        let length = self.receive.buffer_length();
        for buffer in self.receive.buffers() {
            self.receive.add(buffer, length)?;
        }
        self.transport.finish_init();
        self.transport.check()?;
        self.receive.tell(&mut self.transport);
        self.read_link()
    }

    /// The station address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Largest IP packet that the network carries, in bytes.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Whether the card is connected; as of the device's latest word.
    pub fn link_up(&self) -> bool {
        self.link_is_up && self.failure.is_none()
    }

    /// How its interrupts come, for the log.
    pub fn interrupt_kind(&self) -> &'static str {
        self.transport.interrupt_kind()
    }

    /// Whether a call would now find frames, or space that was waited for. Interrupts that came are a
    /// matter of the machine's own flag.
    pub fn has_pending(&self) -> bool {
        self.failure.is_none() && (self.receive.has_completion() || self.space_has_come())
    }

    /// Whether the transmit buffers that the caller waits for have come back.
    fn space_has_come(&self) -> bool {
        self.space == Space::Awaited && self.transmit.has_completion()
    }

    /// Hands up to `budget` frames that have arrived to `sink`, in place, and says how many. With
    /// fewer than `budget` there were no more, and the next one will interrupt.
    ///
    /// # Errors
    ///
    /// Why the card is out of use.
    pub fn receive(
        &mut self,
        budget: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, TransportError> {
        self.in_use()?;
        self.serve_configuration()?;
        if self.space_has_come() {
            self.collect()?;
        }
        let mut count = 0;
        let result = loop {
            if count == budget {
                break Ok(count);
            }
            match self.receive_one(sink) {
                Ok(true) => count += 1,
                Ok(false) if self.armed || !self.rearm() => break Ok(count),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
        };
        self.receive.tell(&mut self.transport);
        result.map_err(|error| self.fail(error))
    }

    /// Turns receive interrupts on; says whether frames came meanwhile.
    fn rearm(&mut self) -> bool {
        self.armed = true;
        self.receive.arm()
    }

    fn receive_one(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<bool, TransportError> {
        let length = self.receive.buffer_length();
        let Some(completion) = self.receive.take_completion()? else {
            return Ok(false);
        };
        let buffer = completion.buffer;
        match completion.bytes.get(HEADER_BYTES..) {
            Some(frame) if frame.len() >= 14 => {
                self.counters.received += 1;
                sink(frame);
            }
            _ => self.counters.runts += 1,
        }
        if self.armed {
            self.armed = false;
            self.receive.disarm();
        }
        self.receive.add(buffer, length)?;
        if self.receive.untold() >= REFILL_BATCH {
            self.receive.tell(&mut self.transport);
        }
        Ok(true)
    }

    /// Queues a frame, by one copy; [`Self::flush`] lets it go.
    ///
    /// # Errors
    ///
    /// [`TransmitError::Full`] when the device has all buffers.
    pub fn transmit(&mut self, frame: &[u8]) -> Result<(), TransmitError> {
        self.in_use().map_err(TransmitError::Failed)?;
        if frame.is_empty() || frame.len() > self.mtu + ETHERNET_BYTES {
            return Err(TransmitError::TooLong);
        }
        if self.free.is_empty() {
            self.flush();
            self.collect().map_err(TransmitError::Failed)?;
        }
        let Some(buffer) = self.free.pop() else {
            self.counters.refused += 1;
            return Err(TransmitError::Full);
        };
        let length = HEADER_BYTES + frame.len();
        // The header in front stays zero from the buffer's beginning: the device only reads it.
        self.transmit.buffer(buffer)[HEADER_BYTES..length].copy_from_slice(frame);
        self.counters.transmitted += 1;
        let added = self.transmit.add(buffer, length);
        added.map_err(|error| TransmitError::Failed(self.fail(error)))
    }

    /// Lets queued frames go, by at most one notification.
    pub fn flush(&mut self) {
        self.transmit.tell(&mut self.transport);
    }

    /// Takes back the buffers of finished transmissions. Finding none, it lets the device interrupt
    /// when there are.
    fn collect(&mut self) -> Result<(), TransportError> {
        let result = loop {
            match self.transmit.take_completion() {
                Ok(Some(completion)) => self.free.push(completion.buffer),
                Ok(None) if !self.free.is_empty() => {
                    self.space = Space::Enough;
                    self.transmit.disarm();
                    break Ok(());
                }
                Ok(None) if self.space == Space::Awaited => break self.transport.check(),
                Ok(None) => {
                    self.space = Space::Awaited;
                    self.transmit.arm();
                }
                Err(error) => break Err(error),
            }
        };
        result.map_err(|error| self.fail(error))
    }

    /// Looks whether the device is still there and well: one register read, for a slow tick.
    ///
    /// # Errors
    ///
    /// Why the card is out of use.
    pub fn inspect(&mut self) -> Result<(), TransportError> {
        self.in_use()?;
        self.transport.check().map_err(|error| self.fail(error))
    }

    fn in_use(&self) -> Result<(), TransportError> {
        self.failure.map_or(Ok(()), Err)
    }

    /// After a configuration interrupt: a new link state, or the device has failed.
    fn serve_configuration(&mut self) -> Result<(), TransportError> {
        if !self.interrupts.serve() {
            return Ok(());
        }
        let was_up = self.link_is_up;
        let result = self.transport.check().and_then(|()| self.read_link());
        if self.link_is_up != was_up {
            let state = if self.link_is_up { "up" } else { "down" };
            crate::log!("net {}: link {state}", self.transport.address());
        }
        result.map_err(|error| self.fail(error))
    }

    fn read_link(&mut self) -> Result<(), TransportError> {
        if self.features.contains(Features::STATUS) {
            let status: u16 = read_config(&self.transport, CONFIG_STATUS)?;
            self.link_is_up = status & STATUS_LINK_UP != 0;
        }
        Ok(())
    }

    /// Puts the card out of use. The first reason stands.
    fn fail(&mut self, error: TransportError) -> TransportError {
        if self.failure.is_none() {
            crate::log!(
                "net {}: out of use: {error} ({})",
                self.transport.address(),
                self.counters
            );
            self.failure = Some(error);
            self.transport.reset();
        }
        error
    }
}

fn read_config<T: zerocopy::FromBytes + zerocopy::IntoBytes>(
    transport: &PciTransport,
    offset: usize,
) -> Result<T, TransportError> {
    transport
        .read_config_space(offset)
        .map_err(TransportError::Queue)
}

/// A locally administered station address (IEEE 802, 8.4), for a card without one.
fn random_address() -> [u8; 6] {
    let mut address = [0; 6];
    super::entropy::fill(&mut address);
    address[0] = address[0] & !1 | 2;
    address
}
