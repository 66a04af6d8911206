//! The programs whose snapshots the fuzzers begin with: small, and between them with a part of every kind.

use crate::programs::ticks;
use crate::sim::cluster::Cluster;
use crate::sim::image::{ImageBuilder, switch};
use sos_core::machine::Duration;

/// Answers on TCP and UDP port 7, with a listener, a connection and a datagram that wait.
const SERVER: &str = r#"(module
    (import "sos" "tcp_listen" (func $listen (param i32 i32) (result i32)))
    (import "sos" "tcp_accept" (func $accept (param i32 i32 i32) (result i32)))
    (import "sos" "tcp_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "sos" "udp_bind" (func $bind (param i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 1 2)
    (global $count (mut i32) (i32.const 0))
    (data (i32.const 16) "\04\00\07\00")
    (func (export "_start") (local $listener i32) (local $peer i32)
        (drop (call $bind (i32.const 16)))
        (local.set $listener (call $listen (i32.const 16) (i32.const 2)))
        (loop $serve
            (local.set $peer (call $accept (local.get $listener) (i32.const 0) (i32.const 0)))
            (loop $more
                (if (i32.gt_s (call $read (local.get $peer) (i32.const 1024) (i32.const 64) (i32.const 0))
                              (i32.const 0))
                    (then
                        (global.set $count (i32.add (global.get $count) (i32.const 1)))
                        (drop (call $write (local.get $peer) (i32.const 1024) (i32.const 9) (i32.const 0)))
                        (drop (call $sleep (i64.const 3000000)))
                        (br $more))))
            (br $serve))))"#;

/// Computes: calls of every kind, operands of every type, tables, segments, bulk operations.
const BUSY: &str = r#"(module
    (import "library" "turn" (func $turn (param i64 i32) (result i64)))
    (import "library" "table" (table 6 funcref))
    (memory (export "memory") 1 2)
    (global $sum (mut i64) (i64.const 1)) (global (mut f32) (f32.const 2))
    (global (mut funcref) (ref.func $add)) (global (mut v128) (v128.const i32x4 1 2 3 4))
    (type $step (func (param i64) (result i64)))
    (elem (table 0) (i32.const 0) func $add $double) (elem $later func $add $double)
    (data $text "some bytes")
    (func $add (param i64) (result i64) (i64.add (local.get 0) (i64.const 3)))
    (func $double (param i64) (result i64) (return_call $deep (i64.shl (local.get 0) (i64.const 1)) (i32.const 5)))
    (func $deep (param i64 i32) (result i64) (local f64 externref)
        (f64.const 1.5) (v128.const i64x2 5 6)
        (if (result i64) (local.get 1)
            (then (call $deep (local.get 0) (i32.sub (local.get 1) (i32.const 1))))
            (else (call $turn (local.get 0) (i32.const 9))))
        (local.set 0) (drop) (drop) (local.get 0))
    (func (export "_start") (local $n i32)
        (loop $again
            (memory.fill (i32.const 100) (local.get $n) (i32.const 20000))
            (memory.init $text (local.get $n) (i32.const 0) (i32.const 4))
            (global.set $sum (call_indirect (type $step) (global.get $sum)
                (i32.and (local.get $n) (i32.const 1))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (if (i32.eq (local.get $n) (i32.const 9)) (then (elem.drop $later)))
            (br $again))))"#;

/// What it links with: a state of its own.
const LIBRARY: &str = r#"(module
    (table (export "table") 6 12 funcref) (memory 1 1) (global $calls (mut i32) (i32.const 0))
    (func (export "turn") (param i64 i32) (result i64)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store (i32.const 8) (global.get $calls))
        (block $out (loop $round
            (br_if $out (i32.eqz (local.get 1)))
            (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
            (local.set 0 (i64.rotl (local.get 0) (i64.const 7)))
            (br_table $round $round $round (local.get 1))))
        (local.get 0)))"#;

/// Writes files in WASI's way, holds several open, and waits for a clock among other things.
const FILES: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1 2)
    (data (i32.const 8) "\10\00\00\00\06\00\00\00")
    (data (i32.const 16) "letter") (data (i32.const 32) "folder/a") (data (i32.const 48) "link")
    (data (i32.const 104) "\01\00\00\00\00\00\00\00\40\42\0f\00")
    (func (export "_start")
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 9)
            (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 64)))
        (drop (call $write (i32.load (i32.const 64)) (i32.const 8) (i32.const 1) (i32.const 68)))
        (drop (call $mkdir (i32.const 3) (i32.const 32) (i32.const 6)))
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 8) (i32.const 9)
            (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 1) (i32.const 64)))
        (drop (call $write (i32.load (i32.const 64)) (i32.const 8) (i32.const 1) (i32.const 68)))
        (drop (call $symlink (i32.const 16) (i32.const 6) (i32.const 3) (i32.const 48) (i32.const 4)))
        (drop (call $unlink (i32.const 3) (i32.const 32) (i32.const 8)))
        (loop $again
            (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 68)))
            (drop (call $list (i32.const 3) (i32.const 512) (i32.const 100) (i64.const 0) (i32.const 68)))
            (drop (call $write (i32.load (i32.const 64)) (i32.const 8) (i32.const 1) (i32.const 68)))
            (drop (call $poll (i32.const 88) (i32.const 600) (i32.const 1) (i32.const 68)))
            (br $again))))"#;

/// Bytes of memory that each may have.
const MEMORY_BYTES: u64 = 1 << 20;

fn small(builder: ImageBuilder) -> ImageBuilder {
    builder.with(|instance| instance.limits.memory_bytes = MEMORY_BYTES)
}

/// Names of the programs.
pub const NAMES: [&str; 4] = ["server", "busy", "files", "sleeper"];

/// An image that has all of them.
pub fn image() -> Vec<u8> {
    let lan = || switch("lan");
    let image = ImageBuilder::new("seeds").switch("lan", Some("nic0"));
    let image = small(image.instance("server", SERVER)).port("eth0", lan(), "10.0.0.1/24");
    let image = image.port("eth1", lan(), "fd00::1/64");
    let image = small(image.instance("busy", BUSY)).library("library", LIBRARY);
    let image = image.config("key", "value");
    let image = small(image.instance("files", FILES)).file("/etc/motd", b"read only");
    small(image.instance("sleeper", ticks(Duration::from_millis(1)))).build()
}

/// A node that has run all of them for a while, with connections to the server.
///
/// # Panics
/// When they do not run.
pub fn running() -> Cluster {
    let (mut cluster, client) = Cluster::beside_client(image());
    let sockets = [(); 2].map(|()| cluster.connect(client, "10.0.0.1:7").expect("a connection"));
    for socket in sockets {
        cluster.write_all(socket, &[7; 100]).expect("room");
    }
    let datagrams = cluster.udp_bind(client).expect("a socket");
    cluster
        .send_to(datagrams, b"datagram", "10.0.0.1:7")
        .expect("sent");
    cluster.run_for(Duration::from_millis(4));
    cluster
}
