//! Why a LAN cannot start or answer.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a LAN cannot start or answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum LanError {
    /// A forward's text does not read.
    BadForward(String),
    /// A prefix length outside 16 to 30.
    BadPrefix(u8),
    /// An MTU outside 1280 to 65535.
    BadMtu(usize),
    /// The folder or the socket that nodes plug into cannot be made.
    Socket(PathBuf, io::Error),
    /// A host port cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The recording cannot be written.
    Pcap(PathBuf, io::Error),
    /// The host gives no thread or descriptor.
    Resources(io::Error),
    /// The LAN's thread has ended.
    Stopped,
}

impl fmt::Display for LanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadForward(text) => {
                write!(
                    f,
                    "forward `{text}` is not of the form [HOST:]PORT=SERVICE:PORT"
                )
            }
            Self::BadPrefix(bits) => {
                write!(
                    f,
                    "prefix length {bits} of the lan is not between 16 and 30"
                )
            }
            Self::BadMtu(bytes) => {
                write!(f, "mtu {bytes} of the lan is not between 1280 and 65535")
            }
            Self::Socket(path, error) => write!(
                f,
                "cannot make the lan's socket {}: {error}; set TMPDIR to a short writable folder",
                path.display()
            ),
            Self::Listen(address, error) => {
                write!(
                    f,
                    "cannot listen on {address}: {error}; choose another host port"
                )
            }
            Self::Pcap(path, error) => {
                write!(f, "cannot record the lan into {}: {error}", path.display())
            }
            Self::Resources(error) => write!(f, "cannot start the lan: {error}"),
            Self::Stopped => write!(f, "the lan has stopped; its log says why"),
        }
    }
}

impl std::error::Error for LanError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket(_, error)
            | Self::Listen(_, error)
            | Self::Pcap(_, error)
            | Self::Resources(error) => Some(error),
            Self::BadForward(_) | Self::BadPrefix(_) | Self::BadMtu(_) | Self::Stopped => None,
        }
    }
}
