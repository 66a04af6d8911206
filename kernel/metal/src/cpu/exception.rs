//! Exceptions: a page fault in a guest memory is served (a touch of a page that is not there, a write
//! to one that is shared), everything else ends the node.

use core::fmt;

use x86_64::registers::control::{Cr2, Cr3};

use super::entry::{DOUBLE_FAULT, PAGE_FAULT, TrapFrame};
use super::stacks;
use crate::mem::guest;
use crate::panic;

/// In a page fault's error code (Intel SDM volume 3, 4.7): the page was there, so the access was
/// against its rights.
const PROTECTION: u64 = 1;
/// In a page fault's error code: the access was a write.
const WRITE: u64 = 1 << 1;

/// Called by the entry stub, with interrupts off, on the stack of its kind.
pub extern "C" fn on_exception(frame: &TrapFrame) {
    if frame.vector == u64::from(PAGE_FAULT) {
        let address = Cr2::read_raw();
        let rights_only = frame.error_code & (PROTECTION | WRITE) == PROTECTION;
        if !rights_only && guest::resolve_fault(address) {
            return;
        }
    }
    panic::epitaph(
        &Report {
            frame,
            address: Cr2::read_raw(),
        },
        frame.rip,
        frame.rsp,
    );
}

/// What an exception leaves to read.
struct Report<'a> {
    frame: &'a TrapFrame,
    address: u64,
}

/// Name of an exception (Intel SDM volume 3, table 6-1).
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid task state",
        11 => "segment not present",
        12 => "stack segment fault",
        13 => "general protection fault",
        14 => "page fault",
        16 => "x87 error",
        17 => "alignment check",
        18 => "machine check",
        19 => "simd error",
        _ => "unexpected exception",
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { frame, address } = *self;
        write!(
            f,
            "{} at {:#x}, error code {:#x}",
            name(frame.vector),
            frame.rip,
            frame.error_code
        )?;
        if frame.vector == u64::from(PAGE_FAULT) || frame.vector == u64::from(DOUBLE_FAULT) {
            write!(f, ", address {address:#x}")?;
            let page = address & !(stacks::GUARD_BYTES as u64 - 1);
            if let Some((_, stack)) = stacks::guard_pages().iter().find(|&&(at, _)| at == page) {
                write!(f, " (the {stack} stack overflowed)")?;
            }
        }
        writeln!(f)?;
        let registers = [
            ("rax", frame.rax),
            ("rbx", frame.rbx),
            ("rcx", frame.rcx),
            ("rdx", frame.rdx),
            ("rsi", frame.rsi),
            ("rdi", frame.rdi),
            ("rbp", frame.rbp),
            ("rsp", frame.rsp),
            ("r8", frame.r8),
            ("r9", frame.r9),
            ("r10", frame.r10),
            ("r11", frame.r11),
            ("r12", frame.r12),
            ("r13", frame.r13),
            ("r14", frame.r14),
            ("r15", frame.r15),
            ("rflags", frame.rflags),
            ("cr2", address),
            ("cr3", Cr3::read_raw().0.start_address().as_u64()),
        ];
        for line in registers.chunks(4) {
            for (name, value) in line {
                write!(f, "  {name:>6} {value:016x}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
