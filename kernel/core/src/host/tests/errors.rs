//! Each error that the table lists for a call, had from that call: a row that is added to the table
//! without a way here fails.

use super::hostile::{arguments, is_pointer};
use super::*;

/// A handle that was never given out.
const NO_HANDLE: i64 = 0x7fff_0000;

/// Makes `call` fail with `error`; what it gave instead is the test's to judge.
fn provoke(call: CallId, error: ErrorCode) -> Result<i32, ErrorCode> {
    let mut world = World::new();
    let position = |wanted: &str| {
        let mut names = call.parameter_names().iter();
        names
            .position(|name| *name == wanted)
            .unwrap_or_else(|| panic!("{} has no {wanted}", call.name()))
    };
    match (error, call) {
        (ErrorCode::BadPointer, _) => {
            let mut wrong = arguments(&mut world, call);
            let names = call.parameter_names();
            let pointer = names.iter().position(|name| is_pointer(name)).unwrap();
            wrong[pointer] = MEMORY_BYTES as i64;
            world.done(A, call, &wrong)
        }
        (ErrorCode::BadHandle, _) => {
            let mut wrong = arguments(&mut world, call);
            wrong[0] = NO_HANDLE;
            world.done(A, call, &wrong)
        }
        (ErrorCode::WrongKind, _) => {
            let mut wrong = arguments(&mut world, call);
            wrong[0] = match call {
                CallId::UdpSendTo | CallId::UdpReceiveFrom => world.listen(),
                _ => udp_socket(&mut world),
            };
            world.write_address(A, ADDRESS, "10.0.0.11:81");
            world.done(A, call, &wrong)
        }
        (ErrorCode::TooManyHandles, CallId::DnsLookup) => {
            fill(&mut world);
            world.write(A, TEXT, b"name");
            world.done(A, call, &[TEXT.into(), 4, BUFFER.into(), 1])
        }
        (ErrorCode::TooManyHandles, CallId::WasiDescriptor) => {
            let (_, server, _) = world.connected();
            world.fill_descriptors(A);
            world.done(A, call, &[server])
        }
        (ErrorCode::TooManyHandles, CallId::TcpAccept) => {
            let (listener, _, _) = world.connected();
            fill(&mut world);
            world.done(A, call, &[listener, 1, 0])
        }
        (ErrorCode::TooManyHandles, _) => {
            let usual = arguments(&mut world, call);
            fill(&mut world);
            world.write_address(A, ADDRESS, "10.0.0.11:81");
            world.done(A, call, &usual)
        }
        (ErrorCode::InvalidArgument, CallId::Log) => world.done(A, call, &[4, TEXT.into(), 4]),
        (ErrorCode::InvalidArgument, CallId::Sleep) => world.done(A, call, &[-1]),
        (ErrorCode::InvalidArgument, CallId::TcpListen) => {
            world.write_address(A, ADDRESS, "0.0.0.0:80");
            world.done(A, call, &[ADDRESS.into(), 65_536])
        }
        (ErrorCode::InvalidArgument, CallId::TcpShutdown) => {
            let (_, server, _) = world.connected();
            world.done(A, call, &[server, 3])
        }
        (ErrorCode::InvalidArgument, CallId::TcpSetOption) => {
            let (_, server, _) = world.connected();
            world.done(A, call, &[server, 2, 0])
        }
        (ErrorCode::InvalidArgument, CallId::Poll) => {
            world.done(A, call, &[ENTRIES.into(), 1025, 0])
        }
        (ErrorCode::InvalidArgument, CallId::DnsLookup) => {
            world.done(A, call, &[TEXT.into(), 0, BUFFER.into(), 1])
        }
        (ErrorCode::InvalidArgument, _) => {
            let mut wrong = arguments(&mut world, call);
            wrong[position("flags")] = 0x100;
            world.done(A, call, &wrong)
        }
        (ErrorCode::NotFound, CallId::ConfigGet) => {
            world.write(A, TEXT, b"none");
            world.done(A, call, &[TEXT.into(), 4, BUFFER.into(), 8])
        }
        (ErrorCode::NotFound, _) => world.done(A, call, &[99, BUFFER.into(), 8]),
        (ErrorCode::InvalidAddress, CallId::TcpListen) => {
            world.write_address(A, ADDRESS, "0.0.0.0:0");
            world.done(A, call, &[ADDRESS.into(), 1])
        }
        (ErrorCode::InvalidAddress, _) => {
            let usual = arguments(&mut world, call);
            // A family that is neither of IPv4 nor of IPv6.
            world.write(A, ADDRESS, &[0xff; SocketAddress::BYTES]);
            world.done(A, call, &usual)
        }
        (ErrorCode::AddressInUse, CallId::TcpListen) => {
            world.listen();
            world.done(A, call, &[ADDRESS.into(), 1])
        }
        (ErrorCode::AddressInUse, CallId::UdpBind) => {
            world.write_address(A, ADDRESS, "0.0.0.0:53");
            world.done(A, call, &[ADDRESS.into()]).unwrap();
            world.done(A, call, &[ADDRESS.into()])
        }
        (ErrorCode::AddressNotAvailable, _) => {
            let usual = arguments(&mut world, call);
            world.write_address(A, ADDRESS, "10.0.0.77:80");
            world.done(A, call, &usual)
        }
        (ErrorCode::WouldBlock, CallId::TcpConnectStatus) => {
            let handle = connecting(&mut world, "10.0.0.11:81");
            world.done(A, call, &[handle])
        }
        (ErrorCode::WouldBlock, CallId::TcpWrite) => {
            let (_, server, _) = world.connected();
            let write = [server, BUFFER.into(), 65_536, 1];
            for _ in 0..8 {
                world.done(A, call, &write)?;
            }
            Ok(0)
        }
        (ErrorCode::WouldBlock, CallId::UdpSendTo) => {
            let socket = udp_socket(&mut world);
            world.write_address(A, ADDRESS, "10.0.0.11:81");
            let send = [socket, TEXT.into(), 4, ADDRESS.into(), 1];
            for _ in 0..1000 {
                world.done(A, call, &send)?;
            }
            Ok(0)
        }
        (ErrorCode::WouldBlock, CallId::ConsoleRead) => world.done(A, call, &[BUFFER.into(), 8, 1]),
        (ErrorCode::WouldBlock, _) => {
            let usual = arguments(&mut world, call);
            world.done(A, call, &usual)
        }
        (ErrorCode::Unreachable, CallId::TcpConnect) => {
            world.write_address(A, ADDRESS, "192.0.2.1:80");
            world.wait(A, call, &[ADDRESS.into(), 0])
        }
        (ErrorCode::Unreachable, CallId::UdpSendTo) => {
            let socket = udp_socket(&mut world);
            world.write_address(A, ADDRESS, "192.0.2.1:80");
            world.done(A, call, &[socket, TEXT.into(), 4, ADDRESS.into(), 1])
        }
        (ErrorCode::ConnectionRefused, CallId::TcpConnect) => {
            world.write_address(A, ADDRESS, "10.0.0.11:81");
            world.wait(A, call, &[ADDRESS.into(), 0])
        }
        (ErrorCode::ConnectionRefused, _) => {
            let handle = connecting(&mut world, "10.0.0.11:81");
            world.run(Duration::from_secs(1));
            world.done(A, call, &[handle])
        }
        (ErrorCode::ConnectionReset, _) => reset(&mut world, call),
        (ErrorCode::TimedOut, CallId::TcpConnect) => {
            // Nobody has that address, so nobody refuses either.
            world.write_address(A, ADDRESS, "10.0.0.99:81");
            world.wait(A, call, &[ADDRESS.into(), 0])
        }
        (ErrorCode::TimedOut, CallId::TcpConnectStatus) => {
            let handle = connecting(&mut world, "10.0.0.99:81");
            world.run(Duration::from_secs(200));
            world.done(A, call, &[handle])
        }
        (ErrorCode::TimedOut, CallId::TcpRead | CallId::TcpWrite) => timed_out(&mut world, call),
        (ErrorCode::NotConnected, _) => not_connected(&mut world, call),
        (ErrorCode::Closed, CallId::TcpWrite) => {
            let (_, server, _) = world.connected();
            world.done(A, CallId::TcpShutdown, &[server, 1]).unwrap();
            world.done(A, call, &[server, TEXT.into(), 4, 1])
        }
        (ErrorCode::MessageTooLarge, CallId::UdpSendTo) => {
            let socket = udp_socket(&mut world);
            world.write_address(A, ADDRESS, "10.0.0.11:81");
            world.done(A, call, &[socket, BUFFER.into(), 65_537, ADDRESS.into(), 1])
        }
        (
            ErrorCode::NoSuchName | ErrorCode::NameServerFailed | ErrorCode::NoNameServer,
            CallId::DnsLookup,
        ) => names::failed_lookup(error),
        (error, call) => panic!("no way to {} from {}", error.name(), call.name()),
    }
}

fn udp_socket(world: &mut World) -> i64 {
    world.write_address(A, ADDRESS, "0.0.0.0:0");
    let socket = world.done(A, CallId::UdpBind, &[ADDRESS.into()]);
    socket.unwrap().into()
}

/// Opens sockets until there is no room for another.
fn fill(world: &mut World) {
    world.write_address(A, ADDRESS, "0.0.0.0:0");
    while world.done(A, CallId::UdpBind, &[ADDRESS.into()]).is_ok() {}
}

/// A connection of A that is not established yet.
fn connecting(world: &mut World, address: &str) -> i64 {
    world.write_address(A, ADDRESS, address);
    let handle = world.done(A, CallId::TcpConnect, &[ADDRESS.into(), 1]);
    handle.unwrap().into()
}

/// A call that uses a connection, as `call`.
fn use_connection(world: &mut World, call: CallId, handle: i64) -> Result<i32, ErrorCode> {
    match call {
        CallId::TcpRead => world.done(A, call, &[handle, BUFFER.into(), 8, 1]),
        CallId::TcpWrite => world.done(A, call, &[handle, TEXT.into(), 4, 1]),
        CallId::TcpConnectStatus => world.done(A, call, &[handle]),
        CallId::TcpShutdown => world.done(A, call, &[handle, 1]),
        CallId::SocketLocalAddress | CallId::SocketPeerAddress => {
            world.done(A, call, &[handle, ADDRESS.into()])
        }
        other => panic!("{} uses no connection", other.name()),
    }
}

/// The peer breaks the connection off.
fn reset(world: &mut World, call: CallId) -> Result<i32, ErrorCode> {
    let (_, server, _) = world.connected();
    world.guest(B).stack.shutdown_all();
    world.run(Duration::from_millis(50));
    use_connection(world, call, server)
}

/// The peer no longer answers what was sent to it.
fn timed_out(world: &mut World, call: CallId) -> Result<i32, ErrorCode> {
    let (_, server, _) = world.connected();
    world.cut_link();
    let write = [server, TEXT.into(), 4, 1];
    world.done(A, CallId::TcpWrite, &write).unwrap();
    world.run(Duration::from_secs(300));
    use_connection(world, call, server)
}

/// The handshake is not over.
fn not_connected(world: &mut World, call: CallId) -> Result<i32, ErrorCode> {
    let handle = connecting(world, "10.0.0.11:81");
    use_connection(world, call, handle)
}

/// What the table reserves and today's stack never answers: kept, since the table only grows.
const RESERVED: &[(CallId, ErrorCode)] = &[
    // Guests hold no handle without an address.
    (CallId::SocketLocalAddress, ErrorCode::WrongKind),
    (CallId::SocketLocalAddress, ErrorCode::NotConnected),
    // A route is looked for when the connection begins, and an RST to a SYN means refused.
    (CallId::TcpConnectStatus, ErrorCode::Unreachable),
    (CallId::TcpConnect, ErrorCode::ConnectionReset),
    // No server that answers is NAME_SERVER_FAILED.
    (CallId::DnsLookup, ErrorCode::TimedOut),
    // They wait for the handshake instead.
    (CallId::TcpRead, ErrorCode::NotConnected),
    (CallId::TcpWrite, ErrorCode::NotConnected),
];

#[test]
fn each_error_of_the_table_is_had_from_its_call() {
    let mut had = 0;
    let mut wrong = Vec::new();
    for &call in CallId::ALL {
        for &error in call.errors() {
            if RESERVED.contains(&(call, error)) {
                continue;
            }
            let result = provoke(call, error);
            if result != Err(error) {
                wrong.push((call.name(), error.name(), result));
            }
            had += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(had > 80, "{had}");
}
