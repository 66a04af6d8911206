//! All TCP connections of an instance: found by address, visited when they have something to do.

use super::allowance::Allowance;
use super::connection::{Connection, Cuts, SpareSocket};
use super::header::Tuple;
use crate::limits;
use crate::machine::Time;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use hashbrown::HashTable;

/// No deadline.
const NEVER: Time = Time::from_nanos(u64::MAX);

pub(super) struct ConnectionTable {
    slots: Vec<Option<Connection>>,
    /// When each slot wants to be visited; beside the connections, so that a search stays in few
    /// cache lines.
    deadlines: Vec<Time>,
    /// No deadline is earlier; it may be too early by one that was moved back.
    earliest: Time,
    free: Vec<u32>,
    /// Slots by their tuples; looked up only, never walked.
    index: HashTable<u32>,
    key: u64,
    /// Connections that want to send, each once.
    touched: VecDeque<u32>,
    spares: Vec<SpareSocket>,
    buffer_bytes: usize,
    maximum: usize,
    allowance: Allowance,
    cuts: Cuts,
}

impl ConnectionTable {
    pub(super) fn new(maximum: usize, buffer_bytes: usize, key: u64) -> ConnectionTable {
        ConnectionTable {
            slots: Vec::new(),
            deadlines: Vec::new(),
            earliest: NEVER,
            free: Vec::new(),
            index: HashTable::new(),
            key,
            touched: VecDeque::new(),
            spares: Vec::new(),
            buffer_bytes,
            maximum,
            allowance: Allowance::unlimited(),
            cuts: Cuts::Possible,
        }
    }

    /// From now on, connections need not be ready for a cut.
    pub(super) fn forgo_cuts(&mut self) {
        self.cuts = Cuts::Never;
    }

    /// Bytes of each of a socket's buffers.
    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    pub(super) fn set_allowance(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    pub(super) fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Whether another connection may exist.
    pub(super) fn has_room(&self) -> bool {
        self.slots.len() - self.free.len() < self.maximum
    }

    /// A socket for a new connection; none when the node has no memory for its buffers.
    pub(super) fn take_spare(&mut self) -> Option<SpareSocket> {
        self.spares.pop().or_else(|| {
            let is_allowed = self.allowance.take(self.cuts.buffers() * self.buffer_bytes);
            is_allowed.then(|| SpareSocket::new(self.buffer_bytes, self.cuts))
        })
    }

    pub(super) fn give_spare(&mut self, spare: SpareSocket) {
        // One that was restored after its end may be smaller.
        let is_whole = spare.buffer_bytes() == self.buffer_bytes;
        if is_whole && self.spares.len() < limits::SPARE_SOCKETS {
            self.spares.push(spare);
        }
    }

    pub(super) fn insert(&mut self, connection: Connection) -> u32 {
        let tuple = connection.tuple;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.deadlines.push(NEVER);
                (self.slots.len() - 1) as u32
            }
        };
        self.slots[slot as usize] = Some(connection);
        self.deadlines[slot as usize] = NEVER;
        let (slots, key) = (&self.slots, self.key);
        self.index
            .insert_unique(tuple.hash(key), slot, |slot| hash_of(slots, *slot, key));
        slot
    }

    /// Forgets a connection and keeps its socket for another.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(connection) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        let hash = connection.tuple.hash(self.key);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        self.deadlines[slot as usize] = NEVER;
        if connection.touched {
            self.touched.retain(|other| *other != slot);
        }
        self.free.push(slot);
        self.give_spare(connection.into_spare());
    }

    pub(super) fn find(&self, tuple: &Tuple) -> Option<u32> {
        let found = self.index.find(tuple.hash(self.key), |slot| {
            self.slots[*slot as usize]
                .as_ref()
                .is_some_and(|connection| connection.tuple == *tuple)
        });
        found.copied()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Connection> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Puts a connection into the queue of those that want to send.
    pub(super) fn touch(&mut self, slot: u32) {
        if let Some(connection) = self.get_mut(slot)
            && !connection.touched
        {
            connection.touched = true;
            self.touched.push_back(slot);
        }
    }

    /// Takes the next connection that wants to send.
    pub(super) fn next_touched(&mut self) -> Option<u32> {
        let slot = self.touched.pop_front()?;
        if let Some(connection) = self.get_mut(slot) {
            connection.touched = false;
        }
        Some(slot)
    }

    pub(super) fn touched(&self) -> usize {
        self.touched.len()
    }

    pub(super) fn set_deadline(&mut self, slot: u32, deadline: Option<Time>) {
        let deadline = deadline.unwrap_or(NEVER);
        if let Some(entry) = self.deadlines.get_mut(slot as usize) {
            *entry = deadline;
            self.earliest = self.earliest.min(deadline);
        }
    }

    /// The earliest deadline, or a little before.
    pub(super) fn earliest(&self) -> Option<Time> {
        (self.earliest != NEVER).then_some(self.earliest)
    }

    /// Touches every connection whose deadline has come.
    pub(super) fn touch_due(&mut self, now: Time) {
        if self.earliest > now {
            return;
        }
        self.earliest = NEVER;
        for slot in 0..self.deadlines.len() {
            let deadline = self.deadlines[slot];
            if deadline <= now {
                self.deadlines[slot] = NEVER;
                self.touch(slot as u32);
            } else {
                self.earliest = self.earliest.min(deadline);
            }
        }
    }

    /// Touches every connection of an interface: a neighbour may have become known.
    pub(super) fn touch_interface(&mut self, interface: usize) {
        for slot in 0..self.slots.len() {
            let is_its = self.slots[slot]
                .as_ref()
                .is_some_and(|connection| connection.interface == interface);
            if is_its {
                self.touch(slot as u32);
            }
        }
    }

    /// Visits every connection.
    pub(super) fn for_each(&mut self, visit: impl FnMut(&mut Connection)) {
        self.slots.iter_mut().flatten().for_each(visit);
    }

    /// Touches every connection.
    pub(super) fn touch_all(&mut self) {
        for slot in 0..self.slots.len() {
            self.touch(slot as u32);
        }
    }

    /// Slots that were ever needed at once.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The connections in order of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, connection)| Some((slot as u32, connection.as_ref()?)))
    }
}

fn hash_of(slots: &[Option<Connection>], slot: u32, key: u64) -> u64 {
    slots[slot as usize]
        .as_ref()
        .map_or(0, |connection| connection.tuple.hash(key))
}
