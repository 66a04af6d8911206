//! One image divided among nodes: each gets the instances that are placed on it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use sos_core::image::{
    AddressSpec, Attachment, BlobHash, FileContent, Image, Manifest, NodeSpec, encode,
};

use crate::image::BootImage;
use crate::lan::Subnet;

/// Nodes of one run.
pub const NODES_MAX: u32 = 8;
/// Host number of the first node in the LAN's subnet: below those that DHCP gives out, above the gateway's.
const FIRST_HOST: u32 = 3;

/// Which node an instance starts on, as `web=node2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The instance.
    pub instance: String,
    /// The node's name.
    pub node: String,
}

impl FromStr for Placement {
    type Err = String;

    fn from_str(text: &str) -> Result<Placement, String> {
        match text.split_once('=') {
            Some((instance, node)) if !instance.is_empty() && !node.is_empty() => Ok(Placement {
                instance: instance.to_string(),
                node: node.to_string(),
            }),
            _ => Err("write INSTANCE=NODE, such as web=node2".to_string()),
        }
    }
}

/// What one node is to be.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// Its name, `node1` and so on.
    pub name: String,
    /// What it boots.
    pub image: BootImage,
    /// Where it is reached itself on the LAN.
    pub address: SocketAddr,
    /// Station address of its card.
    pub mac: String,
}

/// Divides an image among `count` nodes of a LAN. What is not placed starts on the first.
///
/// # Errors
/// When a placement names what is not there, a link would join two nodes, or the nodes would not meet.
pub fn plan(
    image: &BootImage,
    count: u32,
    placements: &[Placement],
    subnet: Subnet,
) -> Result<Vec<NodePlan>> {
    if !(1..=NODES_MAX).contains(&count) {
        bail!("{count} nodes: a run has 1 to {NODES_MAX}");
    }
    let names: Vec<String> = (1..=count).map(|number| format!("node{number}")).collect();
    for placement in placements {
        if !names.contains(&placement.node) {
            bail!(
                "--place {}={}: the nodes are {}",
                placement.instance,
                placement.node,
                names.join(", ")
            );
        }
        if image.manifest.instance(&placement.instance).is_none() {
            bail!(
                "--place {}={}: no instance `{}` in {}",
                placement.instance,
                placement.node,
                placement.instance,
                image.manifest.name
            );
        }
    }
    require_whole_links(&image.manifest, placements)?;
    let parsed = Image::parse(&image.bytes)?;
    let node = node_table(&image.manifest)?;
    let network = subnet.gateway.to_bits() & subnet.netmask().to_bits();
    let address_of = |index: u32| {
        let address = Ipv4Addr::from_bits(network + FIRST_HOST + index);
        SocketAddr::from((address, node.port))
    };
    let make = |(index, name): (u32, &String)| {
        let address = address_of(index);
        let others = (0..count).filter(|other| *other != index).map(address_of);
        let mut manifest = share(&image.manifest, name, placements);
        manifest.node = Some(NodeSpec {
            addresses: vec![AddressSpec::Static {
                address: address.ip(),
                prefix_length: subnet.prefix_len,
            }],
            gateways: vec![subnet.gateway.into()],
            peers: others.chain(node.peers.iter().copied()).collect(),
            ..node.clone()
        });
        let blobs = blobs_of(&manifest)
            .iter()
            .map(|hash| parsed.blob(hash))
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = encode(&manifest, &blobs).with_context(|| format!("pack {name}'s image"))?;
        Ok(NodePlan {
            name: name.clone(),
            image: BootImage { bytes, manifest },
            address,
            mac: format!("02:53:4f:53:00:{:02x}", index + 1),
        })
    };
    (0..).zip(&names).map(make).collect()
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

    fn placed(list: &[&str]) -> Vec<Placement> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn instances(plan: &NodePlan) -> Vec<&str> {
        let instances = plan.image.manifest.instances.iter();
        instances.map(|instance| &*instance.name).collect()
    }

    #[test]
    fn everything_starts_on_the_first_node_unless_it_is_placed() {
        let nodes = plan(&demo(), 3, &placed(&["alone=node3"]), Subnet::default()).unwrap();
        assert_eq!(instances(&nodes[0]), ["store", "web"]);
        assert_eq!(instances(&nodes[1]), [""; 0]);
        assert_eq!(instances(&nodes[2]), ["alone"]);
        let manifests: Vec<_> = nodes.iter().map(|node| &node.image.manifest).collect();
        assert!(manifests.iter().all(|it| it.switches.len() == 1));
        let counts = |it: &&Manifest| (it.links.len(), it.forwards.len());
        let counts: Vec<_> = manifests.iter().map(counts).collect();
        assert_eq!(counts, [(1, 1), (0, 0), (0, 0)]);
        let addresses: Vec<_> = nodes.iter().map(|node| node.address.to_string()).collect();
        assert_eq!(
            addresses,
            ["10.0.2.3:7600", "10.0.2.4:7600", "10.0.2.5:7600"]
        );
        let peers = |node: &NodePlan| node.image.manifest.node.clone().unwrap().peers;
        assert_eq!(peers(&nodes[1]), [nodes[0].address, nodes[2].address]);
        let macs: BTreeSet<_> = nodes.iter().map(|node| &node.mac).collect();
        assert_eq!(macs.len(), 3);
    }

    #[test]
    fn a_nodes_image_holds_what_it_runs_and_nothing_else() {
        let nodes = plan(&demo(), 2, &placed(&["alone=node2"]), Subnet::default()).unwrap();
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
            let error = plan(&demo(), 2, &placed(&[placement]), Subnet::default()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        for text in ["web", "=node1", "web="] {
            assert!(text.parse::<Placement>().is_err(), "{text}");
        }
        assert!(plan(&demo(), 9, &[], Subnet::default()).is_err());
    }
}
