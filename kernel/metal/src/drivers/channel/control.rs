//! What the device and its driver tell each other about ports (virtio 1.2, section 5.3.6.2).
//!
//! [`Control`] owns the two queues for that. It answers the device as the standard asks and passes
//! on what matters of the one [`PORT`] that is used: whether a host has it open.

use super::message::{MESSAGE_BYTES, Message, event};
use crate::drivers::virtio::{BufferQueue, Direction, PciTransport, TransportError};
use alloc::vec::Vec;

/// The port that is used. QEMU keeps number 0 for its lossy console and counts the others from 1.
pub const PORT: u32 = 1;

/// The queues for control messages; those of port 0 come before them.
const FROM_DEVICE: u16 = 2;
const TO_DEVICE: u16 = 3;
/// Buffers for messages from the device, which drops those that find none: more than come in a turn,
/// and what QEMU's queues have room for.
const BUFFERS: usize = 32;
/// Longest message that is read, in bytes; a port's name comes behind its message.
const BUFFER_BYTES: usize = 64;

/// What became of the port at the host's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChange {
    /// A host has connected to it.
    Opened,
    /// The host has gone, or the port itself.
    Closed,
}

/// The two queues for control messages.
pub struct Control {
    from_device: BufferQueue<BUFFERS>,
    to_device: BufferQueue<BUFFERS>,
    /// Buffers for messages to the device that it does not have.
    free: Vec<u16>,
}

impl Control {
    /// Sets the queues up.
    pub fn new(transport: &mut PciTransport) -> Result<Self, TransportError> {
        let mut queue = |number, direction| {
            BufferQueue::new(transport, number, direction, BUFFERS, BUFFER_BYTES)
        };
        let from_device = queue(FROM_DEVICE, Direction::FromDevice)?;
        let mut to_device = queue(TO_DEVICE, Direction::ToDevice)?;
        to_device.disarm();
        Ok(Self {
            from_device,
            free: to_device.buffers().collect(),
            to_device,
        })
    }

    /// Gives the device its buffers.
    pub fn provide_buffers(&mut self) -> Result<(), TransportError> {
        for buffer in self.from_device.buffers() {
            self.from_device.add(buffer, BUFFER_BYTES)?;
        }
        Ok(())
    }

    /// Asks the device, now live, to name its ports.
    pub fn start(&mut self, transport: &mut PciTransport) -> Result<(), TransportError> {
        self.from_device.tell(transport);
        self.say(0, event::DEVICE_READY)?;
        self.to_device.tell(transport);
        Ok(())
    }

    /// Whether the device has said something.
    pub fn has_message(&self) -> bool {
        self.from_device.has_completion()
    }

    /// Takes the messages that came, and hands on what became of the port.
    pub fn serve(
        &mut self,
        transport: &mut PciTransport,
        mut changed: impl FnMut(PortChange),
    ) -> Result<(), TransportError> {
        // No more than there are buffers, lest a device that talks without end holds us up.
        for _ in 0..BUFFERS {
            let Some(completion) = self.from_device.take_completion()? else {
                break;
            };
            let buffer = completion.buffer;
            let message = Message::read(completion.bytes);
            self.from_device.add(buffer, BUFFER_BYTES)?;
            let Some(message) = message.filter(|it| it.port == PORT) else {
                continue;
            };
            match (message.event, message.value) {
                (event::PORT_ADD, _) => {
                    self.say(PORT, event::PORT_READY)?;
                    self.say(PORT, event::PORT_OPEN)?;
                }
                (event::PORT_REMOVE, _) | (event::PORT_OPEN, 0) => changed(PortChange::Closed),
                (event::PORT_OPEN, _) => changed(PortChange::Opened),
                _ => {}
            }
        }
        self.from_device.tell(transport);
        self.to_device.tell(transport);
        Ok(())
    }

    /// Queues a message to the device: that `event` is so. One that takes none loses it.
    fn say(&mut self, port: u32, event: u16) -> Result<(), TransportError> {
        while let Some(completion) = self.to_device.take_completion()? {
            self.free.push(completion.buffer);
        }
        let Some(buffer) = self.free.pop() else {
            return Ok(());
        };
        let message = Message {
            port,
            event,
            value: 1,
        };
        message.write(self.to_device.buffer(buffer));
        self.to_device.add(buffer, MESSAGE_BYTES)
    }
}
