//! The segments, the task state with its IST stacks, and the gates of the boot CPU.

use core::mem::MaybeUninit;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::{lgdt, lidt, load_tss};
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, DescriptorFlags, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use super::entry::{DOUBLE_FAULT, EXCEPTIONS, MACHINE_CHECK, NMI, PAGE_FAULT, stub_address};
use super::stacks::{EntryStack, entry_stack_top};

const CODE: SegmentSelector = SegmentSelector(0x08);
const DATA: SegmentSelector = SegmentSelector(0x10);
const TASK: SegmentSelector = SegmentSelector(0x18);
/// Type and present bit of a 64-bit interrupt gate (Intel SDM volume 3, 6.14.1): it clears the
/// interrupt flag, which is why interrupts never nest.
const INTERRUPT_GATE: u64 = 0x8e << 40;
const VECTORS: usize = 256;
/// Nothing, code, data, and two words of the task state.
const SEGMENTS: usize = 5;

struct Tables {
    segments: [u64; SEGMENTS],
    task: TaskStateSegment,
    gates: [[u64; 2]; VECTORS],
}

/// Written once by [`init`], then only read by the processor (which marks the task as busy).
static mut TABLES: MaybeUninit<Tables> = MaybeUninit::uninit();

/// The stack on which `vector` is handled.
fn stack_of(vector: u8) -> EntryStack {
    match vector {
        DOUBLE_FAULT => EntryStack::DoubleFault,
        NMI => EntryStack::Nmi,
        MACHINE_CHECK => EntryStack::MachineCheck,
        PAGE_FAULT => EntryStack::PageFault,
        other if usize::from(other) < EXCEPTIONS => EntryStack::Exception,
        _ => EntryStack::Interrupt,
    }
}

fn gate(vector: u8) -> [u64; 2] {
    let handler = stub_address(vector);
    // In the gate the IST slots count from 1; 0 means no switch.
    let slot = stack_of(vector) as u64 + 1;
    let low = handler & 0xffff
        | u64::from(CODE.0) << 16
        | slot << 32
        | INTERRUPT_GATE
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

fn build() -> Tables {
    let mut task = TaskStateSegment::new();
    for slot in [
        EntryStack::DoubleFault,
        EntryStack::Nmi,
        EntryStack::MachineCheck,
        EntryStack::PageFault,
        EntryStack::Exception,
        EntryStack::Interrupt,
    ] {
        task.interrupt_stack_table[slot as usize] = VirtAddr::new(entry_stack_top(slot));
    }
    let segments = [
        0,
        DescriptorFlags::KERNEL_CODE64.bits(),
        DescriptorFlags::KERNEL_DATA.bits(),
        0,
        0,
    ];
    Tables {
        segments,
        task,
        gates: core::array::from_fn(|vector| gate(vector as u8)),
    }
}

/// Loads the tables and lets machine checks come as exceptions. From here on exceptions end in an
/// epitaph rather than a reset.
///
/// # Safety
/// Called once, on the boot CPU.
pub unsafe fn init() {
    let tables = (&raw mut TABLES).cast::<Tables>();
    let pointer = |base: u64, bytes: usize| DescriptorTablePointer {
        limit: bytes as u16 - 1,
        base: VirtAddr::new(base),
    };
    // SAFETY: nobody else refers to `TABLES`, as the caller calls once. The tables are static and
    // complete when they are loaded: flat segments, a task state with stacks of our own, and a gate
    // to a stub for every vector.
    unsafe {
        tables.write(build());
        if let Descriptor::SystemSegment(low, high) =
            Descriptor::tss_segment_unchecked(&raw const (*tables).task)
        {
            (*tables).segments[3] = low;
            (*tables).segments[4] = high;
        }
        lgdt(&pointer(
            &raw const (*tables).segments as u64,
            size_of::<[u64; SEGMENTS]>(),
        ));
        CS::set_reg(CODE);
        SS::set_reg(DATA);
        DS::set_reg(DATA);
        ES::set_reg(DATA);
        load_tss(TASK);
        lidt(&pointer(
            &raw const (*tables).gates as u64,
            size_of::<[[u64; 2]; VECTORS]>(),
        ));
        Cr4::update(|flags| flags.insert(Cr4Flags::MACHINE_CHECK_EXCEPTION));
    }
}
