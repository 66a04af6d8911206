//! The engine seam: the only part of core that knows wasmi (`sos_engine`).
//!
//! [`Engine::begin`] checks, translates and links a set of modules once, in steps ([`Loading`]), to a
//! [`Program`]. [`Execution`] is one instance of it with its memories and its guest state, run in slices
//! of fuel and suspended by blocking host calls. Host calls arrive at
//! [`HostState`](super::HostState) by their number in `sos_abi`.
//!
//! [`Execution::capture`] tells all of it as plain data ([`ExecutionState`]) but the pages of its memories;
//! [`Execution::restore`] makes it again from that, which is not trusted.
//!
//! One fuel is about one operator. A slice is exceeded only by what is indivisible: a basic block,
//! a piece of a bulk operation (64 KiB at 64 bytes for one fuel), or `table.grow`.

mod backtrace;
mod bounds;
mod calls;
mod capture;
mod execution;
mod link;
mod load;
mod load_error;
mod loading;
mod restore;
mod session;
mod setup;
mod stop;
#[cfg(test)]
mod tests;
mod text;

pub use backtrace::{Backtrace, Frame, Place};
pub use bounds::{EngineLimits, MemoryRequest, StartError};
pub use capture::{CaptureError, ExecutionState, ProgressState};
pub use execution::{Execution, Root};
use load::ENTRY;
pub use load::{Engine, MAIN, Program, Source};
pub use load_error::{FunctionName, Item, LoadError, SetError};
pub use loading::{Loading, Progress};
pub use restore::{RestoreError, SupplyMemory};
pub use session::{InstanceId, ModuleId, Moving, Session, SessionError, Value};
pub use stop::{Retry, Stop, Trap, TrapReason};
