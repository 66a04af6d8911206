//! Every pointer parameter of the table with every kind of lie.

use super::*;

/// A guest in a state in which every call could be carried out.
pub(super) fn arguments(world: &mut World, call: CallId) -> Vec<i64> {
    let parameters = call.parameter_names();
    let is_udp = matches!(call, CallId::UdpSendTo | CallId::UdpReceiveFrom);
    let handle = match parameters.first() {
        Some(&"handle") if is_udp => {
            world.write_address(A, ADDRESS, "0.0.0.0:0");
            world
                .done(A, CallId::UdpBind, &[ADDRESS.into()])
                .unwrap()
                .into()
        }
        Some(&"handle") => world.connected().1,
        Some(&"listener") => world.listen(),
        _ => 0,
    };
    world.write_address(A, ADDRESS, "10.0.0.11:81");
    world.write(A, TEXT, b"port");
    let value = |name: &&str| match *name {
        "handle" | "listener" => handle,
        "address" | "address_out" | "peer_out" => ADDRESS.into(),
        "text" | "bytes" | "key" | "name" => TEXT.into(),
        "key_length" | "length" | "name_length" => 4,
        "buffer" | "addresses_out" => BUFFER.into(),
        "capacity" => 8,
        "entries" => ENTRIES.into(),
        "count" => 1,
        "flags" => 1,
        "index" | "level" | "how" | "option" | "code" | "kind" => 0,
        "backlog" => 1,
        "value" | "duration_ns" | "timeout_ns" => 0,
        other => panic!("what is the parameter {other} of {}?", call.name()),
    };
    parameters.iter().map(value).collect()
}

pub(super) fn is_pointer(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "address_out"
            | "peer_out"
            | "text"
            | "bytes"
            | "key"
            | "name"
            | "buffer"
            | "addresses_out"
            | "entries"
    )
}

#[test]
fn pointers_that_lie_are_refused_by_every_call() {
    let mut checked = 0;
    for &call in CallId::ALL {
        for (position, name) in call.parameter_names().iter().enumerate() {
            if !is_pointer(name) {
                continue;
            }
            let end = MEMORY_BYTES as i64;
            for lie in [0, -1, -8, end, end - 3, i64::from(i32::MIN), 0xffff_fff0] {
                // A null peer means that none is wanted.
                if lie == 0 && *name == "peer_out" {
                    continue;
                }
                let mut world = World::new();
                let mut arguments = arguments(&mut world, call);
                arguments[position] = lie;
                let before = world.instances[A].memory.clone();
                let result = world.done(A, call, &arguments);
                let expected = Err(ErrorCode::BadPointer);
                assert_eq!(result, expected, "{} with {name} = {lie}", call.name());
                assert!(world.instances[A].memory == before, "{} wrote", call.name());
                checked += 1;
            }
        }
    }
    assert!(checked > 150, "{checked}");
}

#[test]
fn lengths_that_lie_are_refused_by_every_call() {
    for &call in CallId::ALL {
        for (position, name) in call.parameter_names().iter().enumerate() {
            if !matches!(
                *name,
                "length" | "key_length" | "name_length" | "capacity" | "count"
            ) {
                continue;
            }
            for lie in [-1, i64::from(i32::MAX), i64::from(i32::MIN)] {
                let mut world = World::new();
                let mut arguments = arguments(&mut world, call);
                arguments[position] = lie;
                let result = world.done(A, call, &arguments);
                let is_refused = matches!(
                    result,
                    Err(ErrorCode::BadPointer | ErrorCode::InvalidArgument)
                );
                assert!(
                    is_refused,
                    "{} with {name} = {lie}: {result:?}",
                    call.name()
                );
            }
        }
    }
}

#[test]
fn a_memory_that_changed_during_a_wait_is_checked_again() {
    let mut world = World::new();
    let (_, server, client) = world.connected();
    let read = [server, MEMORY_BYTES as i64 - 8, 8, 0];
    assert_eq!(world.call(A, CallId::TcpRead, &read), Outcome::Blocked);
    world.write(B, TEXT, b"12345678");
    world
        .done(B, CallId::TcpWrite, &[client, TEXT.into(), 8, 0])
        .unwrap();
    world.run(Duration::from_millis(20));
    world.instances[A].memory.truncate(MEMORY_BYTES - 4);
    assert_eq!(outcome_result(world.retry(A)), Err(ErrorCode::BadPointer));
}

#[test]
fn unknown_flags_are_refused_by_every_call() {
    for &call in CallId::ALL {
        let Some(position) = call
            .parameter_names()
            .iter()
            .position(|name| *name == "flags")
        else {
            continue;
        };
        for flags in [4, 0x8000_0001_u32.into(), -1] {
            let mut world = World::new();
            let mut arguments = arguments(&mut world, call);
            arguments[position] = flags;
            let result = world.done(A, call, &arguments);
            assert_eq!(
                result,
                Err(ErrorCode::InvalidArgument),
                "{} {flags}",
                call.name()
            );
        }
    }
}
