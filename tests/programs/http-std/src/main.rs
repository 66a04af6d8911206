//! An HTTP service on the standard library's `TcpListener` alone: whoever starts the program has
//! opened the listening socket. Argument: its descriptor (3, the first after the standard streams).
//!
//! `GET /` greets, `GET /count` counts the requests, `POST /sum` adds the numbers of the body,
//! `GET /large?BYTES` answers so many bytes, `POST /stop` ends the program with status 0. One
//! connection at a time, kept alive until its client closes it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::FromRawFd;

const DEFAULT_LISTENER: i32 = 3;
const MAX_BODY_BYTES: usize = 1 << 20;

struct Request {
    method: String,
    target: String,
    body: Vec<u8>,
    closes: bool,
}

/// What happens after an answer.
#[derive(PartialEq)]
enum Next {
    Continue,
    Close,
    Stop,
}

fn main() -> io::Result<()> {
    let argument = std::env::args().nth(1);
    let descriptor = argument
        .and_then(|text| text.parse().ok())
        .unwrap_or(DEFAULT_LISTENER);
    // SAFETY: the descriptor was opened for this program and nobody else in it uses it.
    let listener = unsafe { TcpListener::from_raw_fd(descriptor) };
    println!("http-std: serving");
    let mut count = 0;
    for stream in listener.incoming() {
        match serve(&stream?, &mut count) {
            Ok(Next::Stop) => break,
            Ok(_) => {}
            // A client that leaves in the middle ends its own connection only.
            Err(error) => eprintln!("http-std: {error}"),
        }
    }
    println!("http-std: {count} requests");
    Ok(())
}

fn serve(stream: &TcpStream, count: &mut u64) -> io::Result<Next> {
    let mut input = BufReader::new(stream);
    loop {
        let Some(request) = read_request(&mut input)? else {
            return Ok(Next::Close);
        };
        *count += 1;
        let next = answer(stream, &request, *count)?;
        if next != Next::Continue {
            stream.shutdown(Shutdown::Write)?;
            return Ok(next);
        }
    }
}

fn read_request(input: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    if !line.ends_with('\n') {
        // The client has left, perhaps in the middle of the line.
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::other("not a request line"));
    };
    let (mut length, mut closes) = (0, false);
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            "connection" => closes = value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    if length > MAX_BODY_BYTES {
        return Err(io::Error::other("a body above the limit"));
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(Some(Request {
        method,
        target,
        body,
        closes,
    }))
}

fn answer(mut stream: &TcpStream, request: &Request, count: u64) -> io::Result<Next> {
    let mut next = if request.closes {
        Next::Close
    } else {
        Next::Continue
    };
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let (status, body) = match (request.method.as_str(), path) {
        ("GET", "/") => ("200 OK", b"hello from std\n".to_vec()),
        ("GET", "/count") => ("200 OK", format!("{count}\n").into_bytes()),
        ("GET", "/large") => ("200 OK", large(query.parse().unwrap_or(0))),
        ("POST", "/sum") => ("200 OK", format!("{}\n", sum(&request.body)).into_bytes()),
        ("POST", "/stop") => {
            next = Next::Stop;
            ("200 OK", b"stopping\n".to_vec())
        }
        _ => ("404 Not Found", b"no such page\n".to_vec()),
    };
    let length = body.len();
    let mut message = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    message.extend_from_slice(&body);
    stream.write_all(&message)?;
    Ok(next)
}

fn large(bytes: usize) -> Vec<u8> {
    (0..bytes.min(MAX_BODY_BYTES))
        .map(|index| b'a' + (index % 26) as u8)
        .collect()
}

fn sum(body: &[u8]) -> i64 {
    String::from_utf8_lossy(body)
        .split_ascii_whitespace()
        .filter_map(|word| word.parse::<i64>().ok())
        .sum()
}
