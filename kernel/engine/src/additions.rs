//! What SOS adds to wasmi's interface: instantiation without effects, host functions over raw
//! cells that know their caller's memory, stack limits per store, and the figures of a store's memories.

use crate::engine::executor::{CellError, CellsReader, LiftFromCells};
use crate::func::{HostFuncEntity, TrampolineEntity};
use crate::store::AsStoreId;
use crate::{
    CallTrace, Caller, EnforcedLimits, Engine, Error, Extern, FreezeError, FrozenMemory, Func,
    FuncType, GuestMemory, Handle, Instance, Memory, MemoryType, Module, StackConfig, Store,
};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use wasmi_core::MemoryError;

/// Most parameters of a function made by [`Func::from_cells`].
const MAXIMUM_PARAMETERS: usize = 16;

/// Whether instantiation applies the active data and element segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Segments {
    /// As WebAssembly says: at the first start.
    #[default]
    Applied,
    /// Checked that they fit, and left to [`Store::apply_segments`].
    Deferred,
    /// Left out: memories and tables get their contents from a snapshot, and are not touched.
    Skipped,
}

impl Segments {
    pub(crate) fn are_applied(self) -> bool {
        matches!(self, Segments::Applied)
    }

    /// Whether they must fit.
    pub(crate) fn are_checked(self) -> bool {
        !matches!(self, Segments::Skipped)
    }
}

/// Where the application of an instance's active segments is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SegmentPosition {
    /// Number of the segment: those of elements come first.
    pub segment: u32,
    /// How many of its elements or bytes are applied.
    pub done: u64,
}

impl SegmentPosition {
    /// The segment is applied.
    pub(crate) fn next(&mut self) {
        self.segment += 1;
        self.done = 0;
    }
}

/// How deep one store's calls may go. Beyond, the call traps with a stack overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackLimits {
    /// Bytes of locals and operands of all frames.
    pub value_bytes: usize,
    /// Calls inside calls.
    pub call_depth: usize,
}

/// Our part of a store.
#[derive(Debug, Default)]
pub struct StoreAdditions {
    supplied: VecDeque<GuestMemory>,
    pub(crate) start: Option<Func>,
    pub(crate) segments: Segments,
    pub(crate) stack: Option<StackConfig>,
    /// Where the last call that ended with an error was.
    pub(crate) trace: Option<CallTrace>,
}

impl StoreAdditions {
    /// The bytes for the memory that is being created.
    pub(crate) fn next_memory(&mut self) -> Result<GuestMemory, MemoryError> {
        self.supplied
            .pop_front()
            .ok_or(MemoryError::OutOfSystemMemory)
    }
}

impl Module {
    /// The memories that the module defines itself, in order: each wants bytes from the kernel.
    pub fn defined_memories(&self) -> impl ExactSizeIterator<Item = MemoryType> + '_ {
        self.internal_memories().copied()
    }

    /// Whether the application of active segments may be at `position`.
    pub fn has_segment_position(&self, position: SegmentPosition) -> bool {
        let SegmentPosition { segment, done } = position;
        self.active_length(segment as usize).map_or(
            done == 0 && segment as usize == self.segment_count(),
            |length| done <= length as u64,
        )
    }

    /// Elements of all its passive segments, which are evaluated in one piece when an instance is made.
    pub fn passive_element_items(&self) -> usize {
        let segments = self.passive_elements();
        segments.map(|index| self.element_items(index)).sum()
    }

    /// How many things an instance has that a capture of its store looks at one by one, beside the elements of
    /// tables: imports, globals, tables, memories, and passive segments.
    pub fn captured_items(&self) -> usize {
        let defined = self.len_globals() + self.len_tables() + self.len_memories();
        let segments = self.passive_elements().count() + self.passive_data().count();
        self.imports().count() + defined + segments
    }
}

impl MemoryType {
    /// Bytes of a page: 65 536 unless the module says otherwise.
    pub fn page_bytes(self) -> u64 {
        1 << self.page_size_log2()
    }
}

impl Instance {
    /// The instance's memory `index`, exported or not.
    pub fn memory<T>(&self, store: &Store<T>, index: u32) -> Option<Memory> {
        let entity = store.inner.resolve_instance(self);
        entity.get_memory(entity.layout().memory_addr(index)?)
    }
}

impl Memory {
    /// Whether both are the same memory.
    pub fn is(&self, other: &Memory) -> bool {
        self.as_raw() == other.as_raw()
    }
}

impl EnforcedLimits {
    /// The most of each kind of item that a module may have.
    pub fn new(counts: ItemCounts) -> EnforcedLimits {
        EnforcedLimits {
            max_functions: Some(counts.functions),
            max_globals: Some(counts.globals),
            max_tables: Some(counts.tables),
            max_memories: Some(counts.memories),
            max_element_segments: Some(counts.segments),
            max_data_segments: Some(counts.segments),
            max_results: Some(counts.results),
            ..EnforcedLimits::default()
        }
    }
}

/// How many items of each kind a module may have. Segments: of each of the two kinds; results: of one
/// function or block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are the kinds
pub struct ItemCounts {
    pub functions: u32,
    pub globals: u32,
    pub tables: u32,
    pub memories: u32,
    pub segments: u32,
    pub results: usize,
}

impl<T> Store<T> {
    /// Makes an instance of `module`, and returns its start function without running it.
    ///
    /// `memories` are the bytes of [`Module::defined_memories`], in order.
    ///
    /// # Errors
    /// When an import has the wrong type, a memory is missing or too short, a table is refused by
    /// the limiter, or an active segment does not fit.
    pub fn instantiate(
        &mut self,
        module: &Module,
        imports: Vec<Extern>,
        memories: Vec<GuestMemory>,
        segments: Segments,
    ) -> Result<(Instance, Option<Func>), Error> {
        assert!(
            Engine::same(self.engine(), module.engine()),
            "module of another engine"
        );
        self.inner.additions.supplied = memories.into();
        self.inner.additions.segments = segments;
        let instance = module.instantiate(&mut *self, imports);
        let left = core::mem::take(&mut self.inner.additions.supplied);
        let start = self.inner.additions.start.take();
        let instance = instance?;
        debug_assert!(
            left.is_empty(),
            "more memories were supplied than the module defines"
        );
        Ok((instance, start))
    }

    /// Applies active segments of `instance`, made of `module` with [`Segments::Deferred`], from `position` on. Goes on
    /// until `fuel` is `spent`, but for one piece of 64 KiB at least, which may cost more. Tells whether all are
    /// applied; `None` when one does not fit.
    pub fn apply_segments(
        &mut self,
        module: &Module,
        instance: Instance,
        position: &mut SegmentPosition,
        fuel: u64,
        spent: &mut u64,
    ) -> Option<bool> {
        module.apply_segments(&mut self.inner, instance, position, fuel, spent)
    }

    /// Bounds the calls that begin from now on.
    pub fn set_stack_limits(&mut self, limits: StackLimits) {
        let mut config = StackConfig::default();
        config.set_max_recursion_depth(limits.call_depth);
        let minimum = config.min_stack_height().min(limits.value_bytes);
        // The order keeps minimum <= maximum at each step, which is all that is checked.
        let _ = config.set_min_stack_height(minimum);
        let _ = config.set_max_stack_height(limits.value_bytes);
        self.inner.additions.stack = Some(config);
    }

    /// Declared (current) bytes of each memory, in the order in which they came to be.
    pub fn memory_sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.inner
            .memories
            .iter()
            .map(|(_, memory)| memory.data_size())
    }

    /// Declared (current) bytes of all memories.
    pub fn memory_bytes(&self) -> usize {
        self.memory_sizes().sum()
    }

    /// Bytes of the pages of all memories that were touched.
    pub fn resident_bytes(&self) -> usize {
        self.inner
            .memories
            .iter()
            .map(|(_, memory)| memory.guest().resident_bytes())
            .sum()
    }

    /// What all memories hold now, in the order in which they came to be: that of the
    /// instantiations, and in each that of the memories that its module defines. `&mut self` says
    /// that no call runs; one that is suspended holds no pointer into a memory, and goes on.
    ///
    /// # Errors
    /// That of the first memory that was not frozen. All go on as before.
    pub fn freeze_memories(&mut self) -> Result<Vec<FrozenMemory>, FreezeError> {
        let memories = self.inner.memories.iter_mut();
        memories.map(|(_, memory)| memory.freeze()).collect()
    }

    /// Whether a touch of some memory found no page since this was last asked.
    pub fn take_exhausted(&self) -> bool {
        // Every flag is cleared, so no short-circuit.
        self.inner
            .memories
            .iter()
            .fold(false, |exhausted, (_, memory)| {
                memory.guest().take_exhausted() | exhausted
            })
    }
}

impl<T> Caller<'_, T> {
    /// Memory 0 of the module that makes the call, exported or not; none when the
    /// host itself makes it.
    pub fn memory(&self) -> Option<Memory> {
        let instance = self.instance.as_ref()?;
        // SAFETY: the executor gives the instance that is running, whose entity the store owns and
        // never moves or drops while it lives; `self` borrows the store. (As wasmi's `get_export`.)
        let entity = unsafe { instance.as_ptr().as_ref() };
        entity.get_memory(entity.layout().memory_addr(0)?)
    }
}

impl Func {
    /// A host function that gets its parameters as the raw bits that the stack holds (an `i32` or
    /// `f32` in the low half) and returns its result the same way; ignored when it has none.
    ///
    /// Faster than [`Func::new`], which allocates at each call, and able to serve any signature of
    /// scalar parameters at run time, which [`Func::wrap`] cannot.
    ///
    /// # Panics
    /// When `signature` has more than 16 parameters, more than one result, or vectors.
    pub fn from_cells<T: 'static>(
        store: &mut Store<T>,
        signature: &FuncType,
        function: impl Fn(Caller<'_, T>, &[u64]) -> Result<u64, Error> + Send + Sync + 'static,
    ) -> Func {
        let parameters = signature.params().len();
        let results = signature.results().len();
        assert!(
            parameters <= MAXIMUM_PARAMETERS && results <= 1,
            "signature: {signature:?}"
        );
        let trampoline = TrampolineEntity::new(move |caller: Caller<'_, T>, inout| {
            let id = crate::AsContext::as_context(&caller).store.inner.id();
            let mut cells = [0; MAXIMUM_PARAMETERS];
            let decoded = inout.decode_params_into(id, RawCells(&mut cells[..parameters]));
            debug_assert!(decoded.is_ok());
            let result = function(caller, &cells[..parameters])?;
            let encoded = match results {
                0 => inout.encode_results(id, ()),
                _ => inout.encode_results(id, result),
            };
            // The number of cells was fixed from the signature above.
            encoded.map_err(|_| Error::new("host function result does not fit its signature"))
        });
        let trampoline = store.alloc_trampoline(trampoline);
        let entity = HostFuncEntity::new(store.engine(), signature, trampoline);
        store.inner.alloc_func(entity.into())
    }
}

/// Parameter cells, taken as they are.
struct RawCells<'a>(&'a mut [u64]);

impl LiftFromCells for RawCells<'_> {
    type Value = ();

    fn lift_from_cells(
        self,
        _store: impl AsStoreId,
        cells: &mut impl CellsReader,
    ) -> Result<(), CellError> {
        for value in self.0 {
            *value = cells.next()?.into();
        }
        Ok(())
    }
}
