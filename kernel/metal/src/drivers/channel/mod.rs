//! The channel to a program on the host: one port of a virtio serial device (virtio 1.2, section 5.3),
//! driven without blocking.
//!
//! The virtqueues are the flow control in both directions: a receive buffer goes back to the device
//! only when all its bytes were read, and a full transmit queue takes no more until the host has read.
//! QEMU's `virtserialport` loses nothing on the way, which its `virtconsole` does; it also tells
//! ([`control`]) when a host's program connects and leaves. Interrupts are asked for only where the
//! caller waits: for bytes once it has read all, for room once it was refused some.

mod control;
mod message;

use super::interrupt::Interrupts;
use super::pci::{Bus, Function};
use super::virtio::{BufferQueue, Direction, PciTransport, TransportError};
use alloc::vec::Vec;
use control::{Control, PORT, PortChange};
use virtio_drivers::transport::Transport;

/// Virtio device type.
pub const DEVICE_TYPE: u16 = 3;

/// The queues of [`PORT`] (5.3.2); its own follow those of port 0 and of the control messages.
const RECEIVE: u16 = 2 * PORT as u16 + 2;
const TRANSMIT: u16 = RECEIVE + 1;
/// Receive buffers. QEMU reads 4 KiB at a time from its socket and puts each piece into buffers of its
/// own, so larger ones would be filled in part.
const RECEIVE_BUFFERS: usize = 64;
const RECEIVE_BYTES: usize = 4 << 10;
/// Transmit buffers: each is one write to QEMU's socket.
const TRANSMIT_BUFFERS: usize = 8;
const TRANSMIT_BYTES: usize = 32 << 10;
/// After this many returned receive buffers the device is told, should it have run out of them.
const REFILL_BATCH: usize = RECEIVE_BUFFERS / 4;

bitflags::bitflags! {
    /// Feature bits (5.3.3 and chapter 6).
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const MULTIPORT = 1 << 1;
        const VERSION_1 = 1 << 32;
    }
}

/// What the caller waits for in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// Nothing: it has not seen the end of what there is.
    No,
    /// The next bytes, or more room.
    Yes,
}

/// Events that the caller was told of.
#[derive(Clone, Copy, Debug, Default)]
struct Offered {
    bytes: bool,
    room: bool,
}

/// A receive buffer that was not read to its end.
#[derive(Clone, Copy, Debug)]
struct Unread {
    buffer: u16,
    start: usize,
    end: usize,
}

/// A transmit buffer that is being filled.
#[derive(Clone, Copy, Debug)]
struct Unsent {
    buffer: u16,
    length: usize,
}

/// The channel's device.
pub struct ChannelDevice {
    transport: PciTransport,
    interrupts: Interrupts,
    control: Control,
    receive: BufferQueue<RECEIVE_BUFFERS>,
    transmit: BufferQueue<TRANSMIT_BUFFERS>,
    unread: Option<Unread>,
    unsent: Option<Unsent>,
    /// Transmit buffers that neither the device nor `unsent` has.
    free: Vec<u16>,
    reader: Waits,
    writer: Waits,
    /// What the present round of the machine's loop began with and the caller has not looked at.
    offered: Offered,
    /// The number of the present connection.
    connection: Option<u64>,
    connections: u64,
    failure: Option<TransportError>,
}

impl ChannelDevice {
    /// Brings the device up.
    ///
    /// # Errors
    ///
    /// Says what the device lacks, or what it did wrong; the device is then reset.
    pub fn new(bus: &Bus, function: &Function) -> Result<Self, TransportError> {
        let mut transport = PciTransport::new(bus, function)?;
        let interrupts = transport.attach_interrupts(bus, function)?;
        let features = transport.begin_init(Features::MULTIPORT | Features::VERSION_1);
        transport.check_features(features.contains(Features::VERSION_1))?;
        if !features.contains(Features::MULTIPORT) {
            return Err(TransportError::NoPorts);
        }
        let control = Control::new(&mut transport)?;
        let receive = BufferQueue::new(
            &mut transport,
            RECEIVE,
            Direction::FromDevice,
            RECEIVE_BUFFERS,
            RECEIVE_BYTES,
        )?;
        let transmit = BufferQueue::new(
            &mut transport,
            TRANSMIT,
            Direction::ToDevice,
            TRANSMIT_BUFFERS,
            TRANSMIT_BYTES,
        )?;
        let mut device = Self {
            transport,
            interrupts,
            control,
            free: transmit.buffers().collect(),
            receive,
            transmit,
            unread: None,
            unsent: None,
            reader: Waits::Yes,
            writer: Waits::No,
            offered: Offered::default(),
            connection: None,
            connections: 0,
            failure: None,
        };
        device.start()?;
        Ok(device)
    }

    fn start(&mut self) -> Result<(), TransportError> {
        self.transmit.disarm();
        for buffer in self.receive.buffers() {
            self.receive.add(buffer, RECEIVE_BYTES)?;
        }
        self.control.provide_buffers()?;
        self.transport.finish_init();
        self.transport.check()?;
        self.receive.tell(&mut self.transport);
        self.control.start(&mut self.transport)
    }

    /// How its interrupts come, for the log.
    pub fn interrupt_kind(&self) -> &'static str {
        self.transport.interrupt_kind()
    }

    /// The number of the host's connection, as of the latest [`Self::serve`].
    pub fn connection(&self) -> Option<u64> {
        self.connection
    }

    /// Whether there is something that the caller does not know and waits for.
    pub fn has_pending(&self) -> bool {
        self.failure.is_none()
            && (self.control.has_message() || self.bytes_have_come() || self.room_has_come())
    }

    fn bytes_have_come(&self) -> bool {
        self.reader == Waits::Yes && self.receive.has_completion()
    }

    fn room_has_come(&self) -> bool {
        self.writer == Waits::Yes && self.transmit.has_completion()
    }

    /// Sees to what the device said; each round of the machine's loop begins with it.
    pub fn serve(&mut self) {
        if self.failure.is_some() {
            return;
        }
        let result = self.try_serve();
        self.keep(result);
        self.offered = Offered {
            bytes: self.bytes_have_come(),
            room: self.room_has_come(),
        };
    }

    fn try_serve(&mut self) -> Result<(), TransportError> {
        if self.interrupts.serve() {
            self.transport.check()?;
        }
        if !self.control.has_message() {
            return Ok(());
        }
        let before = self.connection;
        let (connection, connections) = (&mut self.connection, &mut self.connections);
        self.control
            .serve(&mut self.transport, |change| match change {
                PortChange::Closed => *connection = None,
                // The device says it again when the port is made ready.
                PortChange::Opened if connection.is_some() => {}
                PortChange::Opened => {
                    *connections += 1;
                    *connection = Some(*connections);
                }
            })?;
        if self.connection == before {
            return Ok(());
        }
        self.drop_bytes()
    }

    /// Forgets the bytes of a connection that has ended, in both directions.
    fn drop_bytes(&mut self) -> Result<(), TransportError> {
        if let Some(unread) = self.unread.take() {
            self.receive.add(unread.buffer, RECEIVE_BYTES)?;
        }
        // No more than there are buffers, lest a device that fills them at once holds us up.
        for _ in 0..RECEIVE_BUFFERS {
            let Some(completion) = self.receive.take_completion()? else {
                break;
            };
            let buffer = completion.buffer;
            self.receive.add(buffer, RECEIVE_BYTES)?;
        }
        self.receive.tell(&mut self.transport);
        self.reader = Waits::Yes;
        self.receive.arm();
        if let Some(unsent) = self.unsent.take() {
            self.free.push(unsent.buffer);
        }
        self.writer = Waits::No;
        self.transmit.disarm();
        Ok(())
    }

    /// Takes bytes that came: returns how many bytes of `out` were filled.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        if self.failure.is_some() || self.connection.is_none() {
            return 0;
        }
        self.offered.bytes = false;
        let mut filled = 0;
        let result = self.try_read(out, &mut filled);
        self.keep(result);
        filled
    }

    fn try_read(&mut self, out: &mut [u8], filled: &mut usize) -> Result<(), TransportError> {
        while *filled < out.len() {
            let Some(mut unread) = self.next_unread()? else {
                break;
            };
            let bytes = &self.receive.buffer(unread.buffer)[unread.start..unread.end];
            let count = bytes.len().min(out.len() - *filled);
            out[*filled..*filled + count].copy_from_slice(&bytes[..count]);
            *filled += count;
            unread.start += count;
            if unread.start < unread.end {
                self.unread = Some(unread);
                continue;
            }
            self.receive.add(unread.buffer, RECEIVE_BYTES)?;
            if self.receive.untold() >= REFILL_BATCH {
                self.receive.tell(&mut self.transport);
            }
        }
        self.receive.tell(&mut self.transport);
        Ok(())
    }

    /// The buffer to read next; without one, the next will interrupt.
    fn next_unread(&mut self) -> Result<Option<Unread>, TransportError> {
        if let Some(unread) = self.unread.take() {
            return Ok(Some(unread));
        }
        if !self.receive.has_completion() {
            self.reader = Waits::Yes;
            if !self.receive.arm() {
                return Ok(None);
            }
        }
        if self.reader == Waits::Yes {
            self.reader = Waits::No;
            self.receive.disarm();
        }
        let completion = self.receive.take_completion()?;
        Ok(completion.map(|completion| Unread {
            buffer: completion.buffer,
            start: 0,
            end: completion.bytes.len(),
        }))
    }

    /// Sends bytes: returns how many were taken. The last ones may wait for [`Self::flush`].
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if self.failure.is_some() || self.connection.is_none() {
            return 0;
        }
        self.offered.room = false;
        let mut taken = 0;
        let result = self.try_write(bytes, &mut taken);
        self.keep(result);
        taken
    }

    fn try_write(&mut self, bytes: &[u8], taken: &mut usize) -> Result<(), TransportError> {
        self.writer = Waits::No;
        while *taken < bytes.len() {
            let Some(mut unsent) = self.next_unsent()? else {
                break;
            };
            let room = &mut self.transmit.buffer(unsent.buffer)[unsent.length..];
            let count = room.len().min(bytes.len() - *taken);
            room[..count].copy_from_slice(&bytes[*taken..*taken + count]);
            *taken += count;
            unsent.length += count;
            if unsent.length < TRANSMIT_BYTES {
                self.unsent = Some(unsent);
            } else {
                self.transmit.add(unsent.buffer, unsent.length)?;
                self.transmit.tell(&mut self.transport);
            }
        }
        Ok(())
    }

    /// The buffer to fill next; without one, the next that comes back will interrupt.
    fn next_unsent(&mut self) -> Result<Option<Unsent>, TransportError> {
        if let Some(unsent) = self.unsent.take() {
            return Ok(Some(unsent));
        }
        self.collect()?;
        if self.free.is_empty() {
            self.writer = Waits::Yes;
            if self.transmit.arm() {
                self.collect()?;
            }
        }
        let buffer = self.free.pop();
        if buffer.is_some() && self.writer == Waits::Yes {
            self.writer = Waits::No;
            self.transmit.disarm();
        }
        Ok(buffer.map(|buffer| Unsent { buffer, length: 0 }))
    }

    /// Takes back the buffers that the host has read.
    fn collect(&mut self) -> Result<(), TransportError> {
        while let Some(completion) = self.transmit.take_completion()? {
            self.free.push(completion.buffer);
        }
        Ok(())
    }

    /// Lets the last bytes go; each round of the machine's loop ends with it. What the caller did not
    /// look at in the round, it does not want now: it is no event any more, lest the machine never rest.
    pub fn flush(&mut self) {
        if core::mem::take(&mut self.offered.bytes) {
            self.reader = Waits::No;
            self.receive.disarm();
        }
        if core::mem::take(&mut self.offered.room) {
            self.writer = Waits::No;
            self.transmit.disarm();
        }
        if let Some(unsent) = self.unsent.take() {
            let result = self.transmit.add(unsent.buffer, unsent.length);
            self.transmit.tell(&mut self.transport);
            self.keep(result);
        }
    }

    /// Puts the device out of use if something failed.
    fn keep(&mut self, result: Result<(), TransportError>) {
        if let Err(error) = result {
            crate::log!("channel {}: out of use: {error}", self.transport.address());
            self.failure = Some(error);
            self.connection = None;
            self.transport.reset();
        }
    }
}
