//! Several instances at one instant: snapshots, restores and clones of groups.
//!
//! The cuts of a group are taken one after the other within one turn: between the first and the last no member
//! runs and no frame moves, so what is on its way between two of them is in the sockets of one or in the ports
//! of the other. Its members go on at one point too ([`super::joint`]).

use super::Kernel;
use super::anew::{Claimed, addresses_of, check_addresses};
use super::cut::{Company, FromCut};
use super::joint::Member;
use super::lifecycle::Farewell;
use super::record::Ended;
use super::snapshots::{Facts, Origin, require_instance_name};
use crate::control::{ControlError, CutMode, Extent, KeptRow, MadeRow, PortAddress};
use crate::host::Revival;
use crate::image::is_name;
use crate::limits;
use crate::log::EventKind;
use crate::machine::Machine;
use crate::net::fabric::SegmentKind;
use crate::net::frame::{self, ETHERNET_HEADER_BYTES, MacAddress};
use crate::net::stack::Surroundings;
use crate::snapshot::{Cut, Group, GroupMember, GroupSegment, GroupSegmentKind, Taken};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How the copies of a group are called.
#[derive(Debug, Clone)]
enum Label {
    /// This and `-` stand in front of each name.
    Before(String),
    /// `-` and this stand behind.
    Behind(u32),
}

impl Label {
    fn name(&self, base: &str) -> String {
        match self {
            Label::Before(label) => format!("{label}-{base}"),
            Label::Behind(number) => format!("{base}-{number}"),
        }
    }
}

/// What was made of a group.
#[derive(Default)]
struct Made {
    rows: Vec<MadeRow>,
    keys: Vec<u32>,
    segments: Vec<String>,
}

impl Kernel {
    /// Takes snapshots of several instances at one instant and keeps them.
    ///
    /// # Errors
    /// The instances are as they were: one does not run, cannot be captured, or there is no room.
    pub(super) fn take_group(
        &mut self,
        machine: &mut dyn Machine,
        names: &[String],
        to: &str,
        mode: CutMode,
        extent: Extent,
    ) -> Result<Vec<KeptRow>, ControlError> {
        let keys = self.keys_of(names)?;
        if mode == CutMode::Stopping {
            for &key in &keys {
                self.records[key as usize].require_own()?;
            }
        }
        let snapshots: Vec<String> = names.iter().map(|name| format!("{to}.{name}")).collect();
        for snapshot in [&String::from(to)].into_iter().chain(&snapshots) {
            self.snapshots.admit(snapshot)?;
        }
        let parents = names
            .iter()
            .map(|name| self.snapshots.parent_for(name, extent));
        let parents = parents.collect::<Result<Vec<_>, _>>()?;
        let cuts = self.cut_together(machine, &keys)?;
        let members = names.iter().map(|name| GroupMember {
            instance: name.clone(),
            snapshot: self.draw_snapshot_id(),
        });
        let group = Arc::new(Group {
            members: members.collect(),
            id: self.draw_snapshot_id(),
            name: to.into(),
            segments: self.inner_segments(&keys),
        });
        for (number, cut) in cuts.into_iter().enumerate() {
            let facts = Facts {
                id: group.members[number].snapshot,
                parent: parents[number],
                taken: match mode {
                    CutMode::Running => Taken::Running,
                    CutMode::Stopping => Taken::Stopping,
                },
                origin: Origin::Taken,
                group: Some(group.clone()),
            };
            if let Err(error) = self.snapshots.keep(machine, &snapshots[number], cut, facts) {
                for kept in &snapshots[..number] {
                    // It was kept just now.
                    let _ = self.snapshots.remove(kept);
                }
                return Err(error);
            }
        }
        let now = self.clock.now();
        for (&key, name) in keys.iter().zip(names) {
            self.journal
                .event(now, name, EventKind::Snapshot, to.into());
            if mode == CutMode::Stopping {
                self.take_apart(key, Ended::Stopped, Farewell::Silent);
                self.journal.event(now, name, EventKind::Stopped, to.into());
            }
        }
        let kept = snapshots.iter();
        Ok(kept
            .filter_map(|name| self.snapshots.kept(name, extent))
            .collect())
    }

    /// Makes instances of all members of a group: the originals, or others whose names begin with `to`.
    ///
    /// # Errors
    /// Nothing was changed: a member is not here, its instance runs, or it cannot be made.
    pub(super) fn restore_group(
        &mut self,
        machine: &mut dyn Machine,
        group: &Group,
        to: Option<&str>,
        addresses: &[PortAddress],
    ) -> Result<Vec<MadeRow>, ControlError> {
        let names = self.snapshots.members(group)?;
        let mut cuts = Vec::new();
        let mut goes_on = true;
        let mut copy_bytes = 0u64;
        for name in &names {
            let snapshot = self.snapshots.find(name)?;
            copy_bytes = copy_bytes.saturating_add(snapshot.cut.copy_bytes());
        }
        self.admit_copy(machine, &group.name, copy_bytes)?;
        for name in &names {
            let snapshot = self.snapshots.find(name)?;
            goes_on &= snapshot.revival() == Revival::Continued;
            cuts.push(Cut::clone(&snapshot.cut));
        }
        let now = self.clock.now();
        if let Some(to) = to {
            require_instance_name(to)?;
            let specs: Vec<_> = cuts.iter().map(|cut| &cut.spec).collect();
            check_addresses(addresses, &specs, 1)?;
            let made = self.copy_group(
                machine,
                cuts,
                &group.segments,
                &Label::Before(to.into()),
                |_, name| addresses_of(addresses, name, 0),
            )?;
            for row in &made.rows {
                self.journal
                    .event(now, &row.name, EventKind::Cloned, group.name.clone());
            }
            return Ok(made.rows);
        }
        let company = Company {
            connections: cuts
                .iter()
                .flat_map(|cut| cut.stack.connections())
                .collect(),
            stations: BTreeMap::new(),
        };
        let revival = match goes_on {
            true => Revival::Continued,
            false => Revival::Restored,
        };
        self.revive_group(machine, cuts, &group.segments, company, revival)?;
        self.snapshots.spend(&names);
        let mut rows = Vec::new();
        for member in &group.members {
            let name = member.instance.clone();
            self.journal
                .event(now, &name, EventKind::Restored, group.name.clone());
            rows.push(MadeRow::of(name));
        }
        Ok(rows)
    }

    /// Makes copies of several running instances at one instant, joined as they are.
    ///
    /// # Errors
    /// None was made.
    pub(super) fn clone_group(
        &mut self,
        machine: &mut dyn Machine,
        names: &[String],
        to: Option<&str>,
        count: u32,
        addresses: &[PortAddress],
    ) -> Result<Vec<MadeRow>, ControlError> {
        if (count as usize).saturating_mul(names.len()) > limits::CLONES as usize {
            return Err(ControlError::TooManyClones(count));
        }
        let keys = self.keys_of(names)?;
        if let Some(to) = to {
            require_instance_name(to)?;
        }
        let specs: Vec<_> = keys
            .iter()
            .map(|&key| &self.records[key as usize].spec)
            .collect();
        check_addresses(addresses, &specs, count)?;
        let segments = self.inner_segments(&keys);
        let mut all = Made::default();
        let cuts = self.cut_together(machine, &keys)?;
        for number in 0..count {
            let label = match to {
                Some(to) if count == 1 => Label::Before(to.into()),
                Some(to) => Label::Before(format!("{to}-{}", number + 1)),
                None => self.free_label(names, &segments),
            };
            let copies = cuts.iter().map(Cut::copy_bytes);
            let copy_bytes = copies.fold(0, u64::saturating_add);
            let admitted = self.admit_copy(machine, &label.name(&names[0]), copy_bytes);
            let made = admitted.and_then(|()| {
                self.copy_group(machine, cuts.clone(), &segments, &label, |_, name| {
                    addresses_of(addresses, name, number)
                })
            });
            match made {
                Ok(made) => {
                    all.rows.extend(made.rows);
                    all.keys.extend(made.keys);
                    all.segments.extend(made.segments);
                }
                Err(error) => {
                    self.take_back(&all.keys);
                    self.remove_segments(&all.segments);
                    return Err(error);
                }
            }
        }
        let now = self.clock.now();
        for (row, original) in all.rows.iter().zip(names.iter().cycle()) {
            self.journal
                .event(now, &row.name, EventKind::Cloned, original.clone());
        }
        Ok(all.rows)
    }

    /// Ends instances that were made by a request which failed.
    pub(super) fn take_back(&mut self, keys: &[u32]) {
        for &key in keys {
            self.abandon(key, "another one could not be made");
            if !self.records[key as usize].vacant {
                self.remove_record(key);
            }
        }
    }

    /// The keys of instances, each named once.
    pub(super) fn keys_of(&self, names: &[String]) -> Result<Vec<u32>, ControlError> {
        if !(1..=limits::GROUP_MEMBERS).contains(&names.len()) {
            return Err(ControlError::MemberCount(names.len()));
        }
        let mut seen = BTreeSet::new();
        let keys = names.iter().map(|name| match seen.insert(name) {
            true => self.key_of(name),
            false => Err(ControlError::NamedTwice(name.clone())),
        });
        keys.collect()
    }

    /// Cuts of instances at one instant.
    fn cut_together(
        &mut self,
        machine: &mut dyn Machine,
        keys: &[u32],
    ) -> Result<Vec<Cut>, ControlError> {
        for &key in keys {
            // What a guest has just said is on its way then, datagrams too.
            self.poll_network(key);
        }
        let wall_nanos = self.clock.wall_nanos();
        let mut cuts = Vec::new();
        for &key in keys {
            self.admit_cut(machine, key)?;
            let cut = self.cut(key)?;
            cuts.push(Cut { wall_nanos, ..cut });
        }
        Ok(cuts)
    }

    /// The switches and links whose every port belongs to one of the instances.
    fn inner_segments(&self, keys: &[u32]) -> Vec<GroupSegment> {
        let mut inner = Vec::new();
        for segment in self.fabric.segments(self.clock.now()) {
            let kind = match segment.kind {
                SegmentKind::Switch { uplink: Some(_) } => continue,
                SegmentKind::Switch { uplink: None } => GroupSegmentKind::Switch,
                SegmentKind::Link => GroupSegmentKind::Link,
            };
            let mut owners = segment.ports.iter().map(|port| self.owners.get(&port.id));
            let is_inner = segment.remotes.is_empty()
                && owners.all(|owner| owner.is_some_and(|key| keys.contains(key)));
            // The shell takes names that no manifest has.
            if is_inner && !segment.ports.is_empty() && is_name(&segment.name) {
                inner.push(GroupSegment {
                    name: segment.name,
                    kind,
                    mtu_bytes: segment.properties.mtu as u16,
                });
            }
        }
        inner
    }

    /// A number that is behind no name yet.
    fn free_label(&self, names: &[String], segments: &[GroupSegment]) -> Label {
        let mut number = 2;
        loop {
            let label = Label::Behind(number);
            let is_free = names
                .iter()
                .all(|name| self.key_of(&label.name(name)).is_err())
                && segments
                    .iter()
                    .all(|segment| self.fabric.find(&label.name(&segment.name)).is_none());
            if is_free {
                return label;
            }
            number += 1;
        }
    }

    /// Makes the switches and links of a group that are not there; their names.
    fn make_segments(&mut self, wanted: &[GroupSegment]) -> Result<Vec<String>, ControlError> {
        let mut made = Vec::new();
        for segment in wanted {
            if self.fabric.find(&segment.name).is_some() {
                continue;
            }
            let added = match segment.kind {
                GroupSegmentKind::Switch => self.fabric.add_switch(&segment.name, None),
                GroupSegmentKind::Link => self.fabric.add_link(&segment.name),
            };
            made.push(segment.name.clone());
            let sized = added.and_then(|_| {
                self.fabric
                    .set_mtu(&segment.name, usize::from(segment.mtu_bytes))
            });
            if let Err(error) = sized {
                self.remove_segments(&made);
                return Err(error.into());
            }
        }
        Ok(made)
    }

    /// Lets the members of a group go on as themselves.
    fn revive_group(
        &mut self,
        machine: &mut dyn Machine,
        cuts: Vec<Cut>,
        segments: &[GroupSegment],
        company: Company,
        revival: Revival,
    ) -> Result<(), ControlError> {
        let mut stations: BTreeMap<MacAddress, &str> = BTreeMap::new();
        for cut in &cuts {
            self.require_place(cut)?;
            for &mac in &cut.macs {
                if let Some(other) = stations.insert(mac, &cut.spec.name) {
                    return Err(ControlError::StationTaken {
                        name: cut.spec.name.clone(),
                        instance: other.into(),
                    });
                }
            }
        }
        let company = Arc::new(company);
        let segments = self.make_segments(segments)?;
        let mut members = Vec::new();
        for cut in cuts {
            match self.take_place(&cut) {
                Ok(key) => {
                    let mut from = FromCut::alone(cut, revival);
                    from.company = company.clone();
                    members.push(Member { key, from });
                }
                Err(error) => {
                    self.forget(&members, &segments);
                    return Err(error);
                }
            }
        }
        self.launch_together(machine, members, segments)
    }

    /// Gives back the places of members that are not launched.
    fn forget(&mut self, members: &[Member], segments: &[String]) {
        for member in members {
            self.become_former(member.key);
        }
        self.remove_segments(segments);
    }

    /// Makes other instances of the cuts of a group, with its networks.
    fn copy_group(
        &mut self,
        machine: &mut dyn Machine,
        mut cuts: Vec<Cut>,
        segments: &[GroupSegment],
        label: &Label,
        given: impl Fn(usize, &str) -> Vec<(String, crate::image::AddressSpec)>,
    ) -> Result<Made, ControlError> {
        let renamed: BTreeMap<String, String> = segments
            .iter()
            .map(|segment| (segment.name.clone(), label.name(&segment.name)))
            .collect();
        for name in renamed.values() {
            require_instance_name(name)?;
            if self.fabric.find(name).is_some() {
                return Err(crate::net::fabric::FabricError::NameTaken(name.clone()).into());
            }
        }
        let mut stations = BTreeMap::new();
        let mut claimed = Claimed::new();
        let mut places = Vec::new();
        let mut made = Made::default();
        for (number, cut) in cuts.iter_mut().enumerate() {
            let (original, macs) = (cut.spec.name.clone(), cut.macs.clone());
            let name = label.name(&original);
            require_instance_name(&name)?;
            let own = given(number, &original);
            let place = self.make_anew(cut, &name, &own, &renamed, &mut claimed)?;
            stations.extend(macs.into_iter().zip(cut.macs.iter().copied()));
            made.rows.push(MadeRow {
                name,
                unplugged: place.unplugged,
                unaddressed: place.unaddressed,
            });
            places.push(place.surroundings);
        }
        let wanted: Vec<GroupSegment> = segments
            .iter()
            .map(|segment| GroupSegment {
                name: label.name(&segment.name),
                ..segment.clone()
            })
            .collect();
        made.segments = self.make_segments(&wanted)?;
        let company = Arc::new(Company {
            connections: BTreeSet::new(),
            stations,
        });
        let mut members = Vec::new();
        for (mut cut, surroundings) in cuts.into_iter().zip(places) {
            readdress(&mut cut, &surroundings, &company.stations);
            match self.insert_cut(&cut) {
                Ok(key) => members.push(Member {
                    key,
                    from: FromCut {
                        surroundings,
                        company: company.clone(),
                        ..FromCut::alone(cut, Revival::Cloned)
                    },
                }),
                Err(error) => {
                    self.forget(&members, &made.segments);
                    return Err(error);
                }
            }
        }
        made.keys = members.iter().map(|member| member.key).collect();
        self.launch_together(machine, members, made.segments.clone())?;
        Ok(made)
    }
}

/// Gives the frames that wait in a clone's ports the clones' station addresses. Those for others, and those
/// that speak of station addresses, are left out: they are asked for again.
fn readdress(
    cut: &mut Cut,
    surroundings: &[Surroundings],
    stations: &BTreeMap<MacAddress, MacAddress>,
) {
    for (number, frames) in cut.frames.iter_mut().enumerate() {
        if surroundings.get(number) != Some(&Surroundings::Cloned) {
            frames.clear();
        }
        frames.retain_mut(|frame| {
            let Some((to, from)) = frame::addresses(frame) else {
                return false;
            };
            let to = match frame::is_group(to) {
                true => Some(to),
                false => stations.get(&to).copied(),
            };
            let (Some(to), Some(&from)) = (to, stations.get(&from)) else {
                return false;
            };
            frame[..6].copy_from_slice(&to);
            frame[6..12].copy_from_slice(&from);
            !speaks_of_stations(frame)
        });
    }
}

/// Whether a frame is ARP, or IPv6 with addresses that follow from station addresses.
fn speaks_of_stations(frame: &[u8]) -> bool {
    const ARP: &[u8] = &[0x08, 0x06];
    const IPV6: &[u8] = &[0x86, 0xdd];
    const ICMPV6: u8 = 58;
    /// Router and neighbour discovery (RFC 4861 section 4).
    const DISCOVERY: core::ops::RangeInclusive<u8> = 133..=137;
    const LINK_LOCAL: &[u8] = &[0xfe, 0x80];
    let packet = &frame[ETHERNET_HEADER_BYTES..];
    match &frame[12..14] {
        ARP => true,
        // Next header, source, destination, first byte behind (RFC 8200 section 3).
        IPV6 => {
            let is_discovery = packet.get(6) == Some(&ICMPV6)
                && packet.get(40).is_some_and(|kind| DISCOVERY.contains(kind));
            let starts = [packet.get(8..10), packet.get(24..26)];
            is_discovery || starts.contains(&Some(LINK_LOCAL))
        }
        _ => false,
    }
}
