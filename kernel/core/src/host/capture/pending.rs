//! The call that waits, as plain data, and what each call can wait for.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use sos_abi::wasi::WasiCall;
use sos_abi::{CallId, HostCall, ValueType};

use super::RestoreError;
use crate::host::pending::{ARGUMENTS, Pending, Wait};
use crate::machine::Time;
use crate::net::stack::{SocketId, SocketKind};

/// A blocked call. Calls are stored by name, since only names are the same in every kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingState {
    module: String,
    name: String,
    /// Those that the call has, each as its type says.
    arguments: Vec<u64>,
    wait: Wait,
}

impl PendingState {
    /// The call, if this kernel has it.
    pub fn call(&self) -> Option<HostCall> {
        HostCall::from_import(&self.module, &self.name)
    }

    /// A blocked call as plain data.
    pub(super) fn capture(pending: &Pending) -> PendingState {
        let Pending {
            call,
            arguments,
            wait,
        } = *pending;
        let parameters = call.signature().parameters;
        let argument = |(&cell, &kind): (&u64, &ValueType)| match kind {
            // The upper half of the cell may hold anything.
            ValueType::I32 => u64::from(cell as u32),
            ValueType::I64 => cell,
        };
        PendingState {
            module: call.module().into(),
            name: call.name().into(),
            arguments: arguments.iter().zip(parameters).map(argument).collect(),
            wait,
        }
    }

    /// The blocked call that this claims to be, at guest time `now`, in an instance whose sockets
    /// `kind_of` knows.
    pub(super) fn restore(
        &self,
        now: Time,
        kind_of: impl Fn(SocketId) -> Option<SocketKind>,
    ) -> Result<Pending, RestoreError> {
        let call = self.call().ok_or(RestoreError::UnknownCall)?;
        let refused = RestoreError::Pending(call);
        if self.arguments.len() != call.signature().parameters.len() {
            return Err(refused);
        }
        let mut arguments = [0; ARGUMENTS];
        arguments[..self.arguments.len()].copy_from_slice(&self.arguments);
        let is_possible = match self.wait {
            Wait::Lookup(query) => kind_of(query) == Some(SocketKind::Query),
            Wait::OneOf { since, .. } => since <= now,
            Wait::Event
            | Wait::Turn
            | Wait::Until(_)
            | Wait::Connection(_)
            | Wait::Piece { .. }
            | Wait::Rest { .. }
            | Wait::Listing { .. } => true,
        };
        if !is_possible || !waits_like_that(call, self.wait) {
            return Err(refused);
        }
        Ok(Pending {
            call,
            arguments,
            wait: self.wait,
        })
    }
}

#[cfg(test)]
impl PendingState {
    pub(super) fn set_wait(&mut self, wait: Wait) {
        self.wait = wait;
    }

    pub(super) fn set_name(&mut self, name: &str) {
        self.name = name.into();
    }

    pub(super) fn drop_argument(&mut self) {
        self.arguments.pop();
    }
}

/// Whether a call can wait for this.
fn waits_like_that(call: HostCall, wait: Wait) -> bool {
    match call {
        HostCall::Sos(call) => native_waits(call, wait),
        HostCall::Wasi(call) => wasi_waits(call, wait),
    }
}

fn native_waits(call: CallId, wait: Wait) -> bool {
    match wait {
        Wait::Event => matches!(
            call,
            CallId::ConsoleWrite
                | CallId::ConsoleRead
                | CallId::TcpAccept
                | CallId::TcpRead
                | CallId::TcpWrite
                | CallId::UdpSendTo
                | CallId::UdpReceiveFrom
                | CallId::Poll
        ),
        Wait::Turn => call == CallId::YieldNow,
        Wait::Until(_) => matches!(call, CallId::Sleep | CallId::Poll),
        Wait::Connection(_) => call == CallId::TcpConnect,
        Wait::Lookup(_) => call == CallId::DnsLookup,
        Wait::Piece { .. } | Wait::Rest { .. } | Wait::Listing { .. } | Wait::OneOf { .. } => false,
    }
}

fn wasi_waits(call: WasiCall, wait: Wait) -> bool {
    match wait {
        Wait::Event => matches!(
            call,
            WasiCall::FdRead
                | WasiCall::FdWrite
                | WasiCall::SockAccept
                | WasiCall::SockRecv
                | WasiCall::SockSend
        ),
        Wait::Turn => call == WasiCall::SchedYield,
        Wait::Piece { .. } => matches!(
            call,
            WasiCall::SockRecv | WasiCall::RandomGet | WasiCall::FdFilestatSetSize
        ),
        Wait::Rest { .. } => call == WasiCall::SockRecv,
        Wait::Listing { .. } => call == WasiCall::FdReaddir,
        Wait::OneOf { .. } => call == WasiCall::PollOneoff,
        Wait::Until(_) | Wait::Connection(_) | Wait::Lookup(_) => false,
    }
}
