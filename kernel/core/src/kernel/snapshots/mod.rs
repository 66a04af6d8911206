//! What an operator does with snapshots of single instances: take, restore, clone, suspend and resume.
//!
//! None of these copies pages: a snapshot is kept as the cut that it is (`store`), and its file is made when
//! it leaves the node (`operator::snapshots`). Groups are in `group`.

mod store;

pub(super) use store::{Facts, Origin, Snapshots};

use super::Kernel;
use super::anew::{addresses_of, check_addresses};
use super::copies::Wanted;
use super::lifecycle::Farewell;
use super::record::{Ended, State};
use crate::control::{ControlError, CutMode, Extent, KeptRow, MadeRow, PortAddress, Report};
use crate::host::Revival;
use crate::image;
use crate::limits;
use crate::log::EventKind;
use crate::machine::Machine;
use crate::snapshot::format::SnapshotId;
use crate::snapshot::{Cut, Taken};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use rand_core::RngCore;

impl Kernel {
    /// Takes a snapshot of an instance and keeps it.
    ///
    /// # Errors
    /// The instance is as it was: it does not run, cannot be captured, or there is no room.
    pub(super) fn take_snapshot(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        to: &str,
        mode: CutMode,
        extent: Extent,
    ) -> Result<Vec<KeptRow>, ControlError> {
        let key = self.key_of(name)?;
        self.snapshots.admit(to)?;
        let parent = self.snapshots.parent_for(name, extent)?;
        if mode == CutMode::Stopping {
            self.records[key as usize].require_own()?;
        }
        self.admit_cut(machine, key)?;
        if mode == CutMode::Stopping {
            // What the guest has just said is on its way before it falls silent.
            self.poll_network(key);
        }
        let cut = self.cut(key)?;
        let facts = Facts {
            id: self.draw_snapshot_id(),
            parent,
            taken: match mode {
                CutMode::Running => Taken::Running,
                CutMode::Stopping => Taken::Stopping,
            },
            origin: Origin::Taken,
            group: None,
        };
        self.snapshots.keep(machine, to, cut, facts)?;
        let now = self.clock.now();
        self.journal
            .event(now, name, EventKind::Snapshot, to.into());
        if mode == CutMode::Stopping {
            self.take_apart(key, Ended::Stopped, Farewell::Silent);
            self.journal.event(now, name, EventKind::Stopped, to.into());
        }
        Ok(self.snapshots.kept(to, extent).into_iter().collect())
    }

    pub(super) fn draw_snapshot_id(&mut self) -> SnapshotId {
        let mut id = SnapshotId::default();
        self.random.fill_bytes(&mut id.0);
        id
    }

    /// Makes an instance of a snapshot, or of all of a group: the original, or another one called `to`.
    ///
    /// # Errors
    /// There is no such snapshot, the original runs, the name is taken, or it cannot be made.
    pub(super) fn restore_snapshot(
        &mut self,
        machine: &mut dyn Machine,
        snapshot: &str,
        to: Option<&str>,
        addresses: &[PortAddress],
    ) -> Result<Vec<MadeRow>, ControlError> {
        if to.is_none() && !addresses.is_empty() {
            return Err(ControlError::KeepsAddresses);
        }
        if let Some(group) = self.snapshots.group(snapshot) {
            return self.restore_group(machine, &group, to, addresses);
        }
        let found = self.snapshots.find(snapshot)?;
        let (revival, copy_bytes) = (found.revival(), found.cut.copy_bytes());
        let name = found.cut.spec.name.clone();
        self.admit_copy(machine, to.unwrap_or(&name), copy_bytes)?;
        let mut cut = Cut::clone(&self.snapshots.find(snapshot)?.cut);
        let now = self.clock.now();
        if let Some(to) = to {
            require_instance_name(to)?;
            check_addresses(addresses, &[&cut.spec], 1)?;
            let given = addresses_of(addresses, &name, 0);
            cut.frames.clear();
            let (_, row) = self.clone_cut(machine, cut, to, &given)?;
            self.journal
                .event(now, to, EventKind::Cloned, snapshot.into());
            return Ok([row].into());
        }
        self.restore(machine, cut, revival)?;
        self.snapshots.spend(&[snapshot.into()]);
        self.journal
            .event(now, &name, EventKind::Restored, snapshot.into());
        Ok([MadeRow::of(name)].into())
    }

    /// Makes another instance of a running one, or begins to make `count` of them.
    ///
    /// # Errors
    /// None is made: the name is taken, the instance cannot be captured, or the clone not be made.
    pub(super) fn clone_instance(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        to: Option<&str>,
        count: u32,
        addresses: &[PortAddress],
    ) -> Result<Report, ControlError> {
        if !(1..=limits::CLONES).contains(&count) {
            return Err(ControlError::TooManyClones(count));
        }
        let key = self.key_of(name)?;
        if let Some(to) = to {
            require_instance_name(to)?;
            if count == 1 && self.key_of(to).is_ok() {
                return Err(ControlError::NameTaken(to.into()));
            }
        }
        check_addresses(addresses, &[&self.records[key as usize].spec], count)?;
        self.admit_cut(machine, key)?;
        let mut cut = self.cut(key)?;
        cut.frames.clear();
        if count != 1 {
            let wanted = Wanted {
                original: name.into(),
                base: to.unwrap_or(name).into(),
                count,
                addresses: addresses.into(),
            };
            let order = self.order_copies(cut, wanted)?;
            return Ok(Report::Ordered { order });
        }
        let new = match to {
            Some(to) => String::from(to),
            None => self.numbered_name(name, &mut 1),
        };
        let given = addresses_of(addresses, name, 0);
        let (_, row) = self.clone_cut(machine, cut, &new, &given)?;
        let now = self.clock.now();
        self.journal
            .event(now, &new, EventKind::Cloned, name.into());
        Ok(Report::Made([row].into()))
    }

    /// The name with a number above `last` behind it that nobody has; `last` is its number then.
    pub(super) fn numbered_name(&self, base: &str, last: &mut u32) -> String {
        loop {
            *last += 1;
            let suffix = format!("-{last}");
            // Names are ASCII.
            let kept = base.len().min(limits::NAME_BYTES - suffix.len());
            let name = format!("{}{suffix}", base.get(..kept).unwrap_or_default());
            if self.key_of(&name).is_err() {
                return name;
            }
        }
    }

    /// Takes an instance apart and keeps what it needs to go on.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`], [`ControlError::RunOutside`], or it cannot be captured: it goes on.
    pub(super) fn suspend(
        &mut self,
        machine: &mut dyn Machine,
        key: u32,
    ) -> Result<(), ControlError> {
        self.records[key as usize].require_own()?;
        self.records[key as usize].require_settled()?;
        self.admit_cut(machine, key)?;
        self.poll_network(key);
        let mut cut = self.cut(key)?;
        // They stay where they are, and others come behind them.
        cut.frames.clear();
        let record = &mut self.records[key as usize];
        let ports = record.spec.ports.len();
        if let Some(live) = record.live() {
            let parked: Vec<_> = live.ports.drain(..ports).collect();
            parked.iter().for_each(|&port| self.fabric.hold(port));
            self.records[key as usize].parked = parked;
        }
        let record = &mut self.records[key as usize];
        record.suspended = Some(Box::new(cut));
        let name = record.spec.name.clone();
        self.take_apart(key, Ended::Suspended, Farewell::Silent);
        let now = self.clock.now();
        self.journal
            .event(now, &name, EventKind::Suspended, String::new());
        Ok(())
    }

    /// Lets an instance that was suspended go on; tells whether there was one.
    ///
    /// # Errors
    /// It cannot be made now; it stays suspended.
    pub(super) fn resume_suspended(
        &mut self,
        machine: &mut dyn Machine,
        key: u32,
    ) -> Result<bool, ControlError> {
        let record = &self.records[key as usize];
        // It stays until the instance lives, so that one that cannot be made now can be later.
        let (State::Ended(..), Some(cut)) = (&record.state, &record.suspended) else {
            return Ok(false);
        };
        let (name, copy_bytes) = (record.spec.name.clone(), cut.copy_bytes());
        self.admit_copy(machine, &name, copy_bytes)?;
        let Some(cut) = self.records[key as usize].suspended.as_deref().cloned() else {
            return Ok(false);
        };
        self.launch_cut(machine, key, cut, Revival::Continued)?;
        let now = self.clock.now();
        self.journal
            .event(now, &name, EventKind::Resumed, String::new());
        Ok(true)
    }
}

/// Whether an instance can be called so.
pub(super) fn require_instance_name(name: &str) -> Result<(), ControlError> {
    match image::is_name(name) {
        true => Ok(()),
        false => Err(ControlError::BadInstanceName(name.into())),
    }
}
