//! Cases that need no directory: arguments, environment, clocks, random bytes, standard streams, the end.

use crate::calls::{Wanted, arguments, error, poll, random, time, variables, write, yield_turn};
use crate::refused;

/// How long a poll that may be in vain waits.
const SOON_NS: u64 = 50_000_000;
const MONOTONIC: u32 = 1;

/// The case of this name.
pub fn case(name: &str) -> Option<fn()> {
    Some(match name {
        "args_get-multiple-arguments" | "args_sizes_get-multiple-arguments" => three_arguments,
        "args_sizes_get-no-arguments" => || assert_eq!(arguments().unwrap().len(), 1),
        "environ_get-multiple-variables" | "environ_sizes_get-multiple-variables" => {
            three_variables
        }
        "environ_sizes_get-no-variables" => || assert!(variables().unwrap().is_empty()),
        "fd_write-to-invalid-fd" => || refused(write(-31_337_i32 as u32, &[]), &[error::BAD_FD]),
        "fd_write-to-stdout" => || assert_eq!(write(1, &[b"hello"]), Ok(5)),
        "proc_exit-failure" => || std::process::exit(33),
        "proc_exit-success" => || std::process::exit(0),
        "random_get-zero-length" => || random(&mut []).unwrap(),
        "random_get-non-zero-length" | "big_random_buf" => random_bytes,
        "clock_time_get" => time_goes_on,
        "sched_yield" => || yield_turn().unwrap(),
        "poll_oneoff_stdio" => streams_are_polled,
        _ => return None,
    })
}

/// Arguments arrive as they were given, quotes and spaces included.
fn three_arguments() {
    let found = arguments().unwrap();
    assert_eq!(found[1..], ["first", "the \"second\" arg", "3"]);
}

/// So do variables, with quotes and line ends, in the order in which they were given; there are no more.
fn three_variables() {
    let expected = ["a=text", "b=escap \" ing", "c=new\nline"];
    assert_eq!(variables().unwrap(), expected);
}

fn random_bytes() {
    let (mut one, mut two) = ([0; 1024], [0; 1024]);
    random(&mut one).unwrap();
    random(&mut two).unwrap();
    assert_ne!(one, [0; 1024]);
    assert_ne!(one, two);
}

/// The monotonic clock has moved between any two looks, whatever precision is asked for.
fn time_goes_on() {
    let looks = [1, 0, 0, 1_000_000].map(|precision| time(MONOTONIC, precision).unwrap());
    assert!(looks.is_sorted_by(|one, next| one < next), "{looks:?}");
}

/// Standard input is ready or the time is up; output has room at once.
fn streams_are_polled() {
    let clock = || Wanted::Time {
        nanoseconds: SOON_NS,
    };
    let events = poll(&[clock(), Wanted::Readable(0)]).unwrap();
    assert!(!events.is_empty());
    for (place, error, kind) in events {
        assert_eq!((error, u64::from(kind)), (0, place));
    }
    let mut events = poll(&[clock(), Wanted::Writable(1), Wanted::Writable(2)]).unwrap();
    events.sort_unstable();
    assert_eq!(events, [(1, 0, 2), (2, 0, 2)]);
}
