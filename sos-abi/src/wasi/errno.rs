//! The error numbers of WASI preview 1.

use core::fmt;

macro_rules! define_errno {
    ($($variant:ident = $number:literal, $text:literal;)*) => {
        /// Why a WASI function failed, or that it did not ("errno" of the specification).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Errno {
            $(
                #[doc = concat!("WASI's ", $number, ": ", $text, ".")]
                $variant = $number,
            )*
        }

        impl Errno {
            /// Every error number, in order.
            pub const ALL: &'static [Errno] = &[$(Errno::$variant),*];

            /// Its name here, which but for case and one of them is the specification's.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Errno::$variant => stringify!($variant),)*
                }
            }

            /// What it says, in lower case.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Errno::$variant => $text,)*
                }
            }
        }
    };
}

define_errno! {
    Success = 0, "no error";
    TooBig = 1, "argument list too long";
    Acces = 2, "permission denied";
    AddrInUse = 3, "address in use";
    AddrNotAvail = 4, "address not available";
    AfNoSupport = 5, "address family not supported";
    Again = 6, "resource unavailable, try again";
    Already = 7, "connection already in progress";
    BadF = 8, "bad file descriptor";
    BadMsg = 9, "bad message";
    Busy = 10, "device or resource busy";
    Canceled = 11, "operation canceled";
    Child = 12, "no child processes";
    ConnAborted = 13, "connection aborted";
    ConnRefused = 14, "connection refused";
    ConnReset = 15, "connection reset";
    Deadlk = 16, "resource deadlock would occur";
    DestAddrReq = 17, "destination address required";
    Dom = 18, "argument out of the function's domain";
    Dquot = 19, "quota exceeded";
    Exist = 20, "file exists";
    Fault = 21, "bad address";
    FBig = 22, "file too large";
    HostUnreach = 23, "host is unreachable";
    IdRm = 24, "identifier removed";
    IlSeq = 25, "illegal byte sequence";
    InProgress = 26, "operation in progress";
    Intr = 27, "interrupted";
    Inval = 28, "invalid argument";
    Io = 29, "input or output error";
    IsConn = 30, "socket is connected";
    IsDir = 31, "is a directory";
    Loop = 32, "too many levels of symbolic links";
    MFile = 33, "too many open files";
    MLink = 34, "too many links";
    MsgSize = 35, "message too large";
    Multihop = 36, "multihop attempted";
    NameTooLong = 37, "name too long";
    NetDown = 38, "network is down";
    NetReset = 39, "connection aborted by the network";
    NetUnreach = 40, "network unreachable";
    NFile = 41, "too many files open in the system";
    NoBufs = 42, "no buffer space";
    NoDev = 43, "no such device";
    NoEnt = 44, "no such file or directory";
    NoExec = 45, "not an executable file";
    NoLck = 46, "no locks available";
    NoLink = 47, "link has been severed";
    NoMem = 48, "not enough memory";
    NoMsg = 49, "no message of the desired type";
    NoProtoOpt = 50, "protocol not available";
    NoSpc = 51, "no space left";
    NoSys = 52, "function not supported";
    NotConn = 53, "socket is not connected";
    NotDir = 54, "not a directory";
    NotEmpty = 55, "directory not empty";
    NotRecoverable = 56, "state not recoverable";
    NotSock = 57, "not a socket";
    NotSup = 58, "not supported";
    NoTty = 59, "inappropriate control operation";
    NxIo = 60, "no such device or address";
    Overflow = 61, "value too large for its type";
    OwnerDead = 62, "previous owner died";
    Perm = 63, "operation not permitted";
    Pipe = 64, "broken pipe";
    Proto = 65, "protocol error";
    ProtoNoSupport = 66, "protocol not supported";
    Prototype = 67, "protocol wrong type for socket";
    Range = 68, "result too large";
    RoFs = 69, "read-only file system";
    SPipe = 70, "invalid seek";
    Srch = 71, "no such process";
    Stale = 72, "stale file handle";
    TimedOut = 73, "timed out";
    TxtBsy = 74, "text file busy";
    XDev = 75, "cross-device link";
    NotCapable = 76, "capabilities insufficient";
}

impl Errno {
    /// The number as programs see it.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The error with `number`.
    pub fn from_number(number: u16) -> Option<Errno> {
        Errno::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
