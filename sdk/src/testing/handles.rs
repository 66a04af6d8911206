//! Numbers of open sockets, made as the kernel makes them: a closed one does not mean the socket
//! that later takes its place.

use alloc::vec::Vec;

use sos_abi::ErrorCode;

const SLOT_BITS: u32 = 16;
/// Generations count from 1 to this, so that no handle is 0 and none is negative.
const LAST_GENERATION: u32 = 0x7fff;

/// What each handle of one instance names.
pub struct Handles<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
    capacity: usize,
}

struct Slot<T> {
    generation: u32,
    content: Option<T>,
}

impl<T> Handles<T> {
    /// A table of at most `capacity` open handles.
    pub fn new(capacity: usize) -> Handles<T> {
        Handles {
            slots: Vec::new(),
            free: Vec::new(),
            capacity: capacity.min(1 << SLOT_BITS),
        }
    }

    /// Whether one more handle may be opened.
    pub fn check_room(&self) -> Result<(), ErrorCode> {
        if self.free.is_empty() && self.slots.len() >= self.capacity {
            return Err(ErrorCode::TooManyHandles);
        }
        Ok(())
    }

    /// Gives `content` a handle.
    pub fn insert(&mut self, content: T) -> Result<u32, ErrorCode> {
        self.check_room()?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 1,
                content: None,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.content = Some(content);
        // An index has at most 16 bits.
        Ok(slot.generation << SLOT_BITS | index as u32)
    }

    /// What `handle` names.
    pub fn get(&self, handle: u32) -> Result<&T, ErrorCode> {
        let slot = self.slots.get(index(handle)).filter(|slot| slot.is(handle));
        let content = slot.and_then(|slot| slot.content.as_ref());
        content.ok_or(ErrorCode::BadHandle)
    }

    /// What `handle` names, to be changed.
    pub fn get_mut(&mut self, handle: u32) -> Result<&mut T, ErrorCode> {
        let slot = self.slots.get_mut(index(handle));
        let slot = slot.filter(|slot| slot.is(handle));
        let content = slot.and_then(|slot| slot.content.as_mut());
        content.ok_or(ErrorCode::BadHandle)
    }

    /// Makes `handle` void and gives what it named.
    pub fn remove(&mut self, handle: u32) -> Result<T, ErrorCode> {
        self.get(handle)?;
        let slot = &mut self.slots[index(handle)];
        slot.generation = slot.generation % LAST_GENERATION + 1;
        self.free.push(index(handle));
        slot.content.take().ok_or(ErrorCode::BadHandle)
    }

    /// The first handle whose content is wanted.
    pub fn find(&self, wanted: impl Fn(&T) -> bool) -> Option<u32> {
        let is_wanted = |slot: &Slot<T>| slot.content.as_ref().is_some_and(&wanted);
        let index = self.slots.iter().position(is_wanted)?;
        Some(self.slots[index].generation << SLOT_BITS | index as u32)
    }

    /// Everything that is open.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.content.as_ref())
    }

    /// Everything that is open, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.content.as_mut())
    }

    /// Makes every handle void and gives what they named.
    pub fn drain(&mut self) -> Vec<T> {
        let contents = self.slots.iter_mut().filter_map(|slot| slot.content.take());
        let contents = contents.collect();
        self.slots.clear();
        self.free.clear();
        contents
    }
}

impl<T> Slot<T> {
    fn is(&self, handle: u32) -> bool {
        self.generation == handle >> SLOT_BITS
    }
}

fn index(handle: u32) -> usize {
    (handle & ((1 << SLOT_BITS) - 1)) as usize
}
