//! The DNS server's messages (RFC 1035): questions in, answers out.
//!
//! Sans-I/O. One question per message, as all resolvers send; what is not understood gets the
//! error code that says so.

use std::net::{IpAddr, Ipv4Addr};

/// Addresses in one answer.
const ANSWERS_MAX: usize = 8;
/// Seconds that names of the LAN may be cached: services move.
pub(super) const LOCAL_TTL_SECONDS: u32 = 1;
/// Seconds that other names may be cached.
pub(super) const FOREIGN_TTL_SECONDS: u32 = 60;

const HEADER_BYTES: usize = 12;
const CLASS_IN: u16 = 1;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

/// Which record is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    A,
    Aaaa,
    Other,
}

/// The response codes used here (RFC 1035, 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseCode {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NameError = 3,
    NotImplemented = 4,
}

/// A question that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The name in lower case, without the last dot.
    pub(super) name: String,
    pub(super) kind: RecordKind,
    /// Header and question as they came; the answer repeats them.
    head: Vec<u8>,
}

/// Who knows a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// The LAN: a single label, or a name below `.sos`.
    Local(&'a str),
    /// The host's resolver.
    Foreign,
}

/// Reads a query. An error is the message to send back, empty if none is deserved.
pub(super) fn parse(query: &[u8]) -> Result<Question, Vec<u8>> {
    let Some((header, rest)) = query.split_first_chunk::<HEADER_BYTES>() else {
        return Err(Vec::new());
    };
    let is_response = header[2] & 0x80 != 0;
    if is_response {
        return Err(Vec::new());
    }
    if header[2] & 0x78 != 0 {
        return Err(respond_header(header, ResponseCode::NotImplemented));
    }
    let format_error = || respond_header(header, ResponseCode::FormatError);
    if header[4..6] != [0, 1] {
        return Err(format_error());
    }
    let (name, name_bytes) = read_name(rest).ok_or_else(format_error)?;
    let fixed = rest
        .get(name_bytes..name_bytes + 4)
        .ok_or_else(format_error)?;
    let record = u16::from_be_bytes([fixed[0], fixed[1]]);
    let class = u16::from_be_bytes([fixed[2], fixed[3]]);
    let kind = match (class, record) {
        (CLASS_IN, TYPE_A) => RecordKind::A,
        (CLASS_IN, TYPE_AAAA) => RecordKind::Aaaa,
        _ => RecordKind::Other,
    };
    let head = query[..HEADER_BYTES + name_bytes + 4].to_vec();
    Ok(Question { name, kind, head })
}

impl Question {
    /// Who is to answer.
    pub(super) fn scope(&self) -> Scope<'_> {
        match self.name.strip_suffix(".sos") {
            Some(label) => Scope::Local(label),
            None if self.name.contains('.') || self.name == "localhost" => Scope::Foreign,
            None => Scope::Local(&self.name),
        }
    }

    /// The response: `addresses` of the asked kind, or the code alone.
    pub(super) fn respond(
        &self,
        code: ResponseCode,
        addresses: &[IpAddr],
        ttl_seconds: u32,
    ) -> Vec<u8> {
        let mut message = self.head.clone();
        set_response(&mut message, code);
        let mut count: u8 = 0;
        for address in addresses
            .iter()
            .filter(|a| self.kind.matches(**a))
            .take(ANSWERS_MAX)
        {
            count += 1;
            // The owner name points to the question's name.
            message.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
            let (record, data) = match address {
                IpAddr::V4(v4) => (TYPE_A, v4.octets().to_vec()),
                IpAddr::V6(v6) => (TYPE_AAAA, v6.octets().to_vec()),
            };
            message.extend_from_slice(&record.to_be_bytes());
            message.extend_from_slice(&CLASS_IN.to_be_bytes());
            message.extend_from_slice(&ttl_seconds.to_be_bytes());
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(&data);
        }
        message[7] = count;
        message
    }

    /// The response for a name of the LAN that `address` is known for, or not.
    pub(super) fn respond_local(&self, address: Option<Ipv4Addr>) -> Vec<u8> {
        match address {
            Some(address) => self.respond(
                ResponseCode::NoError,
                &[IpAddr::V4(address)],
                LOCAL_TTL_SECONDS,
            ),
            None => self.respond(ResponseCode::NameError, &[], LOCAL_TTL_SECONDS),
        }
    }
}

impl RecordKind {
    fn matches(self, address: IpAddr) -> bool {
        match self {
            Self::A => address.is_ipv4(),
            Self::Aaaa => address.is_ipv6(),
            Self::Other => false,
        }
    }
}

/// Reads labels up to the root; a question's name is never compressed.
fn read_name(bytes: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = 0;
    loop {
        let label_bytes = usize::from(*bytes.get(at)?);
        at += 1;
        if label_bytes == 0 {
            return Some((name, at));
        }
        if label_bytes > 63 || name.len() + label_bytes > 254 {
            return None;
        }
        let label = bytes.get(at..at + label_bytes)?;
        at += label_bytes;
        if !name.is_empty() {
            name.push('.');
        }
        let printable = |c: &u8| c.is_ascii_graphic() && *c != b'.';
        if !label.iter().all(printable) {
            return None;
        }
        name.extend(label.iter().map(|c| char::from(c.to_ascii_lowercase())));
    }
}

fn respond_header(header: &[u8; HEADER_BYTES], code: ResponseCode) -> Vec<u8> {
    let mut message = header.to_vec();
    message[4..6].fill(0);
    set_response(&mut message, code);
    message
}

/// Makes a query's header that of a response: QR and RA set, the code, and no further sections.
fn set_response(message: &mut [u8], code: ResponseCode) {
    message[2] |= 0x80;
    message[3] = 0x80 | code as u8;
    message[6..HEADER_BYTES].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(labels: &[&str], record: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in labels {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.push(0);
        message.extend_from_slice(&record.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message
    }

    #[test]
    fn local_names_are_answered_and_others_forwarded() {
        let question = parse(&query(&["WEB", "sos"], TYPE_A)).unwrap();
        assert_eq!(question.scope(), Scope::Local("web"));
        assert_eq!(
            parse(&query(&["web"], TYPE_A)).unwrap().scope(),
            Scope::Local("web")
        );
        assert_eq!(
            parse(&query(&["a", "example"], TYPE_A)).unwrap().scope(),
            Scope::Foreign
        );

        let message = question.respond_local(Some(Ipv4Addr::new(10, 0, 2, 15)));
        assert_eq!(message[..8], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(message[message.len() - 6..], [0, 4, 10, 0, 2, 15]);
        let message = question.respond_local(None);
        assert_eq!(message[3] & 15, ResponseCode::NameError as u8);
    }

    #[test]
    fn a_name_without_the_asked_record_gives_an_empty_answer() {
        let question = parse(&query(&["web"], TYPE_AAAA)).unwrap();
        let message = question.respond_local(Some(Ipv4Addr::new(10, 0, 2, 15)));
        assert_eq!((message[3] & 15, message[7]), (0, 0));
    }

    #[test]
    fn broken_queries_get_an_error_or_nothing() {
        assert_eq!(parse(&[0; 5]), Err(Vec::new()));
        let mut response = query(&["web"], TYPE_A);
        response[2] |= 0x80;
        assert_eq!(parse(&response), Err(Vec::new()));
        let whole = query(&["web"], TYPE_A);
        for cut in HEADER_BYTES..whole.len() {
            let error = parse(&whole[..cut]).unwrap_err();
            assert_eq!(error[3] & 15, ResponseCode::FormatError as u8);
        }
        let mut compressed = whole.clone();
        compressed[HEADER_BYTES] = 0xc0;
        assert!(parse(&compressed).is_err());
    }
}
