//! [`Guest`]: the state behind the host calls of one instance, and their dispatch.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sos_abi::{CallId, ErrorCode, HostCall};

use super::clock::{CpuClock, GuestClock};
use super::handles::HandleTable;
use super::identity::{Identity, Revivals};
use super::log::LogRing;
use super::memory::Arguments;
use super::pending::{ARGUMENTS, Pending, Step, StepResult, Wait};
use super::streams::{Streams, StreamsTo};
use super::wasi::{Descriptors, ErrorLine};
use crate::files::FileSystem;
use crate::instance::{HostFault, HostState, Limit, LimitSet, Outcome};
use crate::machine::{Clock, Time};
use crate::net::fabric::Fabric;
use crate::net::stack::Stack;

/// Fuel that any call is worth: about what the way out of the engine and back takes.
const CALL_FUEL: u64 = 100;
/// Bytes copied for one unit of fuel.
const BYTES_PER_FUEL: u64 = 16;

/// What an instance starts with.
pub struct GuestSetup {
    /// Arguments, without the program's name.
    pub arguments: Vec<String>,
    /// The program's name, which WASI programs see as their first argument.
    pub program: String,
    /// Environment of WASI programs, in order.
    pub environment: Vec<(String, String)>,
    /// Configuration keys and values, in any order.
    pub config: Vec<(String, String)>,
    /// Who it is.
    pub identity: Identity,
    /// Seed of its random numbers, from the machine's entropy.
    pub random_seed: [u8; 32],
    /// Bytes of log that are kept.
    pub log_bytes: u64,
    /// Its files.
    pub files: FileSystem,
    /// Handles that may be open at once.
    pub sockets: u32,
    /// Its network.
    pub stack: Stack,
    /// Where its standard streams lead.
    pub streams: StreamsTo,
    /// The node's clock.
    pub clock: Arc<dyn Clock>,
}

/// Everything that the host calls of one instance may touch, but its memory.
pub struct Guest {
    /// Its standard streams: what it wrote to its console, or the pipes that it is attached by.
    pub streams: Streams,
    /// Its log.
    pub log: LogRing,
    /// Its time.
    pub clock: GuestClock,
    /// The CPU time that it used.
    pub cpu: CpuClock,
    /// Its network, which runs on guest time.
    pub stack: Stack,
    pub(super) random: ChaCha12Rng,
    /// Its files.
    pub files: FileSystem,
    pub(super) error_line: ErrorLine,
    pub(super) arguments: Vec<String>,
    pub(super) program: String,
    pub(super) environment: Vec<(String, String)>,
    /// Sorted by key.
    pub(super) config: Vec<(String, String)>,
    pub(super) identity: Identity,
    pub(super) revivals: Revivals,
    pub(super) handles: HandleTable,
    pub(super) descriptors: Descriptors,
    pub(super) pending: Option<Pending>,
    /// Whether that call is to be tried at once: what it waits for may have changed while guest time
    /// stood, as wall time did.
    pub(super) look_again: bool,
    pub(super) exit_status: Option<i32>,
    pub(super) last_cost: u64,
    /// Limits that calls have reached.
    pub(super) reached: LimitSet,
}

impl Guest {
    /// The state of an instance that starts now.
    pub fn new(setup: GuestSetup) -> Guest {
        let mut config = setup.config;
        config.sort();
        Guest {
            streams: Streams::new(setup.streams),
            log: LogRing::new(setup.log_bytes),
            clock: GuestClock::start(setup.clock),
            cpu: CpuClock::default(),
            stack: setup.stack,
            random: ChaCha12Rng::from_seed(setup.random_seed),
            files: setup.files,
            error_line: ErrorLine::default(),
            arguments: setup.arguments,
            program: setup.program,
            environment: setup.environment,
            descriptors: Descriptors::new(),
            config,
            identity: setup.identity,
            revivals: Revivals::default(),
            handles: HandleTable::new(setup.sockets),
            pending: None,
            look_again: false,
            exit_status: None,
            last_cost: 0,
            reached: LimitSet::default(),
        }
    }

    /// Moves frames between the instance and `fabric` and lets its stack work, on guest time.
    /// Does nothing while the instance is paused: frames wait at its ports.
    pub fn poll_network(&mut self, fabric: &mut Fabric) {
        if !self.clock.is_paused() {
            self.stack.poll(self.clock.now(), fabric);
        }
    }

    /// The call that waits.
    pub fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// Whether a call waits.
    pub fn is_blocked(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the call that waits does so only to let others run between its pieces: to try it again
    /// is work of its own.
    pub fn works_in_pieces(&self) -> bool {
        let wait = self.pending.map(|pending| pending.wait);
        matches!(wait, Some(Wait::Piece { .. } | Wait::Listing { .. }))
    }

    /// Name of the call that waits, for `info`.
    pub fn blocked_on(&self) -> Option<&'static str> {
        self.pending.map(|pending| pending.call.name())
    }

    /// The status with which the guest ended itself.
    pub fn exit_status(&self) -> Option<i32> {
        self.exit_status
    }

    /// How many sockets are open, as handles or as WASI's descriptors.
    pub fn open_handles(&self) -> usize {
        self.handles.len() + self.descriptors.sockets()
    }

    /// The limits that its calls have reached since it started.
    pub fn reached_limits(&self) -> LimitSet {
        let mut reached = self.reached;
        if self.log.dropped_bytes() > 0 {
            reached.insert(Limit::Log);
        }
        reached
    }

    /// Node time at which the call that waits is due whatever else happens; none when it waits for
    /// an event alone, when none waits, and while the instance is paused. A time that is past means
    /// at once: so it is after a pause, whatever the call waits for.
    pub fn call_deadline(&self) -> Option<Time> {
        let wait = self.pending?.wait;
        if self.look_again {
            return self.clock.node_time(Time::ZERO);
        }
        match wait {
            Wait::Until(deadline) => self.clock.node_time(deadline),
            Wait::OneOf { deadline, .. } => self.clock.node_time(deadline?),
            Wait::Turn | Wait::Piece { .. } | Wait::Listing { .. } => {
                self.clock.node_time(Time::ZERO)
            }
            Wait::Event | Wait::Connection(_) | Wait::Lookup(_) | Wait::Rest { .. } => None,
        }
    }

    /// Node time at which the network stack wants to work although no frame came.
    pub fn network_deadline(&mut self) -> Option<Time> {
        let deadline = self.stack.next_poll(self.clock.now())?;
        self.clock.node_time(deadline)
    }

    /// The earlier of [`Self::call_deadline`] and [`Self::network_deadline`].
    pub fn next_deadline(&mut self) -> Option<Time> {
        let network = self.network_deadline();
        [self.call_deadline(), network].into_iter().flatten().min()
    }

    /// Adds `fuel` to the price of the current call.
    pub(super) fn charge(&mut self, fuel: u64) {
        self.last_cost += fuel;
    }

    /// Adds the price of `bytes` copied.
    pub(super) fn charge_bytes(&mut self, bytes: usize) {
        self.last_cost += bytes as u64 / BYTES_PER_FUEL;
    }

    /// One attempt at a call of either table; `wait` is where the last one stopped.
    fn attempt(
        &mut self,
        memory: &mut [u8],
        call: HostCall,
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> StepResult {
        match call {
            HostCall::Sos(call) => self.attempt_native(memory, call, arguments, wait),
            HostCall::Wasi(call) => self.attempt_wasi(memory, call, arguments, wait),
        }
    }

    /// One attempt at a native call.
    fn attempt_native(
        &mut self,
        memory: &mut [u8],
        call: CallId,
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> StepResult {
        match call {
            CallId::Log => self.log(memory, arguments),
            CallId::ConsoleWrite => self.console_write(memory, arguments),
            CallId::ConsoleRead => self.console_read(memory, arguments),
            CallId::ClockMonotonic => self.clock_monotonic(),
            CallId::ClockWall => self.clock_wall(),
            CallId::Sleep => self.sleep(arguments, wait),
            CallId::YieldNow => self.yield_now(wait),
            CallId::Random => self.random(memory, arguments),
            CallId::ArgsCount => self.args_count(),
            CallId::ArgGet => self.arg_get(memory, arguments),
            CallId::ConfigGet => self.config_get(memory, arguments),
            CallId::ConfigKey => self.config_key(memory, arguments),
            CallId::InstanceName => self.instance_name(memory, arguments),
            CallId::NodeName => self.node_name(memory, arguments),
            CallId::Generation => self.generation(),
            CallId::Exit => Ok(Step::Exit(arguments.u32(0) as i32)),
            CallId::TcpListen => self.tcp_listen(memory, arguments),
            CallId::TcpAccept => self.tcp_accept(memory, arguments),
            CallId::TcpConnect => self.tcp_connect(memory, arguments, wait),
            CallId::TcpConnectStatus => self.tcp_connect_status(arguments),
            CallId::TcpRead => self.tcp_read(memory, arguments),
            CallId::TcpWrite => self.tcp_write(memory, arguments),
            CallId::TcpShutdown => self.tcp_shutdown(arguments),
            CallId::TcpSetOption => self.tcp_set_option(arguments),
            CallId::UdpBind => self.udp_bind(memory, arguments),
            CallId::UdpSendTo => self.udp_send_to(memory, arguments),
            CallId::UdpReceiveFrom => self.udp_receive_from(memory, arguments),
            CallId::SocketLocalAddress => self.socket_local_address(memory, arguments),
            CallId::SocketPeerAddress => self.socket_peer_address(memory, arguments),
            CallId::Close => self.close(arguments),
            CallId::Poll => self.poll(memory, arguments, wait),
            CallId::DnsLookup => self.dns_lookup(memory, arguments, wait),
            CallId::Revivals => self.revivals(arguments),
            CallId::WasiDescriptor => self.wasi_descriptor(arguments),
        }
    }

    /// Turns an attempt into what the engine is told, and remembers a call that waits.
    fn conclude(&mut self, call: HostCall, arguments: &[u64], result: StepResult) -> Outcome {
        match result {
            Ok(Step::Done(value)) => Outcome::Done(u64::from(value as u32)),
            Ok(Step::DoneLong(value)) => Outcome::Done(value as u64),
            Ok(Step::Wait(wait)) => {
                let mut cells = [0; ARGUMENTS];
                cells[..arguments.len()].copy_from_slice(arguments);
                self.pending = Some(Pending {
                    call,
                    arguments: cells,
                    wait,
                });
                Outcome::Blocked
            }
            Ok(Step::Exit(status)) => {
                self.exit_status = Some(status);
                Outcome::Exit(status)
            }
            Err(error) => {
                if error == ErrorCode::TooManyHandles {
                    self.reached.insert(Limit::Sockets);
                }
                Outcome::Done(u64::from(error.code() as u32))
            }
        }
    }
}

impl HostState for Guest {
    fn call(&mut self, memory: &mut [u8], call: HostCall, arguments: &[u64]) -> Outcome {
        self.last_cost = CALL_FUEL;
        if let Some(pending) = self.pending {
            return Outcome::Fault(HostFault::StillBlocked(pending.call));
        }
        if arguments.len() != call.signature().parameters.len() {
            return Outcome::Fault(HostFault::Arguments(call));
        }
        let result = self.attempt(memory, call, Arguments(arguments), None);
        self.conclude(call, arguments, result)
    }

    fn retry(&mut self, memory: &mut [u8]) -> Outcome {
        self.last_cost = CALL_FUEL;
        self.look_again = false;
        let Some(pending) = self.pending.take() else {
            return Outcome::Fault(HostFault::NothingBlocked);
        };
        let Pending {
            call,
            arguments,
            wait,
        } = pending;
        let arguments = &arguments[..call.signature().parameters.len()];
        let result = self.attempt(memory, call, Arguments(arguments), Some(wait));
        self.conclude(call, arguments, result)
    }

    fn cost(&self) -> u64 {
        self.last_cost
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("identity", &self.identity)
            .field("pending", &self.pending)
            .field("exit_status", &self.exit_status)
            .finish_non_exhaustive()
    }
}
