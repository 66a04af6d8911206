//! Asynchronous tasks: many things at once in one instance, with `async` and `await`.
//!
//! ```no_run
//! use sos_sdk::task::{self, net::TcpListener};
//!
//! async fn echo() -> sos_sdk::Result<()> {
//!     let listener = TcpListener::bind("0.0.0.0:7")?;
//!     loop {
//!         let (stream, _) = listener.accept().await?;
//!         task::spawn(async move {
//!             let mut buffer = [0; 4096];
//!             while let Ok(count @ 1..) = stream.read(&mut buffer).await {
//!                 if stream.write_all(&buffer[..count]).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!     }
//! }
//!
//! fn start() -> sos_sdk::Result<()> {
//!     task::block_on(echo())
//! }
//!
//! sos_sdk::main!(start);
//! ```
//!
//! [`block_on`] runs a future and all tasks that [`spawn`] makes, one at a time; when none can go on,
//! one `poll` host call waits for every socket and timer together. Tasks, timers and what they hold lie
//! in the instance's memory, so that a snapshot has them all. [`net`] has the sockets;
//! [`sleep`], [`timeout`], [`select`], [`join`] and [`yield_now`] combine futures. Everything is made of
//! plain futures and wakers: other crates' combinators work with it. With the feature `futures` sockets
//! have the traits of `futures-io`, and incoming connections are a `futures-core` stream.
//!
//! A task must not make calls that wait, such as those of [`crate::net`]: all others would wait too.

mod combine;
mod executor;
mod join_handle;
pub mod net;
mod reactor;
mod runtime;
mod timer;

pub use combine::{Either, Join, Select, YieldNow, join, select, yield_now};
pub use executor::{TASKS, TooManyTasks, block_on, spawn, try_spawn};
pub use join_handle::JoinHandle;
#[cfg(not(target_family = "wasm"))]
pub(crate) use runtime::clear;
pub(crate) use runtime::with_hooks;
pub use timer::{Elapsed, Sleep, Timeout, sleep, sleep_until, timeout};
