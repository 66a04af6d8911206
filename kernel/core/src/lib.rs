//! What SOS decides: instances, scheduling, virtual Ethernet, host calls, images and the shell.
//!
//! No unsafe code, no I/O, no clock and no randomness but what a [`machine::Machine`] passes in, so
//! that the same code runs on bare metal and in the simulator (D1). Modules, each using only those
//! before it: `limits`, `machine`, `log`, `image`; `net`; `files`; `instance`; `host`; `sched`;
//! `cluster`; `migrate`; `shell`, `control`; `kernel`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cluster;
pub mod conformance;
pub mod control;
pub mod files;
pub mod host;
pub mod image;
pub mod instance;
pub mod kernel;
pub mod keys;
pub mod limits;
pub mod log;
pub mod machine;
pub mod migrate;
pub mod net;
pub mod operator;
pub mod plain;
pub mod sched;
pub mod shell;
pub mod snapshot;
