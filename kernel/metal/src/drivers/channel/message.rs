//! Control messages of a virtio serial device as bytes (virtio 1.2, section 5.3.6.2). Pure.

/// Bytes of a message: port, event and value.
pub const MESSAGE_BYTES: usize = 8;

/// Events.
pub mod event {
    /// The driver works.
    pub const DEVICE_READY: u16 = 0;
    /// There is such a port.
    pub const PORT_ADD: u16 = 1;
    /// There is no such port any more.
    pub const PORT_REMOVE: u16 = 2;
    /// The driver uses the port.
    pub const PORT_READY: u16 = 3;
    /// The other end is open (1) or closed (0).
    pub const PORT_OPEN: u16 = 6;
}

/// A control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The port that is meant.
    pub port: u32,
    /// One of [`event`].
    pub event: u16,
    /// Particular to the event.
    pub value: u16,
}

impl Message {
    /// Reads a message; nothing when it is too short. What follows it is not looked at.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, d, e, f, g, h] = bytes.first_chunk::<MESSAGE_BYTES>()?;
        Some(Self {
            port: u32::from_le_bytes([a, b, c, d]),
            event: u16::from_le_bytes([e, f]),
            value: u16::from_le_bytes([g, h]),
        })
    }

    /// Writes the message at the beginning of `bytes`.
    pub fn write(self, bytes: &mut [u8]) {
        bytes[..4].copy_from_slice(&self.port.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.event.to_le_bytes());
        bytes[6..MESSAGE_BYTES].copy_from_slice(&self.value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_documented_bytes() {
        let message = Message {
            port: 0x0403_0201,
            event: event::PORT_OPEN,
            value: 1,
        };
        let mut bytes = [0xFF; 9];
        message.write(&mut bytes);
        assert_eq!(bytes, [1, 2, 3, 4, 6, 0, 1, 0, 0xFF]);
        assert_eq!(Message::read(&bytes), Some(message));
        assert_eq!(Message::read(&bytes[..7]), None);
    }
}
