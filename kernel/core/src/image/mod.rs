//! The boot image: a manifest and the module files that it names, in one checksummed file.
//!
//! `manifest` holds the plain data, `validate` says which manifests are sound, `codec` reads and
//! writes the file. The tool encodes, the kernel parses; both run the same code.

mod bytes;
mod codec;
mod error;
mod manifest;
mod validate;

#[cfg(test)]
mod tests;

pub use bytes::BlobBytes;
pub use codec::{FORMAT_VERSION, HEADER_BYTES, Image, MAGIC, encode, module_hash};
pub use error::{ImageError, ImagePart, Item, ManifestError};
pub use manifest::{
    AddressSpec, Attachment, Autostart, FileContent, FileSpec, ForwardProtocol, ForwardSpec,
    HealthCheck, HealthSpec, InstanceLimits, InstanceSpec, LibrarySpec, LinkSpec, ListenerSpec,
    Manifest, ModuleHash, PortSpec, PreopenSpec, RestartPolicy, SwitchSpec,
};
