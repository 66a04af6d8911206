//! From received bytes to a [`Request`].

use core::mem::MaybeUninit;

use httparse::Header;

use super::status::Status;

/// Most header fields of a request.
const HEADER_FIELDS: usize = 64;

/// Largest requests that a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request target.
    pub target_bytes: usize,
    /// Bytes of the head: request line and header fields.
    pub head_bytes: usize,
    /// Bytes of the body.
    pub body_bytes: usize,
    /// Connections served at once; more wait to be accepted.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            target_bytes: 2048,
            head_bytes: 8 * 1024,
            body_bytes: 64 * 1024,
            connections: 200,
        }
    }
}

/// A whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET`, `PUT`, …
    pub method: &'a str,
    /// What is asked for, as it was sent: path and query, not decoded.
    pub target: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Whether the client will send more requests.
    pub keep_alive: bool,
}

/// What some received bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The beginning of a request.
    Incomplete {
        /// Bytes that must be there before it is worth looking again.
        needed_bytes: usize,
        /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 section
        /// 10.1.1).
        expects_continue: bool,
    },
    /// A request and how many bytes it takes.
    Complete(Request<'a>, usize),
    /// Something that is answered with this status, after which the connection ends.
    Refused(Status),
}

/// What the header fields say.
#[derive(Default)]
struct Fields {
    body_bytes: Option<u64>,
    has_host: bool,
    has_transfer_encoding: bool,
    says_close: bool,
    says_keep_alive: bool,
    expects_continue: bool,
}

/// Reads the first request of `input`.
pub fn parse<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a> {
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADER_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let head_bytes = match head.parse_with_uninit_headers(input, &mut headers) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return incomplete_head(input, limits),
        Err(httparse::Error::TooManyHeaders) => {
            return Parsed::Refused(Status::HEADER_FIELDS_TOO_LARGE);
        }
        Err(httparse::Error::Version) => return Parsed::Refused(Status::VERSION_NOT_SUPPORTED),
        Err(_) => return Parsed::Refused(Status::BAD_REQUEST),
    };
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return Parsed::Refused(Status::BAD_REQUEST);
    };
    if target.len() > limits.target_bytes {
        return Parsed::Refused(Status::URI_TOO_LONG);
    }
    if head_bytes > limits.head_bytes {
        return Parsed::Refused(Status::HEADER_FIELDS_TOO_LARGE);
    }
    let fields = match read_fields(head.headers) {
        Ok(fields) => fields,
        Err(status) => return Parsed::Refused(status),
    };
    if let Err(status) = check(&fields, version, limits) {
        return Parsed::Refused(status);
    }
    // `check` has bounded the length.
    let total_bytes = head_bytes + fields.body_bytes.unwrap_or(0) as usize;
    let Some(body) = input.get(head_bytes..total_bytes) else {
        return Parsed::Incomplete {
            needed_bytes: total_bytes,
            expects_continue: fields.expects_continue && version == 1,
        };
    };
    let keep_alive = !fields.says_close && (version == 1 || fields.says_keep_alive);
    Parsed::Complete(
        Request {
            method,
            target,
            body,
            keep_alive,
        },
        total_bytes,
    )
}

fn incomplete_head(input: &[u8], limits: &Limits) -> Parsed<'static> {
    if input.len() > limits.head_bytes {
        let is_request_line_whole = input.contains(&b'\n');
        return Parsed::Refused(if is_request_line_whole {
            Status::HEADER_FIELDS_TOO_LARGE
        } else {
            Status::URI_TOO_LONG
        });
    }
    Parsed::Incomplete {
        needed_bytes: input.len() + 1,
        expects_continue: false,
    }
}

fn read_fields(headers: &[Header<'_>]) -> Result<Fields, Status> {
    let mut fields = Fields::default();
    for header in headers {
        // The length tells most fields apart from the few that matter.
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        match header.name.len() {
            4 if is("host") => fields.has_host = true,
            6 if is("expect") => {
                fields.expects_continue = header.value.eq_ignore_ascii_case(b"100-continue");
            }
            10 if is("connection") => read_connection(header.value, &mut fields),
            14 if is("content-length") => {
                let length = content_length(header.value)?;
                // Two lengths that differ are how requests are smuggled (RFC 9112 section 6.3).
                if fields.body_bytes.is_some_and(|other| other != length) {
                    return Err(Status::BAD_REQUEST);
                }
                fields.body_bytes = Some(length);
            }
            17 if is("transfer-encoding") => fields.has_transfer_encoding = true,
            _ => {}
        }
    }
    Ok(fields)
}

fn read_connection(value: &[u8], fields: &mut Fields) {
    for option in value.split(|&byte| byte == b',') {
        let option = option.trim_ascii();
        fields.says_close |= option.eq_ignore_ascii_case(b"close");
        fields.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
    }
}

/// A length is digits alone (RFC 9110 section 8.6); one that is too large for a number is too large.
fn content_length(value: &[u8]) -> Result<u64, Status> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Status::BAD_REQUEST);
    }
    let text = core::str::from_utf8(value).map_err(|_| Status::BAD_REQUEST)?;
    text.parse().map_err(|_| Status::CONTENT_TOO_LARGE)
}

fn check(fields: &Fields, version: u8, limits: &Limits) -> Result<(), Status> {
    // RFC 9112 section 3.2: a request of version 1.1 names its host.
    if version == 1 && !fields.has_host {
        return Err(Status::BAD_REQUEST);
    }
    if fields.has_transfer_encoding {
        return Err(match fields.body_bytes {
            Some(_) => Status::BAD_REQUEST,
            None => Status::LENGTH_REQUIRED,
        });
    }
    if fields.body_bytes.unwrap_or(0) > limits.body_bytes as u64 {
        return Err(Status::CONTENT_TOO_LARGE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn status(input: &[u8]) -> Option<Status> {
        match parse(input, &Limits::default()) {
            Parsed::Refused(status) => Some(status),
            Parsed::Incomplete { .. } | Parsed::Complete(..) => None,
        }
    }

    fn keeps_alive(input: &[u8]) -> bool {
        match parse(input, &Limits::default()) {
            Parsed::Complete(request, _) => request.keep_alive,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_complete_only_with_its_last_byte() {
        let whole = b"PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
        for end in 0..whole.len() {
            let parsed = parse(&whole[..end], &Limits::default());
            let Parsed::Incomplete { needed_bytes, .. } = parsed else {
                panic!("{end}: {parsed:?}")
            };
            assert!(
                needed_bytes > end && needed_bytes <= whole.len(),
                "{end}: {needed_bytes}"
            );
        }
        let request = Request {
            method: "PUT",
            target: "/kv/a",
            body: b"hi",
            keep_alive: true,
        };
        assert_eq!(
            parse(whole, &Limits::default()),
            Parsed::Complete(request, whole.len())
        );
    }

    #[test]
    fn the_next_request_is_left_alone() {
        let first = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let both = [&first[..], b"GET /b HTTP/1.1\r\n"].concat();
        assert!(matches!(
            parse(&both, &Limits::default()),
            Parsed::Complete(_, taken) if taken == first.len()
        ));
    }

    #[test]
    fn version_and_connection_field_decide_about_keeping_alive() {
        assert!(keeps_alive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(!keeps_alive(
            b"GET / HTTP/1.1\r\nHost: x\r\nconnection: Close\r\n\r\n"
        ));
        assert!(!keeps_alive(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: te, close\r\n\r\n"
        ));
        assert!(!keeps_alive(b"GET / HTTP/1.0\r\n\r\n"));
        assert!(keeps_alive(
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        ));
    }

    #[test]
    fn malformed_requests_are_refused_with_the_fitting_status() {
        let cases: [(&[u8], Status); 10] = [
            (b"\x00\x01\r\n\r\n", Status::BAD_REQUEST),
            (b"GET /\r\n\r\n", Status::BAD_REQUEST),
            (
                b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
                Status::BAD_REQUEST,
            ),
            (b"GET / HTTP/1.1\r\n\r\n", Status::BAD_REQUEST),
            (b"GET / HTTP/3.0\r\n\r\n", Status::VERSION_NOT_SUPPORTED),
            (
                b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
                Status::BAD_REQUEST,
            ),
            (
                b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n",
                Status::CONTENT_TOO_LARGE,
            ),
            (
                b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                Status::CONTENT_TOO_LARGE,
            ),
            (
                b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                Status::BAD_REQUEST,
            ),
            (
                b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                Status::LENGTH_REQUIRED,
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(
                status(input),
                Some(expected),
                "{}",
                String::from_utf8_lossy(input)
            );
        }
    }

    #[test]
    fn a_length_beside_a_transfer_encoding_is_refused() {
        let input =
            b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(status(input), Some(Status::BAD_REQUEST));
    }

    #[test]
    fn heads_and_targets_are_bounded_also_when_they_never_end() {
        let long_target = [b"GET /", &[b'a'; 3000][..], b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
        assert_eq!(status(&long_target), Some(Status::URI_TOO_LONG));
        let endless_target = [b"GET /", &[b'a'; 9000][..]].concat();
        assert_eq!(status(&endless_target), Some(Status::URI_TOO_LONG));
        let endless_field = [b"GET / HTTP/1.1\r\na: ", &[b'a'; 9000][..]].concat();
        assert_eq!(
            status(&endless_field),
            Some(Status::HEADER_FIELDS_TOO_LARGE)
        );
        let mut many_fields = Vec::from(&b"GET / HTTP/1.1\r\n"[..]);
        for _ in 0..100 {
            many_fields.extend_from_slice(b"a: b\r\n");
        }
        many_fields.extend_from_slice(b"\r\n");
        assert_eq!(status(&many_fields), Some(Status::HEADER_FIELDS_TOO_LARGE));
    }

    #[test]
    fn a_client_that_waits_for_continue_is_seen() {
        let input =
            b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        assert!(matches!(
            parse(input, &Limits::default()),
            Parsed::Incomplete { expects_continue: true, needed_bytes } if needed_bytes == input.len() + 5
        ));
    }
}
