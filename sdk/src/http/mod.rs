//! A small HTTP/1.1 server over a [`Poller`](crate::poll::Poller): keep-alive, pipelining, bounded
//! sizes, clear errors (RFC 9110, RFC 9112).
//!
//! ```no_run
//! use sos_sdk::http::{Answer, Limits, Server, Status};
//!
//! # fn main() -> sos_sdk::Result<()> {
//! let mut server = Server::bind("0.0.0.0:80", Limits::default())?;
//! server.serve(|request, response| match (request.method, request.target) {
//!     ("GET", "/") => response.send(Status::OK, b"hello\n"),
//!     (_, "/") => response.refuse_method("GET"),
//!     _ => response.refuse(Status::NOT_FOUND),
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! A service that must wait for something before it can answer implements [`Service`] and answers
//! later with [`Server::respond`]. [`parse`] and [`Response`] do no I/O and can be tested anywhere.
//!
//! A request costs three host calls: `poll`, `tcp_read`, `tcp_write`. There is no support for
//! request bodies in chunks (411) and none for upgrades.

mod connection;
mod repeated;
mod request;
mod response;
mod server;
mod status;

pub use request::{Limits, Parsed, Request, parse};
pub use response::{Persistence, Response};
pub use server::{Answer, RequestId, Server, Service};
pub use status::Status;
