//! The answers: plain data, serialisable for `--json`.

use crate::log::{Event, LogEntry};
use crate::machine::MemoryStats;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// What came of a [`super::Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Done; there is nothing to show.
    Done,
    /// All instances, by name.
    Instances(Vec<InstanceRow>),
    /// One instance.
    Instance(Box<InstanceDetail>),
    /// Log entries of an instance.
    Logs(Numbered<GuestLogRow>),
    /// Console output of an instance.
    Console(ConsoleOutput),
    /// Switches and links.
    Segments(Vec<SegmentRow>),
    /// Interfaces and sockets.
    Network(Vec<NetworkDetail>),
    /// A ping was set up.
    PingStarted {
        /// Names it in the following requests.
        ping: u32,
    },
    /// Answers that came.
    PingReplies(Vec<PingReply>),
    /// Events.
    Events(Numbered<Event>),
    /// Lines of the kernel log.
    KernelLog(Numbered<LogEntry>),
    /// The node.
    Node(NodeDetail),
    /// The snapshots that are kept, by name.
    Snapshots(Vec<SnapshotRow>),
    /// Instances that were made of a snapshot or of another instance.
    Made(Vec<MadeRow>),
    /// It takes several turns: [`Control::outcome`](super::Control::outcome) tells what became of it. An operator outside
    /// the node is answered with that alone.
    Ordered {
        /// Names it.
        order: u32,
    },
    /// Snapshots that were forgotten.
    Removed(RemovedReport),
    /// Snapshots that were taken.
    Kept(Vec<KeptRow>),
    /// Hand-overs between nodes.
    Migrations(Vec<MigrationRow>),
    /// This node, and then those that it knows of.
    Nodes(Vec<NodeRow>),
}

/// One line of `migrate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationRow {
    /// The instance's name.
    pub name: String,
    /// Who it is on any node, hexadecimal.
    pub instance: String,
    /// The epoch of the attempt.
    pub epoch: u64,
    /// `to` another node, or `from` one.
    pub direction: String,
    /// The other node.
    pub peer: String,
    /// `offering`, `copying`, `waiting` for others of its group, `stopped`, `prepared`, `committed`, `handed-over` or `in-doubt`.
    pub stage: String,
    /// Why it is in doubt; empty if it is not.
    pub doubt: String,
    /// The names of all that move together with it, itself included; empty if it moves alone.
    #[serde(default)]
    pub group: String,
    /// Rounds that were begun.
    pub rounds: u32,
    /// Bytes of pages and states so far.
    pub sent_bytes: u64,
    /// Bytes that the last look found to be different from what was sent.
    pub dirty_bytes: u64,
    /// Bytes a second that the instance changes.
    pub dirty_rate: u64,
    /// Bytes a second that the link carries; none before the first round.
    pub bandwidth: Option<u64>,
    /// Nanoseconds for which the instance would stand if it were stopped now.
    pub expected_downtime_nanos: u64,
    /// The instance's share of its CPU time, in parts of a million.
    pub share_ppm: u32,
}

/// Entries with the number to ask for next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Numbered<T> {
    /// The entries, oldest first.
    pub entries: Vec<T>,
    /// What to give as `since` to get only what comes later.
    pub next: u64,
}

/// One line of `ls` and `top`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceRow {
    /// Name.
    pub name: String,
    /// `running`, `waiting`, `paused`, `stopped`, `exited`, `trapped`, `failed`.
    pub state: String,
    /// What it waits for, how it ended, or empty.
    pub detail: String,
    /// The module's name in the manifest.
    pub module: String,
    /// CPU time used since it started, nanoseconds.
    pub cpu_nanos: u64,
    /// Touched bytes of its memories.
    pub resident_bytes: u64,
    /// Declared bytes of its memories.
    pub memory_bytes: u64,
    /// Frames in and out of its ports.
    pub received_frames: u64,
    /// Frames out of its ports.
    pub sent_frames: u64,
    /// Nanoseconds since it was started; zero when it does not run.
    pub uptime_nanos: u64,
    /// How often its restart policy started it again.
    pub restarts: u64,
    /// `starting`, `healthy`, `failing 1/3: why`; empty without a health check or when it does not run.
    pub health: String,
    /// First address of each port.
    pub addresses: Vec<String>,
}

/// `info NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceDetail {
    /// What `ls` shows.
    #[serde(flatten)]
    pub row: InstanceRow,
    /// Who it is on any node, hexadecimal.
    pub instance: String,
    /// How often it was to be handed over to another node.
    pub epoch: u64,
    /// Its library modules: the names that are imported from, and the modules' names in the manifest.
    pub libraries: Vec<(String, String)>,
    /// SHA-256 of the module, hexadecimal.
    pub module_hash: String,
    /// Bytes of the module file.
    pub module_bytes: u64,
    /// Nanoseconds that its translation took.
    pub translate_nanos: u64,
    /// Bytes that its translation takes; none while there is none.
    pub translated_bytes: u64,
    /// Instances that run the same modules.
    pub module_instances: usize,
    /// Nanoseconds from `start` to the first instruction, the last time.
    pub start_nanos: u64,
    /// Nanoseconds from an operator's request to the cut that it asked for, the last time.
    pub freeze_nanos: u64,
    /// Restart policy.
    pub restart: String,
    /// Nanoseconds until the policy starts it again, if it is going to.
    pub next_restart_nanos: Option<u64>,
    /// How it ended the last time; empty before.
    pub last_end: String,
    /// What its health check asks, and how often; empty without one.
    pub health_check: String,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Configuration.
    pub config: Vec<(String, String)>,
    /// Most bytes of memory.
    pub memory_limit_bytes: u64,
    /// CPU shares.
    pub cpu_shares: u32,
    /// Most sockets.
    pub socket_limit: u32,
    /// Fuel used since it started.
    pub fuel: u64,
    /// Slices run since it started.
    pub slices: u64,
    /// Log bytes dropped because the ring was full.
    pub log_dropped: u64,
    /// Where it trapped, one call each, innermost first; empty when it did not.
    pub backtrace: Vec<String>,
    /// Its interfaces and sockets.
    pub network: NetworkDetail,
}

/// One line of `logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestLogRow {
    /// Nanoseconds since the node started.
    pub time_nanos: u64,
    /// `error`, `warn`, `info`, `debug`, `trace`.
    pub level: String,
    /// The line.
    pub text: String,
}

/// Console output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsoleOutput {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Number of the byte after the last.
    pub next: u64,
    /// Whether the instance still runs.
    pub live: bool,
}

/// One switch or link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentRow {
    /// Name.
    pub name: String,
    /// `switch` or `link`.
    pub kind: String,
    /// `up` or `down`.
    pub state: String,
    /// `nic0` and the like, or empty.
    pub uplink: String,
    /// Largest IP packet, bytes.
    pub mtu: usize,
    /// Its ports.
    pub ports: Vec<PortRow>,
    /// What it is called on all nodes, hexadecimal; empty if it does not go on on others.
    pub network: String,
    /// Other nodes that have ends of it: received from there, sent there.
    pub carried: Vec<PortRow>,
}

/// One port of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortRow {
    /// `instance.port`, or a node.
    pub name: String,
    /// Station address, text; of a node empty.
    pub mac: String,
    /// Frames towards the instance.
    pub received_frames: u64,
    /// Bytes towards the instance.
    pub received_bytes: u64,
    /// Frames towards the instance that did not fit.
    pub received_drops: u64,
    /// Frames from the instance.
    pub sent_frames: u64,
    /// Bytes from the instance.
    pub sent_bytes: u64,
    /// Frames from the instance that went nowhere.
    pub sent_drops: u64,
}

/// Interfaces and sockets of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkDetail {
    /// The instance.
    pub instance: String,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceRow>,
    /// Its sockets.
    pub sockets: Vec<SocketRow>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InterfaceRow {
    /// Port name in the manifest.
    pub name: String,
    /// The switch or link it is on.
    pub segment: String,
    /// Station address, text.
    pub mac: String,
    /// Largest IP packet, bytes.
    pub mtu: usize,
    /// Addresses with prefix lengths.
    pub addresses: Vec<String>,
    /// Default gateways.
    pub gateways: Vec<String>,
    /// Name servers.
    pub name_servers: Vec<String>,
    /// State of the DHCP client, or empty.
    pub dhcp: String,
}

/// One socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SocketRow {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// State as in RFC 9293, or empty.
    pub state: String,
    /// Own end.
    pub local: String,
    /// Other end, or empty.
    pub peer: String,
    /// Bytes that the guest has not read.
    pub receive_queue: usize,
    /// Bytes that the peer has not acknowledged.
    pub send_queue: usize,
}

/// One echo reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PingReply {
    /// Number of the request.
    pub sequence: u16,
    /// Who answered.
    pub from: IpAddr,
    /// Nanoseconds from request to reply.
    pub round_trip_nanos: u64,
}

/// `uptime` and the head of `top`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeDetail {
    /// Name.
    pub name: String,
    /// Version of the kernel.
    pub version: String,
    /// Nanoseconds since it started.
    pub uptime_nanos: u64,
    /// Wall time, nanoseconds since 1970.
    pub wall_nanos: u64,
    /// Nanoseconds in which the CPU ran instances.
    pub busy_nanos: u64,
    /// Memory.
    pub memory: MemoryStats,
    /// Instances, and those that run.
    pub instances: usize,
    /// Those that run or wait.
    pub running: usize,
    /// NICs: station addresses.
    pub nics: Vec<String>,
}

/// One line of `nodes`. What is not known is empty or zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Name.
    pub name: String,
    /// What its key is known by, hexadecimal.
    pub node: String,
    /// Where it listens.
    pub address: String,
    /// Version of its kernel.
    pub version: String,
    /// All its memory.
    pub memory_bytes: u64,
    /// What nobody uses of it.
    pub free_bytes: u64,
    /// Time that its CPU is busy, in parts of a thousand.
    pub load_permille: u16,
    /// Instances that it has.
    pub instances: u32,
    /// `here`, `linked`, `connecting`, `lost`.
    pub state: String,
    /// Why it could not be reached last.
    pub detail: String,
    /// Nanoseconds since anything was heard of it; none if nothing ever was.
    pub seen_nanos: Option<u64>,
}

/// One line of `snapshots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRow {
    /// Name.
    pub name: String,
    /// What it is called everywhere, hexadecimal.
    pub id: String,
    /// The instance.
    pub instance: String,
    /// The group that was taken at the same instant, or empty.
    pub group: String,
    /// Name of the snapshot that its file adds to, its number if that is gone, or empty.
    pub parent: String,
    /// `running`, `stopping` or `imported`.
    pub taken: String,
    /// Who made it: `this node`, `elsewhere`, or `unknown` of a file without a tag.
    pub maker: String,
    /// Wall time at which it was taken, nanoseconds since 1970.
    pub wall_nanos: u64,
    /// Bytes of its memories' pages.
    pub memory_bytes: u64,
    /// Of them, those that it does not share with an earlier snapshot of the instance.
    pub own_bytes: u64,
    /// Bytes of everything else.
    pub state_bytes: u64,
}

/// An instance that was made of a snapshot or of another instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRow {
    /// Its name.
    pub name: String,
    /// Its ports that are plugged into nothing, as their place cannot be had twice.
    pub unplugged: Vec<String>,
    /// Its ports without an address, as the original's cannot be had twice.
    pub unaddressed: Vec<String>,
}

impl MadeRow {
    /// An instance whose ports all have their place.
    pub fn of(name: String) -> MadeRow {
        MadeRow {
            name,
            unplugged: Vec::new(),
            unaddressed: Vec::new(),
        }
    }
}

/// A snapshot that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRow {
    /// Its name.
    pub name: String,
    /// The instance.
    pub instance: String,
    /// Which pages its file holds.
    pub pages: KeptPages,
}

/// Which pages the file of a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptPages {
    /// All.
    All,
    /// Those that were written since the snapshot of this name.
    Since(String),
    /// All, though the others were asked for: the last snapshot's memories are larger than these.
    AllAfterLarger,
}

/// What `snapshot rm` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedReport {
    /// The snapshots that are forgotten.
    pub removed: Vec<String>,
    /// Incremental ones that added to one of them.
    pub moved: Vec<MovedRow>,
}

/// An incremental snapshot whose parent was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedRow {
    /// Its name.
    pub name: String,
    /// Name of the snapshot that its file adds to now; empty: it stands alone.
    pub parent: String,
}
