//! The service {{name}}: answers HTTP on port 80.

use std::convert::Infallible;

use sos_sdk::http::{Limits, Server, Status};
use sos_sdk::info;

/// Serves for ever, or says why it cannot.
fn serve() -> sos_sdk::Result<Infallible> {
    let mut server = Server::bind("0.0.0.0:80", Limits::default())?;
    info!("{{name}} serves HTTP on port 80");
    server.serve(|request, response| match (request.method, request.target) {
        ("GET", "/") => response.send(Status::OK, b"hello from {{name}}\n"),
        (_, "/") => response.refuse_method("GET"),
        _ => response.refuse(Status::NOT_FOUND),
    })
}

sos_sdk::main!(serve);

#[cfg(test)]
mod tests {
    use std::io::Read;

    use sos_sdk::testing::Node;

    #[test]
    fn it_greets() {
        let node = Node::new();
        node.spawn("it", super::serve);
        let mut client = node.connect("it:80").unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\nhello from {{name}}\n"), "{answer}");
    }
}
