//! The boot image: a manifest and the modules and files that it names, in one checksummed file.
//!
//! `manifest` holds the plain data, `validate` says which manifests are sound (`manifest_error` and
//! `item` name what is not), `codec` reads and writes the file, `error` says what is wrong with it.
//! The tool encodes, the kernel parses; both run the same code. `bundle` puts an image and snapshots into
//! one boot module.

mod bundle;
mod bytes;
mod codec;
mod error;
mod item;
mod manifest;
mod manifest_error;
mod validate;

#[cfg(test)]
mod tests;

pub use bundle::{BUNDLE_MAGIC, Bundle, BundleError, Part, PartKind};
pub use bytes::BlobBytes;
pub use codec::{FORMAT_VERSION, HEADER_BYTES, Image, MAGIC, blob_hash, encode};
pub use error::{BlobUse, ImageError, ImagePart};
pub use item::Item;
pub use manifest::{
    AddressSpec, Attachment, Autostart, BlobHash, FileContent, FileSpec, ForwardProtocol,
    ForwardSpec, HealthCheck, HealthSpec, InstanceLimits, InstanceSpec, LibrarySpec, LinkSpec,
    ListenerSpec, Manifest, NodeSpec, PortSpec, PreopenSpec, RestartPolicy, SwitchSpec,
};
pub use manifest_error::ManifestError;
pub use validate::is_name;
