//! From the path of a request to a key of the store.

use std::borrow::Cow;

use store::KEY_BYTES;

/// Undoes percent-encoding (RFC 3986 section 2.1).
///
/// # Errors
/// A line for the client that says what is wrong.
pub fn decode(path: &str) -> Result<Cow<'_, [u8]>, &'static str> {
    let key = match path.contains('%') {
        false => Cow::Borrowed(path.as_bytes()),
        true => Cow::Owned(unescape(path.as_bytes()).ok_or("the key has a malformed % escape\n")?),
    };
    match key.len() {
        0 => Err("the key is empty: ask for /kv/KEY\n"),
        1..=KEY_BYTES => Ok(key),
        _ => Err("the key is longer than 250 bytes\n"),
    }
}

fn unescape(mut path: &[u8]) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(path.len());
    while let Some(at) = path.iter().position(|&byte| byte == b'%') {
        key.extend_from_slice(&path[..at]);
        let digits = path.get(at + 1..at + 3)?;
        key.push(digit(digits[0])? << 4 | digit(digits[1])?);
        path = &path[at + 3..];
    }
    key.extend_from_slice(path);
    Some(key)
}

fn digit(byte: u8) -> Option<u8> {
    // A digit below 16 fits.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
