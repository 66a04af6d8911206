//! Ending, stopping, pausing and restarting instances; `starting` makes them.

use super::Kernel;
use super::record::{Activity, Ended, Former, Held, LoadingInstance, Remains, State};
use crate::control::ControlError;
use crate::host::{LogLevel, LogLine, LogRing, StreamsTo};
use crate::image::RestartPolicy;
use crate::instance::engine::Trap;
use crate::log::{EventKind, Severity};
use crate::machine::{Duration, Machine, Time};
use crate::net::fabric::PortId;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

/// How long a stopping instance's connections may take to close.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// The wait before the first restart; it doubles with each failure in a row.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// The longest wait before a restart.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// An instance that ran this long has not failed "in a row".
const STEADY: Duration = Duration::from_secs(60);

/// Whether an instance that is taken apart tells its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Its connections are closed, as far as one round of frames goes.
    Said,
    /// Not a frame: its connections go on elsewhere, or later.
    Silent,
}

impl Kernel {
    /// The key of the instance of this name.
    ///
    /// # Errors
    /// [`ControlError::NoSuchInstance`].
    pub(super) fn key_of(&self, name: &str) -> Result<u32, ControlError> {
        let found = self.occupied().find(|(_, record)| record.spec.name == name);
        match found {
            Some((key, _)) => Ok(key),
            None => Err(ControlError::NoSuchInstance(name.into())),
        }
    }

    /// Gives up what a suspended instance goes on from, and its place in the network.
    pub(super) fn give_up_suspended(&mut self, key: u32) {
        let record = &mut self.records[key as usize];
        record.suspended = None;
        let parked = core::mem::take(&mut record.parked);
        self.unplug(&parked);
    }

    /// Unplugs ports: what waits in them is dropped.
    pub(super) fn unplug(&mut self, ports: &[PortId]) {
        for port in ports {
            self.fabric.detach(*port);
            self.owners.remove(port);
        }
    }

    /// An instance ended by itself.
    pub(super) fn finish(&mut self, key: u32, ended: Ended) {
        let now = self.clock.now();
        let kind = match &ended {
            Ended::Exited(_) => EventKind::Exited,
            Ended::OutOfMemory => EventKind::OutOfMemory,
            Ended::Trapped(_) => EventKind::Trapped,
            Ended::Unhealthy(_) => EventKind::Unhealthy,
            Ended::Stopped => EventKind::Stopped,
            Ended::Killed => EventKind::Killed,
            Ended::Suspended => EventKind::Suspended,
            Ended::NeverStarted | Ended::StartFailed(_) => EventKind::StartFailed,
        };
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        if ended.is_failure() {
            let text = format!("instance '{name}' {}: {ended}", ended.word());
            self.journal.log(now, Severity::Warning, text);
        }
        self.journal.event(now, &name, kind, ended.to_string());
        if let (Ended::Trapped(trap), State::Live(live)) = (&ended, &mut record.state) {
            log_trap(&mut live.execution.guest_mut().log, now, trap);
        }
        let again = match record.spec.restart {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => ended.is_failure(),
            RestartPolicy::Always => !ended.by_operator(),
        };
        let ran = now.since(record.usage.started);
        self.take_apart(key, ended, Farewell::Said);
        if again {
            self.schedule_restart(key, now, ran);
        }
    }

    fn schedule_restart(&mut self, key: u32, now: Time, ran: Duration) {
        let record = &mut self.records[key as usize];
        record.failures = if ran >= STEADY { 0 } else { record.failures };
        let wait = FIRST_BACKOFF * (1 << record.failures.min(16));
        let wait = wait.min(LONGEST_BACKOFF);
        record.failures += 1;
        record.restart_due = Some(now + wait);
        let detail = format!("in {} ms", wait.as_millis());
        let name = record.spec.name.clone();
        self.journal
            .event(now, &name, EventKind::RestartScheduled, detail);
        self.set_timer(key);
    }

    pub(super) fn restart_by_policy(&mut self, machine: &mut dyn Machine, key: u32) {
        self.records[key as usize].restarts += 1;
        let _ = self.launch(machine, key);
    }

    /// Closes an instance's connections; it is gone when they are, or after a while.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`].
    pub(super) fn stop(&mut self, key: u32) -> Result<(), ControlError> {
        let now = self.clock.now();
        self.records[key as usize].require_home()?;
        if self.cancel_start(key) {
            return Ok(());
        }
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        if let State::Loading(_) = record.state {
            // What was to go on still can; only a kill gives it up.
            let (ended, kind) = match record.suspended {
                Some(_) => (Ended::Suspended, EventKind::Suspended),
                None => (Ended::Stopped, EventKind::Stopped),
            };
            self.journal.event(now, &name, kind, String::new());
            match self.joint_of(key) {
                Some(_) => self.abandon(key, &format!("'{name}' was stopped")),
                None => self.end_loading(key, ended),
            }
            return Ok(());
        }
        let State::Live(live) = &mut record.state else {
            return Err(ControlError::NotRunning(name));
        };
        if let Activity::Stopping(_) = live.activity {
            return Err(ControlError::NotRunning(name));
        }
        self.run_queue.remove(key, &mut record.account);
        if let Activity::Paused(_) = live.activity {
            live.execution.guest_mut().clock.resume();
        }
        live.activity = Activity::Stopping(now + STOP_PATIENCE);
        live.execution.guest_mut().stack.shutdown_all();
        self.journal
            .event(now, &name, EventKind::Stopped, String::new());
        self.poll_network(key);
        self.set_timer(key);
        self.drop_if_quiet(key);
        Ok(())
    }

    /// Forgets that an instance was to start, by its policy or at boot; tells whether it was.
    pub(super) fn cancel_start(&mut self, key: u32) -> bool {
        let record = &mut self.records[key as usize];
        if let Some(Former::Instance(former)) = &mut record.former {
            former.restart_due = None;
            former.failures = 0;
            former.starts_at_boot = false;
        }
        record.failures = 0;
        if record.restart_due.take().is_some() {
            self.set_timer(key);
            return true;
        }
        self.cancel_autostart(key)
    }

    /// Takes an instance out of those that still start at boot; tells whether it was among them.
    pub(super) fn cancel_autostart(&mut self, key: u32) -> bool {
        let before = self.autostart.len();
        self.autostart.retain(|&waiting| waiting != key);
        self.autostart.len() < before
    }

    /// Drops a stopping instance whose connections are closed.
    pub(super) fn drop_if_quiet(&mut self, key: u32) {
        let record = &mut self.records[key as usize];
        let quiet = match &mut record.state {
            State::Live(live) => {
                matches!(live.activity, Activity::Stopping(_))
                    && live.execution.guest().stack.sockets().is_empty()
            }
            State::Ended(..) | State::Loading(_) => false,
        };
        if quiet {
            self.drop_stopped(key);
        }
    }

    /// Drops a stopping instance.
    pub(super) fn drop_stopped(&mut self, key: u32) {
        self.take_apart(key, Ended::Stopped, Farewell::Said);
    }

    /// Ends an instance at once.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`].
    pub(super) fn kill(&mut self, key: u32) -> Result<(), ControlError> {
        let now = self.clock.now();
        self.records[key as usize].require_home()?;
        if self.cancel_start(key) {
            return Ok(());
        }
        let waits_for_others = self.joint_of(key).is_some();
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        match record.state {
            State::Ended(ref mut ended, _) if record.suspended.is_some() => {
                *ended = Ended::Killed;
                self.give_up_suspended(key);
            }
            State::Ended(..) => return Err(ControlError::NotRunning(name)),
            State::Loading(_) if waits_for_others => {
                self.abandon(key, &format!("'{name}' was killed"));
            }
            State::Loading(_) => {
                self.give_up_suspended(key);
                self.end_loading(key, Ended::Killed);
            }
            State::Live(_) => self.take_apart(key, Ended::Killed, Farewell::Said),
        }
        self.journal
            .event(now, &name, EventKind::Killed, String::new());
        Ok(())
    }

    /// Takes the CPU from an instance; its clock stops.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`], [`ControlError::StillLoading`] or
    /// [`ControlError::AlreadyPaused`].
    pub(super) fn pause(&mut self, key: u32) -> Result<(), ControlError> {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        record.require_settled()?;
        let name = record.spec.name.clone();
        let State::Live(live) = &mut record.state else {
            return Err(record.not_running());
        };
        let held = match live.activity {
            Activity::Runnable => Held::Runnable,
            Activity::Waiting => Held::Waiting,
            Activity::Paused(_) => return Err(ControlError::AlreadyPaused(name)),
            Activity::Standing(_) => return Err(ControlError::Moving(name)),
            Activity::Stopping(_) => return Err(ControlError::NotRunning(name)),
        };
        self.run_queue.remove(key, &mut record.account);
        live.activity = Activity::Paused(held);
        live.execution.guest_mut().clock.pause();
        self.journal
            .event(now, &name, EventKind::Paused, String::new());
        self.set_timer(key);
        Ok(())
    }

    /// Gives a paused instance the CPU again.
    ///
    /// # Errors
    /// [`ControlError::NotPaused`].
    pub(super) fn resume(&mut self, key: u32) -> Result<(), ControlError> {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        record.require_home()?;
        let State::Live(live) = &record.state else {
            return Err(ControlError::NotPaused(name));
        };
        let Activity::Paused(held) = live.activity else {
            return Err(ControlError::NotPaused(name));
        };
        self.go_on_from(key, held);
        self.journal
            .event(now, &name, EventKind::Resumed, String::new());
        self.poll_network(key);
        Ok(())
    }

    /// Gives a live instance that was held its time and the CPU again.
    pub(super) fn go_on_from(&mut self, key: u32, held: Held) {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        let State::Live(live) = &mut record.state else {
            return;
        };
        let guest = live.execution.guest_mut();
        guest.resume();
        if let (Some(health), Some(spec)) = (&mut live.health, &record.spec.health) {
            health.restart_after_pause(spec, &mut guest.stack, now);
        }
        live.activity = match held {
            Held::Runnable => Activity::Runnable,
            Held::Waiting => Activity::Waiting,
        };
        if held == Held::Runnable {
            self.want_cpu(key);
        }
    }

    /// Frees everything of a live instance but its log and console.
    pub(super) fn take_apart(&mut self, key: u32, ended: Ended, farewell: Farewell) {
        let record = &mut self.records[key as usize];
        self.run_queue.remove(key, &mut record.account);
        record.usage.run_nanos = self.clock.now().since(record.usage.started).as_nanos() as u64;
        record.last_end = match ended.to_string() {
            reason if reason.is_empty() => ended.word().into(),
            reason => format!("{}: {reason}", ended.word()),
        };
        let state = core::mem::replace(&mut record.state, State::Ended(ended.clone(), None));
        match state {
            State::Live(live) => {
                let mut guest = live.execution.into_guest();
                if farewell == Farewell::Said {
                    // Peers get what was written and learn of the end, once: nobody is left to repeat it.
                    guest.stack.shutdown_all();
                    guest.poll_network(&mut self.fabric);
                }
                for port in &live.ports {
                    self.fabric.detach(*port);
                    self.owners.remove(port);
                }
                guest.finish_error_line();
                let remains = Remains {
                    log: guest.log,
                    streams: guest.streams,
                    files: match record.streams_to {
                        StreamsTo::Console => None,
                        StreamsTo::Pipes => Some(guest.files),
                    },
                };
                record.state = State::Ended(ended, Some(Box::new(remains)));
            }
            State::Ended(_, remains) | State::Loading(LoadingInstance { remains, .. }) => {
                record.state = State::Ended(ended, remains);
            }
        }
        self.set_timer(key);
    }

    /// What an instance left when it last ended.
    pub(super) fn take_remains(&mut self, key: u32) -> Option<Box<Remains>> {
        match &mut self.records[key as usize].state {
            State::Ended(_, remains) | State::Loading(LoadingInstance { remains, .. }) => {
                remains.take()
            }
            State::Live(_) => None,
        }
    }
}

/// Writes into an instance's log why and where it trapped.
fn log_trap(log: &mut LogRing, time: Time, trap: &Trap) {
    let head = format!("trapped: {trap}");
    for text in [head].into_iter().chain(trap.backtrace.lines()) {
        log.push(LogLine {
            time,
            level: LogLevel::Error,
            text,
        });
    }
}
