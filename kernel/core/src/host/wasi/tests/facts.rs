//! Arguments, environment.

use super::*;
use crate::host::tests::{MEMORY_BYTES, TEXT};

/// The texts that a list function wrote, by the pointers at [`OUT2`].
fn texts(world: &World, count: usize) -> Vec<&[u8]> {
    (0..count as u32)
        .map(|index| {
            let at = world.read_u32(A, OUT2 + 4 * index);
            let rest = world.read(A, at, 64);
            let end = rest.iter().position(|&byte| byte == 0).unwrap();
            &rest[..end]
        })
        .collect()
}

#[test]
fn arguments_begin_with_the_program_and_end_in_zeros() {
    let mut world = World::new();
    let sizes = [OUT.into(), (OUT + 4).into()];
    assert_eq!(
        world.wasi(A, WasiCall::ArgsSizesGet, &sizes),
        Errno::Success
    );
    assert_eq!(world.read_u32(A, OUT), 3);
    let bytes = "program.wasm\0first\0zweites ä\0";
    assert_eq!(world.read_u32(A, OUT + 4), bytes.len() as u32);
    let get = [OUT2.into(), TEXT.into()];
    assert_eq!(world.wasi(A, WasiCall::ArgsGet, &get), Errno::Success);
    assert_eq!(world.read(A, TEXT, bytes.len()), bytes.as_bytes());
    let expected: [&[u8]; 3] = [b"program.wasm", b"first", "zweites ä".as_bytes()];
    assert_eq!(texts(&world, 3), expected);
}

#[test]
fn the_environment_is_key_equals_value() {
    let mut world = World::new();
    let sizes = [OUT.into(), (OUT + 4).into()];
    assert_eq!(
        world.wasi(A, WasiCall::EnvironSizesGet, &sizes),
        Errno::Success
    );
    assert_eq!(world.read_u32(A, OUT), 2);
    assert_eq!(world.read_u32(A, OUT + 4), "HOME=/\0EMPTY=\0".len() as u32);
    let get = [OUT2.into(), TEXT.into()];
    assert_eq!(world.wasi(A, WasiCall::EnvironGet, &get), Errno::Success);
    let expected: [&[u8]; 2] = [b"HOME=/", b"EMPTY="];
    assert_eq!(texts(&world, 2), expected);
}

#[test]
fn lists_that_end_past_the_memory_are_a_fault() {
    let end = MEMORY_BYTES as i64;
    for (get, bytes) in [(WasiCall::ArgsGet, 30), (WasiCall::EnvironGet, 14)] {
        let mut world = World::new();
        // The texts just fit, and do not by one byte; the pointers likewise.
        assert_eq!(
            world.wasi(A, get, &[OUT2.into(), end - bytes]),
            Errno::Success
        );
        assert_eq!(
            world.wasi(A, get, &[OUT2.into(), end - bytes + 1]),
            Errno::Fault
        );
        assert_eq!(world.wasi(A, get, &[end - 4, TEXT.into()]), Errno::Fault);
        assert_eq!(world.wasi(A, get, &[-1, -1]), Errno::Fault);
    }
}
