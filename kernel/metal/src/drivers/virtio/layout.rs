//! Where a virtio device keeps its register groups: the vendor capabilities of virtio 1.2, section
//! 4.1.4. Pure: bytes of the configuration space in, checked ranges out.

use crate::drivers::pci::capability::{Capability, VENDOR, capabilities};
use crate::drivers::pci::function::{ConfigurationSpace, Function, MemoryRange, MemoryRanges};
use core::fmt;

/// Vendor number of every virtio device (4.1.2).
pub const VIRTIO_VENDOR: u16 = 0x1AF4;
/// Device numbers of virtio 1.x start here, at device type 0.
const MODERN_DEVICES: u16 = 0x1040;

/// Bytes of the common configuration (4.1.4.3) up to and with `queue_device`.
const COMMON_LENGTH: u32 = 0x38;
/// Least length of a vendor capability with a range (4.1.4).
const RANGE_CAPABILITY_LENGTH: u8 = 16;

/// Where each register group lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Common configuration.
    pub common: MemoryRange,
    /// Queue notification registers.
    pub notify: MemoryRange,
    /// Bytes between the notification registers of two queues, per unit of `queue_notify_off`.
    pub notify_multiplier: u32,
    /// Interrupt status.
    pub interrupt_status: MemoryRange,
    /// What is particular to the device type; not every type has it.
    pub device: Option<MemoryRange>,
}

/// A register group, by its number in the capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Common configuration.
    Common = 1,
    /// Notifications.
    Notify = 2,
    /// Interrupt status.
    InterruptStatus = 3,
    /// Device-specific configuration.
    Device = 4,
}

/// Why a virtio device's registers cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// A group that every device must have is not listed.
    Missing(Group),
    /// A group lies outside the memory that the device decodes, is too short or misaligned.
    OutOfRange(Group),
}

impl fmt::Display for LayoutError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(group) => write!(
                formatter,
                "no {group} registers; give the device virtio 1.0 (disable-modern=off)"
            ),
            Self::OutOfRange(group) => write!(
                formatter,
                "{group} registers lie outside its memory; replace the device"
            ),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Common => "common",
            Self::Notify => "notification",
            Self::InterruptStatus => "interrupt status",
            Self::Device => "device",
        })
    }
}

/// The virtio device type of a function, when it is a virtio device: modern numbers name it, the
/// transitional ones (4.1.2.1) of the types that have drivers here are listed.
pub fn device_type(function: &Function) -> Option<u16> {
    if function.vendor != VIRTIO_VENDOR {
        return None;
    }
    match function.device {
        0x1000 => Some(1),
        0x1003 => Some(3),
        0x1005 => Some(4),
        0x1040..=0x107F => Some(function.device - MODERN_DEVICES),
        _ => None,
    }
}

impl Layout {
    /// Reads the capabilities; of each group the first one counts (4.1.4.1).
    pub fn read(
        space: &impl ConfigurationSpace,
        function: &Function,
        ranges: &MemoryRanges,
    ) -> Result<Self, LayoutError> {
        let required = |group, minimum, alignment| {
            let capability = find(space, function, group).ok_or(LayoutError::Missing(group))?;
            let range = range(space, function, &capability, ranges);
            range
                .filter(|it| it.length >= u64::from(minimum))
                .filter(|it| it.address.is_multiple_of(alignment))
                .ok_or(LayoutError::OutOfRange(group))
                .map(|range| (capability, range))
        };
        let (_, common) = required(Group::Common, COMMON_LENGTH, 4)?;
        let (capability, notify) = required(Group::Notify, 2, 2)?;
        let notify_multiplier = capability
            .read(space, function, 16)
            .ok_or(LayoutError::OutOfRange(Group::Notify))?;
        let (_, interrupt_status) = required(Group::InterruptStatus, 1, 1)?;
        let device = match required(Group::Device, 4, 4) {
            Ok((_, range)) => Some(range),
            Err(LayoutError::Missing(_)) => None,
            Err(error @ LayoutError::OutOfRange(_)) => return Err(error),
        };
        Ok(Self {
            common,
            notify,
            notify_multiplier,
            interrupt_status,
            device,
        })
    }
}

fn find(space: &impl ConfigurationSpace, function: &Function, group: Group) -> Option<Capability> {
    capabilities(space, function).find(|it| {
        let (length, kind) = ((it.header >> 16) as u8, (it.header >> 24) as u8);
        it.id == VENDOR && length >= RANGE_CAPABILITY_LENGTH && kind == group as u8
    })
}

/// The memory that a capability names, when it lies inside what the device decodes.
fn range(
    space: &impl ConfigurationSpace,
    function: &Function,
    capability: &Capability,
    ranges: &MemoryRanges,
) -> Option<MemoryRange> {
    let index = capability.read(space, function, 4)? as u8;
    let offset = u64::from(capability.read(space, function, 8)?);
    let length = u64::from(capability.read(space, function, 12)?);
    ranges.part(index, offset, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::pci::function::Address;
    use crate::function::tests::FakeSpace;

    const RANGE_LENGTH: u32 = 0x4000;

    /// A device with a list of vendor capabilities: kind, offset and length of each.
    fn device(groups: &[(u32, u32, u32)]) -> (FakeSpace, Address) {
        let space = FakeSpace::default();
        let address = space.add(0, 2, 0);
        space.set_wide_range(address, 4, 0xFE00_0000, RANGE_LENGTH.into());
        space.set(address, 0x04, 1 << 20);
        space.set(address, 0x34, 0x40);
        for (index, &(kind, offset, length)) in groups.iter().enumerate() {
            let at = 0x40 + 20 * index as u8;
            let next = if index + 1 < groups.len() {
                u32::from(at) + 20
            } else {
                0
            };
            space.set(
                address,
                at,
                kind << 24 | 20 << 16 | next << 8 | u32::from(VENDOR),
            );
            space.set(address, at + 4, 4);
            space.set(address, at + 8, offset);
            space.set(address, at + 12, length);
            space.set(address, at + 16, 4);
        }
        (space, address)
    }

    fn read(groups: &[(u32, u32, u32)]) -> Result<Layout, LayoutError> {
        let (space, address) = device(groups);
        read_at(&space, address)
    }

    fn read_at(space: &FakeSpace, address: Address) -> Result<Layout, LayoutError> {
        let function = space.function(address);
        Layout::read(space, &function, &function.enable(space))
    }

    const GOOD: [(u32, u32, u32); 4] = [
        (1, 0, 0x1000),
        (3, 0x1000, 0x1000),
        (4, 0x2000, 0x1000),
        (2, 0x3000, 0x1000),
    ];

    #[test]
    fn groups_are_found_in_any_order() {
        let range = |offset: u64| MemoryRange {
            address: 0xFE00_0000 + offset,
            length: 0x1000,
        };
        let expected = Layout {
            common: range(0),
            notify: range(0x3000),
            notify_multiplier: 4,
            interrupt_status: range(0x1000),
            device: Some(range(0x2000)),
        };
        assert_eq!(read(&GOOD), Ok(expected));
    }

    #[test]
    fn a_group_outside_its_memory_is_refused() {
        for (offset, length) in [
            (0x3000, 0x1001),
            (0x4000, 1),
            (u32::MAX, u32::MAX),
            (0, 0x37),
            (2, 0x38),
        ] {
            let mut groups = GOOD;
            groups[0] = (1, offset, length);
            assert_eq!(read(&groups), Err(LayoutError::OutOfRange(Group::Common)));
        }
    }

    #[test]
    fn a_missing_group_is_named() {
        assert_eq!(read(&GOOD[1..]), Err(LayoutError::Missing(Group::Common)));
        assert_eq!(read(&GOOD[..3]), Err(LayoutError::Missing(Group::Notify)));
        assert_eq!(read(&[]), Err(LayoutError::Missing(Group::Common)));
    }

    #[test]
    fn a_capability_list_that_loops_ends() {
        let (space, address) = device(&GOOD[1..]);
        let last = 0x40 + 20 * 2;
        space.set(
            address,
            last,
            2 << 24 | 20 << 16 | 0x40 << 8 | u32::from(VENDOR),
        );
        let result = read_at(&space, address);
        assert_eq!(result, Err(LayoutError::Missing(Group::Common)));
    }

    #[test]
    fn a_capability_at_the_end_of_the_space_is_no_panic() {
        for offset in [0xF0, 0xFC, 0xFF] {
            let (space, address) = device(&GOOD);
            space.set(address, 0x34, offset);
            space.set(
                address,
                offset as u8 & !3,
                1 << 24 | 20 << 16 | u32::from(VENDOR),
            );
            assert!(read_at(&space, address).is_err());
        }
    }
}
