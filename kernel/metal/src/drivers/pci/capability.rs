//! Walks a function's capability list (PCI Local Bus Specification 3.0, section 6.7).

use super::{ConfigurationSpace, Function};

/// Most capabilities that fit into the 192 bytes behind the header, 4 bytes each: a longer list has
/// a loop.
const CAPABILITIES_MAX: usize = 48;

const STATUS: u8 = 0x04;
const STATUS_CAPABILITIES: u32 = 1 << 20;
const FIRST: u8 = 0x34;

/// A vendor's own capability.
pub const VENDOR: u8 = 0x09;
/// Message-signalled interrupts, extended form.
pub const MSI_X: u8 = 0x11;

/// One capability in the configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What it is.
    pub id: u8,
    /// Where its first byte is.
    pub offset: u8,
    /// Its first register: the id, the next pointer and two bytes of its own.
    pub header: u32,
}

impl Capability {
    /// The register `distance` bytes behind the capability's first byte; nothing past the end of the
    /// configuration space.
    pub fn read(
        &self,
        space: &impl ConfigurationSpace,
        function: &Function,
        distance: u8,
    ) -> Option<u32> {
        Some(space.read(function.address, self.offset.checked_add(distance)?))
    }
}

/// The function's capabilities, in its order.
pub fn capabilities<S: ConfigurationSpace>(
    space: &S,
    function: &Function,
) -> impl Iterator<Item = Capability> {
    let address = function.address;
    let listed = space.read(address, STATUS) & STATUS_CAPABILITIES != 0;
    let mut next = if listed {
        space.read(address, FIRST) as u8
    } else {
        0
    };
    core::iter::from_fn(move || {
        let offset = next & !3;
        if offset < 0x40 {
            return None;
        }
        let header = space.read(address, offset);
        next = (header >> 8) as u8;
        // A function that has gone reads as ones.
        (header != u32::MAX).then_some(Capability {
            id: header as u8,
            offset,
            header,
        })
    })
    .take(CAPABILITIES_MAX)
}
