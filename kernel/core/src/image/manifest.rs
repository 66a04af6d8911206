//! What a node shall run, as plain data: instances, their ports, switches, links and forwards.
//!
//! [`Manifest`] is what the tool makes of a TOML file, what an image carries in postcard, and what
//! the kernel starts from. [`Manifest::validate`] (in `validate`) is the one place that says what a
//! sound manifest is: the tool runs it to refuse a file, the kernel to refuse an image.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::limits;

/// Everything a node runs and how it is joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the node or of the application, shown in the shell's prompt.
    pub name: String,
    /// Learning Ethernet switches.
    pub switches: Vec<SwitchSpec>,
    /// Point-to-point links; each joins exactly two ports.
    pub links: Vec<LinkSpec>,
    /// Instances in the order in which they start.
    pub instances: Vec<InstanceSpec>,
    /// Ports of the host that the LAN's gateway forwards to services; the kernel only reports them.
    pub forwards: Vec<ForwardSpec>,
    /// How other nodes and operators reach the node itself; without it they do not.
    pub node: Option<NodeSpec>,
}

/// A learning Ethernet switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchSpec {
    /// Unique among switches and links.
    pub name: String,
    /// The machine's NIC that joins the switch to the outside, `nic0`, `nic1`, …
    pub uplink: Option<String>,
    /// Largest IP packet in bytes; without it 1500 with an uplink, the largest possible without.
    pub mtu_bytes: Option<u16>,
}

/// The node itself on its network: where other nodes and operators reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// The switch that it is plugged into, usually one with an uplink.
    pub switch: String,
    /// How it comes by its addresses.
    pub addresses: Vec<AddressSpec>,
    /// Default routers, at most one of each address family.
    pub gateways: Vec<IpAddr>,
    /// The TCP port that it listens on.
    pub port: u16,
    /// Where other nodes listen that it connects to without having heard of them.
    pub peers: Vec<SocketAddr>,
}

impl NodeSpec {
    /// The TCP port that nodes listen on if nothing else is said.
    pub const PORT: u16 = 7600;

    /// A node at a switch that gets its address by DHCP.
    pub fn new(switch: &str) -> NodeSpec {
        NodeSpec {
            switch: switch.into(),
            addresses: [AddressSpec::Dhcp].into(),
            gateways: Vec::new(),
            port: NodeSpec::PORT,
            peers: Vec::new(),
        }
    }
}

/// A private Ethernet between two ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSpec {
    /// Unique among switches and links.
    pub name: String,
    /// Largest IP packet in bytes; without it the largest possible.
    pub mtu_bytes: Option<u16>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Unique among instances.
    pub name: String,
    /// Which module file of the image it runs.
    pub module: BlobHash,
    /// What the module was called in the manifest, for people.
    pub module_name: String,
    /// Modules that `module`, and they among themselves, may import from by name.
    pub libraries: Vec<LibrarySpec>,
    /// Arguments as the guest sees them, without the program's name.
    pub arguments: Vec<String>,
    /// Environment of WASI programs: keys and values.
    pub environment: Vec<(String, String)>,
    /// Read-only lower layer of its file system; directories above each entry are implied.
    pub files: Vec<FileSpec>,
    /// Directories that WASI programs find open, in this order after the listeners.
    pub preopens: Vec<PreopenSpec>,
    /// Listening sockets that WASI programs find open, as descriptors from 3 on.
    pub listeners: Vec<ListenerSpec>,
    /// Whether it starts at boot.
    pub autostart: Autostart,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// How the node finds out whether it still serves.
    pub health: Option<HealthSpec>,
    /// What it may use.
    pub limits: InstanceLimits,
    /// Its network interfaces.
    pub ports: Vec<PortSpec>,
    /// Configuration keys and values, in the order of the file, that the guest may read.
    pub config: Vec<(String, String)>,
}

/// SHA-256 of a blob of the image: a module, or the content of a file.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlobHash(pub [u8; 32]);

/// Whether an instance starts at boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Autostart {
    /// It starts when the node has booted.
    #[default]
    AtBoot,
    /// It waits for `start` in the shell.
    Manual,
}

/// What happens when an instance ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// It stays as it is.
    #[default]
    Never,
    /// It starts again when it trapped, was unhealthy or ended with a status other than zero.
    OnFailure,
    /// It starts again however it ended.
    Always,
}

/// What an instance may use; reaching one of these is an error that the guest sees, or a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceLimits {
    /// Bytes of all its linear memories together.
    pub memory_bytes: u64,
    /// Elements of all its tables together.
    pub table_elements: u64,
    /// Bytes of the engine's value stack.
    pub stack_bytes: u64,
    /// Nested calls.
    pub call_depth: u64,
    /// Weight against other instances when the CPU is short.
    pub cpu_shares: u32,
    /// Open sockets.
    pub sockets: u32,
    /// Bytes of log that are kept.
    pub log_bytes: u64,
    /// Bytes of the files that it writes, those of the image left out.
    pub file_bytes: u64,
    /// Files, directories and links, those of the image included.
    pub files: u32,
}

/// A library module of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibrarySpec {
    /// The module name under which others import from it; unique in the instance.
    pub name: String,
    /// Which module file of the image it is.
    pub module: BlobHash,
    /// What the module was called in the manifest, for people.
    pub module_name: String,
}

/// One entry of an instance's read-only files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Where it lies: an absolute path without `.` and `..`, such as `/etc/motd`.
    pub path: String,
    /// What it is.
    pub content: FileContent,
}

/// What an entry of an instance's files is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileContent {
    /// A file with the bytes of this blob of the image.
    Blob(BlobHash),
    /// A directory, perhaps an empty one.
    Directory,
    /// A symbolic link that holds this text.
    SymbolicLink(String),
}

/// A directory that a WASI program finds open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreopenSpec {
    /// What the program is told it is called, `/` or `.` for example.
    pub name: String,
    /// The directory in the instance's file system, an absolute path.
    pub directory: String,
}

/// A listening TCP socket that a WASI program finds open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerSpec {
    /// The address on which it listens; without it every address of the instance.
    pub address: Option<IpAddr>,
    /// The TCP port.
    pub port: u16,
}

/// How the node finds out whether an instance serves. It asks over a connection of its own inside
/// the instance's network stack; an instance that fails too often ends as unhealthy, which the restart
/// policy counts as a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSpec {
    /// What is tried.
    pub check: HealthCheck,
    /// Milliseconds from one try to the next.
    pub interval_ms: u32,
    /// Milliseconds after which a try has failed.
    pub timeout_ms: u32,
    /// Tries that may fail in a row before the instance counts as unhealthy.
    pub failures: u32,
    /// Milliseconds after the start before the first try.
    pub grace_ms: u32,
}

/// What a health check tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthCheck {
    /// A TCP connection is accepted.
    Tcp {
        /// The port.
        port: u16,
    },
    /// `GET path` is answered with a status from 200 to 399.
    Http {
        /// The port.
        port: u16,
        /// The path asked for.
        path: String,
    },
}

/// One network interface of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    /// Unique in its instance.
    pub name: String,
    /// What it is plugged into.
    pub attach: Attachment,
    /// A fixed address; without it the kernel draws a random, locally administered one (D6).
    pub mac: Option<[u8; 6]>,
    /// How the port comes by its addresses; none at all leaves IPv6 link-local only.
    pub addresses: Vec<AddressSpec>,
    /// Default routers, at most one of each address family.
    pub gateways: Vec<IpAddr>,
    /// DNS servers, besides those that DHCP names.
    pub dns: Vec<IpAddr>,
}

/// What a port is plugged into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attachment {
    /// The switch of this name.
    Switch(String),
    /// The link of this name.
    Link(String),
    /// Nothing: what it sends is lost. A clone has such ports where the original's place cannot be
    /// had twice.
    Unplugged,
}

/// How a port comes by an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressSpec {
    /// DHCP for IPv4 (RFC 2131).
    Dhcp,
    /// A fixed address and its network.
    Static {
        /// The port's own address.
        address: IpAddr,
        /// Leading bits that name the network.
        prefix_length: u8,
    },
}

/// A port of the host that leads to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardSpec {
    /// Transport that is forwarded.
    pub protocol: ForwardProtocol,
    /// Port on the host's loopback address.
    pub host_port: u16,
    /// The instance that serves.
    pub instance: String,
    /// The port number on which it serves.
    pub instance_port: u16,
}

/// A transport that the gateway forwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ForwardProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Default for InstanceLimits {
    fn default() -> Self {
        InstanceLimits {
            memory_bytes: limits::MEMORY_BYTES,
            table_elements: limits::TABLE_ELEMENTS,
            stack_bytes: limits::STACK_BYTES,
            call_depth: limits::CALL_DEPTH,
            cpu_shares: limits::CPU_SHARES,
            sockets: limits::SOCKETS,
            log_bytes: limits::LOG_BYTES,
            file_bytes: limits::FILE_BYTES,
            files: limits::FILES,
        }
    }
}

impl InstanceSpec {
    /// An instance of a module with everything else as usual: no arguments, files or ports, the root
    /// of its file system open, started at boot and not again.
    pub fn new(name: &str, module: BlobHash, module_name: &str) -> InstanceSpec {
        InstanceSpec {
            name: name.into(),
            module,
            module_name: module_name.into(),
            libraries: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
            preopens: [PreopenSpec {
                name: "/".into(),
                directory: "/".into(),
            }]
            .into(),
            listeners: Vec::new(),
            autostart: Autostart::default(),
            restart: RestartPolicy::default(),
            health: None,
            limits: InstanceLimits::default(),
            ports: Vec::new(),
            config: Vec::new(),
        }
    }
}

impl InstanceSpec {
    /// Hashes of all modules and files that it needs, some perhaps more than once.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> + '_ {
        let libraries = self.libraries.iter().map(|library| library.module);
        let files = self.files.iter().filter_map(|file| match &file.content {
            FileContent::Blob(hash) => Some(*hash),
            FileContent::Directory | FileContent::SymbolicLink(_) => None,
        });
        [self.module].into_iter().chain(libraries).chain(files)
    }
}

impl Attachment {
    /// Name of the switch or link.
    pub fn segment(&self) -> Option<&str> {
        match self {
            Attachment::Switch(name) | Attachment::Link(name) => Some(name),
            Attachment::Unplugged => None,
        }
    }
}

impl Manifest {
    /// The instance of this name.
    pub fn instance(&self, name: &str) -> Option<&InstanceSpec> {
        self.instances.iter().find(|instance| instance.name == name)
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if formatter.alternate() { 6 } else { 32 };
        for byte in &self.0[..shown] {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            RestartPolicy::Never => "never",
            RestartPolicy::OnFailure => "on-failure",
            RestartPolicy::Always => "always",
        })
    }
}

impl fmt::Display for ForwardProtocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            ForwardProtocol::Tcp => "tcp",
            ForwardProtocol::Udp => "udp",
        })
    }
}
