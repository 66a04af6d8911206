//! [`NodeKey`], [`PublicKey`], [`NodeId`], [`BootId`]: who a node is.
//!
//! A node's key is an X25519 secret (RFC 7748), derived from the one secret that comes with its boot and
//! never from an image that nodes share (D6). Others know the node by the public half, people by a short
//! number made of that.

use super::channel::public_half;
use crate::keys::{KEY_BYTES, Key, NodeKeys};
use crate::plain::shown_in_hex;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a node's key is derived with.
pub const KEY_LABEL: &[u8] = b"sos node key 1";
/// What a node's station address is derived with.
const STATION_LABEL: &[u8] = b"sos node station 1";

/// A node: what its key is known by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct NodeId(pub [u8; 16]);

/// One boot of a node: drawn anew at each, so that a node that lost its memory is known as such.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct BootId(pub [u8; 16]);

/// The public half of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(pub [u8; KEY_BYTES]);

/// A node's or an operator's key.
#[derive(Clone)]
pub struct NodeKey {
    secret: Key,
    public: PublicKey,
}

impl NodeKey {
    /// The key of whoever has this secret.
    pub fn new(keys: &NodeKeys) -> NodeKey {
        let secret = keys.derive(KEY_LABEL);
        NodeKey {
            public: PublicKey(public_half(&secret.0)),
            secret,
        }
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// What its owner is known by.
    pub fn id(&self) -> NodeId {
        self.public.id()
    }

    pub(super) fn secret(&self) -> &[u8; KEY_BYTES] {
        &self.secret.0
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.public)
    }
}

impl PublicKey {
    /// What its owner is known by: the first half of its SHA-256.
    pub fn id(&self) -> NodeId {
        let digest: [u8; 32] = Sha256::digest(self.0).into();
        let mut id = NodeId::default();
        id.0.copy_from_slice(&digest[..16]);
        id
    }
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a public key, which is 64 hexadecimal digits")
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    /// From 64 hexadecimal digits.
    fn from_str(digits: &str) -> Result<PublicKey, NotAKey> {
        let digits = digits.as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else {
            return Err(NotAKey);
        };
        if pairs.len() != KEY_BYTES {
            return Err(NotAKey);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(NotAKey);
        let mut key = PublicKey([0; KEY_BYTES]);
        for (byte, [high, low]) in key.0.iter_mut().zip(pairs) {
            *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
        }
        Ok(key)
    }
}

/// The station address of a node itself, the same at each boot: individual and locally administered
/// (IEEE 802, 8.4).
pub fn station_address(keys: &NodeKeys) -> [u8; 6] {
    let key = keys.derive(STATION_LABEL).0;
    let [first, rest @ ..] = key;
    [
        (first & 0xfc) | 0x02,
        rest[0],
        rest[1],
        rest[2],
        rest[3],
        rest[4],
    ]
}

shown_in_hex!(NodeId, BootId, PublicKey);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn a_key_is_its_secrets_own_and_its_secret_is_never_shown() {
        let one = NodeKey::new(&NodeKeys::new(&[1; 32]));
        let other = NodeKey::new(&NodeKeys::new(&[2; 32]));
        assert_ne!(one.id(), other.id());
        assert_eq!(one.id(), NodeKey::new(&NodeKeys::new(&[1; 32])).id());
        let digits = one.public().to_string();
        assert_eq!(digits.parse(), Ok(one.public()));
        assert_eq!(format!("{one:?}"), format!("NodeKey({digits})"));
        for wrong in [
            "",
            "ab",
            &digits[1..],
            &format!("{digits}00"),
            &"x".repeat(64),
        ] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(NotAKey), "{wrong}");
        }
    }

    #[test]
    fn the_public_half_is_x25519s() {
        // RFC 7748, section 5.2: scalar and point both 9, after one iteration.
        let mut base = [0; 32];
        base[0] = 9;
        let once: PublicKey = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
            .parse()
            .unwrap();
        assert_eq!(public_half(&base), once.0);
    }

    #[test]
    fn a_station_address_is_individual_and_local() {
        let station = station_address(&NodeKeys::new(&[1; 32]));
        assert_eq!(station[0] & 3, 2);
        assert_ne!(station, station_address(&NodeKeys::new(&[2; 32])));
    }
}
