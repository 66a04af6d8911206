//! SOS on bare x86_64: boot, page tables, interrupts, drivers. Decides nothing (D1); the only
//! package with unsafe code beside the engine.
//!
//! Built for the host's triple with the prebuilt `core` and `alloc` (D11), by `tools/sos` or:
//!
//! ```text
//! export RUSTFLAGS="-Clinker=$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld \
//!     -Clinker-flavor=ld.lld -Crelocation-model=static -Cllvm-args=-align-all-functions=6"
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

mod acpi;
mod boot;
mod console;
mod cpu;
mod drivers;
mod journal;
mod machine;
mod mem;
mod panic;
mod self_test;
mod sync;

use acpi::Platform;
use boot::options::{self, Options};
use boot::pvh::{self, BootInfo};
use machine::BareMachine;
use sos_core::kernel::Kernel;
use sos_core::keys::NodeKeys;

/// Where the entry code ends: the boot CPU in long mode, on the main stack, interrupts off.
extern "C" fn kernel_main(start_info: u64) -> ! {
    console::init();
    // SAFETY: called once, on the boot CPU.
    unsafe { cpu::descriptors::init() };
    // SAFETY: `start_info` is what the loader gave, and nothing was written since.
    let info = unsafe { pvh::read(start_info) }.unwrap_or_else(|error| panic!("{error}"));
    panic::configure(Options::read(info.command_line()).after_panic);
    start_memory(&info);
    let platform = read_platform(&info);
    let clocks = start_interrupts(&platform);
    log!(
        "sos: {} KiB of memory, {} KiB free; tsc {} kHz, timer {} kHz by the {}",
        mem::frames::total_bytes() / 1024,
        mem::frames::free_bytes() / 1024,
        clocks.tsc_hz / 1000,
        clocks.timer_hz / 1000,
        clocks.reference,
    );
    self_test::run(info.command_line(), boot_image(&info));
    let mut machine = BareMachine::new(platform);
    self_test::run_on(&mut machine, info.command_line());
    let name = options::value(info.command_line(), "name");
    let boot = sos_core::kernel::BootInfo {
        image: boot_image(&info),
        name: name.map(Into::into),
        keys: node_keys(info.command_line()),
        cluster: drivers::fw_cfg::file(CLUSTER_FILE),
    };
    let kernel = Kernel::new(&mut machine, boot);
    machine.run(kernel)
}

/// What the firmware's tables say; nothing where there are none.
fn read_platform(info: &BootInfo) -> Platform {
    let Some(root_pointer) = info.root_pointer else {
        return Platform::default();
    };
    Platform::read(&mem::firmware::FirmwareMemory, root_pointer).unwrap_or_else(|error| {
        log!("acpi: {error}");
        Platform::default()
    })
}

/// The keys of this node alone: from QEMU's firmware configuration, which other programs of the host do
/// not see, or from the command line where there is none.
fn node_keys(command_line: &str) -> Option<NodeKeys> {
    let file = drivers::fw_cfg::file(SECRET_FILE);
    let word = options::value(command_line, "secret").map(str::as_bytes);
    let given = file.as_deref().or(word)?;
    let keys = NodeKeys::read(given);
    if keys.is_none() {
        log!("sos: the node's secret is not 32 bytes or 64 hexadecimal digits; it is passed over");
    }
    keys
}

/// The bytes of the boot module. Its frames were never handed out, so it stays for ever.
fn boot_image(info: &BootInfo) -> Option<&'static [u8]> {
    let (start, end) = info.module?;
    let length = usize::try_from(end - start).ok()?;
    if !mem::paging::in_direct_map(start, length) {
        log!("sos: the boot module at {start:#x} is not in memory; it is passed over");
        return None;
    }
    // SAFETY: the bytes are mapped for ever, and `start_memory` kept them from the frame allocator.
    Some(unsafe { core::slice::from_raw_parts(mem::direct_map(start), length) })
}

/// Frames, page tables, heap, guest memories.
fn start_memory(info: &BootInfo) {
    let image = mem::paging::image();
    let module = info.module.unwrap_or_default();
    mem::frames::init(info, &[(image.text.0, image.data.1), module]);
    // SAFETY: called once, on the boot tables.
    unsafe { mem::paging::init(info) }.expect("memory for page tables");
    mem::heap::init().expect("memory for the heap");
    mem::guest::init().expect("memory for the emergency reserve");
}

/// Interrupt controllers, clocks, the console's line.
fn start_interrupts(platform: &Platform) -> cpu::clock::Calibration {
    let listed = platform
        .io_apics
        .iter()
        .map(|io_apic| (io_apic.address, io_apic.first_gsi));
    // SAFETY: called once, on the boot CPU, interrupts off, the gates loaded.
    unsafe { cpu::lapic::init() }.expect("memory for the local apic's page");
    cpu::ioapic::init(listed).expect("memory for the i/o apics' pages");
    let clocks = cpu::clock::init(platform);
    let (gsi, polarity, trigger) = cpu::ioapic::legacy_line(CONSOLE_LINE, &platform.overrides);
    if let Err(error) = cpu::irq::route(gsi, cpu::irq::CONSOLE, polarity, trigger) {
        log!("sos: the console takes no input: {error}");
    }
    console::enable_input();
    x86_64::instructions::interrupts::enable();
    clocks
}

/// The node's secret in QEMU's firmware configuration.
const SECRET_FILE: &str = "opt/sos/secret";
/// What the node is told of its cluster, there too.
const CLUSTER_FILE: &str = "opt/sos/cluster";
/// The legacy interrupt of COM1.
const CONSOLE_LINE: u8 = 4;

/// Host builds only check types; the kernel starts at `boot::entry`.
#[cfg(not(panic = "abort"))]
fn main() {
    std::process::exit(1);
}
