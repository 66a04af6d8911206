//! Small programs in WebAssembly's text format that several tests run.

use std::time::Duration;

/// Computes for ever.
pub const SPINS: &str =
    "(module (memory (export \"memory\") 1 1) (func (export \"_start\") (loop br 0)))";

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
