//! [`Announcement`]: what a node tells everybody on its LAN, as a message of multicast DNS.
//!
//! A node is an instance of the service `_sos._tcp` in `local` (RFC 6763, section 4.1): a pointer to it, where it
//! listens, an address, and a few texts. Whoever wants to know asks for that pointer. Messages are data here;
//! the node puts them into datagrams. They are claims: anybody on the LAN can make them, so they only
//! say where to try.

use super::NodeId;
use crate::image;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

/// Where messages go (RFC 6762, section 3).
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);
/// Seconds for which what is said holds (RFC 6762, section 10).
pub const TTL_SECONDS: u32 = 120;

/// Most questions or records of a message that are looked at.
const ENTRIES_MOST: u16 = 32;
/// Bytes of a name, dots and all (RFC 1035, section 2.3.4).
const NAME_BYTES_MOST: usize = 255;
/// The service's name.
const SERVICE: [&[u8]; 3] = [b"_sos", b"_tcp", b"local"];

const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_TXT: u16 = 16;
const TYPE_SRV: u16 = 33;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
/// With the mark that the record is the only one of its name and type (RFC 6762, section 10.2).
const CLASS_IN_UNIQUE: u16 = 0x8001;
/// A response, from whom it is about (RFC 6762, section 18).
const FLAGS_RESPONSE: u16 = 0x8400;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Name.
    pub name: String,
    /// What it says that its key is known by.
    pub id: NodeId,
    /// Where it listens.
    pub address: SocketAddrV4,
    /// Version of its kernel.
    pub version: String,
    /// All its memory, MiB.
    pub memory_mib: u32,
    /// What nobody uses of it, MiB.
    pub free_mib: u32,
    /// Time that its CPU is busy, in parts of a thousand.
    pub load_permille: u16,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Somebody wants to know which nodes there are.
    Question,
    /// A node is there.
    Node(Announcement),
    /// Nothing about nodes.
    Nothing,
}

/// The message that asks for nodes.
pub fn question() -> Vec<u8> {
    let mut out = header(0, 1, 0);
    put_name(&mut out, &SERVICE);
    put_numbers(&mut out, &[TYPE_PTR, CLASS_IN]);
    out
}

impl Announcement {
    /// The message that says so.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = header(FLAGS_RESPONSE, 0, 4);
        let instance = [self.name.as_bytes(), SERVICE[0], SERVICE[1], SERVICE[2]];
        let host = [self.name.as_bytes(), SERVICE[2]];
        put_record(&mut out, &SERVICE, TYPE_PTR, CLASS_IN, |out| {
            put_name(out, &instance);
        });
        put_record(&mut out, &instance, TYPE_SRV, CLASS_IN_UNIQUE, |out| {
            put_numbers(out, &[0, 0, self.address.port()]);
            put_name(out, &host);
        });
        let texts = [
            "txtvers=1".into(),
            format!("id={}", self.id),
            format!("version={}", self.version),
            format!("memory={}", self.memory_mib),
            format!("free={}", self.free_mib),
            format!("load={}", self.load_permille),
        ];
        put_record(&mut out, &instance, TYPE_TXT, CLASS_IN_UNIQUE, |out| {
            for text in texts {
                let text = &text.as_bytes()[..text.len().min(255)];
                out.push(text.len() as u8);
                out.extend_from_slice(text);
            }
        });
        put_record(&mut out, &host, TYPE_A, CLASS_IN_UNIQUE, |out| {
            out.extend_from_slice(&self.address.ip().octets());
        });
        out
    }
}

/// Reads a message.
pub fn read(message: &[u8]) -> Heard {
    Reader { message, at: 0 }.read().unwrap_or(Heard::Nothing)
}

// -- writing

fn header(flags: u16, questions: u16, answers: u16) -> Vec<u8> {
    let mut out = Vec::new();
    put_numbers(&mut out, &[0, flags, questions, answers, 0, 0]);
    out
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u16]) {
    out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
}

fn put_name(out: &mut Vec<u8>, labels: &[&[u8]]) {
    for label in labels {
        // Names of nodes and services are shorter than a label may be.
        let label = &label[..label.len().min(63)];
        out.push(label.len() as u8);
        out.extend_from_slice(label);
    }
    out.push(0);
}

fn put_record(
    out: &mut Vec<u8>,
    name: &[&[u8]],
    kind: u16,
    class: u16,
    data: impl FnOnce(&mut Vec<u8>),
) {
    put_name(out, name);
    put_numbers(out, &[kind, class]);
    out.extend_from_slice(&TTL_SECONDS.to_be_bytes());
    let length = out.len();
    put_numbers(out, &[0]);
    data(out);
    let bytes = (out.len() - length - 2) as u16;
    out[length..length + 2].copy_from_slice(&bytes.to_be_bytes());
}

// -- reading

/// A name as it is compared: in lower case, labels by their lengths.
type Name = Vec<u8>;

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn read(mut self) -> Option<Heard> {
        let _id = self.number()?;
        let flags = self.number()?;
        let [questions, answers, authorities, others] = [
            self.number()?,
            self.number()?,
            self.number()?,
            self.number()?,
        ];
        let mut service = Vec::new();
        put_name(&mut service, &SERVICE);
        let mut asked = false;
        for _ in 0..questions.min(ENTRIES_MOST) {
            let name = self.name()?;
            let (kind, _class) = (self.number()?, self.number()?);
            asked |= name == service && (kind == TYPE_PTR || kind == TYPE_ANY);
        }
        if flags & 0x8000 == 0 || questions > 0 {
            return asked.then_some(Heard::Question);
        }
        let records = answers.saturating_add(authorities).saturating_add(others);
        self.node(records.min(ENTRIES_MOST), &service)
    }

    /// Puts together what the records say of the first node that they are about.
    fn node(&mut self, records: u16, service: &[u8]) -> Option<Heard> {
        let mut listens: Option<(Name, u16, Name)> = None;
        let mut texts: Vec<(Name, &[u8])> = Vec::new();
        let mut addresses: Vec<(Name, Ipv4Addr)> = Vec::new();
        for _ in 0..records {
            let name = self.name()?;
            let (kind, class) = (self.number()?, self.number()?);
            let ttl = [self.number()?, self.number()?];
            let length = usize::from(self.number()?);
            let begin = self.at;
            let data = self.message.get(begin..begin + length)?;
            // What is not so any more is said with no time to hold.
            let counts = class & 0x7fff == CLASS_IN && ttl != [0, 0];
            match kind {
                TYPE_SRV if counts && listens.is_none() && name.ends_with(service) => {
                    self.at = begin + 4;
                    let port = self.number()?;
                    listens = Some((name, port, self.name()?));
                }
                TYPE_TXT if counts => texts.push((name, data)),
                TYPE_A if counts => {
                    let octets: [u8; 4] = data.try_into().ok()?;
                    addresses.push((name, octets.into()));
                }
                _ => {}
            }
            self.at = begin + length;
        }
        let (instance, port, host) = listens?;
        let (_, address) = addresses.into_iter().find(|(name, _)| *name == host)?;
        let (_, text) = texts.into_iter().find(|(name, _)| *name == instance)?;
        let label = instance.get(1..1 + usize::from(*instance.first()?))?;
        let name = core::str::from_utf8(label).ok()?;
        let is_one = instance.len() == 1 + label.len() + service.len();
        if !is_one || !image::is_name(name) || port == 0 {
            return None;
        }
        let number = |key| value(text, key).and_then(|value| value.parse::<u32>().ok());
        Some(Heard::Node(Announcement {
            name: name.into(),
            id: node_id(value(text, "id")?)?,
            address: SocketAddrV4::new(address, port),
            version: value(text, "version")
                .filter(|version| version.bytes().all(|byte| byte.is_ascii_graphic()))
                .unwrap_or_default()
                .into(),
            memory_mib: number("memory").unwrap_or(0),
            free_mib: number("free").unwrap_or(0),
            load_permille: number("load").unwrap_or(0).min(1000) as u16,
        }))
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.message.get(self.at..self.at + 2)?;
        self.at += 2;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    /// A name, which may go on elsewhere (RFC 1035, section 4.1.4): only ever further in front, so that it ends.
    fn name(&mut self) -> Option<Name> {
        let mut name = Vec::new();
        let mut at = self.at;
        let mut limit = at;
        let mut after = None;
        loop {
            let first = usize::from(*self.message.get(at)?);
            match first & 0xc0 {
                0 => {
                    let label = self.message.get(at + 1..at + 1 + first)?;
                    name.push(first as u8);
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                    if name.len() > NAME_BYTES_MOST {
                        return None;
                    }
                    at += 1 + first;
                    if first == 0 {
                        self.at = after.unwrap_or(at);
                        return Some(name);
                    }
                }
                0xc0 => {
                    let second = usize::from(*self.message.get(at + 1)?);
                    after = after.or(Some(at + 2));
                    at = (first & 0x3f) << 8 | second;
                    if at >= limit {
                        return None;
                    }
                    limit = at;
                }
                _ => return None,
            }
        }
    }
}

/// The value of a key in texts (RFC 6763, section 6).
fn value<'a>(mut texts: &'a [u8], key: &str) -> Option<&'a str> {
    loop {
        let (&length, rest) = texts.split_first()?;
        let (text, rest) = rest.split_at_checked(length.into())?;
        texts = rest;
        let Ok(text) = core::str::from_utf8(text) else {
            continue;
        };
        match text.split_once('=') {
            Some((found, value)) if found.eq_ignore_ascii_case(key) => return Some(value),
            Some(_) | None => {}
        }
    }
}

fn node_id(digits: &str) -> Option<NodeId> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut id = NodeId::default();
    if pairs.len() != id.0.len() {
        return None;
    }
    for (byte, [high, low]) in id.0.iter_mut().zip(pairs) {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement() -> Announcement {
        Announcement {
            name: "node1".into(),
            id: NodeId([0xab; 16]),
            address: "10.0.2.3:7600".parse().unwrap(),
            version: "0.1.0".into(),
            memory_mib: 512,
            free_mib: 400,
            load_permille: 250,
        }
    }

    #[test]
    fn an_announcement_and_a_question_are_understood() {
        let message = announcement().encode();
        assert!(message.len() <= 512, "{}", message.len());
        assert_eq!(read(&message), Heard::Node(announcement()));
        assert_eq!(read(&question()), Heard::Question);
        // Names are compared without regard to case (RFC 6762, section 16).
        let shouted = question().to_ascii_uppercase();
        assert_eq!(read(&shouted), Heard::Question);
    }

    #[test]
    fn names_that_go_on_elsewhere_are_understood_and_those_without_end_are_not() {
        // A question for `_sos._tcp.local` whose last two labels lie behind a pointer to the first question.
        let mut message = header(0, 2, 0);
        put_name(&mut message, &[b"x", b"_tcp", b"local"]);
        put_numbers(&mut message, &[TYPE_PTR, CLASS_IN]);
        message.extend_from_slice(b"\x04_sos\xc0\x0e");
        put_numbers(&mut message, &[TYPE_PTR, CLASS_IN]);
        assert_eq!(read(&message), Heard::Question);
        for pointer in [b"\xc0\x0c", b"\xc0\x0d", b"\xff\xff"] {
            let mut message = header(0, 1, 0);
            message.extend_from_slice(pointer);
            put_numbers(&mut message, &[TYPE_PTR, CLASS_IN]);
            assert_eq!(read(&message), Heard::Nothing);
        }
    }

    #[test]
    fn no_spoiled_message_says_more_than_it_holds() {
        let message = announcement().encode();
        for length in 0..message.len() {
            assert_eq!(read(&message[..length]), Heard::Nothing, "{length}");
        }
        for at in 0..message.len() {
            for bit in 0..8 {
                let mut spoiled = message.clone();
                spoiled[at] ^= 1 << bit;
                if let Heard::Node(heard) = read(&spoiled) {
                    assert!(image::is_name(&heard.name), "{at} {bit}");
                    assert!(heard.load_permille <= 1000 && heard.address.port() > 0);
                }
            }
        }
        let counts = [
            &[0, 0, 0x84, 0][..],
            &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        assert_eq!(read(&counts), Heard::Nothing);
        assert_eq!(read(&[0; 600]), Heard::Nothing);
        let mut ended = message.clone();
        let srv = ended.windows(2).position(|pair| pair == [0x80, 1]).unwrap();
        ended[srv + 2..srv + 6].fill(0);
        assert_eq!(read(&ended), Heard::Nothing);
    }
}
