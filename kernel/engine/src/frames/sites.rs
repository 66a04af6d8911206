//! What the maps tell of the calls of one stack, each place in the code read once. A table by address, with as many
//! slots as there are calls up to a bound, so that a deep stack that returns to thousands of places reads most of
//! them once, and forgets when there are more. Short lists get the room of those that are forgotten.

use super::At;
use super::map::{Operand, Place, Safepoint};
use crate::{Engine, ValType};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Places that are remembered at once, for any number of calls.
const MOST_SITES: usize = 4096;
/// And at least.
const LEAST_SITES: usize = 32;
/// Slots that a place may be in: with one, half of 3000 places pushed each other out.
const PROBES: usize = 4;
/// Longer lists give their room back.
const KEPT_VALUES: usize = 8;

/// A safepoint, and where the values of a call are that is at it.
#[derive(Debug)]
pub(super) struct Site {
    /// Index of the function in its module.
    pub(super) function: u32,
    pub(super) safepoint: Safepoint,
    /// Type and first cell of each local.
    pub(super) locals: Vec<(ValType, usize)>,
    /// Cells of all locals.
    pub(super) local_cells: usize,
}

impl Site {
    /// How many values a call has that is there.
    pub(super) fn value_count(&self) -> usize {
        self.locals.len() + self.safepoint.operands.len()
    }
}

/// A site that was read, with its address in the code.
type Slot = Option<(usize, Site)>;

/// The sites that were read last, by code address.
pub(super) struct Sites<'a> {
    engine: &'a Engine,
    /// A power of two of them.
    read: Box<[Slot]>,
}

/// Why there is no site.
#[derive(Debug, Clone, Copy)]
pub(super) enum NoSite {
    /// The address is in no function, or its map leaves it out.
    Unknown,
    /// The function is known; nothing is where fuel ran out.
    BetweenSafepoints,
}

impl<'a> Sites<'a> {
    /// For a stack of so many calls.
    pub(super) fn new(engine: &'a Engine, calls: usize) -> Sites<'a> {
        Sites {
            engine,
            read: (0..slot_count(calls)).map(|_| None).collect(),
        }
    }

    /// Heap that sites take at most: for so many calls, of `largest` cells at most, and of `all` together. Lists have
    /// room for no more than the values of their call, and for a few.
    pub(super) fn bytes(calls: usize, largest: usize, all: usize) -> usize {
        let cell = size_of::<Operand>().max(size_of::<(ValType, usize)>());
        let few = KEPT_VALUES * (size_of::<Operand>() + size_of::<(ValType, usize)>());
        let slots = slot_count(calls);
        // Besides those that are kept, the one that is paused or being read.
        (all + largest) * cell + (slots + 1) * (few + size_of::<Slot>())
    }

    /// The site of a call that returns to `address`.
    pub(super) fn call(&mut self, address: usize) -> Option<&Site> {
        let slot = self.slot_of(address);
        let slot = &mut self.read[slot];
        if slot.as_ref().is_none_or(|(known, _)| *known != address) {
            // The old one goes first: both are not counted.
            let room = slot.take().map_or(Room::default(), |(_, site)| site.room());
            let site = read(self.engine, address, Wanted::Call, room).ok()?;
            *slot = Some((address, site));
        }
        slot.as_ref().map(|(_, site)| site)
    }

    /// The slot that has an address, or is to have it. Calls of one kind lie equally far apart in the code, so
    /// addresses are scattered (Knuth, multiplicative hashing).
    fn slot_of(&self, address: usize) -> usize {
        let scattered = (address / super::CODE_UNIT).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let first = scattered >> (usize::BITS - self.read.len().trailing_zeros());
        let mut near = (0..PROBES).map(|probe| (first + probe) % self.read.len());
        let it_or_free = near.find(|slot| {
            let read = self.read[*slot].as_ref();
            read.is_none_or(|(known, _)| *known == address)
        });
        it_or_free.unwrap_or(first)
    }

    /// The site where fuel ran out at `address`.
    pub(super) fn pause(&self, address: usize) -> Result<Site, NoSite> {
        read(self.engine, address, Wanted::Pause, Room::default())
    }
}

/// A power of two.
fn slot_count(calls: usize) -> usize {
    match calls {
        ..=LEAST_SITES => LEAST_SITES,
        MOST_SITES.. => MOST_SITES,
        _ => calls.next_power_of_two(),
    }
}

/// Lists to be filled.
#[derive(Default)]
struct Room {
    locals: Vec<(ValType, usize)>,
    operands: Vec<Operand>,
}

impl Site {
    fn room(self) -> Room {
        let (locals, operands) = (self.locals, self.safepoint.operands);
        match locals.capacity().max(operands.capacity()) <= KEPT_VALUES {
            true => Room { locals, operands },
            false => Room::default(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Call,
    Pause,
}

fn read(engine: &Engine, address: usize, wanted: Wanted, room: Room) -> Result<Site, NoSite> {
    let entry = engine.function_at(address);
    let translated = entry.and_then(|entry| entry.translated());
    let translated = translated.ok_or(NoSite::Unknown)?;
    let head = translated.map.head().ok_or(NoSite::Unknown)?;
    let offset = address - translated.code.as_ptr().addr();
    let (is_wanted, nothing): (fn(At) -> bool, _) = match wanted {
        Wanted::Call => (|at| at == At::Call, NoSite::Unknown),
        Wanted::Pause => (|at| at != At::Call, NoSite::BetweenSafepoints),
    };
    let safepoint = translated
        .map
        .at_offset(&head, offset, is_wanted, room.operands);
    let mut safepoint = safepoint.ok_or(nothing)?;
    let locals = head.each_local(room.locals);
    for operand in &mut safepoint.operands {
        if let Place::Local(index) = operand.place {
            let (_, cell) = locals.get(index as usize).ok_or(NoSite::Unknown)?;
            // From here on a cell of the call, whichever it mirrors.
            operand.place = Place::Local(u32::try_from(*cell).map_err(|_| NoSite::Unknown)?);
        }
    }
    Ok(Site {
        function: head.function,
        locals,
        local_cells: head.local_cells(),
        safepoint,
    })
}
