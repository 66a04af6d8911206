//! Every bound of core, in one place (D9). Reaching one is a typed error and a counter.

/// Instances on one node.
pub const INSTANCES: usize = 1024;
/// Bytes of an instance's name (also of ports, links and switches).
pub const NAME_BYTES: usize = 48;
/// Ports of one instance.
pub const PORTS_PER_INSTANCE: usize = 8;
/// Switches and links of one node.
pub const SEGMENTS: usize = 1024;
/// Ports of one switch.
pub const PORTS_PER_SWITCH: usize = 1024;
/// Frames that wait in one port towards its instance.
pub const PORT_QUEUE_FRAMES: usize = 512;
/// Bytes that wait in one port towards its instance.
pub const PORT_QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Frames that wait for the NIC while its ring is full.
pub const UPLINK_QUEUE_FRAMES: usize = 1024;
/// Largest frame on any segment: 14 bytes of Ethernet and a full IP packet.
pub const FRAME_BYTES: usize = 14 + 65_535;
/// Largest IP packet on a segment without a NIC. Smaller than the format's 65 535, so that several
/// segments fit a 64 KiB TCP window and a sender need not stop and wait for each.
pub const PRIVATE_MTU: usize = 16 * 1024;
/// Least MTU of a segment: IPv6's (RFC 8200 section 5).
pub const LEAST_MTU: usize = 1280;
/// Largest IP packet on a switch that is joined to a NIC (Ethernet's).
pub const UPLINK_MTU: usize = 1500;
/// Small frame buffers kept for reuse, of 1536 bytes each.
pub const POOL_SMALL_FRAMES: usize = 1024;
/// Large frame buffers kept for reuse.
pub const POOL_LARGE_FRAMES: usize = 64;
/// NICs of one node.
pub const NICS: usize = 16;
/// Learned addresses of one switch.
pub const SWITCH_ADDRESSES: usize = 4096;
/// Seconds after which an address that was not seen is forgotten (IEEE 802.1D's default).
pub const SWITCH_AGEING_SECONDS: u64 = 300;

/// Default sockets of one instance.
pub const SOCKETS: u32 = 256;
/// Default receive and transmit buffer of a TCP socket, bytes each.
pub const TCP_BUFFER_BYTES: usize = 64 * 1024;
/// Connections of one listener that are in their handshake at once; each holds its buffers already.
pub const LISTEN_POOL: usize = 64;
/// Longest queue of connections that wait to be accepted.
pub const ACCEPT_BACKLOG: usize = 256;
/// Connections of one instance that the guest closed and that still wait for the peer.
pub const LINGERING_CONNECTIONS: usize = 64;
/// Closed connections of one instance that are remembered to answer a late FIN.
pub const TIME_WAIT_RECORDS: usize = 1024;
/// TCP sockets of one instance that are kept, with their buffers, for the next connections.
pub const SPARE_SOCKETS: usize = 16;
/// Most bytes of a TCP socket's buffer, each way, that a snapshot may ask for.
pub const TCP_BUFFER_BYTES_MOST: usize = 1024 * 1024;
/// Neighbours of one interface that a snapshot takes along: as many as smoltcp is built for.
pub const NEIGHBOURS: usize = 64;
/// Bytes of a name that is looked up (RFC 1035 section 2.3.4).
pub const DOMAIN_NAME_BYTES: usize = 255;
/// Addresses of one name that are kept.
pub const NAME_ADDRESSES: usize = 16;
/// Least time between two polls that a stack asks for when it cannot send at once.
pub const STACK_RETRY: core::time::Duration = core::time::Duration::from_millis(1);
/// Datagrams that wait in a UDP socket, each way.
pub const UDP_DATAGRAMS: usize = 32;
/// Bytes that wait in a UDP socket, each way.
pub const UDP_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes moved by one host call before it returns (D4: bounded pieces).
pub const HOST_CALL_BYTES: usize = 64 * 1024;
/// Default log ring of an instance.
pub const LOG_BYTES: u64 = 64 * 1024;
/// Default bytes of the files that an instance writes.
pub const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Default files, directories and links of an instance.
pub const FILES: u32 = 16_384;
/// Bytes of one file, holes included.
pub const FILE_SIZE_BYTES: u64 = 1 << 40;
/// Chunks of files (4 KiB each) that one operation frees; the next ones free the others.
pub const CHUNKS_FREED: usize = 256;
/// Names of one file.
pub const FILE_LINKS: u32 = 65_000;
/// Bytes of a file's name.
pub const FILE_NAME_BYTES: usize = 255;
/// Bytes of a path, and of a symbolic link's text.
pub const PATH_BYTES: usize = 4096;
/// Symbolic links that are followed on the way of one path.
pub const LINKS_FOLLOWED: usize = 40;
/// Bytes of one path and of all links that are followed on its way.
pub const WALK_BYTES: usize = 16 * 1024;
/// Bytes of one log line; longer ones are split.
pub const LOG_LINE_BYTES: usize = 1024;
/// Console bytes of an instance that are kept for an operator to read.
pub const CONSOLE_OUTPUT_BYTES: usize = 16 * 1024;
/// Console bytes that wait for an instance to read them.
pub const CONSOLE_INPUT_BYTES: usize = 4096;
/// Bytes that wait in a standard stream that is a pipe, each way.
pub const STREAM_BYTES: usize = 64 * 1024;
/// Descriptors that a WASI program may have open at once.
pub const DESCRIPTORS: usize = 1024;
/// Buffers of one WASI read or write (POSIX's IOV_MAX).
pub const IOVECS: usize = 1024;
/// Sockets that one `poll` call, or events that one `poll_oneoff` call, may name.
pub const POLL_ENTRIES: usize = 1024;

/// Lines of the kernel log (`dmesg`).
pub const KERNEL_LOG_LINES: usize = 1024;
/// Events kept (`events`).
pub const EVENTS: usize = 1024;

/// Bytes of a shell line.
pub const SHELL_LINE_BYTES: usize = 1024;
/// Lines of shell history.
pub const SHELL_HISTORY: usize = 100;
/// Bytes of shell output that wait for the console.
pub const SHELL_OUTPUT_BYTES: usize = 256 * 1024;

/// Bytes of a boot image.
pub const IMAGE_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of one module.
pub const MODULE_BYTES: usize = 64 * 1024 * 1024;
/// Functions that one module defines.
pub const MODULE_FUNCTIONS: u32 = 100_000;
/// Bytes of one function's body. Browsers allow 7 654 321 (the WebAssembly JavaScript interface).
pub const FUNCTION_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a module's types: about 10 000. They are validated in one step, at 0.1 us a byte.
pub const TYPE_SECTION_BYTES: usize = 128 * 1024;
/// Bytes of each other section that is read in one step: imports, exports, table contents, and so on.
pub const SECTION_BYTES: usize = 1024 * 1024;
/// Results of one function or block: each target of a branch table moves as many.
pub const FUNCTION_RESULTS: usize = 32;
/// Bytes of translated programs, those that run included, above which unused ones are dropped.
pub const TRANSLATED_BYTES: u64 = 512 * 1024 * 1024;
/// Globals that one module defines.
pub const MODULE_GLOBALS: u32 = 10_000;
/// Tables that one module defines.
pub const MODULE_TABLES: u32 = 64;
/// Memories that one module defines.
pub const MODULE_MEMORIES: u32 = 64;
/// Data segments of one module, and element segments.
pub const MODULE_SEGMENTS: u32 = 100_000;
/// Imports, globals, tables, memories and passive segments of all modules of one instance: a capture looks at
/// each while the instance stands, at some 5 ns on a fast host.
pub const SET_ITEMS: usize = 25_000;
/// Elements of the passive segments of all modules of one instance: they are listed in one step when it is made, at
/// some 5 ns on a fast host. (Active segments are applied in pieces.)
pub const PASSIVE_ELEMENTS: usize = 100_000;
/// Bytes of a function's name in a backtrace.
pub const FUNCTION_NAME_BYTES: usize = 160;
/// Parts of a boot module: an image and snapshots.
pub const BUNDLE_PARTS: usize = 64;
/// Blobs of an image: modules and contents of files.
pub const IMAGE_BLOBS: usize = 65_536;
/// Bytes of one blob.
pub const BLOB_BYTES: usize = 128 * 1024 * 1024;
/// Bytes of an image's manifest in its binary form.
pub const MANIFEST_BYTES: usize = 8 * 1024 * 1024;
/// Arguments of an instance.
pub const ARGUMENTS: usize = 64;
/// Bytes of one argument, configuration key or configuration value.
pub const TEXT_BYTES: usize = 4096;
/// Configuration entries of an instance.
pub const CONFIG_ENTRIES: usize = 256;
/// Addresses, gateways or DNS servers of one port.
pub const PORT_ADDRESSES: usize = 8;
/// Host ports that the LAN's gateway forwards.
pub const FORWARDS: usize = 256;

/// Default most memory of an instance, bytes.
pub const MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// Default elements of all tables of an instance. `table.grow` is one piece of work, for so many 7 us on a
/// fast host (`frame_figures` in kernel/engine measures it), and their capture 0.8 ms at most.
pub const TABLE_ELEMENTS: u64 = 100_000;
/// Default value-stack bytes of an instance: as wasmtime grants by default. They bound how long the calls of an instance
/// take to be captured, value by value, while it stands.
pub const STACK_BYTES: u64 = 512 * 1024;
/// Default nesting of calls: four times what wasmi grants by default. Their capture takes up to two microseconds for each that
/// is at a place of its own, in emulation.
pub const CALL_DEPTH: u64 = 4_000;
/// Library modules of one instance.
pub const LIBRARIES: usize = 64;
/// Most failures in a row that a health check may wait for.
pub const HEALTH_FAILURES_MOST: u32 = 1000;
/// Longest interval, timeout or grace of a health check, milliseconds.
pub const HEALTH_MILLIS_MOST: u32 = 3_600_000;
/// Environment entries of an instance.
pub const ENVIRONMENT_ENTRIES: usize = 256;
/// Directories, or listening sockets, that a program finds open.
pub const PREOPENS: usize = 64;
/// Default CPU shares.
pub const CPU_SHARES: u32 = 100;

/// Most memory that a manifest may grant one instance, bytes: what 32-bit WebAssembly can address.
pub const MEMORY_BYTES_MOST: u64 = 4 * 1024 * 1024 * 1024;
/// Most table elements that a manifest may grant one instance: a hundred times the times of
/// [`TABLE_ELEMENTS`].
pub const TABLE_ELEMENTS_MOST: u64 = 10_000_000;
/// Most value-stack bytes that a manifest may grant one instance.
pub const STACK_BYTES_MOST: u64 = 64 * 1024 * 1024;
/// Deepest nesting of calls that a manifest may grant one instance.
pub const CALL_DEPTH_MOST: u64 = 1_000_000;
/// Most CPU shares that a manifest may grant one instance.
pub const CPU_SHARES_MOST: u32 = 10_000;
/// Most sockets that a manifest may grant one instance.
pub const SOCKETS_MOST: u32 = 16_384;
/// Most bytes of log that a manifest may grant one instance.
pub const LOG_BYTES_MOST: u64 = 16 * 1024 * 1024;
/// Most bytes of files that a manifest may grant one instance.
pub const FILE_BYTES_MOST: u64 = 4 * 1024 * 1024 * 1024;
/// Most files, directories and links that a manifest may grant one instance.
pub const FILES_MOST: u32 = 1_000_000;
/// Pings that operators may have open at once.
pub const PINGS: usize = 16;
/// Echo requests of one ping that wait for an answer.
pub const PINGS_UNANSWERED: usize = 64;

/// Bytes of one frame of the operator's protocol.
pub const OPERATOR_FRAME_BYTES: usize = 64 * 1024;
/// Bytes of data in one frame: what is left for the frame's other fields is ample.
pub const OPERATOR_PIECE_BYTES: usize = 60 * 1024;
/// Bytes that wait to be sent to an operator before nothing more is done for it.
pub const OPERATOR_OUTPUT_BYTES: usize = 192 * 1024;
/// Instances that one operator runs at once.
pub const OPERATOR_RUNS: usize = 64;
/// Bytes of one request that comes in several frames.
pub const OPERATOR_REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of one report to an operator.
pub const OPERATOR_REPORT_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of all blobs that operators sent and the node keeps.
pub const BLOBS_BYTES: u64 = 256 * 1024 * 1024;

/// Snapshots that a node keeps.
pub const SNAPSHOTS: usize = 256;
/// What the node's memory is divided by for the most that snapshots may take of it.
pub const SNAPSHOTS_DIVISOR: u64 = 2;
/// Instances of one group that is cut at one instant.
pub const GROUP_MEMBERS: usize = 64;
/// Orders of operators that take several turns: as many are under way, and of as many that nobody has asked about is known
/// what became of them.
pub const ORDERS: usize = 16;
/// Clones made at once.
pub const CLONES: u32 = 512;
/// Bytes of one section of a snapshot, its table excepted.
pub const SNAPSHOT_SECTION_BYTES: usize = 1024 * 1024;
/// Pages of one section of a snapshot, repeated ones included: they are read in one step.
pub const SNAPSHOT_SECTION_PAGES: u64 = 2048;
/// Sections of a snapshot.
pub const SNAPSHOT_SECTIONS: usize = 65_536;
/// Bytes of one object of a snapshot: an instance's state without its memories, one of four parts.
pub const SNAPSHOT_OBJECT_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of a snapshot's file that are made, and are nowhere else, before the first of them leaves: what has
/// more leaves while it is made.
pub const SNAPSHOT_DRAFT_BYTES: usize = 1024 * 1024;
/// Memories of a snapshot.
pub const SNAPSHOT_MEMORIES: usize = 1024;
/// Pages that are remembered while a snapshot is written, to find those that repeat them.
pub const SNAPSHOT_REPEATS: usize = 65_536;

/// Hand-overs that a node takes part in at once, those in doubt included.
pub const MIGRATIONS: usize = 64;
/// Connections between this node and others that carry hand-overs.
pub const MIGRATION_CONNECTIONS: usize = 128;
/// Hand-overs that are over and remembered, to answer the other node.
pub const MIGRATION_LEDGER: usize = 4096;
/// Bytes of one message between nodes.
pub const MIGRATION_MESSAGE_BYTES: usize = 60 * 1024;
/// Bytes of blobs, objects and pages in one message: what is left for its other fields is ample.
pub const MIGRATION_PIECE_BYTES: usize = 58 * 1024;
/// Bytes of a text in a message between nodes.
pub const MIGRATION_TEXT_BYTES: usize = 256;
/// Missing blobs that one message names.
pub const MIGRATION_MISSING_BLOBS: usize = 1024;
/// Words of the migration protocol that wait for room on a connection; beyond them it is closed.
pub const MIGRATION_BACKLOG: usize = 1024;
/// Instances that an evacuation has under way at once.
pub const EVACUATIONS: usize = 4;

/// Other nodes that a node knows of.
pub const CLUSTER_NODES: usize = 256;
/// TCP connections of the node itself with other nodes and operators.
pub const NODE_CONNECTIONS: usize = 96;
/// Those of them whose other end has not proved itself; the next one drives out the oldest.
pub const NODE_STRANGERS: usize = 32;
/// Connections of the node with other nodes: the other places are for operators and strangers.
pub const NODE_LINKS: usize = 56;
/// Connections of one peer; the next one drives out its oldest.
pub const NODE_CONNECTIONS_OF_ONE: usize = 8;
/// Sockets of the node itself: its connections, one more that is refused, a listener.
pub const NODE_SOCKETS: u32 = 100;
/// Receive and transmit buffer of each, bytes.
pub const NODE_BUFFER_BYTES: usize = 192 * 1024;
/// Keys that a node is told to trust.
pub const CLUSTER_KEYS: usize = 256;
/// Bytes of what a node is told of its cluster.
pub const CLUSTER_BYTES: usize = 64 * 1024;
/// Bytes of sealed messages of one channel that wait to be sent.
pub const CHANNEL_OUTPUT_BYTES: usize = 192 * 1024;
/// Bytes of messages that wait to be sent to one node.
pub const LINK_OUTPUT_BYTES: usize = 256 * 1024;
/// Instances of another node's of which it is told that they are here.
pub const VISITORS: usize = 512;
/// For how long a node that boots waits for word from others whether its instances live there, at most;
pub const HOME_WAIT_MILLIS: u64 = 3000;
/// and for how long it listens on the LAN who is there.
pub const HOME_LISTEN_MILLIS: u64 = 500;
/// Frames of private networks that wait to be carried to one node,
pub const TUNNEL_QUEUE_FRAMES: usize = 1024;
/// and their bytes,
pub const TUNNEL_QUEUE_BYTES: usize = 2 * 1024 * 1024;
/// and those of all nodes together,
pub const TUNNEL_QUEUES_BYTES: usize = 16 * 1024 * 1024;
/// for so long at most: whoever sent them has sent them again since.
pub const TUNNEL_QUEUE_MILLIS: u64 = 1000;
/// Bytes of frames that are sealed for other nodes in one turn; one more frame may come on top.
pub const TUNNEL_BYTES_PER_TURN: usize = 512 * 1024;
/// Largest frame that is carried to another node: 14 bytes of Ethernet and a packet of a private network.
pub const TUNNEL_FRAME_BYTES: usize = 14 + PRIVATE_MTU;
/// Bytes of messages of one node that wait to be taken; one more message may come on top.
pub const LINK_INPUT_BYTES: usize = 256 * 1024;
