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
