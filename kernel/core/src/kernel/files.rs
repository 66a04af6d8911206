//! The files that an instance starts with, and the directories that it finds open.

use super::blobs::Blobs;
use crate::files::{Blob, FileError, FileLimits, FileSystem, Follow, InodeId};
use crate::host::Guest;
use crate::image::{FileContent, InstanceSpec};
use alloc::format;
use alloc::string::String;

/// The files that the image gives an instance.
///
/// # Errors
/// In words: which file cannot be had, and why.
pub(super) fn image_files(
    spec: &InstanceSpec,
    blobs: &mut Blobs,
    now_ns: u64,
) -> Result<FileSystem, String> {
    let mut files = FileSystem::new(file_limits(spec), now_ns);
    for file in &spec.files {
        let added = match &file.content {
            FileContent::Blob(hash) => {
                let bytes = blobs.get(hash);
                let bytes = bytes.map_err(|error| format!("file '{}': {error}", file.path))?;
                files.add_image_file(&file.path, Blob::new(*hash, bytes), now_ns)
            }
            FileContent::Directory => files.add_image_directory(&file.path, now_ns),
            FileContent::SymbolicLink(text) => {
                files.add_image_symbolic_link(&file.path, text, now_ns)
            }
        };
        added.map_err(|error| format!("file '{}': {error}", file.path))?;
    }
    Ok(files)
}

/// What the files of an instance may take.
pub(super) fn file_limits(spec: &InstanceSpec) -> FileLimits {
    FileLimits {
        bytes: spec.limits.file_bytes,
        files: spec.limits.files,
    }
}

/// Opens the directories that the program finds open; one that no file implies is made.
///
/// # Errors
/// In words: which directory, and why.
pub(super) fn open_preopens(spec: &InstanceSpec, guest: &mut Guest) -> Result<(), String> {
    let now_ns = guest.clock.wall_nanos();
    for preopen in &spec.preopens {
        let opened = find_or_make(&mut guest.files, &preopen.directory, now_ns)
            .and_then(|inode| guest.open_directory(&preopen.name, inode));
        opened.map_err(|error| format!("directory '{}': {error}", preopen.directory))?;
    }
    Ok(())
}

fn find_or_make(files: &mut FileSystem, path: &str, now_ns: u64) -> Result<InodeId, FileError> {
    let relative = path.trim_start_matches('/');
    if relative.is_empty() {
        return Ok(InodeId::ROOT);
    }
    let find =
        |files: &FileSystem| files.lookup(InodeId::ROOT, relative.as_bytes(), Follow::Follow);
    match find(files) {
        Err(FileError::NotFound) => {
            files.add_image_directory(path, now_ns)?;
            find(files)
        }
        found => found,
    }
}
