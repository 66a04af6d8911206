//! Console and log.

use super::*;
use crate::limits;

fn log(world: &mut World, level: i64, text: &[u8]) -> Result<i32, ErrorCode> {
    world.write(A, TEXT, text);
    world.done(A, CallId::Log, &[level, TEXT.into(), text.len() as i64])
}

fn lines(world: &mut World) -> Vec<String> {
    world
        .guest(A)
        .log
        .since(0)
        .map(|line| line.text.clone())
        .collect()
}

#[test]
fn log_lines_keep_level_and_time() {
    let mut world = World::new();
    assert_eq!(log(&mut world, 1, b"odd"), Ok(3));
    let line = world.guest(A).log.since(0).next().unwrap().clone();
    assert_eq!((line.level, line.text.as_str()), (LogLevel::Warning, "odd"));
    assert_eq!(line.time, Time::from_nanos(5_000_000_000));
    assert_eq!(log(&mut world, 4, b"what"), Err(ErrorCode::InvalidArgument));
}

#[test]
fn text_is_cut_at_line_ends_and_made_harmless() {
    let mut world = World::new();
    log(&mut world, 2, b"one\r\ntwo\n\nfour\xff\x1b[2Jend\tx\n").unwrap();
    assert_eq!(
        lines(&mut world),
        ["one", "two", "", "four\u{fffd}\u{fffd}[2Jend\tx"]
    );
}

#[test]
fn a_long_line_is_split_between_characters() {
    let mut world = World::new();
    let text = "€".repeat(limits::LOG_LINE_BYTES);
    log(&mut world, 2, text.as_bytes()).unwrap();
    let lines = lines(&mut world);
    assert_eq!(lines.concat(), text);
    assert!(
        lines.len() == 4
            && lines
                .iter()
                .all(|line| line.len() <= limits::LOG_LINE_BYTES)
    );
}

#[test]
fn a_full_log_drops_the_oldest_and_counts() {
    let mut world = World::new();
    for number in 0..1000u32 {
        log(&mut world, 2, alloc::format!("{number:04}").as_bytes()).unwrap();
    }
    let ring = &world.guest(A).log;
    assert_eq!(ring.next_number(), 1000);
    assert_eq!(ring.dropped_bytes(), 4 * ring.dropped_lines());
    let kept = ring.since(0).count() as u64;
    assert_eq!(kept + ring.dropped_lines(), 1000);
    assert!(kept > 10 && kept < 200, "{kept}");
    assert_eq!(ring.since(999).next().unwrap().text, "0999");
    assert_eq!(ring.since(1000).count(), 0);
}

#[test]
fn empty_lines_are_bounded_too() {
    let mut world = World::new();
    log(&mut world, 2, &[b'\n'; 60_000]).unwrap();
    assert!(world.guest(A).log.since(0).count() < 200);
}

#[test]
fn a_log_flood_is_dearer_than_a_line() {
    let mut world = World::new();
    log(&mut world, 2, b"one").unwrap();
    let one = world.guest(A).cost();
    log(&mut world, 2, &[b'\n'; 10_000]).unwrap();
    assert!(world.guest(A).cost() > 1000 * one);
}

#[test]
fn console_output_keeps_the_newest_bytes_under_their_numbers() {
    let mut world = World::new();
    world.write(A, TEXT, b"hello");
    assert_eq!(
        world.done(A, CallId::ConsoleWrite, &[TEXT.into(), 5]),
        Ok(5)
    );
    assert_eq!(world.guest(A).streams.console.since(0), b"hello");
    assert_eq!(world.guest(A).streams.console.since(3), b"lo");
    let piece = limits::HOST_CALL_BYTES as i32;
    let arguments = [BUFFER.into(), 2 * limits::HOST_CALL_BYTES as i64];
    assert_eq!(world.done(A, CallId::ConsoleWrite, &arguments), Ok(piece));
    let ring = &world.guest(A).streams.console;
    assert_eq!(ring.next_number(), 5 + piece as u64);
    assert_eq!(ring.since(0).len(), limits::CONSOLE_OUTPUT_BYTES);
    assert_eq!(
        ring.first_number() + limits::CONSOLE_OUTPUT_BYTES as u64,
        ring.next_number()
    );
    assert_eq!(ring.since(u64::MAX), b"");
}

#[test]
fn reading_the_console_waits_for_typing() {
    let mut world = World::new();
    let read = [BUFFER.into(), 4, 0];
    assert_eq!(world.call(A, CallId::ConsoleRead, &read), Outcome::Blocked);
    assert_eq!(world.guest(A).call_deadline(), None);
    assert_eq!(world.retry(A), Outcome::Blocked);
    assert_eq!(world.guest(A).streams.feed(b"typed"), 5);
    assert_eq!(world.retry(A), Outcome::Done(4));
    assert_eq!(world.read(A, BUFFER, 4), b"type");
    assert_eq!(world.done(A, CallId::ConsoleRead, &read), Ok(1));
    assert_eq!(
        world.done(A, CallId::ConsoleRead, &[BUFFER.into(), 0, 0]),
        Ok(0)
    );
}

#[test]
fn reading_the_console_without_waiting_and_with_unknown_flags() {
    let mut world = World::new();
    let read = |flags| [i64::from(BUFFER), 4, flags];
    assert_eq!(
        world.done(A, CallId::ConsoleRead, &read(1)),
        Err(ErrorCode::WouldBlock)
    );
    assert_eq!(
        world.done(A, CallId::ConsoleRead, &read(2)),
        Err(ErrorCode::InvalidArgument)
    );
}

#[test]
fn typing_is_bounded() {
    let mut world = World::new();
    let typed = vec![b'x'; limits::CONSOLE_INPUT_BYTES + 10];
    assert_eq!(
        world.guest(A).streams.feed(&typed),
        limits::CONSOLE_INPUT_BYTES
    );
    assert_eq!(world.guest(A).streams.feed(b"more"), 0);
}
