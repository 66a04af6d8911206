//! PCI functions: found on the buses, with their base addresses and interrupt lines.
//!
//! [`enumerate`] walks the buses through a [`ConfigurationSpace`] (`access` has the two of a PC);
//! [`Function`] answers for one function. What a device shows is a claim: list lengths, pointers
//! and bus numbers are bounded, and a function that has vanished reads as all ones.
//!
//! Offsets are those of the PCI Local Bus Specification 3.0, chapter 6, and the PCI-to-PCI Bridge
//! Architecture Specification 1.2, chapter 3.

use super::window::Window;
use alloc::vec::Vec;
use core::fmt;

/// Most functions that are kept; further ones are passed over.
const FUNCTIONS_MAX: usize = 128;

/// Base address registers of an ordinary function.
const REGISTERS_MAX: u8 = 6;
/// Physical addresses have at most 52 bits (Intel SDM volume 3, 4.1.4).
const ADDRESS_LIMIT: u64 = 1 << 52;

const COMMAND: u8 = 0x04;
const CLASS: u8 = 0x08;
const HEADER: u8 = 0x0C;
const BARS: u8 = 0x10;
const BRIDGE_BUSES: u8 = 0x18;
const INTERRUPT: u8 = 0x3C;

const COMMAND_IO: u16 = 1 << 0;
const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_BUS_MASTER: u16 = 1 << 2;
const COMMAND_INTX_DISABLE: u16 = 1 << 10;

/// Reads and writes configuration registers, 32 bits at a time.
pub trait ConfigurationSpace {
    /// The register that holds the byte at `offset` (its lowest two bits are ignored); all ones
    /// where there is no function.
    fn read(&self, address: Address, offset: u8) -> u32;
    /// Writes the register that holds the byte at `offset`.
    fn write(&self, address: Address, offset: u8, value: u32);
}

/// Bus, device and function numbers on segment 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The bus.
    pub bus: u8,
    /// The device on the bus, 0 to 31.
    pub device: u8,
    /// The function of the device, 0 to 7.
    pub function: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:02x}:{:02x}.{}",
            self.bus, self.device, self.function
        )
    }
}

/// A function that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where it is.
    pub address: Address,
    /// Its vendor.
    pub vendor: u16,
    /// The vendor's number for it.
    pub device: u16,
    /// Base class and subclass.
    pub class: u16,
}

/// A memory range that a base address register decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// Its physical address.
    pub address: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// The memory of a function, by base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRanges([Option<MemoryRange>; REGISTERS_MAX as usize]);

impl MemoryRanges {
    /// The `length` bytes at `offset` of what register `index` decodes; nothing when they are not
    /// all inside.
    pub fn part(&self, index: u8, offset: u64, length: u64) -> Option<MemoryRange> {
        let whole = (*self.0.get(usize::from(index))?)?;
        let inside = offset.checked_add(length)? <= whole.length;
        inside.then_some(MemoryRange {
            address: whole.address + offset,
            length,
        })
    }
}

/// All functions on all buses that can be reached from bus 0.
pub fn enumerate(space: &impl ConfigurationSpace) -> Vec<Function> {
    let mut found = Vec::new();
    let mut waiting = alloc::vec![0_u8];
    let mut seen = [false; 256];
    seen[0] = true;
    while let Some(bus) = waiting.pop() {
        for device in 0..32 {
            for address in functions_of(space, bus, device) {
                let Some(function) = Function::probe(space, address) else {
                    continue;
                };
                if found.len() == FUNCTIONS_MAX {
                    return found;
                }
                found.push(function);
                if let Some(secondary) = function.secondary_bus(space)
                    && !seen[usize::from(secondary)]
                {
                    seen[usize::from(secondary)] = true;
                    waiting.push(secondary);
                }
            }
        }
    }
    found
}

/// The addresses to probe for one device: one unless it says that it has several functions.
fn functions_of(
    space: &impl ConfigurationSpace,
    bus: u8,
    device: u8,
) -> impl Iterator<Item = Address> {
    let at = move |function| Address {
        bus,
        device,
        function,
    };
    let present = Function::probe(space, at(0)).is_some();
    let several = present && space.read(at(0), HEADER) >> 16 & 0x80 != 0;
    let count = if several { 8 } else { u8::from(present) };
    (0..count).map(at)
}

impl Function {
    /// The function at `address`, when there is one.
    pub fn probe(space: &impl ConfigurationSpace, address: Address) -> Option<Self> {
        let identity = space.read(address, 0);
        let (vendor, device) = (identity as u16, (identity >> 16) as u16);
        let class = (space.read(address, CLASS) >> 16) as u16;
        (vendor != 0xFFFF && vendor != 0).then_some(Self {
            address,
            vendor,
            device,
            class,
        })
    }

    fn header_type(&self, space: &impl ConfigurationSpace) -> u8 {
        (space.read(self.address, HEADER) >> 16) as u8 & 0x7F
    }

    /// The bus behind this function, when it is a bridge with one.
    fn secondary_bus(&self, space: &impl ConfigurationSpace) -> Option<u8> {
        if self.header_type(space) != 1 {
            return None;
        }
        let secondary = (space.read(self.address, BRIDGE_BUSES) >> 8) as u8;
        (secondary > self.address.bus).then_some(secondary)
    }

    /// Whether the firmware chose an address for any memory of this function.
    pub fn has_assigned_memory(&self, space: &impl ConfigurationSpace) -> bool {
        // The upper half of a wide register counts as one of its own.
        (0..self.register_count(space))
            .map(|index| space.read(self.address, BARS + 4 * index))
            .any(|value| value & 1 == 0 && value & !0xF != 0)
    }

    /// Gives each memory range without an address one from `window`; what does not fit stays
    /// without.
    pub fn assign_memory(&self, space: &impl ConfigurationSpace, window: &mut Window) {
        let command = self.stop_decoding(space);
        for (index, range) in (0..).zip(self.size_memory(space)) {
            if let Some(range) = range.filter(|range| range.address == 0)
                && let Some(address) = window.take(range.length)
            {
                // The window lies below 4 GiB: the upper half of a wide register stays zero.
                space.write(self.address, BARS + 4 * index, address);
            }
        }
        self.set_command(space, command);
    }

    /// Lets the function decode its memory and reach ours, and tells the memory behind each base
    /// address register that has an address.
    pub fn enable(&self, space: &impl ConfigurationSpace) -> MemoryRanges {
        let command = self.stop_decoding(space);
        let sized = self.size_memory(space);
        self.set_command(space, command | COMMAND_MEMORY | COMMAND_BUS_MASTER);
        MemoryRanges(sized.map(|range| range.filter(|range| range.address != 0)))
    }

    /// Returns what the command register said before.
    fn stop_decoding(&self, space: &impl ConfigurationSpace) -> u16 {
        let command = self.command(space);
        self.set_command(space, command & !(COMMAND_MEMORY | COMMAND_IO));
        command
    }

    fn register_count(&self, space: &impl ConfigurationSpace) -> u8 {
        match self.header_type(space) {
            0 => REGISTERS_MAX,
            1 => 2,
            _ => 0,
        }
    }

    /// The memory behind each base address register; the address is zero where none was chosen.
    ///
    /// Registers are sized by writing ones (6.2.5.1). Decoding is off meanwhile, so that no range
    /// appears at a wrong place; as each switch takes a virtual machine some milliseconds, all are
    /// sized at once.
    fn size_memory(
        &self,
        space: &impl ConfigurationSpace,
    ) -> [Option<MemoryRange>; REGISTERS_MAX as usize] {
        let registers = self.register_count(space);
        let mut ranges = [None; REGISTERS_MAX as usize];
        let mut index = 0;
        while index < registers {
            let offset = BARS + 4 * index;
            let low = space.read(self.address, offset);
            let is_memory = low & 1 == 0;
            let is_wide = is_memory && low >> 1 & 3 == 2 && index + 1 < registers;
            if is_memory {
                ranges[usize::from(index)] = self.memory_range(space, offset, low, is_wide);
            }
            index += if is_wide { 2 } else { 1 };
        }
        ranges
    }

    fn memory_range(
        &self,
        space: &impl ConfigurationSpace,
        offset: u8,
        low: u32,
        is_wide: bool,
    ) -> Option<MemoryRange> {
        let probe = |offset, value| {
            space.write(self.address, offset, u32::MAX);
            let mask = space.read(self.address, offset);
            space.write(self.address, offset, value);
            u64::from(mask)
        };
        let low_mask = probe(offset, low) & !0xF;
        let high = if is_wide {
            space.read(self.address, offset + 4)
        } else {
            0
        };
        let high_mask = if is_wide {
            probe(offset + 4, high)
        } else {
            u32::MAX.into()
        };
        let mask = high_mask << 32 | low_mask;
        let is_sized = low_mask != 0 || is_wide && high_mask != 0;
        let length = mask.wrapping_neg();
        let address = u64::from(high) << 32 | u64::from(low & !0xF);
        let fits = address
            .checked_add(length)
            .is_some_and(|end| end <= ADDRESS_LIMIT);
        (is_sized && length.is_power_of_two() && fits).then_some(MemoryRange { address, length })
    }

    fn command(&self, space: &impl ConfigurationSpace) -> u16 {
        space.read(self.address, COMMAND) as u16
    }

    fn set_command(&self, space: &impl ConfigurationSpace, command: u16) {
        // The upper half is the status register, whose bits are cleared by writing ones.
        space.write(self.address, COMMAND, command.into());
    }

    /// Keeps the function off its interrupt line, as it will send messages.
    pub fn disable_interrupt_line(&self, space: &impl ConfigurationSpace) {
        self.set_command(space, self.command(space) | COMMAND_INTX_DISABLE);
    }

    /// Lets the function use its interrupt line, whose number the firmware chose; nothing when it has none.
    pub fn enable_interrupt_line(&self, space: &impl ConfigurationSpace) -> Option<u8> {
        let register = space.read(self.address, INTERRUPT);
        let (line, pin) = (register as u8, (register >> 8) as u8);
        // 6.2.4: pin 0 is none; line 255 is "not connected".
        if !(1..=4).contains(&pin) || line == 0xFF {
            return None;
        }
        self.set_command(space, self.command(space) & !COMMAND_INTX_DISABLE);
        Some(line)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use core::cell::RefCell;

    /// Configuration spaces of a few functions; base address registers keep only the bits that a
    /// range of their length has.
    #[derive(Default)]
    pub(crate) struct FakeSpace(RefCell<Vec<FakeFunction>>);

    struct FakeFunction {
        address: Address,
        registers: [u32; 64],
        bar_masks: [u32; 6],
    }

    impl FakeSpace {
        pub(crate) fn add(&self, bus: u8, device: u8, function: u8) -> Address {
            let address = Address {
                bus,
                device,
                function,
            };
            let mut registers = [0; 64];
            registers[0] = 0x1041_1AF4;
            self.0.borrow_mut().push(FakeFunction {
                address,
                registers,
                bar_masks: [0; 6],
            });
            address
        }

        pub(crate) fn set(&self, address: Address, offset: u8, value: u32) {
            let mut functions = self.0.borrow_mut();
            let function = functions
                .iter_mut()
                .find(|it| it.address == address)
                .unwrap();
            function.registers[usize::from(offset / 4)] = value;
        }

        /// Gives a function a 64-bit memory range of `length` bytes by registers `index` and the next.
        pub(crate) fn set_wide_range(&self, address: Address, index: u8, at: u64, length: u64) {
            self.set(address, BARS + 4 * index, at as u32 | 0xC);
            self.set(address, BARS + 4 * index + 4, (at >> 32) as u32);
            let mut functions = self.0.borrow_mut();
            let function = functions
                .iter_mut()
                .find(|it| it.address == address)
                .unwrap();
            let mask = length.wrapping_neg();
            function.bar_masks[usize::from(index)] = mask as u32;
            function.bar_masks[usize::from(index) + 1] = (mask >> 32) as u32;
        }

        pub(crate) fn function(&self, address: Address) -> Function {
            Function::probe(self, address).unwrap()
        }
    }

    impl ConfigurationSpace for FakeSpace {
        fn read(&self, address: Address, offset: u8) -> u32 {
            let functions = self.0.borrow();
            let function = functions.iter().find(|it| it.address == address);
            function.map_or(u32::MAX, |it| it.registers[usize::from(offset / 4)])
        }

        fn write(&self, address: Address, offset: u8, value: u32) {
            let mut functions = self.0.borrow_mut();
            let Some(function) = functions.iter_mut().find(|it| it.address == address) else {
                return;
            };
            let register = &mut function.registers[usize::from(offset / 4)];
            if offset == COMMAND {
                // Its upper half is the status, which only the device changes here.
                *register = *register & 0xFFFF_0000 | value & 0xFFFF;
                return;
            }
            let bar = usize::from(offset.wrapping_sub(BARS) / 4);
            *register = match function.bar_masks.get(bar) {
                // The upper half of a range has no flags; both its mask and value keep all bits.
                Some(&mask) if offset % 8 == 4 || bar % 2 == 1 => value & mask,
                Some(&mask) => value & mask & !0xF | *register & 0xF,
                None => value,
            };
        }
    }

    #[test]
    fn functions_behind_bridges_are_found_once() {
        let space = FakeSpace::default();
        space.add(0, 0, 0);
        let bridge = space.add(0, 1, 0);
        space.set(bridge, HEADER, 0x01 << 16);
        space.set(bridge, BRIDGE_BUSES, 5 << 8);
        let many = space.add(5, 31, 0);
        space.set(many, HEADER, 0x80 << 16);
        space.add(5, 31, 7);
        // A bridge that leads back is not followed.
        let looping = space.add(5, 2, 0);
        space.set(looping, HEADER, 0x01 << 16);
        space.set(looping, BRIDGE_BUSES, 5 << 8);
        // The second function of a device that denies having several is not there.
        space.add(0, 0, 1);
        let found: Vec<_> = enumerate(&space).iter().map(|it| it.address).collect();
        let at = |bus, device, function| Address {
            bus,
            device,
            function,
        };
        assert_eq!(
            found,
            [
                at(0, 0, 0),
                at(0, 1, 0),
                at(5, 2, 0),
                at(5, 31, 0),
                at(5, 31, 7)
            ]
        );
    }

    #[test]
    fn a_wide_range_is_sized_and_left_where_it_was() {
        let space = FakeSpace::default();
        let address = space.add(0, 3, 0);
        space.set(address, COMMAND, 0x0407);
        space.set_wide_range(address, 4, 0x12_0000_4000, 0x4000);
        let ranges = space.function(address).enable(&space);
        let range = ranges.part(4, 0x1000, 0x3000);
        assert_eq!(
            range,
            Some(MemoryRange {
                address: 0x12_0000_5000,
                length: 0x3000
            })
        );
        assert_eq!(ranges.part(4, 0x1000, 0x3001), None);
        assert_eq!(ranges.part(4, u64::MAX, 2), None);
        assert_eq!(space.read(address, BARS + 16), 0x0000_400C);
        assert_eq!(space.read(address, BARS + 20), 0x12);
        assert_eq!(space.read(address, COMMAND), 0x0407);
    }

    #[test]
    fn ports_and_unassigned_ranges_are_no_memory() {
        let space = FakeSpace::default();
        let address = space.add(0, 3, 0);
        space.set(address, BARS, 0xC001);
        space.set_wide_range(address, 2, 0, 0x4000);
        let ranges = space.function(address).enable(&space);
        for index in 0..=255 {
            assert_eq!(ranges.part(index, 0, 1), None, "{index}");
        }
    }
}
