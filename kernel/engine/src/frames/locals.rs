//! The locals of a function, parameters among them: as runs of one type, and where their cells are.

use super::map::cells_of;
use crate::ValType;
use alloc::vec::Vec;

/// The locals of one function.
#[derive(Debug, Default)]
pub(crate) struct Locals {
    runs: Vec<LocalRun>,
    count: usize,
    cells: usize,
}

/// Locals of one type in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalRun {
    pub(crate) value_type: ValType,
    pub(crate) count: usize,
    /// Index of the first.
    index: usize,
    /// Its first cell.
    pub(crate) cell: usize,
}

impl Locals {
    /// Heap that those of a function with so many cells take at most.
    pub(crate) fn bytes(cells: usize) -> usize {
        cells * size_of::<LocalRun>()
    }

    /// None any more, with room for so many runs.
    pub(crate) fn clear(&mut self, runs: usize) {
        self.runs.clear();
        self.runs.reserve_exact(runs);
        (self.count, self.cells) = (0, 0);
    }

    /// Adds a run.
    pub(crate) fn push(&mut self, value_type: ValType, count: usize) {
        self.runs.push(LocalRun {
            value_type,
            count,
            index: self.count,
            cell: self.cells,
        });
        self.count += count;
        self.cells += cells_of(value_type) * count;
    }

    /// How many locals there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Cells of all locals.
    pub(crate) fn cells(&self) -> usize {
        self.cells
    }

    /// All runs.
    pub(crate) fn runs(&self) -> &[LocalRun] {
        &self.runs
    }

    /// The type of each local and its first cell.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ValType, usize)> + '_ {
        self.runs.iter().flat_map(|run| {
            let cell = |index| run.cell + index * cells_of(run.value_type);
            (0..run.count).map(move |index| (run.value_type, cell(index)))
        })
    }

    /// The first cell of the local of this index.
    pub(crate) fn cell(&self, index: usize) -> Option<usize> {
        if index >= self.count {
            return None;
        }
        // Without vectors they are one and the same.
        if self.cells == self.count {
            return Some(index);
        }
        let after = self.runs.partition_point(|run| run.index <= index);
        let run = self.runs.get(after.checked_sub(1)?)?;
        Some(run.cell + (index - run.index) * cells_of(run.value_type))
    }
}
