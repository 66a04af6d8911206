//! Instances as messages, and back.

use super::*;
use crate::image::BlobHash;
use crate::image::blob_hash;
use crate::migrate::InstanceId;
use crate::snapshot::format::{Header, NextPage, PAGE_BYTES, Pieces};
use alloc::collections::BTreeMap;

const HANDOVER: HandoverId = HandoverId {
    instance: InstanceId([1; 16]),
    epoch: 2,
};

/// Pages of one memory, by their number: where they are from, and what came.
#[derive(Default)]
struct Pages(BTreeMap<u64, [u8; PAGE_BYTES]>);

impl PageSource for Pages {
    fn next_page(&self, _memory: u32, from: u64) -> NextPage {
        let next = self.0.range(from..).next();
        next.map_or(NextPage::End, |(&page, _)| NextPage::At(page))
    }

    fn page(&self, _memory: u32, page: u64) -> Option<&[u8; PAGE_BYTES]> {
        self.0.get(&page)
    }
}

/// Why a sink refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NoRoom;

struct Stored {
    pages: Pages,
    memories: Vec<MemoryHead>,
    objects: Vec<(SectionKind, Option<BlobHash>, Vec<u8>)>,
    room_bytes: usize,
}

impl Default for Stored {
    fn default() -> Stored {
        Stored {
            pages: Pages::default(),
            memories: Vec::new(),
            objects: Vec::new(),
            room_bytes: usize::MAX,
        }
    }
}

impl Sink for Stored {
    type Error = NoRoom;

    fn begin(&mut self, _header: &Header) -> Result<(), NoRoom> {
        Ok(())
    }

    fn reserve(&mut self, _kind: SectionKind, bytes: usize) -> Result<(), NoRoom> {
        self.room_bytes = self.room_bytes.checked_sub(bytes).ok_or(NoRoom)?;
        Ok(())
    }

    fn object(
        &mut self,
        kind: SectionKind,
        _version: u16,
        hash: Option<BlobHash>,
        bytes: Pieces,
    ) -> Result<(), NoRoom> {
        self.objects.push((kind, hash, bytes.into_bytes()));
        Ok(())
    }

    fn memory(&mut self, head: MemoryHead) -> Result<(), NoRoom> {
        self.memories.push(head);
        Ok(())
    }

    fn page(&mut self, _: u32, page: u64, content: Page<'_>) -> Result<(), NoRoom> {
        let bytes = match content {
            Page::Bytes { bytes, .. } => *bytes,
            Page::Zero => [0; PAGE_BYTES],
            Page::Repeat { page, .. } => self.pages.0[&page],
        };
        self.pages.0.insert(page, bytes);
        Ok(())
    }
}

fn object(kind: SectionKind, bytes: Vec<u8>) -> Object {
    let hash = (kind == SectionKind::Blob).then(|| blob_hash(&bytes));
    let bytes = crate::image::BlobBytes::Held(bytes.into()).into();
    Object { kind, hash, bytes }
}

fn messages(mut outgoing: Outgoing, source: &Pages) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    loop {
        match outgoing.step(source) {
            Next::Message(bytes) => messages.push(bytes),
            Next::Working => {}
            Next::End => return messages,
        }
    }
}

fn delivery<'a>(message: &'a [u8]) -> Delivery<'a> {
    match Message::decode(message).expect("a message within its bounds") {
        Message::Memory { memory, bytes, .. } => Delivery::Memory { memory, bytes },
        Message::Pages {
            checksum, payload, ..
        } => Delivery::Pages { checksum, payload },
        Message::Object {
            kind,
            version,
            last,
            bytes,
            ..
        } => Delivery::Object {
            kind,
            version,
            last,
            bytes,
        },
        Message::Blob {
            hash, last, bytes, ..
        } => Delivery::Blob { hash, last, bytes },
        other => panic!("{other:?}"),
    }
}

/// A memory of so many bytes, as the only one.
fn memory(bytes: u64) -> Vec<MemoryHead> {
    let number = 0;
    [MemoryHead { number, bytes }].into()
}

/// A migration in the order in which its messages come: the description, a blob, a round, and the end.
fn whole() -> (Pages, Vec<Vec<u8>>) {
    let pages = (0..100).map(|page| (page * 2, [page as u8 + 1; PAGE_BYTES]));
    let mut source = Pages(pages.collect());
    let memories = || memory(300 * PAGE_BYTES as u64);
    let about = || object(SectionKind::About, alloc::vec![1; 70_000]);
    let blob = object(SectionKind::Blob, alloc::vec![3; 200_000]);
    let mut sent = messages(Outgoing::objects(HANDOVER, [about(), blob].into()), &source);
    let round = Outgoing::contents(HANDOVER, memories(), Base::Zero, Vec::new());
    sent.extend(messages(round, &source));
    source.0.insert(4, [200; PAGE_BYTES]);
    let changed = Pages([(4, [200; PAGE_BYTES])].into());
    let execution = object(SectionKind::Execution, Vec::new());
    let objects = [about(), execution].into();
    let end = Outgoing::contents(HANDOVER, memories(), Base::Earlier, objects);
    sent.extend(messages(end, &changed));
    (source, sent)
}

/// What one delivery is refused for.
fn refused_by(incoming: &mut Incoming, delivery: &Delivery<'_>) -> Problem {
    match incoming.take(delivery, &mut Stored::default()) {
        Err(TransferError::Contents(problem)) => problem,
        other => panic!("{delivery:?}: {other:?}"),
    }
}

fn piece(kind: SectionKind, version: u16, last: bool, bytes: &[u8]) -> Delivery<'_> {
    Delivery::Object {
        kind: kind.number(),
        version,
        last,
        bytes,
    }
}

/// What is there when the description came.
fn described() -> (Incoming, Stored) {
    let (mut incoming, mut stored) = (Incoming::default(), Stored::default());
    let about = piece(SectionKind::About, 1, true, &[1]);
    incoming.take(&about, &mut stored).expect("sound");
    (incoming, stored)
}

/// Hands all messages over, with the end of the round where pages begin anew.
fn take_all(incoming: &mut Incoming, stored: &mut Stored, messages: &[Vec<u8>]) {
    let mut named = false;
    for message in messages {
        let delivery = delivery(message);
        if matches!(delivery, Delivery::Memory { .. }) && core::mem::replace(&mut named, true) {
            incoming.end_round().expect("a complete round");
        }
        incoming.take(&delivery, stored).expect("sound");
    }
}

#[test]
fn pages_objects_and_blobs_come_back_in_messages_within_their_bounds() {
    let (source, messages) = whole();
    let (mut incoming, mut stored) = (Incoming::default(), Stored::default());
    take_all(&mut incoming, &mut stored, &messages);
    incoming.end_round().expect("complete");
    assert!(stored.pages.0 == source.0);
    let lengths = stored.objects.iter();
    let lengths: Vec<_> = lengths
        .map(|(kind, _, bytes)| (*kind, bytes.len()))
        .collect();
    assert_eq!(
        lengths,
        [
            (SectionKind::About, 70_000),
            (SectionKind::Blob, 200_000),
            (SectionKind::About, 70_000),
            (SectionKind::Execution, 0),
        ]
    );
}

#[test]
fn a_memory_is_told_when_it_is_new_or_has_grown() {
    let (mut incoming, mut stored) = described();
    let sizes = [1, 1, 2, 2].map(|pages| pages * PAGE_BYTES as u64);
    for bytes in sizes {
        let named = Delivery::Memory { memory: 0, bytes };
        incoming.take(&named, &mut stored).expect("sound");
        incoming.end_round().expect("complete");
    }
    let told: Vec<u64> = stored.memories.iter().map(|head| head.bytes).collect();
    assert_eq!(told, [sizes[0], sizes[2]]);
    let (memory, bytes) = (0, sizes[0]);
    let smaller = Delivery::Memory { memory, bytes };
    assert_eq!(
        refused_by(&mut incoming, &smaller),
        Problem::MemoryNumber(0)
    );
}

#[test]
fn bytes_are_held_only_after_the_sink_has_said_that_there_is_room() {
    let bytes = [7; 1000];
    let blob = Delivery::Blob {
        hash: blob_hash(&[]),
        last: false,
        bytes: &bytes,
    };
    let object = piece(SectionKind::Execution, 1, false, &bytes);
    for delivery in [blob, object] {
        let (mut incoming, mut stored) = described();
        stored.room_bytes = 100 * 1000;
        let mut taken = 0;
        let refused = loop {
            match incoming.take(&delivery, &mut stored) {
                Ok(()) => taken += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, TransferError::Sink(NoRoom));
        assert!(taken <= 100, "{taken} pieces are held");
    }
}

#[test]
fn objects_come_once_in_their_order_when_all_pages_came() {
    let last = |kind| piece(kind, 1, true, &[1]);
    let early = last(SectionKind::Execution);
    let problem = refused_by(&mut Incoming::default(), &early);
    assert_eq!(problem, Problem::Order, "before the description");

    let (mut incoming, mut stored) = described();
    for kind in [SectionKind::About, SectionKind::Guest] {
        incoming.take(&last(kind), &mut stored).expect("sound");
    }
    let hash = blob_hash(&[1]);
    let late = [
        last(SectionKind::About),
        last(SectionKind::Execution),
        last(SectionKind::Guest),
        Delivery::Memory {
            memory: 0,
            bytes: 0,
        },
        Delivery::Pages {
            checksum: 0,
            payload: &[],
        },
        Delivery::Blob {
            hash,
            last: true,
            bytes: &[1],
        },
    ];
    for delivery in late {
        assert_eq!(refused_by(&mut incoming, &delivery), Problem::Order);
    }
    let network = last(SectionKind::Network);
    incoming.take(&network, &mut stored).expect("in order");
}

#[test]
fn what_is_missing_out_of_order_or_false_is_refused() {
    let (mut incoming, mut stored) = described();
    let part = piece(SectionKind::Execution, 1, false, &[1]);
    incoming.take(&part, &mut stored).expect("sound");
    assert_eq!(incoming.end_round(), Err(Problem::Truncated));
    let other = piece(SectionKind::Guest, 1, true, &[1]);
    assert_eq!(refused_by(&mut incoming, &other), Problem::Order);

    let refused = |delivery: Delivery<'_>| refused_by(&mut described().0, &delivery);
    for kind in [SectionKind::Blob, SectionKind::Pages, SectionKind::Table] {
        let problem = refused(piece(kind, 1, false, &[1]));
        assert_eq!(problem, Problem::UnknownSection(kind.number()));
    }
    let guest = SectionKind::Guest;
    let empty = refused(piece(guest, 1, false, &[]));
    assert_eq!(empty, Problem::PayloadLength);
    assert!(matches!(
        refused(piece(guest, 99, false, &[1])),
        Problem::SectionVersion { .. }
    ));
    let hash = blob_hash(&[1]);
    let false_blob = Delivery::Blob {
        hash,
        last: true,
        bytes: &[2],
    };
    assert_eq!(refused(false_blob), Problem::BlobHash(hash));
    let early = Delivery::Pages {
        checksum: 0,
        payload: &[0; 8],
    };
    refused(early);
}
