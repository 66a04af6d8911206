//! What an instance changed in its files, sent piece by piece.

use super::outbox::Outbox;
use crate::files::{Change, ChangeKind, ChangeStep, Changes, FileError, FileSystem, InodeId};
use crate::limits;
use crate::operator::{self, Bytes, Refusal, ToOperator};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Entries looked at in one turn, most of which are as the image has them, perhaps.
const STEPS_PER_TURN: usize = 4096;

/// Changes that are to be sent.
pub(super) struct Fetch {
    changes: Changes,
    file: Option<OpenFile>,
}

/// How sending went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Everything is sent.
    All,
    /// There is no room for more.
    Room,
    /// The turn's work is done.
    Turn,
}

/// A file of which not everything is sent.
struct OpenFile {
    inode: InodeId,
    offset: u64,
    size: u64,
}

/// The next part of a file.
enum Part {
    Data(Vec<u8>),
    Hole(u64),
}

impl Fetch {
    /// What an instance changed below a directory.
    ///
    /// # Errors
    /// [`Refusal::NoDirectory`].
    pub fn new(files: &FileSystem, directory: &str) -> Result<Fetch, Refusal> {
        let changes = files.changes(directory).map_err(|error| match error {
            FileError::NotFound | FileError::NotDirectory => {
                Refusal::NoDirectory(String::from(directory))
            }
            other => Refusal::Control(alloc::format!("{directory}: {other}")),
        })?;
        Ok(Fetch {
            changes,
            file: None,
        })
    }

    /// Sends until there is no room, enough was done for a turn, or nothing is left.
    pub fn send(&mut self, files: &FileSystem, request: u32, out: &mut Outbox) -> Sent {
        for _ in 0..STEPS_PER_TURN {
            if out.is_full() {
                return Sent::Room;
            }
            if let Some(file) = &mut self.file {
                file.send_part(files, request, out);
                if file.offset >= file.size {
                    self.file = None;
                }
                continue;
            }
            match self.changes.step(files) {
                ChangeStep::Change(change) => self.send_change(files, request, change, out),
                ChangeStep::Same => {}
                ChangeStep::End => return Sent::All,
            }
        }
        Sent::Turn
    }

    fn send_change(&mut self, files: &FileSystem, request: u32, change: Change, out: &mut Outbox) {
        let Change { path, kind } = change;
        let change = match kind {
            ChangeKind::Removed => operator::Change::Removed,
            ChangeKind::Directory(_) => operator::Change::Directory,
            ChangeKind::SymbolicLink(text) => operator::Change::SymbolicLink(text.into()),
            ChangeKind::File(inode) => {
                let stat = files.stat(inode);
                let (size, modified_ns) = stat.map_or((0, 0), |stat| (stat.size, stat.modified_ns));
                self.file = (size > 0).then_some(OpenFile {
                    inode,
                    offset: 0,
                    size,
                });
                operator::Change::File {
                    bytes: size,
                    modified_ns,
                }
            }
        };
        let path = &path;
        out.push(&ToOperator::Change {
            request,
            path,
            change,
        });
    }
}

impl OpenFile {
    fn send_part(&mut self, files: &FileSystem, request: u32, out: &mut Outbox) {
        match self.next_part(files) {
            Part::Data(data) => {
                let data = Bytes(&data);
                out.push(&ToOperator::ChangeData { request, data });
            }
            Part::Hole(bytes) => out.push(&ToOperator::ChangeHole { request, bytes }),
        }
    }

    /// The next data or hole; a file that is shorter than it was ends in a hole.
    fn next_part(&mut self, files: &FileSystem) -> Part {
        let left = self.size - self.offset;
        let most = left.min(limits::OPERATOR_PIECE_BYTES as u64);
        let found = files
            .data_from(self.inode, self.offset, most)
            .ok()
            .flatten();
        let (begin, length) = match found {
            Some((begin, _)) if begin > self.offset => (begin.min(self.size), 0),
            Some((begin, length)) => (begin, length.min(left)),
            None => (self.size, 0),
        };
        if length == 0 {
            let hole = begin - self.offset;
            self.offset = begin;
            return Part::Hole(hole);
        }
        let mut piece = vec![0; usize::try_from(length).unwrap_or(0)];
        let mut filled = 0;
        while filled < piece.len() {
            let offset = self.offset + filled as u64;
            match files.peek_at(self.inode, offset, &mut piece[filled..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => filled += count,
            }
        }
        self.offset += length;
        Part::Data(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Create, FileLimits, OpenOptions};
    use crate::operator::FrameReader;

    fn files() -> FileSystem {
        let limits = FileLimits {
            bytes: 1 << 20,
            files: 20_000,
        };
        FileSystem::new(limits, 1)
    }

    fn make(files: &mut FileSystem, name: &str) -> InodeId {
        let options = OpenOptions {
            create: Create::Exclusive,
            ..OpenOptions::default()
        };
        let path = name.as_bytes();
        files.open(InodeId::ROOT, path, options, 7).expect("a file")
    }

    /// Everything that is sent, in words, and how many turns it took.
    fn fetch(files: &FileSystem) -> (Vec<String>, usize) {
        let mut fetch = Fetch::new(files, "/").expect("a directory");
        let (mut words, mut turns) = (Vec::new(), 0);
        loop {
            let mut out = Outbox::default();
            let sent = fetch.send(files, 1, &mut out);
            let mut reader = FrameReader::default();
            for bytes in out.take_bytes().chunks(1000) {
                reader.push(bytes).expect("room");
                while let Some(message) = reader.next().expect("messages") {
                    words.push(match message {
                        ToOperator::Change { path, change, .. } => {
                            alloc::format!("{path} {change:?}")
                        }
                        ToOperator::ChangeData { data, .. } => {
                            alloc::format!("{} bytes", data.0.len())
                        }
                        ToOperator::ChangeHole { bytes, .. } => alloc::format!("hole of {bytes}"),
                        other => panic!("{other:?}"),
                    });
                }
            }
            turns += 1;
            if sent == Sent::All {
                return (words, turns);
            }
        }
    }

    #[test]
    fn of_a_sparse_file_only_the_data_is_sent() {
        let mut files = files();
        let file = make(&mut files, "sparse");
        files.write_at(file, 8 << 20, b"data", 7).unwrap();
        files.set_size(file, 1 << 40, 7).unwrap();
        let rest = (1_u64 << 40) - (8 << 20) - 4096;
        let expected = [
            "sparse File { bytes: 1099511627776, modified_ns: 7 }".into(),
            "hole of 8388608".into(),
            "4096 bytes".into(),
            alloc::format!("hole of {rest}"),
        ];
        assert_eq!(fetch(&files).0, expected);
    }

    #[test]
    fn many_entries_take_several_turns() {
        let mut files = files();
        for number in 0..2 * STEPS_PER_TURN {
            make(&mut files, &alloc::format!("{number}"));
        }
        let (words, turns) = fetch(&files);
        assert_eq!(words.len(), 2 * STEPS_PER_TURN);
        assert!(turns > 2, "{turns} turns");
    }
}
