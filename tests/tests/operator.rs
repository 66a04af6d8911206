//! The operator's protocol, on simulated nodes: an outsider launches instances over the channel.

use sos_core::control::Request;
use sos_core::host::OutputStream;
use sos_core::image::blob_hash;
use sos_core::limits;
use sos_core::operator::{self, Bytes, Refusal, RunEnd, ToNode, ToOperator, Violation};
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;

const ROOM: [u32; 2] = [1 << 20; 2];

/// Writes a line and ends with status 3.
const HELLO: &str = r#"(module
    (import "sos" "console_write" (func $write (param i32 i32) (result i32)))
    (import "sos" "exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "hello\n")
    (func (export "_start")
        (drop (call $write (i32.const 16) (i32.const 6)))
        (call $exit (i32.const 3))))"#;

/// Copies its input to its output until the input ends.
const CAT: &str = r#"(module
    (import "sos" "console_write" (func $write (param i32 i32) (result i32)))
    (import "sos" "console_read" (func $read (param i32 i32 i32) (result i32)))
    (memory (export "memory") 2 2)
    (func (export "_start") (local $length i32) (local $at i32)
        (loop $more
            (local.set $length (call $read (i32.const 16) (i32.const 50000) (i32.const 0)))
            (local.set $at (i32.const 16))
            (if (local.get $length) (then
                (loop $rest
                    (local.set $at (i32.add (local.get $at)
                        (call $write (local.get $at)
                            (i32.sub (i32.add (local.get $length) (i32.const 16)) (local.get $at)))))
                    (br_if $rest (i32.lt_u (local.get $at)
                        (i32.add (local.get $length) (i32.const 16)))))
                (br $more))))))"#;

/// Writes 4 KiB pieces for ever.
const FLOOD: &str = r#"(module
    (import "sos" "console_write" (func $write (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (loop $ever (drop (call $write (i32.const 16) (i32.const 4096))) (br $ever))))"#;

const TRAP: &str = r#"(module (memory (export "memory") 1)
    (func $culprit unreachable) (func (export "_start") (call $culprit)))"#;

fn node() -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.boot("alpha", ImageBuilder::new("alpha").build());
    cluster
}

fn instances(cluster: &mut Cluster) -> usize {
    cluster.json(0, "ls --json").as_array().expect("rows").len()
}

#[test]
fn an_outsider_launches_a_program_and_gets_all_of_it() {
    let mut cluster = node();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    outsider.launch(&mut cluster, 5, HELLO, ROOM);
    let mut said = Vec::new();
    outsider.listen(&mut cluster, |message| match message {
        ToOperator::Output {
            request: 5,
            stream: OutputStream::Output,
            data,
        } => {
            said.push(String::from_utf8_lossy(data.0).into_owned());
        }
        ToOperator::Ended { request: 5, ended } => {
            assert_eq!(ended.end, RunEnd::Exited(3));
            assert!(ended.usage.translate_nanos == 0 || ended.usage.cpu_nanos > 0);
            said.push("ended".into());
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(said, ["hello\n", "ended"]);
    outsider.say(&mut cluster, &ToNode::Remove { request: 5 });
    outsider.expect(&mut cluster, |message| {
        assert_eq!(*message, ToOperator::Done { request: 5 });
    });
    assert_eq!(instances(&mut cluster), 0);
}

#[test]
fn missing_blobs_are_named_and_wrong_ones_refused() {
    let mut cluster = node();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let module = wat::parse_str(HELLO).unwrap();
    let hash = blob_hash(&module);
    outsider.say_launch(&mut cluster, 1, hash, ROOM);
    outsider.expect(&mut cluster, |message| {
        let hashes = vec![hash];
        assert_eq!(*message, ToOperator::Missing { request: 1, hashes });
    });
    let refused = |wanted: Refusal| {
        move |message: &ToOperator<'_>| match message {
            ToOperator::Refused { refusal, .. } => assert_eq!(*refusal, wanted),
            other => panic!("{other:?}"),
        }
    };
    outsider.expect(&mut cluster, refused(Refusal::MissingBlobs));
    let mut damaged = module.clone();
    damaged[10] ^= 1;
    outsider.put(&mut cluster, 2, hash, &damaged);
    outsider.expect(&mut cluster, refused(Refusal::WrongHash { promised: hash }));
    let bytes = limits::BLOB_BYTES as u64 + 1;
    outsider.say(
        &mut cluster,
        &ToNode::PutBlob {
            request: 3,
            hash,
            bytes,
        },
    );
    outsider.expect(&mut cluster, refused(Refusal::BlobTooLarge { bytes }));
}

#[test]
fn output_comes_only_as_far_as_there_is_leave_and_nothing_is_lost() {
    let mut cluster = node();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    outsider.launch(&mut cluster, 1, CAT, [0, 0]);
    let sent: Vec<u8> = (0..100_000_u32).map(|number| (number / 7) as u8).collect();
    let mut received = Vec::new();
    let mut fed = 0;
    for round in 0..1000 {
        // Input within the least room that was ever told: the pipe's own length, once.
        if fed == 0 {
            let first = &sent[..limits::STREAM_BYTES.min(50_000)];
            let data = Bytes(first);
            outsider.say(&mut cluster, &ToNode::Input { request: 1, data });
            fed = first.len();
        }
        outsider.say(
            &mut cluster,
            &ToNode::Room {
                request: 1,
                stream: OutputStream::Output,
                bytes: 1000,
            },
        );
        let before = received.len();
        outsider.listen(&mut cluster, |message| match message {
            ToOperator::Output { data, .. } => received.extend_from_slice(data.0),
            other => panic!("{other:?}"),
        });
        assert!(received.len() - before <= 1000, "round {round}");
        if received.len() == fed {
            break;
        }
    }
    assert!(received == sent[..fed], "{} of {fed} bytes", received.len());
    outsider.say(&mut cluster, &ToNode::InputEnd { request: 1 });
    outsider.expect(&mut cluster, |message| match message {
        ToOperator::Ended { ended, .. } => assert_eq!(ended.end, RunEnd::Exited(0)),
        other => panic!("{other:?}"),
    });
}

#[test]
fn a_flood_that_nobody_reads_holds_up_itself_alone() {
    let mut cluster = node();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    outsider.launch(&mut cluster, 1, FLOOD, [u32::MAX; 2]);
    // Nobody takes frames from the channel: the program comes to rest, the shell answers.
    cluster.run_for(core::time::Duration::from_millis(200));
    let (state, detail) = cluster.state(0, "guest");
    assert_eq!(
        (state.as_str(), detail.as_str()),
        ("waiting", "console_write")
    );
    outsider.say(&mut cluster, &ToNode::Kill { request: 1 });
    let mut bytes = 0;
    let mut ended = false;
    for _ in 0..20 {
        outsider.listen(&mut cluster, |message| match message {
            ToOperator::Output { data, .. } => bytes += data.0.len(),
            ToOperator::Ended { ended: how, .. } => {
                assert_eq!(how.end, RunEnd::Killed);
                ended = true;
            }
            other => panic!("{other:?}"),
        });
    }
    assert!(ended);
    assert!(bytes <= 4 * limits::OPERATOR_OUTPUT_BYTES, "{bytes}");
}

#[test]
fn what_breaks_the_protocol_ends_the_conversation_and_its_programs() {
    let mut cluster = node();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    outsider.launch(&mut cluster, 1, CAT, ROOM);
    assert_eq!(instances(&mut cluster), 1);
    let flood = vec![0; limits::OPERATOR_PIECE_BYTES];
    let data = Bytes(&flood);
    outsider.say(&mut cluster, &ToNode::Input { request: 1, data });
    outsider.say(&mut cluster, &ToNode::Input { request: 1, data });
    let mut broken = None;
    outsider.listen(&mut cluster, |message| match message {
        ToOperator::Broken(violation) => broken = Some(violation.clone()),
        ToOperator::Output { .. } => {}
        other => panic!("{other:?}"),
    });
    assert_eq!(broken, Some(Violation::BeyondRoom { request: 1 }));
    assert_eq!(instances(&mut cluster), 0);
    // What still comes is dropped, and the next one is served.
    outsider.say(&mut cluster, &ToNode::Kill { request: 1 });
    outsider.listen(&mut cluster, |message| panic!("{message:?}"));
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    outsider.launch(&mut cluster, 1, HELLO, ROOM);
}

#[test]
fn bytes_that_are_no_messages_break_a_conversation_and_no_node() {
    for bytes in [
        &[0xff; 4][..],
        &[1, 0, 0, 0, 0xee],
        &[0; 4],
        b"GET / HTTP/1.1\r\n",
    ] {
        let mut cluster = node();
        let mut outsider = Outsider::greeted(&mut cluster, 0);
        outsider.send(&mut cluster, bytes);
        let mut broken = false;
        outsider.listen(&mut cluster, |message| {
            broken = matches!(message, ToOperator::Broken(_));
        });
        assert!(broken, "{bytes:?}");
        Outsider::greeted(&mut cluster, 0);
    }
}

#[test]
fn requests_before_the_greeting_is_answered_are_a_violation() {
    let mut cluster = node();
    let mut outsider = Outsider::connect(&mut cluster, 0);
    outsider.say(&mut cluster, &ToNode::Kill { request: 1 });
    let mut last = None;
    outsider.listen(&mut cluster, |message| {
        last = Some(format!("{message:?}"));
    });
    assert_eq!(last.as_deref(), Some("Broken(NoHello)"));
}

#[test]
fn programs_end_with_the_conversation_and_their_places_are_used_again() {
    let mut cluster = node();
    for _ in 0..3 {
        let mut outsider = Outsider::greeted(&mut cluster, 0);
        for request in 0..5 {
            outsider.launch(&mut cluster, request, CAT, ROOM);
        }
        assert_eq!(instances(&mut cluster), 5);
        outsider.leave(&mut cluster);
        cluster.run_for(core::time::Duration::from_millis(10));
        assert_eq!(instances(&mut cluster), 0);
    }
    let free = cluster.nodes[0].machine.memory.total_bytes();
    let left = sos_core::machine::Machine::memory_stats(&cluster.nodes[0].machine).free_bytes;
    assert_eq!(left, free);
}

#[test]
fn a_conversation_runs_so_many_programs_and_no_more() {
    let mut cluster = node();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    for request in 0..limits::OPERATOR_RUNS as u32 {
        outsider.launch(&mut cluster, request, CAT, ROOM);
    }
    let hash = blob_hash(&wat::parse_str(CAT).unwrap());
    outsider.say_launch(&mut cluster, 1000, hash, ROOM);
    outsider.expect(&mut cluster, |message| {
        assert_eq!(*message, ToOperator::Broken(Violation::TooManyRequests));
    });
}

#[test]
fn a_trap_comes_with_the_functions_that_led_to_it() {
    let mut cluster = node();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    outsider.launch(&mut cluster, 1, TRAP, ROOM);
    outsider.expect(&mut cluster, |message| match message {
        ToOperator::Ended { ended, .. } => match &ended.end {
            RunEnd::Trapped { reason, backtrace } => {
                assert!(reason.contains("unreachable"), "{reason}");
                assert!(backtrace[0].contains("culprit"), "{backtrace:?}");
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    });
}

#[test]
fn what_the_shell_can_ask_is_answered_in_json() {
    let mut cluster = node();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let wanted = operator::encode(&Request::Node);
    let data = Bytes(&wanted);
    outsider.say(&mut cluster, &ToNode::Control { request: 9, data });
    outsider.expect(&mut cluster, |message| match message {
        ToOperator::Report {
            request: 9,
            last: true,
            data,
        } => {
            let report: serde_json::Value = serde_json::from_slice(data.0).unwrap();
            assert_eq!(report["name"], "alpha");
        }
        other => panic!("{other:?}"),
    });
    let name = "nobody".to_string();
    let wanted = operator::encode(&Request::Kill { name });
    let data = Bytes(&wanted);
    outsider.say(&mut cluster, &ToNode::Control { request: 10, data });
    outsider.expect(&mut cluster, |message| match message {
        ToOperator::Refused {
            request: 10,
            refusal: Refusal::Control(text),
        } => {
            assert!(text.contains("nobody"), "{text}");
        }
        other => panic!("{other:?}"),
    });
}
