//! What one execution may use, and the engine's side of keeping to it.

use super::load::Program;
use crate::image::InstanceLimits;
use crate::instance::{Limit, LimitSet};
use crate::limits;
use crate::machine::ReserveError;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use sos_engine::errors::{ErrorKind, InstantiationError, MemoryError, TableError};
use sos_engine::{Error, GuestMemory, LimiterError, MemoryType, ResourceLimiter, StackLimits};

/// What one execution may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineLimits {
    /// Most bytes of all memories together.
    pub memory_bytes: u64,
    /// Most elements of all tables together.
    pub table_elements: u64,
    /// Bytes of locals and operands of all frames.
    pub stack_bytes: u64,
    /// Calls inside calls.
    pub call_depth: u64,
}

impl Default for EngineLimits {
    fn default() -> EngineLimits {
        EngineLimits {
            memory_bytes: limits::MEMORY_BYTES,
            table_elements: limits::TABLE_ELEMENTS,
            stack_bytes: limits::STACK_BYTES,
            call_depth: limits::CALL_DEPTH,
        }
    }
}

impl EngineLimits {
    /// What the manifest grants.
    pub fn of(granted: &InstanceLimits) -> EngineLimits {
        EngineLimits {
            memory_bytes: granted.memory_bytes,
            table_elements: granted.table_elements,
            stack_bytes: granted.stack_bytes,
            call_depth: granted.call_depth,
        }
    }

    pub(super) fn stack(&self) -> StackLimits {
        StackLimits {
            value_bytes: usize::try_from(self.stack_bytes).unwrap_or(usize::MAX),
            call_depth: usize::try_from(self.call_depth).unwrap_or(usize::MAX),
        }
    }
}

/// What a module wants for one of its memories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRequest {
    /// Bytes that it begins with.
    pub minimum_bytes: u64,
    /// Bytes that it can grow to within the limits: the range to reserve.
    pub maximum_bytes: u64,
}

/// Why an instance did not come to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// Its memories begin above the limit.
    Memory {
        /// Bytes of all memories together.
        wanted_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The machine did not reserve a memory.
    Reserve(ReserveError),
    /// Its tables begin above the limit.
    Tables {
        /// The limit, in elements of all tables together.
        limit_elements: u64,
    },
    /// An active segment lies outside its memory or table.
    Segment,
    /// Anything else that the engine refuses.
    Engine {
        /// What it says.
        reason: Box<str>,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Memory {
                wanted_bytes,
                limit_bytes,
            } => write!(
                f,
                "instance begins with {wanted_bytes} bytes of memory, more than its limit of \
                 {limit_bytes}; raise `memory` in its manifest"
            ),
            StartError::Reserve(error) => error.fmt(f),
            StartError::Tables { limit_elements } => write!(
                f,
                "instance begins with more table elements than its limit of {limit_elements}; \
                 raise `table_elements` in its manifest"
            ),
            StartError::Segment => f.write_str(
                "a data or element segment lies outside its memory or table; build the module \
                 again",
            ),
            StartError::Engine { reason } => write!(f, "instance cannot start: {reason}"),
        }
    }
}

/// Has the kernel supply the memories that the modules of `program` define, within `limits`: for each
/// module, at its place.
pub(super) fn reserve(
    program: &Program,
    memories: &mut dyn FnMut(MemoryRequest) -> Result<GuestMemory, ReserveError>,
    limits: &EngineLimits,
) -> Result<Vec<Vec<GuestMemory>>, StartError> {
    // Validation bounds both counts of pages well below overflow for 32-bit memories; for 64-bit
    // ones saturation only means "too much".
    let bytes = |memory: MemoryType, pages: u64| pages.saturating_mul(memory.page_bytes());
    let modules = || program.modules.iter().map(|it| &it.translated.inner);
    let wanted_bytes = modules()
        .flat_map(|module| module.defined_memories())
        .fold(0_u64, |sum, memory| {
            sum.saturating_add(bytes(memory, memory.minimum()))
        });
    if wanted_bytes > limits.memory_bytes {
        let limit_bytes = limits.memory_bytes;
        return Err(StartError::Memory {
            wanted_bytes,
            limit_bytes,
        });
    }
    let spare_bytes = limits.memory_bytes - wanted_bytes;
    let mut reserve = |memory: MemoryType| {
        let minimum_bytes = bytes(memory, memory.minimum());
        let within_limit = minimum_bytes + spare_bytes;
        let declared = memory.maximum();
        let declared = declared.map_or(u64::MAX, |pages| bytes(memory, pages));
        let addressable = if memory.is_64() { u64::MAX } else { 1 << 32 };
        let maximum_bytes = within_limit.min(declared).min(addressable);
        memories(MemoryRequest {
            minimum_bytes,
            maximum_bytes,
        })
        .map_err(StartError::Reserve)
    };
    modules()
        .map(|module| module.defined_memories().map(&mut reserve).collect())
        .collect()
}

/// Sorts the engine's refusals of an instantiation.
pub(super) fn start_error(error: &Error, limits: &EngineLimits) -> StartError {
    match error.kind() {
        ErrorKind::Instantiation(InstantiationError::FailedToInstantiateTable(
            TableError::ResourceLimiterDeniedAllocation,
        )) => StartError::Tables {
            limit_elements: limits.table_elements,
        },
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. })
        | ErrorKind::Memory(MemoryError::OutOfBoundsAccess) => StartError::Segment,
        _ => StartError::Engine {
            reason: error.to_string().into_boxed_str(),
        },
    }
}

/// Counts what an execution has, and refuses growth beyond the limits: `grow` then returns -1.
#[derive(Debug)]
pub(super) struct Bounds {
    memory_bytes: u64,
    memory_limit: u64,
    table_elements: u64,
    /// `table_elements` before the last growth: it may yet fail for its maximum or for fuel.
    table_elements_before: u64,
    table_limit: u64,
    /// Modules of the set.
    modules: usize,
    /// What was refused so far.
    reached: LimitSet,
}

impl Bounds {
    pub(super) fn new(limits: &EngineLimits, modules: usize) -> Bounds {
        Bounds {
            modules,
            reached: LimitSet::default(),
            memory_bytes: 0,
            memory_limit: limits.memory_bytes,
            table_elements: 0,
            table_elements_before: 0,
            table_limit: limits.table_elements,
        }
    }
}

impl Bounds {
    /// The limits that were reached since the start.
    pub(super) fn reached(&self) -> LimitSet {
        self.reached
    }

    /// Takes over what another execution of the same instance reached.
    pub(super) fn restore_reached(&mut self, reached: LimitSet) {
        self.reached = reached;
    }

    fn note(&mut self, limit: Limit, total: Option<u64>) -> bool {
        if total.is_none() {
            self.reached.insert(limit);
        }
        total.is_some()
    }
}

/// `total` with `current` replaced by `desired`, unless that exceeds `limit`.
fn replaced(total: u64, current: usize, desired: usize, limit: u64) -> Option<u64> {
    let sum = total
        .saturating_sub(current as u64)
        .checked_add(desired as u64)?;
    (sum <= limit).then_some(sum)
}

impl ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        let total = replaced(self.memory_bytes, current, desired, self.memory_limit);
        self.memory_bytes = total.unwrap_or(self.memory_bytes);
        Ok(self.note(Limit::Memory, total))
    }

    fn memory_grow_failed(&mut self, _error: &MemoryError) -> Result<(), LimiterError> {
        // The reserved range ends where the limit does.
        self.reached.insert(Limit::Memory);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        let total = replaced(self.table_elements, current, desired, self.table_limit);
        self.table_elements_before = self.table_elements;
        self.table_elements = total.unwrap_or(self.table_elements);
        Ok(self.note(Limit::Tables, total))
    }

    fn table_grow_failed(&mut self, _error: &TableError) -> Result<(), LimiterError> {
        self.table_elements = self.table_elements_before;
        Ok(())
    }

    fn instances(&self) -> usize {
        self.modules
    }

    fn tables(&self) -> usize {
        limits::MODULE_TABLES as usize * self.modules
    }

    fn memories(&self) -> usize {
        limits::MODULE_MEMORIES as usize * self.modules
    }
}
