//! Fetches a page and prints its body: an ordinary program of the standard library for WASI, with the
//! SDK to connect, which WASI preview 1 has no way to do; the connection then is the standard library's.
//! Arguments: HOST:PORT and PATH.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fetch HOST:PORT PATH".into());
    };
    let stream = sos_sdk::net::TcpStream::connect(&address);
    let stream = stream.map_err(|error| format!("{address}: {error}"))?;
    let mut stream = TcpStream::try_from(stream)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer is not HTTP")?;
    eprintln!("{}", head.lines().next().unwrap_or_default());
    print!("{body}");
    Ok(())
}
