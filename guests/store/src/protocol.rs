//! Requests and answers as bytes.

/// Most bytes of a key.
pub const KEY_BYTES: usize = 250;
/// Most bytes of a value.
pub const VALUE_BYTES: usize = 64 * 1024;

const LENGTH_BYTES: usize = 4;
/// Operation and key length.
const REQUEST_HEAD_BYTES: usize = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// The value of a key.
    Get = 1,
    /// To set a key's value.
    Put = 2,
    /// To forget a key.
    Delete = 3,
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// As asked.
    Done = 0,
    /// There is no such key.
    NotFound = 1,
    /// The store is full.
    Full = 2,
    /// The request was none.
    Malformed = 3,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What to do.
    pub operation: Operation,
    /// With which key, 1 to [`KEY_BYTES`] bytes.
    pub key: &'a [u8],
    /// The value of a put, at most [`VALUE_BYTES`]; else empty.
    pub value: &'a [u8],
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// How it went.
    pub status: Status,
    /// The value that was asked for, else empty.
    pub value: &'a [u8],
}

/// What some bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<T> {
    /// Not yet a whole message.
    Incomplete,
    /// A message and how many bytes it takes.
    Complete(T, usize),
    /// No message of this protocol.
    Malformed,
}

/// Appends a request.
pub fn encode_request(output: &mut Vec<u8>, request: &Request<'_>) {
    let length = REQUEST_HEAD_BYTES + request.key.len() + request.value.len();
    output.reserve(LENGTH_BYTES + length);
    output.extend_from_slice(&(length as u32).to_le_bytes());
    output.push(request.operation as u8);
    output.extend_from_slice(&(request.key.len() as u16).to_le_bytes());
    output.extend_from_slice(request.key);
    output.extend_from_slice(request.value);
}

/// Reads the first request of `input`.
pub fn next_request(input: &[u8]) -> Frame<Request<'_>> {
    let (body, taken) = match frame(input, REQUEST_HEAD_BYTES + KEY_BYTES + VALUE_BYTES) {
        Frame::Complete(body, taken) => (body, taken),
        Frame::Incomplete => return Frame::Incomplete,
        Frame::Malformed => return Frame::Malformed,
    };
    match parse_request(body) {
        Some(request) => Frame::Complete(request, taken),
        None => Frame::Malformed,
    }
}

fn parse_request(body: &[u8]) -> Option<Request<'_>> {
    let (&[operation, key_low, key_high], rest) = body.split_first_chunk()?;
    let operation = match operation {
        1 => Operation::Get,
        2 => Operation::Put,
        3 => Operation::Delete,
        _ => return None,
    };
    let (key, value) = rest.split_at_checked(u16::from_le_bytes([key_low, key_high]).into())?;
    let is_sound = (1..=KEY_BYTES).contains(&key.len())
        && value.len() <= VALUE_BYTES
        && (operation == Operation::Put || value.is_empty());
    is_sound.then_some(Request {
        operation,
        key,
        value,
    })
}

/// Appends an answer.
pub fn encode_answer(output: &mut Vec<u8>, answer: &Answer<'_>) {
    let length = 1 + answer.value.len();
    output.extend_from_slice(&(length as u32).to_le_bytes());
    output.push(answer.status as u8);
    output.extend_from_slice(answer.value);
}

/// Reads the first answer of `input`.
pub fn next_answer(input: &[u8]) -> Frame<Answer<'_>> {
    let (body, taken) = match frame(input, 1 + VALUE_BYTES) {
        Frame::Complete(body, taken) => (body, taken),
        Frame::Incomplete => return Frame::Incomplete,
        Frame::Malformed => return Frame::Malformed,
    };
    let Some((&status, value)) = body.split_first() else {
        return Frame::Malformed;
    };
    let status = match status {
        0 => Status::Done,
        1 => Status::NotFound,
        2 => Status::Full,
        3 => Status::Malformed,
        _ => return Frame::Malformed,
    };
    Frame::Complete(Answer { status, value }, taken)
}

/// Cuts the first length-prefixed message off; one of more than `limit` bytes is none.
fn frame(input: &[u8], limit: usize) -> Frame<&[u8]> {
    let Some((length, rest)) = input.split_first_chunk::<LENGTH_BYTES>() else {
        return Frame::Incomplete;
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length > limit {
        return Frame::Malformed;
    }
    match rest.get(..length) {
        Some(body) => Frame::Complete(body, LENGTH_BYTES + length),
        None => Frame::Incomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Request<'a> {
        Request {
            operation: Operation::Put,
            key,
            value,
        }
    }

    #[test]
    fn a_request_comes_back_and_is_complete_only_with_its_last_byte() {
        let mut bytes = Vec::new();
        encode_request(&mut bytes, &put(b"key", b"value"));
        bytes.extend_from_slice(b"next");
        let end = bytes.len() - 4;
        for length in 0..end {
            assert_eq!(
                next_request(&bytes[..length]),
                Frame::Incomplete,
                "{length}"
            );
        }
        assert_eq!(
            next_request(&bytes),
            Frame::Complete(put(b"key", b"value"), end)
        );
    }

    #[test]
    fn an_answer_comes_back() {
        let answer = Answer {
            status: Status::NotFound,
            value: b"",
        };
        let mut bytes = Vec::new();
        encode_answer(&mut bytes, &answer);
        assert_eq!(next_answer(&bytes), Frame::Complete(answer, 5));
    }

    #[test]
    fn what_is_out_of_bounds_is_malformed() {
        let long_key = [b'k'; KEY_BYTES + 1];
        let long_value = vec![0; VALUE_BYTES + 1];
        let cases = [
            put(b"", b"value"),
            put(&long_key, b""),
            put(b"key", &long_value),
            Request {
                operation: Operation::Get,
                key: b"key",
                value: b"value",
            },
        ];
        for request in cases {
            let mut bytes = Vec::new();
            encode_request(&mut bytes, &request);
            assert_eq!(
                next_request(&bytes),
                Frame::Malformed,
                "{:?}",
                request.operation
            );
        }
        assert_eq!(next_request(&[3, 0, 0, 0, 9, 0, 0]), Frame::Malformed);
        assert_eq!(next_request(&[3, 0, 0, 0, 1, 1, 0]), Frame::Malformed);
        assert_eq!(next_request(&[0, 0, 0, 0]), Frame::Malformed);
        assert_eq!(next_request(&[0xff, 0xff, 0xff, 0xff]), Frame::Malformed);
        assert_eq!(next_answer(&[0, 0, 0, 0]), Frame::Malformed);
        assert_eq!(next_answer(&[1, 0, 0, 0, 77]), Frame::Malformed);
    }
}
