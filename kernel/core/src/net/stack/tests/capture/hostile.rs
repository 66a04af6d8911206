//! States that nobody captured: refused, or harmless.

extern crate std;

use super::*;
use crate::net::stack::Part;
use crate::net::stack::state::{
    EntryState, HandleState, LeaseState, OpenState, Phase, QueryState, TimeWaitState,
};
use core::net::Ipv4Addr;

/// A pair in the midst of everything, and A's state.
fn busy() -> (World, StackState) {
    let limits = StackLimits {
        tcp_buffer_bytes: 3000,
        ..StackLimits::default()
    };
    let mut world = World::relayed(limits, Faults::default(), 1, Checksums::Computed);
    let (server, client, listener) = world.connected();
    let accept = |world: &mut World| {
        world.run(|world| world.stacks[A].readiness(listener).readable);
        world.stacks[A].tcp_accept(listener).unwrap().unwrap().0
    };
    let others = [0, 1, 2].map(|_| {
        let client = world.stacks[B]
            .tcp_connect(address(10, 80), world.now)
            .unwrap();
        (accept(&mut world), client)
    });
    world.stacks[A]
        .tcp_shutdown(others[0].0, Shutdown::Write)
        .unwrap();
    world.stacks[B]
        .tcp_shutdown(others[1].1, Shutdown::Write)
        .unwrap();
    world.stacks[B].abort(others[2].1);
    let udp = world.stacks[A].udp_bind(None, 7).unwrap();
    let sender = world.stacks[B].udp_bind(None, 0).unwrap();
    world.stacks[B]
        .udp_send_to(sender, b"datagram", address(10, 7))
        .unwrap();
    world.stacks[B]
        .tcp_connect(address(10, 80), world.now)
        .unwrap();
    world.run_for(Duration::from_secs(1));
    world.stacks[B].tcp_write(client, &[1; 700]).unwrap();
    world.run(|world| world.stacks[A].readiness(server).readable);
    world.stacks[A].tcp_write(server, &[2; 900]).unwrap();
    world.stacks[A].close(others[1].0);
    world.stacks[A]
        .tcp_connect(address(11, 99), world.now)
        .unwrap();
    assert!(world.stacks[A].readiness(udp).readable);
    let state = world.stacks[A].capture();
    (world, state)
}

/// Makes what can be made of a state, lets it run beside its peer, and uses each of its handles.
fn exercise(state: &StackState, world: &mut World) -> bool {
    let port = world.stacks[A]
        .interfaces
        .first()
        .map_or(PortId(0), |it| it.port);
    let ports = vec![
        RevivedPort {
            port,
            properties: LinkProperties::UPLINKED,
        };
        state.interfaces.len()
    ];
    let revival = StackRevival {
        limits: StackLimits::default(),
        seed: 1,
        // What a state asks for beyond this it does not get.
        allowance: Allowance::new(16 << 20),
        ports: &ports,
        now: world.now,
    };
    let Ok(stack) = Stack::restore(state, revival) else {
        return false;
    };
    let ids: Vec<SocketId> = stack.handles.iter().map(|(id, _)| id).collect();
    let before = core::mem::replace(&mut world.stacks[A], stack);
    for round in 0..40 {
        world.step();
        let now = world.now;
        for &id in &ids {
            let stack = &mut world.stacks[A];
            let _ = stack.readiness(id);
            let _ = stack.tcp_read(id, &mut [0; 100]);
            let _ = stack.tcp_write(id, &[3; 100]);
            let _ = stack.tcp_accept(id);
            let _ = stack.udp_receive_from(id, &mut [0; 100]);
            let _ = stack.udp_send_to(id, b"x", address(11, 9));
            let _ = stack.dns_poll(id);
            let _ = stack.next_poll(now);
            if round == 30 {
                stack.close(id);
            }
        }
    }
    let again = world.stacks[A].capture();
    assert!(again.handles.len() <= state.handles.len() + ids.len() * 40);
    world.stacks[A] = before;
    true
}

fn mutations(first: u64, count: u64) {
    let (mut world, state) = busy();
    assert!(exercise(&state, &mut world));
    let bytes = postcard::to_allocvec(&state).unwrap();
    let mut taken = 0;
    for seed in first..first + count {
        let mut random = scramble(seed);
        let mut next = |bound: usize| {
            random = scramble(random);
            random as usize % bound
        };
        let mut bytes = bytes.clone();
        for _ in 0..1 + next(4) {
            // Most of the bytes are payload: aim at what is not.
            let at = if next(2) == 0 {
                next(bytes.len())
            } else {
                next(400)
            };
            match next(4) {
                0 => bytes[at] ^= 1 << next(8),
                1 => bytes[at] = [0, 1, 2, 0x7F, 0x80, 0xFF][next(6)],
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, next(256) as u8),
            }
        }
        let Ok(state) = postcard::from_bytes::<StackState>(&bytes) else {
            continue;
        };
        let used = std::panic::AssertUnwindSafe(|| exercise(&state, &mut world));
        match std::panic::catch_unwind(used) {
            Ok(was_taken) => taken += u64::from(was_taken),
            Err(panic) => {
                std::eprintln!("mutation {seed} fails");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(taken > count / 100, "{taken} of {count} were taken");
}

#[test]
fn mutated_states_are_refused_or_harmless() {
    mutations(0, 1500);
}

#[test]
#[ignore = "minutes: for many mutations"]
fn mutated_states_are_refused_or_harmless_for_many_seeds() {
    mutations(1500, 100_000);
}

fn refusal(change: impl FnOnce(&mut StackState)) -> RestoreError {
    let (world, mut state) = busy();
    change(&mut state);
    let ports = vec![
        RevivedPort {
            port: world.stacks[A].interfaces[0].port,
            properties: LinkProperties::UPLINKED,
        };
        state.interfaces.len()
    ];
    match revive(&state, &ports, 1, world.now) {
        Err(error) => error,
        Ok(_) => panic!("taken"),
    }
}

/// The first connection that a handle stands for.
fn connection(state: &mut StackState) -> &mut crate::net::stack::state::ConnectionState {
    let found = state
        .handles
        .iter_mut()
        .find_map(|place| match &mut place.entry {
            Some(EntryState::Connection(connection)) => Some(connection),
            _ => None,
        });
    found.unwrap()
}

/// The same, which is open.
fn open(state: &mut StackState) -> &mut OpenState {
    match &mut connection(state).phase {
        Phase::Open(open) => open,
        _ => panic!("not open"),
    }
}

/// What a change to a sound state leads to.
type Case = (RestoreError, fn(&mut StackState));

#[test]
fn what_cannot_be_is_named() {
    let invalid = |part| RestoreError::Invalid(part);
    let cases: [Case; 19] = [
        (invalid(Part::Buffers), |it| it.buffer_bytes = 0),
        (RestoreError::TooMany(Part::Buffers), |it| {
            it.buffer_bytes = u32::MAX;
        }),
        (invalid(Part::Handle), |it| it.free.push(0)),
        (invalid(Part::Handle), |it| {
            it.handles.push(HandleState {
                generation: 0,
                entry: None,
            });
        }),
        (invalid(Part::Connection), |it| connection(it).interface = 1),
        (invalid(Part::Connection), |it| {
            connection(it).local.set_port(0)
        }),
        (invalid(Part::Connection), |it| {
            connection(it).remote = "255.255.255.255:1".parse().unwrap();
        }),
        (invalid(Part::Connection), |it| {
            connection(it).remote = "[::ffff:10.0.0.11]:1".parse().unwrap();
        }),
        (RestoreError::Repeated(Part::Connection), |it| {
            let twin = connection(it).clone();
            it.handles.push(HandleState {
                generation: 0,
                entry: Some(EntryState::Connection(twin)),
            });
        }),
        (invalid(Part::Connection), |it| {
            open(it).accepted_bytes = 1;
        }),
        (invalid(Part::Connection), |it| {
            open(it).unread = vec![0; 3001];
        }),
        (invalid(Part::Lease), |it| {
            it.interfaces[0].lease = Some(LeaseState {
                server: Ipv4Addr::LOCALHOST,
                identifier: Ipv4Addr::LOCALHOST,
                address: Ipv4Addr::LOCALHOST,
                prefix_length: 8,
                router: None,
                servers: Vec::new(),
                since: Time::ZERO,
            });
        }),
        (RestoreError::Refused(NetError::InvalidAddress), |it| {
            it.interfaces[0].mac = [1; 6];
        }),
        (RestoreError::TooMany(Part::TimeWait), |it| {
            let record = TimeWaitState {
                end: Time::ZERO,
                interface: 0,
                local: address(10, 1),
                remote: address(11, 1),
            };
            it.time_wait = vec![record; limits::TIME_WAIT_RECORDS + 1];
        }),
        (invalid(Part::TimeWait), |it| {
            it.time_wait = vec![TimeWaitState {
                end: Time::from_nanos(u64::MAX),
                interface: 0,
                local: address(10, 1),
                remote: address(11, 1),
            }];
        }),
        (invalid(Part::Connection), |it| {
            open(it).accepted_bytes = u64::MAX;
        }),
        (invalid(Part::Connection), |it| {
            open(it).read_bytes = u64::MAX;
        }),
        (invalid(Part::Listener), |it| it.dropped_syns = u64::MAX),
        (invalid(Part::Query), |it| {
            let after = it.now + Duration::from_secs(1);
            it.handles.push(HandleState {
                generation: 0,
                entry: Some(EntryState::Query(QueryState {
                    interface: 0,
                    name: String::from("example.org"),
                    pending: Vec::new(),
                    addresses: Vec::new(),
                    started: after,
                    ended: after,
                })),
            });
        }),
    ];
    for (number, (expected, change)) in cases.into_iter().enumerate() {
        assert_eq!(refusal(change), expected, "case {number}");
    }
}

#[test]
fn a_state_takes_no_more_memory_than_it_is_allowed() {
    let (world, state) = busy();
    let ports = [RevivedPort {
        port: world.stacks[A].interfaces[0].port,
        properties: LinkProperties::UPLINKED,
    }];
    let mut revival = StackRevival {
        limits: StackLimits::default(),
        seed: 1,
        allowance: Allowance::new(0),
        ports: &ports,
        now: world.now,
    };
    let mut refused = 0;
    for kilobytes in (0..400).step_by(7) {
        revival.allowance = Allowance::new(kilobytes * 1024);
        match Stack::restore(&state, revival.clone()) {
            Ok(_) => break,
            Err(error) => assert_eq!(error, RestoreError::NoMemory),
        }
        refused += 1;
    }
    assert!((10..57).contains(&refused), "{refused}");
    revival.allowance = Allowance::unlimited();
    revival.limits.sockets = 3;
    let error = Stack::restore(&state, revival).err();
    assert_eq!(error, Some(RestoreError::TooMany(Part::Handle)));
}
