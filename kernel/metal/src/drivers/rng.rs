//! The virtio entropy device (virtio 1.2, section 5.4): asked ahead of time, its answer looked for at
//! the next occasion. It needs no interrupt, which would only wake the machine, and gets none.

use super::pci::{Bus, Function};
use super::virtio::{BufferQueue, Direction, PciTransport, TransportError};
use virtio_drivers::transport::Transport;

/// Virtio device type.
pub const DEVICE_TYPE: u16 = 4;

/// Bytes asked for at a time: twice what a seed needs, should the device have but little entropy.
const REQUEST_BYTES: usize = 64;
const QUEUE_SIZE: usize = 8;
const REQUESTS: u16 = 0;
/// The only buffer.
const BUFFER: u16 = 0;
/// Feature bit: the device follows virtio 1.x.
const VERSION_1: u64 = 1 << 32;

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const VERSION_1 = VERSION_1;
    }
}

/// An entropy device.
pub struct EntropyDevice {
    transport: PciTransport,
    queue: BufferQueue<QUEUE_SIZE>,
    request: Request,
}

/// Whether the device has been asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Idle,
    Outstanding,
    /// The device has failed and is not asked again.
    Failed(TransportError),
}

impl EntropyDevice {
    /// Brings the device up and asks it for the first time.
    ///
    /// # Errors
    ///
    /// Says what the device lacks, or what it did wrong; the device is then reset.
    pub fn new(bus: &Bus, function: &Function) -> Result<Self, TransportError> {
        let mut transport = PciTransport::new(bus, function)?;
        let features = transport.begin_init(Features::VERSION_1);
        transport.check_features(features.contains(Features::VERSION_1))?;
        let direction = Direction::FromDevice;
        let mut queue = BufferQueue::new(&mut transport, REQUESTS, direction, 1, REQUEST_BYTES)?;
        queue.disarm();
        transport.finish_init();
        transport.check()?;
        let mut device = Self {
            transport,
            queue,
            request: Request::Idle,
        };
        device.request()?;
        Ok(device)
    }

    /// Asks for random bytes, unless it has been asked already.
    ///
    /// # Errors
    ///
    /// Why the device is out of use.
    pub fn request(&mut self) -> Result<(), TransportError> {
        match self.request {
            Request::Outstanding => return Ok(()),
            Request::Failed(error) => return Err(error),
            Request::Idle => {}
        }
        let added = self.queue.add(BUFFER, REQUEST_BYTES);
        added.map_err(|error| self.fail(error))?;
        self.queue.tell(&mut self.transport);
        self.request = Request::Outstanding;
        Ok(())
    }

    /// Hands the answer to `sink`, if it has come; says whether it has.
    ///
    /// # Errors
    ///
    /// Why the device is out of use.
    pub fn collect(&mut self, sink: impl FnOnce(&[u8])) -> Result<bool, TransportError> {
        if let Request::Failed(error) = self.request {
            return Err(error);
        }
        match self.queue.take_completion() {
            Ok(None) => Ok(false),
            Ok(Some(completion)) => {
                sink(completion.bytes);
                self.request = Request::Idle;
                Ok(true)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn fail(&mut self, error: TransportError) -> TransportError {
        crate::log!(
            "entropy device {}: out of use: {error}",
            self.transport.address()
        );
        self.request = Request::Failed(error);
        self.transport.reset();
        error
    }
}
