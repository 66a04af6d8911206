//! The boot image: a manifest and the module files that it names, in one checksummed file.
//!
//! `manifest` holds the plain data, `validate` says which manifests are sound, `codec` reads and
//! writes the file. The tool encodes, the kernel parses; both run the same code.

mod manifest;

pub use manifest::{
    AddressSpec, Attachment, Autostart, ForwardProtocol, ForwardSpec, InstanceLimits, InstanceSpec,
    LinkSpec, Manifest, ModuleHash, PortSpec, RestartPolicy, SwitchSpec,
};
