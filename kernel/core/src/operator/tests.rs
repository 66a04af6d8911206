use super::*;
use crate::host::OutputStream;
use crate::image::{BlobHash, InstanceSpec};
use crate::limits;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};

fn frame(message: &ToNode<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_frame(&mut bytes, message).unwrap();
    bytes
}

fn some_messages(data: &[u8]) -> [ToNode<'_>; 5] {
    [
        ToNode::Hello {
            magic: MAGIC,
            version: VERSION,
        },
        ToNode::Input {
            request: 7,
            data: Bytes(data),
        },
        ToNode::PutBlob {
            request: u32::MAX,
            hash: BlobHash([9; 32]),
            bytes: u64::MAX,
        },
        ToNode::Room {
            request: 7,
            stream: OutputStream::Error,
            bytes: 1,
        },
        ToNode::Fetch {
            request: 7,
            directory: "/é",
        },
    ]
}

#[test]
fn messages_come_out_as_they_went_in_however_the_bytes_are_cut() {
    let data = vec![0xab; limits::OPERATOR_PIECE_BYTES];
    let messages = some_messages(&data);
    let stream: Vec<u8> = messages.iter().flat_map(frame).collect();
    for step in [1, 3, 1000, 40_000] {
        let mut reader = FrameReader::default();
        let mut rest = &stream[..];
        let mut next = 0;
        while !rest.is_empty() {
            let count = step.min(rest.len()).min(reader.room());
            reader.push(&rest[..count]).unwrap();
            rest = &rest[count..];
            while let Some(message) = reader.next::<ToNode<'_>>().unwrap() {
                assert_eq!(message, messages[next]);
                next += 1;
            }
        }
        assert_eq!(next, messages.len());
        assert!(!reader.has_frame());
    }
}

#[test]
fn launches_survive_the_wire() {
    let launch = Launch {
        spec: InstanceSpec::new("a", BlobHash([1; 32]), "a.wasm"),
        input: StandardInput::Operator,
        output_room: [1, 2],
    };
    let bytes = postcard::to_allocvec(&launch).unwrap();
    assert_eq!(postcard::from_bytes::<Launch>(&bytes).unwrap(), launch);
}

#[test]
fn a_length_beyond_the_bound_is_refused_before_its_bytes_are_awaited() {
    let mut reader = FrameReader::default();
    let length = limits::OPERATOR_FRAME_BYTES as u32 + 1;
    reader.push(&length.to_le_bytes()).unwrap();
    assert!(reader.has_frame());
    let error = reader.next::<ToNode<'_>>().unwrap_err();
    assert_eq!(
        error,
        Violation::FrameTooLong {
            bytes: length as usize
        }
    );
    assert!(error.to_string().contains("65537"), "{error}");
}

#[test]
fn a_frame_of_full_length_is_awaited_and_nothing_more_is_held() {
    let mut reader = FrameReader::default();
    let length = limits::OPERATOR_FRAME_BYTES as u32;
    reader.push(&length.to_le_bytes()).unwrap();
    assert!(!reader.has_frame());
    let room = reader.room();
    assert_eq!(room, limits::OPERATOR_FRAME_BYTES);
    assert_eq!(reader.push(&vec![0; room + 1]), Err(Violation::Flood));
    reader.push(&vec![0; room]).unwrap();
    assert_eq!((reader.room(), reader.has_frame()), (0, true));
}

#[test]
fn bytes_behind_a_message_in_its_frame_are_a_violation() {
    let mut bytes = frame(&ToNode::Kill { request: 1 });
    bytes.push(0);
    bytes[0] += 1;
    let mut reader = FrameReader::default();
    reader.push(&bytes).unwrap();
    assert_eq!(reader.next::<ToNode<'_>>(), Err(Violation::NoMessage));
}

#[test]
fn random_and_damaged_bytes_never_panic_and_hold_no_memory() {
    let mut random = ChaCha12Rng::seed_from_u64(1);
    let data = vec![1; 500];
    let sound: Vec<u8> = some_messages(&data).iter().flat_map(frame).collect();
    for round in 0..2000 {
        let mut bytes = match round % 2 {
            0 => vec![0; 300],
            _ => sound.clone(),
        };
        if round % 2 == 0 {
            random.fill_bytes(&mut bytes);
            // Lengths are small often enough that the frame's body is looked at.
            bytes[1] &= 1;
            bytes[2..4].fill(0);
        } else {
            for _ in 0..1 + round % 4 {
                let place = random.next_u32() as usize % bytes.len();
                bytes[place] = random.next_u32() as u8;
            }
        }
        let mut reader = FrameReader::default();
        reader.push(&bytes).unwrap();
        while let Ok(Some(_)) = reader.next::<ToNode<'_>>() {}
        assert!(reader.room() <= 4 + limits::OPERATOR_FRAME_BYTES);
        // The launch's own bytes, which are decoded apart.
        let _ = postcard::from_bytes::<Launch>(&bytes);
    }
}

#[test]
fn a_message_that_is_too_long_leaves_no_trace() {
    let data = vec![0; limits::OPERATOR_FRAME_BYTES];
    let mut out = vec![5];
    let message = ToNode::Input {
        request: 1,
        data: Bytes(&data),
    };
    let error = append_frame(&mut out, &message).unwrap_err();
    assert!(matches!(error, Violation::FrameTooLong { .. }), "{error}");
    assert_eq!(out, [5]);
}

#[test]
fn a_frame_with_gathered_data_is_the_frame_of_its_message() {
    for bytes in [0, 1, 127, 128, 20_000, limits::OPERATOR_PIECE_BYTES] {
        let data: Vec<u8> = (0..bytes).map(|byte| byte as u8).collect();
        let message = |data| ToOperator::SnapshotData { request: 300, data };
        let (mut wanted, mut gathered) = (b"before".to_vec(), b"before".to_vec());
        append_frame(&mut wanted, &message(Bytes(&data))).unwrap();
        append_data_frame(&mut gathered, &message(Bytes(&[])), bytes, |out| {
            data.chunks(4096)
                .for_each(|piece| out.extend_from_slice(piece));
        })
        .unwrap();
        assert!(gathered == wanted, "{bytes}");
    }
    let (mut out, bytes) = (b"before".to_vec(), limits::OPERATOR_FRAME_BYTES);
    let message = ToOperator::SnapshotData {
        request: 1,
        data: Bytes(&[]),
    };
    let error = append_data_frame(&mut out, &message, bytes, |_| unreachable!());
    assert!(matches!(error, Err(Violation::FrameTooLong { .. })));
    assert_eq!(out, b"before");
}
