//! From text to addresses.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use sos_abi::ErrorCode;

use crate::error::Result;
use crate::sys;

/// What can be turned into socket addresses: an address, or text such as `10.1.0.2:7000`,
/// `[fe80::1]:80` or `store.example:7000`.
pub trait ToSocketAddrs {
    /// The addresses, best first; never none.
    ///
    /// # Errors
    /// `INVALID_ADDRESS` for text that is no address, and those of [`lookup_host`].
    fn to_socket_addrs(&self) -> Result<Vec<SocketAddr>>;
}

impl ToSocketAddrs for SocketAddr {
    fn to_socket_addrs(&self) -> Result<Vec<SocketAddr>> {
        Ok(vec![*self])
    }
}

impl ToSocketAddrs for (IpAddr, u16) {
    fn to_socket_addrs(&self) -> Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::new(self.0, self.1)])
    }
}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self) -> Result<Vec<SocketAddr>> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address]);
        }
        let (name, port) = self.rsplit_once(':').ok_or(ErrorCode::InvalidAddress)?;
        let port = port.parse().map_err(|_| ErrorCode::InvalidAddress)?;
        let addresses = lookup_host(name)?;
        Ok(addresses
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect())
    }
}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self) -> Result<Vec<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_socket_addrs(&self) -> Result<Vec<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

/// Calls `attempt` with each address until one works.
pub(crate) fn try_each<T>(
    addresses: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> Result<T>,
) -> Result<T> {
    let mut last = ErrorCode::InvalidAddress.into();
    for address in addresses.to_socket_addrs()? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The addresses of a name; never none.
///
/// # Errors
/// `NO_SUCH_NAME`, `NAME_SERVER_FAILED`, `NO_NAME_SERVER` or `TIMED_OUT`.
pub fn lookup_host(name: &str) -> Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for wire in sys::dns_lookup(name)? {
        addresses.push(wire.decode()?.ip());
    }
    if addresses.is_empty() {
        return Err(ErrorCode::NoSuchName.into());
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_numbers_needs_no_lookup() {
        let v4 = "10.1.0.2:7000".to_socket_addrs().unwrap();
        assert_eq!(v4, ["10.1.0.2:7000".parse().unwrap()]);
        let v6 = "[fe80::1]:80".to_socket_addrs().unwrap();
        assert_eq!(v6, ["[fe80::1]:80".parse().unwrap()]);
    }

    #[test]
    fn text_without_a_port_is_refused() {
        for text in ["", "store", "store:", "store:70000", "store:http"] {
            let error = text.to_socket_addrs().unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidAddress, "{text}");
        }
    }

    #[test]
    fn the_last_error_is_reported_when_no_address_works() {
        let result: Result<()> =
            try_each("10.0.0.1:1", |_| Err(ErrorCode::ConnectionRefused.into()));
        assert_eq!(result.unwrap_err().code(), ErrorCode::ConnectionRefused);
    }
}
