//! Addresses for the memory of functions to which firmware gave none.
//!
//! qboot, QEMU's firmware for quick starts, leaves all base address registers at zero and all that to
//! the system. A firmware that assigned any range had its reasons for those it left out: then
//! nothing is assigned here. What ACPI says about free address space is in a language (AML) that this
//! kernel does not speak, so the windows are those of the host bridges that QEMU has.

use super::{ConfigurationSpace, Function};

/// Intel 82G33 (the machine `q35`) and 82441FX (`pc`): both pass on to PCI what lies below the I/O
/// APIC at 0xFEC0_0000 and is no memory. Memory ends below 0xE000_0000 on either.
const PC_BRIDGES: [(u16, u16); 2] = [(0x8086, 0x29C0), (0x8086, 0x1237)];
const PC_WINDOW: Window = Window {
    next: 0xFE00_0000,
    end: 0xFEC0_0000,
};
/// QEMU's generic PCI Express host (`microvm,pcie=on`): its window reaches from 0xC000_0000, where
/// memory ends, to the configuration space at 0xE000_0000 (QEMU, `hw/i386/microvm.c`).
const GENERIC_BRIDGE: (u16, u16) = (0x1B36, 0x0008);
const GENERIC_WINDOW: Window = Window {
    next: 0xC000_0000,
    end: 0xE000_0000,
};
/// Smallest distance between two ranges: their registers are mapped by pages.
const STEP_BYTES: u64 = 4096;

/// Free addresses below 4 GiB that reach PCI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    next: u64,
    end: u64,
}

impl Window {
    /// The window of a machine, if its host bridge is a known one.
    fn behind(bridge: &Function) -> Option<Self> {
        let identity = (bridge.vendor, bridge.device);
        if PC_BRIDGES.contains(&identity) {
            Some(PC_WINDOW)
        } else {
            (identity == GENERIC_BRIDGE).then_some(GENERIC_WINDOW)
        }
    }

    /// Takes `length` bytes, a power of two, at a multiple of it; nothing when they do not fit.
    pub fn take(&mut self, length: u64) -> Option<u32> {
        let address = self.next.next_multiple_of(length.max(STEP_BYTES));
        let end = address.checked_add(length).filter(|&end| end <= self.end)?;
        self.next = end;
        u32::try_from(address).ok()
    }
}

/// Gives memory addresses to the functions of bus 0, if firmware gave none to any.
pub fn assign_memory(space: &impl ConfigurationSpace, functions: &[Function]) {
    let bridge = functions.iter().find(|function| {
        let address = function.address;
        (address.bus, address.device, address.function) == (0, 0, 0)
    });
    let Some(mut window) = bridge.and_then(Window::behind) else {
        return;
    };
    if functions
        .iter()
        .any(|function| function.has_assigned_memory(space))
    {
        return;
    }
    // What lies behind bridges would need windows in these, too.
    for function in functions.iter().filter(|it| it.address.bus == 0) {
        function.assign_memory(space, &mut window);
    }
}

#[cfg(test)]
mod tests {
    use super::super::function::tests::FakeSpace;
    use super::super::function::{Address, enumerate};
    use super::*;

    const Q35: u32 = 0x29C0_8086;
    const COMMAND: u8 = 0x04;

    /// A machine with two devices whose ranges lie at `first` and `second`.
    fn machine(host_bridge: u32, first: u64, second: u64) -> (FakeSpace, [Address; 2]) {
        let space = FakeSpace::default();
        let bridge = space.add(0, 0, 0);
        space.set(bridge, 0, host_bridge);
        let devices = [space.add(0, 1, 0), space.add(0, 2, 0)];
        space.set_wide_range(devices[0], 4, first, 0x4000);
        space.set_wide_range(devices[1], 2, second, 0x10_0000);
        (space, devices)
    }

    fn part(space: &FakeSpace, address: Address, index: u8) -> Option<u64> {
        let ranges = space.function(address).enable(space);
        ranges.part(index, 0, 1).map(|range| range.address)
    }

    #[test]
    fn ranges_without_addresses_get_aligned_ones_that_do_not_overlap() {
        let (space, devices) = machine(Q35, 0, 0);
        assign_memory(&space, &enumerate(&space));
        // Decoding stays the driver's decision.
        assert_eq!(space.read(devices[0], COMMAND) & 2, 0);
        assert_eq!(part(&space, devices[0], 4), Some(0xFE00_0000));
        assert_eq!(part(&space, devices[1], 2), Some(0xFE10_0000));
    }

    #[test]
    fn what_firmware_has_begun_is_left_alone() {
        let (space, devices) = machine(Q35, 0, 0xFEB0_0000);
        assign_memory(&space, &enumerate(&space));
        assert_eq!(part(&space, devices[0], 4), None);
        assert_eq!(part(&space, devices[1], 2), Some(0xFEB0_0000));
    }

    #[test]
    fn unknown_machines_are_left_alone() {
        let (space, devices) = machine(0x0001_1234, 0, 0);
        assign_memory(&space, &enumerate(&space));
        assert_eq!(part(&space, devices[0], 4), None);
    }

    #[test]
    fn a_window_ends() {
        let mut window = PC_WINDOW;
        assert_eq!(window.take(16), Some(0xFE00_0000));
        assert_eq!(window.take(16), Some(0xFE00_1000));
        assert_eq!(window.take(0x40_0000), Some(0xFE40_0000));
        assert_eq!(window.take(0x80_0000), None);
        assert_eq!(window.take(1 << 63), None);
        assert_eq!(window.take(0x40_0000), Some(0xFE80_0000));
        assert_eq!(window.take(0x1000), None);
    }
}
