//! What only the real machine can prove, run by the command line's `test=NAME`; the QEMU tests read
//! the lines it prints. A kernel without that word never comes here.

mod channel;
mod images;
mod spec;

use alloc::boxed::Box;
use alloc::vec::Vec;

use sos_engine::RangeOwner;

use crate::boot::options;
use crate::cpu::{self, clock};
use crate::log;
use crate::machine::BareMachine;
use crate::mem::{PAGE_BYTES, frames, guest, heap};

/// Runs the test that the command line names, if any.
pub fn run(command_line: &str, module: Option<&[u8]>) {
    match options::value(command_line, "test") {
        Some("fault") => read_nowhere(),
        Some("write-code") => write_code(),
        Some("overflow") => {
            overflow(0);
        }
        Some("panic") => panic!("as the command line asks"),
        Some("guest") => touch_guest_memory(),
        Some("exhaust") => exhaust_memory(),
        Some("images") => images::compare_with_model(),
        Some("images-exhaust") => images::exhaust(),
        Some("images-speed") => images::measure(),
        Some("heap") => exercise_heap(),
        Some("copy") => check_memory_functions(),
        Some("speed") => measure_speed(),
        Some("spec") => spec::run(module.unwrap_or_default()),
        _ => {}
    }
}

/// As [`run`], for tests that need the machine's devices.
pub fn run_on(machine: &mut BareMachine, command_line: &str) {
    if options::value(command_line, "test") == Some("channel") {
        channel::serve(machine);
    }
}

/// Reads an address that nothing maps.
fn read_nowhere() {
    // SAFETY: it is not safe, and that is the test: the node must die with an epitaph.
    unsafe { (0x10 as *const u64).read_volatile() };
}

/// Writes to the code.
fn write_code() {
    let code = read_nowhere as *const () as *mut u8;
    // SAFETY: it is not safe, and that is the test: the node must die with an epitaph.
    unsafe { code.write_volatile(0) };
}

/// Recurses until the guard page stops it.
#[inline(never)]
#[expect(
    unconditional_recursion,
    reason = "the test is that this ends in an epitaph"
)]
fn overflow(depth: u64) -> u64 {
    let frame = [depth; 64];
    core::hint::black_box(&frame);
    overflow(depth + 1) + frame[(depth % 64) as usize]
}

/// Touches a guest memory here and there, and gives it back.
fn touch_guest_memory() {
    let before = frames::free_bytes();
    let range = guest::reserve(256 << 20).expect("a range");
    let touch = |offset: usize| {
        // SAFETY: the offset lies in the range.
        let byte = unsafe { range.base().add(offset) };
        // SAFETY: as above; the byte appears when it is touched.
        unsafe {
            assert_eq!(byte.read_volatile(), 0, "a fresh page is not zero");
            byte.write_volatile(1);
        }
    };
    (0..1 << 20).step_by(PAGE_BYTES).for_each(touch);
    log!(
        "guest: 1 MiB touched, {} bytes resident",
        range.resident_bytes()
    );
    (2 << 20..256 << 20).step_by(2 << 20).for_each(touch);
    log!(
        "guest: 127 pages apart touched, {} bytes resident",
        range.resident_bytes()
    );
    drop(range);
    log!(
        "guest: returned, {} bytes missing",
        before - frames::free_bytes()
    );
}

/// Touches more than there is.
fn exhaust_memory() {
    let before = frames::free_bytes();
    let range = guest::reserve(4 << 30).expect("a range");
    let mut reported = false;
    for offset in (0..4 << 30).step_by(PAGE_BYTES) {
        // SAFETY: the offset lies in the range.
        unsafe { range.base().add(offset).write_volatile(1) };
        if range.take_exhausted() && !reported {
            log!("exhaust: reported after {} MiB", offset >> 20);
            reported = true;
        }
    }
    log!(
        "exhaust: {} bytes resident, {} free",
        range.resident_bytes(),
        frames::free_bytes()
    );
    drop(range);
    log!(
        "exhaust: returned, {} bytes missing",
        before - frames::free_bytes()
    );
}

/// Allocates blocks of all sizes, checks that they keep their bytes, and frees them.
fn exercise_heap() {
    let mut blocks: Vec<Box<[u8]>> = Vec::new();
    let mut state = 1_u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    for round in 0..20_000 {
        let size = 1 + next() % (16 << (next() % 12));
        blocks.push(alloc::vec![(round % 251) as u8; size].into_boxed_slice());
        if blocks.len() > 500 {
            let block = blocks.swap_remove(next() % blocks.len());
            assert!(
                block.iter().all(|&byte| byte == block[0]),
                "a block was overwritten"
            );
        }
    }
    drop(blocks);
    log!("heap: {:?}", heap::stats());
}

/// Compares the `mem*` functions with plain loops, at all small sizes and offsets.
fn check_memory_functions() {
    let pattern = |index: usize| (index * 7 + index / 256) as u8;
    for length in 0..300 {
        for (from, to) in [
            (0, 400),
            (64, 64),
            (64, 65),
            (65, 64),
            (64, 71),
            (90, 64),
            (64, 200),
        ] {
            let mut bytes: Vec<u8> = (0..1024).map(pattern).collect();
            let bytes = core::hint::black_box(&mut bytes);
            bytes.copy_within(from..from + length, to);
            for (index, &byte) in bytes.iter().enumerate() {
                let moved = (to..to + length).contains(&index);
                let expected = pattern(if moved { index - to + from } else { index });
                assert_eq!(
                    byte, expected,
                    "move of {length} from {from} to {to} at {index}"
                );
            }
            bytes[to..to + length].fill(0xa5);
            let filled = bytes.iter().filter(|&&byte| byte == 0xa5).count();
            let plain = (0..1024).filter(|index| !(to..to + length).contains(index));
            let expected = length
                + plain
                    .filter(|&index| {
                        let moved = (to..to + length).contains(&index);
                        !moved && pattern(index) == 0xa5
                    })
                    .count();
            assert_eq!(filled, expected, "fill of {length} at {to}");
        }
        let left: Vec<u8> = (0..length).map(pattern).collect();
        let mut right = left.clone();
        assert!(core::hint::black_box(&left) == core::hint::black_box(&right));
        for index in 0..length {
            right[index] = right[index].wrapping_add(1);
            let order = left[index].cmp(&right[index]);
            assert_eq!(
                core::hint::black_box(&left).cmp(core::hint::black_box(&right)),
                order
            );
            right[index] = left[index];
        }
    }
    log!("copy: right at all sizes");
}

/// Prints what some things cost on this machine.
fn measure_speed() {
    let time = |name: &str, count: u64, work: &mut dyn FnMut()| {
        let start = clock::now_ns();
        work();
        log!(
            "speed: {name}: {} ns each",
            (clock::now_ns() - start) / count
        );
    };
    let page = frames::take().expect("a frame");
    time("zero a page by stores", 1000, &mut || {
        // SAFETY: the frame is ours.
        (0..1000).for_each(|_| unsafe { frames::zero(page.pointer()) });
    });
    time("zero a page by rep stosq", 100, &mut || {
        // SAFETY: the frame is ours.
        (0..100).for_each(|_| unsafe {
            core::arch::asm!("rep stosq", inout("rcx") 512_u64 => _,
                inout("rdi") page.pointer() => _, in("rax") 0_u64, options(nostack));
        });
    });
    for memory in ["that the host has to find first", "that was used before"] {
        log!("speed: memory {memory}:");
        let range = guest::reserve(256 << 20).expect("a range");
        let touch = |offset: usize| {
            // SAFETY: the offset lies in the range.
            unsafe { range.base().add(offset).write_volatile(1) }
        };
        time("touch page after page", 4096, &mut || {
            (0..16 << 20).step_by(PAGE_BYTES).for_each(touch);
        });
        time("touch every second page", 4096, &mut || {
            (32 << 20..64 << 20).step_by(2 * PAGE_BYTES).for_each(touch);
        });
        time("touch again", 4096, &mut || {
            (0..16 << 20).step_by(PAGE_BYTES).for_each(touch);
        });
        let mut range = Some(range);
        time("give a page back", 8192, &mut || drop(range.take()));
    }
    let mut blocks = Vec::with_capacity(1000);
    time("allocate and free 100 bytes", 1000, &mut || {
        (0..1000).for_each(|_| blocks.push(Box::new([0_u8; 100])));
        blocks.clear();
    });
    time("read the clock", 1000, &mut || {
        (0..1000).for_each(|_| _ = clock::now_ns())
    });
    let mut late_ns = 0;
    time("sleep of 1 ms", 20, &mut || {
        for _ in 0..20 {
            let until = clock::now_ns() + 1_000_000;
            while clock::now_ns() < until {
                cpu::idle(until, || false);
            }
            late_ns += clock::now_ns() - until;
        }
    });
    log!("speed: woken {} ns late", late_ns / 20);
}
