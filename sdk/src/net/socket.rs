//! What every kind of socket has: a handle that closes with it, and whether its calls wait.

use core::cell::Cell;
use core::net::SocketAddr;

use crate::error::Result;
use crate::sys;

/// The kernel's number of an open socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub(crate) u32);

impl Handle {
    /// The number, as host calls take it.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A socket that [`Poller`](crate::poll::Poller) can watch.
pub trait AsHandle {
    /// Its handle.
    fn as_handle(&self) -> Handle;
}

/// Whether a socket's calls wait until they can be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// They wait.
    Wait,
    /// They fail with `WOULD_BLOCK`.
    Never,
}

/// An open handle, closed on drop.
#[derive(Debug)]
pub(crate) struct Socket {
    pub handle: u32,
    flags: Cell<u32>,
}

impl Socket {
    pub fn new(handle: u32) -> Socket {
        Socket {
            handle,
            flags: Cell::new(0),
        }
    }

    pub fn flags(&self) -> u32 {
        self.flags.get()
    }

    pub fn set_blocking(&self, blocking: Blocking) {
        self.flags.set(match blocking {
            Blocking::Wait => 0,
            Blocking::Never => sos_abi::NONBLOCK,
        });
    }

    /// Hands the socket over to WASI; after a refusal it is closed.
    #[cfg(all(feature = "std", any(target_os = "wasi", unix)))]
    pub fn into_descriptor(self) -> Result<std::os::fd::RawFd> {
        let descriptor = sys::wasi_descriptor(self.handle)?;
        // The handle is void.
        core::mem::forget(self);
        Ok(descriptor as std::os::fd::RawFd)
    }

    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(sys::socket_local_address(self.handle)?.decode()?)
    }

    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(sys::socket_peer_address(self.handle)?.decode()?)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The handle is open as long as `self` lives; elsewhere than under SOS there is none.
        let _ = sys::close(self.handle);
    }
}
