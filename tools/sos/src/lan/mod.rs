//! The LAN that outlives the nodes: a user-space Ethernet switch with a gateway.
//!
//! Nodes (QEMU with `-netdev stream` over a Unix socket, or a [`Tap`] in this process) plug in and
//! out at any time. The gateway answers ARP, echo, DHCP and DNS, and forwards TCP ports of the host
//! to *services*: by name or address, wherever they are at that moment. [`Lan`] is the handle;
//! `core` is its thread, `fabric` the switch, `gateway` the gateway.
//!
//! ```no_run
//! use sos::lan::{Forward, Lan, LanConfig};
//! let forwards = vec![Forward::to_name("web", 80)];
//! let lan = Lan::start(LanConfig { forwards, ..LanConfig::default() })?;
//! println!("http://127.0.0.1:{}/", lan.forward_port(0));
//! println!("{}", lan.qemu_netdev_args("net0", "02:00:00:00:00:01").join(" "));
//! # Ok::<(), sos::lan::LanError>(())
//! ```

mod cable;
mod config;
mod core;
mod counters;
mod error;
mod fabric;
mod faults;
mod framing;
mod gateway;
mod pcap;
mod poll;
mod switch;
mod tap;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use smoltcp::wire::EthernetAddress;
use tempfile::TempDir;

pub use cable::Cable;
pub use config::{Forward, LanConfig, LogSink, Service, Subnet};
pub use counters::{Counters, PortCounters};
pub use error::LanError;
pub use fabric::{LinkState, PortId, PortInfo};
pub use faults::Faults;
pub use framing::FRAME_BYTES_MAX;
pub use gateway::Lease;
pub use tap::{Tap, TapRx, TapTx};

use self::core::{Command, Core, HostListener, Outlet};
use crate::wake::Waker;
use fabric::Fabric;
use gateway::Gateway;
use pcap::PcapWriter;
use poll::{Interest, Poller, Token};

/// The gateway's station address: locally administered, the same on every LAN.
pub const GATEWAY_MAC: EthernetAddress = EthernetAddress([0x52, 0x55, 0x0a, 0x00, 0x02, 0x02]);

/// Connections that wait on a host port to be accepted.
const LISTEN_BACKLOG: i32 = 1024;
/// The MTU that guests assume unasked.
const ETHERNET_MTU: usize = 1500;

/// A running LAN. Dropping it stops its threads and removes its socket.
pub struct Lan {
    folder: TempDir,
    forward_ports: Vec<u16>,
    mtu: usize,
    commands: Sender<Command>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Lan {
    /// Opens the socket and the host's ports and starts the LAN's threads.
    pub fn start(config: LanConfig) -> Result<Self, LanError> {
        config.check()?;
        let folder = tempfile::Builder::new()
            .prefix("sos-lan-")
            .tempdir()
            .map_err(|error| LanError::Socket(std::env::temp_dir(), error))?;
        let path = folder.path().join("lan.sock");
        let plug_in = plug_socket(&path).map_err(|error| LanError::Socket(path, error))?;
        let listeners = open_forwards(&config.forwards)?;
        let forward_ports = listeners
            .iter()
            .map(|listener| Ok(listener.listener.local_addr()?.port()))
            .collect::<io::Result<Vec<u16>>>()
            .map_err(LanError::Resources)?;
        let pcap = match &config.pcap {
            Some(path) => Some(
                PcapWriter::create(path).map_err(|error| LanError::Pcap(path.clone(), error))?,
            ),
            None => None,
        };
        let (commands, inbox) = channel();
        let (waker, thread) =
            start_core(&config, plug_in, listeners, pcap, inbox).map_err(LanError::Resources)?;
        let mtu = config.mtu;
        Ok(Self {
            folder,
            forward_ports,
            mtu,
            commands,
            waker,
            thread: Some(thread),
        })
    }

    /// The Unix socket that nodes plug into.
    pub fn socket_path(&self) -> PathBuf {
        self.folder.path().join("lan.sock")
    }

    /// QEMU's arguments for a network card on this LAN.
    ///
    /// `host_mtu` tells the guest of a large MTU; no option ROM is loaded, which a node that is
    /// started with `-kernel` does not need.
    pub fn qemu_netdev_args(&self, id: &str, mac: &str) -> Vec<String> {
        netdev_args(&self.socket_path(), self.mtu, id, mac)
    }

    /// Opens an outlet of this name, whose cable [`Lan::set_cable`] spoils, and returns its Unix socket.
    pub fn outlet(&self, name: &str) -> Result<PathBuf, LanError> {
        let path = self.folder.path().join(format!("{name}.sock"));
        let listener = plug_socket(&path).map_err(|error| LanError::Socket(path.clone(), error))?;
        let outlet = Outlet {
            name: Some(name.into()),
            listener,
        };
        self.ask(|core| core.add_outlet(outlet))?
            .map_err(LanError::Resources)?;
        Ok(path)
    }

    /// As [`Lan::qemu_netdev_args`], for the outlet at `socket`.
    pub fn qemu_netdev_args_at(&self, socket: &Path, id: &str, mac: &str) -> Vec<String> {
        netdev_args(socket, self.mtu, id, mac)
    }

    /// Lays another cable at an outlet, for whoever is plugged in there now and later.
    pub fn set_cable(&self, outlet: &str, cable: Cable) -> Result<(), LanError> {
        let outlet = outlet.to_owned();
        self.ask(move |core| core.fabric.set_cable(&outlet, cable))
    }

    /// The host port of the `index`-th forward; 0 if there is no such forward.
    pub fn forward_port(&self, index: usize) -> u16 {
        self.forward_ports.get(index).copied().unwrap_or(0)
    }

    /// Plugs a port of this process in.
    pub fn tap(&self) -> io::Result<Tap> {
        Tap::connect(&self.socket_path())
    }

    /// The leases that stations hold.
    pub fn leases(&self) -> Result<Vec<Lease>, LanError> {
        self.ask(|core| core.gateway.leases())
    }

    /// What the LAN has counted.
    pub fn counters(&self) -> Result<Counters, LanError> {
        self.ask(|core| core.fabric.counters)
    }

    /// The ports that are plugged in, in the order in which they came.
    pub fn ports(&self) -> Result<Vec<PortInfo>, LanError> {
        self.ask(|core| core.fabric.port_infos())
    }

    /// Adds faults to every frame from now on; the default ends them.
    pub fn set_faults(&self, faults: Faults) -> Result<(), LanError> {
        self.ask(move |core| core.fabric.set_faults(faults))
    }

    /// Cuts a port's cable or mends it. A port that is gone stays gone.
    pub fn set_link(&self, id: PortId, link: LinkState) -> Result<(), LanError> {
        self.ask(move |core| {
            if let Some(port) = core.fabric.ports.get_mut(&id) {
                port.link = link;
            }
        })
    }

    fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core) -> R + Send + 'static,
    ) -> Result<R, LanError> {
        let (answer, result) = channel();
        let command: Command = Box::new(move |core| {
            // The asker waits, unless its thread is gone; then nobody misses the answer.
            let _ = answer.send(question(core));
        });
        self.commands.send(command).map_err(|_| LanError::Stopped)?;
        self.waker.wake();
        result.recv().map_err(|_| LanError::Stopped)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // An error means that the thread has ended already.
        let _ = self.ask(|core| core.stopping = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// QEMU's arguments for a network card on the LAN whose socket is at `path`.
fn netdev_args(path: &Path, mtu: usize, id: &str, mac: &str) -> Vec<String> {
    // A comma in an option's value is doubled (QEMU manual, "Introduction").
    let path = path.display().to_string().replace(',', ",,");
    let mut device = format!("virtio-net-pci,netdev={id},mac={mac},disable-legacy=on,romfile=");
    if mtu != ETHERNET_MTU {
        device.push_str(&format!(",host_mtu={mtu}"));
    }
    vec![
        "-netdev".to_owned(),
        format!("stream,id={id},server=off,addr.type=unix,addr.path={path}"),
        "-device".to_owned(),
        device,
    ]
}

/// A socket that nodes plug into.
fn plug_socket(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn open_forwards(forwards: &[Forward]) -> Result<Vec<HostListener>, LanError> {
    let open = |forward: &Forward| {
        let listener =
            listen(forward.host).map_err(|error| LanError::Listen(forward.host, error))?;
        Ok(HostListener {
            listener,
            forward: forward.clone(),
        })
    };
    forwards.iter().map(open).collect()
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, LISTEN_BACKLOG)?;
    Ok(TcpListener::from(socket))
}

fn start_core(
    config: &LanConfig,
    plug_in: UnixListener,
    listeners: Vec<HostListener>,
    pcap: Option<PcapWriter>,
    commands: std::sync::mpsc::Receiver<Command>,
) -> io::Result<(Arc<Waker>, JoinHandle<()>)> {
    let waker = Arc::new(Waker::new()?);
    let poller = Poller::new()?;
    poller.add(waker.fd(), Token::Wake, Interest::Readable)?;
    poller.add(&plug_in, Token::PlugIn(0), Interest::Readable)?;
    for (index, listener) in listeners.iter().enumerate() {
        poller.add(
            &listener.listener,
            Token::Forward(index as u32),
            Interest::Readable,
        )?;
    }
    let core = Core {
        fabric: Fabric::new(GATEWAY_MAC, pcap),
        gateway: Gateway::start(config, GATEWAY_MAC, waker.clone())?,
        poller,
        outlets: vec![Outlet {
            name: None,
            listener: plug_in,
        }],
        listeners,
        commands,
        waker: waker.clone(),
        log: config.log.clone(),
        stopping: false,
        accept_paused: None,
    };
    let thread = std::thread::Builder::new()
        .name("lan".to_owned())
        .spawn(move || core.run())?;
    Ok((waker, thread))
}
