//! What an instance changed in its files, sent piece by piece.

use super::outbox::Outbox;
use crate::files::{Change, ChangeKind, FileError, FileSystem, InodeId};
use crate::limits;
use crate::operator::{self, Bytes, Refusal, ToOperator};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec;

/// Changes that are to be sent. There are no more than the instance has files.
pub(super) struct Fetch {
    changes: VecDeque<Change>,
    file: Option<OpenFile>,
}

/// A file of which not everything is sent.
struct OpenFile {
    inode: InodeId,
    offset: u64,
    size: u64,
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
            changes: changes.collect(),
            file: None,
        })
    }

    /// Sends until there is no room or nothing left; tells which.
    pub fn send(&mut self, files: &FileSystem, request: u32, out: &mut Outbox) -> bool {
        while !out.is_full() {
            if let Some(file) = &mut self.file {
                let data = file.next_piece(files);
                let data = Bytes(&data);
                out.push(&ToOperator::ChangeData { request, data });
                if file.offset >= file.size {
                    self.file = None;
                }
                continue;
            }
            let Some(Change { path, kind }) = self.changes.pop_front() else {
                return true;
            };
            let change = match kind {
                ChangeKind::Removed => operator::Change::Removed,
                ChangeKind::Directory(_) => operator::Change::Directory,
                ChangeKind::SymbolicLink(text) => operator::Change::SymbolicLink(text.into()),
                ChangeKind::File(inode) => {
                    let bytes = files.stat(inode).map_or(0, |stat| stat.size);
                    self.file = (bytes > 0).then_some(OpenFile {
                        inode,
                        offset: 0,
                        size: bytes,
                    });
                    operator::Change::File { bytes }
                }
            };
            let path = &path;
            out.push(&ToOperator::Change {
                request,
                path,
                change,
            });
        }
        false
    }
}

impl OpenFile {
    /// The next bytes; a file that is shorter than it was has zeros at its end.
    fn next_piece(&mut self, files: &FileSystem) -> vec::Vec<u8> {
        let left = usize::try_from(self.size - self.offset).unwrap_or(usize::MAX);
        let mut piece = vec![0; left.min(limits::OPERATOR_PIECE_BYTES)];
        let mut filled = 0;
        while filled < piece.len() {
            let offset = self.offset + filled as u64;
            match files.peek_at(self.inode, offset, &mut piece[filled..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => filled += count,
            }
        }
        self.offset += piece.len() as u64;
        piece
    }
}
