//! Standard streams.

use super::*;
use crate::host::log::LogLevel;
use crate::host::streams::{OutputStream, Streams, StreamsTo};
use crate::limits;
use alloc::string::String;
use alloc::vec;

fn log(world: &mut World) -> Vec<(LogLevel, String)> {
    let lines = world.guest(A).log.since(0);
    lines.map(|line| (line.level, line.text.clone())).collect()
}

#[test]
fn output_goes_to_the_console_and_errors_to_the_log_by_lines_too() {
    let mut world = World::new();
    assert_eq!(world.fd_write(A, 1, b"out\n"), Ok(4));
    for part in [&b"one "[..], b"line\nand", b" another\n\nrest"] {
        assert_eq!(world.fd_write(A, 2, part), Ok(part.len() as u32));
    }
    let console = world.guest(A).streams.console.since(0);
    assert_eq!(console, b"out\none line\nand another\n\nrest");
    let warning = |text: &str| (LogLevel::Warning, String::from(text));
    let mut expected = vec![warning("one line"), warning("and another"), warning("")];
    assert_eq!(log(&mut world), expected);
    world.guest(A).finish_error_line();
    expected.push(warning("rest"));
    assert_eq!(log(&mut world), expected);
}

#[test]
fn an_error_line_without_end_is_cut_rather_than_kept() {
    let mut world = World::new();
    let long = vec![b'x'; 3 * limits::LOG_LINE_BYTES + 5];
    assert_eq!(world.fd_write(A, 2, &long), Ok(long.len() as u32));
    let lines = log(&mut world);
    assert_eq!(lines.len(), 3);
    assert!(
        lines
            .iter()
            .all(|(_, text)| text.len() == limits::LOG_LINE_BYTES)
    );
}

#[test]
fn several_buffers_are_one_write_and_one_read() {
    let mut world = World::new();
    world.write(A, BUFFER, b"Hello, ");
    world.write(A, BUFFER + 0x100, b"world");
    world.iovecs(A, &[(BUFFER, 7), (0xffff_ffff, 0), (BUFFER + 0x100, 5)]);
    let arguments = [1, IOVECS.into(), 3, OUT.into()];
    assert_eq!(world.wasi(A, WasiCall::FdWrite, &arguments), Errno::Success);
    assert_eq!(world.read_u32(A, OUT), 12);
    assert_eq!(world.guest(A).streams.console.since(0), b"Hello, world");
    world.guest(A).streams.feed(b"typed text");
    world.iovecs(
        A,
        &[(BUFFER, 2), (BUFFER + 0x100, 0), (BUFFER + 0x200, 100)],
    );
    let arguments = [0, IOVECS.into(), 3, OUT.into()];
    assert_eq!(world.wasi(A, WasiCall::FdRead, &arguments), Errno::Success);
    assert_eq!(world.read_u32(A, OUT), 10);
    assert_eq!(world.read(A, BUFFER, 2), b"ty");
    assert_eq!(world.read(A, BUFFER + 0x200, 8), b"ped text");
}

#[test]
fn input_waits_unless_told_not_to_and_ends() {
    let mut world = World::new();
    world.iovecs(A, &[(BUFFER, 16)]);
    let read = [0, IOVECS.into(), 1, OUT.into()];
    assert_eq!(world.call(A, WasiCall::FdRead, &read), Outcome::Blocked);
    assert_eq!(world.guest(A).call_deadline(), None);
    assert_eq!(world.retry(A), Outcome::Blocked);
    world.guest(A).streams.feed(b"hi");
    assert_eq!(errno(world.retry(A)), Errno::Success);
    assert_eq!(world.read(A, BUFFER, 2), b"hi");
    let nonblock = [0, wire::fd_flags::NONBLOCK.into()];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetFlags, &nonblock),
        Errno::Success
    );
    assert_eq!(world.wasi(A, WasiCall::FdRead, &read), Errno::Again);
    world.guest(A).streams.end_input();
    assert_eq!(world.fd_read(A, 0, 16), Ok(Vec::new()));
}

#[test]
fn a_full_pipe_holds_the_writer_and_loses_nothing() {
    let mut world = World::new();
    world.guest(A).streams = Streams::new(StreamsTo::Pipes);
    let all = vec![b'p'; limits::STREAM_BYTES];
    assert_eq!(world.fd_write(A, 1, &all), Ok(all.len() as u32));
    world.write(A, BUFFER, b"more");
    world.iovecs(A, &[(BUFFER, 4)]);
    let write = [1, IOVECS.into(), 1, OUT.into()];
    assert_eq!(world.call(A, WasiCall::FdWrite, &write), Outcome::Blocked);
    assert_eq!(
        world.guest(A).streams.take(OutputStream::Output, 3).len(),
        3
    );
    assert_eq!(errno(world.retry(A)), Errno::Success);
    assert_eq!(world.read_u32(A, OUT), 3);
}

#[test]
fn streams_go_one_way_only() {
    let mut world = World::new();
    assert_eq!(world.fd_write(A, 0, b"x"), Err(Errno::NotCapable));
    for fd in [1, 2] {
        assert_eq!(world.fd_read(A, fd, 1), Err(Errno::NotCapable));
    }
}
