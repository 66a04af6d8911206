//! Which function of an engine a code address lies in.
//!
//! The index is made at the first capture and again when an address is not in it: functions are
//! only ever added to an engine, and their code never moves.

use alloc::vec::Vec;
use spin::RwLock;

/// The code of all functions, in the order of addresses.
#[derive(Debug, Default)]
pub(crate) struct FrameIndex {
    codes: RwLock<Vec<Code>>,
}

#[derive(Debug, Clone, Copy)]
struct Code {
    start: usize,
    end: usize,
    function: u32,
}

impl FrameIndex {
    /// Heap that the next [`find`](Self::find) takes at most, among `count` functions.
    pub(crate) fn find_bytes(&self, count: usize) -> usize {
        match self.codes.read().len() == count {
            true => 0,
            false => count * size_of::<Code>(),
        }
    }

    /// The number of the function that `address` lies in; `near` is where an address was found before, and becomes where
    /// this one is: those that ascend are found next to each other. `all` gives the code of every function, of
    /// which there are at most `count`.
    pub(crate) fn find<'a, All: Iterator<Item = (u32, &'a [u8])>>(
        &self,
        address: usize,
        near: &mut usize,
        count: usize,
        all: impl FnOnce() -> All,
    ) -> Option<u32> {
        let found = search(&self.codes.read(), address, near);
        if found.is_some() {
            return found;
        }
        let mut codes = Vec::with_capacity(count);
        codes.extend(all().map(|(function, code)| Code {
            start: code.as_ptr().addr(),
            end: code.as_ptr().addr() + code.len(),
            function,
        }));
        codes.sort_unstable_by_key(|code| code.start);
        let found = search(&codes, address, near);
        *self.codes.write() = codes;
        found
    }
}

/// An address just behind a function's code is not of the function: no call returns there.
fn search(codes: &[Code], address: usize, near: &mut usize) -> Option<u32> {
    for index in [*near, near.saturating_add(1)] {
        if let Some(code) = codes.get(index)
            && (code.start..code.end).contains(&address)
        {
            *near = index;
            return Some(code.function);
        }
    }
    let after = codes.partition_point(|code| code.start <= address);
    let index = after.checked_sub(1)?;
    let code = codes.get(index)?;
    *near = index;
    (address < code.end).then_some(code.function)
}
