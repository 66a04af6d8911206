//! The proxy between the test and an echo service, on a simulated node.

use sos_sdk::net::{Shutdown, TcpListener, TcpStream};
use sos_sdk::testing::Node;

/// Sends back what each client sends, one after the other; a client that has sent all is told so.
fn echo() -> sos_sdk::Result<()> {
    for stream in TcpListener::bind("0.0.0.0:7")?.incoming() {
        let mut buffer = [0; 1000];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..count])?;
        }
    }
    Ok(())
}

fn start(node: &Node) -> sos_sdk::testing::Instance {
    node.spawn("echo", echo);
    node.instance("proxy")
        .config("to", "echo:7")
        .config("clients", 3)
        .spawn(proxy::serve)
}

fn read_to_end(stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1000];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..count]);
    }
    bytes
}

#[test]
fn bytes_and_their_end_pass_both_ways() {
    let node = Node::new();
    start(&node);
    let stream = node.connect("proxy:7000").unwrap();
    let bytes: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
    stream.write_all(&bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(&stream) == bytes);
}

#[test]
fn more_clients_than_allowed_wait_for_a_place() {
    let node = Node::new();
    start(&node);
    // The echo takes one client at a time, and the proxy three; the rest wait their turn.
    let streams: Vec<TcpStream> = (0..8)
        .map(|number| {
            let stream = node.connect("proxy:7000").unwrap();
            stream.write_all(&[number; 10]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream
        })
        .collect();
    for (number, stream) in streams.iter().enumerate() {
        assert_eq!(read_to_end(stream), [number as u8; 10]);
    }
}

#[test]
fn a_service_that_is_not_there_ends_the_client() {
    let node = Node::new();
    let proxy = node
        .instance("proxy")
        .config("to", "10.0.0.99:7")
        .spawn(proxy::serve);
    let stream = node.connect("proxy:7000").unwrap();
    assert_eq!(read_to_end(&stream), b"");
    assert!(proxy.has_logged("the peer did not answer in time"));
}
