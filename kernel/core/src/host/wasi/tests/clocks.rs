//! Clocks.

use super::*;
use crate::host::tests::WALL_NANOS;
use crate::machine::Time;

fn time(world: &mut World, clock: i64) -> u64 {
    let arguments = [clock, 0, OUT.into()];
    assert_eq!(
        world.wasi(A, WasiCall::ClockTimeGet, &arguments),
        Errno::Success
    );
    world.read_u64(A, OUT)
}

#[test]
fn each_clock_tells_its_own_time() {
    let mut world = World::new();
    world.advance(Duration::from_secs(2));
    // The node is five seconds older than the guest.
    assert_eq!(time(&mut world, 0), WALL_NANOS + 7_000_000_000);
    assert_eq!(time(&mut world, 1), 2_000_000_000);
    assert_eq!((time(&mut world, 2), time(&mut world, 3)), (0, 0));
    world
        .guest(A)
        .cpu
        .begin_slice(Time::from_nanos(6_000_000_000));
    assert_eq!(time(&mut world, 2), 1_000_000_000);
    world
        .guest(A)
        .cpu
        .end_slice(Time::from_nanos(6_500_000_000));
    world.advance(Duration::from_secs(1));
    assert_eq!(
        (time(&mut world, 2), time(&mut world, 3)),
        (500_000_000, 500_000_000)
    );
}

#[test]
fn monotonic_time_stands_while_the_guest_is_paused_and_wall_time_does_not() {
    let mut world = World::new();
    let (wall, monotonic) = (time(&mut world, 0), time(&mut world, 1));
    world.guest(A).clock.pause();
    world.advance(Duration::from_secs(10));
    assert_eq!(time(&mut world, 1), monotonic);
    assert_eq!(time(&mut world, 0), wall + 10_000_000_000);
}

#[test]
fn every_clock_has_a_resolution() {
    let mut world = World::new();
    for clock in 0..4 {
        let arguments = [clock, OUT.into()];
        assert_eq!(
            world.wasi(A, WasiCall::ClockResGet, &arguments),
            Errno::Success
        );
        assert_eq!(world.read_u64(A, OUT), 1);
    }
}

#[test]
fn unknown_clocks_are_refused() {
    let mut world = World::new();
    for clock in [4, -1] {
        let time = world.wasi(A, WasiCall::ClockTimeGet, &[clock, 0, OUT.into()]);
        let resolution = world.wasi(A, WasiCall::ClockResGet, &[clock, OUT.into()]);
        assert_eq!((time, resolution), (Errno::Inval, Errno::Inval));
    }
}
