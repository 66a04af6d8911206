//! TCP, UDP and names, shaped like `std::net`.
//!
//! ```no_run
//! use sos_sdk::net::TcpStream;
//!
//! # fn main() -> sos_sdk::Result<()> {
//! let stream = TcpStream::connect("store.example:7000")?;
//! stream.write_all(b"hello")?;
//! let mut answer = [0; 5];
//! stream.read_exact(&mut answer)?;
//! # Ok(())
//! # }
//! ```

mod address;
mod socket;
mod tcp;
mod udp;

pub use address::{ToSocketAddrs, lookup_host};
pub use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
pub use socket::{AsHandle, Blocking, Handle};
pub use tcp::{Shutdown, TcpListener, TcpStream};
pub use udp::UdpSocket;
