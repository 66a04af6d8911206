//! What a node shall run, as plain data: instances, their ports, switches, links and forwards.
//!
//! [`Manifest`] is what the tool makes of a TOML file, what an image carries in postcard, and what
//! the kernel starts from. [`Manifest::validate`] (in `validate`) is the one place that says what a
//! sound manifest is: the tool runs it to refuse a file, the kernel to refuse an image.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

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
    pub module: ModuleHash,
    /// What the module was called in the manifest, for people.
    pub module_name: String,
    /// Arguments as the guest sees them, without the program's name.
    pub arguments: Vec<String>,
    /// Whether it starts at boot.
    pub autostart: Autostart,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// What it may use.
    pub limits: InstanceLimits,
    /// Its network interfaces.
    pub ports: Vec<PortSpec>,
    /// Configuration keys and values, in the order of the file, that the guest may read.
    pub config: Vec<(String, String)>,
}

/// SHA-256 of a module file.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModuleHash(pub [u8; 32]);

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
    /// It starts again when it trapped or ended with a status other than zero.
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
        }
    }
}

impl Attachment {
    /// Name of the switch or link.
    pub fn segment(&self) -> &str {
        match self {
            Attachment::Switch(name) | Attachment::Link(name) => name,
        }
    }
}

impl Manifest {
    /// The instance of this name.
    pub fn instance(&self, name: &str) -> Option<&InstanceSpec> {
        self.instances.iter().find(|instance| instance.name == name)
    }
}

impl fmt::Display for ModuleHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if formatter.alternate() { 6 } else { 32 };
        for byte in &self.0[..shown] {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ModuleHash {
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
