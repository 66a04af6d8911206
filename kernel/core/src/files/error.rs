//! Why an operation on files failed, one variant for each reason that POSIX tells apart.

use core::fmt;

/// Why an operation on files failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileError {
    /// Nothing has this name, or the directory was removed.
    NotFound,
    /// The name is taken.
    Exists,
    /// A part of the path that must be a directory is none.
    NotDirectory,
    /// A directory, where another kind of file is needed.
    IsDirectory,
    /// Neither a file nor a directory, where one of them is needed; or a link, where none may be.
    InvalidArgument,
    /// The directory has entries.
    NotEmpty,
    /// The limit of bytes or of files is reached.
    NoSpace,
    /// A name or a path is too long.
    NameTooLong,
    /// Too many symbolic links on the way, or one at the end that may not be followed.
    Loop,
    /// The path leaves the directory at which it starts.
    Escapes,
    /// The path is not UTF-8, or holds a zero byte.
    InvalidPath,
    /// The file would be larger than files may be.
    TooLarge,
    /// The path ends in `.` or `..`, which cannot be renamed.
    Busy,
    /// The file has as many names as a file may have.
    TooManyLinks,
    /// Directories have one name only.
    NotPermitted,
    /// There is no such inode: its last name and its last open are gone.
    Stale,
    /// The bytes of a file of the image are not at hand.
    MissingBlob,
}

impl core::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileError::NotFound => "no such file or directory: correct the path or create it",
            FileError::Exists => "the file exists already: choose another name or remove it",
            FileError::NotDirectory => "a part of the path is not a directory: correct the path",
            FileError::IsDirectory => "it is a directory: name a file",
            FileError::InvalidArgument => "the operation does not fit this kind of file",
            FileError::NotEmpty => "the directory is not empty: remove its entries first",
            FileError::NoSpace => {
                "no space is left: remove files, or raise `file_bytes` or `files` of the instance"
            }
            FileError::NameTooLong => "a name or the path is too long: shorten it",
            FileError::Loop => "too many symbolic links: look for one that leads to itself",
            FileError::Escapes => {
                "the path leaves its directory: use relative paths that stay below it"
            }
            FileError::InvalidPath => "the path is not UTF-8 or holds a zero byte",
            FileError::TooLarge => "the file would be too large",
            FileError::Busy => "`.` and `..` cannot be renamed: name the directory from its parent",
            FileError::TooManyLinks => "the file has too many names: copy it instead",
            FileError::NotPermitted => "a directory cannot have a second name: use a symbolic link",
            FileError::Stale => "the file is gone: open it again",
            FileError::MissingBlob => {
                "the bytes of a file of the image are missing: build the image again"
            }
        })
    }
}
