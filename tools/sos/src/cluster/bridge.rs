//! Nodes on a bridge of this host, by tap devices, in place of the tool's own LAN.
//!
//! A [`Tap`] is either made here and plugged into the bridge, which needs the privilege to do so
//! (CAP_NET_ADMIN), or somebody has made it before, for this user.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// What makes and joins devices.
const IP: &str = "ip";
/// Longest name of a device (linux/if.h, IFNAMSIZ less its end).
const NAME_BYTES: usize = 15;

/// How nodes are plugged into a network of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// By a tap for each, made for the run and plugged into this bridge.
    Bridge(String),
    /// By taps that exist, one for each node.
    Taps(Vec<String>),
}

impl Wiring {
    /// The tap of a node, counted from 0.
    ///
    /// # Errors
    /// When it cannot be made or is not there.
    pub fn tap(&self, node: usize) -> Result<Tap> {
        match self {
            Wiring::Bridge(bridge) => Tap::make(bridge, node),
            Wiring::Taps(taps) => {
                let name = taps.get(node).with_context(|| {
                    format!("no tap for node{}: give --tap for each node", node + 1)
                })?;
                Tap::existing(name)
            }
        }
    }
}

/// A tap device. One that was made here is removed when this is dropped.
#[derive(Debug)]
pub struct Tap {
    name: String,
    ours: bool,
}

impl Tap {
    /// Makes a tap and plugs it into a bridge.
    fn make(bridge: &str, node: usize) -> Result<Tap> {
        require_device(bridge, "bridge").with_context(|| {
            format!("make it first: `ip link add {bridge} type bridge`, `ip link set {bridge} up`")
        })?;
        let tap = Tap {
            name: format!("sos{}n{}", std::process::id(), node + 1),
            ours: true,
        };
        ip(&["tuntap", "add", "dev", &tap.name, "mode", "tap"])?;
        ip(&["link", "set", "dev", &tap.name, "master", bridge, "up"])?;
        Ok(tap)
    }

    fn existing(name: &str) -> Result<Tap> {
        require_device(name, "tap")?;
        Ok(Tap {
            name: name.to_string(),
            ours: false,
        })
    }

    /// QEMU's arguments for a network card at this tap.
    pub fn qemu_netdev_args(&self, id: &str, mac: &str) -> Vec<String> {
        vec![
            "-netdev".to_string(),
            format!("tap,id={id},ifname={},script=no,downscript=no", self.name),
            "-device".to_string(),
            format!("virtio-net-pci,netdev={id},mac={mac},disable-legacy=on,romfile="),
        ]
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if self.ours {
            // One that is left behind is in nobody's way: its name has our process's number.
            let _ = ip(&["tuntap", "del", "dev", &self.name, "mode", "tap"]);
        }
    }
}

fn require_device(name: &str, kind: &str) -> Result<()> {
    let sound = |byte: u8| byte.is_ascii_graphic() && !b"/,:=".contains(&byte);
    if !(1..=NAME_BYTES).contains(&name.len()) || !name.bytes().all(sound) {
        bail!("`{name}` is no name of a device");
    }
    if !exists(name)? {
        bail!("this host has no {kind} {name}");
    }
    Ok(())
}

/// Whether there is a device of this name in this process's network, which need not be the one that /sys shows.
fn exists(name: &str) -> Result<bool> {
    let text = std::fs::read_to_string("/proc/self/net/dev").context("list the host's devices")?;
    let mut names = text.lines().filter_map(|line| line.split_once(':'));
    Ok(names.any(|(device, _)| device.trim() == name))
}

fn ip(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(IP);
    command.args(arguments);
    let shown = process::shown(&command);
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("a bridge needs the program `ip`, which is missing: install iproute2")
        }
        output => output.with_context(|| format!("start `{shown}`"))?,
    };
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.trim();
    if words.contains("not permitted") || words.contains("Permission denied") {
        bail!(
            "`{shown}`: {words}. Taps are made by who has CAP_NET_ADMIN. Run this as root, or have a tap made for you \
             once for each node (`ip tuntap add dev tap1 mode tap user NAME`, `ip link set tap1 master BRIDGE up`) and \
             give it by --tap tap1"
        );
    }
    bail!("`{shown}` failed: {words}")
}
