//! Why a stored state of a guest is refused.

use core::fmt;

use sos_abi::HostCall;

use crate::files::{FileError, UnsoundFiles};

/// Why a stored state of a guest is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreError {
    /// Its arguments, environment or configuration are more or longer than they may be, or unsorted.
    Texts,
    /// Its standard streams hold more than they can.
    Streams,
    /// Its log has lines that no log has.
    Log,
    /// The line of standard error that it began is none.
    ErrorLine,
    /// The limits that it reached are unknown.
    Limits,
    /// Its handles could not have come to be.
    Handles,
    /// A handle names no socket of its stack, or one that another handle or descriptor has.
    Handle {
        /// Its slot.
        slot: u32,
    },
    /// A descriptor could not have come to be, or stands for what is not there.
    Descriptor {
        /// Its number.
        number: u32,
    },
    /// Its files contradict themselves.
    Files(UnsoundFiles),
    /// A file of the image is not at hand.
    Image(FileError),
    /// The call that waits is in no table of this kernel.
    UnknownCall,
    /// The call that waits does not wait like that, or has arguments that it does not take.
    Pending(HostCall),
    /// A call waits although the guest ended.
    Ended,
}

impl core::error::Error for RestoreError {}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Texts => f.write_str(
                "the snapshot's arguments, environment or configuration are not what an instance can have",
            ),
            RestoreError::Streams => {
                f.write_str("the snapshot's standard streams hold more than streams can")
            }
            RestoreError::Log => f.write_str("the snapshot's log is none that an instance wrote"),
            RestoreError::ErrorLine => {
                f.write_str("the snapshot's line of standard error is none that a program began")
            }
            RestoreError::Limits => f.write_str(
                "the snapshot tells of limits that this kernel does not know: use a newer kernel",
            ),
            RestoreError::Handles => {
                f.write_str("the snapshot's handles could not have come to be: is `sockets` smaller now?")
            }
            RestoreError::Handle { slot } => write!(
                f,
                "the snapshot's handle in slot {slot} does not name a socket of its own"
            ),
            RestoreError::Descriptor { number } => write!(
                f,
                "the snapshot's descriptor {number} does not stand for anything that is there"
            ),
            RestoreError::Files(error) => write!(f, "the snapshot's files are unsound: {error}"),
            RestoreError::Image(error) => write!(
                f,
                "the snapshot's files need the image that it was made with: {error}"
            ),
            RestoreError::UnknownCall => f.write_str(
                "the snapshot waits in a call that this kernel does not have: use a newer kernel",
            ),
            RestoreError::Pending(call) => write!(
                f,
                "the snapshot waits in `{}` as that call never waits",
                call.name()
            ),
            RestoreError::Ended => f.write_str("the snapshot waits in a call although it ended"),
        }
    }
}
