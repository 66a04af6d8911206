//! The table of host calls: the one place where each is written down.

/// Hands the table of host calls to `$callback`, a macro by name.
///
/// The callback receives every call as one brace group:
///
/// ```text
/// { NUMBER, name, Variant, (parameter: TYPE, ...), RESULT, [ErrorVariant, ...], "sentence" }
/// ```
///
/// where `TYPE` is `i32` or `i64` and `RESULT` is `i32`, `i64` or `()`. An `i32` result below zero
/// is an [`ErrorCode`](crate::ErrorCode); pointers and lengths are unsigned 32-bit values carried in
/// an `i32`.
#[macro_export]
macro_rules! host_calls {
    ($callback:path) => {
        $callback! {
            { 0, log, Log, (level: i32, text: i32, length: i32), i32,
              [BadPointer, InvalidArgument],
              "Appends at most 65 536 bytes of text to the instance's log, a line for each line end, and returns how many were taken; levels: 0 = error, 1 = warning, 2 = information, 3 = debug." }
            { 1, console_write, ConsoleWrite, (bytes: i32, length: i32), i32,
              [BadPointer],
              "Writes to the instance's console and returns how many bytes were taken; an unread console forgets its oldest bytes, so that only a full pipe (a program run by `exec`) makes the call wait." }
            { 2, console_read, ConsoleRead, (buffer: i32, capacity: i32, flags: i32), i32,
              [BadPointer, InvalidArgument, WouldBlock],
              "Reads what was typed on the console, waits for at least one byte, and returns the number of bytes: 0 at the end of the input, which a console never has." }
            { 3, clock_monotonic, ClockMonotonic, (), i64, [],
              "Nanoseconds since the instance started, without the time that it was suspended." }
            { 4, clock_wall, ClockWall, (), i64, [],
              "Nanoseconds since 1970-01-01 00:00:00 UTC." }
            { 5, sleep, Sleep, (duration_ns: i64), i32,
              [InvalidArgument],
              "Waits until the monotonic clock has advanced by `duration_ns`." }
            { 6, yield_now, YieldNow, (), i32, [],
              "Lets other instances run, then continues." }
            { 7, random, Random, (buffer: i32, length: i32), i32,
              [BadPointer],
              "Fills at most 65 536 bytes with random bytes fit for keys and returns how many." }
            { 8, args_count, ArgsCount, (), i32, [],
              "The number of arguments that the manifest gives to the instance." }
            { 9, arg_get, ArgGet, (index: i32, buffer: i32, capacity: i32), i32,
              [BadPointer, NotFound],
              "Copies at most `capacity` bytes of argument `index` and returns its whole length." }
            { 10, config_get, ConfigGet, (key: i32, key_length: i32, buffer: i32, capacity: i32), i32,
              [BadPointer, NotFound],
              "Copies at most `capacity` bytes of the configuration value of `key` and returns its whole length." }
            { 11, config_key, ConfigKey, (index: i32, buffer: i32, capacity: i32), i32,
              [BadPointer, NotFound],
              "Copies at most `capacity` bytes of the configuration key number `index` (in the order of their bytes) and returns its whole length." }
            { 12, instance_name, InstanceName, (buffer: i32, capacity: i32), i32,
              [BadPointer],
              "Copies at most `capacity` bytes of the instance's name and returns its whole length." }
            { 13, node_name, NodeName, (buffer: i32, capacity: i32), i32,
              [BadPointer],
              "Copies at most `capacity` bytes of the name of the node that runs the instance and returns its whole length." }
            { 14, generation, Generation, (), i64, [],
              "A number that changes whenever the instance becomes a copy (restored or cloned): a change means that drawn secrets are no longer only its own." }
            { 15, exit, Exit, (code: i32), (), [],
              "Ends the instance with `code`; 0 means success. Does not return." }
            { 16, tcp_listen, TcpListen, (address: i32, backlog: i32), i32,
              [BadPointer, InvalidArgument, InvalidAddress, AddressInUse, AddressNotAvailable, TooManyHandles],
              "Listens for TCP connections on the socket address at `address` (an unspecified IP address means every interface; port 0 is refused) and returns a handle." }
            { 17, tcp_accept, TcpAccept, (listener: i32, flags: i32, peer_out: i32), i32,
              [BadPointer, InvalidArgument, BadHandle, WrongKind, WouldBlock, TooManyHandles],
              "Waits for a connection on `listener`, writes its peer's address to `peer_out` unless that is 0, and returns a handle." }
            { 18, tcp_connect, TcpConnect, (address: i32, flags: i32), i32,
              [BadPointer, InvalidArgument, InvalidAddress, Unreachable, ConnectionRefused, ConnectionReset, TimedOut, TooManyHandles],
              "Opens a TCP connection and returns a handle: once it is established, or at once with NONBLOCK." }
            { 19, tcp_connect_status, TcpConnectStatus, (handle: i32), i32,
              [BadHandle, WrongKind, WouldBlock, Unreachable, ConnectionRefused, ConnectionReset, TimedOut],
              "Tells whether a connection opened with NONBLOCK is established: 0, WOULD_BLOCK while it is not yet, or why it failed." }
            { 20, tcp_read, TcpRead, (handle: i32, buffer: i32, capacity: i32, flags: i32), i32,
              [BadPointer, InvalidArgument, BadHandle, WrongKind, WouldBlock, NotConnected, ConnectionReset, TimedOut],
              "Reads at least one and at most 65 536 bytes and returns how many; 0 = the peer has finished sending. With PEEK the bytes stay." }
            { 21, tcp_write, TcpWrite, (handle: i32, bytes: i32, length: i32, flags: i32), i32,
              [BadPointer, InvalidArgument, BadHandle, WrongKind, WouldBlock, NotConnected, ConnectionReset, TimedOut, Closed],
              "Writes at least one and at most 65 536 bytes and returns how many." }
            { 22, tcp_shutdown, TcpShutdown, (handle: i32, how: i32), i32,
              [InvalidArgument, BadHandle, WrongKind, NotConnected],
              "Ends reading (0), writing (1) or both (2) of a connection; what was written is still sent." }
            { 23, tcp_set_option, TcpSetOption, (handle: i32, option: i32, value: i64), i32,
              [InvalidArgument, BadHandle, WrongKind],
              "Sets NODELAY (0: value 0 or 1) or KEEPALIVE (1: interval in nanoseconds, 0 = off) of a connection." }
            { 24, udp_bind, UdpBind, (address: i32), i32,
              [BadPointer, InvalidAddress, AddressInUse, AddressNotAvailable, TooManyHandles],
              "Opens a UDP socket on the socket address at `address` (port 0: one is chosen) and returns a handle." }
            { 25, udp_send_to, UdpSendTo, (handle: i32, bytes: i32, length: i32, address: i32, flags: i32), i32,
              [BadPointer, InvalidArgument, BadHandle, WrongKind, WouldBlock, InvalidAddress, MessageTooLarge, Unreachable],
              "Sends one datagram to the socket address at `address` and returns its length; waits while the send queue is full." }
            { 26, udp_receive_from, UdpReceiveFrom, (handle: i32, buffer: i32, capacity: i32, peer_out: i32, flags: i32), i32,
              [BadPointer, InvalidArgument, BadHandle, WrongKind, WouldBlock],
              "Waits for a datagram, copies at most `capacity` bytes of it, writes its sender to `peer_out` unless that is 0, and returns its whole length; the rest is lost." }
            { 27, socket_local_address, SocketLocalAddress, (handle: i32, address_out: i32), i32,
              [BadPointer, BadHandle, WrongKind, NotConnected],
              "Writes the socket's own address to `address_out`." }
            { 28, socket_peer_address, SocketPeerAddress, (handle: i32, address_out: i32), i32,
              [BadPointer, BadHandle, WrongKind, NotConnected],
              "Writes the address of a connection's other end to `address_out`." }
            { 29, close, Close, (handle: i32), i32,
              [BadHandle],
              "Closes a handle; the handle is void at once, what was written to a connection is still sent." }
            { 30, poll, Poll, (entries: i32, count: i32, timeout_ns: i64), i32,
              [BadPointer, InvalidArgument],
              "Waits until one of `count` poll entries is ready or `timeout_ns` are over (0 = look only, below 0 = no limit), sets `ready` of each entry, and returns how many are ready." }
            { 31, dns_lookup, DnsLookup, (name: i32, name_length: i32, addresses_out: i32, capacity: i32), i32,
              [BadPointer, InvalidArgument, NoSuchName, NameServerFailed, NoNameServer, TimedOut, TooManyHandles],
              "Looks up the addresses of a name, writes at most `capacity` socket addresses (port 0) and returns how many were written." }
            { 32, revivals, Revivals, (kind: i32), i64, [],
              "How often the instance went on since it started, by `kind`: 0 = in any of these ways, 1 = after a pause (by an operator, or in a snapshot or on another node), 2 = from an earlier state than it had reached, 3 = as a clone of another instance; 0 for a kind that the kernel does not know. After 2 and 3 the `generation` is another." }
            { 33, wasi_descriptor, WasiDescriptor, (handle: i32), i32,
              [BadHandle, WrongKind, TooManyHandles],
              "Hands a TCP listener or connection over to WASI: the handle is void, and the lowest free descriptor, which stands for it from then on, is returned." }
        }
    };
}
