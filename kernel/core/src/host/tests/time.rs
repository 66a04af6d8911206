//! Clocks, sleeping, giving way; time that stops with the instance.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn monotonic(world: &mut World) -> u64 {
    match world.call(A, CallId::ClockMonotonic, &[]) {
        Outcome::Done(nanoseconds) => nanoseconds,
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn guest_time_starts_at_zero_and_stands_while_paused() {
    let mut world = World::new();
    assert_eq!(monotonic(&mut world), 0);
    world.advance(SECOND);
    assert_eq!(monotonic(&mut world), 1_000_000_000);
    world.guest(A).clock.pause();
    world.advance(10 * SECOND);
    world.guest(A).clock.pause();
    assert_eq!(monotonic(&mut world), 1_000_000_000);
    world.guest(A).clock.resume();
    world.guest(A).clock.resume();
    world.advance(SECOND);
    assert_eq!(monotonic(&mut world), 2_000_000_000);
}

#[test]
fn wall_time_does_not_stand() {
    let mut world = World::new();
    world.guest(A).clock.pause();
    world.advance(SECOND);
    let expected = WALL_NANOS + 6_000_000_000;
    assert_eq!(
        world.call(A, CallId::ClockWall, &[]),
        Outcome::Done(expected)
    );
}

#[test]
fn a_sleep_ends_at_its_deadline_however_often_it_is_tried() {
    let mut world = World::new();
    assert_eq!(
        world.call(A, CallId::Sleep, &[10_000_000_000]),
        Outcome::Blocked
    );
    for _ in 0..9 {
        world.advance(SECOND);
        assert_eq!(world.retry(A), Outcome::Blocked);
    }
    assert_eq!(
        world.guest(A).call_deadline(),
        Some(Time::from_nanos(15_000_000_000))
    );
    world.advance(SECOND);
    assert_eq!(world.retry(A), Outcome::Done(0));
    assert!(!world.guest(A).is_blocked());
}

#[test]
fn a_pause_prolongs_a_sleep() {
    let mut world = World::new();
    assert_eq!(
        world.call(A, CallId::Sleep, &[2_000_000_000]),
        Outcome::Blocked
    );
    world.advance(SECOND);
    world.guest(A).clock.pause();
    assert_eq!(world.guest(A).next_deadline(), None);
    world.advance(10 * SECOND);
    world.guest(A).clock.resume();
    assert_eq!(
        world.guest(A).call_deadline(),
        Some(Time::from_nanos(17_000_000_000))
    );
    assert_eq!(world.retry(A), Outcome::Blocked);
    world.advance(SECOND);
    assert_eq!(world.retry(A), Outcome::Done(0));
}

#[test]
fn sleeps_of_nothing_and_of_less_and_for_ever() {
    let mut world = World::new();
    assert_eq!(world.done(A, CallId::Sleep, &[0]), Ok(0));
    assert_eq!(
        world.done(A, CallId::Sleep, &[-1]),
        Err(ErrorCode::InvalidArgument)
    );
    assert_eq!(world.call(A, CallId::Sleep, &[i64::MAX]), Outcome::Blocked);
    assert!(world.guest(A).call_deadline().is_some());
}

#[test]
fn giving_way_takes_one_turn() {
    let mut world = World::new();
    assert_eq!(world.call(A, CallId::YieldNow, &[]), Outcome::Blocked);
    let due = world.guest(A).call_deadline().unwrap();
    assert!(due <= world.clock.now());
    assert_eq!(world.retry(A), Outcome::Done(0));
}
