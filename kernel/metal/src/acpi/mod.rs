//! Reads the ACPI tables that the machine needs, as plain data: interrupt controllers (MADT), PCI
//! configuration space (MCFG), clocks (HPET, PM timer) and power registers (FADT and `_S5_`).
//!
//! [`Platform::read`] walks the tables once at boot. Everything in them is a claim of the firmware:
//! lengths are checked against what [`PhysicalMemory`] can show, lists are bounded, and a table
//! whose checksum fails is passed over. There is no AML interpreter: the sleep type of S5 is found
//! by a bounded scan, as the only thing wanted from the byte code is one constant.
//!
//! Section numbers are those of the ACPI specification 6.5. The crate `acpi` would need a nightly
//! compiler (`allocator_api`), so these few tables are read here.

use alloc::vec::Vec;
use core::fmt;

/// Most entries of one kind that are kept from a table; further ones are passed over.
const ENTRIES_MAX: usize = 64;
/// Most tables that the root table may list.
const TABLES_MAX: usize = 64;
/// Longest table that is read, in bytes; a DSDT of a large server has about 1 MiB.
const TABLE_LENGTH_MAX: usize = 4 << 20;
/// Length of the header that all tables but the RSDP share (5.2.6), in bytes.
const HEADER_LENGTH: usize = 36;
/// Length of the first version of the RSDP, in bytes.
const RSDP_LENGTH: usize = 20;

/// Shows physical memory, as far as it is mapped.
pub trait PhysicalMemory {
    /// The `length` bytes at `address`, or nothing when they cannot be shown.
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]>;
}

/// What the tables say about this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// Physical address of the local APICs' registers.
    pub local_apic_address: Option<u64>,
    /// APIC numbers of the processors that can be used, the boot processor's among them.
    pub processors: Vec<u32>,
    /// The I/O APICs.
    pub io_apics: Vec<IoApic>,
    /// Legacy interrupts that arrive at other pins, or with other signalling, than usual.
    pub overrides: Vec<InterruptOverride>,
    /// Memory-mapped PCI configuration spaces of segment 0.
    pub pci_regions: Vec<PciRegion>,
    /// Physical address of the HPET's registers.
    pub hpet_address: Option<u64>,
    /// The power management timer, which counts at 3.579545 MHz.
    pub pm_timer: Option<PmTimer>,
    /// The real-time clock's register that holds the century, where it has one.
    pub century_register: Option<u8>,
    /// Registers to power the machine off and to reset it.
    pub power: PowerRegisters,
}

/// An I/O APIC (5.2.12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its APIC number.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u64,
    /// The global system interrupt of its first pin.
    pub first_gsi: u32,
}

/// Where a legacy interrupt really arrives (5.2.12.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptOverride {
    /// The legacy interrupt number, 0 to 15.
    pub legacy: u8,
    /// The global system interrupt in its stead.
    pub gsi: u32,
    /// The line's active level.
    pub polarity: Polarity,
    /// What in the line's level is an interrupt.
    pub trigger: Trigger,
}

/// Active level of an interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// As the bus has it: high for ISA, low for PCI.
    BusDefault,
    /// Active high.
    High,
    /// Active low.
    Low,
}

/// What in a line's level is an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// As the bus has it: edge for ISA, level for PCI.
    BusDefault,
    /// The change.
    Edge,
    /// The level.
    Level,
}

/// A range of buses whose configuration space lies in memory (PCI Firmware Specification 4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciRegion {
    /// Physical address of bus 0's space, also when the range starts later.
    pub address: u64,
    /// First bus of the range.
    pub first_bus: u8,
    /// Last bus of the range.
    pub last_bus: u8,
}

/// The power management timer (4.8.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// Its I/O port, 32 bits wide.
    pub port: u16,
    /// How many bits count: 24 or 32.
    pub width_bits: u8,
}

/// Registers to power the machine off and to reset it (5.2.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerRegisters {
    /// PM1a control block, an I/O port.
    pub pm1a_control: Option<u16>,
    /// PM1b control block, an I/O port.
    pub pm1b_control: Option<u16>,
    /// Port and value that hand the PM registers from the firmware to the system.
    pub acpi_enable: Option<(u16, u8)>,
    /// Sleep control of a machine with reduced hardware, which has no PM1 control (4.8.3.7).
    pub sleep_control: Option<RegisterAddress>,
    /// Sleep types of the soft-off state for PM1a and PM1b (7.4.2, `_S5`).
    pub soft_off: Option<(u8, u8)>,
    /// The reset register and the value that resets.
    pub reset: Option<(RegisterAddress, u8)>,
}

/// Where a register of one byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterAddress {
    /// In memory, by physical address.
    Memory(u64),
    /// In I/O space.
    Port(u16),
    /// In the configuration space of a device on bus 0.
    PciConfiguration {
        /// The device.
        device: u8,
        /// Its function.
        function: u8,
        /// The byte in its configuration space.
        offset: u8,
    },
}

/// Why the tables could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcpiError {
    /// No RSDP at the given address, nor where a BIOS puts it.
    NoRootPointer,
    /// The root table that the RSDP names is damaged or out of reach.
    BadRootTable {
        /// Its physical address.
        address: u64,
    },
}

impl fmt::Display for AcpiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRootPointer => {
                formatter.write_str("no acpi root pointer found; boot with acpi enabled")
            }
            Self::BadRootTable { address } => {
                write!(
                    formatter,
                    "acpi root table at {address:#x} is damaged; update the firmware"
                )
            }
        }
    }
}

impl Platform {
    /// Reads the tables from the RSDP at `root_pointer`, or from where a BIOS leaves it when that is 0.
    pub fn read(memory: &impl PhysicalMemory, root_pointer: u64) -> Result<Self, AcpiError> {
        let root = find_root(memory, root_pointer).ok_or(AcpiError::NoRootPointer)?;
        let listing = table(memory, root.address).ok_or(AcpiError::BadRootTable {
            address: root.address,
        })?;
        let mut platform = Self::default();
        let mut secondary = Vec::new();
        let entries = listing.get(HEADER_LENGTH..).unwrap_or_default();
        for entry in entries.chunks_exact(root.entry_length).take(TABLES_MAX) {
            let address = if root.entry_length == 8 {
                read_u64(entry, 0)
            } else {
                read_u32(entry, 0).map(u64::from)
            };
            let Some(bytes) = address.and_then(|address| table(memory, address)) else {
                continue;
            };
            match &bytes[..4] {
                b"APIC" => platform.read_madt(bytes),
                b"MCFG" => platform.read_mcfg(bytes),
                b"HPET" => platform.hpet_address = read_u64(bytes, 44).filter(|&it| it != 0),
                b"FACP" => platform.read_fadt(memory, bytes),
                b"SSDT" => secondary.push(bytes),
                _ => {}
            }
        }
        for bytes in secondary {
            platform.power.soft_off = platform.power.soft_off.or_else(|| find_soft_off(bytes));
        }
        Ok(platform)
    }

    /// Multiple APIC Description Table (5.2.12).
    fn read_madt(&mut self, bytes: &[u8]) {
        self.local_apic_address = read_u32(bytes, 36).map(u64::from);
        let mut rest = bytes.get(44..).unwrap_or_default();
        while let [kind, length, ..] = *rest {
            let length = usize::from(length);
            if length < 2 || length > rest.len() {
                return;
            }
            self.read_madt_entry(kind, &rest[..length]);
            rest = &rest[length..];
        }
    }

    fn read_madt_entry(&mut self, kind: u8, entry: &[u8]) {
        match kind {
            // Processor local APIC; flag bit 0 says that it is enabled (table 5.22).
            0 if entry.len() >= 8 => self.add_processor(u32::from(entry[3]), entry[4]),
            1 if entry.len() >= 12 && self.io_apics.len() < ENTRIES_MAX => {
                if let (Some(address), Some(first_gsi)) = (read_u32(entry, 4), read_u32(entry, 8)) {
                    self.io_apics.push(IoApic {
                        id: entry[2],
                        address: address.into(),
                        first_gsi,
                    });
                }
            }
            2 if entry.len() >= 10 && self.overrides.len() < ENTRIES_MAX => {
                self.overrides.extend(interrupt_override(entry));
            }
            5 if entry.len() >= 12 => self.local_apic_address = read_u64(entry, 4),
            // Processor local x2APIC, with a number that does not fit into one byte.
            9 if entry.len() >= 16 => {
                if let Some(id) = read_u32(entry, 4) {
                    self.add_processor(id, entry[8]);
                }
            }
            _ => {}
        }
    }

    fn add_processor(&mut self, id: u32, flags: u8) {
        let usable = flags & 1 != 0;
        if usable && self.processors.len() < ENTRIES_MAX && !self.processors.contains(&id) {
            self.processors.push(id);
        }
    }

    fn read_mcfg(&mut self, bytes: &[u8]) {
        for entry in bytes
            .get(44..)
            .unwrap_or_default()
            .chunks_exact(16)
            .take(ENTRIES_MAX)
        {
            let (Some(address), Some(segment)) = (read_u64(entry, 0), read_u16(entry, 8)) else {
                continue;
            };
            let (first_bus, last_bus) = (entry[10], entry[11]);
            if segment == 0 && address != 0 && first_bus <= last_bus {
                self.pci_regions.push(PciRegion {
                    address,
                    first_bus,
                    last_bus,
                });
            }
        }
    }

    /// Fixed ACPI Description Table (table 5.9); the offsets are its own.
    fn read_fadt(&mut self, memory: &impl PhysicalMemory, bytes: &[u8]) {
        let flags = read_u32(bytes, 112).unwrap_or(0);
        let port = |offset, extended| io_port(bytes, offset, extended);
        self.pm_timer = port(76, 208).map(|port| PmTimer {
            port,
            width_bits: if flags & (1 << 8) != 0 { 32 } else { 24 },
        });
        self.century_register = bytes.get(108).copied().filter(|&it| it != 0);
        self.power.pm1a_control = port(64, 172);
        self.power.pm1b_control = port(68, 184);
        self.power.acpi_enable = match (io_port(bytes, 48, usize::MAX), bytes.get(52)) {
            (Some(port), Some(&value)) if value != 0 => Some((port, value)),
            _ => None,
        };
        let is_reduced = flags & (1 << 20) != 0;
        self.power.sleep_control = is_reduced.then(|| generic_address(bytes, 244)).flatten();
        let resets = flags & (1 << 10) != 0;
        self.power.reset = resets.then(|| reset_register(bytes)).flatten();
        let dsdt = read_u64(bytes, 140)
            .filter(|&address| address != 0)
            .or_else(|| read_u32(bytes, 40).map(u64::from));
        self.power.soft_off = dsdt
            .and_then(|address| table(memory, address))
            .and_then(find_soft_off);
    }
}

/// Where the root table lies and how long its entries are.
struct Root {
    address: u64,
    entry_length: usize,
}

fn find_root(memory: &impl PhysicalMemory, root_pointer: u64) -> Option<Root> {
    if root_pointer != 0 {
        return read_root(memory, root_pointer);
    }
    // 5.2.5.1: the first KiB of the extended BIOS data area, then the BIOS's read-only memory.
    let area = memory
        .bytes(0x40E, 2)
        .and_then(|it| read_u16(it, 0))
        .map_or(0, |it| u64::from(it) << 4);
    let data_area = (area..area + 1024).step_by(16).filter(|_| area != 0);
    data_area
        .chain((0xE_0000..0x10_0000).step_by(16))
        .find_map(|address| read_root(memory, address))
}

fn read_root(memory: &impl PhysicalMemory, address: u64) -> Option<Root> {
    let bytes = memory.bytes(address, RSDP_LENGTH)?;
    if &bytes[..8] != b"RSD PTR " || checksum(bytes) != 0 {
        return None;
    }
    let revision = bytes[15];
    let extended = memory
        .bytes(address, 36)
        .filter(|it| revision >= 2 && checksum(it) == 0);
    match extended
        .and_then(|it| read_u64(it, 24))
        .filter(|&it| it != 0)
    {
        Some(address) => Some(Root {
            address,
            entry_length: 8,
        }),
        None => Some(Root {
            address: read_u32(bytes, 16)?.into(),
            entry_length: 4,
        }),
    }
}

/// The whole table at `address`, when it is in reach and its checksum is right.
fn table(memory: &impl PhysicalMemory, address: u64) -> Option<&[u8]> {
    let length = read_u32(memory.bytes(address, HEADER_LENGTH)?, 4)? as usize;
    if !(HEADER_LENGTH..=TABLE_LENGTH_MAX).contains(&length) {
        return None;
    }
    memory
        .bytes(address, length)
        .filter(|bytes| checksum(bytes) == 0)
}

fn interrupt_override(entry: &[u8]) -> Option<InterruptOverride> {
    let flags = read_u16(entry, 8)?;
    Some(InterruptOverride {
        legacy: entry[3],
        gsi: read_u32(entry, 4)?,
        polarity: match flags & 3 {
            1 => Polarity::High,
            3 => Polarity::Low,
            _ => Polarity::BusDefault,
        },
        trigger: match flags >> 2 & 3 {
            1 => Trigger::Edge,
            3 => Trigger::Level,
            _ => Trigger::BusDefault,
        },
    })
}

/// An I/O port from the 32-bit field at `offset` or else the generic address at `extended`.
fn io_port(bytes: &[u8], offset: usize, extended: usize) -> Option<u16> {
    let plain = read_u32(bytes, offset).and_then(|it| u16::try_from(it).ok());
    plain
        .filter(|&it| it != 0)
        .or_else(|| match generic_address(bytes, extended)? {
            RegisterAddress::Port(port) => Some(port).filter(|&it| it != 0),
            RegisterAddress::Memory(_) | RegisterAddress::PciConfiguration { .. } => None,
        })
}

fn reset_register(bytes: &[u8]) -> Option<(RegisterAddress, u8)> {
    Some((generic_address(bytes, 116)?, *bytes.get(128)?))
}

/// Generic address structure (5.2.3.2).
fn generic_address(bytes: &[u8], offset: usize) -> Option<RegisterAddress> {
    let space = *bytes.get(offset)?;
    let address = read_u64(bytes, offset.checked_add(4)?)?;
    match space {
        0 => Some(RegisterAddress::Memory(address)).filter(|_| address != 0),
        1 => Some(RegisterAddress::Port(u16::try_from(address).ok()?)),
        2 => Some(RegisterAddress::PciConfiguration {
            device: (address >> 32) as u8,
            function: (address >> 16) as u8,
            offset: address as u8,
        }),
        _ => None,
    }
}

/// Finds `Name (_S5_, Package {a, b, …})` in byte code (20.2) and returns the two sleep types.
fn find_soft_off(table: &[u8]) -> Option<(u8, u8)> {
    let code = table.get(HEADER_LENGTH..)?;
    let named = |at: usize| code.get(at).copied();
    code.windows(4)
        .enumerate()
        .filter(|(_, name)| name == b"_S5_")
        .find_map(|(at, _)| {
            let is_name = at >= 1 && named(at - 1) == Some(0x08);
            let is_rooted = at >= 2 && named(at - 1) == Some(b'\\') && named(at - 2) == Some(0x08);
            if !(is_name || is_rooted) {
                return None;
            }
            let package = code.get(at + 4..)?;
            let (&opcode, package) = package.split_first()?;
            if opcode != 0x12 {
                return None;
            }
            // The top two bits of a package's length say how many further bytes it takes (20.2.4).
            let length_bytes = 1 + usize::from(package.first()? >> 6);
            let elements = package.get(length_bytes + 1..)?;
            let (first, elements) = small_integer(elements)?;
            let (second, _) = small_integer(elements).unwrap_or((first, elements));
            Some((first & 7, second & 7))
        })
}

/// An integer constant of byte code that fits into one byte, and what follows it.
fn small_integer(code: &[u8]) -> Option<(u8, &[u8])> {
    match *code {
        [0x00, ref rest @ ..] => Some((0, rest)),
        [0x01, ref rest @ ..] => Some((1, rest)),
        [0x0A, value, ref rest @ ..] => Some((value, rest)),
        [0x0B, value, 0, ref rest @ ..] => Some((value, rest)),
        [0x0C, value, 0, 0, 0, ref rest @ ..] => Some((value, rest)),
        _ => None,
    }
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

fn read_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn read_u64(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;
