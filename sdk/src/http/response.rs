//! From an answer to bytes, without formatting machinery.

use alloc::vec::Vec;

use super::status::Status;

/// Whether the connection stays open after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It stays.
    KeepAlive,
    /// It ends.
    Close,
}

/// Where a service writes the answer to one request.
///
/// A response is, byte for byte:
///
/// ```text
/// HTTP/1.1 200 OK\r\n
/// Content-Type: text/plain\r\n
/// Content-Length: 6\r\n
/// [Connection: close\r\n]
/// [Allow: GET\r\n]
/// \r\n
/// hello\n
/// ```
#[derive(Debug)]
pub struct Response<'a> {
    output: &'a mut Vec<u8>,
    persistence: Persistence,
    content_type: &'a str,
}

impl<'a> Response<'a> {
    /// A response that is appended to `output`.
    pub fn new(output: &'a mut Vec<u8>, persistence: Persistence) -> Response<'a> {
        Response {
            output,
            persistence,
            content_type: "text/plain",
        }
    }

    /// The same with another content type; it must not come from outside.
    pub fn with_content_type(self, content_type: &'a str) -> Response<'a> {
        Response {
            content_type,
            ..self
        }
    }

    /// Answers with a body.
    pub fn send(self, status: Status, body: &[u8]) {
        self.write(status, "", body);
    }

    /// Answers with the status alone: the body is its reason.
    pub fn refuse(self, status: Status) {
        let mut body = Vec::from(status.reason());
        body.make_ascii_lowercase();
        body.push(b'\n');
        self.send(status, &body);
    }

    /// Answers that the target knows the methods in `allowed` only.
    pub fn refuse_method(self, allowed: &str) {
        self.write(Status::METHOD_NOT_ALLOWED, allowed, b"method not allowed\n");
    }

    fn write(self, status: Status, allowed: &str, body: &[u8]) {
        let Response {
            output,
            persistence,
            content_type,
        } = self;
        output.reserve(128 + body.len());
        let mut push = |text: &str| output.extend_from_slice(text.as_bytes());
        push("HTTP/1.1 ");
        push(status.line());
        push("\r\nContent-Type: ");
        push(content_type);
        push("\r\nContent-Length: ");
        push_decimal(output, body.len());
        let mut push = |text: &str| output.extend_from_slice(text.as_bytes());
        if persistence == Persistence::Close {
            push("\r\nConnection: close");
        }
        if !allowed.is_empty() {
            push("\r\nAllow: ");
            push(allowed);
        }
        push("\r\n\r\n");
        output.extend_from_slice(body);
    }
}

/// Most decimal digits of a `usize` of 64 bits.
const DIGITS: usize = 20;

fn push_decimal(output: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; DIGITS];
    let mut start = DIGITS;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    output.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    fn written(write: impl FnOnce(Response<'_>), persistence: Persistence) -> String {
        let mut output = Vec::new();
        write(Response::new(&mut output, persistence));
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_response_has_the_documented_bytes() {
        assert_eq!(
            written(
                |response| response.send(Status::OK, b"hello\n"),
                Persistence::KeepAlive
            ),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"
        );
        assert_eq!(
            written(
                |response| response.refuse(Status::NOT_FOUND),
                Persistence::Close
            ),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\
             Connection: close\r\n\r\nnot found\n"
        );
        assert!(
            written(
                |response| response.refuse_method("GET, PUT"),
                Persistence::KeepAlive
            )
            .contains("\r\nAllow: GET, PUT\r\n")
        );
    }

    #[test]
    fn lengths_are_decimal() {
        for number in [0, 9, 10, 65_536, usize::MAX] {
            let mut output = Vec::new();
            push_decimal(&mut output, number);
            assert_eq!(String::from_utf8(output).unwrap(), number.to_string());
        }
    }
}
