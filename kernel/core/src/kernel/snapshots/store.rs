//! Snapshots that the node keeps in its memory: [`Snapshots`] by name, each a [`Snapshot`].
//!
//! A snapshot is kept as the cut that it is: its pages are shared with the instance, with other snapshots
//! and with the instances made of it, until one of them writes. What it may take is counted as if the
//! instance wrote every page. A store on disk would stand behind [`Snapshots`] as another place of cuts.

use crate::control::{
    ControlError, Extent, KeptPages, KeptRow, MovedRow, RemovedReport, SnapshotRow,
};
use crate::host::Revival;
use crate::limits;
use crate::machine::{FrozenMemory, Machine};
use crate::snapshot::format::{Maker, PAGE_BYTES, SnapshotId};
use crate::snapshot::parts::state_bytes;
use crate::snapshot::{Cut, Group, Taken, is_snapshot_name};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;

/// The snapshots of a node, by name.
#[derive(Default)]
pub(in crate::kernel) struct Snapshots {
    kept: BTreeMap<String, Snapshot>,
    /// Counts them, to know which came last.
    taken: u64,
}

/// One snapshot.
pub(in crate::kernel) struct Snapshot {
    pub id: SnapshotId,
    /// The one that its file adds to.
    pub parent: Option<SnapshotId>,
    /// Shared with a file that is being made of it.
    pub cut: Rc<Cut>,
    pub taken: Taken,
    pub origin: Origin,
    /// Whether its instance has gone on from it or from another one since, here or, as a file, elsewhere: going on
    /// from it would repeat random numbers, and its peers may have moved on.
    is_spent: bool,
    /// The group that it was taken with.
    pub group: Option<Arc<Group>>,
    state_bytes: u64,
    /// Bytes of pages that no earlier snapshot of the instance has; they are counted when somebody asks, or
    /// in a turn of their own, since that takes as long as all the rest of a snapshot.
    own_bytes: Cell<Option<u64>>,
    number: u64,
}

/// Where a snapshot came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) enum Origin {
    /// It was taken here.
    Taken,
    /// It came as a file, which this one made.
    Imported(Maker),
}

impl Snapshot {
    /// How an instance goes on from it.
    pub fn revival(&self) -> Revival {
        // A file that came may have been restored elsewhere; one that was sent counts as spent.
        match (self.taken, self.origin, self.is_spent) {
            (Taken::Stopping, Origin::Taken, false) => Revival::Continued,
            _ => Revival::Restored,
        }
    }
}

impl Snapshots {
    /// A snapshot.
    ///
    /// # Errors
    /// [`ControlError::NoSuchSnapshot`].
    pub fn find(&self, name: &str) -> Result<&Snapshot, ControlError> {
        let found = self.kept.get(name);
        found.ok_or_else(|| ControlError::NoSuchSnapshot(name.into()))
    }

    /// The snapshot of this number, and its name.
    pub fn by_id(&self, id: SnapshotId) -> Option<(&str, &Snapshot)> {
        let mut kept = self.kept.iter();
        let found = kept.find(|(_, snapshot)| snapshot.id == id)?;
        Some((found.0, found.1))
    }

    /// Names of all, those of groups among them.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        let groups: BTreeSet<&String> = self.groups().map(|group| &group.name).collect();
        self.kept.keys().chain(groups)
    }

    /// The group of each snapshot that has one.
    fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.kept.values().filter_map(|kept| kept.group.as_ref())
    }

    /// The group of this name, unless that is a snapshot's.
    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        let mut groups = self.groups();
        match self.kept.contains_key(name) {
            true => None,
            false => groups.find(|group| group.name == name).cloned(),
        }
    }

    /// Names of the snapshots of a group that are here.
    fn present<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a String> {
        let kept = self.kept.iter();
        let its = kept.filter(|(_, kept)| kept.group.as_ref().is_some_and(|it| it.id == group.id));
        its.map(|(name, _)| name)
    }

    /// Names of all snapshots of a group, in its order.
    ///
    /// # Errors
    /// [`ControlError::GroupIncomplete`].
    pub fn members(&self, group: &Group) -> Result<Vec<String>, ControlError> {
        let (mut names, mut missing) = (Vec::new(), Vec::new());
        for member in &group.members {
            let mut present = self.present(group);
            let found = present.find(|name| self.kept[*name].id == member.snapshot);
            match found {
                Some(name) => names.push(name.clone()),
                None => missing.push(member.instance.clone()),
            }
        }
        match missing.is_empty() {
            true => Ok(names),
            false => Err(ControlError::GroupIncomplete {
                group: group.name.clone(),
                missing,
            }),
        }
    }

    /// Takes note that instances have gone on from these, or may: none of their snapshots so far is where their
    /// peers stand and their random numbers.
    pub fn spend(&mut self, names: &[String]) {
        let found = names.iter().filter_map(|name| self.kept.get(name));
        let instances: BTreeSet<String> = found.map(|it| it.cut.spec.name.clone()).collect();
        for snapshot in self.kept.values_mut() {
            snapshot.is_spent |= instances.contains(&snapshot.cut.spec.name);
        }
    }

    /// The snapshot that the file of a new one of an instance adds to.
    ///
    /// # Errors
    /// [`ControlError::NoParent`].
    pub fn parent_for(
        &self,
        instance: &str,
        extent: Extent,
    ) -> Result<Option<SnapshotId>, ControlError> {
        match extent {
            Extent::Full => Ok(None),
            Extent::Incremental => {
                let last = self.last_of(instance, u64::MAX);
                let last = last.ok_or_else(|| ControlError::NoParent(instance.into()))?;
                Ok(Some(last.id))
            }
        }
    }

    /// Whether a snapshot may come that says this of its group: the others of the group say the same, and no other
    /// group has the name.
    ///
    /// # Errors
    /// [`ControlError::SnapshotExists`] with the group's name, or [`ControlError::GroupDiffers`].
    pub fn admit_group(&self, group: &Group) -> Result<(), ControlError> {
        let exists = || Err(ControlError::SnapshotExists(group.name.clone()));
        if self.kept.contains_key(&group.name) {
            return exists();
        }
        for other in self.groups() {
            match (other.id == group.id, other.name == group.name) {
                (true, _) if **other != *group => {
                    return Err(ControlError::GroupDiffers(group.name.clone()));
                }
                (false, true) => return exists(),
                (true, _) | (false, false) => {}
            }
        }
        Ok(())
    }

    /// Whether a snapshot may get this name.
    ///
    /// # Errors
    /// [`ControlError::BadSnapshotName`], [`ControlError::SnapshotExists`] or
    /// [`ControlError::TooManySnapshots`].
    pub fn admit(&self, name: &str) -> Result<(), ControlError> {
        if !is_snapshot_name(name) {
            return Err(ControlError::BadSnapshotName(name.into()));
        }
        if self.kept.contains_key(name) || self.group(name).is_some() {
            return Err(ControlError::SnapshotExists(name.into()));
        }
        match self.kept.len() < limits::SNAPSHOTS {
            true => Ok(()),
            false => Err(ControlError::TooManySnapshots),
        }
    }

    /// What another snapshot may take.
    pub fn room_bytes(&self, machine: &dyn Machine) -> u64 {
        let most = machine.memory_stats().total_bytes / limits::SNAPSHOTS_DIVISOR;
        let kept = self.kept.values();
        let used = kept.map(|kept| self.own_bytes(kept) + kept.state_bytes);
        most.saturating_sub(used.sum())
    }

    /// Bytes of a snapshot's pages that no earlier one of the instance has.
    fn own_bytes(&self, snapshot: &Snapshot) -> u64 {
        if let Some(bytes) = snapshot.own_bytes.get() {
            return bytes;
        }
        let earlier = self.last_of(&snapshot.cut.spec.name, snapshot.number);
        let earlier = earlier.map(|earlier| &earlier.cut.memories[..]);
        let bytes = own_bytes(&snapshot.cut.memories, earlier.unwrap_or_default());
        snapshot.own_bytes.set(Some(bytes));
        bytes
    }

    /// Whether there is a snapshot whose own pages are not counted.
    pub fn has_uncounted(&self) -> bool {
        let mut kept = self.kept.values();
        kept.any(|kept| kept.own_bytes.get().is_none())
    }

    /// Counts the own pages of one of them.
    pub fn count_one(&self) {
        let mut kept = self.kept.values();
        if let Some(snapshot) = kept.find(|kept| kept.own_bytes.get().is_none()) {
            self.own_bytes(snapshot);
        }
    }

    /// The instance's last snapshot before number `before`.
    fn last_of(&self, instance: &str, before: u64) -> Option<&Snapshot> {
        let kept = self.kept.values();
        kept.filter(|kept| kept.cut.spec.name == instance && kept.number < before)
            .max_by_key(|kept| kept.number)
    }

    /// Keeps a snapshot if there is room for it.
    ///
    /// # Errors
    /// [`ControlError::SnapshotsFull`], and as for [`Self::admit`].
    pub fn keep(
        &mut self,
        machine: &dyn Machine,
        name: &str,
        cut: Cut,
        facts: Facts,
    ) -> Result<(), ControlError> {
        self.admit(name)?;
        let (state_bytes, room_bytes) = (state_bytes(&cut), self.room_bytes(machine));
        let mut counted = None;
        // Where there is room for all pages, it does not matter yet how many are its own.
        if resident_bytes(&cut.memories) + state_bytes > room_bytes {
            let earlier = self.last_of(&cut.spec.name, u64::MAX);
            let earlier = earlier.map(|earlier| &earlier.cut.memories[..]);
            let own_bytes = own_bytes(&cut.memories, earlier.unwrap_or_default());
            let needed_bytes = own_bytes + state_bytes;
            if needed_bytes > room_bytes {
                return Err(ControlError::SnapshotsFull {
                    needed_bytes,
                    room_bytes,
                });
            }
            counted = Some(own_bytes);
        }
        let parent = facts.parent.filter(|&id| self.can_add(id, &cut));
        self.taken += 1;
        let snapshot = Snapshot {
            id: facts.id,
            parent,
            cut: Rc::new(cut),
            taken: facts.taken,
            origin: facts.origin,
            is_spent: false,
            group: facts.group,
            state_bytes,
            own_bytes: Cell::new(counted),
            number: self.taken,
        };
        self.kept.insert(name.into(), snapshot);
        Ok(())
    }

    /// Whether the file of a cut may add to a snapshot: pages beyond the end of its memories it cannot take away.
    fn can_add(&self, parent: SnapshotId, cut: &Cut) -> bool {
        let Some((_, parent)) = self.by_id(parent) else {
            return false;
        };
        let (before, now) = (&parent.cut.memories, &cut.memories);
        let mut pairs = before.iter().zip(now);
        before.len() <= now.len()
            && pairs.all(|(before, now)| before.size_bytes() <= now.size_bytes())
    }

    /// What became of a snapshot that was asked for.
    pub fn kept(&self, name: &str, extent: Extent) -> Option<KeptRow> {
        let snapshot = self.kept.get(name)?;
        let parent = snapshot.parent.and_then(|id| self.by_id(id));
        Some(KeptRow {
            name: name.into(),
            instance: snapshot.cut.spec.name.clone(),
            pages: match (parent, extent) {
                (Some((parent, _)), _) => KeptPages::Since(parent.into()),
                (None, Extent::Full) => KeptPages::All,
                (None, Extent::Incremental) => KeptPages::AllAfterLarger,
            },
        })
    }

    /// Forgets a snapshot, or all of a group. What added to it adds to what it added to, or stands alone.
    ///
    /// # Errors
    /// [`ControlError::NoSuchSnapshot`].
    pub fn forget(&mut self, name: &str) -> Result<RemovedReport, ControlError> {
        let removed = match self.group(name) {
            Some(group) => self.present(&group).cloned().collect(),
            None => Vec::from([String::from(name)]),
        };
        let mut moved = BTreeSet::new();
        for name in &removed {
            moved.extend(self.remove(name)?);
        }
        let moved = moved.iter().filter_map(|id| {
            let (name, snapshot) = self.by_id(*id)?;
            let parent = snapshot.parent.and_then(|id| self.by_id(id));
            Some(MovedRow {
                name: name.into(),
                parent: parent.map_or(String::new(), |(name, _)| name.into()),
            })
        });
        let moved = moved.collect();
        Ok(RemovedReport { removed, moved })
    }

    /// Forgets a snapshot; what the next one shared with it is its own now, and what added to it adds to its
    /// parent. Answers with the latter.
    ///
    /// # Errors
    /// [`ControlError::NoSuchSnapshot`].
    pub fn remove(&mut self, name: &str) -> Result<Vec<SnapshotId>, ControlError> {
        let Some(removed) = self.kept.remove(name) else {
            return Err(ControlError::NoSuchSnapshot(name.into()));
        };
        let instance = &removed.cut.spec.name;
        let kept = self.kept.values();
        let next = kept
            .filter(|kept| kept.cut.spec.name == *instance && kept.number > removed.number)
            .min_by_key(|kept| kept.number);
        if let Some(next) = next {
            next.own_bytes.set(None);
        }
        let is_child = |kept: &&Snapshot| kept.parent == Some(removed.id);
        let children = self.kept.values().filter(is_child);
        let moved: BTreeMap<SnapshotId, Option<SnapshotId>> = children
            .map(|child| {
                let parent = removed.parent;
                (child.id, parent.filter(|&id| self.can_add(id, &child.cut)))
            })
            .collect();
        for kept in self.kept.values_mut() {
            if let Some(parent) = moved.get(&kept.id) {
                kept.parent = *parent;
            }
        }
        Ok(moved.into_keys().collect())
    }

    /// What `snapshots` shows.
    pub fn rows(&self) -> Vec<SnapshotRow> {
        let row = |(name, snapshot): (&String, &Snapshot)| SnapshotRow {
            name: name.clone(),
            id: snapshot.id.to_string(),
            instance: snapshot.cut.spec.name.clone(),
            group: match &snapshot.group {
                Some(group) => group.name.clone(),
                None => String::new(),
            },
            parent: match snapshot.parent {
                None => String::new(),
                Some(parent) => match self.by_id(parent) {
                    Some((name, _)) => name.into(),
                    None => parent.to_string(),
                },
            },
            taken: match snapshot.origin {
                Origin::Taken => snapshot.taken.to_string(),
                Origin::Imported(_) => "imported".into(),
            },
            maker: match snapshot.origin {
                Origin::Taken | Origin::Imported(Maker::Own) => "this node",
                Origin::Imported(Maker::Elsewhere) => "elsewhere",
                Origin::Imported(Maker::Unknown) => "unknown",
            }
            .into(),
            wall_nanos: snapshot.cut.wall_nanos,
            memory_bytes: resident_bytes(&snapshot.cut.memories),
            own_bytes: self.own_bytes(snapshot),
            state_bytes: snapshot.state_bytes,
        };
        self.kept.iter().map(row).collect()
    }
}

/// What is known of a new snapshot besides its cut.
pub(in crate::kernel) struct Facts {
    pub id: SnapshotId,
    pub parent: Option<SnapshotId>,
    pub taken: Taken,
    pub origin: Origin,
    pub group: Option<Arc<Group>>,
}

fn resident_bytes(memories: &[FrozenMemory]) -> u64 {
    let bytes = memories.iter().map(|memory| memory.resident_bytes() as u64);
    bytes.sum()
}

/// Bytes of pages that are not those of `earlier`.
fn own_bytes(memories: &[FrozenMemory], earlier: &[FrozenMemory]) -> u64 {
    let own = |(number, memory): (usize, &FrozenMemory)| match earlier.get(number) {
        None => memory.resident_bytes() as u64,
        Some(earlier) => (memory.count_own_pages(earlier) * PAGE_BYTES) as u64,
    };
    memories.iter().enumerate().map(own).sum()
}
