//! What the boot module holds: an image, or a bundle of an image and snapshots.
//!
//! A snapshot goes the way of every file that comes (`arrival`), a piece in each turn, so that the node
//! answers meanwhile. As long as one is to be restored no instance is started: it may be in one's place. Those of
//! a group are restored together when the last of them has come, and one by one if some do not come.

use super::arrival::{Arrival, Settled};
use super::{BootInfo, Kernel};
use crate::image::{Bundle, Part, PartKind};
use crate::log::Severity;
use crate::machine::Machine;
use crate::snapshot::Group;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes of a snapshot that are read in one turn.
const BYTES_PER_TURN: usize = 256 * 1024;

/// A snapshot of the boot module.
pub(super) struct BootSnapshot {
    part: Part<'static>,
    /// Bytes that were read.
    taken: usize,
    arrival: Option<Box<Arrival>>,
}

/// A group whose members come with the boot.
pub(super) struct BootGroup {
    group: Arc<Group>,
    /// Those that came to be restored, by the names of their snapshots.
    wanted: Vec<String>,
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
                    self.restore_at_boot(machine, name);
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
    fn restore_at_boot(&mut self, machine: &mut dyn Machine, name: String) {
        let found = self.snapshots.find(&name);
        let Some(group) = found.ok().and_then(|kept| kept.group.clone()) else {
            return self.restore_one_at_boot(machine, &name);
        };
        let mut groups = self.boot_groups.iter_mut();
        match groups.find(|other| other.group.id == group.id) {
            Some(other) => other.wanted.push(name),
            None => self.boot_groups.push(BootGroup {
                group,
                wanted: Vec::from([name]),
            }),
        }
    }

    fn restore_one_at_boot(&mut self, machine: &mut dyn Machine, name: &str) {
        if let Err(error) = self.restore_snapshot(machine, name, None, &[]) {
            self.log(Severity::Error, format!("restore '{name}': {error}"));
        }
    }

    /// Restores the groups all of whose members have come to be restored, each at one point; with the last part of
    /// the boot module also members of others, each by itself, as the shell does.
    fn restore_boot_groups(&mut self, machine: &mut dyn Machine) {
        for BootGroup { group, wanted } in core::mem::take(&mut self.boot_groups) {
            let members = self.snapshots.members(&group);
            if members.is_ok_and(|members| members.iter().all(|name| wanted.contains(name))) {
                if let Err(error) = self.restore_group(machine, &group, None, &[]) {
                    let name = &group.name;
                    self.log(Severity::Error, format!("restore '{name}': {error}"));
                }
            } else if self.boot_snapshots.is_empty() {
                for name in wanted {
                    let text = format!(
                        "not all of the group '{}' came to be restored: '{name}' is by itself",
                        group.name
                    );
                    self.log(Severity::Warning, text);
                    self.restore_one_at_boot(machine, &name);
                }
            } else {
                self.boot_groups.push(BootGroup { group, wanted });
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
