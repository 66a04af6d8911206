//! Host calls: what a guest may ask of the kernel (the table is `sos-abi`).
//!
//! [`Guest`] is everything that a call may touch of its instance: rings, clock, random numbers,
//! configuration, network stack, handles, and the call that waits. It serves the engine through
//! [`HostState`](crate::instance::HostState); no engine type appears here. One file per group of
//! calls; `memory` checks what a guest says about its memory, `pending` is a call that waits, as
//! plain data (D4).

mod capture;
mod clock;
mod config;
mod console;
mod dns;
mod guest;
mod handles;
mod identity;
mod log;
mod memory;
mod pending;
mod poll;
mod random;
mod ring;
mod streams;
mod tcp;
mod time;
mod udp;
mod wasi;

#[cfg(test)]
mod tests;

pub use capture::{GuestRevival, GuestState, PendingState, RestoreError};
pub use clock::{CpuClock, GuestClock};
pub use guest::{Guest, GuestSetup};
pub use handles::{Handle, HandleTable};
pub use identity::{Identity, Revival, Revivals};
pub use log::{LogLevel, LogLine, LogRing};
pub use memory::{Arguments, GuestSlice};
pub use pending::{Pending, Wait};
pub use ring::ByteRing;
pub use streams::{Input, OutputStream, Streams, StreamsTo};
