use super::decode::decode;
use super::encode::append;
use super::*;
use crate::plain;
use alloc::collections::BTreeMap;
use alloc::string::String;
use serde::Serialize;

/// Of everything that states are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sample {
    number: u64,
    negative: i64,
    wide: u128,
    float: f64,
    text: String,
    #[serde(with = "plain")]
    run: Vec<u8>,
    list: Vec<Option<(u32, bool)>>,
    map: BTreeMap<u64, plain::Bytes>,
    seed: [u8; 32],
}

fn sample() -> Sample {
    Sample {
        number: 1 << 40,
        negative: -3,
        wide: 1 << 100,
        float: 0.1,
        text: "some text".into(),
        run: (0..5000_u32).map(|byte| byte as u8).collect(),
        list: (0..300)
            .map(|at| (at % 3 > 0).then_some((at, at % 2 > 0)))
            .collect(),
        map: (0..9)
            .map(|at| (at * 1000, plain::Bytes(alloc::vec![at as u8; 700])))
            .collect(),
        seed: [7; 32],
    }
}

fn in_windows(state: &impl Serialize, most: usize, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let from = bytes.len();
        append(state, from, most.min(length - from), &mut bytes);
        assert!(bytes.len() > from);
    }
    bytes
}

fn pieces(bytes: &[u8], size: usize) -> Pieces {
    bytes.chunks(size).map(<[u8]>::to_vec).collect()
}

#[test]
fn windows_in_a_row_are_the_encoding() {
    let whole = postcard::to_allocvec(&sample()).unwrap();
    for most in [1, 2, 3, 7, 64, 999, 4096, 1 << 20] {
        assert!(in_windows(&sample(), most, whole.len()) == whole, "{most}");
    }
}

#[test]
fn a_state_comes_back_from_pieces_of_any_size() {
    let whole = postcard::to_allocvec(&sample()).unwrap();
    for size in [1, 2, 5, 63, 4096, whole.len()] {
        let back: Sample = decode(SectionKind::Guest, pieces(&whole, size), 1 << 20).unwrap();
        assert_eq!(back, sample(), "{size}");
    }
}

#[test]
fn bytes_that_are_too_few_or_too_many_are_no_state() {
    let whole = postcard::to_allocvec(&sample()).unwrap();
    let refused = Err(PartError::Undecodable(SectionKind::Guest));
    for length in [0, 1, 50, whole.len() - 1] {
        let bytes = pieces(&whole[..length], 100);
        assert_eq!(
            decode::<Sample>(SectionKind::Guest, bytes, 1 << 20),
            refused
        );
    }
    let mut longer = whole;
    longer.push(0);
    let bytes = pieces(&longer, 100);
    assert_eq!(
        decode::<Sample>(SectionKind::Guest, bytes, 1 << 20),
        refused
    );
}

#[test]
fn a_state_that_takes_more_than_there_is_room_for_is_refused_before_it_does() {
    // A million empty lists are a megabyte in a file and 24 in memory.
    let bomb: Vec<Vec<u8>> = alloc::vec![Vec::new(); 1 << 20];
    let bytes = postcard::to_allocvec(&bomb).unwrap();
    let room_bytes = 100 << 20;
    let result = decode::<Vec<Vec<u8>>>(SectionKind::Network, pieces(&bytes, 4096), room_bytes);
    let kind = SectionKind::Network;
    assert_eq!(result, Err(PartError::NoMemory { kind, room_bytes }));
    assert!(decode::<Vec<Vec<u8>>>(kind, pieces(&bytes, 4096), 400 << 20).is_ok());
}
