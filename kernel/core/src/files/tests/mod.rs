//! Tests of files: each operation and each error, then random operations against a model and
//! against the host's own file system.

mod bytes;
mod changes;
mod differential;
mod listing;
mod model;
mod names;
mod paths;
mod random;
mod stored;

extern crate std;

use super::*;
use crate::image::{BlobBytes, blob_hash};

const ROOT: InodeId = InodeId::ROOT;
const LIMITS: FileLimits = FileLimits {
    bytes: 1024 * 1024,
    files: 100,
};
/// Options that make a file.
const CREATE: OpenOptions = OpenOptions {
    follow: Follow::Follow,
    create: Create::IfMissing,
    must: Must::BeAny,
    truncate: Truncate::Keep,
};

/// No files.
fn empty() -> FileSystem {
    FileSystem::new(LIMITS, 1)
}

/// A blob that is in the image.
fn blob(bytes: &'static [u8]) -> Blob {
    Blob::new(blob_hash(bytes), BlobBytes::Image(bytes))
}

/// Makes a file with these bytes.
fn put(files: &mut FileSystem, path: &str, bytes: &[u8]) -> InodeId {
    let inode = files.open(ROOT, path.as_bytes(), CREATE, 2).unwrap();
    assert_eq!(files.write_at(inode, 0, bytes, 2), Ok(bytes.len()));
    files.release(inode);
    inode
}

/// All bytes of a file.
fn get(files: &FileSystem, path: &str) -> Result<alloc::vec::Vec<u8>, FileError> {
    let inode = files.lookup(ROOT, path.as_bytes(), Follow::Follow)?;
    let mut bytes = alloc::vec![0; files.size(inode)? as usize];
    files.peek_at(inode, 0, &mut bytes)?;
    Ok(bytes)
}

fn make_directory(files: &mut FileSystem, path: &str) -> InodeId {
    files.create_directory(ROOT, path.as_bytes(), 2).unwrap()
}

fn make_link(files: &mut FileSystem, text: &str, path: &str) -> InodeId {
    files
        .symbolic_link(text.as_bytes(), ROOT, path.as_bytes(), 2)
        .unwrap()
}

fn rename(files: &mut FileSystem, from: &str, to: &str) -> Result<(), FileError> {
    files.rename(ROOT, from.as_bytes(), ROOT, to.as_bytes(), 3)
}

fn open(files: &mut FileSystem, path: &str, options: OpenOptions) -> Result<InodeId, FileError> {
    files.open(ROOT, path.as_bytes(), options, 3)
}

/// All differences from the image.
fn all_changes(files: &FileSystem, directory: &str) -> alloc::vec::Vec<Change> {
    let mut walk = files.changes(directory).unwrap();
    let mut found = alloc::vec::Vec::new();
    loop {
        match walk.step(files) {
            ChangeStep::Change(change) => found.push(change),
            ChangeStep::Same => {}
            ChangeStep::End => return found,
        }
    }
}
