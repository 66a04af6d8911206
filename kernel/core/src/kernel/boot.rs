//! What the boot module holds: an image, or a bundle of an image and snapshots.
//!
//! A snapshot goes the way of every file that comes (`arrival`), a piece in each turn, so that the node
//! answers meanwhile. As long as one is to be restored no instance is started: it may be in one's place. Those of
//! a group are restored together when the last of them has come.

use super::arrival::{Arrival, Settled};
use super::{BootInfo, Kernel};
use crate::image::{Bundle, Part, PartKind};
use crate::log::Severity;
use crate::machine::Machine;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

/// Bytes of a snapshot that are read in one turn.
const BYTES_PER_TURN: usize = 256 * 1024;

/// A snapshot of the boot module.
pub(super) struct BootSnapshot {
    part: Part<'static>,
    /// Bytes that were read.
    taken: usize,
    arrival: Option<Box<Arrival>>,
}

impl Kernel {
    /// Takes over a boot module.
    pub(super) fn load_module(&mut self, bytes: &'static [u8], boot: &BootInfo) {
        let parts = match Bundle::parse(bytes) {
            Ok(None) => return self.load(bytes, boot),
            Ok(Some(bundle)) => bundle.parts,
            Err(error) => return self.log(Severity::Error, format!("boot module: {error}")),
        };
        for part in parts {
            match part.kind {
                PartKind::Image => self.load(part.bytes, boot),
                PartKind::Snapshot | PartKind::Restored => {
                    self.boot_snapshots.push_back(BootSnapshot {
                        part,
                        taken: 0,
                        arrival: None,
                    });
                }
            }
        }
    }

    /// Whether instances wait for a snapshot that is to be restored.
    pub(super) fn holds_autostart(&self) -> bool {
        let mut snapshots = self.boot_snapshots.iter();
        snapshots.any(|snapshot| snapshot.part.kind == PartKind::Restored)
            || !self.boot_groups.is_empty()
    }

    /// Goes on with the first snapshot of the boot module.
    pub(super) fn advance_boot_snapshot(&mut self, machine: &mut dyn Machine) {
        let Some(mut snapshot) = self.boot_snapshots.pop_front() else {
            return;
        };
        let name = snapshot.part.name.clone();
        match self.step_boot_snapshot(machine, &mut snapshot) {
            Ok(Settled::NotYet) => return self.boot_snapshots.push_front(snapshot),
            Ok(Settled::Kept) => {
                let text = format!("snapshot '{name}' came with the boot");
                self.log(Severity::Info, text);
                if snapshot.part.kind == PartKind::Restored {
                    self.restore_at_boot(machine, &name);
                }
            }
            Err(error) => self.log(
                Severity::Error,
                format!("snapshot '{name}' of the boot module: {error}"),
            ),
        }
        self.restore_boot_groups(machine);
    }

    /// Restores a snapshot that has come; one of a group waits for the others.
    fn restore_at_boot(&mut self, machine: &mut dyn Machine, name: &str) {
        let found = self.snapshots.find(name);
        if let Some(group) = found.ok().and_then(|kept| kept.group.clone()) {
            if self.boot_groups.iter().all(|other| other.id != group.id) {
                self.boot_groups.push(group);
            }
            return;
        }
        if let Err(error) = self.restore_snapshot(machine, name, None, &[]) {
            self.log(Severity::Error, format!("restore '{name}': {error}"));
        }
    }

    /// Restores the groups whose snapshots have all come, each at one point; with the last part of the boot module
    /// also the others, which says what they lack.
    fn restore_boot_groups(&mut self, machine: &mut dyn Machine) {
        for group in core::mem::take(&mut self.boot_groups) {
            if !self.boot_snapshots.is_empty() && self.snapshots.members(&group).is_err() {
                self.boot_groups.push(group);
            } else if let Err(error) = self.restore_group(machine, &group, None, &[]) {
                let name = &group.name;
                self.log(Severity::Error, format!("restore '{name}': {error}"));
            }
        }
    }

    fn step_boot_snapshot(
        &mut self,
        machine: &mut dyn Machine,
        snapshot: &mut BootSnapshot,
    ) -> Result<Settled, String> {
        let bytes = snapshot.part.bytes;
        let arrival = match &mut snapshot.arrival {
            Some(arrival) => arrival,
            none => {
                let arrival =
                    self.begin_arrival(machine, &snapshot.part.name, bytes.len() as u64)?;
                none.insert(Box::new(arrival))
            }
        };
        if arrival.has_work() {
            return self.advance_arrival(machine, arrival);
        }
        let rest = &bytes[snapshot.taken..];
        let piece = &rest[..rest.len().min(BYTES_PER_TURN)];
        snapshot.taken += piece.len();
        self.read_arrival(machine, arrival, piece)?;
        Ok(Settled::NotYet)
    }
}
