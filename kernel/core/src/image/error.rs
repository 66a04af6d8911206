//! Why an image is refused.
//!
//! Each variant carries the names of the things at fault and no text; `Display` says in one line
//! what is wrong and what to do.

use alloc::string::String;
use core::fmt;

use super::{BlobHash, ManifestError};

/// Why an image is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// There are fewer bytes than a header has.
    TooShort {
        /// Bytes that are there.
        bytes: usize,
    },
    /// The file is something else.
    NotAnImage,
    /// It was made for another kernel.
    UnsupportedVersion {
        /// The version that the header names.
        found: u32,
    },
    /// The header names another length than the file has.
    WrongLength {
        /// Bytes that the header promises.
        promised: u64,
        /// Bytes that are there.
        bytes: usize,
    },
    /// One of the parts is larger than its bound.
    TooLarge {
        /// Which part.
        part: ImagePart,
        /// Its size, in bytes or, for the blob table, in entries.
        size: u64,
        /// The bound.
        most: u64,
    },
    /// The parts do not add up to the file.
    PartsMismatch,
    /// Header, blob table or manifest changed after the image was made.
    CorruptIndex,
    /// The blob table is not in strictly ascending order.
    UnorderedBlobs,
    /// The manifest's bytes are not a manifest.
    UndecodableManifest,
    /// The manifest can be read but not run.
    Manifest(ManifestError),
    /// An instance names a module or a file that the image does not hold.
    MissingBlob {
        /// The instance.
        instance: String,
        /// What is missing.
        item: BlobUse,
    },
    /// No blob of this hash is in the image.
    UnknownBlob(BlobHash),
    /// A module or a file changed after the image was made.
    CorruptBlob(BlobHash),
}

/// What an instance uses a blob of the image for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobUse {
    /// A module, by its name in the manifest.
    Module(String),
    /// A file, by its path in the instance.
    File(String),
}

/// A part of an image that has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePart {
    /// The whole file.
    File,
    /// The encoded manifest.
    Manifest,
    /// The blob table, counted in blobs.
    Blobs,
    /// One blob: a module or a file.
    Blob,
}

impl core::error::Error for ImageError {}

impl From<ManifestError> for ImageError {
    fn from(error: ManifestError) -> Self {
        ImageError::Manifest(error)
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ImageError::*;
        const REBUILD: &str = "build the image again with `cargo sos image`";
        match self {
            TooShort { bytes } => {
                write!(
                    formatter,
                    "the image has only {bytes} bytes, less than its header: {REBUILD}"
                )
            }
            NotAnImage => write!(formatter, "this is no SOS image (wrong magic): {REBUILD}"),
            UnsupportedVersion { found } => write!(
                formatter,
                "the image has format version {found}, this kernel reads {}: {REBUILD}",
                super::FORMAT_VERSION
            ),
            WrongLength { promised, bytes } => write!(
                formatter,
                "the image should have {promised} bytes and has {bytes}: it was cut or padded; copy or build it again"
            ),
            TooLarge { part, size, most } => write!(
                formatter,
                "the image's {part} has {size}, at most {most} are allowed: make it smaller"
            ),
            PartsMismatch => {
                write!(
                    formatter,
                    "the image's parts do not add up to its length: {REBUILD}"
                )
            }
            CorruptIndex => write!(
                formatter,
                "the image's header, blob table or manifest is corrupt (wrong checksum): {REBUILD}"
            ),
            UnorderedBlobs => {
                write!(
                    formatter,
                    "the image's blob table is out of order: {REBUILD}"
                )
            }
            UndecodableManifest => {
                write!(formatter, "the image's manifest cannot be read: {REBUILD}")
            }
            Manifest(error) => write!(formatter, "the image's manifest is unsound: {error}"),
            MissingBlob { instance, item } => match item {
                BlobUse::Module(name) => write!(
                    formatter,
                    "instance `{instance}` runs module `{name}`, which the image does not hold: {REBUILD}"
                ),
                BlobUse::File(path) => write!(
                    formatter,
                    "instance `{instance}` has a file `{path}`, whose content the image does not hold: {REBUILD}"
                ),
            },
            UnknownBlob(hash) => {
                write!(formatter, "the image holds no blob {hash:#}: {REBUILD}")
            }
            CorruptBlob(hash) => write!(
                formatter,
                "blob {hash:#} of the image is corrupt (its bytes have another hash): {REBUILD}"
            ),
        }
    }
}

impl fmt::Display for ImagePart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ImagePart::File => "file (in bytes)",
            ImagePart::Manifest => "manifest (in bytes)",
            ImagePart::Blobs => "blob table (in modules and files)",
            ImagePart::Blob => "largest module or file (in bytes)",
        })
    }
}
