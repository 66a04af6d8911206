//! The interface between an SOS instance and its kernel, listed once.
//!
//! [`host_calls!`] is the table (D8): number, name, parameters, result, errors and one sentence of
//! each call. The kernel's dispatch ([`CallId`]), the engine's import types ([`Signature`]), the
//! SDK's `extern` block, `kernel/ABI.md` ([`reference::render`]) and the C header ([`header::render`]) derive from it.
//! Beside it: [`wasi`], the functions of WASI preview 1 ([`HostCall`] is either kind), [`ErrorCode`], the flags in [`constants`] and the structs in [`wire`].
//!
//! Numbers and names are append-only: a call, an error or a flag never changes its meaning.
#![no_std]
#![forbid(unsafe_code)]

mod call;
pub mod constants;
mod error;
pub mod header;
mod host_call;
pub mod reference;
mod table;
pub mod wasi;
pub mod wire;

pub use call::{CallId, Signature, ValueType};
pub use constants::*;
pub use error::ErrorCode;
pub use host_call::HostCall;
pub use wire::{PollEntry, SocketAddress};

/// The module name under which guests import every call of the table.
pub const MODULE: &str = "sos";
