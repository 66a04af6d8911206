//! The guest's handles: numbers that fail once they are closed.
//!
//! A handle is a slot in the low 16 bits and the slot's generation above it, so that a closed
//! handle does not mean the socket that later takes its slot.

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use sos_abi::ErrorCode;

use crate::net::stack::SocketId;

/// A handle as a guest names it; a claim until it is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle(pub u32);

const SLOT_BITS: u32 = 16;
/// Generations count from 1, so that no handle is 0, to this, so that none is negative.
const LAST_GENERATION: u16 = 0x7fff;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slot {
    pub(super) generation: u16,
    pub(super) socket: Option<SocketId>,
}

/// Which socket each handle names.
#[derive(Debug)]
pub struct HandleTable {
    slots: Vec<Slot>,
    free: Vec<u16>,
    capacity: usize,
}

/// A table as plain data: its bound comes from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlesState {
    pub(super) slots: Vec<Slot>,
    /// In the order in which they are used again, the last first.
    pub(super) free: Vec<u16>,
}

impl HandlesState {
    /// The sockets that handles name, by slot.
    pub fn sockets(&self) -> impl Iterator<Item = (u32, SocketId)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(index, slot)| Some((index, slot.socket?)))
    }
}

impl HandleTable {
    /// The table as plain data.
    pub fn capture(&self) -> HandlesState {
        HandlesState {
            slots: self.slots.clone(),
            free: self.free.clone(),
        }
    }

    /// The table of at most `capacity` handles that `state` claims to be; what its handles name is
    /// for the caller to check. None when it could not have come to be.
    pub fn restore(state: HandlesState, capacity: u32) -> Option<HandleTable> {
        let HandlesState { slots, free } = state;
        let empty = HandleTable::new(capacity);
        let is_sound = |slot: &Slot| (1..=LAST_GENERATION).contains(&slot.generation);
        if slots.len() > empty.capacity || !slots.iter().all(is_sound) {
            return None;
        }
        let mut is_free = vec![false; slots.len()];
        for &index in &free {
            let seen = is_free.get_mut(usize::from(index))?;
            if core::mem::replace(seen, true) {
                return None;
            }
        }
        let mut both = slots.iter().zip(is_free);
        if both.any(|(slot, is_free)| slot.socket.is_none() != is_free) {
            return None;
        }
        Some(HandleTable {
            slots,
            free,
            ..empty
        })
    }

    /// A table of at most `capacity` open handles.
    pub fn new(capacity: u32) -> HandleTable {
        let capacity = (capacity as usize).min(1 << SLOT_BITS);
        HandleTable {
            slots: Vec::new(),
            free: Vec::new(),
            capacity,
        }
    }

    /// Whether one more handle may be opened.
    ///
    /// # Errors
    /// [`ErrorCode::TooManyHandles`] when not.
    pub fn check_room(&self) -> Result<(), ErrorCode> {
        if self.free.is_empty() && self.slots.len() >= self.capacity {
            return Err(ErrorCode::TooManyHandles);
        }
        Ok(())
    }

    /// Gives `socket` a handle.
    ///
    /// # Errors
    /// [`ErrorCode::TooManyHandles`] when there are as many as may be.
    pub fn insert(&mut self, socket: SocketId) -> Result<Handle, ErrorCode> {
        self.check_room()?;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot {
                    generation: 1,
                    socket: None,
                });
                // `capacity` keeps the number of slots within 16 bits.
                (self.slots.len() - 1) as u16
            }
        };
        let slot = &mut self.slots[usize::from(index)];
        slot.socket = Some(socket);
        Ok(Handle(
            u32::from(slot.generation) << SLOT_BITS | u32::from(index),
        ))
    }

    /// The socket that `handle` names.
    ///
    /// # Errors
    /// [`ErrorCode::BadHandle`] when it names none, or none any more.
    pub fn get(&self, handle: Handle) -> Result<SocketId, ErrorCode> {
        let slot = self.slots.get(handle.slot()).ok_or(ErrorCode::BadHandle)?;
        match slot.socket {
            Some(socket) if handle.generation() == u32::from(slot.generation) => Ok(socket),
            _ => Err(ErrorCode::BadHandle),
        }
    }

    /// Makes `handle` void and gives the socket that it named.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn remove(&mut self, handle: Handle) -> Result<SocketId, ErrorCode> {
        let socket = self.get(handle)?;
        let slot = &mut self.slots[handle.slot()];
        slot.socket = None;
        slot.generation = if slot.generation == LAST_GENERATION {
            1
        } else {
            slot.generation + 1
        };
        // `get` found the slot by 16 bits.
        self.free.push(handle.slot() as u16);
        Ok(socket)
    }

    /// How many handles are open.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether no handle is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Handle {
    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }

    fn generation(self) -> u32 {
        self.0 >> SLOT_BITS
    }

    /// The handle as a call's result.
    pub fn result(self) -> i32 {
        // Generations have 15 bits.
        self.0 as i32
    }
}
