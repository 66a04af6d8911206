//! The store as its clients see it, on a simulated node.

use sos_sdk::net::{Shutdown, TcpStream};
use sos_sdk::testing::Node;
use store::{Answer, Frame, Operation, Request, Status, encode_request, next_answer};

fn request<'a>(operation: Operation, key: &'a [u8], value: &'a [u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let request = Request {
        operation,
        key,
        value,
    };
    encode_request(&mut bytes, &request);
    bytes
}

/// Receives one answer.
fn receive(stream: &TcpStream) -> (Status, Vec<u8>) {
    let mut input = Vec::new();
    loop {
        match next_answer(&input) {
            Frame::Complete(Answer { status, value }, _) => return (status, value.to_vec()),
            Frame::Incomplete => {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("an answer");
                input.push(byte[0]);
            }
            Frame::Malformed => panic!("not an answer: {input:?}"),
        }
    }
}

#[test]
fn what_one_client_stores_another_reads() {
    let node = Node::new();
    let store = node.instance("store").config("port", 7).spawn(store::serve);
    let writer = node.connect("store:7").unwrap();
    writer
        .write_all(&request(Operation::Put, b"key", b"value"))
        .unwrap();
    assert_eq!(receive(&writer), (Status::Done, Vec::new()));
    let reader = node.connect("store:7").unwrap();
    reader
        .write_all(&request(Operation::Get, b"key", b""))
        .unwrap();
    assert_eq!(receive(&reader), (Status::Done, b"value".to_vec()));
    assert!(store.has_logged("storing on port 7"));
}

#[test]
fn a_request_may_come_in_pieces_and_several_at_once() {
    let node = Node::new();
    node.spawn("store", store::serve);
    let stream = node.connect("store:7000").unwrap();
    let mut bytes = request(Operation::Put, b"a", &[7; 1000]);
    bytes.extend(request(Operation::Get, b"a", b""));
    bytes.extend(request(Operation::Delete, b"b", b""));
    for piece in bytes.chunks(100) {
        stream.write_all(piece).unwrap();
        node.settle();
    }
    assert_eq!(receive(&stream), (Status::Done, Vec::new()));
    assert_eq!(receive(&stream), (Status::Done, vec![7; 1000]));
    assert_eq!(receive(&stream), (Status::NotFound, Vec::new()));
}

#[test]
fn nonsense_is_answered_once_and_ends_the_connection() {
    let node = Node::new();
    node.spawn("store", store::serve);
    let stream = node.connect("store:7000").unwrap();
    stream.write_all(&[0xff; 8]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive(&stream), (Status::Malformed, Vec::new()));
    assert_eq!(stream.read(&mut [0]), Ok(0));
}
