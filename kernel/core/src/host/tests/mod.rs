//! Host calls as a guest makes them: two guests on one link, and a clock that the test moves.

mod console_and_log;
mod errors;
mod facts;
mod handles;
mod hostile;
mod memory;
mod names;
mod poll;
mod tcp;
mod time;
mod udp;

use super::*;
use crate::files::{FileLimits, FileSystem};
use crate::instance::{HostFault, HostState, Outcome};
use crate::machine::{Clock, Duration, Time};
use crate::net::fabric::{Fabric, PortId, PortState};
use crate::net::stack::{AddressSpec, InterfaceConfig, Stack, StackLimits};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use sos_abi::{CallId, ErrorCode, HostCall, SocketAddress};

/// Who makes a call: 10.0.0.10 or 10.0.0.11.
pub(in crate::host) const A: usize = 0;
pub(in crate::host) const B: usize = 1;

/// Handles that a guest of these tests may hold.
pub(in crate::host) const SOCKETS: u32 = 8;
pub(in crate::host) const MEMORY_BYTES: usize = 256 * 1024;

/// Places in the guests' memories that tests write to and read from.
pub(in crate::host) const ADDRESS: u32 = 0x100;
pub(in crate::host) const PEER: u32 = 0x200;
pub(in crate::host) const ENTRIES: u32 = 0x400;
pub(in crate::host) const TEXT: u32 = 0x1000;
pub(in crate::host) const BUFFER: u32 = 0x10000;

/// Wall time at node time zero.
pub(in crate::host) const WALL_NANOS: u64 = 1_700_000_000_000_000_000;

#[derive(Default)]
pub(in crate::host) struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn wall_nanos(&self) -> u64 {
        WALL_NANOS + self.0.load(Ordering::Relaxed)
    }
}

/// One guest with the memory of its program.
pub(in crate::host) struct Instance {
    pub(in crate::host) guest: Guest,
    pub(in crate::host) memory: Vec<u8>,
}

pub(in crate::host) struct World {
    pub(in crate::host) clock: Arc<TestClock>,
    pub(in crate::host) fabric: Fabric,
    /// The port of each instance.
    pub(in crate::host) ports: Vec<PortId>,
    pub(in crate::host) instances: Vec<Instance>,
    calls: u32,
}

/// Calls after which a guest is captured and restored, beside each attempt at one that waits.
const CALLS_PER_CUT: u32 = 16;

pub(in crate::host) fn interface(port: PortId, fabric: &Fabric, last: u8) -> InterfaceConfig {
    InterfaceConfig {
        name: String::from("eth0"),
        port,
        mac: [2, 0, 0, 0, 0, last],
        properties: fabric.properties(port),
        addresses: vec![AddressSpec::Static {
            address: [10, 0, 0, last].into(),
            prefix_length: 24,
        }],
        gateway: Vec::new(),
        dns: Vec::new(),
        hostname: String::new(),
    }
}

pub(in crate::host) fn setup(clock: Arc<TestClock>, stack: Stack) -> GuestSetup {
    let text = |text: &str| String::from(text);
    GuestSetup {
        arguments: vec![text("first"), text("zweites ä")],
        program: text("program.wasm"),
        files: FileSystem::new(
            FileLimits {
                bytes: 1024 * 1024,
                files: 100,
            },
            WALL_NANOS,
        ),
        environment: vec![(text("HOME"), text("/")), (text("EMPTY"), text(""))],
        config: vec![
            (text("port"), text("80")),
            (text("a"), text("")),
            (text("b"), text("2")),
        ],
        identity: Identity {
            instance: text("web"),
            node: text("node-1"),
            generation: 7,
        },
        random_seed: [42; 32],
        log_bytes: 4096,
        sockets: SOCKETS,
        stack,
        streams: StreamsTo::Console,
        clock,
    }
}

impl World {
    pub(in crate::host) fn new() -> World {
        let clock = Arc::new(TestClock::default());
        clock.0.store(5_000_000_000, Ordering::Relaxed);
        let mut fabric = Fabric::new();
        let link = fabric.add_link("link").unwrap();
        let (mut instances, mut ports) = (Vec::new(), Vec::new());
        for (number, last) in [10, 11].into_iter().enumerate() {
            let port = fabric.attach(link, "port", [2, 0, 0, 0, 0, last]).unwrap();
            let limits = StackLimits {
                sockets: SOCKETS,
                ..StackLimits::default()
            };
            let mut stack = Stack::new(limits, number as u64);
            stack
                .add_interface(interface(port, &fabric, last), Time::ZERO)
                .unwrap();
            let guest = Guest::new(setup(clock.clone(), stack));
            ports.push(port);
            instances.push(Instance {
                guest,
                memory: vec![0; MEMORY_BYTES],
            });
        }
        World {
            clock,
            fabric,
            ports,
            instances,
            calls: 0,
        }
    }

    pub(in crate::host) fn guest(&mut self, who: usize) -> &mut Guest {
        &mut self.instances[who].guest
    }

    pub(in crate::host) fn advance(&mut self, duration: Duration) {
        self.clock
            .0
            .fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Makes a call.
    pub(in crate::host) fn call(
        &mut self,
        who: usize,
        call: impl Into<HostCall>,
        arguments: &[i64],
    ) -> Outcome {
        let call = call.into();
        let cells: Vec<u64> = arguments
            .iter()
            .zip(call.signature().parameters)
            .map(|(&argument, kind)| match kind {
                sos_abi::ValueType::I64 => argument as u64,
                // The upper half of an i32's cell may hold anything.
                sos_abi::ValueType::I32 => (argument as u32 as u64) | 0xdead_beef_0000_0000,
            })
            .collect();
        assert_eq!(
            cells.len(),
            arguments.len(),
            "{} takes fewer arguments",
            call.name()
        );
        let Instance { guest, memory } = &mut self.instances[who];
        let outcome = guest.call(memory, call, &cells);
        assert!(guest.cost() > 0, "{} is for free", call.name());
        assert_eq!(
            guest.is_blocked(),
            outcome == Outcome::Blocked,
            "{}",
            call.name()
        );
        self.calls += 1;
        if self.calls.is_multiple_of(CALLS_PER_CUT) {
            self.cut(who);
        }
        outcome
    }

    /// Tries a blocked call again, in a guest that was captured and restored.
    pub(in crate::host) fn retry(&mut self, who: usize) -> Outcome {
        self.cut(who);
        let Instance { guest, memory } = &mut self.instances[who];
        guest.retry(memory)
    }

    /// Makes a call that is over at once and gives an `i32`.
    pub(in crate::host) fn done(
        &mut self,
        who: usize,
        call: CallId,
        arguments: &[i64],
    ) -> Result<i32, ErrorCode> {
        outcome_result(self.call(who, call, arguments))
    }

    /// Lets both stacks work for some time.
    pub(in crate::host) fn run(&mut self, duration: Duration) {
        let step = Duration::from_millis(1);
        let mut passed = Duration::ZERO;
        while passed < duration {
            for instance in &mut self.instances {
                instance.guest.poll_network(&mut self.fabric);
            }
            self.advance(step);
            passed += step;
        }
    }

    /// Lets both stacks work and tries the blocked call again until it is over.
    pub(in crate::host) fn finish(&mut self, who: usize) -> Result<i32, ErrorCode> {
        for _ in 0..100_000 {
            self.run(Duration::from_millis(1));
            match self.retry(who) {
                Outcome::Blocked => {}
                outcome => return outcome_result(outcome),
            }
        }
        panic!("{:?} does not end", self.instances[who].guest.pending());
    }

    /// Makes a call and waits for its end.
    pub(in crate::host) fn wait(
        &mut self,
        who: usize,
        call: CallId,
        arguments: &[i64],
    ) -> Result<i32, ErrorCode> {
        match self.call(who, call, arguments) {
            Outcome::Blocked => self.finish(who),
            outcome => outcome_result(outcome),
        }
    }

    pub(in crate::host) fn write(&mut self, who: usize, at: u32, bytes: &[u8]) {
        self.instances[who].memory[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub(in crate::host) fn read(&self, who: usize, at: u32, length: usize) -> &[u8] {
        &self.instances[who].memory[at as usize..][..length]
    }

    pub(in crate::host) fn write_address(&mut self, who: usize, at: u32, address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        self.write(who, at, SocketAddress::encode(address).as_bytes());
    }

    pub(in crate::host) fn read_address(&self, who: usize, at: u32) -> SocketAddr {
        let bytes = self.read(who, at, SocketAddress::BYTES).try_into().unwrap();
        SocketAddress::from_bytes(bytes).decode().unwrap()
    }

    /// Opens descriptors until there is no room for another.
    fn fill_descriptors(&mut self, who: usize) {
        let descriptors = &mut self.guest(who).descriptors;
        let any = descriptors.get(0).unwrap().clone();
        while descriptors.insert(any.clone()).is_ok() {}
    }

    /// Cuts the link.
    fn cut_link(&mut self) {
        self.fabric
            .set_segment_state("link", PortState::Down)
            .unwrap();
    }

    /// A listens on port 80.
    pub(in crate::host) fn listen(&mut self) -> i64 {
        self.write_address(A, ADDRESS, "0.0.0.0:80");
        self.done(A, CallId::TcpListen, &[ADDRESS.into(), 16])
            .unwrap()
            .into()
    }

    /// A connection from B to A: the listener, A's end and B's end.
    pub(in crate::host) fn connected(&mut self) -> (i64, i64, i64) {
        let listener = self.listen();
        self.write_address(B, ADDRESS, "10.0.0.10:80");
        let client = self
            .wait(B, CallId::TcpConnect, &[ADDRESS.into(), 0])
            .unwrap();
        let server = self.wait(A, CallId::TcpAccept, &[listener, 0, 0]).unwrap();
        (listener, server.into(), client.into())
    }
}

fn outcome_result(outcome: Outcome) -> Result<i32, ErrorCode> {
    let Outcome::Done(value) = outcome else {
        panic!("{outcome:?}")
    };
    let value = i32::try_from(value as u32 as i64).unwrap_or(value as u32 as i32);
    match ErrorCode::from_code(value) {
        Some(error) => Err(error),
        None => Ok(value),
    }
}

#[test]
fn a_call_with_a_wrong_number_of_arguments_is_a_fault() {
    let mut world = World::new();
    let Instance { guest, memory } = &mut world.instances[A];
    let fault = Outcome::Fault(HostFault::Arguments(CallId::Sleep.into()));
    assert_eq!(guest.call(memory, CallId::Sleep.into(), &[]), fault);
    assert_eq!(guest.call(memory, CallId::Sleep.into(), &[1, 2]), fault);
}

#[test]
fn only_a_blocked_call_can_be_continued_and_no_other_be_made_meanwhile() {
    let mut world = World::new();
    assert_eq!(world.retry(A), Outcome::Fault(HostFault::NothingBlocked));
    assert_eq!(world.call(A, CallId::Sleep, &[1_000]), Outcome::Blocked);
    let Instance { guest, memory } = &mut world.instances[A];
    assert_eq!(
        guest.call(memory, CallId::YieldNow.into(), &[]),
        Outcome::Fault(HostFault::StillBlocked(CallId::Sleep.into()))
    );
    assert_eq!(world.guest(A).blocked_on(), Some("sleep"));
}
