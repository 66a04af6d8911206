//! From a path to what it names, never above the directory at which it starts.
//!
//! A directory has one parent and no second name, so `..` is the parent; that the start is never
//! left upwards is thus one comparison.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::inode::Node;
use super::{FileError, FileSystem, Follow, InodeId};
use crate::limits;

/// What becomes of a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastLink {
    /// It is followed.
    Follow,
    /// It is followed only if a slash comes after it, since then it must be a directory.
    FollowBeforeSlash,
    /// It is what the path names, for operations on names.
    Keep,
}

impl From<Follow> for LastLink {
    fn from(follow: Follow) -> LastLink {
        match follow {
            Follow::Follow => LastLink::Follow,
            Follow::NoFollow => LastLink::FollowBeforeSlash,
        }
    }
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A name in a directory.
    Name(Named),
    /// A directory, by `.` or `..` at the end of the path.
    Itself(InodeId),
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub parent: InodeId,
    pub name: String,
    /// What the name stands for, if it is there.
    pub inode: Option<InodeId>,
    /// Whether a slash came after it: then it must be a directory.
    pub slash: Slash,
}

/// Whether a slash ended the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slash {
    Absent,
    Present,
}

/// The text of a path that a guest gave, or of a link.
///
/// # Errors
/// [`FileError::NameTooLong`], [`FileError::InvalidPath`], [`FileError::NotFound`] for an empty one
/// and [`FileError::Escapes`] for an absolute one.
pub(super) fn path_text(path: &[u8]) -> Result<&str, FileError> {
    if path.len() > limits::PATH_BYTES {
        return Err(FileError::NameTooLong);
    }
    if path.contains(&0) {
        return Err(FileError::InvalidPath);
    }
    let text = core::str::from_utf8(path).map_err(|_| FileError::InvalidPath)?;
    match text.as_bytes().first() {
        None => Err(FileError::NotFound),
        Some(b'/') => Err(FileError::Escapes),
        Some(_) => Ok(text),
    }
}

/// The parts of a path that are still to be walked, those of links before what comes after the link.
struct Walk<'a> {
    /// The last text comes first. None is empty or begins with a slash.
    texts: Vec<&'a str>,
    links: usize,
    /// Bytes of the path and of the links that were followed.
    bytes: usize,
    slash: Slash,
}

/// Where a part stands in its path.
#[derive(PartialEq, Eq)]
enum Position {
    Inner,
    Last,
}

impl<'a> Walk<'a> {
    /// Takes the next part.
    fn next(&mut self) -> Option<(&'a str, Position)> {
        let text = self.texts.pop()?;
        let (part, rest) = match text.find('/') {
            Some(end) => (&text[..end], text[end..].trim_start_matches('/')),
            None => (text, ""),
        };
        if !rest.is_empty() {
            self.texts.push(rest);
        }
        if !self.texts.is_empty() {
            return Some((part, Position::Inner));
        }
        if part.len() < text.len() {
            self.slash = Slash::Present;
        }
        Some((part, Position::Last))
    }

    /// Goes on with the text of a link.
    fn follow(&mut self, text: &'a str) -> Result<(), FileError> {
        self.links += 1;
        self.bytes += text.len();
        if self.links > limits::LINKS_FOLLOWED || self.bytes > limits::WALK_BYTES {
            return Err(FileError::Loop);
        }
        if text.starts_with('/') {
            return Err(FileError::Escapes);
        }
        self.texts.push(text);
        Ok(())
    }
}

impl FileSystem {
    /// What `path` names, from the directory `start`.
    pub(super) fn resolve(
        &self,
        start: InodeId,
        path: &[u8],
        last_link: LastLink,
    ) -> Result<Place, FileError> {
        self.inodes.get(start)?.directory()?;
        let mut walk = Walk {
            texts: vec![path_text(path)?],
            links: 0,
            bytes: path.len(),
            slash: Slash::Absent,
        };
        let mut current = start;
        while let Some((part, position)) = walk.next() {
            self.local.step();
            let directory = self.inodes.get(current)?.directory()?;
            if part.len() > limits::FILE_NAME_BYTES {
                return Err(FileError::NameTooLong);
            }
            let inode = match part {
                "." => continue,
                ".." if current == start => return Err(FileError::Escapes),
                ".." => {
                    current = directory.parent;
                    continue;
                }
                name => directory.get(name),
            };
            let node = match inode {
                Some(inode) => Some(&self.inodes.get(inode)?.node),
                None => None,
            };
            match (node, position) {
                (Some(Node::SymbolicLink(text)), Position::Inner) => walk.follow(text)?,
                (Some(Node::SymbolicLink(text)), Position::Last)
                    if follows(last_link, walk.slash) =>
                {
                    walk.follow(text)?;
                }
                (_, Position::Last) => {
                    return Ok(Place::Name(Named {
                        parent: current,
                        name: part.into(),
                        inode,
                        slash: walk.slash,
                    }));
                }
                (Some(Node::Directory(_)), Position::Inner) => current = inode.unwrap_or(current),
                (Some(Node::File(_)), Position::Inner) => return Err(FileError::NotDirectory),
                (None, Position::Inner) => return Err(FileError::NotFound),
            }
        }
        Ok(Place::Itself(current))
    }

    /// The inode that `path` names, from the directory `start`.
    ///
    /// # Errors
    /// Those of the path, and [`FileError::NotFound`].
    pub fn lookup(
        &self,
        start: InodeId,
        path: &[u8],
        follow: Follow,
    ) -> Result<InodeId, FileError> {
        match self.resolve(start, path, follow.into())? {
            Place::Itself(directory) => Ok(directory),
            Place::Name(named) => {
                let inode = named.inode.ok_or(FileError::NotFound)?;
                if named.slash == Slash::Present {
                    self.inodes.get(inode)?.directory()?;
                }
                Ok(inode)
            }
        }
    }
}

/// Whether a link at the end of a path is followed.
fn follows(last_link: LastLink, slash: Slash) -> bool {
    match last_link {
        LastLink::Follow => true,
        LastLink::FollowBeforeSlash => slash == Slash::Present,
        LastLink::Keep => false,
    }
}
