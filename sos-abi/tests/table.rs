//! The table keeps its promises: append-only, unique, layouts fixed, page up to date.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use sos_abi::{CallId, ErrorCode, PollEntry, SocketAddress, ValueType};

/// Names in the order of their numbers. Only ever append here.
const GOLDEN_CALLS: &[&str] = &[
    "log",
    "console_write",
    "console_read",
    "clock_monotonic",
    "clock_wall",
    "sleep",
    "yield_now",
    "random",
    "args_count",
    "arg_get",
    "config_get",
    "config_key",
    "instance_name",
    "node_name",
    "generation",
    "exit",
    "tcp_listen",
    "tcp_accept",
    "tcp_connect",
    "tcp_connect_status",
    "tcp_read",
    "tcp_write",
    "tcp_shutdown",
    "tcp_set_option",
    "udp_bind",
    "udp_send_to",
    "udp_receive_from",
    "socket_local_address",
    "socket_peer_address",
    "close",
    "poll",
    "dns_lookup",
    "revivals",
    "wasi_descriptor",
];

/// Names in the order of their codes, from -1 downwards. Only ever append here.
const GOLDEN_ERRORS: &[&str] = &[
    "BAD_POINTER",
    "INVALID_ARGUMENT",
    "BAD_HANDLE",
    "WRONG_KIND",
    "WOULD_BLOCK",
    "TOO_MANY_HANDLES",
    "NOT_FOUND",
    "ADDRESS_IN_USE",
    "ADDRESS_NOT_AVAILABLE",
    "CONNECTION_REFUSED",
    "CONNECTION_RESET",
    "NOT_CONNECTED",
    "ALREADY_CONNECTED",
    "TIMED_OUT",
    "UNREACHABLE",
    "MESSAGE_TOO_LARGE",
    "INVALID_ADDRESS",
    "NO_SUCH_NAME",
    "NAME_SERVER_FAILED",
    "NO_NAME_SERVER",
    "CLOSED",
    "UNSUPPORTED",
];

#[test]
fn calls_are_append_only_and_numbered_without_gaps() {
    let names: Vec<&str> = CallId::ALL.iter().map(|call| call.name()).collect();
    assert_eq!(names, GOLDEN_CALLS);
    for (index, &call) in CallId::ALL.iter().enumerate() {
        assert_eq!(usize::from(call.number()), index, "{}", call.name());
        assert_eq!(CallId::from_number(call.number()), Some(call));
        assert_eq!(CallId::from_name(call.name()), Some(call));
        assert_eq!(
            call.parameter_names().len(),
            call.signature().parameters.len()
        );
    }
    assert_eq!(CallId::from_number(CallId::ALL.len() as u16), None);
    assert_eq!(CallId::from_name("no_such_call"), None);
}

#[test]
fn errors_are_append_only_and_survive_the_way_through_a_number() {
    let names: Vec<&str> = ErrorCode::ALL.iter().map(|error| error.name()).collect();
    assert_eq!(names, GOLDEN_ERRORS);
    for (index, &error) in ErrorCode::ALL.iter().enumerate() {
        assert_eq!(error.code(), -1 - index as i32);
        assert_eq!(ErrorCode::from_code(error.code()), Some(error));
    }
    for code in [0, 1, i32::MIN, i32::MAX, -1 - ErrorCode::ALL.len() as i32] {
        assert_eq!(ErrorCode::from_code(code), None, "{code}");
    }
}

#[test]
fn signatures_come_out_as_written() {
    let poll = CallId::Poll.signature();
    assert_eq!(
        poll.parameters,
        [ValueType::I32, ValueType::I32, ValueType::I64]
    );
    assert_eq!(poll.result, Some(ValueType::I32));
    assert_eq!(CallId::ClockWall.signature().result, Some(ValueType::I64));
    assert_eq!(CallId::Exit.signature().result, None);
}

#[test]
fn an_ipv4_address_has_its_documented_layout() {
    let address: SocketAddr = "10.1.2.3:8080".parse().unwrap();
    let wire = SocketAddress::encode(address);
    let mut expected = [0; 32];
    expected[..12].copy_from_slice(&[4, 0, 0x90, 0x1f, 0, 0, 0, 0, 10, 1, 2, 3]);
    assert_eq!(wire.as_bytes(), &expected);
    assert_eq!(wire.decode(), Ok(address));
}

#[test]
fn an_ipv6_address_has_its_documented_layout() {
    let ip: Ipv6Addr = "fe80::1:2".parse().unwrap();
    let address = SocketAddr::V6(SocketAddrV6::new(ip, 53, 0, 7));
    let wire = SocketAddress::encode(address);
    let mut expected = [0; 32];
    expected[..8].copy_from_slice(&[6, 0, 53, 0, 7, 0, 0, 0]);
    expected[8..24].copy_from_slice(&ip.octets());
    assert_eq!(wire.as_bytes(), &expected);
    assert_eq!(wire.decode(), Ok(address));
}

#[test]
fn an_unknown_family_is_refused() {
    let mut bytes = *SocketAddress::UNSPECIFIED.as_bytes();
    for family in [0, 5, 255] {
        bytes[0] = family;
        assert_eq!(
            SocketAddress::from_bytes(bytes).decode(),
            Err(ErrorCode::InvalidAddress)
        );
    }
    bytes[..2].copy_from_slice(&[4, 1]);
    assert_eq!(
        SocketAddress::from_bytes(bytes).decode(),
        Err(ErrorCode::InvalidAddress)
    );
}

#[test]
fn a_poll_entry_has_its_documented_layout() {
    let entry = PollEntry {
        handle: 0x01020304,
        interest: 1,
        ready: 8,
    };
    let bytes = entry.encode();
    assert_eq!(bytes, [4, 3, 2, 1, 1, 0, 0, 0, 8, 0, 0, 0]);
    assert_eq!(PollEntry::decode(&bytes), entry);
    assert_eq!(size_of::<PollEntry>(), PollEntry::BYTES);
    assert_eq!(
        std::mem::offset_of!(PollEntry, ready),
        PollEntry::READY_OFFSET
    );
}

#[test]
fn the_reference_page_is_up_to_date() {
    let mut page = String::new();
    sos_abi::reference::render(&mut page).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../kernel/ABI.md");
    if std::env::var_os("UPDATE_ABI_PAGE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(path).expect("kernel/ABI.md is missing");
    assert!(
        page == stored,
        "run: UPDATE_ABI_PAGE=1 cargo test -p sos-abi"
    );
}

#[test]
fn the_c_header_is_up_to_date() {
    let mut header = String::new();
    sos_abi::header::render(&mut header).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/c/sos.h");
    if std::env::var_os("UPDATE_C_HEADER").is_some() {
        std::fs::write(path, &header).unwrap();
    }
    let stored = std::fs::read_to_string(path).expect("sdk/c/sos.h is missing");
    assert!(
        header == stored,
        "run: UPDATE_C_HEADER=1 cargo test -p sos-abi"
    );
}

#[test]
fn the_c_header_knows_what_each_parameter_is() {
    for call in CallId::ALL {
        for name in call.parameter_names() {
            let known = sos_abi::header::parameter_type(name);
            assert!(known.is_some(), "{}: {name}", call.name());
        }
    }
}
