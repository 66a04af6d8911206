//! Nodes to run programs on: one booted for the purpose, one that stays, or one in this process.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use sos_core::image::{Manifest, SwitchSpec, encode};
use tempfile::TempDir;

use super::Client;
use crate::image::BootImage;
use crate::lan::Lan;
use crate::qemu::{self, End, NodeBuilder};
use crate::snapshot::key;
use crate::{build, hosted, paths};

/// Most that a node may take to boot.
pub(super) const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// After which a node that says nothing is mentioned.
pub(super) const EARLY: Duration = Duration::from_secs(10);
/// Name of nodes that run programs, and of their image.
const NAME: &str = "exec";
/// The channel's socket in its folder.
pub(super) const SOCKET: &str = "channel";

/// The switch of a node that runs programs, on its first card.
pub const SWITCH: &str = "lan";
/// Address of that card: locally administered, the same in every run, as each has a LAN of its own.
const NIC_MAC: &str = "02:53:4f:53:00:02";

/// What a node is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Memory of the machine, in MiB.
    pub memory_mib: u64,
    /// A file with the node's secret.
    pub secret: Option<PathBuf>,
}

/// A machine that runs programs, as QEMU is to start it.
pub(super) fn builder(wants: &Wants) -> Result<NodeBuilder> {
    let kernel = build::current_kernel()?;
    let image = paths::cache()?.join(format!("{NAME}.sosimg"));
    let wanted = empty_image()?;
    if std::fs::read(&image).ok().as_ref() != Some(&wanted.bytes) {
        wanted.write(&image)?;
    }
    let mut builder = NodeBuilder::new(&kernel).name(NAME).image(&image);
    if let Some(file) = &wants.secret {
        key::read(file)?;
        builder = builder.secret(file);
    }
    Ok(builder.memory_mib(wants.memory_mib).without_watchdog())
}

/// A machine booted for one program. Dropping it ends it.
#[derive(Debug)]
pub struct FreshNode {
    node: qemu::Node,
    folder: TempDir,
}

impl FreshNode {
    /// Boots a machine in QEMU, with a card on a LAN if there is one.
    ///
    /// # Errors
    /// When the kernel does not build or QEMU does not start.
    pub fn boot(wants: Wants, lan: Option<&Lan>) -> Result<FreshNode> {
        let folder = tempfile::Builder::new()
            .prefix("sos-")
            .tempdir()
            .context("make a folder for the node's channel")?;
        let mut builder = builder(&wants)?.channel(&folder.path().join(SOCKET));
        if let Some(lan) = lan {
            builder = builder.arguments(lan.qemu_netdev_args("net0", NIC_MAC));
        }
        let node = builder.spawn()?;
        Ok(FreshNode { node, folder })
    }

    /// Connects to the node, which may still boot.
    ///
    /// # Errors
    /// When it does not come up: with its console's end.
    pub fn connect(&self) -> Result<Client> {
        let socket = self.folder.path().join(SOCKET);
        let stream = qemu::channel::connect(&socket, BOOT_PATIENCE);
        let connected = stream
            .context("connect to the node")
            .and_then(|stream| Client::open(stream, BOOT_PATIENCE, EARLY, || ()));
        connected.with_context(|| {
            format!(
                "{}; its console's end:\n{}",
                self.ended().unwrap_or("the node does not answer".into()),
                self.node.console().tail()
            )
        })
    }

    /// The number of the emulator's process, for measurements.
    pub fn process_id(&self) -> u32 {
        self.node.process_id()
    }

    /// How the machine ended, if it did.
    pub fn ended(&self) -> Option<String> {
        match self.node.end() {
            None | Some(End::Killed) => None,
            Some(end) => Some(format!("the node ended: {end}")),
        }
    }
}

/// A node in this process. Dropping it ends it.
#[derive(Debug)]
pub struct HostedNode(hosted::Node);

impl HostedNode {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no memory or thread for it, or no secret in its file.
    pub fn start(wants: Wants) -> Result<HostedNode> {
        let image = empty_image()?.bytes;
        let options = hosted::Options {
            name: None,
            memory_bytes: wants.memory_mib << 20,
            keys: wants.secret.as_deref().map(key::read).transpose()?,
        };
        // A node's image lives as long as the node, which here is as long as the process.
        Ok(HostedNode(hosted::Node::start(
            Some(image.leak()),
            options,
        )?))
    }

    /// Connects to it.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn connect(&self) -> Result<Client> {
        let stream = self.0.channel().context("connect to the node")?;
        Client::open(stream, BOOT_PATIENCE, EARLY, || ())
    }
}

/// An image that runs nothing.
fn empty_image() -> Result<BootImage> {
    let manifest = Manifest {
        name: NAME.into(),
        switches: vec![SwitchSpec {
            name: SWITCH.into(),
            uplink: Some("nic0".into()),
            mtu_bytes: None,
        }],
        ..Manifest::default()
    };
    let none: [&[u8]; 0] = [];
    let bytes = encode(&manifest, &none).context("pack an image without instances")?;
    Ok(BootImage {
        bytes,
        manifest,
        placements: Vec::new(),
    })
}
