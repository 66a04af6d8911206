//! What an author of an SOS service uses.
//!
//! A service is an ordinary program for `wasm32-unknown-unknown` with one entry point:
//!
//! ```no_run
//! use sos_sdk::net::TcpListener;
//!
//! fn serve() -> sos_sdk::Result<()> {
//!     let listener = TcpListener::bind("0.0.0.0:7")?;
//!     sos_sdk::info!("echoing on {}", listener.local_addr()?);
//!     loop {
//!         let (stream, peer) = listener.accept()?;
//!         let mut buffer = [0; 4096];
//!         while let Ok(count @ 1..) = stream.read(&mut buffer) {
//!             stream.write_all(&buffer[..count])?;
//!         }
//!         sos_sdk::info!("{peer} has left");
//!     }
//! }
//!
//! sos_sdk::main!(serve);
//! ```
//!
//! [`net`], [`time`], [`log`], [`console`], [`config`], [`random`] and [`identity`] are shaped like
//! `std`'s; [`poll`] serves many sockets at once, and [`http`] is a small HTTP/1.1 server over it
//! (feature `http`), [`serve`] the same for other protocols. Calls wait unless a socket was set to non-blocking.
//! [`task`] runs asynchronous tasks, many in one instance.
//!
//! With the feature `std` (default) sockets implement `std::io::Read` and `Write`. Without it the
//! SDK needs `alloc` only: the service then is `#![no_std] #![no_main]` and names a global
//! allocator; the SDK brings the panic handler.
//!
//! # Beside WASI
//!
//! A program of the standard library for `wasm32-wasip1` has files, arguments and streams by WASI, which
//! has no outgoing connections, datagrams and names. This crate adds them as it is; the program keeps its
//! ordinary `fn main`:
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use sos_sdk::net::TcpStream;
//!
//! fn main() -> std::io::Result<()> {
//!     let mut stream = TcpStream::connect("web:80")?;
//!     stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer)?;
//!     println!("{answer}");
//!     Ok(())
//! }
//! ```
//!
//! # Elsewhere
//!
//! On other targets than `wasm32` everything compiles, so that a service can be tested on the
//! developer's machine: in a [`testing::Node`] it has all host calls; elsewhere each of them fails
//! with `UNSUPPORTED`.
#![no_std]

extern crate alloc;
#[cfg(any(feature = "std", not(target_family = "wasm")))]
extern crate std;

pub mod config;
pub mod console;
mod error;
#[cfg(feature = "http")]
pub mod http;
pub mod identity;
pub mod log;
pub mod net;
pub mod poll;
pub mod random;
pub mod runtime;
pub mod serve;
mod sys;
pub mod task;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod time;

pub use config::args;
pub use error::{Error, Result};
pub use runtime::{exit, yield_now};
pub use sos_abi::ErrorCode;

/// The README's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
