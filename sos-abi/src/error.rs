//! Error codes of host calls: negative `i32` results.

use core::fmt;

macro_rules! define_errors {
    ($({ $number:literal, $variant:ident, $name:literal, $text:literal })*) => {
        /// Why a host call failed. The code is what the guest sees as the call's result.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum ErrorCode {
            $(
                #[doc = concat!("`", $name, "`: ", $text, ".")]
                $variant = $number,
            )*
        }

        impl ErrorCode {
            /// Every code, in the order in which they were added.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The code's fixed name, as the reference page shows it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $name,)*
                }
            }

            /// What happened and what to do about it.
            pub const fn description(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $text,)*
                }
            }
        }
    };
}

define_errors! {
    { -1, BadPointer, "BAD_POINTER", "a pointer or length lies outside the instance's memory" }
    { -2, InvalidArgument, "INVALID_ARGUMENT", "an argument has a value that the call does not know" }
    { -3, BadHandle, "BAD_HANDLE", "the handle was never given out or is closed" }
    { -4, WrongKind, "WRONG_KIND", "the handle belongs to another kind of socket" }
    { -5, WouldBlock, "WOULD_BLOCK", "nothing is ready yet; poll the handle and try again" }
    { -6, TooManyHandles, "TOO_MANY_HANDLES", "the instance has as many sockets as its limit allows; close some or raise the limit" }
    { -7, NotFound, "NOT_FOUND", "there is no argument or configuration value of that name or number" }
    { -8, AddressInUse, "ADDRESS_IN_USE", "another socket of the instance has that address and port" }
    { -9, AddressNotAvailable, "ADDRESS_NOT_AVAILABLE", "no interface of the instance has that address" }
    { -10, ConnectionRefused, "CONNECTION_REFUSED", "the peer refused the connection; is the service listening on that port?" }
    { -11, ConnectionReset, "CONNECTION_RESET", "the connection was reset; open a new one" }
    { -12, NotConnected, "NOT_CONNECTED", "the socket is not connected" }
    { -13, AlreadyConnected, "ALREADY_CONNECTED", "the socket is connected already" }
    { -14, TimedOut, "TIMED_OUT", "the peer did not answer in time" }
    { -15, Unreachable, "UNREACHABLE", "no route leads to that address; check the instance's addresses and gateway" }
    { -16, MessageTooLarge, "MESSAGE_TOO_LARGE", "the datagram is larger than the socket or the interface can carry" }
    { -17, InvalidAddress, "INVALID_ADDRESS", "the socket address is malformed or cannot be used here" }
    { -18, NoSuchName, "NO_SUCH_NAME", "the name server says that the name does not exist" }
    { -19, NameServerFailed, "NAME_SERVER_FAILED", "the name server could not answer" }
    { -20, NoNameServer, "NO_NAME_SERVER", "no name server is known; set one in the manifest or use DHCP" }
    { -21, Closed, "CLOSED", "this direction of the connection was shut down" }
    { -22, Unsupported, "UNSUPPORTED", "this kernel or machine does not offer the call" }
}

impl ErrorCode {
    /// The negative number that the guest sees.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The error with `code`, if there is one.
    pub fn from_code(code: i32) -> Option<ErrorCode> {
        let index = usize::try_from(code.checked_neg()?.checked_sub(1)?).ok()?;
        ErrorCode::ALL.get(index).copied()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl core::error::Error for ErrorCode {}
