//! Programs that are hard to freeze: each holds as much as the limits allow by default of one thing that a capture
//! looks at while its instance stands, and then never waits.

use std::time::Duration;

use sos_core::limits;

/// Calls inside calls that a program makes: as many as it may by default, but some for its beginning.
const CALLS: usize = limits::CALL_DEPTH as usize - 100;

/// A program that never waits.
pub(super) struct Hostile {
    pub(super) name: &'static str,
    /// Limits, and ports, in the manifest.
    pub(super) limits: &'static str,
    pub(super) text: fn() -> String,
    /// How long it takes to get everything that it holds.
    pub(super) settling: Duration,
    /// What it needs beside itself.
    pub(super) beside: Option<Beside>,
}

/// Another instance.
pub(super) struct Beside {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    /// What else is in the manifest.
    pub(super) rest: &'static str,
}

impl Hostile {
    /// One that is there soon and alone, and needs little memory.
    const fn new(name: &'static str, text: fn() -> String) -> Hostile {
        Hostile {
            name,
            limits: "limits.memory = \"1MiB\"",
            text,
            settling: Duration::from_millis(300),
            beside: None,
        }
    }
}

pub(super) const HOSTILE: [Hostile; 11] = [
    Hostile::new("endless", || {
        r#"(module (func (export "_start") (loop $again (br $again))))"#.into()
    }),
    // All of its memory is touched, and written again and again, by one operator each time.
    Hostile {
        limits: "limits.memory = \"256MiB\"",
        ..Hostile::new("filling", || {
            r#"(module (memory 4096) (func (export "_start") (local $byte i32) (loop $again
            (memory.fill (i32.const 0) (local.tee $byte (i32.add (local.get $byte) (i32.const 1)))
                (i32.const 0x1000_0000))
            (br $again))))"#
                .into()
        })
    },
    // As deep as calls may be by default.
    Hostile::new("deep", || {
        format!(
            r#"(module (func $down (param i32 i64 f64) (local i32 i64)
            (if (i32.eqz (local.get 0)) (then (loop $again (br $again))))
            (call $down (i32.sub (local.get 0) (i32.const 1)) (local.get 1) (local.get 2)))
            (func (export "_start") (call $down (i32.const {CALLS}) (i64.const 1) (f64.const 2))))"#
        )
    }),
    // As deep, and back to thousands of places.
    Hostile::new("scattered", || scattered(3000, 1)),
    // The same with as many operands in each call as the stack has room for, each told by itself.
    Hostile {
        settling: Duration::from_secs(1),
        ..Hostile::new("wide", || scattered(CALLS, 13))
    },
    // As deep, each call in a function of its own.
    Hostile::new("functions", functions),
    // As many elements of tables as there may be by default, no two neighbours alike.
    Hostile::new("elements", || {
        r#"(module (table $t 100000 funcref) (elem declare func $a $b)
            (func $a) (func $b) (func (export "_start") (local $i i32)
                (loop $next
                    (table.set $t (local.get $i) (select (result funcref)
                        (ref.func $a) (ref.func $b) (i32.and (local.get $i) (i32.const 1))))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                        (i32.const 100000))))
                (loop $again (br $again))))"#
            .into()
    }),
    // As many things as the modules of an instance may hold by default that are looked at one by one.
    Hostile::new("holding", holding),
    // As many imports, and a table full of them.
    Hostile::new("imports", imports),
    // As many names of files as there may be by default, of the longest.
    Hostile {
        settling: Duration::from_secs(4),
        ..Hostile::new("names", names)
    },
    // As many connections as there may be by default, with all their buffers full.
    Hostile {
        limits: "limits.memory = \"1MiB\"\n[instance.sockets.port.eth0]\nlink = \"wire\"\naddress = \"10.1.0.1/24\"\n",
        settling: Duration::from_secs(15),
        beside: Some(Beside {
            name: "sink",
            text: SINK,
            rest: "limits.memory = \"1MiB\"\n[instance.sink.port.eth0]\nlink = \"wire\"\naddress = \"10.1.0.2/24\"\n[link.wire]\n",
        }),
        ..Hostile::new("sockets", || SOCKETS.into())
    },
];

/// Calls in one function, of which each nested call takes the next; below each lie some operands.
fn scattered(places: usize, operands: usize) -> String {
    let mut text = format!(
        r#"(module (func (export "_start") (call $down (i32.const {CALLS})))
        (func $one (param i64) (result i64) (local.get 0))
        (func $down (param i32) (if (i32.eqz (local.get 0)) (then (loop $again (br $again))))
        block $out "#,
    );
    text += &"block ".repeat(places);
    text += &format!("local.get 0 i32.const {places} i32.rem_u br_table");
    (0..places).for_each(|place| text += &format!(" {place}"));
    for place in 0..places {
        text += " end";
        (1..operands).for_each(|_| text += &format!(" i64.const {place} call $one"));
        text += &format!(
            " i64.const {place} local.get 0 i32.const 1 i32.sub call $down {} br {}",
            "drop ".repeat(operands),
            places - 1 - place
        );
    }
    text + " end))"
}

/// Functions of which each calls the next.
fn functions() -> String {
    let mut text = String::from("(module ");
    for index in 1..CALLS {
        text += &format!("(func (param i32 i64) (call {index} (local.get 0) (local.get 1)))");
    }
    text + "(func (param i32 i64) (loop $again (br $again)))
        (func (export \"_start\") (call 0 (i32.const 1) (i64.const 2))))"
}

fn holding() -> String {
    let globals = "(global (mut i64) (i64.const 1))".repeat(2_400);
    let segments = "(data \"a\")".repeat(11_250);
    let elements = "(elem func $a)".repeat(11_250);
    format!(
        r#"(module (func $a) {globals} {segments} {elements}
        (func (export "_start") (data.drop 7) (elem.drop 9) (loop $again (br $again))))"#
    )
}

fn imports() -> String {
    const IMPORTS: usize = 24_900;
    /// Calls without parameters, and what they return.
    const CALLS: [(&str, &str); 4] = [
        ("yield_now", "i32"),
        ("args_count", "i32"),
        ("clock_monotonic", "i64"),
        ("clock_wall", "i64"),
    ];
    let mut text = String::from("(module ");
    for (call, result) in CALLS.iter().cycle().take(IMPORTS) {
        text += &format!("(import \"sos\" \"{call}\" (func (result {result})))");
    }
    text += "(table 99600 funcref)";
    for first in (0..4 * IMPORTS).step_by(IMPORTS) {
        text += &format!("(elem (i32.const {first}) func");
        (0..IMPORTS).for_each(|index| text += &format!(" {}", index * 7 % IMPORTS));
        text += ")";
    }
    text + r#"(func (export "_start") (loop $again (br $again))))"#
}

/// Directories beside each other, whose names differ in the first four letters.
fn names() -> String {
    r#"(module (import "wasi_snapshot_preview1" "path_create_directory"
            (func $create (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local $i i32)
            (memory.fill (i32.const 1024) (i32.const 97) (i32.const 255))
            (loop $next
                (i32.store (i32.const 1024) (i32.add (i32.const 0x61616161) (i32.or
                    (i32.or (i32.and (local.get $i) (i32.const 15))
                        (i32.shl (i32.and (local.get $i) (i32.const 0xf0)) (i32.const 4)))
                    (i32.or (i32.shl (i32.and (local.get $i) (i32.const 0xf00)) (i32.const 8))
                        (i32.shl (i32.and (local.get $i) (i32.const 0xf000)) (i32.const 12))))))
                (drop (call $create (i32.const 3) (i32.const 1024) (i32.const 255)))
                (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                    (i32.const 16383))))
            (loop $again (br $again))))"#
        .into()
}

/// Connects as often as it can, and then writes what it can.
const SOCKETS: &str = r#"(module
    (import "sos" "tcp_connect" (func $connect (param i32 i32) (result i32)))
    (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 16) "\04\00\58\1b\00\00\00\00\0a\01\00\02")
    (func (export "_start") (local $i i32) (local $handle i32)
        (loop $next
            (local.set $handle (call $connect (i32.const 16) (i32.const 0)))
            (if (i32.ge_s (local.get $handle) (i32.const 0)) (then
                (i32.store (i32.add (i32.const 1024) (i32.shl (local.get $i) (i32.const 2)))
                    (local.get $handle))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 250))))
        (loop $again
            (local.set $i (i32.const 0))
            (loop $each
                (drop (call $write
                    (i32.load (i32.add (i32.const 1024) (i32.shl (local.get $i) (i32.const 2))))
                    (i32.const 4096) (i32.const 65536) (i32.const 1)))
                (br_if $each (i32.lt_u
                    (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 250))))
            (br $again))))"#;

/// Accepts all connections, and writes what it can; neither reads.
const SINK: &str = r#"(module
    (import "sos" "tcp_listen" (func $listen (param i32 i32) (result i32)))
    (import "sos" "tcp_accept" (func $accept (param i32 i32 i32) (result i32)))
    (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 16) "\04\00\58\1b")
    (func (export "_start") (local $i i32) (local $count i32) (local $handle i32) (local $listener i32)
        (local.set $listener (call $listen (i32.const 16) (i32.const 64)))
        (loop $again
            (local.set $handle (call $accept (local.get $listener) (i32.const 1) (i32.const 0)))
            (if (i32.ge_s (local.get $handle) (i32.const 0)) (then
                (i32.store (i32.add (i32.const 1024) (i32.shl (local.get $count) (i32.const 2)))
                    (local.get $handle))
                (local.set $count (i32.add (local.get $count) (i32.const 1)))))
            (local.set $i (i32.const 0))
            (if (local.get $count) (then (loop $each
                (drop (call $write
                    (i32.load (i32.add (i32.const 1024) (i32.shl (local.get $i) (i32.const 2))))
                    (i32.const 4096) (i32.const 65536) (i32.const 1)))
                (br_if $each (i32.lt_u
                    (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))))
            (br $again))))"#;
