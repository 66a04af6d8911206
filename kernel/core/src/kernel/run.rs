//! Slices of execution, wake-ups and timers.

use super::Kernel;
use super::health::Health;
use super::record::{Activity, Ended, State};
use crate::instance::engine::{Retry, Stop};
use crate::log::EventKind;
use crate::machine::{Machine, Time};
use alloc::boxed::Box;

/// Slices that one instance may run in one turn while nothing else wants anything: the turn's
/// other work costs a few microseconds, which would show in a compute-bound program.
const SLICES_PER_TURN: usize = 8;

impl Kernel {
    /// Runs the instance that is furthest behind.
    pub(super) fn run_slices(&mut self, machine: &mut dyn Machine) {
        let Some(key) = self.run_queue.pick() else {
            return;
        };
        for _ in 0..SLICES_PER_TURN {
            self.run_slice(machine, key);
            let alone = self.run_queue.len() == 1 && self.run_queue.pick() == Some(key);
            let now = self.clock.now();
            let due = self.timers.first().is_some_and(|&(time, _)| time <= now);
            let tick = self.shell.next_tick().is_some_and(|due| due <= now);
            let moves = self.migrations_have_work();
            if !alone || due || tick || moves || machine.has_events() || self.fabric_has_work() {
                return;
            }
        }
    }

    /// One slice of one instance, and everything that follows from how it stopped.
    fn run_slice(&mut self, machine: &mut dyn Machine, key: u32) {
        let record = &mut self.records[key as usize];
        let live = match &mut record.state {
            State::Live(live) => live,
            State::Loading(_) => {
                // Why it could not start is how it ended.
                let _ = self.load_slice(machine, key);
                return;
            }
            State::Ended(..) => return,
        };
        let begin = self.clock.now();
        if let Some(requested) = live.requested.take() {
            record.usage.start_nanos = begin.since(requested).as_nanos() as u64;
        }
        let fuel = record.rate.fuel_for(record.throttle.slice());
        let fuel_before = live.execution.fuel_used();
        live.execution.guest_mut().cpu.begin_slice(begin);
        // A call that works in pieces does one of them in each slice, and pays for it like computing.
        let in_pieces = live.execution.guest().works_in_pieces();
        let stop = match in_pieces && live.execution.retry() == Retry::StillBlocked {
            true => Stop::Blocked,
            false => live.execution.run(fuel),
        };
        let fuel_used = live.execution.fuel_used() - fuel_before;
        machine.charge_fuel(fuel_used);
        let end = self.clock.now();
        live.execution.guest_mut().cpu.end_slice(end);
        let used = end.since(begin);
        self.run_queue.charge(key, &mut record.account, used);
        record.throttle.ran(end, used);
        record.usage.cpu_nanos += used.as_nanos() as u64;
        record.usage.slices += 1;
        self.busy_nanos += used.as_nanos() as u64;
        let exhausted = live.execution.take_exhausted();
        let reached = live.execution.reached_limits();
        let reached = reached.union(live.execution.guest().reached_limits());
        let reached = reached.without(record.limits_told);
        if !reached.is_empty() {
            for limit in reached.iter() {
                let (name, detail) = (&record.spec.name, alloc::format!("{limit}"));
                self.journal
                    .event(end, name, EventKind::LimitReached, detail);
            }
            record.limits_told = record.limits_told.union(reached);
        }
        match stop {
            _ if exhausted => self.finish(key, Ended::OutOfMemory),
            Stop::OutOfFuel => {
                record.rate.learn(fuel_used, used);
                let is_quiet = live.execution.guest().open_handles() == 0;
                self.want_cpu(key);
                // A program that computes without sockets has nothing to send.
                if !is_quiet {
                    self.poll_network(key);
                }
            }
            Stop::Blocked => {
                live.activity = Activity::Waiting;
                self.poll_network(key);
            }
            Stop::Finished => self.finish(key, Ended::Exited(0)),
            Stop::Exited(code) => self.finish(key, Ended::Exited(code)),
            Stop::Trapped(trap) => self.finish(key, Ended::Trapped(Box::new(trap))),
        }
    }

    /// Lets a waiting instance look whether its call can go on.
    pub(super) fn try_wake(&mut self, key: u32) {
        let record = &mut self.records[key as usize];
        let State::Live(live) = &mut record.state else {
            return;
        };
        if live.activity != Activity::Waiting {
            return;
        }
        if live.execution.guest().works_in_pieces() || live.execution.retry() == Retry::Ready {
            live.activity = Activity::Runnable;
            self.want_cpu(key);
        }
    }

    /// Lets an instance that can run compete for the CPU, unless it has to rest.
    pub(super) fn want_cpu(&mut self, key: u32) {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        match record.throttle.rests_until(now) {
            None => self.run_queue.wake(key, &mut record.account),
            Some(_) => self.set_timer(key),
        }
    }

    /// Sets an instance's timer to the earliest of what its stack and its call want.
    pub(super) fn set_timer(&mut self, key: u32) {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        let rest = record.throttle.rests_until(now);
        let health = record.live().and_then(|live| live.health.as_ref());
        // One that is slowed down is not judged.
        let health = health.map(Health::due);
        let health = health.filter(|_| record.throttle.is_full());
        let wanted = match &mut record.state {
            State::Ended(..) => record.restart_due,
            State::Loading(_) => None,
            State::Live(live) => match live.activity {
                Activity::Paused(_) | Activity::Standing(_) => None,
                Activity::Stopping(until) => {
                    let network = live.execution.guest_mut().network_deadline();
                    Some(network.map_or(until, |time| time.min(until)))
                }
                Activity::Runnable => {
                    let network = live.execution.guest_mut().network_deadline();
                    network.into_iter().chain(health).chain(rest).min()
                }
                Activity::Waiting => {
                    let deadline = live.execution.guest_mut().next_deadline();
                    deadline.into_iter().chain(health).min()
                }
            },
        };
        if wanted == record.timer {
            return;
        }
        if let Some(old) = record.timer {
            self.timers.remove(&(old, key));
        }
        if let Some(new) = wanted {
            self.timers.insert((new, key));
        }
        record.timer = wanted;
    }

    /// Serves every timer that is due.
    pub(super) fn fire_timers(&mut self, machine: &mut dyn Machine, now: Time) {
        // A timer that is set again to the past waits for the next turn: a turn is bounded.
        for _ in 0..self.timers.len() {
            let Some(&(time, key)) = self.timers.first() else {
                break;
            };
            if time > now {
                break;
            }
            self.timers.remove(&(time, key));
            let record = &mut self.records[key as usize];
            record.timer = None;
            match &record.state {
                State::Ended(..) if record.restart_due.is_some() => {
                    self.restart_by_policy(machine, key)
                }
                State::Ended(..) | State::Loading(_) => {}
                State::Live(live) => match live.activity {
                    Activity::Stopping(until) if until <= now => self.drop_stopped(key),
                    Activity::Stopping(_) => {
                        self.poll_network(key);
                        self.drop_if_quiet(key);
                    }
                    Activity::Runnable => {
                        self.want_cpu(key);
                        self.poll_network(key);
                    }
                    Activity::Waiting | Activity::Paused(_) | Activity::Standing(_) => {
                        self.poll_network(key);
                    }
                },
            }
        }
    }
}
