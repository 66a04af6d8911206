//! The program itself.

use super::*;
use crate::host::tests::MEMORY_BYTES;

#[test]
fn exit_ends_the_program_with_its_status() {
    for status in [0, 3, -1] {
        let mut world = World::new();
        assert_eq!(
            world.call(A, WasiCall::ProcExit, &[status]),
            Outcome::Exit(status as i32)
        );
        assert_eq!(world.guest(A).exit_status(), Some(status as i32));
    }
}

#[test]
fn signals_end_the_program_are_ignored_or_refused() {
    let raise = |signal: i64| World::new().call(A, WasiCall::ProcRaise, &[signal]);
    for signal in 0..=30 {
        let expected = match signal {
            0 | 13 | 16 | 17 | 22 | 27 => Outcome::Done(Errno::Success.number().into()),
            18..=21 => Outcome::Done(Errno::NotSup.number().into()),
            _ => Outcome::Exit(128 + signal as i32),
        };
        assert_eq!(raise(signal), expected, "signal {signal}");
    }
    for signal in [31, -1] {
        assert_eq!(errno(raise(signal)), Errno::Inval);
    }
}

#[test]
fn yielding_waits_for_the_others_turn_once() {
    let mut world = World::new();
    assert_eq!(world.call(A, WasiCall::SchedYield, &[]), Outcome::Blocked);
    assert!(world.guest(A).call_deadline().is_some());
    assert_eq!(errno(world.retry(A)), Errno::Success);
}

#[test]
fn random_bytes_fill_the_whole_buffer_in_bounded_pieces() {
    let mut world = World::new();
    let length = 3 * 0x10000 + 100_i64;
    let arguments = [0, length];
    let mut outcome = world.call(A, WasiCall::RandomGet, &arguments);
    let mut pieces = 1;
    while outcome == Outcome::Blocked {
        assert!(
            world.guest(A).call_deadline().is_some(),
            "it goes on by itself"
        );
        outcome = world.retry(A);
        pieces += 1;
    }
    assert_eq!((errno(outcome), pieces), (Errno::Success, 4));
    let bytes = world.read(A, 0, length as usize);
    assert!(
        bytes
            .chunks(64)
            .all(|chunk| chunk.iter().any(|&byte| byte != 0))
    );
    assert!(
        world
            .read(A, length as u32, 64)
            .iter()
            .all(|&byte| byte == 0)
    );
}

#[test]
fn random_bytes_into_no_buffer_or_past_the_memory() {
    let mut world = World::new();
    assert_eq!(world.wasi(A, WasiCall::RandomGet, &[-1, 0]), Errno::Success);
    let end = MEMORY_BYTES as i64;
    assert_eq!(
        world.wasi(A, WasiCall::RandomGet, &[end - 8, 9]),
        Errno::Fault
    );
    assert_eq!(world.wasi(A, WasiCall::RandomGet, &[0, -1]), Errno::Fault);
}
