//! The programs that are captured within their calls. Each logs what its calls gave, and its own time.

/// What all of them have: the calls, and helpers that log a number and sum up bytes.
const PRELUDE: &str = r#"
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (import "sos" "clock_monotonic" (func $now (result i64)))
    (import "sos" "tcp_listen" (func $listen (param i32 i32) (result i32)))
    (import "sos" "tcp_accept" (func $accept (param i32 i32 i32) (result i32)))
    (import "sos" "tcp_connect" (func $connect (param i32 i32) (result i32)))
    (import "sos" "tcp_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "sos" "tcp_shutdown" (func $shutdown (param i32 i32) (result i32)))
    (import "sos" "close" (func $close (param i32) (result i32)))
    (import "sos" "dns_lookup" (func $lookup (param i32 i32 i32 i32) (result i32)))
    (import "sos" "wasi_descriptor" (func $descriptor (param i32) (result i32)))
    (import "sos" "console_write" (func $print (param i32 i32) (result i32)))
    (import "sos" "console_read" (func $type (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read"
        (func $file_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $file_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek"
        (func $seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_recv"
        (func $receive (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 36)
    (global $sum (mut i64) (i64.const 0))
    (global $next (mut i32) (i32.const 1))
    ;; Port 7, any address.
    (data (i32.const 16) "\04\00\07\00")
    (func $say (param $value i64) (local $at i32) (local $digit i32)
        (local.set $at (i32.const 128))
        (loop $digits
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (local.set $digit (i32.and (i32.wrap_i64 (local.get $value)) (i32.const 15)))
            (i32.store8 (local.get $at) (i32.add (local.get $digit)
                (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
            (local.set $value (i64.shr_u (local.get $value) (i64.const 4)))
            (br_if $digits (i32.gt_u (local.get $at) (i32.const 112))))
        (drop (call $log (i32.const 2) (i32.const 112) (i32.const 16))))
    (func $tell (param $result i32) (call $say (i64.extend_i32_s (local.get $result))))
    (func $stamp (call $say (call $now)))
    ;; Adds bytes to the sum, where their places count.
    (func $add (param $at i32) (param $length i32) (local $end i32)
        (local.set $end (i32.add (local.get $at) (local.get $length)))
        (if (local.get $length) (then (loop $bytes
            (global.set $sum (i64.add (i64.mul (global.get $sum) (i64.const 0x100000001b3))
                (i64.load8_u (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $bytes (i32.lt_u (local.get $at) (local.get $end)))))))
    ;; Makes bytes that follow from those made before.
    (func $make (param $at i32) (param $length i32) (local $end i32)
        (local.set $end (i32.add (local.get $at) (local.get $length)))
        (loop $bytes
            (global.set $next (i32.add (i32.mul (global.get $next) (i32.const 1664525))
                (i32.const 1013904223)))
            (i32.store8 (local.get $at) (i32.shr_u (global.get $next) (i32.const 24)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $bytes (i32.lt_u (local.get $at) (local.get $end)))))
    ;; Writes all of so many bytes to a connection.
    (func $write_all (param $socket i32) (param $at i32) (param $length i32) (local $written i32)
        (loop $more
            (local.set $written (call $write (local.get $socket) (local.get $at)
                (local.get $length) (i32.const 0)))
            (if (i32.lt_s (local.get $written) (i32.const 1)) (then
                (call $tell (local.get $written)) unreachable))
            (local.set $at (i32.add (local.get $at) (local.get $written)))
            (local.set $length (i32.sub (local.get $length) (local.get $written)))
            (br_if $more (local.get $length))))
    ;; Reads a connection to its end, 20 000 bytes at once, and sums up what came.
    (func $read_all (param $socket i32) (local $read i32)
        (loop $more
            (local.set $read (call $read (local.get $socket) (i32.const 4096) (i32.const 20000)
                (i32.const 0)))
            (if (i32.lt_s (local.get $read) (i32.const 0)) (then
                (call $tell (local.get $read)) unreachable))
            (call $add (i32.const 4096) (local.get $read))
            (br_if $more (local.get $read))))
"#;

/// A module whose `_start` is `body`, with the data and further functions of `rest`.
fn program(rest: &str, body: &str) -> String {
    format!("(module {PRELUDE} {rest} (func (export \"_start\") {body}))")
}

/// Sleeps a second.
pub fn sleeper() -> String {
    program(
        "",
        r#"(call $stamp)
        (call $tell (call $sleep (i64.const 1000000000)))
        (call $stamp)"#,
    )
}

/// Reads a file to its end and sums it up.
pub fn file_reader() -> String {
    program(
        r#"(data (i32.const 256) "data")"#,
        r#"(local $fd i32)
        (call $tell (call $open (i32.const 3) (i32.const 0) (i32.const 256) (i32.const 4)
            (i32.const 0) (i64.const 38) (i64.const 0) (i32.const 0) (i32.const 32)))
        (local.set $fd (i32.load (i32.const 32)))
        (i32.store (i32.const 40) (i32.const 4096))
        (i32.store (i32.const 44) (i32.const 65536))
        (loop $more
            (if (call $file_read (local.get $fd) (i32.const 40) (i32.const 1) (i32.const 48))
                (then unreachable))
            (call $add (i32.const 4096) (i32.load (i32.const 48)))
            (br_if $more (i32.load (i32.const 48))))
        (call $say (global.get $sum))
        (call $stamp)"#,
    )
}

/// Writes half a megabyte to a file, reads it again and sums it up.
pub fn file_writer() -> String {
    program(
        r#"(data (i32.const 256) "made")"#,
        r#"(local $fd i32) (local $blocks i32) (local $again i32)
        (call $tell (call $open (i32.const 3) (i32.const 0) (i32.const 256) (i32.const 4)
            (i32.const 1) (i64.const 102) (i64.const 0) (i32.const 0) (i32.const 32)))
        (local.set $fd (i32.load (i32.const 32)))
        (i32.store (i32.const 40) (i32.const 4096))
        (i32.store (i32.const 44) (i32.const 4000))
        (local.set $blocks (i32.const 125))
        (loop $more
            (call $make (i32.const 4096) (i32.const 4000))
            ;; So that it takes a while.
            (local.set $again (i32.const 20))
            (loop $longer
                (call $add (i32.const 4096) (i32.const 4000))
                (br_if $longer (local.tee $again (i32.sub (local.get $again) (i32.const 1)))))
            (global.set $sum (i64.const 0))
            (if (call $file_write (local.get $fd) (i32.const 40) (i32.const 1) (i32.const 48))
                (then unreachable))
            (if (i32.ne (i32.load (i32.const 48)) (i32.const 4000)) (then unreachable))
            (local.set $blocks (i32.sub (local.get $blocks) (i32.const 1)))
            (br_if $more (local.get $blocks)))
        (call $stamp)
        (call $tell (call $seek (local.get $fd) (i64.const 0) (i32.const 0) (i32.const 32)))
        (loop $again
            (if (call $file_read (local.get $fd) (i32.const 40) (i32.const 1) (i32.const 48))
                (then unreachable))
            (call $add (i32.const 4096) (i32.load (i32.const 48)))
            (br_if $again (i32.load (i32.const 48))))
        (call $say (global.get $sum))
        (call $stamp)"#,
    )
}

/// Fills two megabytes with random bytes in one call, which works in pieces.
pub fn random_filler() -> String {
    program(
        "",
        r#"(call $tell (call $random (i32.const 65536) (i32.const 2097152)))
        (call $stamp)
        (call $add (i32.const 65536) (i32.const 2097152))
        (call $say (global.get $sum))"#,
    )
}

/// Accepts a connection, receives a given number of bytes in one call, sends as many, and closes.
pub fn bulk_server(bytes: usize) -> String {
    let body = format!(
        r#"(local $socket i32) (local $blocks i32)
        (local.set $socket (call $accept (call $listen (i32.const 16) (i32.const 4))
            (i32.const 0) (i32.const 0)))
        (call $stamp)
        (local.set $socket (call $descriptor (local.get $socket)))
        (i32.store (i32.const 40) (i32.const 65536))
        (i32.store (i32.const 44) (i32.const {bytes}))
        ;; With WAITALL.
        (call $tell (call $receive (local.get $socket) (i32.const 40) (i32.const 1) (i32.const 2)
            (i32.const 48) (i32.const 52)))
        (call $tell (i32.load (i32.const 48)))
        (call $stamp)
        (call $add (i32.const 65536) (i32.const {bytes}))
        (call $say (global.get $sum))
        (call $make (i32.const 65536) (i32.const {bytes}))
        (i32.store (i32.const 40) (i32.const 65536))
        (i32.store (i32.const 44) (i32.const {bytes}))
        (loop $more
            (if (call $file_write (local.get $socket) (i32.const 40) (i32.const 1) (i32.const 48))
                (then unreachable))
            (i32.store (i32.const 40)
                (i32.add (i32.load (i32.const 40)) (i32.load (i32.const 48))))
            (i32.store (i32.const 44)
                (i32.sub (i32.load (i32.const 44)) (i32.load (i32.const 48))))
            (br_if $more (i32.load (i32.const 44))))
        (call $stamp)
        ;; A program that ends leaves nobody to repeat what is lost, so it waits for the peer's end.
        (i32.store (i32.const 44) (i32.const 1))
        (call $tell (call $file_read (local.get $socket) (i32.const 40) (i32.const 1)
            (i32.const 48)))"#
    );
    program("", &body)
}

/// The bytes that [`bulk_server`] sends.
pub fn made_bytes(count: usize) -> Vec<u8> {
    let mut next = 1_u32;
    let make = |_| {
        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (next >> 24) as u8
    };
    (0..count).map(make).collect()
}

/// What the programs make of bytes that they read.
pub fn sum_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, &byte| {
        sum.wrapping_mul(0x100_0000_01b3).wrapping_add(byte.into())
    })
}

/// Accepts one connection and says when.
pub fn acceptor() -> String {
    program(
        "",
        r#"(local $socket i32)
        (local.set $socket (call $accept (call $listen (i32.const 16) (i32.const 4))
            (i32.const 0) (i32.const 256)))
        (call $tell (local.get $socket))
        (call $say (i64.load (i32.const 264)))
        (call $stamp)
        (call $write_all (local.get $socket) (i32.const 112) (i32.const 16))"#,
    )
}

/// Asks for the addresses of a name.
pub fn resolver() -> String {
    program(
        r#"(data (i32.const 256) "www.example")"#,
        r#"(drop (call $sleep (i64.const 50000000)))
        (call $tell (call $lookup (i32.const 256) (i32.const 11) (i32.const 320) (i32.const 4)))
        (call $say (i64.load (i32.const 328)))
        (call $stamp)"#,
    )
}

/// Waits with `poll_oneoff` for two clocks, a listener and a connection, until the later clock.
pub fn poller() -> String {
    program(
        "",
        r#"(local $listener i32) (local $socket i32) (local $event i32) (local $count i32)
        (local.set $listener (call $listen (i32.const 16) (i32.const 4)))
        (local.set $socket (call $accept (local.get $listener) (i32.const 0) (i32.const 0)))
        (local.set $listener (call $descriptor (local.get $listener)))
        (local.set $socket (call $descriptor (local.get $socket)))
        ;; 1: a second from now. 2: a moment of guest time. 3: the listener. 4: the connection.
        (i64.store (i32.const 1024) (i64.const 1))
        (i32.store (i32.const 1040) (i32.const 1))
        (i64.store (i32.const 1048) (i64.const 1000000000))
        (i64.store (i32.const 1072) (i64.const 2))
        (i32.store (i32.const 1088) (i32.const 1))
        (i64.store (i32.const 1096) (i64.const 700000000))
        (i32.store16 (i32.const 1112) (i32.const 1))
        (i64.store (i32.const 1120) (i64.const 3))
        (i32.store8 (i32.const 1128) (i32.const 1))
        (i32.store (i32.const 1136) (local.get $listener))
        (i64.store (i32.const 1168) (i64.const 4))
        (i32.store8 (i32.const 1176) (i32.const 1))
        (i32.store (i32.const 1184) (local.get $socket))
        (local.set $count (i32.const 4))
        (loop $again
            (call $tell (call $poll (i32.const 1024) (i32.const 2048) (local.get $count)
                (i32.const 32)))
            (call $stamp)
            (local.set $event (i32.const 0))
            (loop $events
                (call $say (i64.load (i32.add (i32.const 2048)
                    (i32.mul (local.get $event) (i32.const 32)))))
                (local.set $event (i32.add (local.get $event) (i32.const 1)))
                (br_if $events (i32.lt_u (local.get $event) (i32.load (i32.const 32)))))
            ;; What is ready leaves the list from its end: connection, listener, second clock.
            (local.set $count (i32.sub (local.get $count) (i32.load (i32.const 32))))
            (br_if $again (local.get $count)))
        (call $stamp)"#,
    )
}

/// Sends so many bytes to 10.1.0.2 port 7.
pub fn sender(bytes: usize) -> String {
    let body = format!(
        r#"(local $socket i32) (local $blocks i32)
        (local.set $socket (call $connect (i32.const 256) (i32.const 0)))
        (local.set $blocks (i32.const {}))
        (loop $more
            (call $make (i32.const 4096) (i32.const 5000))
            (call $write_all (local.get $socket) (i32.const 4096) (i32.const 5000))
            (local.set $blocks (i32.sub (local.get $blocks) (i32.const 1)))
            (br_if $more (local.get $blocks)))
        (call $tell (call $shutdown (local.get $socket) (i32.const 1)))
        ;; The end of the other direction: the receiver has all.
        (call $tell (call $read (local.get $socket) (i32.const 4096) (i32.const 1) (i32.const 0)))"#,
        bytes / 5000
    );
    let address = r#"(data (i32.const 256) "\04\00\07\00\00\00\00\00\0a\01\00\02")"#;
    program(address, &body)
}

/// Receives what one connection brings and sums it up.
pub fn receiver() -> String {
    program(
        "",
        r#"(local $socket i32)
        (local.set $socket (call $accept (call $listen (i32.const 16) (i32.const 4))
            (i32.const 0) (i32.const 0)))
        (call $read_all (local.get $socket))
        (call $say (global.get $sum))
        (drop (call $close (local.get $socket)))"#,
    )
}

/// Copies its standard input to its standard output.
pub fn copier() -> String {
    program(
        "",
        r#"(local $length i32) (local $at i32)
        (loop $more
            (local.set $length (call $type (i32.const 4096) (i32.const 50000) (i32.const 0)))
            (local.set $at (i32.const 4096))
            (if (i32.gt_s (local.get $length) (i32.const 0)) (then
                (loop $rest
                    (local.set $at (i32.add (local.get $at) (call $print (local.get $at)
                        (i32.sub (i32.add (local.get $length) (i32.const 4096))
                            (local.get $at)))))
                    (br_if $rest (i32.lt_u (local.get $at)
                        (i32.add (local.get $length) (i32.const 4096)))))
                (br $more))))"#,
    )
}
