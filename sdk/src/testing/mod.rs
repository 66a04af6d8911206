//! Tests of services on the developer's machine, without the kernel.
//!
//! A [`Node`] is a simulated node inside the test: each instance is a thread that has the whole of
//! the host calls, and the test itself is one more instance, so that it talks to services by the
//! same SDK:
//!
//! ```
//! use sos_sdk::net::TcpListener;
//! use sos_sdk::testing::Node;
//! use sos_sdk::time::{Duration, Instant, sleep};
//!
//! // A service, as its `main.rs` has it.
//! fn greet() -> sos_sdk::Result<()> {
//!     let name = sos_sdk::config::get("name").unwrap_or_default();
//!     for stream in TcpListener::bind("0.0.0.0:7")?.incoming() {
//!         sleep(Duration::from_secs(60));
//!         stream.write_all(format!("hello from {name}").as_bytes())?;
//!     }
//!     Ok(())
//! }
//!
//! let node = Node::new();
//! let greeter = node.instance("greeter").config("name", "Ada").spawn(greet);
//! let began = Instant::now();
//! let stream = node.connect("greeter:7").unwrap();
//! let mut answer = [0; 14];
//! stream.read_exact(&mut answer).unwrap();
//! assert_eq!(&answer, b"hello from Ada");
//! // A minute of the node's time, which took no time at all.
//! assert!(began.elapsed() >= Duration::from_secs(60));
//! assert!(greeter.is_running());
//! ```
//!
//! - **Time is virtual.** It stands while anybody can compute and jumps when all wait for it.
//! - **Nothing depends on chance.** One instance computes at a time and gives way only in host calls;
//!   random numbers come from a seed. A test that fails fails again.
//! - **The network** is one segment: instances have 10.0.0.1 (the test), 10.0.0.2 … and fd00::1,
//!   fd00::2 …, and find each other by name. As under the kernel there is no loopback; nothing leads
//!   out. Frames are never lost; [`Instance::kill`] is how to make a peer vanish.
//! - **Nobody waits for ever.** When no instance can go on, the test fails and says who waits in which
//!   call. When a test fails, the logs of all instances are printed.
//!
//! Calls behave as the kernel's; `tests/tests/conformance.rs` of SOS runs one script on both. Simplified are:
//! bytes and datagrams arrive at once, a datagram is bounded by Ethernet's 1500 bytes everywhere, and
//! what an instance left open when it ended is reset at once.

mod handles;
mod instance;
mod network;
mod node;
mod state;
mod turns;

pub use instance::{End, Instance, InstanceBuilder, LogLine};
pub(crate) use network::Network;
pub use node::Node;
pub(crate) use state::Guest;
pub(crate) use turns::{Seat, Stop, seat};

/// What the node is called.
pub(crate) const NODE_NAME: &str = "test";
