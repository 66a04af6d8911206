//! [`NodeKeys`]: the node's one secret, and the keys that are derived from it.
//!
//! The secret comes with the boot, from the machine that the node runs on and never from an image that
//! nodes share (D6). It is used for nothing itself: whoever needs a key derives one with a label of its
//! own, by HKDF with SHA-256 (RFC 5869), so that no use tells anything about another.

use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of the secret and of every key.
pub const KEY_BYTES: usize = 32;

/// Separates these derivations from other people's of the same secret (RFC 5869 section 3.1).
const SALT: &[u8] = b"sos node keys 1";

/// What a snapshot's tag is made with.
pub const SNAPSHOT_LABEL: &[u8] = b"sos snapshot tag 1";

/// A key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u8; KEY_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// HMAC-SHA-256 of the parts in a row (RFC 2104).
    pub fn authenticate(&self, parts: &[&[u8]]) -> [u8; 32] {
        authenticate(&self.0, parts)
    }
}

/// The keys of one node.
#[derive(Clone)]
pub struct NodeKeys {
    /// HKDF's pseudorandom key.
    root: Key,
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKeys(..)")
    }
}

impl NodeKeys {
    /// The keys of a node with this secret.
    pub fn new(secret: &[u8; KEY_BYTES]) -> NodeKeys {
        NodeKeys {
            root: extract(SALT, secret),
        }
    }

    /// From what the boot gave: 32 bytes as they are, or 64 hexadecimal digits and blanks about them.
    /// None for anything else, and for all zeros.
    pub fn read(given: &[u8]) -> Option<NodeKeys> {
        let secret = match given.try_into() {
            Ok(raw) => raw,
            Err(_) => from_digits(given.trim_ascii())?,
        };
        (secret != [0; KEY_BYTES]).then(|| NodeKeys::new(&secret))
    }

    /// The key of this label.
    pub fn derive(&self, label: &[u8]) -> Key {
        // HKDF's expansion to one block.
        Key(self.root.authenticate(&[label, &[1]]))
    }

    /// What tags snapshots.
    pub fn snapshots(&self) -> Key {
        self.derive(SNAPSHOT_LABEL)
    }
}

/// HKDF's extraction.
fn extract(salt: &[u8], secret: &[u8]) -> Key {
    Key(authenticate(salt, &[secret]))
}

fn authenticate(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn from_digits(digits: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != KEY_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    let mut secret = [0; KEY_BYTES];
    for (byte, [high, low]) in secret.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn bytes(digits: &str) -> [u8; KEY_BYTES] {
        from_digits(digits.as_bytes()).unwrap()
    }

    #[test]
    fn derivation_is_hkdf_with_sha256() {
        // RFC 5869, A.1; the first block of its output.
        let secret = [0x0b; 22];
        let salt: [u8; 13] = core::array::from_fn(|at| at as u8);
        let root = extract(&salt, &secret);
        let root_wanted = "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5";
        assert_eq!(root.0, bytes(root_wanted));
        let info: [u8; 10] = core::array::from_fn(|at| 0xf0 + at as u8);
        let wanted = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf";
        assert_eq!(NodeKeys { root }.derive(&info).0, bytes(wanted));
    }

    #[test]
    fn tags_are_hmac_with_sha256() {
        // RFC 4231, 4.3.
        let tag = authenticate(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        let wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(tag, bytes(wanted));
    }

    #[test]
    fn a_secret_is_bytes_or_digits_and_never_shown() {
        let raw = [0xab; KEY_BYTES];
        let digits = format!("{}\n", "aB".repeat(KEY_BYTES));
        let [one, other] = [NodeKeys::read(&raw), NodeKeys::read(digits.as_bytes())];
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.snapshots(), other.snapshots());
        assert_ne!(one.derive(b"a"), one.derive(b"b"));
        assert_eq!(
            format!("{one:?} {:?}", one.snapshots()),
            "NodeKeys(..) Key(..)"
        );
        for none in [&b""[..], b"ab", &[0; 32], &[b'x'; 64], &[1; 33]] {
            assert!(NodeKeys::read(none).is_none(), "{none:?}");
        }
    }
}
