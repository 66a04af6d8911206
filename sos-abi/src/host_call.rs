//! Any call that a program may import, of either table.

use crate::wasi::{self, WasiCall};
use crate::{CallId, Signature};

/// A host call: native or of WASI preview 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostCall {
    /// Of the native table.
    Sos(CallId),
    /// Of WASI preview 1.
    Wasi(WasiCall),
}

impl HostCall {
    /// The call that a program imports as `module`.`name`.
    pub fn from_import(module: &str, name: &str) -> Option<HostCall> {
        match module {
            crate::MODULE => CallId::from_name(name).map(HostCall::Sos),
            wasi::MODULE => WasiCall::from_name(name).map(HostCall::Wasi),
            _ => None,
        }
    }

    /// The module name under which it is imported.
    pub const fn module(self) -> &'static str {
        match self {
            HostCall::Sos(_) => crate::MODULE,
            HostCall::Wasi(_) => wasi::MODULE,
        }
    }

    /// The name under which it is imported.
    pub const fn name(self) -> &'static str {
        match self {
            HostCall::Sos(call) => call.name(),
            HostCall::Wasi(call) => call.name(),
        }
    }

    /// The type of the import.
    pub const fn signature(self) -> Signature {
        match self {
            HostCall::Sos(call) => call.signature(),
            HostCall::Wasi(call) => call.signature(),
        }
    }
}

impl From<CallId> for HostCall {
    fn from(call: CallId) -> HostCall {
        HostCall::Sos(call)
    }
}

impl From<WasiCall> for HostCall {
    fn from(call: WasiCall) -> HostCall {
        HostCall::Wasi(call)
    }
}
