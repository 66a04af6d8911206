//! The handles that the guest holds: listeners, connections, UDP sockets, queries, pings.

use super::dns::Query;
use super::listen::Listener;
use super::ping::Ping;
use super::types::{NetError, SocketId};
use super::udp::UdpSocket;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What a handle stands for.
pub(super) enum Entry {
    Listener(Listener),
    /// A slot of the connection table.
    Connection(u32),
    Udp(UdpSocket),
    Query(Query),
    Ping(Ping),
}

#[derive(Default)]
struct Slot {
    generation: u16,
    entry: Option<Entry>,
}

/// Bits of a handle that number the slot; the others count its uses.
const SLOT_BITS: u32 = 16;

/// All handles of one instance.
pub(super) struct Handles {
    slots: Vec<Slot>,
    /// Free slots, the longest free first, so that a stale handle is found out for long.
    free: VecDeque<u32>,
    maximum: usize,
    /// Those that the node holds itself, which do not count.
    of_node: usize,
}

impl Handles {
    pub(super) fn new(maximum: u32) -> Handles {
        Handles {
            slots: Vec::new(),
            free: VecDeque::new(),
            maximum: (maximum as usize).min((1 << SLOT_BITS) - 1),
            of_node: 0,
        }
    }

    /// Places with these generations; those in `free` stay empty, the others are to be filled.
    pub(super) fn restore(
        maximum: u32,
        generations: impl Iterator<Item = u16>,
        free: &[u16],
    ) -> Handles {
        Handles {
            slots: generations
                .map(|generation| Slot {
                    generation,
                    entry: None,
                })
                .collect(),
            free: free.iter().map(|slot| u32::from(*slot)).collect(),
            ..Handles::new(maximum)
        }
    }

    /// Fills a place of [`Handles::restore`].
    pub(super) fn fill(&mut self, slot: usize, entry: Entry) {
        if let Some(place) = self.slots.get_mut(slot) {
            place.entry = Some(entry);
        }
    }

    /// Fails when the guest has all the handles that it may have.
    pub(super) fn check_room(&self) -> Result<(), NetError> {
        if self.slots.len() - self.free.len() - self.of_node >= self.maximum {
            return Err(NetError::TooManySockets);
        }
        Ok(())
    }

    /// Says how many of the handles are the node's own.
    pub(super) fn set_of_node(&mut self, held: usize) {
        self.of_node = held;
    }

    pub(super) fn insert(&mut self, entry: Entry) -> SocketId {
        let slot = match self.free.pop_front() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot::default());
                (self.slots.len() - 1) as u32
            }
        };
        let place = &mut self.slots[slot as usize];
        place.entry = Some(entry);
        SocketId(u32::from(place.generation) << SLOT_BITS | slot)
    }

    pub(super) fn remove(&mut self, id: SocketId) -> Result<Entry, NetError> {
        let slot = self.slot(id)?;
        let place = &mut self.slots[slot as usize];
        let entry = place.entry.take().ok_or(NetError::BadHandle)?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push_back(slot);
        Ok(entry)
    }

    pub(super) fn get(&self, id: SocketId) -> Result<&Entry, NetError> {
        let slot = self.slot(id)?;
        let entry = self.slots[slot as usize].entry.as_ref();
        entry.ok_or(NetError::BadHandle)
    }

    pub(super) fn get_mut(&mut self, id: SocketId) -> Result<&mut Entry, NetError> {
        let slot = self.slot(id)?;
        let entry = self.slots[slot as usize].entry.as_mut();
        entry.ok_or(NetError::BadHandle)
    }

    /// What the open handles name.
    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.slots.iter_mut().filter_map(|slot| slot.entry.as_mut())
    }

    /// The slot of the connection table behind a handle.
    pub(super) fn connection(&self, id: SocketId) -> Result<u32, NetError> {
        match self.get(id)? {
            Entry::Connection(slot) => Ok(*slot),
            Entry::Listener(_) | Entry::Udp(_) | Entry::Query(_) | Entry::Ping(_) => {
                Err(NetError::WrongSocketKind)
            }
        }
    }

    pub(super) fn udp(&self, id: SocketId) -> Result<&UdpSocket, NetError> {
        match self.get(id)? {
            Entry::Udp(socket) => Ok(socket),
            Entry::Listener(_) | Entry::Connection(_) | Entry::Query(_) | Entry::Ping(_) => {
                Err(NetError::WrongSocketKind)
            }
        }
    }

    pub(super) fn listener_mut(&mut self, id: SocketId) -> Result<&mut Listener, NetError> {
        match self.get_mut(id)? {
            Entry::Listener(listener) => Ok(listener),
            Entry::Connection(_) | Entry::Udp(_) | Entry::Query(_) | Entry::Ping(_) => {
                Err(NetError::WrongSocketKind)
            }
        }
    }

    /// The entries in order of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketId, &Entry)> {
        self.slots.iter().enumerate().filter_map(|(slot, place)| {
            let id = SocketId(u32::from(place.generation) << SLOT_BITS | slot as u32);
            Some((id, place.entry.as_ref()?))
        })
    }

    /// Places, full and empty.
    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// A place: the handle that it gives or would give, and what that stands for.
    pub(super) fn place(&self, slot: usize) -> (SocketId, Option<&Entry>) {
        let place = &self.slots[slot];
        let id = SocketId(u32::from(place.generation) << SLOT_BITS | slot as u32);
        (id, place.entry.as_ref())
    }

    /// All places.
    pub(super) fn places(&self) -> impl Iterator<Item = (SocketId, Option<&Entry>)> {
        (0..self.slots.len()).map(|slot| self.place(slot))
    }

    /// The empty places in the order of their next use.
    pub(super) fn free(&self) -> impl Iterator<Item = u32> {
        self.free.iter().copied()
    }

    fn slot(&self, id: SocketId) -> Result<u32, NetError> {
        let slot = id.0 & ((1 << SLOT_BITS) - 1);
        match self.slots.get(slot as usize) {
            Some(place) if u32::from(place.generation) == id.0 >> SLOT_BITS => Ok(slot),
            Some(_) | None => Err(NetError::BadHandle),
        }
    }
}
