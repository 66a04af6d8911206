//! Small programs in WebAssembly's text format that several tests run.

use std::time::Duration;

/// Computes for ever.
pub const SPINS: &str =
    "(module (memory (export \"memory\") 1 1) (func (export \"_start\") (loop br 0)))";

/// Sends back what it gets on port 7, each byte increased by how many messages the connection brought.
pub const COUNTING_ECHO: &str = r#"(module
    (import "sos" "tcp_listen" (func $listen (param i32 i32) (result i32)))
    (import "sos" "tcp_accept" (func $accept (param i32 i32 i32) (result i32)))
    (import "sos" "tcp_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "sos" "close" (func $close (param i32) (result i32)))
    (memory (export "memory") 1)
    (global $count (mut i32) (i32.const 0))
    (data (i32.const 16) "\04\00\07\00")
    (func (export "_start") (local $listener i32) (local $peer i32) (local $length i32)
        (local.set $listener (call $listen (i32.const 16) (i32.const 8)))
        (loop $serve
            (local.set $peer (call $accept (local.get $listener) (i32.const 0) (i32.const 0)))
            (global.set $count (i32.const 0))
            (loop $more
                (local.set $length
                    (call $read (local.get $peer) (i32.const 1024) (i32.const 1) (i32.const 0)))
                (if (i32.gt_s (local.get $length) (i32.const 0)) (then
                    (global.set $count (i32.add (global.get $count) (i32.const 1)))
                    (i32.store8 (i32.const 1024)
                        (i32.add (i32.load8_u (i32.const 1024)) (global.get $count)))
                    (drop (call $write (local.get $peer) (i32.const 1024) (i32.const 1) (i32.const 0)))
                    (br $more))))
            (drop (call $close (local.get $peer)))
            (br $serve))))"#;

/// Logs "tick" whenever `period` of its own time has passed.
pub fn ticks(period: Duration) -> String {
    let period_ns = period.as_nanos();
    format!(
        r#"(module
            (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
            (import "sos" "sleep" (func $sleep (param i64) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "tick")
            (func (export "_start")
                (loop
                    (drop (call $sleep (i64.const {period_ns})))
                    (drop (call $log (i32.const 2) (i32.const 16) (i32.const 4)))
                    (br 0))))"#
    )
}

/// Sends back what each of its connections to port 7 says, at most 64 of them at once.
pub const ECHO_TO_MANY: &str = r#"(module
    (import "sos" "tcp_listen" (func $listen (param i32 i32) (result i32)))
    (import "sos" "tcp_accept" (func $accept (param i32 i32 i32) (result i32)))
    (import "sos" "tcp_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "sos" "poll" (func $poll (param i32 i32 i64) (result i32)))
    (import "sos" "close" (func $close (param i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 16) "\04\00\07\00")
    (global $count (mut i32) (i32.const 1))
    ;; The place of the entry of this number: handle, interest, what is ready.
    (func $entry (param $number i32) (result i32)
        (i32.add (i32.const 1024) (i32.mul (local.get $number) (i32.const 12))))
    (func $watch (param $number i32) (param $handle i32)
        (i32.store (call $entry (local.get $number)) (local.get $handle))
        (i32.store offset=4 (call $entry (local.get $number)) (i32.const 1)))
    ;; Whether the connection goes on.
    (func $answer (param $socket i32) (result i32) (local $length i32) (local $at i32)
        (local $written i32)
        (local.set $length
            (call $read (local.get $socket) (i32.const 65536) (i32.const 32768) (i32.const 0)))
        (if (i32.lt_s (local.get $length) (i32.const 1)) (then (return (i32.const 0))))
        (loop $more
            (local.set $written (call $write (local.get $socket)
                (i32.add (i32.const 65536) (local.get $at)) (local.get $length) (i32.const 0)))
            (if (i32.lt_s (local.get $written) (i32.const 1)) (then (return (i32.const 0))))
            (local.set $at (i32.add (local.get $at) (local.get $written)))
            (local.set $length (i32.sub (local.get $length) (local.get $written)))
            (br_if $more (local.get $length)))
        (i32.const 1))
    (func (export "_start") (local $number i32)
        (call $watch (i32.const 0) (call $listen (i32.const 16) (i32.const 16)))
        (loop $again
            (drop (call $poll (i32.const 1024) (global.get $count) (i64.const -1)))
            ;; From the last to the first, so that the last can take the place of one that goes.
            (local.set $number (i32.sub (global.get $count) (i32.const 1)))
            (loop $each
                (if (i32.and (i32.ne (local.get $number) (i32.const 0))
                        (i32.ne (i32.load offset=8 (call $entry (local.get $number)))
                            (i32.const 0))) (then
                    (if (i32.eqz (call $answer
                            (i32.load (call $entry (local.get $number))))) (then
                        (drop (call $close (i32.load (call $entry (local.get $number)))))
                        (global.set $count (i32.sub (global.get $count) (i32.const 1)))
                        (call $watch (local.get $number)
                            (i32.load (call $entry (global.get $count))))))))
                (local.set $number (i32.sub (local.get $number) (i32.const 1)))
                (br_if $each (i32.gt_s (local.get $number) (i32.const 0))))
            (if (i32.and (i32.ne (i32.load offset=8 (i32.const 1024)) (i32.const 0))
                    (i32.lt_u (global.get $count) (i32.const 64))) (then
                (call $watch (global.get $count) (call $accept (i32.load (i32.const 1024))
                    (i32.const 0) (i32.const 0)))
                (global.set $count (i32.add (global.get $count) (i32.const 1)))))
            (br $again))))"#;

/// Sends bytes to `address` port 7 over one connection, about a hundred a second, logs "tick" for each answer, and
/// traps if one is missing, wrong, or the connection is not that one.
pub fn asks(address: [u8; 4]) -> String {
    let address: String = address.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(module
    (import "sos" "tcp_connect" (func $connect (param i32 i32) (result i32)))
    (import "sos" "tcp_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "\04\00\07\00\00\00\00\00{address}")
    (data (i32.const 64) "tick")
    (func (export "_start") (local $peer i32) (local $count i32)
        (loop $again
            (drop (call $sleep (i64.const 10000000)))
            (local.set $peer (call $connect (i32.const 16) (i32.const 0)))
            (br_if $again (i32.lt_s (local.get $peer) (i32.const 0))))
        (loop $more
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (i32.store8 (i32.const 1024) (i32.const 97))
            (if (i32.ne (call $write (local.get $peer) (i32.const 1024) (i32.const 1) (i32.const 0))
                        (i32.const 1)) (then unreachable))
            (if (i32.ne (call $read (local.get $peer) (i32.const 1024) (i32.const 1) (i32.const 0))
                        (i32.const 1)) (then unreachable))
            (if (i32.ne (i32.load8_u (i32.const 1024))
                        (i32.and (i32.const 255) (i32.add (i32.const 97) (local.get $count))))
                (then unreachable))
            (drop (call $log (i32.const 2) (i32.const 64) (i32.const 4)))
            (drop (call $sleep (i64.const 10000000)))
            (br $more))))"#
    )
}

/// What a stream holds at a place, from `$at`, a local.
const EXPECTED: &str = "(i32.and (i32.const 255) (i32.shr_u (i32.mul (local.get $at) (i32.const 0x9e3779b1)) (i32.const 13)))";

/// Sends a stream to `address` port 7 over one connection, 8 KiB and then two milliseconds of sleep, for ever.
pub fn sends_stream(address: [u8; 4]) -> String {
    let address: String = address.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(module
    (import "sos" "tcp_connect" (func $connect (param i32 i32) (result i32)))
    (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "\04\00\07\00\00\00\00\00{address}")
    (func (export "_start") (local $peer i32) (local $at i32) (local $end i32) (local $sent i32)
        (loop $again
            (drop (call $sleep (i64.const 10000000)))
            (local.set $peer (call $connect (i32.const 16) (i32.const 0)))
            (br_if $again (i32.lt_s (local.get $peer) (i32.const 0))))
        (loop $more
            (local.set $end (i32.add (local.get $at) (i32.const 8192)))
            (loop $fill
                (i32.store8 offset=1024 (i32.and (local.get $at) (i32.const 8191)) {EXPECTED})
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $fill (i32.ne (local.get $at) (local.get $end))))
            (local.set $sent (i32.const 0))
            (loop $rest
                (local.set $end (call $write (local.get $peer)
                    (i32.add (i32.const 1024) (local.get $sent))
                    (i32.sub (i32.const 8192) (local.get $sent)) (i32.const 0)))
                (if (i32.lt_s (local.get $end) (i32.const 1)) (then unreachable))
                (local.set $sent (i32.add (local.get $sent) (local.get $end)))
                (br_if $rest (i32.lt_u (local.get $sent) (i32.const 8192))))
            (drop (call $sleep (i64.const 2000000)))
            (br $more))))"#
    )
}

/// Takes the stream of [`sends_stream`] on port 7, logs "tick" for each 64 KiB, and traps if a byte is not the one that
/// belongs there or the stream ends.
pub fn takes_stream() -> String {
    format!(
        r#"(module
    (import "sos" "tcp_listen" (func $listen (param i32 i32) (result i32)))
    (import "sos" "tcp_accept" (func $accept (param i32 i32 i32) (result i32)))
    (import "sos" "tcp_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "\04\00\07\00")
    (data (i32.const 64) "tick")
    (func (export "_start") (local $peer i32) (local $at i32) (local $end i32) (local $from i32)
        (local.set $peer (call $accept (call $listen (i32.const 16) (i32.const 8))
            (i32.const 0) (i32.const 0)))
        (loop $more
            (local.set $from (local.get $at))
            (local.set $end (call $read (local.get $peer) (i32.const 1024) (i32.const 16384) (i32.const 0)))
            (if (i32.lt_s (local.get $end) (i32.const 1)) (then unreachable))
            (local.set $end (i32.add (local.get $at) (local.get $end)))
            (loop $check
                (if (i32.ne
                        (i32.load8_u offset=1024 (i32.sub (local.get $at) (local.get $from)))
                        {EXPECTED})
                    (then unreachable))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $check (i32.ne (local.get $at) (local.get $end))))
            (if (i32.ne (i32.shr_u (local.get $at) (i32.const 16))
                        (i32.shr_u (local.get $from) (i32.const 16)))
                (then (drop (call $log (i32.const 2) (i32.const 64) (i32.const 4)))))
            (br $more))))"#
    )
}
