//! Tags: who made a file, and what becomes of one that somebody else changed.

use super::super::layout::{FOOTER_BYTES, Footer};
use super::super::tag::{Maker, Tag};
use super::*;
use crate::keys::Key;

const KEY: Key = Key([0x42; 32]);

fn tagged(byte: u8) -> Vec<u8> {
    let mut pages = Pages::default();
    pages.put(0, 0, byte);
    let encoder = Encoder::new(options(), objects(), [memory(0, 1)].into());
    finish(encoder.tagged(KEY), &pages)
}

fn maker(file: &[u8], key: Option<Key>) -> Result<Maker, Problem> {
    let mut collector = Collector::with_key(key);
    match collector.read(file, &mut Read::default()) {
        Ok(complete) => {
            assert!(complete);
            Ok(collector.maker())
        }
        Err(ReadError::File(error)) => Err(error.problem),
        Err(ReadError::Sink(never)) => match never {},
    }
}

#[test]
fn a_tag_tells_who_has_the_key() {
    let file = tagged(1);
    assert_eq!(maker(&file, Some(KEY)), Ok(Maker::Own));
    assert_eq!(maker(&file, Some(Key([1; 32]))), Ok(Maker::Elsewhere));
    assert_eq!(maker(&file, None), Ok(Maker::Elsewhere));
    let plain = write(options(), objects(), &[memory(0, 1)], &Pages::default());
    assert_eq!(maker(&plain, Some(KEY)), Ok(Maker::Unknown));
}

/// Somebody without the key changes a page and makes every checksum and the SHA-256 anew: a tag of
/// another file is the best that they can put there.
#[test]
fn a_file_that_was_changed_without_the_key_is_refused() {
    let (file, mut forged) = (tagged(1), tagged(2));
    let footer = |file: &[u8]| {
        let bytes = file.last_chunk::<FOOTER_BYTES>().expect("a footer");
        Footer::decode(bytes).expect("sound")
    };
    let changed = Footer {
        tag: footer(&file).tag,
        ..footer(&forged)
    };
    let at = forged.len() - FOOTER_BYTES;
    forged[at..].copy_from_slice(&changed.encode());
    assert_eq!(maker(&forged, Some(KEY)), Err(Problem::Tag));
    // To others it is a file from elsewhere, and data like any.
    assert_eq!(maker(&forged, None), Ok(Maker::Elsewhere));
}

#[test]
fn a_tag_where_none_belongs_is_refused() {
    let mut file = write(options(), objects(), &[memory(0, 1)], &Pages::default());
    let at = file.len() - FOOTER_BYTES;
    let footer = Footer::decode(file.last_chunk().expect("a footer")).expect("sound");
    let tag = Tag([7; 32]);
    file[at..].copy_from_slice(&Footer { tag, ..footer }.encode());
    assert_eq!(maker(&file, Some(KEY)), Err(Problem::Reserved));
}
