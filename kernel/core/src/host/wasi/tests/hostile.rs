//! Every function of the table with every kind of lie.

use super::*;
use crate::host::tests::{MEMORY_BYTES, TEXT};

/// What a parameter is, by its name in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parameter {
    /// Points to something that the function reads or writes, whose length is the function's own or
    /// lies in the parameter after it.
    Pointer,
    /// How much lies at the pointer before it.
    Length,
    /// A descriptor.
    Descriptor,
    /// Anything else.
    Number,
}

fn parameter(call: WasiCall, name: &str) -> Parameter {
    match name {
        "argv" | "argv_buf" | "environ" | "environ_buf" | "count_out" | "bytes_out"
        | "resolution_out" | "time_out" | "stat_out" | "iovecs" | "read_out" | "written_out"
        | "prestat_out" | "path" | "old_path" | "new_path" | "buffer" | "used_out"
        | "position_out" | "fd_out" | "flags_out" | "subscriptions" | "events_out"
        | "events_count_out" => Parameter::Pointer,
        "iovecs_count" | "path_length" | "old_path_length" | "new_path_length"
        | "buffer_length" | "count" => Parameter::Length,
        "fd" | "old_fd" | "new_fd" | "from" | "to" => Parameter::Descriptor,
        "clock" | "precision" | "offset" | "length" | "advice" | "flags" | "rights_base"
        | "rights_inheriting" | "size" | "access_time" | "modification_time" | "set_flags"
        | "old_flags" | "directory_flags" | "open_flags" | "fd_flags" | "cookie" | "whence"
        | "status" | "signal" | "how" => Parameter::Number,
        other => panic!("what is the parameter {other} of {}?", call.name()),
    }
}

/// A world in which the function could succeed, and arguments with which it would.
fn sound(call: WasiCall) -> (World, Vec<i64>) {
    let (mut world, connection, client) = World::with_connection();
    world.client_writes(client, b"bytes");
    let connect = [crate::host::tests::ADDRESS.into(), 0];
    world
        .wait(B, sos_abi::CallId::TcpConnect, &connect)
        .unwrap();
    world.run(Duration::from_millis(20));
    world.guest(A).streams.feed(b"typed");
    world.iovecs(A, &[(BUFFER, 4)]);
    world.write(A, TEXT, b"name");
    let values = call
        .parameter_names()
        .iter()
        .map(|name| match parameter(call, name) {
            Parameter::Pointer => match *name {
                "iovecs" => IOVECS.into(),
                "path" | "old_path" | "new_path" => TEXT.into(),
                "buffer" => BUFFER.into(),
                "subscriptions" => SUBSCRIPTIONS.into(),
                "events_out" => EVENTS.into(),
                "argv_buf" | "environ_buf" => (BUFFER + 0x100).into(),
                "flags_out" | "bytes_out" => OUT2.into(),
                _ => OUT.into(),
            },
            Parameter::Length if matches!(*name, "iovecs_count" | "count") => 1,
            Parameter::Length => 4,
            Parameter::Descriptor => descriptor(call, connection),
            Parameter::Number => match *name {
                "how" => 1,
                "length" => 1,
                _ => 0,
            },
        });
    let values = values.collect();
    (world, values)
}

/// A descriptor for which the function is made.
fn descriptor(call: WasiCall, connection: i64) -> i64 {
    match call {
        WasiCall::SockAccept => LISTENER,
        WasiCall::FdPrestatGet => LISTENER,
        _ => connection,
    }
}

/// Functions that end the program or have nothing to be lied about.
fn is_without_claims(call: WasiCall) -> bool {
    matches!(
        call,
        WasiCall::ProcExit | WasiCall::SchedYield | WasiCall::ProcRaise
    )
}

#[test]
fn pointers_that_lie_are_refused_and_nothing_is_written() {
    let mut checked = 0;
    for &call in WasiCall::ALL {
        for (position, name) in call.parameter_names().iter().enumerate() {
            if parameter(call, name) != Parameter::Pointer {
                continue;
            }
            let end = MEMORY_BYTES as i64;
            for lie in [-1, end, end - 1, i64::from(i32::MIN), 0xffff_fffc] {
                let (mut world, mut arguments) = sound(call);
                arguments[position] = lie;
                let before = world.instances[A].memory.clone();
                let result = world.wasi(A, call, &arguments);
                // Without files some functions look at nothing but their descriptor.
                let is_refused = result != Errno::Success;
                assert!(
                    is_refused,
                    "{} with {name} = {lie}: {result:?}",
                    call.name()
                );
                assert!(world.instances[A].memory == before, "{} wrote", call.name());
                checked += 1;
            }
        }
    }
    assert!(checked > 200, "{checked}");
}

#[test]
fn lengths_that_lie_are_refused() {
    for &call in WasiCall::ALL {
        for (position, name) in call.parameter_names().iter().enumerate() {
            if parameter(call, name) != Parameter::Length {
                continue;
            }
            for lie in [-1, i64::from(i32::MAX), i64::from(i32::MIN)] {
                let (mut world, mut arguments) = sound(call);
                arguments[position] = lie;
                let result = world.wasi(A, call, &arguments);
                let is_refused = result != Errno::Success;
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
fn wild_buffers_are_refused_by_every_function_that_takes_buffers() {
    for &call in WasiCall::ALL {
        if !call.parameter_names().contains(&"iovecs") {
            continue;
        }
        let end = MEMORY_BYTES as u32;
        for wild in [
            (end - 3, 4),
            (u32::MAX, 1),
            (0, u32::MAX),
            (0xffff_fff0, 0x20),
        ] {
            let (mut world, arguments) = sound(call);
            world.iovecs(A, &[wild]);
            let before = world.instances[A].memory.clone();
            let result = world.wasi(A, call, &arguments);
            assert_eq!(result, Errno::Fault, "{} with {wild:x?}", call.name());
            assert!(world.instances[A].memory == before, "{} wrote", call.name());
        }
    }
}

#[test]
fn descriptors_that_are_not_open_are_refused_by_every_function() {
    for &call in WasiCall::ALL {
        for (position, name) in call.parameter_names().iter().enumerate() {
            if parameter(call, name) != Parameter::Descriptor {
                continue;
            }
            for lie in [5, 1023, 1024, i64::from(i32::MAX), -1] {
                let (mut world, mut arguments) = sound(call);
                arguments[position] = lie;
                let result = world.wasi(A, call, &arguments);
                assert_ne!(
                    result,
                    Errno::Success,
                    "{} with {name} = {lie}",
                    call.name()
                );
            }
        }
    }
}

#[test]
fn a_memory_that_shrank_during_a_wait_is_checked_again() {
    let (mut world, fd, client) = World::with_connection();
    world.iovecs(A, &[(MEMORY_BYTES as u32 - 8, 8)]);
    let read = [fd, IOVECS.into(), 1, OUT.into()];
    assert_eq!(world.call(A, WasiCall::FdRead, &read), Outcome::Blocked);
    world.client_writes(client, b"12345678");
    world.instances[A].memory.truncate(MEMORY_BYTES - 4);
    assert_eq!(errno(world.retry(A)), Errno::Fault);
}

#[test]
fn a_place_at_address_zero_is_a_place() {
    for &call in WasiCall::ALL {
        if is_without_claims(call) {
            continue;
        }
        for (position, name) in call.parameter_names().iter().enumerate() {
            if !name.ends_with("_out") {
                continue;
            }
            let (mut world, mut arguments) = sound(call);
            let expected = world.wasi(A, call, &arguments.clone());
            let (mut world, _) = sound(call);
            arguments[position] = 0;
            assert_eq!(world.wasi(A, call, &arguments), expected, "{}", call.name());
        }
    }
}
