//! [`Tag`]: who made a file, for those who have the maker's key.
//!
//! A tag is the number of the key, 8 bytes, and the first 24 bytes of an HMAC-SHA-256 (RFC 2104 section 5
//! allows to cut it). The number tells a file of another node from one that was changed.

use crate::keys::{KEY_BYTES, Key};
use serde::Serialize;

/// Bytes of a key's number.
const NUMBER_BYTES: usize = 8;
/// What a key's number is made of.
const NUMBER_LABEL: &[u8] = b"sos snapshot key number";

/// What a footer says of its maker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tag(pub [u8; KEY_BYTES]);

/// Who made a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// The file does not say.
    #[default]
    Unknown,
    /// Somebody with another key than the one at hand, or there is none at hand.
    Elsewhere,
    /// The key at hand: whoever has it made the file, and nobody changed it since.
    Own,
}

impl Tag {
    /// The tag of these bytes.
    pub fn new(key: &Key, covered: &[u8]) -> Tag {
        let mut tag = [0; KEY_BYTES];
        let (number, code) = tag.split_at_mut(NUMBER_BYTES);
        number.copy_from_slice(&key.authenticate(&[NUMBER_LABEL])[..NUMBER_BYTES]);
        let length = code.len();
        code.copy_from_slice(&key.authenticate(&[covered])[..length]);
        Tag(tag)
    }

    /// Whether it is of the same key.
    pub fn is_by_key_of(&self, other: &Tag) -> bool {
        self.0[..NUMBER_BYTES] == other.0[..NUMBER_BYTES]
    }
}
