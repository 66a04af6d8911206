//! The guests that prove the network on a real node: every byte that chatter sends is counted and
//! proved by counter, over a link, over a switch with names from DHCP and DNS, and over IPv6.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use sos_tests::qemu::{Boot, Manifest, PATIENCE};

const TALK: &str = r#"
    name = "talk"
    [switch.lan]
    uplink = "nic0"
    [link.wire]

    [instance.counter]
    module = "counter"
    port.eth0 = { switch = "lan", address = "dhcp" }
    port.eth1 = { link = "wire", address = ["10.1.0.2/24", "fd01::2/64"] }

    [instance.by-link]
    module = "chatter"
    config = { peer = "10.1.0.2:7100", block_bytes = "65536", blocks = "60" }
    port.eth0 = { link = "wire", address = ["10.1.0.1/24", "fd01::1/64"] }

    [instance.by-name]
    module = "chatter"
    config = { peer = "counter:7100", blocks = "60" }
    port.eth0 = { switch = "lan", address = "dhcp" }

    [[forward]]
    host = 1
    to = "counter:7100"
"#;

#[test]
fn chatter_proves_that_counter_loses_no_byte() {
    let node = Boot::image(&Manifest::new(TALK).build()).start();
    for name in ["by-link", "by-name"] {
        assert_eq!(node.until_state(name, "exited"), "status 0");
        let log = node.log(name);
        let last = log.last().expect("a log");
        assert!(
            last.starts_with("done: 60 blocks, ") && last.ends_with("all proved"),
            "{log:?}"
        );
    }
    // From outside, one block: its length, its bytes, and a proof comes back.
    let mut outside = TcpStream::connect((Ipv4Addr::LOCALHOST, node.port())).expect("a connection");
    outside.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    outside.write_all(b"\x05\0\0\0hello").expect("send a block");
    let mut proof = [0; 32];
    outside.read_exact(&mut proof).expect("a proof");
    let number = |at: usize| u64::from_le_bytes(proof[at..at + 8].try_into().expect("eight bytes"));
    // One block of five bytes on this connection, after 120 others; CRC-32 of "hello".
    assert_eq!([number(0), number(8), number(16)], [1, 5, 121]);
    assert_eq!(number(24), 5 << 32 | 0x3610_a686);
    node.power_off();
}

#[test]
fn chatter_reaches_counter_over_ipv6() {
    let text = TALK.replace("10.1.0.2:7100", "[fd01::2]:7100");
    let node = Boot::image(&Manifest::new(text).build()).start();
    assert_eq!(node.until_state("by-link", "exited"), "status 0");
    assert!(
        node.log("by-link")[0].contains("[fd01::2]:7100"),
        "{:?}",
        node.log("by-link")
    );
    // Its station has ended with it.
    let said = node.shell("ping counter fd01::1 -c 1");
    assert!(said.contains("0 received"), "{said}");
    node.quietly("start by-link");
    assert_eq!(node.until_state("by-link", "exited"), "status 0");
    node.power_off();
}
