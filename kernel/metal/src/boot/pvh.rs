//! The loader's report: memory map, command line and boot module (Xen,
//! `public/arch-x86/hvm/start_info.h`), copied out so that its memory can be used afterwards.

use core::ptr::read_unaligned;

use crate::mem::direct_map;

/// `hvm_start_info.magic`: "xEn3" with the top bit of its first letter set.
const START_MAGIC: u32 = 0x336e_c578;
/// Version from which the report carries a memory map.
const VERSION_WITH_MEMORY_MAP: u32 = 1;
/// Most entries of the memory map that are kept; QEMU gives 6 to 10, PCs up to about 60.
pub const MEMORY_RANGES_MAX: usize = 96;
/// Most bytes of the command line that are kept.
const COMMAND_LINE_BYTES: usize = 1024;

#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    module_list: u64,
    command_line: u64,
    root_pointer: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[repr(C)]
struct ModuleEntry {
    address: u64,
    length: u64,
    command_line: u64,
    reserved: u64,
}

#[repr(C)]
struct MemoryMapEntry {
    address: u64,
    length: u64,
    kind: u32,
    reserved: u32,
}

/// What a range of physical memory is for (ACPI 6.5, table 15.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// Free to use.
    Usable,
    /// Holds ACPI tables.
    AcpiTables,
    /// Anything else.
    Reserved,
}

/// A range of physical memory, in bytes; `end` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First byte.
    pub start: u64,
    /// Byte after the last one.
    pub end: u64,
    /// What it is for.
    pub kind: MemoryKind,
}

/// What the loader told, in memory of our own.
pub struct BootInfo {
    ranges: [MemoryRange; MEMORY_RANGES_MAX],
    range_count: usize,
    command_line: [u8; COMMAND_LINE_BYTES],
    command_line_length: usize,
    /// Physical range of the boot module (`-initrd`), if there is one.
    pub module: Option<(u64, u64)>,
    /// Physical address of the RSDP, if the loader knows it.
    pub root_pointer: Option<u64>,
}

impl BootInfo {
    const fn empty() -> Self {
        let nothing = MemoryRange {
            start: 0,
            end: 0,
            kind: MemoryKind::Reserved,
        };
        Self {
            ranges: [nothing; MEMORY_RANGES_MAX],
            range_count: 0,
            command_line: [0; COMMAND_LINE_BYTES],
            command_line_length: 0,
            module: None,
            root_pointer: None,
        }
    }

    /// The memory map, in the firmware's order.
    pub fn memory(&self) -> &[MemoryRange] {
        &self.ranges[..self.range_count]
    }

    /// The kernel's command line (`-append`); what is not UTF-8 is cut off.
    pub fn command_line(&self) -> &str {
        let bytes = &self.command_line[..self.command_line_length];
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
        }
    }
}

/// Why the loader's report cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The magic number is another one.
    NotPvh,
    /// The report has no memory map.
    NoMemoryMap,
}

impl core::fmt::Display for BootError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            BootError::NotPvh => "not started by the PVH protocol; boot with qemu -kernel",
            BootError::NoMemoryMap => "the loader gave no memory map; use QEMU 4.0 or newer",
        })
    }
}

/// Copies what stands at the physical address `start_info` into `info`.
///
/// # Safety
/// `start_info` is what the loader left in `ebx`, its structures are unharmed, and the direct map
/// shows them.
///
/// # Errors
/// [`BootError`] when it is not a report, or one without a memory map.
pub unsafe fn read(start_info: u64) -> Result<BootInfo, BootError> {
    // SAFETY: the caller gives a readable address; any bytes make a valid `StartInfo`.
    let start: StartInfo = unsafe { read_physical(start_info) };
    if start.magic != START_MAGIC {
        return Err(BootError::NotPvh);
    }
    if start.version < VERSION_WITH_MEMORY_MAP || start.memory_map_entries == 0 {
        return Err(BootError::NoMemoryMap);
    }
    let mut info = BootInfo::empty();
    info.range_count = (start.memory_map_entries as usize).min(MEMORY_RANGES_MAX);
    for index in 0..info.range_count {
        let address = start.memory_map + (index * size_of::<MemoryMapEntry>()) as u64;
        // SAFETY: the loader gives this many entries at this address.
        let entry: MemoryMapEntry = unsafe { read_physical(address) };
        info.ranges[index] = MemoryRange {
            start: entry.address,
            end: entry.address.saturating_add(entry.length),
            kind: match entry.kind {
                1 => MemoryKind::Usable,
                3 => MemoryKind::AcpiTables,
                _ => MemoryKind::Reserved,
            },
        };
    }
    if start.module_count > 0 {
        // SAFETY: the loader gives at least one entry at this address.
        let module: ModuleEntry = unsafe { read_physical(start.module_list) };
        let end = module.address.saturating_add(module.length);
        info.module = (module.length > 0).then_some((module.address, end));
    }
    info.root_pointer = (start.root_pointer != 0).then_some(start.root_pointer);
    if start.command_line != 0 {
        while info.command_line_length < COMMAND_LINE_BYTES {
            // SAFETY: the command line is readable up to its final zero.
            let byte: u8 =
                unsafe { read_physical(start.command_line + info.command_line_length as u64) };
            if byte == 0 {
                break;
            }
            info.command_line[info.command_line_length] = byte;
            info.command_line_length += 1;
        }
    }
    Ok(info)
}

/// Reads a plain value at a physical address.
///
/// # Safety
/// The direct map shows the address, and any bytes make a valid `T`.
unsafe fn read_physical<T>(address: u64) -> T {
    // SAFETY: as the caller promises; alignment is not needed.
    unsafe { read_unaligned(direct_map(address).cast::<T>()) }
}
