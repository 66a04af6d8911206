//! States that no guest can have had: they are refused, or do no harm.

use super::*;
use crate::host::Wait;
use crate::host::handles::Slot;
use crate::plain::Bytes;
use alloc::string::ToString;
use alloc::vec;
use sos_abi::{HostCall, ValueType};

impl World {
    /// Makes many calls with arguments that may mean something, whatever comes of them.
    fn make_any_calls(&mut self, random: &mut ChaCha12Rng) {
        let Instance { guest, memory } = &mut self.instances[A];
        for _ in 0..3 {
            guest.retry(memory);
        }
        let native = CallId::ALL.iter().map(|&call| HostCall::from(call));
        let wasi = WasiCall::ALL.iter().map(|&call| HostCall::from(call));
        let calls: Vec<HostCall> = native.chain(wasi).collect();
        let values = [0, 1, 2, 3, 4, 5, 8, 64, 0x1_0000, 0x1_0001, 0x2_0000];
        let places = [ADDRESS, TEXT, BUFFER].map(u64::from);
        let values: Vec<u64> = values.into_iter().chain(places).collect();
        for _ in 0..60 {
            guest.pending = None;
            let call = calls[random.next_u32() as usize % calls.len()];
            let parameters = call.signature().parameters.iter();
            let arguments: Vec<u64> = parameters
                .map(|kind| match kind {
                    ValueType::I64 => u64::from(random.next_u32() % 0x4000),
                    ValueType::I32 => values[random.next_u32() as usize % values.len()],
                })
                .collect();
            guest.call(memory, call, &arguments);
        }
        guest.capture();
    }
}

/// What a state is refused with.
fn refusal(change: impl FnOnce(&mut GuestState)) -> RestoreError {
    let (mut world, mut state) = World::rich();
    change(&mut state);
    let stack = world.take_stack(A);
    let restored = restore(state, world.clock.clone(), stack, Revival::Continued);
    let error = restored.expect_err("a refusal");
    assert!(!error.to_string().is_empty());
    error
}

#[test]
fn handles_and_descriptors_that_could_not_be_are_refused() {
    let handles = |change: fn(&mut HandlesState)| refusal(|state| change(&mut state.handles));
    let second = |error| error == RestoreError::Handle { slot: 2 };
    assert!(second(handles(
        |state| state.slots[2].socket = state.slots[1].socket
    )));
    assert!(second(handles(
        |state| state.slots[2].socket = Some(SocketId(77))
    )));
    let broken: [fn(&mut HandlesState); 5] = [
        |state| state.slots[1].generation = 0,
        |state| state.slots[1].generation = 0x8000,
        |state| state.free.clear(),
        |state| state.free.push(0),
        |state| state.free.push(99),
    ];
    for change in broken {
        assert_eq!(handles(change), RestoreError::Handles);
    }
    let many = handles(|state| {
        let generation = 1;
        let socket = None;
        state.free.extend(3..200);
        state.slots.resize(200, Slot { generation, socket });
    });
    assert_eq!(many, RestoreError::Handles);

    let descriptor = |change: fn(&mut Descriptor)| {
        refusal(|state| change(state.descriptors[3].as_mut().unwrap()))
    };
    let third = RestoreError::Descriptor { number: 3 };
    let broken: [fn(&mut Descriptor); 6] = [
        |open| open.rights.base = u64::MAX,
        |open| open.flags = 0x8000,
        |open| open.kind = Kind::Connection(SocketId(0)),
        |open| open.kind = Kind::Listener(SocketId(99)),
        |open| open.preopen = Some("x".repeat(5000).into()),
        |open| {
            open.kind = Kind::File {
                inode: InodeId::ROOT,
                position: 0,
            }
        },
    ];
    for change in broken {
        assert_eq!(descriptor(change), third);
    }
    let many = refusal(|state| state.descriptors.resize(5000, None));
    assert!(matches!(many, RestoreError::Descriptor { .. }));
    let unopened = refusal(|state| state.descriptors[3] = None);
    assert!(matches!(unopened, RestoreError::Files(_)));
}

#[test]
fn texts_streams_and_logs_that_could_not_be_are_refused() {
    let long = "x".repeat(limits::TEXT_BYTES + 1);
    let text = || long.clone();
    assert_eq!(
        refusal(|state| state.arguments.push(text())),
        RestoreError::Texts
    );
    assert_eq!(refusal(|state| state.program = text()), RestoreError::Texts);
    assert_eq!(refusal(|state| state.config.reverse()), RestoreError::Texts);
    let many = refusal(|state| state.arguments = vec![String::new(); 1000]);
    assert_eq!(many, RestoreError::Texts);
    let bytes = || vec![0; 1 << 20];
    let streams = [
        refusal(|state| state.streams.console = bytes()),
        refusal(|state| state.streams.console_first = u64::MAX),
        refusal(|state| state.streams.input = bytes()),
        refusal(|state| state.streams.pipes = Some([Bytes(bytes()), Bytes::default()])),
    ];
    assert_eq!(streams, [RestoreError::Streams; 4]);
    let logs = [
        refusal(|state| state.log.first = u64::MAX),
        refusal(|state| state.log.lines[0].text = "\x1b[2J".into()),
        refusal(|state| state.log.lines[0].text = "x".repeat(10_000)),
    ];
    assert_eq!(logs, [RestoreError::Log; 3]);
    let begun = refusal(|state| state.error_line = b"a\n".to_vec());
    assert_eq!(begun, RestoreError::ErrorLine);
    assert_eq!(refusal(|state| state.reached = 0xff), RestoreError::Limits);
    let ended = refusal(|state| state.exit_status = Some(0));
    assert_eq!(ended, RestoreError::Ended);
}

#[test]
fn a_call_waits_only_for_what_it_can_wait_for() {
    let waits = [
        Wait::Event,
        Wait::Turn,
        Wait::Until(Time::ZERO),
        Wait::Connection(crate::host::Handle(0x1_0000)),
        Wait::Lookup(SocketId(0)),
        Wait::Piece { moved: 0 },
        Wait::Rest { moved: 0 },
        Wait::Listing { cookie: 0, used: 0 },
        Wait::OneOf {
            since: Time::ZERO,
            deadline: None,
        },
    ];
    let native = CallId::ALL.iter().map(|&call| HostCall::from(call));
    let wasi = WasiCall::ALL.iter().map(|&call| HostCall::from(call));
    let mut possible = 0;
    for call in native.chain(wasi) {
        for wait in waits {
            let pending = PendingState::capture(&crate::host::Pending {
                call,
                arguments: [0; crate::host::pending::ARGUMENTS],
                wait,
            });
            let now = Time::from_nanos(1);
            let restored = pending.restore(now, |_| Some(SocketKind::Query));
            possible += usize::from(restored.is_ok());
        }
    }
    assert_eq!(possible, 25, "pairs of a call and what it waits for");
    let read = HostCall::from(CallId::TcpRead);
    let sleeps = refusal(|state| state.pending.as_mut().unwrap().set_wait(Wait::Turn));
    assert_eq!(sleeps, RestoreError::Pending(read));
    let unknown = refusal(|state| state.pending.as_mut().unwrap().set_name("fly"));
    assert_eq!(unknown, RestoreError::UnknownCall);
    let few = refusal(|state| state.pending.as_mut().unwrap().drop_argument());
    assert_eq!(few, RestoreError::Pending(read));
}

#[test]
fn damaged_states_are_refused_or_harmless() {
    let mut random = ChaCha12Rng::from_seed([5; 32]);
    let (mut world, state) = World::rich();
    let stored = postcard::to_allocvec(&state).unwrap();
    let (mut unread, mut refused, mut harmless) = (0, 0, 0);
    for _ in 0..1000 {
        let mut bytes = stored.clone();
        for _ in 0..=random.next_u32() % 2 {
            let at = random.next_u32() as usize % bytes.len();
            match random.next_u32() % 4 {
                0 => bytes[at] = random.next_u32() as u8,
                1 => bytes[at] ^= 1 << (random.next_u32() % 8),
                2 => bytes.insert(at, random.next_u32() as u8),
                _ => drop(bytes.remove(at)),
            }
        }
        let Ok(state) = postcard::from_bytes::<GuestState>(&bytes) else {
            unread += 1;
            continue;
        };
        let stack = world.take_stack(A);
        match restore(state, world.clock.clone(), stack, Revival::Continued) {
            Err(_) => refused += 1,
            Ok(mut guest) => {
                harmless += 1;
                guest.clock.resume();
                world.instances[A].guest = guest;
                world.make_any_calls(&mut random);
            }
        }
        (world, _) = World::rich();
    }
    let counts = [unread, refused, harmless];
    assert!(counts.iter().all(|&count| count > 20), "{counts:?}");
}
