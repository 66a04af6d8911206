//! Virtio over PCI: where the registers are ([`layout`]), the device as the virtio-drivers crate sees
//! it ([`transport`]), its queues with their buffers ([`queue`]), and the memory under both ([`hal`]).

pub mod hal;
pub mod layout;
pub mod queue;
pub mod transport;

pub use queue::{BufferQueue, Direction};
pub use transport::{PciTransport, TransportError};
