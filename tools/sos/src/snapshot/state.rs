//! What an instance in a snapshot file was doing: its calls, files and sockets, from states that are
//! decoded for the look alone. What does not decode is left out.

use serde::Serialize;
use sos_core::host::GuestState;
use sos_core::image::BlobHash;
use sos_core::instance::engine::{ExecutionState, ProgressState};
use sos_core::net::stack::StackState;
use sos_core::net::stack::state::{ConnectionState, EntryState, Phase};
use sos_core::snapshot::About;
use sos_core::snapshot::format::{Pieces, SectionKind, Summary};
use sos_core::snapshot::parts;

use super::inspect::plain;

/// Calls that are shown; of a deep recursion the innermost.
const CALLS: usize = 16;

/// What can be told.
#[derive(Debug, Default, Serialize)]
pub struct State {
    /// What the program waits for, in words.
    pub doing: Option<String>,
    /// Its time.
    pub guest_nanos: u64,
    /// The calls that it is inside of, innermost first.
    pub calls: Vec<Call>,
    /// Calls further out.
    pub calls_left_out: usize,
    /// Its files.
    pub files: Option<Files>,
    /// Its sockets.
    pub sockets: Vec<Socket>,
}

/// One call.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// How many calls are inside of it.
    pub depth: usize,
    /// The function and the operator in it.
    pub place: String,
}

/// What the files take.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Files {
    /// How many names there are.
    pub names: u32,
    /// Bytes that were written.
    pub written_bytes: u64,
}

/// One socket.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Socket {
    /// `tcp`, `listener` or `udp`.
    pub kind: &'static str,
    /// Its own end.
    pub local: String,
    /// The peer's.
    pub remote: String,
    /// How far it is.
    pub state: String,
    /// Bytes that the guest has not read.
    pub unread_bytes: u64,
    /// Bytes that the peer has not acknowledged.
    pub unacknowledged_bytes: u64,
}

impl State {
    /// Reads the states of a file, and drops their bytes.
    pub fn read(summary: &mut Summary, about: Option<&About>) -> State {
        let mut state = State::default();
        let execution = summary.take_state(SectionKind::Execution);
        if let Some(execution) = execution.and_then(|bytes| {
            parts::decode::<ExecutionState>(SectionKind::Execution, bytes, u64::MAX).ok()
        }) {
            let contents = std::mem::take(&mut summary.contents);
            state.read_execution(&execution, &contents, about);
        }
        let guest = summary.take_state(SectionKind::Guest);
        if let Some(guest) = guest
            .and_then(|bytes| parts::decode::<GuestState>(SectionKind::Guest, bytes, u64::MAX).ok())
        {
            state.guest_nanos = guest.guest_time().as_nanos();
            let usage = guest.files().usage();
            state.files = Some(Files {
                names: usage.files,
                written_bytes: usage.bytes,
            });
        }
        let network = summary.take_state(SectionKind::Network);
        if let Some(stack) = network.and_then(|bytes| {
            parts::decode::<StackState>(SectionKind::Network, bytes, u64::MAX).ok()
        }) {
            state.read_network(&stack);
        }
        state
    }

    fn read_execution(
        &mut self,
        execution: &ExecutionState,
        contents: &[(BlobHash, Pieces)],
        about: Option<&About>,
    ) {
        let (doing, calls) = match &execution.progress {
            ProgressState::Begin { .. } => ("has not begun".into(), None),
            ProgressState::OutOfFuel { calls, .. } => ("computes".into(), Some(calls)),
            ProgressState::HostCall { call, calls, .. } => {
                (format!("is in the host call {}", call.name()), Some(calls))
            }
            ProgressState::TailCall { .. } => ("is in its last host call".into(), None),
            ProgressState::Ended(_) => ("has ended".into(), None),
        };
        self.doing = Some(doing);
        let Some(calls) = calls else {
            return;
        };
        let shown: Vec<_> = calls.frames.iter().rev().take(CALLS).collect();
        self.calls_left_out = calls.frames.len() - shown.len();
        // A set's modules have places that only linking tells; the only module of an instance has the first.
        let module = about.filter(|about| about.spec.libraries.is_empty());
        let module = module.and_then(|about| {
            let found = contents.iter().find(|(hash, _)| *hash == about.spec.module);
            found.map(|(_, bytes)| bytes.clone().into_bytes())
        });
        let wanted: Vec<u32> = shown.iter().map(|it| it.function.function).collect();
        let names = module.as_deref().map_or_else(
            || vec![None; wanted.len()],
            |module| sos_engine::function_names(module, &wanted),
        );
        for (depth, (frame, name)) in shown.into_iter().zip(names).enumerate() {
            let function = match name {
                Some(name) => plain(name),
                None => format!(
                    "function {} of module {}",
                    frame.function.function, frame.function.module
                ),
            };
            let place = format!(
                "{function}, operator {}, {} locals",
                frame.operator,
                frame.locals.len()
            );
            self.calls.push(Call { depth, place });
        }
    }

    fn read_network(&mut self, stack: &StackState) {
        for handle in &stack.handles {
            match &handle.entry {
                Some(EntryState::Connection(connection)) => self.add_connection(connection),
                Some(EntryState::Listener(listener)) => {
                    self.sockets.push(Socket {
                        kind: "listener",
                        local: end(listener.local, listener.port),
                        remote: "*".into(),
                        state: format!("{} wait", listener.queue.len()),
                        unread_bytes: 0,
                        unacknowledged_bytes: 0,
                    });
                    for connection in listener.queue.iter().chain(&listener.handshakes) {
                        self.add_connection(connection);
                    }
                }
                Some(EntryState::Udp(udp)) => self.sockets.push(Socket {
                    kind: "udp",
                    local: end(udp.local, udp.port),
                    remote: "*".into(),
                    state: format!("{} wait", udp.datagrams.len()),
                    unread_bytes: udp.datagrams.iter().map(|it| it.bytes.len() as u64).sum(),
                    unacknowledged_bytes: 0,
                }),
                Some(EntryState::Query(_)) | None => {}
            }
        }
        stack
            .lingering
            .iter()
            .for_each(|it| self.add_connection(it));
    }

    fn add_connection(&mut self, connection: &ConnectionState) {
        let (state, unread, unacknowledged) = match &connection.phase {
            Phase::Connecting { .. } => ("connecting".into(), 0, 0),
            Phase::Answering { .. } => ("answering".into(), 0, 0),
            Phase::Open(open) => {
                let state = format!("open, ended: {:?}", open.ends).to_lowercase();
                (state, open.unread.len(), open.unacknowledged.len())
            }
            Phase::Ended { unread } => ("ended".into(), unread.len(), 0),
        };
        self.sockets.push(Socket {
            kind: "tcp",
            local: connection.local.to_string(),
            remote: connection.remote.to_string(),
            state,
            unread_bytes: unread as u64,
            unacknowledged_bytes: unacknowledged as u64,
        });
    }
}

/// An end of a socket that may be at every address.
fn end(address: Option<std::net::IpAddr>, port: u16) -> String {
    match address {
        Some(address) => std::net::SocketAddr::new(address, port).to_string(),
        None => format!("*:{port}"),
    }
}
