//! One image divided among nodes: each gets the instances that are placed on it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use sos_core::image::{
    AddressSpec, Attachment, BlobHash, FileContent, Image, Manifest, NodeSpec, encode,
};

use crate::image::BootImage;
use crate::lan::Subnet;
use crate::manifest::Placement;

/// Nodes of one run.
pub const NODES_MAX: u32 = 8;
/// Host number of the first node in the LAN's subnet: below those that DHCP gives out, above the gateway's.
const FIRST_HOST: u32 = 3;

/// What one node is to be.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// Its name, `node1` and so on.
    pub name: String,
    /// What it boots.
    pub image: BootImage,
    /// Another kernel than that of the run, as when nodes have different builds.
    pub kernel: Option<PathBuf>,
    /// Where it is reached itself; none where DHCP will say.
    pub address: Option<SocketAddr>,
}

/// The network that the nodes meet on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The tool's own LAN: each node has an address of this subnet.
    Lan(Subnet),
    /// A network of the host: the first node has the address of the manifest's `[node]`, the others those that
    /// follow it; without one, DHCP gives them.
    Host,
}

/// Divides an image among `count` nodes of a network. What neither the manifest nor `placements`, which outrank it, place
/// starts on the first.
///
/// # Errors
/// When a placement names what is not there, a link would join two nodes, or the nodes would not meet.
pub fn plan(
    image: &BootImage,
    count: u32,
    placements: &[Placement],
    ground: Ground,
) -> Result<Vec<NodePlan>> {
    if !(1..=NODES_MAX).contains(&count) {
        bail!("{count} nodes: a run has 1 to {NODES_MAX}");
    }
    let names: Vec<String> = (1..=count).map(|number| format!("node{number}")).collect();
    let placements = [&image.placements[..], placements].concat();
    for Placement { instance, node } in &placements {
        if !names.contains(node) {
            bail!(
                "{instance} is to start on {node}, and the nodes are {}: --place {instance}=NODE, or more --nodes",
                names.join(", ")
            );
        }
        if image.manifest.instance(instance).is_none() {
            bail!(
                "--place {instance}={node}: no instance `{instance}` in {}",
                image.manifest.name
            );
        }
    }
    let placements = &placements[..];
    require_whole_links(&image.manifest, placements)?;
    let parsed = Image::parse(&image.bytes)?;
    let node = node_table(&image.manifest)?;
    let addresses = (0..count).map(|index| addresses(&node, ground, index));
    let addresses = addresses.collect::<Result<Vec<_>>>()?;
    let reached = |index: usize| {
        let fixed = addresses[index].iter().find_map(|address| match address {
            AddressSpec::Static { address, .. } => Some(*address),
            AddressSpec::Dhcp => None,
        });
        fixed.map(|address| SocketAddr::new(address, node.port))
    };
    let make = |(index, name): (usize, &String)| {
        let others = (0..names.len()).filter(|other| *other != index);
        let mut manifest = share(&image.manifest, name, placements);
        manifest.node = Some(NodeSpec {
            addresses: addresses[index].clone(),
            gateways: match ground {
                Ground::Lan(subnet) => vec![subnet.gateway.into()],
                Ground::Host => node.gateways.clone(),
            },
            peers: others
                .filter_map(reached)
                .chain(node.peers.iter().copied())
                .collect(),
            ..node.clone()
        });
        let blobs = blobs_of(&manifest)
            .iter()
            .map(|hash| parsed.blob(hash))
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = encode(&manifest, &blobs).with_context(|| format!("pack {name}'s image"))?;
        Ok(NodePlan {
            name: name.clone(),
            image: BootImage {
                bytes,
                manifest,
                placements: Vec::new(),
            },
            kernel: None,
            address: reached(index),
        })
    };
    names.iter().enumerate().map(make).collect()
}

/// The addresses of the node of this index.
fn addresses(node: &NodeSpec, ground: Ground, index: u32) -> Result<Vec<AddressSpec>> {
    if let Ground::Lan(subnet) = ground {
        let network = subnet.gateway.to_bits() & subnet.netmask().to_bits();
        return Ok(vec![AddressSpec::Static {
            address: Ipv4Addr::from_bits(network + FIRST_HOST + index).into(),
            prefix_length: subnet.prefix_len,
        }]);
    }
    let following = |spec: &AddressSpec| match *spec {
        AddressSpec::Dhcp => Ok(AddressSpec::Dhcp),
        AddressSpec::Static {
            address: first,
            prefix_length,
        } => {
            let (address, past) = match first {
                IpAddr::V4(first) => {
                    let address = first.to_bits().wrapping_add(index);
                    // The last of a network is its broadcast address.
                    let past = address.wrapping_add(1);
                    (
                        Ipv4Addr::from_bits(address).into(),
                        Ipv4Addr::from_bits(past).into(),
                    )
                }
                IpAddr::V6(first) => {
                    let address = Ipv6Addr::from_bits(first.to_bits().wrapping_add(index.into()));
                    (address.into(), address.into())
                }
            };
            if index > 0 && !same_network(first, past, prefix_length) {
                bail!(
                    "the network of [node]'s address {first}/{prefix_length} has no room for node{}",
                    index + 1
                );
            }
            Ok(AddressSpec::Static {
                address,
                prefix_length,
            })
        }
    };
    node.addresses.iter().map(following).collect()
}

/// Whether two addresses of one family have the same network.
fn same_network(one: IpAddr, other: IpAddr, prefix_length: u8) -> bool {
    let network = |address: IpAddr| {
        let (bits, width) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        bits.checked_shr(width - u32::from(prefix_length).min(width))
    };
    network(one) == network(other)
}

/// The manifest's own table for its node, or one at the first switch that leads outside.
fn node_table(manifest: &Manifest) -> Result<NodeSpec> {
    if let Some(node) = &manifest.node {
        return Ok(node.clone());
    }
    let mut switches = manifest.switches.iter();
    match switches.find(|switch| switch.uplink.is_some()) {
        Some(switch) => Ok(NodeSpec::new(&switch.name)),
        None => bail!(
            "nodes meet on a switch with an uplink, and {} has none: add `[switch.lan]` with `uplink = \"nic0\"`",
            manifest.name
        ),
    }
}

/// The node of an instance.
fn node_of<'a>(instance: &str, placements: &'a [Placement]) -> &'a str {
    // The last word counts, as on other command lines.
    let placed = placements.iter().rfind(|it| it.instance == instance);
    placed.map_or("node1", |placement| &placement.node)
}

/// A link is inside one node.
fn require_whole_links(manifest: &Manifest, placements: &[Placement]) -> Result<()> {
    for link in &manifest.links {
        let mut ends = manifest
            .instances
            .iter()
            .filter(|instance| {
                let mut ports = instance.ports.iter();
                ports.any(|port| port.attach == Attachment::Link(link.name.clone()))
            })
            .map(|instance| (&instance.name, node_of(&instance.name, placements)));
        if let (Some((one, its_node)), Some((other, other_node))) = (ends.next(), ends.next())
            && its_node != other_node
        {
            bail!(
                "link `{}` joins {one} on {its_node} and {other} on {other_node}, and a link is inside one node: \
                 place both on one node, or plug them into a switch",
                link.name
            );
        }
    }
    Ok(())
}

/// One node's part of a manifest: every switch, its instances, the links between them.
fn share(whole: &Manifest, name: &str, placements: &[Placement]) -> Manifest {
    let mut manifest = whole.clone();
    manifest.name = name.to_string();
    manifest
        .instances
        .retain(|instance| node_of(&instance.name, placements) == name);
    let instances = &manifest.instances;
    manifest.links.retain(|link| {
        let mut ports = instances.iter().flat_map(|instance| &instance.ports);
        ports.any(|port| port.attach == Attachment::Link(link.name.clone()))
    });
    manifest.forwards.retain(|forward| {
        let mut instances = instances.iter();
        instances.any(|instance| instance.name == forward.instance)
    });
    manifest
}

/// The modules and files that a manifest names.
fn blobs_of(manifest: &Manifest) -> BTreeSet<BlobHash> {
    let mut hashes = BTreeSet::new();
    for instance in &manifest.instances {
        hashes.insert(instance.module);
        hashes.extend(instance.libraries.iter().map(|library| library.module));
        hashes.extend(instance.files.iter().filter_map(|file| match file.content {
            FileContent::Blob(hash) => Some(hash),
            FileContent::Directory | FileContent::SymbolicLink(_) => None,
        }));
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image;

    fn demo() -> BootImage {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("web.wat", r#"(module (func (export "_start")))"#);
        write("store.wat", "(module (memory 1))");
        let text = r#"
            name = "demo"
            [switch.lan]
            uplink = "nic0"
            [link.backend]
            [instance.store]
            module = "store.wat"
            port.eth0 = { link = "backend" }
            [instance.web]
            module = "web.wat"
            port.eth0 = { switch = "lan", address = "dhcp" }
            port.eth1 = { link = "backend" }
            [instance.alone]
            module = "web.wat"
            [[forward]]
            host = 8080
            to = "web:80"
        "#;
        image::from_text(text, folder.path()).unwrap()
    }

    const LAN: Ground = Ground::Lan(Subnet {
        gateway: Ipv4Addr::new(10, 0, 2, 2),
        prefix_len: 24,
        gateway_v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2),
    });

    fn placed(list: &[&str]) -> Vec<Placement> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn instances(plan: &NodePlan) -> Vec<&str> {
        let instances = plan.image.manifest.instances.iter();
        instances.map(|instance| &*instance.name).collect()
    }

    #[test]
    fn everything_starts_on_the_first_node_unless_it_is_placed() {
        let nodes = plan(&demo(), 3, &placed(&["alone=node3"]), LAN).unwrap();
        assert_eq!(instances(&nodes[0]), ["store", "web"]);
        assert_eq!(instances(&nodes[1]), [""; 0]);
        assert_eq!(instances(&nodes[2]), ["alone"]);
        let manifests: Vec<_> = nodes.iter().map(|node| &node.image.manifest).collect();
        assert!(manifests.iter().all(|it| it.switches.len() == 1));
        let counts = |it: &&Manifest| (it.links.len(), it.forwards.len());
        let counts: Vec<_> = manifests.iter().map(counts).collect();
        assert_eq!(counts, [(1, 1), (0, 0), (0, 0)]);
        let addresses: Vec<_> = nodes.iter().filter_map(|node| node.address).collect();
        let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.2.3:7600", "10.0.2.4:7600", "10.0.2.5:7600"]);
        let peers = |node: &NodePlan| node.image.manifest.node.clone().unwrap().peers;
        assert_eq!(peers(&nodes[1]), [addresses[0], addresses[2]]);
    }

    #[test]
    fn on_a_network_of_the_host_addresses_count_up_from_the_manifests() {
        let image = |address: &str| {
            let text = format!(
                "name = \"real\"\n[switch.lan]\nuplink = \"nic0\"\n[node]\nswitch = \"lan\"\n{address}"
            );
            image::from_text(&text, std::path::Path::new(".")).unwrap()
        };
        let fixed = image("address = \"10.9.0.252/24\"");
        let nodes = plan(&fixed, 3, &[], Ground::Host).unwrap();
        let addresses: Vec<_> = nodes.iter().filter_map(|node| node.address).collect();
        assert_eq!(addresses[2].to_string(), "10.9.0.254:7600");
        let peers = &nodes[0].image.manifest.node.as_ref().unwrap().peers;
        assert_eq!(peers, &addresses[1..]);
        let error = plan(&fixed, 4, &[], Ground::Host).unwrap_err().to_string();
        assert!(error.contains("no room for node4"), "{error}");
        let given = plan(&image(""), 2, &[], Ground::Host).unwrap();
        assert!(given.iter().all(|node| node.address.is_none()));
    }

    #[test]
    fn the_manifests_placement_counts_unless_the_command_line_says_another() {
        let mut image = demo();
        image.placements = placed(&["alone=node2"]);
        let on = |nodes: &[NodePlan]| {
            nodes
                .iter()
                .position(|node| instances(node).contains(&"alone"))
        };
        assert_eq!(on(&plan(&image, 3, &[], LAN).unwrap()), Some(1));
        let said = placed(&["alone=node3"]);
        assert_eq!(on(&plan(&image, 3, &said, LAN).unwrap()), Some(2));
        let error = plan(&image, 1, &[], LAN).unwrap_err().to_string();
        assert!(error.contains("more --nodes"), "{error}");
    }

    #[test]
    fn a_nodes_image_holds_what_it_runs_and_nothing_else() {
        let nodes = plan(&demo(), 2, &placed(&["alone=node2"]), LAN).unwrap();
        let blobs = |node: &NodePlan| Image::parse(&node.image.bytes).unwrap().blobs().count();
        assert_eq!((blobs(&nodes[0]), blobs(&nodes[1])), (2, 1));
        image::check(&nodes[1].image).unwrap();
    }

    #[test]
    fn placements_that_cannot_be_are_refused_by_name() {
        for (placement, words) in [
            ("web=node4", "node1, node2"),
            ("shop=node1", "no instance `shop`"),
            (
                "store=node2",
                "link `backend` joins store on node2 and web on node1",
            ),
        ] {
            let error = plan(&demo(), 2, &placed(&[placement]), LAN).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        for text in ["web", "=node1", "web="] {
            assert!(text.parse::<Placement>().is_err(), "{text}");
        }
        assert!(plan(&demo(), 9, &[], LAN).is_err());
    }
}
