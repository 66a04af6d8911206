//! Which manifests are sound: names, references, addresses and figures.
//!
//! The kernel holds nothing of a manifest to be true before this has passed; afterwards every
//! reference resolves and every count is bounded by [`crate::limits`]. `program` looks at libraries,
//! environment, listeners and health checks, `files` at files and preopened directories, `node` at the
//! node itself.

mod files;
mod node;
mod program;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use core::net::IpAddr;

use super::{
    AddressSpec, Attachment, ForwardSpec, InstanceSpec, Item, Manifest, ManifestError, PortSpec,
};
use crate::limits;

/// Smallest MTU that IPv6 allows (RFC 8200, section 5).
const LEAST_MTU_BYTES: u16 = 1280;

impl Manifest {
    /// Says what is wrong with the manifest, if anything is.
    pub fn validate(&self) -> Result<(), ManifestError> {
        let manifest = || Item::Manifest(self.name.clone());
        require_name(&self.name, manifest)?;
        let segments = self.switches.len() + self.links.len();
        bound(segments, limits::SEGMENTS, "switches and links", manifest)?;
        bound(
            self.instances.len(),
            limits::INSTANCES,
            "instances",
            manifest,
        )?;
        bound(self.forwards.len(), limits::FORWARDS, "forwards", manifest)?;
        self.validate_segments()?;
        let mut wiring = Wiring::default();
        let mut names = BTreeSet::new();
        for instance in &self.instances {
            let item = || Item::Instance(instance.name.clone());
            require_name(&instance.name, item)?;
            if !names.insert(&instance.name) {
                return Err(ManifestError::DuplicateName { item: item() });
            }
            validate_instance(instance)?;
            for port in &instance.ports {
                self.validate_port(instance, port, &mut wiring)?;
            }
        }
        if let Some(node) = &self.node {
            self.validate_node(node, &mut wiring)?;
        }
        self.validate_wiring(&wiring)?;
        self.validate_forwards()
    }

    fn validate_segments(&self) -> Result<(), ManifestError> {
        let mut names = BTreeSet::new();
        let mut uplinks = BTreeSet::new();
        let switches = self
            .switches
            .iter()
            .map(|s| (&s.name, s.mtu_bytes, Item::Switch(s.name.clone())));
        let links = self
            .links
            .iter()
            .map(|l| (&l.name, l.mtu_bytes, Item::Link(l.name.clone())));
        for (name, mtu_bytes, item) in switches.chain(links) {
            require_name(name, || item.clone())?;
            if mtu_bytes.is_some_and(|mtu| mtu < LEAST_MTU_BYTES) {
                return Err(ManifestError::OutOfRange {
                    item,
                    key: "mtu",
                    least: LEAST_MTU_BYTES.into(),
                    most: u16::MAX.into(),
                });
            }
            if !names.insert(name) {
                return Err(ManifestError::DuplicateName { item });
            }
        }
        for switch in &self.switches {
            let Some(uplink) = &switch.uplink else {
                continue;
            };
            let (name, uplink_name) = (switch.name.clone(), uplink.clone());
            let number = uplink
                .strip_prefix("nic")
                .and_then(|number| number.parse::<u8>().ok());
            if number.map(|number| alloc::format!("nic{number}")).as_ref() != Some(uplink) {
                return Err(ManifestError::BadUplink {
                    switch: name,
                    uplink: uplink_name,
                });
            }
            if !uplinks.insert(uplink) {
                return Err(ManifestError::UplinkTaken {
                    switch: name,
                    uplink: uplink_name,
                });
            }
        }
        Ok(())
    }

    fn validate_port<'a>(
        &'a self,
        instance: &'a InstanceSpec,
        port: &'a PortSpec,
        wiring: &mut Wiring<'a>,
    ) -> Result<(), ManifestError> {
        let item = || Item::Port {
            instance: instance.name.clone(),
            port: port.name.clone(),
        };
        require_name(&port.name, item)?;
        let known = match &port.attach {
            Attachment::Switch(name) => self.switches.iter().any(|switch| switch.name == *name),
            Attachment::Link(name) => self.links.iter().any(|link| link.name == *name),
            Attachment::Unplugged => true,
        };
        let segment = port.attach.segment();
        if !known {
            let segment = segment.unwrap_or_default().to_string();
            return Err(ManifestError::UnknownSegment {
                port: item(),
                segment,
            });
        }
        if let Some(segment) = segment {
            let ends = wiring.ends.entry(segment).or_default();
            ends.push(&instance.name);
            if matches!(port.attach, Attachment::Switch(_)) {
                bound(ends.len(), limits::PORTS_PER_SWITCH, "ports", || {
                    Item::Switch(segment.to_string())
                })?;
            }
        }
        if let Some(mac) = port.mac {
            // The lowest bit of the first byte marks a group (IEEE 802, section 8.2).
            if mac[0] & 1 != 0 || mac == [0; 6] {
                return Err(ManifestError::BadMac { port: item() });
            }
            if !wiring.macs.insert(mac) {
                return Err(ManifestError::DuplicateMac { port: item() });
            }
        }
        validate_addresses(&port.addresses, &port.gateways, &port.dns, item)?;
        for address in &port.addresses {
            if let AddressSpec::Static { address, .. } = address
                && let Some(segment) = segment
                && !wiring.addresses.insert((segment, *address))
            {
                return Err(ManifestError::DuplicateAddress {
                    port: item(),
                    address: *address,
                });
            }
        }
        Ok(())
    }

    fn validate_wiring(&self, wiring: &Wiring<'_>) -> Result<(), ManifestError> {
        for link in &self.links {
            let ends = wiring
                .ends
                .get(link.name.as_str())
                .map_or(&[][..], |ends| ends);
            match ends {
                [one, other] if one == other => {
                    let (link, instance) = (link.name.clone(), (*one).to_string());
                    return Err(ManifestError::CyclicLink { link, instance });
                }
                [_, _] => {}
                _ => {
                    let (link, ends) = (link.name.clone(), ends.len());
                    return Err(ManifestError::DanglingLink { link, ends });
                }
            }
        }
        Ok(())
    }

    fn validate_forwards(&self) -> Result<(), ManifestError> {
        let mut taken = BTreeSet::new();
        for (index, forward) in self.forwards.iter().enumerate() {
            let ForwardSpec {
                protocol,
                host_port,
                instance: name,
                instance_port,
            } = forward;
            if *host_port == 0 || *instance_port == 0 {
                return Err(ManifestError::ZeroForward { index });
            }
            if !taken.insert((protocol, host_port)) {
                let (protocol, host_port) = (*protocol, *host_port);
                return Err(ManifestError::DuplicateForward {
                    index,
                    protocol,
                    host_port,
                });
            }
            let Some(instance) = self.instance(name) else {
                let instance = name.clone();
                return Err(ManifestError::UnknownForwardTarget { index, instance });
            };
            if !instance.ports.iter().any(|port| self.is_uplinked(port)) {
                let instance = name.clone();
                return Err(ManifestError::UnreachableForwardTarget { index, instance });
            }
        }
        Ok(())
    }

    fn is_uplinked(&self, port: &PortSpec) -> bool {
        match &port.attach {
            Attachment::Link(_) | Attachment::Unplugged => false,
            Attachment::Switch(name) => self
                .switches
                .iter()
                .any(|switch| switch.name == *name && switch.uplink.is_some()),
        }
    }
}

/// What the ports seen so far claim.
#[derive(Default)]
struct Wiring<'a> {
    /// Instances at each switch or link, once per port.
    ends: BTreeMap<&'a str, alloc::vec::Vec<&'a str>>,
    macs: BTreeSet<[u8; 6]>,
    addresses: BTreeSet<(&'a str, IpAddr)>,
}

fn validate_instance(instance: &InstanceSpec) -> Result<(), ManifestError> {
    let item = || Item::Instance(instance.name.clone());
    bound(
        instance.ports.len(),
        limits::PORTS_PER_INSTANCE,
        "ports",
        item,
    )?;
    bound(
        instance.arguments.len(),
        limits::ARGUMENTS,
        "arguments",
        item,
    )?;
    bound(
        instance.config.len(),
        limits::CONFIG_ENTRIES,
        "configuration keys",
        item,
    )?;
    require_text(&instance.module_name, "module name", item)?;
    for argument in &instance.arguments {
        require_text(argument, "argument", item)?;
    }
    let mut keys = BTreeSet::new();
    for (key, value) in &instance.config {
        let item = || Item::Config {
            instance: instance.name.clone(),
            key: key.clone(),
        };
        if key.is_empty() {
            return Err(ManifestError::BadName { item: item() });
        }
        require_text(key, "key", item)?;
        require_text(value, "value", item)?;
        if !keys.insert(key) {
            return Err(ManifestError::DuplicateName { item: item() });
        }
    }
    let mut ports = BTreeSet::new();
    for port in &instance.ports {
        if !ports.insert(&port.name) {
            let (instance, port) = (instance.name.clone(), port.name.clone());
            return Err(ManifestError::DuplicateName {
                item: Item::Port { instance, port },
            });
        }
    }
    validate_limits(instance)?;
    program::validate(instance)?;
    files::validate(instance)
}

fn validate_limits(instance: &InstanceSpec) -> Result<(), ManifestError> {
    let granted = &instance.limits;
    let rows = [
        ("memory", granted.memory_bytes, 0, limits::MEMORY_BYTES_MOST),
        (
            "tables",
            granted.table_elements,
            0,
            limits::TABLE_ELEMENTS_MOST,
        ),
        ("stack", granted.stack_bytes, 4096, limits::STACK_BYTES_MOST),
        ("call_depth", granted.call_depth, 8, limits::CALL_DEPTH_MOST),
        (
            "cpu_shares",
            granted.cpu_shares.into(),
            1,
            limits::CPU_SHARES_MOST.into(),
        ),
        (
            "sockets",
            granted.sockets.into(),
            0,
            limits::SOCKETS_MOST.into(),
        ),
        ("log", granted.log_bytes, 0, limits::LOG_BYTES_MOST),
        ("file_bytes", granted.file_bytes, 0, limits::FILE_BYTES_MOST),
        ("files", granted.files.into(), 0, limits::FILES_MOST.into()),
    ];
    for (key, value, least, most) in rows {
        if !(least..=most).contains(&value) {
            let item = Item::Instance(instance.name.clone());
            return Err(ManifestError::OutOfRange {
                item,
                key,
                least,
                most,
            });
        }
    }
    Ok(())
}

fn validate_addresses(
    addresses: &[AddressSpec],
    gateways: &[IpAddr],
    dns: &[IpAddr],
    item: impl Fn() -> Item,
) -> Result<(), ManifestError> {
    bound(addresses.len(), limits::PORT_ADDRESSES, "addresses", &item)?;
    bound(dns.len(), limits::PORT_ADDRESSES, "DNS servers", &item)?;
    let mut dhcp = false;
    for address in addresses {
        match *address {
            AddressSpec::Dhcp if dhcp => {
                return Err(ManifestError::DuplicateDhcp { port: item() });
            }
            AddressSpec::Dhcp => dhcp = true,
            AddressSpec::Static {
                address,
                prefix_length,
            } => {
                if prefix_length > address_bits(address) {
                    return Err(ManifestError::BadPrefix {
                        port: item(),
                        address,
                        prefix_length,
                    });
                }
                if !is_host(address) {
                    return Err(ManifestError::BadAddress {
                        port: item(),
                        address,
                    });
                }
            }
        }
    }
    for server in dns.iter().chain(gateways) {
        if !is_host(*server) {
            return Err(ManifestError::BadAddress {
                port: item(),
                address: *server,
            });
        }
    }
    let families: BTreeSet<bool> = gateways.iter().map(IpAddr::is_ipv4).collect();
    if families.len() != gateways.len() {
        return Err(ManifestError::DuplicateGateway { port: item() });
    }
    for gateway in gateways {
        let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let is_near = || addresses.iter().any(|address| holds(address, *gateway));
        if !link_local && !is_near() {
            return Err(ManifestError::UnreachableGateway {
                port: item(),
                gateway: *gateway,
            });
        }
    }
    Ok(())
}

/// Whether the network of a fixed address holds another one.
fn holds(network: &AddressSpec, other: IpAddr) -> bool {
    let AddressSpec::Static {
        address,
        prefix_length,
    } = *network
    else {
        return false;
    };
    let prefix = u32::from(prefix_length);
    match (address, other) {
        (IpAddr::V4(address), IpAddr::V4(other)) => {
            (address.to_bits() ^ other.to_bits()).leading_zeros() >= prefix
        }
        (IpAddr::V6(address), IpAddr::V6(other)) => {
            (address.to_bits() ^ other.to_bits()).leading_zeros() >= prefix
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn address_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn is_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast)
}

/// Whether an instance, a port, a switch or a link can be called so.
pub fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=limits::NAME_BYTES).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn require_name(name: &str, item: impl FnOnce() -> Item) -> Result<(), ManifestError> {
    if is_name(name) {
        Ok(())
    } else {
        Err(ManifestError::BadName { item: item() })
    }
}

fn require_text(
    text: &str,
    what: &'static str,
    item: impl FnOnce() -> Item,
) -> Result<(), ManifestError> {
    if text.len() <= limits::TEXT_BYTES {
        Ok(())
    } else {
        Err(ManifestError::TextTooLong { item: item(), what })
    }
}

fn bound(
    count: usize,
    most: usize,
    what: &'static str,
    item: impl FnOnce() -> Item,
) -> Result<(), ManifestError> {
    if count <= most {
        Ok(())
    } else {
        Err(ManifestError::TooMany {
            item: item(),
            what,
            most,
        })
    }
}
