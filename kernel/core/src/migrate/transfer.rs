//! What an instance is made of as messages ([`Outgoing`]), and back ([`Incoming`]).
//!
//! Pages and states have the forms of the snapshot format; a driver gives the messages to the channel as
//! there is room, and hands what comes to a [`Sink`], as a snapshot's file is.

use super::{Delivery, HandoverId, Message};
use crate::limits;
use crate::snapshot::format::{
    Base, Chunk, ChunkReader, Chunks, Compression, MemoryHead, Object, ObjectPart, ObjectReader,
    Page, PageSource, Problem, SectionKind, Sink, TakeError as TransferError,
};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

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

/// What came of an instance: holds messages to their order and bounds, and hands what they bring to a
/// [`Sink`].
#[derive(Debug, Default)]
pub struct Incoming {
    rounds: ChunkReader,
    objects: ObjectReader,
    /// Whether the description came, which is an object before all others.
    described: bool,
    /// The last of the objects that come at the end.
    last: Option<SectionKind>,
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
                self.check_before_end().map_err(TransferError::Contents)?;
                let grown = self.rounds.memory(head).map_err(TransferError::Contents)?;
                match grown {
                    true => sink.memory(head).map_err(TransferError::Sink),
                    false => Ok(()),
                }
            }
            Delivery::Pages { checksum, payload } => {
                self.check_before_end().map_err(TransferError::Contents)?;
                let give = |memory, page, content: Page<'_>| sink.page(memory, page, content);
                self.rounds.pages(payload, checksum, give)
            }
            Delivery::Object {
                kind,
                version,
                last,
                bytes,
            } => {
                let kind = self.kind_of(kind).map_err(TransferError::Contents)?;
                let part = ObjectPart {
                    kind,
                    version,
                    hash: None,
                    bytes,
                    last,
                };
                if self.take_part(&part, sink)? {
                    match self.described {
                        true => self.last = Some(kind),
                        false => self.described = true,
                    }
                }
                Ok(())
            }
            Delivery::Blob { hash, last, bytes } => {
                if self.last.is_some() {
                    return Err(TransferError::Contents(Problem::Order));
                }
                let part = ObjectPart {
                    kind: SectionKind::Blob,
                    version: SectionKind::Blob.version(),
                    hash: Some(hash),
                    bytes,
                    last,
                };
                self.take_part(&part, sink).map(|_| ())
            }
            Delivery::Frame { .. }
            | Delivery::Missing { .. }
            | Delivery::Networks { .. }
            | Delivery::Origin { .. } => Ok(()),
        }
    }

    /// Memories and their pages come before the objects of the end, and not within an object.
    fn check_before_end(&self) -> Result<(), Problem> {
        match (self.last, self.objects.open()) {
            (None, None) => Ok(()),
            (Some(_), _) | (_, Some(_)) => Err(Problem::Order),
        }
    }

    /// The kind of an object, if it may come now: the description first, in the end all in the order of
    /// their kinds, once.
    fn kind_of(&self, number: u16) -> Result<SectionKind, Problem> {
        let kind = SectionKind::from_number(number);
        let kind = kind.filter(|kind| kind.is_object() && *kind != SectionKind::Blob);
        let kind = kind.ok_or(Problem::UnknownSection(number))?;
        let in_order = match self.described {
            true => self.last < Some(kind),
            false => kind == SectionKind::About,
        };
        match in_order {
            true => Ok(kind),
            false => Err(Problem::Order),
        }
    }

    /// The next bytes of an object or a blob; tells whether it is complete.
    fn take_part<S: Sink>(
        &mut self,
        part: &ObjectPart<'_>,
        sink: &mut S,
    ) -> Result<bool, TransferError<S::Error>> {
        // An endless object would have no bytes.
        if part.bytes.is_empty() && !part.last {
            return Err(TransferError::Contents(Problem::PayloadLength));
        }
        self.objects.take(part, sink)
    }

    /// All of a round came, or all of the instance.
    ///
    /// # Errors
    /// [`Problem`]: something of it is missing.
    pub fn end_round(&mut self) -> Result<(), Problem> {
        match self.objects.open() {
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
mod tests;
