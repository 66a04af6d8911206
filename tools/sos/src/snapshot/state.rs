//! What an instance in a snapshot file was doing: its calls, files and sockets, from states that are
//! decoded for the look alone. What does not decode is left out.

use serde::Serialize;
use serde::de::DeserializeOwned;
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
/// Heap that one decoded state may take beyond its bytes, of which few can stand for many.
const ROOM_BYTES: u64 = 256 * 1024 * 1024;

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

/// The state of one kind in a file, whose bytes are dropped; none when it is not there, does not decode,
/// or would take more than an onlooker gives it.
pub(super) fn decode<T: DeserializeOwned>(summary: &mut Summary, kind: SectionKind) -> Option<T> {
    decode_bytes(kind, summary.take_state(kind)?)
}

fn decode_bytes<T: DeserializeOwned>(kind: SectionKind, bytes: Pieces) -> Option<T> {
    parts::decode(kind, bytes, ROOM_BYTES).ok()
}

impl State {
    /// Reads the states of a file, and drops their bytes.
    pub fn read(summary: &mut Summary, about: Option<&About>) -> State {
        let mut state = State::default();
        let execution = decode::<ExecutionState>(summary, SectionKind::Execution);
        if let Some(execution) = execution {
            let contents = std::mem::take(&mut summary.contents);
            state.read_execution(&execution, &contents, about);
        }
        if let Some(guest) = decode::<GuestState>(summary, SectionKind::Guest) {
            state.guest_nanos = guest.guest_time().as_nanos();
            let usage = guest.files().usage();
            state.files = Some(Files {
                names: usage.files,
                written_bytes: usage.bytes,
            });
        }
        if let Some(stack) = decode::<StackState>(summary, SectionKind::Network) {
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
            ProgressState::Segments { .. } => ("gets its segments".into(), None),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_unfolds_to_more_than_an_onlooker_has_is_left_out() {
        // A list of empty lists: one byte in the file for each, 24 in memory. Its length comes first, as LEB128.
        let read = |length: &[u8], count: usize| {
            let bytes = [length, &vec![0; count]].concat();
            decode_bytes::<Vec<Vec<u8>>>(SectionKind::About, Pieces::from(bytes))
        };
        assert_eq!(read(&[0xe8, 0x07], 1000).map(|it| it.len()), Some(1000));
        assert_eq!(read(&[0xc0, 0x8d, 0xb7, 0x01], 3_000_000), None);
    }
}
