//! A function's table of message-signalled interrupts (MSI-X, PCI Local Bus Specification 3.0,
//! section 6.8.2).

use super::capability::{Capability, MSI_X, capabilities};
use super::function::MemoryRanges;
use super::{ConfigurationSpace, Function};
use crate::drivers::mmio::Registers;
use crate::drivers::platform::Message;

const CONTROL_ENABLE: u32 = 1 << 31;
const CONTROL_MASK_ALL: u32 = 1 << 30;
const ENTRY_LENGTH: usize = 16;
const ENTRY_MASKED: u32 = 1;

/// The table, mapped; all entries masked until they are set.
pub struct MessageTable {
    capability: Capability,
    registers: Registers,
    entries: u16,
}

impl MessageTable {
    /// Maps the function's table; nothing when it has none, or one outside its memory.
    pub fn find(
        space: &impl ConfigurationSpace,
        function: &Function,
        ranges: &MemoryRanges,
    ) -> Option<Self> {
        let capability = capabilities(space, function).find(|it| it.id == MSI_X)?;
        let entries = (capability.header >> 16 & 0x7FF) as u16 + 1;
        let place = capability.read(space, function, 4)?;
        let (index, offset) = ((place & 7) as u8, u64::from(place & !7));
        let length = usize::from(entries) * ENTRY_LENGTH;
        let range = ranges.part(index, offset, length as u64)?;
        let registers = Registers::map(range.address, length)?;
        let table = Self {
            capability,
            registers,
            entries,
        };
        for entry in 0..entries {
            table
                .registers
                .write_u32(usize::from(entry) * ENTRY_LENGTH + 12, ENTRY_MASKED);
        }
        Some(table)
    }

    /// How many entries the table has, at least 1.
    pub fn entries(&self) -> u16 {
        self.entries
    }

    /// Gives an entry its message and unmasks it.
    pub fn set(&self, entry: u16, message: Message) {
        if entry >= self.entries {
            return;
        }
        let at = usize::from(entry) * ENTRY_LENGTH;
        self.registers.write_u32(at, message.address as u32);
        self.registers
            .write_u32(at + 4, (message.address >> 32) as u32);
        self.registers.write_u32(at + 8, message.data);
        self.registers.write_u32(at + 12, 0);
    }

    /// Switches the function from its interrupt line to messages.
    pub fn enable(&self, space: &impl ConfigurationSpace, function: &Function) {
        function.disable_interrupt_line(space);
        let header = space.read(function.address, self.capability.offset);
        let enabled = (header | CONTROL_ENABLE) & !CONTROL_MASK_ALL;
        space.write(function.address, self.capability.offset, enabled);
    }
}
