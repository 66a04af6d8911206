//! The error of every SDK call.

use core::fmt;

use sos_abi::ErrorCode;

/// Why a host call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error(ErrorCode);

/// What SDK calls return.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// The kernel's error code.
    pub const fn code(self) -> ErrorCode {
        self.0
    }

    /// Whether a non-blocking call found nothing ready.
    pub fn is_would_block(self) -> bool {
        self.0 == ErrorCode::WouldBlock
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Error {
        Error(code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for Error {}

#[cfg(feature = "std")]
impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        use std::io::ErrorKind;
        let kind = match error.code() {
            ErrorCode::BadPointer
            | ErrorCode::InvalidArgument
            | ErrorCode::BadHandle
            | ErrorCode::WrongKind
            | ErrorCode::InvalidAddress
            | ErrorCode::MessageTooLarge => ErrorKind::InvalidInput,
            ErrorCode::WouldBlock => ErrorKind::WouldBlock,
            ErrorCode::TooManyHandles => ErrorKind::QuotaExceeded,
            ErrorCode::NotFound | ErrorCode::NoSuchName => ErrorKind::NotFound,
            ErrorCode::AddressInUse => ErrorKind::AddrInUse,
            ErrorCode::AddressNotAvailable => ErrorKind::AddrNotAvailable,
            ErrorCode::ConnectionRefused => ErrorKind::ConnectionRefused,
            ErrorCode::ConnectionReset => ErrorKind::ConnectionReset,
            ErrorCode::NotConnected => ErrorKind::NotConnected,
            ErrorCode::AlreadyConnected => ErrorKind::AlreadyExists,
            ErrorCode::TimedOut => ErrorKind::TimedOut,
            ErrorCode::Unreachable => ErrorKind::HostUnreachable,
            ErrorCode::Closed => ErrorKind::BrokenPipe,
            ErrorCode::Unsupported => ErrorKind::Unsupported,
            ErrorCode::NameServerFailed | ErrorCode::NoNameServer => ErrorKind::Other,
        };
        std::io::Error::new(kind, error)
    }
}
