//! What is admitted covers what is allocated (D9): the least memory with which a verb is not refused, against the
//! most that it takes of the heap.

use super::HALF;
use sos_core::limits;
use sos_core::operator::{Contents, Packing, ToNode, ToOperator};
use sos_core::snapshot::format::{Encoder, MemoryHead};
use sos_tests::heap::peak_bytes;
use sos_tests::programs::ticks;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// What an admission leaves alone (`kernel/core/src/kernel/admission.rs`).
const RESERVE_BYTES: u64 = 2 * MIB;

/// A program with a large file, a large table, a full log, and thousands of calls under way.
const LARGE: &str = r#"(module
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 256) "made")
    (table 20000 20000 funcref)
    (elem declare func $deep)
    (func $deep (param $depth i32) (param $more i64) (local v128 v128 f64)
        (if (local.get $depth) (then
            (call $deep (i32.sub (local.get $depth) (i32.const 1)) (i64.const 7)))
        (else (loop (drop (call $sleep (i64.const 1000000000))) (br 0)))))
    (func (export "_start") (local $left i32)
        (table.fill (i32.const 0) (ref.func $deep) (i32.const 20000))
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 256) (i32.const 4)
            (i32.const 1) (i64.const 102) (i64.const 0) (i32.const 0) (i32.const 32)))
        (i32.store (i32.const 40) (i32.const 512))
        (i32.store (i32.const 44) (i32.const 65000))
        (local.set $left (i32.const 30))
        (loop $more
            (drop (call $write (i32.load (i32.const 32)) (i32.const 40) (i32.const 1)
                (i32.const 48)))
            (drop (call $log (i32.const 2) (i32.const 1024) (i32.const 1000)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $more (local.get $left)))
        (call $deep (i32.const 3000) (i64.const 1))))"#;

fn large() -> Cluster {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("large")
        .instance("large", LARGE)
        .with(|spec| spec.limits.memory_bytes = MIB);
    cluster.boot("node1", image.build());
    cluster.run_for(HALF);
    assert_eq!(cluster.state(0, "large").0, "waiting");
    cluster
}

fn held_bytes(cluster: &Cluster) -> u64 {
    let memory = &cluster.nodes[0].machine.memory;
    memory.total_bytes() - memory.free_bytes()
}

/// The least memory, beyond what is held before, with which a line at the shell succeeds: to 16 KiB.
fn least_bytes(before: &[&str], line: &str) -> u64 {
    let (mut refused, mut taken) = (0, 256 * MIB);
    while taken - refused > 16 * KIB {
        let free = (refused + taken) / 2;
        let mut cluster = large();
        before.iter().for_each(|line| drop(cluster.shell(0, line)));
        let total = held_bytes(&cluster) + free;
        cluster.nodes[0].machine.memory.set_total_bytes(total);
        match cluster.shell(0, line).contains("error: ") {
            true => refused = free,
            false => taken = free,
        }
    }
    taken
}

/// The most heap that a line at the shell takes, without what is a guest's memory.
fn most_bytes(before: &[&str], line: &str) -> u64 {
    let mut cluster = large();
    before.iter().for_each(|line| drop(cluster.shell(0, line)));
    let held = held_bytes(&cluster);
    let peak = peak_bytes(|| {
        let text = cluster.shell(0, line);
        assert!(!text.contains("error"), "{text}");
    });
    let guest = held_bytes(&cluster) - held;
    (peak as u64).saturating_sub(guest)
}

#[test]
fn what_a_verb_is_admitted_with_covers_what_it_allocates() {
    for (before, line) in [
        (&[][..], "snapshot large to s"),
        (
            &["snapshot large to r"],
            "snapshot large to s --incremental",
        ),
        (&[], "clone large as copy"),
        (&["snapshot large to s"], "restore s as copy"),
    ] {
        let most = most_bytes(before, line);
        let least = least_bytes(before, line);
        println!(
            "{line}: {} KiB taken, {} KiB asked for",
            most / KIB,
            least / KIB
        );
        assert!(most > 100 * KIB, "{line}: {most} bytes");
        assert!(
            least >= RESERVE_BYTES + most,
            "{line}: admitted with {} KiB, of which {} KiB are left alone, and takes {} KiB",
            least / KIB,
            RESERVE_BYTES / KIB,
            most / KIB
        );
    }
}

/// Fills half of each page of 12 MiB with noise, and waits.
const NOISE: &str = r#"(module
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 193)
    (func (export "_start") (local $at i32) (local $noise i64)
        (local.set $noise (i64.const 88172645463325252))
        (local.set $at (i32.const 65536))
        (loop $more
            (local.set $noise (i64.xor (local.get $noise)
                (i64.shl (local.get $noise) (i64.const 13))))
            (local.set $noise (i64.xor (local.get $noise)
                (i64.shr_u (local.get $noise) (i64.const 7))))
            (local.set $noise (i64.xor (local.get $noise)
                (i64.shl (local.get $noise) (i64.const 17))))
            (i64.store (local.get $at) (local.get $noise))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (if (i32.and (local.get $at) (i32.const 2048)) (then
                (local.set $at (i32.add (local.get $at) (i32.const 2048)))))
            (br_if $more (i32.lt_u (local.get $at) (i32.const 12648448))))
        (loop (drop (call $sleep (i64.const 1000000000))) (br 0))))"#;

/// A snapshot's file on its way.
struct Sent {
    /// The bytes that the node said it would have, before the first of them came.
    drafted: Option<u64>,
    bytes: u64,
    /// The most heap that the node took for it, with what was on the way.
    peak_bytes: u64,
}

fn send_file(program: &str, packing: Packing) -> Sent {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("sends").instance("sends", program);
    let image = image.with(|spec| spec.limits.memory_bytes = 16 * MIB);
    cluster.boot("node1", image.build());
    cluster.run_for(HALF);
    assert_eq!(cluster.state(0, "sends").0, "waiting");
    cluster.done(0, "snapshot sends to s");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let mut sent = Sent {
        drafted: None,
        bytes: 0,
        peak_bytes: 0,
    };
    let peak = peak_bytes(|| {
        let export = ToNode::Export {
            request: 1,
            snapshot: "s",
            contents: Contents::StateOnly,
            packing,
        };
        outsider.say(&mut cluster, &export);
        let mut is_done = false;
        while !is_done {
            outsider.expect(&mut cluster, |message| match message {
                ToOperator::SnapshotDrafted { bytes, .. } => sent.drafted = Some(*bytes),
                ToOperator::SnapshotData { data, .. } => sent.bytes += data.0.len() as u64,
                ToOperator::Done { .. } => is_done = true,
                other => panic!("{other:?}"),
            });
        }
    });
    sent.peak_bytes = peak as u64;
    sent
}

#[test]
fn a_file_is_drafted_as_far_as_its_draft_may_grow() {
    let memory = |pages: u64| {
        let bytes = pages * 64 * KIB;
        Encoder::heap_bytes(
            &[MemoryHead { number: 0, bytes }],
            limits::SNAPSHOT_DRAFT_BYTES,
        )
    };
    // Frames in the node, on the channel and in the reader.
    let on_the_way = 4 * limits::OPERATOR_OUTPUT_BYTES as u64;
    let many_files = LARGE.replace(
        "(local.set $left (i32.const 30))",
        "(local.set $left (i32.const 200))",
    );
    for (what, program, packing, pages, least_bytes) in [
        ("a state", &many_files[..], Packing::Plain, 2, 12 * MIB),
        (
            "pages in LZ4 blocks",
            NOISE,
            Packing::Compressed,
            193,
            6 * MIB,
        ),
    ] {
        let sent = send_file(program, packing);
        assert!(sent.bytes > least_bytes, "{what}: {} bytes", sent.bytes);
        assert_eq!(sent.drafted, None, "{what}: nothing is held whole");
        let most = memory(pages) + on_the_way;
        println!(
            "{what}: {} KiB, at most {} KiB",
            sent.peak_bytes / KIB,
            most / KIB
        );
        assert!(sent.peak_bytes < most, "{what}: {} bytes", sent.peak_bytes);
        assert!(most < least_bytes, "what is held whole would show");
    }
    for (what, program) in [
        ("a small one", &ticks(HALF)[..]),
        ("pages as they are", NOISE),
    ] {
        let sent = send_file(program, Packing::Plain);
        assert_eq!(sent.drafted, Some(sent.bytes), "{what}");
        let most = memory(193) + on_the_way;
        assert!(sent.peak_bytes < most, "{what}: {} bytes", sent.peak_bytes);
    }
}
