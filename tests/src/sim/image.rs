//! Boot images for simulated nodes, written in a test's own lines.

use sos_core::image::{
    AddressSpec, Attachment, BlobHash, FileContent, FileSpec, InstanceSpec, LibrarySpec, LinkSpec,
    Manifest, NodeSpec, PortSpec, SwitchSpec, blob_hash, encode,
};
use std::net::IpAddr;

/// A manifest, its modules and files in the making.
#[derive(Debug, Clone, Default)]
pub struct ImageBuilder {
    manifest: Manifest,
    blobs: Vec<Vec<u8>>,
}

impl ImageBuilder {
    /// An image whose node is called `name`.
    pub fn new(name: &str) -> ImageBuilder {
        let mut builder = ImageBuilder::default();
        builder.manifest.name = name.into();
        builder
    }

    /// Adds a switch, with `nic0` as uplink or alone.
    pub fn switch(mut self, name: &str, uplink: Option<&str>) -> ImageBuilder {
        self.manifest.switches.push(SwitchSpec {
            name: name.into(),
            uplink: uplink.map(Into::into),
            mtu_bytes: None,
        });
        self
    }

    /// Plugs the node itself into a switch, with a static address such as `10.0.0.1/24`.
    ///
    /// # Panics
    /// When the address does not parse.
    pub fn node(mut self, switch: &str, address: &str) -> ImageBuilder {
        let (address, length) = address.split_once('/').expect("a prefix length");
        self.manifest.node = Some(NodeSpec {
            addresses: vec![AddressSpec::Static {
                address: address.parse::<IpAddr>().expect("an address"),
                prefix_length: length.parse().expect("a prefix length"),
            }],
            ..NodeSpec::new(switch)
        });
        self
    }

    /// Adds a point-to-point link.
    pub fn link(mut self, name: &str) -> ImageBuilder {
        self.manifest.links.push(LinkSpec {
            name: name.into(),
            mtu_bytes: None,
        });
        self
    }

    /// Adds an instance of a module in WebAssembly's binary or text format.
    ///
    /// # Panics
    /// When the text does not parse.
    pub fn instance(mut self, name: &str, module: impl AsRef<[u8]>) -> ImageBuilder {
        let bytes = wat::parse_bytes(module.as_ref())
            .expect("module text")
            .into_owned();
        let spec = InstanceSpec::new(name, blob_hash(&bytes), name);
        self.manifest.instances.push(spec);
        self.blobs.push(bytes);
        self
    }

    /// Adds an instance of these bytes, whatever they are.
    pub fn raw_instance(mut self, name: &str, bytes: Vec<u8>) -> ImageBuilder {
        let spec = InstanceSpec::new(name, blob_hash(&bytes), name);
        self.manifest.instances.push(spec);
        self.blobs.push(bytes);
        self
    }

    /// Gives the instance added last a library in WebAssembly's binary or text format.
    ///
    /// # Panics
    /// When the text does not parse or there is no instance.
    pub fn library(mut self, name: &str, module: impl AsRef<[u8]>) -> ImageBuilder {
        let bytes = wat::parse_bytes(module.as_ref())
            .expect("module text")
            .into_owned();
        let library = LibrarySpec {
            name: name.into(),
            module: blob_hash(&bytes),
            module_name: format!("{name}.wasm"),
        };
        self.blobs.push(bytes);
        self.with(|instance| instance.libraries.push(library))
    }

    /// Adds the bytes of a file that instances may have.
    pub fn blob(&mut self, bytes: &[u8]) -> BlobHash {
        self.blobs.push(bytes.into());
        blob_hash(bytes)
    }

    /// Changes the instance added last.
    ///
    /// # Panics
    /// When there is none.
    pub fn with(mut self, change: impl FnOnce(&mut InstanceSpec)) -> ImageBuilder {
        change(self.manifest.instances.last_mut().expect("an instance"));
        self
    }

    /// Gives the instance added last a file.
    ///
    /// # Panics
    /// When there is no instance.
    pub fn file(mut self, path: &str, bytes: &[u8]) -> ImageBuilder {
        self.blobs.push(bytes.to_vec());
        self.with(|instance| {
            instance.files.push(FileSpec {
                path: path.into(),
                content: FileContent::Blob(blob_hash(bytes)),
            });
        })
    }

    /// Gives the instance added last a port with a static address such as `10.0.0.1/24`.
    ///
    /// # Panics
    /// When the address does not parse or there is no instance.
    pub fn port(self, name: &str, attach: Attachment, address: &str) -> ImageBuilder {
        let (address, length) = address.split_once('/').expect("a prefix length");
        let spec = AddressSpec::Static {
            address: address.parse::<IpAddr>().expect("an address"),
            prefix_length: length.parse().expect("a prefix length"),
        };
        self.port_with(name, attach, spec)
    }

    /// Gives the instance added last a port whose address DHCP gives.
    ///
    /// # Panics
    /// When there is no instance.
    pub fn dhcp_port(self, name: &str, attach: Attachment) -> ImageBuilder {
        self.port_with(name, attach, AddressSpec::Dhcp)
    }

    fn port_with(self, name: &str, attach: Attachment, address: AddressSpec) -> ImageBuilder {
        self.with(|instance| {
            instance.ports.push(PortSpec {
                name: name.into(),
                attach,
                mac: None,
                addresses: vec![address],
                gateways: Vec::new(),
                dns: Vec::new(),
            });
        })
    }

    /// Sets a configuration key of the instance added last.
    pub fn config(self, key: &str, value: &str) -> ImageBuilder {
        self.with(|instance| instance.config.push((key.into(), value.into())))
    }

    /// The image's bytes.
    ///
    /// # Panics
    /// When the manifest is not sound.
    pub fn build(self) -> Vec<u8> {
        encode(&self.manifest, &self.blobs).expect("a sound manifest")
    }
}

/// The switch of this name, to attach a port to.
pub fn switch(name: &str) -> Attachment {
    Attachment::Switch(name.into())
}

/// The link of this name, to attach a port to.
pub fn link(name: &str) -> Attachment {
    Attachment::Link(name.into())
}
