//! What operators ask, carried out.

use super::record::{Former, State};
use super::{Kernel, Next};
use crate::control::{
    ConsoleOutput, Control, ControlError, GuestLogRow, Numbered, Report, Request, SegmentState,
};
use crate::machine::Machine;
use crate::net::fabric::PortState;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The kernel as an operator sees it, for the length of one turn.
pub(super) struct Operator<'a> {
    pub kernel: &'a mut Kernel,
    pub machine: &'a mut dyn Machine,
}

impl Control for Operator<'_> {
    fn execute(&mut self, request: Request) -> Result<Report, ControlError> {
        let Operator { kernel, machine } = self;
        match request {
            Request::Instances => return Ok(Report::Instances(kernel.instance_rows())),
            Request::Inspect { name } => {
                let detail = kernel.instance_detail(kernel.key_of(&name)?);
                return Ok(Report::Instance(Box::new(detail)));
            }
            Request::Start { name } => {
                let key = kernel.key_of(&name)?;
                kernel.start(*machine, key)?;
            }
            Request::Stop { name } => {
                let key = kernel.key_of(&name)?;
                kernel.stop(key)?;
            }
            Request::Kill { name } => {
                let key = kernel.key_of(&name)?;
                kernel.kill(key)?;
            }
            Request::Pause { name } => {
                let key = kernel.key_of(&name)?;
                kernel.pause(key)?;
            }
            Request::Resume { name } => {
                let key = kernel.key_of(&name)?;
                if !kernel.resume_suspended(*machine, key)? {
                    kernel.resume(key)?;
                }
            }
            Request::Restart { name } => {
                let key = kernel.key_of(&name)?;
                kernel.records[key as usize].require_own()?;
                let former = &kernel.records[key as usize].former;
                if kernel.joint_of(key).is_some() || matches!(former, Some(Former::Nobody)) {
                    // It goes when it is given up, alone or with others, and with it what could be started.
                    return Err(ControlError::StillLoading(name));
                }
                if let State::Live(_) | State::Loading(_) = kernel.records[key as usize].state {
                    kernel.stop(key)?;
                }
                kernel.start(*machine, key)?;
            }
            Request::Logs { name, since } => return kernel.logs(&name, since),
            Request::ConsoleRead { name, since } => return kernel.console(&name, since),
            Request::ConsoleWrite { name, bytes } => kernel.type_at(&name, &bytes)?,
            Request::Segments => return Ok(Report::Segments(kernel.segment_rows())),
            Request::AddSwitch { name, uplink } => {
                if let Some(nic) = uplink.filter(|&nic| nic >= kernel.nics.len()) {
                    let text = format!("the machine has no nic{nic}; `uptime` lists its NICs");
                    return Err(ControlError::Network(text));
                }
                kernel.fabric.add_switch(&name, uplink)?;
            }
            Request::AddLink { name } => {
                kernel.fabric.add_link(&name)?;
            }
            Request::RemoveSegment { name } => kernel.fabric.remove_segment(&name)?,
            Request::SetSegment { name, state } => {
                let state = match state {
                    SegmentState::Up => PortState::Up,
                    SegmentState::Down => PortState::Down,
                };
                kernel.fabric.set_segment_state(&name, state)?;
            }
            Request::Network { name } => return kernel.network(name.as_deref()),
            Request::PingStart { from, to } => return kernel.ping_start(&from, to),
            Request::PingSend { ping, sequence } => kernel.ping_send(ping, sequence)?,
            Request::PingPoll { ping } => return kernel.ping_poll(ping),
            Request::PingStop { ping } => kernel.ping_stop(ping),
            Request::Events { since } => {
                let events = &kernel.journal.events;
                let entries = events.since(since).cloned().collect();
                return Ok(Report::Events(Numbered {
                    entries,
                    next: events.next_number(),
                }));
            }
            Request::KernelLog { since } => {
                let log = &kernel.journal.log;
                let entries = log.since(since).cloned().collect();
                return Ok(Report::KernelLog(Numbered {
                    entries,
                    next: log.next_number(),
                }));
            }
            Request::Node => return Ok(Report::Node(kernel.node_detail(*machine))),
            Request::Snapshot {
                name,
                to,
                cut,
                extent,
            } => {
                let kept = kernel.take_snapshot(*machine, &name, &to, cut, extent)?;
                return Ok(Report::Kept(kept));
            }
            Request::Snapshots => return Ok(Report::Snapshots(kernel.snapshots.rows())),
            Request::RemoveSnapshot { name } => {
                return Ok(Report::Removed(kernel.snapshots.forget(&name)?));
            }
            Request::SnapshotGroup {
                names,
                to,
                cut,
                extent,
            } => {
                let kept = kernel.take_group(*machine, &names, &to, cut, extent)?;
                return Ok(Report::Kept(kept));
            }
            Request::Restore {
                snapshot,
                to,
                addresses,
            } => {
                let to = to.as_deref();
                let made = kernel.restore_snapshot(*machine, &snapshot, to, &addresses)?;
                return Ok(Report::Made(made));
            }
            Request::Clone {
                name,
                to,
                count,
                addresses,
            } => {
                let to = to.as_deref();
                return kernel.clone_instance(*machine, &name, to, count, &addresses);
            }
            Request::CloneGroup {
                names,
                to,
                count,
                addresses,
            } => {
                let to = to.as_deref();
                let made = kernel.clone_group(*machine, &names, to, count, &addresses)?;
                return Ok(Report::Made(made));
            }
            Request::Suspend { name } => {
                let key = kernel.key_of(&name)?;
                kernel.suspend(*machine, key)?;
            }
            Request::Migrate { name, to, options } => {
                kernel.migrate(*machine, &name, &to, options)?;
            }
            Request::MigrateGroup { names, to, options } => {
                kernel.migrate_group(*machine, &names, &to, options)?;
            }
            Request::CancelMigration { name } => kernel.cancel_migration(*machine, &name)?,
            Request::ResolveMigration { name, owner } => {
                kernel.resolve_migration(*machine, &name, owner)?;
            }
            Request::Migrations => return Ok(Report::Migrations(kernel.migration_rows())),
            Request::Evacuate { to, options } => kernel.evacuate(&to, options)?,
            Request::Nodes => return Ok(Report::Nodes(kernel.node_rows(*machine)?)),
            Request::PowerOff => kernel.ending = Some(Next::PowerOff),
            Request::Reboot => kernel.ending = Some(Next::Reboot),
        }
        Ok(Report::Done)
    }

    fn outcome(&mut self, order: u32) -> Option<Result<Report, ControlError>> {
        let end = self.kernel.orders.take_end(order)?;
        Some(end.map(Report::Made))
    }

    fn instance_names(&self) -> Vec<String> {
        self.kernel
            .occupied()
            .map(|(_, record)| record.spec.name.clone())
            .collect()
    }

    fn snapshot_names(&self) -> Vec<String> {
        self.kernel.snapshots.names().cloned().collect()
    }

    fn segment_names(&self) -> Vec<String> {
        let now = self.kernel.clock.now();
        self.kernel
            .fabric
            .segments(now)
            .map(|segment| segment.name)
            .collect()
    }
}

impl Kernel {
    fn logs(&self, name: &str, since: u64) -> Result<Report, ControlError> {
        let record = &self.records[self.key_of(name)? as usize];
        let log = match &record.state {
            State::Live(live) => Some(&live.execution.guest().log),
            state => state.remains().map(|remains| &remains.log),
        };
        let Some(log) = log else {
            return Ok(Report::Logs(Numbered {
                entries: Vec::new(),
                next: 0,
            }));
        };
        let row = |entry: &crate::host::LogLine| GuestLogRow {
            time_nanos: entry.time.as_nanos(),
            level: entry.level.to_string(),
            text: entry.text.clone(),
        };
        let entries = log.since(since).map(row).collect();
        Ok(Report::Logs(Numbered {
            entries,
            next: log.next_number(),
        }))
    }

    fn console(&self, name: &str, since: u64) -> Result<Report, ControlError> {
        let record = &self.records[self.key_of(name)? as usize];
        let (console, live) = match &record.state {
            State::Live(live) => (Some(&live.execution.guest().streams.console), true),
            state => (
                state.remains().map(|remains| &remains.streams.console),
                matches!(state, State::Loading(_)),
            ),
        };
        let (bytes, next) = console.map_or((Vec::new(), 0), |console| {
            (console.since(since), console.next_number())
        });
        Ok(Report::Console(ConsoleOutput { bytes, next, live }))
    }

    fn type_at(&mut self, name: &str, bytes: &[u8]) -> Result<(), ControlError> {
        let key = self.key_of(name)?;
        self.records[key as usize].require_home()?;
        let Some(live) = self.records[key as usize].live() else {
            return Err(self.records[key as usize].not_running());
        };
        if live.execution.guest_mut().streams.feed(bytes) < bytes.len() {
            return Err(ControlError::ConsoleFull(name.into()));
        }
        self.try_wake(key);
        Ok(())
    }

    fn network(&self, name: Option<&str>) -> Result<Report, ControlError> {
        let details = match name {
            Some(name) => alloc::vec![self.network_detail(self.key_of(name)?)],
            None => self
                .occupied()
                .map(|(key, _)| self.network_detail(key))
                .collect(),
        };
        Ok(Report::Network(details))
    }
}
