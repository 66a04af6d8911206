//! PCI: finding functions ([`function`]), their capabilities ([`capability`]), their message
//! interrupts ([`msix`]), the two ways to the configuration space ([`access`]), and addresses for
//! functions to which firmware gave none ([`window`]).

pub mod access;
pub mod capability;
pub mod function;
pub mod msix;
pub mod window;

pub use access::Access;
pub use function::{Address, ConfigurationSpace, Function, enumerate};
pub use window::assign_memory;

use crate::acpi::{InterruptOverride, Platform};
use alloc::vec::Vec;

/// PCI as a driver needs it: the configuration space, and where interrupt lines arrive.
pub struct Bus {
    /// The configuration space.
    pub space: Access,
    /// The firmware's word on interrupt lines.
    pub overrides: Vec<InterruptOverride>,
}

impl Bus {
    /// The machine's PCI, by what the firmware told.
    pub fn new(platform: &Platform) -> Self {
        Self {
            space: Access::new(&platform.pci_regions),
            overrides: platform.overrides.clone(),
        }
    }
}
