//! `sos run`: builds, packs, starts the LAN and boots, with the node's console on this terminal.

use std::io::{IsTerminal, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, Result, bail};
use clap::Args;
use sos_core::image::{
    AddressSpec, Attachment, Bundle, ForwardProtocol, ForwardSpec, Manifest, Part, PartKind,
};
use sos_core::shell::render;

use super::{default_manifest, nodes};
use crate::cluster::{self, Placement};
use crate::exec::keep::Place;
use crate::image::{self, BootImage};
use crate::lan::{Forward, Lan, LanConfig, Service};
use crate::manifest::{parse_size, parse_target};
use crate::process::say;
use crate::qemu::{Console, End, NodeBuilder};
use crate::snapshot::{files, key};
use crate::symbols::Symbols;
use crate::terminal::{Keys, RawMode, Typed};
use crate::{build, paths, setup};

/// MAC address of a node's first NIC: locally administered, the same in every run, as each run has
/// a LAN of its own.
const NIC_MAC: &str = "02:53:4f:53:00:01";

/// Words with which the kernel's epitaph begins.
const EPITAPH: &str = "this node died";

/// How several nodes are spoken to.
const AFTER_HELP: &str = "Several nodes:
  cargo sos run --nodes 3 --place store=node2

  Ctrl-A 1 to 8 shows that node's shell, Ctrl-A n the next one's; lines of the others come between with
  their node's name. Ctrl-A : takes an order: cut NODE, heal NODE, loss NODE 1.5%, delay NODE 20ms,
  rate NODE 10M (its cable), reset NODE, kill NODE (its power). Ctrl-] ends all of them.
  In a pipe, every line of output has its node's name, and a line of input goes where it says:
  `@node2 ls`, `@all ls`, `!cut node2`, without an address to node1.
  cargo sos ctl --node node2 ls asks a node from elsewhere.

  Ports are forwarded to services, wherever they are at that moment.

Real interfaces:
  sudo ip link add br0 type bridge; sudo ip address add 10.9.0.1/24 dev br0; sudo ip link set br0 up
  sudo ip tuntap add dev tap1 mode tap user $USER; sudo ip link set tap1 master br0 up     (tap2 likewise)
  cargo sos run --nodes 2 --tap tap1 --tap tap2        or as root: cargo sos run --nodes 2 --bridge br0

  Nodes and instances then have addresses of that network: by DHCP if something there gives them, or as the manifest
  says; of `[node]`'s address the first node has that, the next ones those that follow it.";

/// What `sos run` runs, and how.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Manifest (.toml) or boot image; without it ./sos.toml, or else the demo
    manifest: Option<PathBuf>,
    /// Memory of the machine, such as 64MiB
    #[arg(short, long, default_value = "256MiB", value_parser = parse_size)]
    pub(super) memory: u64,
    /// Number of CPUs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(super) cpus: u32,
    /// Forward a port of this host, as HOST:INSTANCE:PORT or HOST:PORT; replaces the manifest's
    /// forward to the same service; HOST may be 0 for any free port
    #[arg(short, long, value_name = "HOST:INSTANCE:PORT")]
    pub(super) forward: Vec<String>,
    /// Words for the kernel's command line
    #[arg(long, value_name = "OPTIONS")]
    pub(super) append: Vec<String>,
    /// Give the machine no NIC and forward nothing
    #[arg(long, conflicts_with = "forward")]
    pub(super) no_lan: bool,
    /// Give the node a snapshot's file at boot, which it keeps by the file's name; can be given several times,
    /// what others add to first
    #[arg(long, value_name = "FILE")]
    pub(super) snapshot: Vec<PathBuf>,
    /// Restore the snapshots that are given at boot, in place of the manifest's instances of their names: those of
    /// a whole group at one point, members of another one by one
    #[arg(long, requires = "snapshot")]
    restore: bool,
    /// The node's secret: a file of 32 bytes or 64 hexadecimal digits, for this node alone
    #[arg(long, value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// Nodes on one LAN, node1, node2 and so on; each has the memory and CPUs that are given
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(super) nodes: u32,
    /// Start an instance on another node than the first; can be given several times
    #[arg(long, value_name = "INSTANCE=NODE", conflicts_with = "snapshot")]
    pub(super) place: Vec<Placement>,
    /// Plug the nodes into a bridge of this host, by a tap for each, in place of the tool's own LAN: real interfaces,
    /// and no forwarded ports. Needs CAP_NET_ADMIN
    #[arg(long, value_name = "BRIDGE", conflicts_with_all = ["forward", "no_lan", "pcap"])]
    pub(super) bridge: Option<String>,
    /// Plug a node into a tap that somebody has made for this user; once for each node. Needs no privilege
    #[arg(long, value_name = "TAP", conflicts_with_all = ["bridge", "forward", "no_lan", "pcap"])]
    pub(super) tap: Vec<String>,
    /// Open a window of tmux for each node's console
    #[arg(long)]
    pub(super) tmux: bool,
    /// Record the LAN's frames in a pcap file
    #[arg(long, value_name = "FILE", conflicts_with = "no_lan")]
    pub(super) pcap: Option<PathBuf>,
}

impl Arguments {
    /// What `cargo run` means.
    pub fn demo() -> Arguments {
        Arguments {
            manifest: None,
            memory: 256 << 20,
            cpus: 1,
            forward: Vec::new(),
            append: Vec::new(),
            no_lan: false,
            snapshot: Vec::new(),
            restore: false,
            key_file: None,
            nodes: 1,
            place: Vec::new(),
            bridge: None,
            tap: Vec::new(),
            tmux: false,
            pcap: None,
        }
    }
}

/// Runs a node until it ends or the user leaves.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.memory < 1 << 20 {
        bail!("--memory is below 1 MiB: give the machine 64MiB or more");
    }
    let is_cluster = arguments.nodes > 1 || arguments.bridge.is_some() || !arguments.tap.is_empty();
    if arguments.tmux {
        if !is_cluster {
            bail!("--tmux is for several nodes: give --nodes N");
        }
        cluster::enter_tmux()?;
    }
    setup::ensure()?;
    let kernel = build::kernel()?;
    let manifest = match &arguments.manifest {
        Some(manifest) => manifest.clone(),
        None => default_manifest()?,
    };
    let image = load(&manifest)?;
    if is_cluster {
        return nodes::run(arguments, &kernel, &manifest, &image);
    }
    if let Some(placement) = arguments.place.first() {
        bail!(
            "--place {}={}: that needs --nodes N",
            placement.instance,
            placement.node
        );
    }
    // Replaced as a whole: a node that still boots from the old file keeps it.
    let file = paths::cache()?.join(format!("{}.sosimg", image.manifest.name));
    let module = boot_module(arguments, &image)?;
    BootImage::write_bytes(&module, &file)?;

    let mut node = NodeBuilder::new(&kernel)
        .name(&image.manifest.name)
        .image(&file)
        .memory_mib(arguments.memory >> 20)
        .cpus(arguments.cpus)
        .without_watchdog();
    if let Some(file) = &arguments.key_file {
        key::read(file)?;
        node = node.secret(file);
    }
    for options in &arguments.append {
        node = node.append(options);
    }
    // A node whose channel nobody can find is a node all the same.
    let place = Place::reserve(&image.manifest.name)
        .inspect_err(|error| say(format!("note: no channel to the node: {error:#}")))
        .ok();
    if let Some(place) = &place {
        node = node.channel(&place.socket());
    }
    let lan = if arguments.no_lan {
        None
    } else {
        Some(start_lan(arguments, &image.manifest)?)
    };
    if let Some(lan) = &lan {
        node = node.arguments(lan.qemu_netdev_args("net0", NIC_MAC));
    }
    let end = attend(node, &kernel)?;
    drop((lan, place));
    match end {
        End::Poweroff | End::Killed => {}
        other => say(format!("the node ended: {other}")),
    }
    Ok(ExitCode::from(end.exit_code()))
}

/// The boot module: the image, or a bundle of it and snapshots.
fn boot_module(arguments: &Arguments, image: &BootImage) -> Result<Vec<u8>> {
    if arguments.snapshot.is_empty() {
        return Ok(image.bytes.clone());
    }
    let mut snapshots = Vec::new();
    for file in &arguments.snapshot {
        files::check(file, None, &mut |_| ())?;
        let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        snapshots.push((name.into_owned(), bytes));
    }
    let kind = match arguments.restore {
        true => PartKind::Restored,
        false => PartKind::Snapshot,
    };
    let bytes = bundle(&image.bytes, &snapshots, kind)?;
    if bytes.len() as u64 > arguments.memory / 2 {
        bail!(
            "the image and the snapshots take {}: give the machine more than twice as much by --memory",
            render::bytes(bytes.len() as u64)
        );
    }
    Ok(bytes)
}

/// An image and snapshots by their names, in one boot module.
fn bundle(image: &[u8], snapshots: &[(String, Vec<u8>)], kind: PartKind) -> Result<Vec<u8>> {
    let image = Part {
        kind: PartKind::Image,
        name: String::new(),
        bytes: image,
    };
    let snapshots = snapshots.iter().map(|(name, bytes)| Part {
        kind,
        name: name.clone(),
        bytes,
    });
    let parts = std::iter::once(image).chain(snapshots).collect();
    Bundle { parts }.encode().context("pack the boot module")
}

/// Reads an image file, or makes one of a manifest.
fn load(path: &Path) -> Result<BootImage> {
    let mut start = [0; 8];
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    // A file that is too short is a manifest at best.
    let length = file.take(8).read(&mut start).unwrap_or(0);
    if length == start.len() && start == sos_core::image::MAGIC {
        BootImage::read(path)
    } else {
        image::from_manifest(path)
    }
}

fn start_lan(arguments: &Arguments, manifest: &Manifest) -> Result<Lan> {
    let specs = forwards(manifest, &arguments.forward)?;
    let forwards: Vec<Forward> = specs
        .iter()
        .map(|spec| lan_forward(manifest, spec))
        .collect();
    let config = LanConfig {
        forwards,
        pcap: arguments.pcap.clone(),
        ..LanConfig::default()
    };
    let lan = Lan::start(config)
        .context("start the LAN (another host port: --forward HOST:INSTANCE:PORT)")?;
    for (index, spec) in specs.iter().enumerate() {
        let host = lan.forward_port(index);
        let (instance, port) = (&spec.instance, spec.instance_port);
        say(format!(
            "http://127.0.0.1:{host}/ leads to {instance}:{port}"
        ));
    }
    Ok(lan)
}

/// The manifest's forwards with the user's on top.
pub(super) fn forwards(manifest: &Manifest, wanted: &[String]) -> Result<Vec<ForwardSpec>> {
    let mut specs = manifest.forwards.clone();
    if let Some(udp) = specs
        .iter()
        .find(|spec| spec.protocol == ForwardProtocol::Udp)
    {
        bail!(
            "host port {}/udp: the LAN forwards TCP only: remove that forward",
            udp.host_port
        );
    }
    for text in wanted {
        let refused = || format!("--forward {text}: write HOST:INSTANCE:PORT, such as 9000:web:80");
        let (host, target) = text.split_once(':').with_context(refused)?;
        let host_port = host.parse().ok().with_context(refused)?;
        let (instance, instance_port) = match target.parse::<u16>() {
            Ok(port) => (only_service(manifest, port).with_context(refused)?, port),
            Err(_) => {
                let target = parse_target(target).ok().with_context(refused)?;
                (target.instance, target.port)
            }
        };
        if manifest.instance(&instance).is_none() {
            bail!(
                "--forward {text}: no instance `{instance}` in {}",
                manifest.name
            );
        }
        specs.retain(|spec| spec.instance != instance || spec.instance_port != instance_port);
        let protocol = ForwardProtocol::Tcp;
        specs.push(ForwardSpec {
            protocol,
            host_port,
            instance,
            instance_port,
        });
    }
    Ok(specs)
}

/// Whom `HOST:PORT` means: the one that the manifest forwards to at that port, or the only
/// instance on a switch.
fn only_service(manifest: &Manifest, port: u16) -> Option<String> {
    let forwarded = manifest
        .forwards
        .iter()
        .find(|spec| spec.instance_port == port);
    if let Some(spec) = forwarded {
        return Some(spec.instance.clone());
    }
    let mut on_switches = manifest.instances.iter().filter(|instance| {
        instance
            .ports
            .iter()
            .any(|port| matches!(port.attach, Attachment::Switch(_)))
    });
    match (on_switches.next(), on_switches.next()) {
        (Some(only), None) => Some(only.name.clone()),
        _ => None,
    }
}

/// Services with a fixed IPv4 address are found by it, others by the name in their DHCP request.
pub(super) fn lan_forward(manifest: &Manifest, spec: &ForwardSpec) -> Forward {
    let ports = manifest
        .instance(&spec.instance)
        .map_or(&[][..], |instance| &instance.ports);
    let on_switches = ports
        .iter()
        .filter(|port| matches!(port.attach, Attachment::Switch(_)));
    let fixed = on_switches
        .flat_map(|port| &port.addresses)
        .find_map(|address| match address {
            AddressSpec::Static { address, .. } if address.is_ipv4() => Some(*address),
            AddressSpec::Static { .. } | AddressSpec::Dhcp => None,
        });
    let service = fixed.map_or_else(|| Service::Name(spec.instance.clone()), Service::Address);
    let host = SocketAddr::from((Ipv4Addr::LOCALHOST, spec.host_port));
    Forward {
        host,
        service,
        port: spec.instance_port,
    }
}

/// Joins the terminal to the node's console until one of them ends.
fn attend(node: NodeBuilder, kernel: &Path) -> Result<End> {
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        say("booting; Ctrl-] leaves QEMU");
    }
    let raw = RawMode::enter().context("switch the terminal to raw mode")?;
    let node = node.spawn_copying(|bytes| {
        let mut out = std::io::stdout().lock();
        // Whoever closed our output does not read the console; the node goes on without.
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    })?;
    let (leave, left) = channel();
    {
        let console = node.console().clone();
        let leave = leave.clone();
        std::thread::spawn(move || type_into(&console, terminal, &leave));
    }
    node.when_ended(move || {
        // Nobody listens any more when the user has left first.
        let _ = leave.send(());
    });
    // Either the user leaves or the node ends; both send.
    let _ = left.recv();
    let end = node.end().unwrap_or_else(|| node.kill());
    drop(raw);
    if terminal {
        println!();
    }
    if end == End::Panic {
        explain(kernel, &node.console().transcript());
    }
    Ok(end)
}

/// Hands what the user types to the node; a pipe waits until somebody listens there.
fn type_into(console: &Console, terminal: bool, leave: &Sender<()>) {
    if !terminal {
        console.wait_for_output();
    }
    let mut keys = Keys::default();
    let mut buffer = [0; 1024];
    let mut stdin = std::io::stdin().lock();
    while let Ok(length @ 1..) = stdin.read(&mut buffer) {
        let typed = match terminal {
            true => keys.sort(&buffer[..length]),
            false => Typed::Text(buffer[..length].to_vec()),
        };
        let (text, quits) = match typed {
            Typed::Text(text) => (text, false),
            Typed::Quit(text) => (text, true),
        };
        if console.send(&text).is_err() || quits {
            let _ = leave.send(());
            return;
        }
    }
}

/// Names the functions in an epitaph.
pub(super) fn explain(kernel: &Path, transcript: &str) {
    let epitaph = transcript
        .rfind(EPITAPH)
        .map_or("", |start| &transcript[start..]);
    match Symbols::read(kernel) {
        Err(error) => say(format!("{error:#}")),
        Ok(symbols) => {
            let names = symbols.explain(epitaph);
            if !names.is_empty() {
                say("addresses in the epitaph:");
                eprint!("{names}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn demo() -> Manifest {
        let text = r#"
            name = "demo"
            [switch.lan]
            uplink = "nic0"
            [instance.web]
            module = "web.wasm"
            port.eth0 = { switch = "lan", address = "dhcp" }
            [instance.fixed]
            module = "fixed.wasm"
            port.eth0 = { switch = "lan", address = "10.0.2.50/24" }
            [[forward]]
            host = 8080
            to = "web:80"
        "#;
        manifest::parse(text, "demo", Path::new("."))
            .unwrap()
            .manifest
    }

    #[test]
    fn the_users_forward_replaces_that_of_the_manifest() {
        for text in ["9000:web:80", "9000:80"] {
            let specs = forwards(&demo(), &[text.to_string()]).unwrap();
            assert_eq!(specs.len(), 1, "{text}");
            assert_eq!(
                (specs[0].host_port, specs[0].instance.as_str()),
                (9000, "web")
            );
        }
        assert_eq!(
            forwards(&demo(), &["9000:fixed:80".to_string()])
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn unusable_forwards_are_refused_by_name() {
        for text in ["9000", "x:web:80", "9000:shop:80", "9000:web:x", "9000:81"] {
            let error = forwards(&demo(), &[text.to_string()])
                .unwrap_err()
                .to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn services_are_found_by_address_where_it_is_fixed() {
        let manifest = demo();
        let by_name = lan_forward(&manifest, &manifest.forwards[0]);
        assert_eq!(by_name.service, Service::Name("web".to_string()));
        let spec = ForwardSpec {
            instance: "fixed".to_string(),
            ..manifest.forwards[0].clone()
        };
        let by_address = lan_forward(&manifest, &spec);
        assert_eq!(
            by_address.service,
            Service::Address("10.0.2.50".parse().unwrap())
        );
    }
}
