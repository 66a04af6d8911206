//! What happens when an assertion of ours fails: an epitaph on the console, then the end.

use core::sync::atomic::{AtomicBool, Ordering};

use x86_64::instructions::port::Port;

use crate::boot::options::AfterPanic;
use crate::cpu;

/// Port of QEMU's `isa-debug-exit` device, and what is written there: QEMU leaves with
/// `value * 2 + 1`.
const DEBUG_EXIT_PORT: u16 = 0xf4;
const DEBUG_EXIT_FAILURE: u32 = 0x10;
/// Port and command of the keyboard controller that pulse the reset line.
const KEYBOARD_PORT: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;

static HALT_AFTERWARDS: AtomicBool = AtomicBool::new(false);

/// Sets what becomes of the machine after an epitaph.
pub fn configure(after_panic: AfterPanic) {
    HALT_AFTERWARDS.store(after_panic == AfterPanic::Halt, Ordering::Relaxed);
}

/// Ends the node: halts, or leaves QEMU, or resets.
pub fn end() -> ! {
    if !HALT_AFTERWARDS.load(Ordering::Relaxed) {
        // SAFETY: both writes end the machine; where nothing listens they do nothing.
        unsafe {
            Port::new(DEBUG_EXIT_PORT).write(DEBUG_EXIT_FAILURE);
            Port::new(KEYBOARD_PORT).write(KEYBOARD_RESET);
        }
    }
    cpu::halt_forever()
}

#[cfg(panic = "abort")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = core::fmt::Write::write_fmt(
        &mut crate::console::Polled,
        format_args!("\nkernel panic: {info}\n"),
    );
    end()
}
