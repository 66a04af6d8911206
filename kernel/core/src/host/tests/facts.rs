//! Arguments, configuration, identity, random numbers, exit.

use super::*;
use crate::limits;

/// What a call copies out with this much room, and the length that it tells.
fn text(world: &mut World, call: CallId, arguments: &[i64], capacity: usize) -> (String, i32) {
    world.write(A, BUFFER, &[b'.'; 64]);
    let mut all = arguments.to_vec();
    all.extend([i64::from(BUFFER), capacity as i64]);
    let length = world.done(A, call, &all).unwrap();
    let copied = world.read(A, BUFFER, 64);
    assert!(
        copied[capacity..].iter().all(|&byte| byte == b'.'),
        "written past the capacity"
    );
    let end = capacity.min(length as usize);
    (String::from_utf8_lossy(&copied[..end]).into_owned(), length)
}

#[test]
fn arguments_are_counted_and_copied() {
    let mut world = World::new();
    assert_eq!(world.done(A, CallId::ArgsCount, &[]), Ok(2));
    assert_eq!(
        text(&mut world, CallId::ArgGet, &[0], 64),
        ("first".into(), 5)
    );
    assert_eq!(
        text(&mut world, CallId::ArgGet, &[1], 4),
        ("zwei".into(), 10)
    );
    assert_eq!(text(&mut world, CallId::ArgGet, &[1], 0), ("".into(), 10));
    for index in [2, -1, i64::from(i32::MAX)] {
        let arguments = [index, BUFFER.into(), 64];
        assert_eq!(
            world.done(A, CallId::ArgGet, &arguments),
            Err(ErrorCode::NotFound)
        );
    }
}

#[test]
fn configuration_is_found_by_key_and_listed_in_order() {
    let mut world = World::new();
    let mut value = |key: &str| {
        world.write(A, TEXT, key.as_bytes());
        let arguments = [TEXT.into(), key.len() as i64, BUFFER.into(), 64];
        world.done(A, CallId::ConfigGet, &arguments)
    };
    assert_eq!(value("port"), Ok(2));
    assert_eq!(value("a"), Ok(0));
    for absent in ["", "por", "ports", "Port", "\u{0}"] {
        assert_eq!(value(absent), Err(ErrorCode::NotFound), "{absent}");
    }
    let keys: Vec<String> = (0..3)
        .map(|index| text(&mut world, CallId::ConfigKey, &[index], 64).0)
        .collect();
    assert_eq!(keys, ["a", "b", "port"]);
    let past = [3, BUFFER.into(), 64];
    assert_eq!(
        world.done(A, CallId::ConfigKey, &past),
        Err(ErrorCode::NotFound)
    );
}

#[test]
fn identity_is_told() {
    let mut world = World::new();
    assert_eq!(
        text(&mut world, CallId::InstanceName, &[], 64),
        ("web".into(), 3)
    );
    assert_eq!(
        text(&mut world, CallId::NodeName, &[], 4),
        ("node".into(), 6)
    );
    assert_eq!(world.call(A, CallId::Generation, &[]), Outcome::Done(7));
}

#[test]
fn random_bytes_depend_on_the_seed_alone_and_differ_from_call_to_call() {
    let draw = |world: &mut World, who| {
        assert_eq!(
            world.done(who, CallId::Random, &[BUFFER.into(), 32]),
            Ok(32)
        );
        world.read(who, BUFFER, 32).to_vec()
    };
    let mut world = World::new();
    let (first, second, other) = (
        draw(&mut world, A),
        draw(&mut world, A),
        draw(&mut world, B),
    );
    assert_ne!(first, second);
    assert_eq!(first, other);
    let seeded = setup(world.clock.clone(), Stack::new(StackLimits::default(), 0));
    world.guest(A).random = Guest::new(GuestSetup {
        random_seed: [43; 32],
        ..seeded
    })
    .random;
    assert_ne!(draw(&mut world, A), first);
    let many = [BUFFER.into(), 3 * limits::HOST_CALL_BYTES as i64 - 0x10000];
    assert_eq!(
        world.done(A, CallId::Random, &many),
        Ok(limits::HOST_CALL_BYTES as i32)
    );
}

#[test]
fn exit_ends_with_its_status() {
    for status in [0, 7, -1] {
        let mut world = World::new();
        assert_eq!(
            world.call(A, CallId::Exit, &[status.into()]),
            Outcome::Exit(status)
        );
        assert_eq!(world.guest(A).exit_status(), Some(status));
    }
}
