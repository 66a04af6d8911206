//! The end of a node: an epitaph on the console, then halt or reset (D9).
//!
//! The backtrace is a scan: every word of the stack that points behind a call instruction. Frame
//! pointers would be exact, but cost the interpreter's dispatch two instructions per operation.
//! Feed the addresses to `addr2line -f -C -e sos-kernel`; the build id tells which file is meant.

use core::arch::asm;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use x86_64::instructions::interrupts;
use x86_64::instructions::port::Port;

use crate::boot::options::AfterPanic;
use crate::console::Polled;
use crate::cpu::{self, stacks};
use crate::mem::paging;

/// Port of QEMU's `isa-debug-exit` device, and what is written there: QEMU leaves with
/// `value * 2 + 1`.
const DEBUG_EXIT_PORT: u16 = 0xf4;
const DEBUG_EXIT_FAILURE: u32 = 0x10;
/// Port and command of the keyboard controller that pulse the reset line.
const KEYBOARD_PORT: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;
/// Most addresses of a backtrace.
const BACKTRACE_MAX: usize = 32;
/// Bytes of the build id's note before the id: three words and the name "GNU".
const BUILD_ID_HEADER_BYTES: usize = 16;

static HALT_AFTERWARDS: AtomicBool = AtomicBool::new(false);
static ENDING: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    static __build_id_start: u8;
    static __build_id_end: u8;
}

/// Sets what becomes of the machine after an epitaph.
pub fn configure(after_panic: AfterPanic) {
    HALT_AFTERWARDS.store(after_panic == AfterPanic::Halt, Ordering::Relaxed);
}

/// Writes `reason` and a backtrace from `instruction` and `stack_pointer`, and ends the node.
pub fn epitaph(reason: &dyn fmt::Display, instruction: u64, stack_pointer: u64) -> ! {
    interrupts::disable();
    if ENDING.swap(true, Ordering::Relaxed) {
        // The epitaph itself failed: nothing here can be trusted any more.
        let _ = writeln!(Polled, "\nsos: failed again, at {instruction:#x}");
        end();
    }
    let _ = writeln!(Polled, "\n\nsos: this node died: {reason}");
    let _ = write_backtrace(instruction, stack_pointer);
    end();
}

/// Ends the node: halts, or leaves QEMU, or resets.
fn end() -> ! {
    if !HALT_AFTERWARDS.load(Ordering::Relaxed) {
        // SAFETY: both writes end the machine; where nothing listens they do nothing.
        unsafe {
            Port::new(DEBUG_EXIT_PORT).write(DEBUG_EXIT_FAILURE);
            Port::new(KEYBOARD_PORT).write(KEYBOARD_RESET);
        }
    }
    cpu::halt_forever()
}

fn write_backtrace(instruction: u64, stack_pointer: u64) -> fmt::Result {
    write!(Polled, "build ")?;
    for byte in build_id() {
        write!(Polled, "{byte:02x}")?;
    }
    write!(
        Polled,
        "\nbacktrace (a scan: some entries may be stale):\n  {instruction:#x}\n"
    )?;
    let Some(top) = stacks::top_of(stack_pointer) else {
        return writeln!(
            Polled,
            "  the stack pointer {stack_pointer:#x} is in no stack"
        );
    };
    let words = (stack_pointer.next_multiple_of(8)..top).step_by(8);
    // SAFETY: the addresses lie in the body of a stack, which is always mapped.
    let values = words.map(|at| unsafe { (at as *const u64).read_volatile() });
    for address in values
        .filter(|&value| follows_call(value))
        .take(BACKTRACE_MAX)
    {
        writeln!(Polled, "  {:#x}", address - 1)?;
    }
    Ok(())
}

/// Whether `address` lies in the code, just behind a call: direct (e8), or through a register or
/// memory (ff /2; Intel SDM volume 2, CALL).
fn follows_call(address: u64) -> bool {
    let (start, end) = paging::image().text;
    if !(start + 8..end).contains(&address) {
        return false;
    }
    // SAFETY: the seven bytes before `address` lie in the code, which is readable.
    let byte = |back: u64| unsafe { ((address - back) as *const u8).read_volatile() };
    let indirect = |back: u64| byte(back) == 0xff && byte(back - 1) >> 3 & 7 == 2;
    byte(5) == 0xe8 || [2, 3, 4, 6, 7].into_iter().any(indirect)
}

/// The linker's name of this very build.
fn build_id() -> &'static [u8] {
    let start = &raw const __build_id_start;
    let length = &raw const __build_id_end as usize - start as usize;
    // SAFETY: the linker script puts the note between these symbols, in the constants.
    let note = unsafe { core::slice::from_raw_parts(start, length) };
    note.get(BUILD_ID_HEADER_BYTES..).unwrap_or(&[])
}

/// The reason of a Rust panic.
struct Panicked<'a>(&'a core::panic::PanicInfo<'a>);

impl fmt::Display for Panicked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.location() {
            Some(at) => write!(f, "{} ({}:{})", self.0.message(), at.file(), at.line()),
            None => write!(f, "{}", self.0.message()),
        }
    }
}

#[cfg_attr(panic = "abort", panic_handler)]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let (instruction, stack_pointer): (u64, u64);
    // SAFETY: reads two registers.
    unsafe {
        asm!("lea {}, [rip]", "mov {}, rsp", out(reg) instruction, out(reg) stack_pointer,
            options(nomem, nostack, preserves_flags));
    }
    epitaph(&Panicked(info), instruction, stack_pointer)
}
