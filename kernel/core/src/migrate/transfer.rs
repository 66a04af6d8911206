//! What an instance is made of as messages ([`Outgoing`]), and back ([`Incoming`]).
//!
//! Pages and states have the forms of the snapshot format; a driver gives the messages to the channel as
//! there is room, and hands what comes to the same [`Sink`] that a snapshot's file goes to.

use super::{Delivery, HandoverId, Message};
use crate::image::BlobHash;
use crate::limits;
use crate::snapshot::format::{
    Base, Bound, Chunk, ChunkReader, Chunks, Compression, MemoryHead, Object, PageSource, Pieces,
    Problem, SectionKind, Sink, UnpackError,
};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use sha2::{Digest, Sha256};

/// Pages that are looked at in one step.
const PAGES_PER_STEP: usize = 32;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The bytes of a message.
    Message(Vec<u8>),
    /// Nothing yet: another step goes on.
    Working,
    /// Nothing more.
    End,
}

/// Messages on their way out: a round of pages, then objects.
pub struct Outgoing {
    handover: HandoverId,
    chunks: Option<Chunks>,
    objects: VecDeque<Object>,
    /// Bytes of the first object that were sent.
    sent_bytes: usize,
}

impl Outgoing {
    /// Objects alone: the description, or blobs.
    pub fn objects(handover: HandoverId, objects: Vec<Object>) -> Outgoing {
        Outgoing {
            handover,
            chunks: None,
            objects: objects.into(),
            sent_bytes: 0,
        }
    }

    /// What memories hold, where `base` is what the target has of them, and objects.
    pub fn contents(
        handover: HandoverId,
        memories: Vec<MemoryHead>,
        base: Base,
        objects: Vec<Object>,
    ) -> Outgoing {
        let most_bytes = limits::MIGRATION_PIECE_BYTES;
        let chunks = Chunks::new(memories, base, Compression::None, most_bytes);
        Outgoing {
            chunks: Some(chunks),
            ..Outgoing::objects(handover, objects)
        }
    }

    /// Goes on, with the pages of `source`.
    pub fn step(&mut self, source: &dyn PageSource) -> Next {
        let handover = self.handover;
        if let Some(chunks) = &mut self.chunks {
            match chunks.step(source, PAGES_PER_STEP) {
                Chunk::Memory(head) => {
                    return message(&Message::Memory {
                        handover,
                        memory: head.number,
                        bytes: head.bytes,
                    });
                }
                Chunk::Pages { payload, checksum } => {
                    return message(&Message::Pages {
                        handover,
                        checksum,
                        payload: &payload,
                    });
                }
                Chunk::Working => return Next::Working,
                Chunk::End => self.chunks = None,
            }
        }
        self.step_object()
    }

    fn step_object(&mut self) -> Next {
        let handover = self.handover;
        let Some(object) = self.objects.front() else {
            return Next::End;
        };
        let (length, from) = (object.bytes.length(), self.sent_bytes);
        let most = (length - from).min(limits::MIGRATION_PIECE_BYTES);
        let mut bytes = Vec::with_capacity(most);
        object.bytes.append(from, most, &mut bytes);
        let last = from + most == length;
        let sent = match object.hash {
            Some(hash) => message(&Message::Blob {
                handover,
                hash,
                last,
                bytes: &bytes,
            }),
            None => message(&Message::Object {
                handover,
                kind: object.kind.number(),
                version: object.kind.version(),
                last,
                bytes: &bytes,
            }),
        };
        self.sent_bytes += most;
        if last {
            self.objects.pop_front();
            self.sent_bytes = 0;
        }
        sent
    }
}

fn message(message: &Message<'_>) -> Next {
    // Pieces are short enough by their bound.
    message.encode().map_or(Next::Working, Next::Message)
}

/// Why what came is not stored: the attempt is to be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferError<E> {
    /// It is not sound.
    Contents(Problem),
    /// The sink has no room for it.
    Sink(E),
}

impl<E: fmt::Display> fmt::Display for TransferError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransferError::Contents(problem) => problem.fmt(f),
            TransferError::Sink(error) => error.fmt(f),
        }
    }
}

/// What came of an instance.
#[derive(Debug, Default)]
pub struct Incoming {
    rounds: ChunkReader,
    /// The object or blob of which more comes.
    open: Option<Open>,
    blobs: usize,
}

#[derive(Debug)]
struct Open {
    kind: SectionKind,
    version: u16,
    hash: Option<BlobHash>,
    digest: Sha256,
    bytes: Pieces,
}

impl Incoming {
    /// Hands what a message brought to a sink, if it is sound. Frames and wishes for blobs are nothing
    /// of the instance: they are left alone.
    ///
    /// # Errors
    /// [`TransferError`]: nothing more is to be taken.
    pub fn take<S: Sink>(
        &mut self,
        delivery: &Delivery<'_>,
        sink: &mut S,
    ) -> Result<(), TransferError<S::Error>> {
        match *delivery {
            Delivery::Memory { memory, bytes } => {
                let number = memory;
                let head = MemoryHead { number, bytes };
                self.rounds.memory(head).map_err(TransferError::Contents)?;
                sink.memory(head).map_err(TransferError::Sink)
            }
            Delivery::Pages { checksum, payload } => {
                let give = |memory, page, content: crate::snapshot::format::Page<'_>| {
                    sink.page(memory, page, content)
                };
                let taken = self.rounds.pages(payload, checksum, give);
                taken.map_err(|error| match error {
                    UnpackError::Pages(problem) => TransferError::Contents(problem),
                    UnpackError::Given(error) => TransferError::Sink(error),
                })
            }
            Delivery::Object {
                kind,
                version,
                last,
                bytes,
            } => {
                let known = SectionKind::from_number(kind);
                let known = known.filter(|kind| kind.is_object() && *kind != SectionKind::Blob);
                let Some(kind) = known else {
                    return Err(TransferError::Contents(Problem::UnknownSection(kind)));
                };
                self.take_part(kind, version, None, last, bytes, sink)
            }
            Delivery::Blob { hash, last, bytes } => {
                let kind = SectionKind::Blob;
                self.take_part(kind, kind.version(), Some(hash), last, bytes, sink)
            }
            Delivery::Frame { .. } | Delivery::Missing { .. } => Ok(()),
        }
    }

    /// The next bytes of an object or a blob.
    fn take_part<S: Sink>(
        &mut self,
        kind: SectionKind,
        version: u16,
        hash: Option<BlobHash>,
        last: bool,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<(), TransferError<S::Error>> {
        let refuse = |problem| Err(TransferError::Contents(problem));
        if !(1..=kind.version()).contains(&version) {
            let (found, known) = (version, kind.version());
            return refuse(Problem::SectionVersion { found, known });
        }
        let mut open = match self.open.take() {
            Some(open) if (open.kind, open.version, open.hash) == (kind, version, hash) => open,
            Some(_) => return refuse(Problem::Order),
            None => {
                self.blobs += usize::from(hash.is_some());
                Open {
                    kind,
                    version,
                    hash,
                    digest: Sha256::new(),
                    bytes: Pieces::default(),
                }
            }
        };
        let (what, most) = match hash {
            Some(_) => (Bound::BlobBytes, limits::BLOB_BYTES),
            None => (Bound::ObjectBytes, limits::SNAPSHOT_OBJECT_BYTES),
        };
        let (size, most) = ((open.bytes.len() + bytes.len()) as u64, most as u64);
        if size > most {
            return refuse(Problem::TooLarge { what, size, most });
        }
        let (size, most) = (self.blobs as u64, limits::IMAGE_BLOBS as u64);
        if size > most {
            let what = Bound::Blobs;
            return refuse(Problem::TooLarge { what, size, most });
        }
        // A piece without bytes takes room too, so it may only be the last.
        if bytes.is_empty() && !last {
            return refuse(Problem::PayloadLength);
        }
        open.bytes.push(bytes);
        if hash.is_some() {
            open.digest.update(bytes);
        }
        if !last {
            self.open = Some(open);
            return Ok(());
        }
        match hash {
            Some(hash) if hash.0 != <[u8; 32]>::from(open.digest.finalize()) => {
                refuse(Problem::BlobHash(hash))
            }
            _ => sink
                .object(kind, version, hash, open.bytes)
                .map_err(TransferError::Sink),
        }
    }

    /// All of a round came, or all of the instance.
    ///
    /// # Errors
    /// [`Problem`]: something of it is missing.
    pub fn end_round(&mut self) -> Result<(), Problem> {
        match self.open {
            Some(_) => Err(Problem::Truncated),
            None => self.rounds.end_round(),
        }
    }

    /// The memories as the last round has them.
    pub fn memories(&self) -> &[MemoryHead] {
        self.rounds.memories()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::blob_hash;
    use crate::migrate::InstanceId;
    use crate::snapshot::format::{Header, NextPage, PAGE_BYTES, Page};
    use alloc::collections::BTreeMap;
    use core::convert::Infallible;

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

    #[derive(Default)]
    struct Stored {
        pages: Pages,
        objects: Vec<(SectionKind, Option<BlobHash>, Vec<u8>)>,
    }

    impl Sink for Stored {
        type Error = Infallible;

        fn begin(&mut self, _header: &Header) -> Result<(), Infallible> {
            Ok(())
        }

        fn object(
            &mut self,
            kind: SectionKind,
            _version: u16,
            hash: Option<BlobHash>,
            bytes: Pieces,
        ) -> Result<(), Infallible> {
            self.objects.push((kind, hash, bytes.into_bytes()));
            Ok(())
        }

        fn memory(&mut self, _head: MemoryHead) -> Result<(), Infallible> {
            Ok(())
        }

        fn page(&mut self, _: u32, page: u64, content: Page<'_>) -> Result<(), Infallible> {
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

    fn whole() -> (Pages, Vec<Vec<u8>>) {
        let pages = (0..100).map(|page| (page * 2, [page as u8 + 1; PAGE_BYTES]));
        let source = Pages(pages.collect());
        let number = 0;
        let bytes = 300 * PAGE_BYTES as u64;
        let objects = [
            object(SectionKind::About, alloc::vec![1; 70_000]),
            object(SectionKind::Execution, Vec::new()),
            object(SectionKind::Blob, alloc::vec![3; 200_000]),
        ];
        let memories = [MemoryHead { number, bytes }];
        let outgoing = Outgoing::contents(HANDOVER, memories.into(), Base::Zero, objects.into());
        let messages = messages(outgoing, &source);
        (source, messages)
    }

    #[test]
    fn pages_objects_and_blobs_come_back_in_messages_within_their_bounds() {
        let (source, messages) = whole();
        let (mut incoming, mut stored) = (Incoming::default(), Stored::default());
        for message in &messages {
            let taken = incoming.take(&delivery(message), &mut stored);
            taken.expect("sound");
        }
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
                (SectionKind::Execution, 0),
                (SectionKind::Blob, 200_000)
            ]
        );
    }

    #[test]
    fn what_is_missing_out_of_order_or_false_is_refused() {
        let (_, messages) = whole();
        let (mut incoming, mut stored) = (Incoming::default(), Stored::default());
        for message in &messages[..messages.len() - 1] {
            incoming
                .take(&delivery(message), &mut stored)
                .expect("sound");
        }
        assert_eq!(incoming.end_round(), Err(Problem::Truncated));
        let other = Delivery::Object {
            kind: SectionKind::Guest.number(),
            version: 1,
            last: true,
            bytes: &[1],
        };
        let refused = Err(TransferError::Contents(Problem::Order));
        assert_eq!(incoming.take(&other, &mut stored), refused);

        let refused = |delivery: Delivery<'_>| {
            let taken = Incoming::default().take(&delivery, &mut Stored::default());
            match taken {
                Err(TransferError::Contents(problem)) => problem,
                Ok(()) => panic!("{delivery:?} was taken"),
                Err(TransferError::Sink(never)) => match never {},
            }
        };
        let piece = |kind, version, bytes| Delivery::Object {
            kind,
            version,
            last: false,
            bytes,
        };
        for kind in [SectionKind::Blob, SectionKind::Pages, SectionKind::Table] {
            let kind = kind.number();
            let problem = refused(piece(kind, 1, &[1]));
            assert_eq!(problem, Problem::UnknownSection(kind));
        }
        let guest = SectionKind::Guest.number();
        assert_eq!(refused(piece(guest, 1, &[])), Problem::PayloadLength);
        assert!(matches!(
            refused(piece(guest, 99, &[1])),
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
}
