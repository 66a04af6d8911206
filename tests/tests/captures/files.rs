//! Sleep, files, pieces, and the pipes of an operator.

use super::programs::{
    copier, file_reader, file_writer, made_bytes, random_filler, sleeper, sum_of,
};
use super::{CAPTURES, Manner, Run, assert_same};
use sos_core::host::OutputStream;
use sos_core::limits;
use sos_core::machine::Duration;
use sos_core::operator::{Bytes, ToNode, ToOperator};
use sos_tests::programs::SPINS;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;

const ALL: [Manner; 4] = [
    Manner::Running,
    Manner::Suspended,
    Manner::Stopped,
    Manner::Filed,
];

/// Runs an image's instance `it` with a capture after every `step`.
fn run(image: &ImageBuilder, manner: Manner, step: Duration) -> Vec<u64> {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.clone().build());
    // It has started, and has done little.
    cluster.run_for(Duration::from_millis(1));
    let mut run = Run::new(cluster, manner, &["it"]);
    run.capture_every(step);
    run.finish("it")
}

/// Runs an image without captures and with them in all of these manners. The number at `end` is the guest
/// time at the end, by which captures are spread over the run; those at `times` are guest times.
fn same_with_captures(image: ImageBuilder, manners: &[Manner], end: usize, times: &[usize]) {
    let expected = run(&image, Manner::Never, Duration::ZERO);
    let step = Duration::from_nanos(expected[end]) / (CAPTURES as u32 * 2);
    for &manner in manners {
        let told = run(&image, manner, step);
        assert_same(manner, &told, &expected, times);
    }
}

#[test]
fn a_sleep_ends_on_time_through_a_hundred_captures() {
    let image = ImageBuilder::new("captures").instance("it", sleeper());
    let step = Duration::from_millis(8);
    let expected = run(&image, Manner::Never, step);
    assert!(expected[2] - expected[0] >= 1_000_000_000, "{expected:?}");
    for manner in ALL {
        assert_eq!(run(&image, manner, step), expected, "{manner:?}");
    }
}

#[test]
fn a_large_read_of_a_file_gives_every_byte_through_a_hundred_captures() {
    let bytes: Vec<u8> = (0..10_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    let image = ImageBuilder::new("captures")
        .instance("it", file_reader())
        .file("/data", &bytes);
    let told = run(&image, Manner::Never, Duration::ZERO);
    assert_eq!(told[..2], [0, sum_of(&bytes)]);
    same_with_captures(image, &ALL, 2, &[2]);
}

#[test]
fn a_large_write_to_a_file_keeps_every_byte_through_a_hundred_captures() {
    let image = ImageBuilder::new("captures").instance("it", file_writer());
    let told = run(&image, Manner::Never, Duration::ZERO);
    assert_eq!(told[3], sum_of(&made_bytes(500_000)));
    same_with_captures(image, &ALL, 1, &[1, 4]);
}

#[test]
fn a_call_in_pieces_goes_on_through_a_hundred_captures() {
    let image = ImageBuilder::new("captures")
        .instance("it", random_filler())
        // Beside one that computes, it has no more than one slice in a turn.
        .instance("spins", SPINS);
    // After a restore from a file, which may be the second, random numbers are others.
    let manners = [Manner::Running, Manner::Suspended, Manner::Stopped];
    same_with_captures(image, &manners, 1, &[]);
}

/// Bytes that go through an operator's pipes, there and back.
const PIPED: usize = 400_000;

#[test]
fn pipes_carry_every_byte_through_a_hundred_snapshots() {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", ImageBuilder::new("captures").build());
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    // Output comes only as it is asked for, so that writes wait as well as reads.
    outsider.launch(&mut cluster, 1, &copier(), [0, 0]);
    let mut run = Run::new(cluster, Manner::Running, &["guest"]);
    let sent = made_bytes(PIPED);
    let (mut fed, mut received) = (0, Vec::new());
    while received.len() < PIPED {
        // What is on its way has room in the pipe, whatever of it was read.
        let room = limits::STREAM_BYTES - (fed - received.len());
        let more = room.min(PIPED - fed).min(20_000);
        let data = Bytes(&sent[fed..fed + more]);
        outsider.say(&mut run.cluster, &ToNode::Input { request: 1, data });
        fed += more;
        run.capture();
        let room = ToNode::Room {
            request: 1,
            stream: OutputStream::Output,
            bytes: 3000,
        };
        outsider.say(&mut run.cluster, &room);
        outsider.listen(&mut run.cluster, |message| match message {
            ToOperator::Output { data, .. } => received.extend_from_slice(data.0),
            other => panic!("{other:?}"),
        });
    }
    assert!(received == sent, "{} of {PIPED} bytes", received.len());
    assert!(run.captures >= CAPTURES, "{} captures", run.captures);
}
