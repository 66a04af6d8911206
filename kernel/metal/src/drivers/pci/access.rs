//! The two ways to a PC's configuration space: memory-mapped (ECAM, where the MCFG table names it)
//! and through the ports 0xCF8 and 0xCFC (PCI Local Bus Specification 3.0, section 3.2.2.3.2).

use super::{Address, ConfigurationSpace};
use crate::acpi::PciRegion;
use crate::drivers::mmio::Registers;
use alloc::collections::BTreeMap;
use spin::Mutex;
use x86_64::instructions::port::Port;

/// Bytes of memory-mapped configuration space per bus: 32 devices, 8 functions, 4 KiB each.
const BYTES_PER_BUS: usize = 1 << 20;

/// Where QEMU's `microvm` with `pcie=on` maps the space (QEMU, `hw/i386/microvm.h`): it has neither the
/// ports nor an MCFG table, and says so only in AML.
const MICROVM: PciRegion = PciRegion {
    address: 0xE000_0000,
    first_bus: 0,
    last_bus: 255,
};
/// Vendor and device of its host bridge, which is looked for before the place is believed.
const MICROVM_BRIDGE: u32 = 0x0008_1B36;
/// What nobody answers with.
const NOBODY: u32 = u32::MAX;
/// Place of every host bridge.
const HOST_BRIDGE: Address = Address {
    bus: 0,
    device: 0,
    function: 0,
};

/// A way to the configuration space.
pub enum Access {
    /// Memory-mapped, for all buses from 0 to the region's last.
    Memory(Mapped),
    /// By an address port and a data port, which every PC has.
    Ports,
}

/// A memory-mapped configuration space; a bus is mapped when it is first looked at, as most of the
/// 256 MiB never are.
pub struct Mapped {
    region: PciRegion,
    buses: Mutex<BTreeMap<u8, Registers>>,
}

impl Mapped {
    fn registers(&self, bus: u8) -> Option<Registers> {
        if bus > self.region.last_bus {
            return None;
        }
        let mut buses = self.buses.lock();
        if let Some(registers) = buses.get(&bus) {
            return Some(*registers);
        }
        let address = self.region.address + u64::from(bus) * BYTES_PER_BUS as u64;
        let registers = Registers::map(address, BYTES_PER_BUS)?;
        buses.insert(bus, registers);
        Some(registers)
    }
}

/// Address and data port belong together, so one access at a time.
static PORTS: Mutex<(Port<u32>, Port<u32>)> = Mutex::new((Port::new(0xCF8), Port::new(0xCFC)));

impl Access {
    /// The memory-mapped space if there is one that starts with bus 0, else the ports; where these do
    /// not answer, a place that is known without being told.
    pub fn new(regions: &[PciRegion]) -> Self {
        if let Some(&region) = regions.iter().find(|it| it.first_bus == 0) {
            return Self::mapped(region);
        }
        if Self::Ports.read(HOST_BRIDGE, 0) == NOBODY {
            let mapped = Self::mapped(MICROVM);
            if mapped.read(HOST_BRIDGE, 0) == MICROVM_BRIDGE {
                return mapped;
            }
        }
        Self::Ports
    }

    fn mapped(region: PciRegion) -> Self {
        Self::Memory(Mapped {
            region,
            buses: Mutex::default(),
        })
    }
}

impl ConfigurationSpace for Access {
    fn read(&self, address: Address, offset: u8) -> u32 {
        match self {
            Self::Memory(mapped) => mapped
                .registers(address.bus)
                .and_then(|it| it.read_u32(mapped_offset(address, offset)))
                .unwrap_or(u32::MAX),
            Self::Ports => {
                let mut ports = PORTS.lock();
                // SAFETY: these two ports are the configuration mechanism of every PC; the lock keeps
                // the address valid until the data has been read. Configuration reads have no effects.
                unsafe {
                    ports.0.write(port_selector(address, offset));
                    ports.1.read()
                }
            }
        }
    }

    fn write(&self, address: Address, offset: u8, value: u32) {
        match self {
            Self::Memory(mapped) => {
                if let Some(registers) = mapped.registers(address.bus) {
                    registers.write_u32(mapped_offset(address, offset), value);
                }
            }
            Self::Ports => {
                let mut ports = PORTS.lock();
                // SAFETY: as for reading; what the write does to the function is the business of this
                // module's callers, which write command, base address and message registers only.
                unsafe {
                    ports.0.write(port_selector(address, offset));
                    ports.1.write(value);
                }
            }
        }
    }
}

/// Offset in a bus's registers (PCI Express Base Specification 3.0, 7.2.2).
fn mapped_offset(address: Address, offset: u8) -> usize {
    let device = usize::from(address.device & 31);
    let function = usize::from(address.function & 7);
    device << 15 | function << 12 | usize::from(offset & !3)
}

fn port_selector(address: Address, offset: u8) -> u32 {
    let enable = 1 << 31;
    let device = u32::from(address.device & 31) << 11;
    let function = u32::from(address.function & 7) << 8;
    enable | u32::from(address.bus) << 16 | device | function | u32::from(offset & !3)
}
