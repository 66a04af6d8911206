//! An HTTP service: routes, a body, a refusal. Try `curl -d text http://…/echo`.

use std::convert::Infallible;

use sos_sdk::http::{Limits, Server, Status};

fn serve() -> sos_sdk::Result<Infallible> {
    let mut server = Server::bind("0.0.0.0:80", Limits::default())?;
    server.serve(|request, response| match (request.method, request.target) {
        ("GET", "/") => response.send(Status::OK, b"hello\n"),
        ("POST", "/echo") => response.send(Status::OK, request.body),
        (_, "/") => response.refuse_method("GET"),
        (_, "/echo") => response.refuse_method("POST"),
        _ => response.refuse(Status::NOT_FOUND),
    })
}

sos_sdk::main!(serve);
