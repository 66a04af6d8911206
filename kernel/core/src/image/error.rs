//! Why an image or a manifest is refused.
//!
//! Each variant carries the names of the things at fault and no text; `Display` says in one line
//! what is wrong and what to do. [`ManifestError::path`] leads the tool to the line of the file.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use super::ForwardProtocol;
use super::ModuleHash;
use crate::limits;

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
        /// Its size, in bytes or, for the module table, in entries.
        size: u64,
        /// The bound.
        most: u64,
    },
    /// The parts do not add up to the file.
    PartsMismatch,
    /// Header, module table or manifest changed after the image was made.
    CorruptIndex,
    /// The module table is not in strictly ascending order.
    UnorderedModules,
    /// The manifest's bytes are not a manifest.
    UndecodableManifest,
    /// The manifest can be read but not run.
    Manifest(ManifestError),
    /// An instance names a module that the image does not hold.
    MissingModule {
        /// The instance.
        instance: String,
        /// The module's name in the manifest.
        module: String,
    },
    /// No module of this hash is in the image.
    UnknownModule(ModuleHash),
    /// A module file changed after the image was made.
    CorruptModule(ModuleHash),
}

/// A part of an image that has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePart {
    /// The whole file.
    File,
    /// The encoded manifest.
    Manifest,
    /// The module table, counted in modules.
    Modules,
    /// One module file.
    Module,
}

/// Why a manifest cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// A name is empty, too long or has other characters than it may.
    BadName {
        /// What is named.
        item: Item,
    },
    /// Two things have one name.
    DuplicateName {
        /// The second of them.
        item: Item,
    },
    /// There are more of something than the kernel holds.
    TooMany {
        /// Where.
        item: Item,
        /// What there are too many of.
        what: &'static str,
        /// The bound.
        most: usize,
    },
    /// A text is longer than the kernel keeps.
    TextTooLong {
        /// Where.
        item: Item,
        /// Which text.
        what: &'static str,
    },
    /// A figure is outside what the kernel grants.
    OutOfRange {
        /// Where.
        item: Item,
        /// The key.
        key: &'static str,
        /// The smallest value.
        least: u64,
        /// The largest value.
        most: u64,
    },
    /// An uplink is not called `nic` and a number.
    BadUplink {
        /// The switch.
        switch: String,
        /// What it names.
        uplink: String,
    },
    /// Two switches claim one NIC.
    UplinkTaken {
        /// The second switch.
        switch: String,
        /// The NIC.
        uplink: String,
    },
    /// A port is plugged into a switch or link that does not exist.
    UnknownSegment {
        /// The port.
        port: Item,
        /// What it names.
        segment: String,
    },
    /// A link does not have two ends.
    DanglingLink {
        /// The link.
        link: String,
        /// Ends that it has.
        ends: usize,
    },
    /// Both ends of a link are at one instance.
    CyclicLink {
        /// The link.
        link: String,
        /// The instance.
        instance: String,
    },
    /// A MAC address cannot name a single port.
    BadMac {
        /// The port.
        port: Item,
    },
    /// Two ports have one MAC address.
    DuplicateMac {
        /// The second port.
        port: Item,
    },
    /// An address cannot be a port's own.
    BadAddress {
        /// The port.
        port: Item,
        /// The address.
        address: IpAddr,
    },
    /// A prefix is longer than the address.
    BadPrefix {
        /// The port.
        port: Item,
        /// The address.
        address: IpAddr,
        /// Its prefix length.
        prefix_length: u8,
    },
    /// Two ports of one switch or link have one address.
    DuplicateAddress {
        /// The second port.
        port: Item,
        /// The address.
        address: IpAddr,
    },
    /// A port asks for DHCP twice.
    DuplicateDhcp {
        /// The port.
        port: Item,
    },
    /// A port has two default routers of one address family.
    DuplicateGateway {
        /// The port.
        port: Item,
    },
    /// A default router lies in none of the port's networks.
    UnreachableGateway {
        /// The port.
        port: Item,
        /// The router.
        gateway: IpAddr,
    },
    /// A forward names an instance that does not exist.
    UnknownForwardTarget {
        /// The forward's number in the file, from zero.
        index: usize,
        /// What it names.
        instance: String,
    },
    /// A forward leads to an instance that the outside cannot reach.
    UnreachableForwardTarget {
        /// The forward's number in the file, from zero.
        index: usize,
        /// The instance.
        instance: String,
    },
    /// Two forwards claim one host port.
    DuplicateForward {
        /// The second forward's number in the file, from zero.
        index: usize,
        /// The transport.
        protocol: ForwardProtocol,
        /// The host port.
        host_port: u16,
    },
    /// A forward names port zero.
    ZeroForward {
        /// The forward's number in the file, from zero.
        index: usize,
    },
}

/// A named thing of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The manifest itself.
    Manifest(String),
    /// A switch.
    Switch(String),
    /// A link.
    Link(String),
    /// An instance.
    Instance(String),
    /// A port of an instance.
    Port {
        /// The instance.
        instance: String,
        /// The port.
        port: String,
    },
    /// A configuration key of an instance.
    Config {
        /// The instance.
        instance: String,
        /// The key.
        key: String,
    },
}

impl Item {
    /// The keys that lead to it in a manifest file.
    pub fn path(&self) -> Vec<&str> {
        match self {
            Item::Manifest(_) => vec!["name"],
            Item::Switch(name) => vec!["switch", name],
            Item::Link(name) => vec!["link", name],
            Item::Instance(name) => vec!["instance", name],
            Item::Port { instance, port } => vec!["instance", instance, "port", port],
            Item::Config { instance, key } => vec!["instance", instance, "config", key],
        }
    }
}

impl ManifestError {
    /// The keys that lead to the fault in a manifest file; forwards are given by their number.
    pub fn path(&self) -> (Vec<&str>, Option<usize>) {
        use ManifestError::*;
        match self {
            BadName { item }
            | DuplicateName { item }
            | TooMany { item, .. }
            | TextTooLong { item, .. } => (item.path(), None),
            OutOfRange { item, key, .. } => {
                let mut path = item.path();
                if matches!(item, Item::Instance(_)) {
                    path.push("limits");
                }
                path.push(key);
                (path, None)
            }
            BadUplink { switch, .. } | UplinkTaken { switch, .. } => {
                (vec!["switch", switch, "uplink"], None)
            }
            UnknownSegment { port, .. }
            | BadMac { port }
            | DuplicateMac { port }
            | BadAddress { port, .. }
            | BadPrefix { port, .. }
            | DuplicateAddress { port, .. }
            | DuplicateDhcp { port }
            | DuplicateGateway { port }
            | UnreachableGateway { port, .. } => (port.path(), None),
            DanglingLink { link, .. } | CyclicLink { link, .. } => (vec!["link", link], None),
            UnknownForwardTarget { index, .. }
            | UnreachableForwardTarget { index, .. }
            | DuplicateForward { index, .. }
            | ZeroForward { index } => (vec!["forward"], Some(*index)),
        }
    }
}

impl core::error::Error for ImageError {}
impl core::error::Error for ManifestError {}

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
                "the image's header, module table or manifest is corrupt (wrong checksum): {REBUILD}"
            ),
            UnorderedModules => {
                write!(
                    formatter,
                    "the image's module table is out of order: {REBUILD}"
                )
            }
            UndecodableManifest => {
                write!(formatter, "the image's manifest cannot be read: {REBUILD}")
            }
            Manifest(error) => write!(formatter, "the image's manifest is unsound: {error}"),
            MissingModule { instance, module } => write!(
                formatter,
                "instance `{instance}` runs module `{module}`, which the image does not hold: {REBUILD}"
            ),
            UnknownModule(hash) => {
                write!(formatter, "the image holds no module {hash:#}: {REBUILD}")
            }
            CorruptModule(hash) => write!(
                formatter,
                "module {hash:#} of the image is corrupt (its bytes have another hash): {REBUILD}"
            ),
        }
    }
}

impl fmt::Display for ImagePart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ImagePart::File => "file (in bytes)",
            ImagePart::Manifest => "manifest (in bytes)",
            ImagePart::Modules => "module table (in modules)",
            ImagePart::Module => "module (in bytes)",
        })
    }
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Manifest(name) => write!(formatter, "manifest `{name}`"),
            Item::Switch(name) => write!(formatter, "switch `{name}`"),
            Item::Link(name) => write!(formatter, "link `{name}`"),
            Item::Instance(name) => write!(formatter, "instance `{name}`"),
            Item::Port { instance, port } => write!(formatter, "port `{instance}.{port}`"),
            Item::Config { instance, key } => {
                write!(
                    formatter,
                    "configuration key `{key}` of instance `{instance}`"
                )
            }
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ManifestError::*;
        match self {
            BadName { item } => write!(
                formatter,
                "{item} has an unusable name: use 1 to {} lower-case letters, digits and inner hyphens",
                limits::NAME_BYTES
            ),
            DuplicateName { item } => {
                write!(formatter, "{item} has a name that is taken: choose another")
            }
            TooMany { item, what, most } => {
                write!(formatter, "{item} has too many {what}: at most {most}")
            }
            TextTooLong { item, what } => write!(
                formatter,
                "{item} has a {what} that is too long: at most {} bytes",
                limits::TEXT_BYTES
            ),
            OutOfRange {
                item,
                key,
                least,
                most,
            } => {
                write!(
                    formatter,
                    "{item} has `{key}` out of range: choose from {least} to {most}"
                )
            }
            BadUplink { switch, uplink } => write!(
                formatter,
                "switch `{switch}` has uplink `{uplink}`: name a NIC of the machine, such as `nic0`"
            ),
            UplinkTaken { switch, uplink } => write!(
                formatter,
                "switch `{switch}` claims `{uplink}`, which another switch has: join both switches' ports on one"
            ),
            UnknownSegment { port, segment } => write!(
                formatter,
                "{port} is plugged into `{segment}`, which does not exist: declare the switch or link, or correct the name"
            ),
            DanglingLink { link, ends } => write!(
                formatter,
                "link `{link}` has {ends} of 2 ends: plug in two ports of two instances, or use a switch"
            ),
            CyclicLink { link, instance } => write!(
                formatter,
                "link `{link}` leads from instance `{instance}` to itself: join two different instances"
            ),
            BadMac { port } => write!(
                formatter,
                "{port} has a MAC address that names a group or nobody: leave `mac` out, or use one such as 02:00:00:00:00:01"
            ),
            DuplicateMac { port } => {
                write!(
                    formatter,
                    "{port} has the MAC address of another port: leave `mac` out"
                )
            }
            BadAddress { port, address } => write!(
                formatter,
                "{port} cannot have address {address}: use the address of a single host"
            ),
            BadPrefix {
                port,
                address,
                prefix_length,
            } => write!(
                formatter,
                "{port} has prefix length {prefix_length} with {address}: at most {}",
                if address.is_ipv4() { 32 } else { 128 }
            ),
            DuplicateAddress { port, address } => {
                write!(
                    formatter,
                    "{port} has address {address}, which another port there has"
                )
            }
            DuplicateDhcp { port } => {
                write!(formatter, "{port} asks for DHCP twice: once is enough")
            }
            DuplicateGateway { port } => write!(
                formatter,
                "{port} has two gateways of one address family: name one for IPv4 and one for IPv6"
            ),
            UnreachableGateway { port, gateway } => write!(
                formatter,
                "{port} has gateway {gateway}, which lies in none of its networks: correct it or the prefix length"
            ),
            UnknownForwardTarget { instance, .. } => write!(
                formatter,
                "a forward leads to instance `{instance}`, which does not exist: correct `to`"
            ),
            UnreachableForwardTarget { instance, .. } => write!(
                formatter,
                "a forward leads to instance `{instance}`, which has no port on a switch with an uplink: give it one"
            ),
            DuplicateForward {
                protocol,
                host_port,
                ..
            } => write!(
                formatter,
                "two forwards claim host port {host_port}/{protocol}: choose another `host`"
            ),
            ZeroForward { .. } => {
                write!(formatter, "a forward names port 0: use 1 to 65535")
            }
        }
    }
}
