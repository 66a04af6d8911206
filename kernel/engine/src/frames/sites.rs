//! What the maps tell of the calls of one stack. Calls are gathered by the place that they return to, and places
//! are read in the order of the code, so that each is read once and with what its neighbours told (`pass`).

use super::locals::Locals;
use super::map::Operand;
use super::pass::Pass;
use super::{At, CODE_UNIT};
use crate::Engine;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// Operands that there is room for beyond those of the largest call, for the safepoints that are passed by.
const SPARE_OPERANDS: usize = 32;
/// No call, and no place.
const NONE: u32 = u32::MAX;

/// A safepoint, and where the values of a call are that is at it.
pub(super) struct Site<'a> {
    /// Index of the function in its module.
    pub(super) function: u32,
    pub(super) operator: u32,
    pub(super) at: At,
    pub(super) locals: &'a Locals,
    pub(super) operands: &'a [Operand],
}

impl Site<'_> {
    /// How many values a call has that is there.
    pub(super) fn value_count(&self) -> usize {
        self.locals.count() + self.operands.len()
    }
}

/// Why there is no site.
#[derive(Debug, Clone, Copy)]
pub(super) enum NoSite {
    /// The address is in no function, or its map leaves it out.
    Unknown,
    /// The function is known; nothing is where fuel ran out.
    BetweenSafepoints,
}

/// Reads sites, those of one function after each other in ascending order.
pub(super) struct Sites<'a> {
    engine: &'a Engine,
    /// Where the index of functions was read last.
    near: usize,
    function: Option<Function<'a>>,
    locals: Locals,
    operands: Vec<Operand>,
}

/// The function that is being read.
struct Function<'a> {
    code: Range<usize>,
    index: u32,
    pass: Pass<'a>,
}

impl<'a> Sites<'a> {
    /// For calls of so many cells at most.
    pub(super) fn new(engine: &'a Engine, largest: usize) -> Sites<'a> {
        Sites {
            engine,
            near: 0,
            function: None,
            locals: Locals::default(),
            operands: Vec::with_capacity(largest + SPARE_OPERANDS),
        }
    }

    /// Heap that they take at most.
    pub(super) fn bytes(largest: usize) -> usize {
        let operands = (largest + SPARE_OPERANDS) * size_of::<Operand>();
        operands + Locals::bytes(largest)
    }

    /// The site of a call that returns to `address`.
    pub(super) fn call(&mut self, address: usize) -> Option<Site<'_>> {
        let is_known = |function: &Function<'_>| function.code.contains(&address);
        if !self.function.as_ref().is_some_and(is_known) {
            self.enter(address)?;
        }
        self.read(address, |at| at == At::Call)
    }

    /// The site where fuel ran out at `address`.
    pub(super) fn pause(&mut self, address: usize) -> Result<Site<'_>, NoSite> {
        self.enter(address).ok_or(NoSite::Unknown)?;
        let site = self.read(address, |at| at != At::Call);
        site.ok_or(NoSite::BetweenSafepoints)
    }

    /// The next site may be anywhere.
    pub(super) fn leave(&mut self) {
        self.function = None;
    }

    /// Begins with the function that `address` is in.
    fn enter(&mut self, address: usize) -> Option<()> {
        let function = self.engine.function_at(address, &mut self.near)?;
        let translated = function.translated()?;
        let head = translated.map.head_with(&mut self.locals)?;
        let start = translated.code.as_ptr().addr();
        self.function = Some(Function {
            code: start..start + translated.code.len(),
            index: head.function,
            pass: Pass::new(translated.map, &head),
        });
        Some(())
    }

    fn read(&mut self, address: usize, wanted: impl Fn(At) -> bool) -> Option<Site<'_>> {
        let function = self.function.as_mut()?;
        let offset = address - function.code.start;
        if !offset.is_multiple_of(CODE_UNIT) {
            return None;
        }
        let units = u32::try_from(offset / CODE_UNIT).ok()?;
        let record = function.pass.seek(units, wanted, &mut self.operands)?;
        Some(Site {
            function: function.index,
            operator: record.operator,
            at: record.at,
            locals: &self.locals,
            operands: &self.operands,
        })
    }
}

/// The places that the calls of a stack return to, in the order of the code, each with its calls.
pub(super) struct Places {
    /// Address and the last call that returns there.
    places: Vec<(usize, u32)>,
    /// For each call another one of its place.
    next: Vec<u32>,
}

impl Places {
    /// Of calls with these return addresses.
    pub(super) fn new(addresses: impl ExactSizeIterator<Item = usize>) -> Places {
        let count = addresses.len();
        let mut known = vec![NONE; slot_count(count)];
        let shift = usize::BITS - known.len().trailing_zeros();
        let mut places: Vec<(usize, u32)> = Vec::with_capacity(count);
        let mut next = Vec::with_capacity(count);
        let mut last = NONE;
        for (call, address) in (0..).zip(addresses) {
            let at = |place: u32| places.get(place as usize).map(|(address, _)| *address);
            if at(last) != Some(address) {
                // Calls of one kind lie equally far apart in the code, so addresses are scattered (Knuth,
                // multiplicative hashing).
                let scattered = (address / CODE_UNIT).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mut slot = scattered >> shift;
                while known[slot] != NONE && at(known[slot]) != Some(address) {
                    slot = (slot + 1) % known.len();
                }
                if known[slot] == NONE {
                    known[slot] = places.len() as u32;
                    places.push((address, NONE));
                }
                last = known[slot];
            }
            let latest = &mut places[last as usize].1;
            next.push(core::mem::replace(latest, call));
        }
        places.sort_unstable_by_key(|(address, _)| *address);
        Places { places, next }
    }

    /// Heap that they take at most.
    pub(super) fn bytes(calls: usize) -> usize {
        let call = size_of::<(usize, u32)>() + size_of::<u32>();
        calls * call + slot_count(calls) * size_of::<u32>()
    }

    /// Each address with its calls.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = usize> + '_)> {
        self.places.iter().map(|&(address, last)| {
            let another = |call: &u32| Some(self.next[*call as usize]).filter(|call| *call != NONE);
            let first = Some(last).filter(|call| *call != NONE);
            let calls = core::iter::successors(first, another);
            (address, calls.map(|call| call as usize))
        })
    }
}

/// A power of two, so that half of them stay free.
fn slot_count(calls: usize) -> usize {
    (2 * calls).next_power_of_two().max(2)
}
