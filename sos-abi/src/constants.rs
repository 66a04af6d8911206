//! Flags and numbers that host calls take.

/// `flags`: return [`WouldBlock`](crate::ErrorCode::WouldBlock) rather than wait.
pub const NONBLOCK: u32 = 1;
/// `flags` of `tcp_read`: leave the bytes in the socket.
pub const PEEK: u32 = 2;

/// `how` of `tcp_shutdown`: stop reading.
pub const SHUTDOWN_READ: u32 = 0;
/// `how` of `tcp_shutdown`: stop writing; the peer sees the end.
pub const SHUTDOWN_WRITE: u32 = 1;
/// `how` of `tcp_shutdown`: stop both.
pub const SHUTDOWN_BOTH: u32 = 2;

/// `option` of `tcp_set_option`: send small segments at once (value 1) or gather them (0).
pub const OPTION_NODELAY: u32 = 0;
/// `option` of `tcp_set_option`: probe an idle peer each `value` nanoseconds; 0 = never.
pub const OPTION_KEEPALIVE: u32 = 1;

/// `interest` and `ready` of a poll entry: a read, accept or receive would not block.
pub const POLL_READABLE: u32 = 1;
/// `interest` and `ready` of a poll entry: a write or send would not block.
pub const POLL_WRITABLE: u32 = 2;
/// `ready` of a poll entry, whatever its interest: both directions are over.
pub const POLL_CLOSED: u32 = 4;
/// `ready` of a poll entry, whatever its interest: the socket failed, or the handle is void.
pub const POLL_FAILED: u32 = 8;

/// `level` of `log`: the service cannot do what it was asked to do.
pub const LOG_ERROR: u32 = 0;
/// `level` of `log`: something is odd but the service goes on.
pub const LOG_WARNING: u32 = 1;
/// `level` of `log`: what an operator wants to see.
pub const LOG_INFORMATION: u32 = 2;
/// `level` of `log`: what a developer wants to see.
pub const LOG_DEBUG: u32 = 3;

/// `kind` of `revivals`: all of the others together.
pub const REVIVAL_ANY: u32 = 0;
/// `kind` of `revivals`: after a pause, during which wall time went on.
pub const REVIVAL_RESUMED: u32 = 1;
/// `kind` of `revivals`: from an earlier state, so that what was done since is undone here only.
pub const REVIVAL_RESTORED: u32 = 2;
/// `kind` of `revivals`: as a clone of another instance, with another name and other addresses.
pub const REVIVAL_CLONED: u32 = 3;

/// Most bytes that one call moves; longer requests are served in part.
pub const CALL_BYTES: usize = 64 * 1024;
/// Most entries of one `poll`.
pub const POLL_ENTRIES: usize = 1024;
/// Most bytes of a name given to `dns_lookup` (RFC 1035, section 2.3.4).
pub const NAME_BYTES: usize = 253;
