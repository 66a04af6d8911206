//! Does what no service should. The first argument selects what:
//!
//! | argument | what it does | what the kernel is to do |
//! |---|---|---|
//! | `loop` | never gives way | preempt it |
//! | `recursion` | recurses for ever | trap at the depth or stack limit |
//! | `memory` | grows and touches memory without end | stop at the limit; growing then fails |
//! | `log` | floods the log | keep the newest, count the dropped |
//! | `console` | floods the console | keep the newest |
//! | `calls` | makes the cheapest call without end | preempt it |
//! | `copies` | makes the dearest call without end | preempt it by the call's price |
//! | `pointers` | passes pointers outside its memory | answer BAD_POINTER each time |
//! | `handles` | opens sockets without end | answer TOO_MANY_HANDLES |
//! | `stale` | uses closed handles | answer BAD_HANDLE |
//! | `panic` | panics | log, trap |
//! | `unreachable` | traps at once | name the trap |
//! | `exit` | ends with status 7 | report it |
//!
//! `pointers`, `handles` and `stale` check the answers themselves: they end with status 0 when all
//! are right, and log the first wrong one and end with 1 otherwise. A start function that traps and
//! a module that does not validate cannot be written in Rust; tests have them in text format.

mod pointers;

use std::hint::black_box;

use sos_sdk::net::{TcpListener, UdpSocket};
use sos_sdk::time::Instant;
use sos_sdk::{ErrorCode, error, exit, info, println, random};

fn start() {
    let arguments = sos_sdk::args();
    let what = arguments.first().map_or("", String::as_str);
    info!("hostile: {what}");
    match what {
        "loop" => spin(),
        "recursion" => println!("{}", recurse(1)),
        "memory" => devour(),
        "log" => flood(|count| info!("flood {count} {}", "x".repeat(900))),
        "console" => flood(|count| println!("flood {count} {}", "x".repeat(900))),
        "calls" => flood(|_| {
            black_box(Instant::now());
        }),
        "copies" => {
            let mut buffer = vec![0; 64 * 1024];
            flood(move |_| random::fill(&mut buffer));
        }
        "pointers" => pointers::check_all(),
        "handles" => exhaust_handles(),
        "stale" => use_stale_handles(),
        "panic" => panic!("hostile was told to panic"),
        "unreachable" => trap(),
        "exit" => exit(7),
        _ => {
            error!("unknown argument \"{what}\"; see guests/hostile/src/main.rs for the list");
            exit(2);
        }
    }
}

fn spin() {
    let mut number = 0u64;
    loop {
        number = black_box(
            number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        );
    }
}

fn recurse(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        return 0;
    }
    // Not a tail call, and not to be turned into a loop.
    black_box(depth) + recurse(black_box(depth + 1))
}

fn devour() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(1 << 20).is_err() {
            info!("{} MiB, then no more", hoard.len());
            exit(0);
        }
        block.resize(1 << 20, 1);
        hoard.push(black_box(block));
    }
}

fn flood(mut act: impl FnMut(u64)) {
    for count in 0.. {
        act(count);
    }
}

/// Ends with status 1 when a call did not answer as it must.
fn expect(what: &str, got: Option<ErrorCode>, expected: ErrorCode) {
    if got != Some(expected) {
        error!("{what}: got {got:?}, expected {expected:?}");
        exit(1);
    }
}

fn exhaust_handles() {
    let mut sockets = Vec::new();
    let refusal = loop {
        match UdpSocket::bind("0.0.0.0:0") {
            Ok(socket) => sockets.push(socket),
            Err(error) => break error.code(),
        }
    };
    info!("{} sockets, then {refusal}", sockets.len());
    expect(
        "one socket too many",
        Some(refusal),
        ErrorCode::TooManyHandles,
    );
    let count = sockets.len();
    drop(sockets);
    let again: Vec<_> = (0..count)
        .map_while(|_| UdpSocket::bind("0.0.0.0:0").ok())
        .collect();
    if again.len() != count {
        error!(
            "after closing all, {} of {count} sockets could be opened again",
            again.len()
        );
        exit(1);
    }
}

fn use_stale_handles() {
    let listener = TcpListener::bind("0.0.0.0:9").expect("a free port");
    pointers::close_behind(&listener);
    expect(
        "accept",
        listener.accept().err().map(|e| e.code()),
        ErrorCode::BadHandle,
    );
    // The slot is taken again; the old handle must not mean the new socket.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("room for a socket");
    expect(
        "address",
        listener.local_addr().err().map(|e| e.code()),
        ErrorCode::BadHandle,
    );
    drop(listener);
    socket
        .local_addr()
        .expect("closing the old handle leaves the new socket open");
}

fn trap() {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
}

sos_sdk::main!(start);
