//! The engine seam: the only part of core that knows wasmi (`sos_engine`).
//!
//! [`Engine::begin`] checks a module and translates it once, in steps ([`Loading`]); [`Execution`] is one instance of it
//! with its memories and its guest state, run in slices of fuel and suspended by blocking host
//! calls. Host calls arrive at [`HostState`](super::HostState) by their number in `sos_abi`.
//!
//! One fuel is about one operator. A slice is exceeded only by what is indivisible: a basic block,
//! or a bulk operation, which gets the fuel that it asks for (64 bytes each) in one piece.

mod backtrace;
mod bounds;
mod calls;
mod execution;
mod load;
mod loading;
mod session;
mod stop;
#[cfg(test)]
mod tests;

pub use backtrace::{Backtrace, Frame, Place};
pub use bounds::{EngineLimits, MemoryRequest, StartError};
pub use execution::Execution;
pub use load::{Engine, FunctionName, Item, LoadError, Module};
pub use loading::{Loading, Progress};
pub use session::{InstanceId, ModuleId, Session, SessionError, Value};
pub use stop::{Retry, Stop, Trap, TrapReason};
