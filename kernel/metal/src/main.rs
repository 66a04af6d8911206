//! SOS on bare x86_64: boot, page tables, interrupts, drivers. Decides nothing (D1); the only
//! package with unsafe code beside the engine.
//!
//! Built for the host's triple with the prebuilt `core` and `alloc` (D11), by `tools/sos` or:
//!
//! ```text
//! export RUSTFLAGS="-Clinker=$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld \
//!     -Clinker-flavor=ld.lld -Crelocation-model=static"
//! cargo build --package sos-kernel --profile kernel --target x86_64-unknown-linux-gnu --target-dir target/kernel
//! ```
//!
//! `build.rs` adds the linker script. Started with `qemu-system-x86_64 -kernel target/kernel/x86_64-unknown-linux-gnu/kernel/sos-kernel
//! -initrd IMAGE -append 'OPTIONS'`. Builds that unwind on panic (`cargo check`, `cargo clippy`) see
//! an ordinary program, which does nothing.
#![no_std]
#![cfg_attr(panic = "abort", no_main)]
#![cfg_attr(not(panic = "abort"), allow(dead_code, unused_imports))]

extern crate alloc;
#[cfg(not(panic = "abort"))]
extern crate std;

mod boot;
mod console;
mod cpu;
mod mem;
mod panic;

use boot::pvh;

/// Where the entry code ends: the boot CPU in long mode, on the main stack.
extern "C" fn kernel_main(start_info: u64) -> ! {
    console::init();
    // SAFETY: `start_info` is what the loader gave, and nothing was written since.
    let info = match unsafe { pvh::read(start_info) } {
        Ok(info) => info,
        Err(error) => panic!("{error}"),
    };
    panic::configure(boot::options::Options::read(info.command_line()).after_panic);
    let image = mem::paging::image();
    let module = info.module.unwrap_or_default();
    mem::frames::init(&info, &[(image.text.0, image.data.1), module]);
    // SAFETY: called once, on the boot tables.
    unsafe { mem::paging::init(&info) }.expect("memory for page tables");
    mem::heap::init().expect("memory for the heap");
    log!(
        "sos: {} KiB of memory, {} KiB free",
        mem::frames::total_bytes() / 1024,
        mem::frames::free_bytes() / 1024
    );
    log!("hello");
    cpu::halt_forever()
}

/// Host builds only check types; the kernel starts at `boot::entry`.
#[cfg(not(panic = "abort"))]
fn main() {
    std::process::exit(1);
}
