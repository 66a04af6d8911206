//! The seam between the engine, which runs guest code, and host calls, which serve it.
//!
//! The engine owns the call's frame and the guest's memory; [`HostState`] (in `host`: `Guest`) owns
//! everything else that a call may touch. Neither knows the other's types.

use core::fmt;
use serde::{Deserialize, Serialize};
use sos_abi::HostCall;

/// What serves the host calls of one instance.
pub trait HostState {
    /// Carries out `call`. `arguments` are raw cells: an `i32` in the low 32 bits. `memory` is the
    /// calling module's memory 0 as it is now.
    fn call(&mut self, memory: &mut [u8], call: HostCall, arguments: &[u64]) -> Outcome;

    /// Continues the call that returned [`Outcome::Blocked`]; it may do so again.
    fn retry(&mut self, memory: &mut [u8]) -> Outcome;

    /// What the last `call` or `retry` cost, in fuel. The engine charges it, so that a storm of
    /// calls or of large copies ends a slice as computing does.
    fn cost(&self) -> u64;
}

/// How a host call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is over with this raw result: an `i32` zero-extended; 0 for a call without a result.
    Done(u64),
    /// It waits; [`HostState::retry`] continues it.
    Blocked,
    /// The guest ended itself with this status.
    Exit(i32),
    /// The call cannot be made; the instance stops.
    Fault(HostFault),
}

/// Why a call could not be made at all. None of these can be caused by a validated module: they say
/// that a restored state or the engine is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostFault {
    /// The number of arguments is not the one of the call's signature.
    Arguments(#[serde(with = "super::call_name")] HostCall),
    /// A call was made while this one waits.
    StillBlocked(#[serde(with = "super::call_name")] HostCall),
    /// A retry without a call that waits.
    NothingBlocked,
}

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostFault::Arguments(call) => {
                write!(
                    f,
                    "host call {} got a wrong number of arguments",
                    call.name()
                )
            }
            HostFault::StillBlocked(call) => {
                write!(f, "a host call was made while {} still waits", call.name())
            }
            HostFault::NothingBlocked => {
                f.write_str("a host call was to be continued but none waits")
            }
        }
    }
}
