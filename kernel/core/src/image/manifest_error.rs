//! Why a manifest is refused.
//!
//! As in `error`: names and figures in the variants, one line of text from `Display`.
//! [`ManifestError::path`] leads the tool to the line of the file.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use super::{ForwardProtocol, Item};
use crate::limits;

/// Why a manifest cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// A name is empty, too long or has other characters than it may.
    BadName {
        /// What is named.
        item: Item,
    },
    /// A library has a name under which the kernel or the instance offers something else.
    ReservedName {
        /// The library.
        item: Item,
    },
    /// A text has characters that it must not have.
    BadText {
        /// Where.
        item: Item,
        /// Which text.
        what: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A path is not an absolute one without `.`, `..`, empty or too long components.
    BadPath {
        /// Where.
        item: Item,
        /// The path.
        path: String,
    },
    /// Something lies below a path, or is to be opened as a directory, that is no directory.
    NotADirectory {
        /// What needs the directory.
        item: Item,
        /// What is something else.
        path: String,
    },
    /// Two listeners claim one port of one address.
    ListenerTaken {
        /// The second.
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

impl ManifestError {
    /// The keys that lead to the fault in a manifest file; forwards are given by their number.
    pub fn path(&self) -> (Vec<&str>, Option<usize>) {
        use ManifestError::*;
        match self {
            BadName { item }
            | ReservedName { item }
            | BadText { item, .. }
            | BadPath { item, .. }
            | NotADirectory { item, .. }
            | ListenerTaken { item }
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

impl core::error::Error for ManifestError {}

impl fmt::Display for ManifestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ManifestError::*;
        match self {
            BadName { item } => write!(
                formatter,
                "{item} has an unusable name: use 1 to {} lower-case letters, digits and inner hyphens",
                limits::NAME_BYTES
            ),
            ReservedName { item } => write!(
                formatter,
                "{item} has a name that modules import other things from: choose another than \
                 `main`, `sos` and `wasi_snapshot_preview1`"
            ),
            BadText { item, what, wanted } => {
                write!(formatter, "{item} has an unusable {what}: use {wanted}")
            }
            BadPath { item, path } => write!(
                formatter,
                "{item} has path `{path}`: write an absolute one without `.`, `..` and empty parts, \
                 each part of at most {} bytes",
                limits::FILE_NAME_BYTES
            ),
            NotADirectory { item, path } => write!(
                formatter,
                "{item} needs the directory `{path}`, which is a file or a link: move one of them"
            ),
            ListenerTaken { item } => write!(
                formatter,
                "{item} claims an address that another listener has: leave one of them out"
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
