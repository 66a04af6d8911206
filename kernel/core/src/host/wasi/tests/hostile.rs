//! Every function of the table: in a case in which it succeeds, and with every kind of lie.

use super::super::descriptors::{Descriptor, Kind};
use super::super::rights::{self, Rights};
use super::*;
use crate::files::{FileSystem, Follow, InodeId};
use crate::host::tests::{ADDRESS, MEMORY_BYTES, TEXT};

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

/// Names of four bytes: a file, a link and a directory that are there, and nothing.
const FILE: u32 = TEXT;
const LINK: u32 = TEXT + 0x10;
const DIRECTORY: u32 = TEXT + 0x20;
const NEW: u32 = TEXT + 0x30;

/// The kinds of descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Input,
    Output,
    Listener,
    Connection,
    Directory,
    File,
}

const KINDS: [Open; 6] = [
    Open::Input,
    Open::Output,
    Open::Listener,
    Open::Connection,
    Open::Directory,
    Open::File,
];

impl Open {
    /// Its number in the worlds of this file.
    fn number(self) -> i64 {
        match self {
            Open::Input => 0,
            Open::Output => 1,
            Open::Listener => LISTENER,
            Open::Connection => 4,
            Open::Directory => 5,
            Open::File => 6,
        }
    }
}

/// Kinds of descriptors for which a function does something.
fn fitting(call: WasiCall) -> &'static [Open] {
    use Open::*;
    match call {
        WasiCall::FdRead => &[Input, Connection, File],
        WasiCall::FdWrite => &[Output, Connection, File],
        WasiCall::FdPread
        | WasiCall::FdPwrite
        | WasiCall::FdSeek
        | WasiCall::FdTell
        | WasiCall::FdAdvise
        | WasiCall::FdAllocate
        | WasiCall::FdFilestatSetSize => &[File],
        WasiCall::FdSync | WasiCall::FdDatasync | WasiCall::FdFilestatSetTimes => {
            &[File, Directory]
        }
        WasiCall::FdPrestatGet => &[Directory, Listener, Connection],
        WasiCall::FdPrestatDirName | WasiCall::FdReaddir => &[Directory],
        WasiCall::SockAccept => &[Listener],
        WasiCall::SockRecv | WasiCall::SockSend | WasiCall::SockShutdown => &[Connection],
        _ if call.name().starts_with("path_") => &[Directory],
        _ => &[File, Directory, Connection, Listener, Output, Input],
    }
}

/// A world in which every function can succeed.
fn world() -> World {
    let (mut world, connection, client) = World::with_connection();
    assert_eq!(connection, Open::Connection.number());
    world.client_writes(client, b"bytes");
    world
        .wait(B, sos_abi::CallId::TcpConnect, &[ADDRESS.into(), 0])
        .unwrap();
    world.run(Duration::from_millis(20));
    world.guest(A).streams.feed(b"typed");
    world.iovecs(A, &[(BUFFER, 4)]);
    let places = [
        (FILE, b"file"),
        (LINK, b"link"),
        (DIRECTORY, b"dir_"),
        (NEW, b"new_"),
    ];
    for (at, name) in places {
        world.write(A, at, name);
    }
    let guest = world.guest(A);
    guest.open_directory("/", InodeId::ROOT).unwrap();
    make_files(&mut guest.files);
    let inode = guest.files.lookup(InodeId::ROOT, b"file", Follow::Follow);
    let inode = inode.unwrap();
    guest.files.retain(inode).unwrap();
    let file = Descriptor::new(
        Kind::File { inode, position: 0 },
        Rights::only(rights::FILE),
    );
    assert_eq!(guest.descriptors.insert(file), Ok(6));
    world
}

fn make_files(files: &mut FileSystem) {
    let root = InodeId::ROOT;
    files.create_directory(root, b"dir_", 0).unwrap();
    files.symbolic_link(b"file", root, b"link", 0).unwrap();
    let options = crate::files::OpenOptions {
        create: crate::files::Create::IfMissing,
        ..Default::default()
    };
    let inode = files.open(root, b"file", options, 0).unwrap();
    files.write_at(inode, 0, b"contents", 0).unwrap();
    files.release(inode);
}

/// Arguments with which the function succeeds in [`world`] on this kind of descriptor.
fn arguments(call: WasiCall, open: Open) -> Vec<i64> {
    let path = match call {
        WasiCall::PathCreateDirectory => NEW,
        WasiCall::PathReadlink => LINK,
        WasiCall::PathRemoveDirectory => DIRECTORY,
        WasiCall::FdPrestatDirName => BUFFER,
        _ => FILE,
    };
    let value = |name: &&str| match parameter(call, name) {
        Parameter::Pointer => match *name {
            "iovecs" => IOVECS.into(),
            "path" | "old_path" => path.into(),
            "new_path" => NEW.into(),
            "buffer" => BUFFER.into(),
            "subscriptions" => SUBSCRIPTIONS.into(),
            "events_out" => EVENTS.into(),
            "argv_buf" | "environ_buf" => (BUFFER + 0x100).into(),
            "flags_out" | "bytes_out" => OUT2.into(),
            _ => OUT.into(),
        },
        Parameter::Length if matches!(*name, "iovecs_count" | "count") => 1,
        Parameter::Length => 4,
        Parameter::Descriptor => open.number(),
        Parameter::Number if matches!(*name, "how" | "length") => 1,
        Parameter::Number => 0,
    };
    call.parameter_names().iter().map(value).collect()
}

/// A world and arguments with which the function succeeds.
fn sound(call: WasiCall) -> (World, Vec<i64>) {
    (world(), arguments(call, fitting(call)[0]))
}

/// Functions that do not return at once, whatever they are given.
fn ends_or_yields(call: WasiCall) -> bool {
    matches!(call, WasiCall::ProcExit | WasiCall::SchedYield)
}

#[test]
fn every_function_succeeds_on_every_kind_of_descriptor_that_it_is_made_for() {
    for &call in WasiCall::ALL {
        if ends_or_yields(call) {
            continue;
        }
        for &open in fitting(call) {
            let result = world().wasi(A, call, &arguments(call, open));
            assert_eq!(result, Errno::Success, "{} on {open:?}", call.name());
        }
    }
}

#[test]
fn every_function_refuses_the_other_kinds_of_descriptors() {
    for &call in WasiCall::ALL {
        for open in KINDS {
            if fitting(call).contains(&open) {
                continue;
            }
            let result = world().wasi(A, call, &arguments(call, open));
            let is_fitting = matches!(
                result,
                Errno::NotSock
                    | Errno::NotConn
                    | Errno::NotDir
                    | Errno::NotCapable
                    | Errno::IsDir
                    | Errno::SPipe
                    | Errno::Inval
                    | Errno::BadF
            );
            assert!(is_fitting, "{} on {open:?}: {result:?}", call.name());
        }
    }
}

#[test]
fn every_function_asks_for_its_right() {
    for &call in WasiCall::ALL {
        let takes_descriptor = call
            .parameter_names()
            .iter()
            .any(|name| parameter(call, name) == Parameter::Descriptor);
        let needs_none = matches!(
            call,
            WasiCall::FdClose
                | WasiCall::FdFdstatGet
                | WasiCall::FdFdstatSetRights
                | WasiCall::FdRenumber
                | WasiCall::FdPrestatGet
                | WasiCall::FdPrestatDirName
        );
        if !takes_descriptor || needs_none {
            continue;
        }
        for &open in fitting(call) {
            let mut world = world();
            let none = [open.number(), 0, 0];
            assert_eq!(
                world.wasi(A, WasiCall::FdFdstatSetRights, &none),
                Errno::Success
            );
            let result = world.wasi(A, call, &arguments(call, open));
            assert_eq!(result, Errno::NotCapable, "{} on {open:?}", call.name());
        }
    }
}

#[test]
fn pointers_that_lie_are_refused_and_nothing_happens() {
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
                let memory = world.instances[A].memory.clone();
                let files = world.guest(A).files.clone();
                let result = world.wasi(A, call, &arguments);
                let expected = Errno::Fault;
                assert_eq!(result, expected, "{} with {name} = {lie}", call.name());
                assert!(
                    world.instances[A].memory == memory,
                    "{} wrote with {name} = {lie}",
                    call.name()
                );
                assert!(
                    world.guest(A).files == files,
                    "{} acted with {name} = {lie}",
                    call.name()
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 250, "{checked}");
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
                let is_refused = matches!(result, Errno::Fault | Errno::Inval);
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
            for &open in fitting(call) {
                let mut world = world();
                world.iovecs(A, &[wild]);
                let before = world.instances[A].memory.clone();
                let result = world.wasi(A, call, &arguments(call, open));
                assert_eq!(result, Errno::Fault, "{} with {wild:x?}", call.name());
                assert!(world.instances[A].memory == before, "{} wrote", call.name());
            }
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
            for lie in [7, 1023, 1024, i64::from(i32::MAX), -1] {
                let (mut world, mut arguments) = sound(call);
                arguments[position] = lie;
                let result = world.wasi(A, call, &arguments);
                assert_eq!(result, Errno::BadF, "{} with {name} = {lie}", call.name());
            }
        }
    }
}

#[test]
fn numbers_that_lie_never_do_harm() {
    let mut refused = 0;
    for &call in WasiCall::ALL {
        if ends_or_yields(call) || call == WasiCall::ProcRaise {
            continue;
        }
        for (position, name) in call.parameter_names().iter().enumerate() {
            if parameter(call, name) != Parameter::Number {
                continue;
            }
            for lie in [-1, i64::MIN, i64::MAX, i64::from(i32::MIN), 0xffff] {
                let (mut world, mut arguments) = sound(call);
                arguments[position] = lie;
                refused += i32::from(world.wasi(A, call, &arguments) != Errno::Success);
            }
        }
    }
    assert!(refused > 60, "{refused}");
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
        for (position, name) in call.parameter_names().iter().enumerate() {
            if !name.ends_with("_out") {
                continue;
            }
            let (mut world, mut arguments) = sound(call);
            arguments[position] = 0;
            let result = world.wasi(A, call, &arguments);
            assert_eq!(result, Errno::Success, "{} with {name} = 0", call.name());
        }
    }
}
