//! The head that a client repeats: on a connection that is kept alive, requests differ rarely.
//!
//! Parsing a head of 80 bytes takes about 9000 units of an interpreter's fuel, seeing that it is the
//! one before a small part of that. The parser is a function of the bytes, so the outcome is the
//! same.

use alloc::vec::Vec;

use super::request::{Limits, Parsed, Request, parse};

/// Longest head that is remembered.
const HEAD_BYTES: usize = 1024;

/// A parser that remembers the last head without a body.
#[derive(Debug, Default)]
pub struct RepeatedHead {
    bytes: Vec<u8>,
    method_end: usize,
    target_start: usize,
    target_end: usize,
    keep_alive: bool,
}

impl RepeatedHead {
    /// As [`parse`].
    pub fn parse<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Parsed<'a> {
        if let Some(request) = self.recognise(input) {
            return Parsed::Complete(request, self.bytes.len());
        }
        let parsed = parse(input, limits);
        if let Parsed::Complete(request, bytes) = &parsed {
            self.remember(request, &input[..*bytes]);
        }
        parsed
    }

    fn recognise<'a>(&self, input: &'a [u8]) -> Option<Request<'a>> {
        if self.bytes.is_empty() || !is_equal(input.get(..self.bytes.len())?, &self.bytes) {
            return None;
        }
        let text = |start: usize, end: usize| core::str::from_utf8(&input[start..end]).ok();
        Some(Request {
            method: text(0, self.method_end)?,
            target: text(self.target_start, self.target_end)?,
            body: &[],
            keep_alive: self.keep_alive,
        })
    }

    fn remember(&mut self, request: &Request<'_>, bytes: &[u8]) {
        self.bytes.clear();
        let method_end = request.method.len();
        let target_start = method_end + 1;
        let target_end = target_start + request.target.len();
        // Empty lines or more blanks before the target are allowed and leave the head unknown.
        let is_plain = bytes.get(..method_end) == Some(request.method.as_bytes())
            && bytes.get(target_start..target_end) == Some(request.target.as_bytes());
        if is_plain && request.body.is_empty() && bytes.len() <= HEAD_BYTES {
            self.bytes.extend_from_slice(bytes);
            self.method_end = method_end;
            self.target_start = target_start;
            self.target_end = target_end;
            self.keep_alive = request.keep_alive;
        }
    }
}

/// Compares eight bytes at a step; `memcmp` on wasm32 takes one.
fn is_equal(left: &[u8], right: &[u8]) -> bool {
    let (left_words, left_rest) = left.as_chunks::<8>();
    let (right_words, right_rest) = right.as_chunks::<8>();
    left_words.len() == right_words.len()
        && left_words
            .iter()
            .zip(right_words)
            .all(|(left, right)| u64::from_le_bytes(*left) == u64::from_le_bytes(*right))
        && left_rest == right_rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_heads_parse_as_fresh_ones_do() {
        let limits = Limits::default();
        let requests: [&[u8]; 9] = [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\n",
            b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n",
            b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
            b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nho",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r",
        ];
        for first in requests {
            for second in requests {
                let mut repeated = RepeatedHead::default();
                assert_eq!(repeated.parse(first, &limits), parse(first, &limits));
                assert_eq!(repeated.parse(second, &limits), parse(second, &limits));
                assert_eq!(repeated.parse(first, &limits), parse(first, &limits));
            }
        }
    }

    #[test]
    fn equality_sees_every_byte() {
        let bytes: Vec<u8> = (0..29).collect();
        assert!(is_equal(&bytes, &bytes.clone()));
        for index in 0..bytes.len() {
            let mut other = bytes.clone();
            other[index] ^= 1;
            assert!(!is_equal(&bytes, &other), "{index}");
            assert!(!is_equal(&bytes, &bytes[..index]), "{index}");
        }
    }
}
