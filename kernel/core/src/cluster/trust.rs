//! [`Trust`]: whose keys count, and for what; and where other nodes are.
//!
//! It comes with the boot beside the node's secret, as bytes that the tool makes with [`Trust::encode`]:
//! a magic, a version, and the rest in postcard.

use super::PublicKey;
use crate::keys::KEY_BYTES;
use crate::limits;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

/// First bytes of the stored form.
const MAGIC: [u8; 4] = *b"SOSt";
/// Version of the stored form.
const VERSION: u8 = 1;

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Instances come from it and go to it.
    Node,
    /// It may ask what the shell can ask.
    Operator,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Node => "node",
            Role::Operator => "operator",
        })
    }
}

/// A key that is trusted by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The key.
    pub key: PublicKey,
    /// What it is good for.
    pub role: Role,
    /// Whose it is, for people.
    pub name: String,
}

/// Whom a node or an operator trusts.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Whoever has this key too is trusted with everything.
    pub cluster_key: Option<[u8; KEY_BYTES]>,
    /// Keys that are trusted by themselves.
    pub listed: Vec<Listed>,
    /// Where other nodes listen that are to be connected with.
    pub peers: Vec<SocketAddr>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("cluster_key", &self.cluster_key.map(|_| ".."))
            .field("listed", &self.listed)
            .field("peers", &self.peers)
            .finish()
    }
}

impl Trust {
    /// Trust in whoever has a key.
    pub fn in_cluster(key: [u8; KEY_BYTES]) -> Trust {
        Trust {
            cluster_key: Some(key),
            ..Trust::default()
        }
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.cluster_key.is_none() && self.listed.is_empty()
    }

    /// Whether a listed key has a role.
    pub fn lists(&self, key: &PublicKey, role: Role) -> bool {
        let mut listed = self.listed.iter();
        listed.any(|entry| entry.key == *key && entry.role == role)
    }

    /// Whether a key is listed.
    pub fn knows(&self, key: &PublicKey) -> bool {
        self.listed.iter().any(|entry| entry.key == *key)
    }

    /// The stored form.
    ///
    /// # Errors
    /// [`TrustError`] when [`decode`](Self::decode) would refuse it.
    pub fn encode(&self) -> Result<Vec<u8>, TrustError> {
        self.check()?;
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        // An allocating sink takes everything and every field has a known length.
        postcard::to_extend(self, bytes).map_err(|_| TrustError::Malformed)
    }

    /// From the stored form.
    ///
    /// # Errors
    /// [`TrustError`] when the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Trust, TrustError> {
        if bytes.len() > limits::CLUSTER_BYTES {
            return Err(TrustError::TooLong(bytes.len()));
        }
        let rest = bytes.strip_prefix(&MAGIC).ok_or(TrustError::NotTrust)?;
        let (&version, body) = rest.split_first().ok_or(TrustError::Malformed)?;
        if version != VERSION {
            return Err(TrustError::Version(version));
        }
        let trust = match postcard::take_from_bytes::<Trust>(body) {
            Ok((trust, [])) => trust,
            Ok(_) | Err(_) => return Err(TrustError::Malformed),
        };
        trust.check()?;
        Ok(trust)
    }

    fn check(&self) -> Result<(), TrustError> {
        if self.listed.len() > limits::CLUSTER_KEYS {
            return Err(TrustError::TooManyKeys(self.listed.len()));
        }
        if self.peers.len() > limits::CLUSTER_NODES {
            return Err(TrustError::TooManyPeers(self.peers.len()));
        }
        if self.cluster_key == Some([0; KEY_BYTES]) {
            return Err(TrustError::ZeroKey);
        }
        let long = |entry: &&Listed| entry.name.len() > limits::NAME_BYTES;
        match self.listed.iter().find(long) {
            Some(entry) => Err(TrustError::LongName(entry.key)),
            None => Ok(()),
        }
    }
}

/// Why bytes do not say whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustError {
    /// They do not begin as such bytes do.
    NotTrust,
    /// They are of another version.
    Version(u8),
    /// They end too early, or too late, or are spoiled.
    Malformed,
    /// There are too many.
    TooLong(usize),
    /// More keys than a node keeps.
    TooManyKeys(usize),
    /// More nodes than a node keeps.
    TooManyPeers(usize),
    /// A cluster key of zeros.
    ZeroKey,
    /// A key's name is too long.
    LongName(PublicKey),
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrustError::NotTrust => {
                f.write_str("not a description of a cluster; make it with the tool")
            }
            TrustError::Version(theirs) => write!(
                f,
                "a description of a cluster in version {theirs}, and this kernel reads {VERSION}; make it with the \
                 tool of this kernel"
            ),
            TrustError::Malformed => {
                f.write_str("the description of the cluster is spoiled; make it anew with the tool")
            }
            TrustError::TooLong(bytes) => write!(
                f,
                "a description of a cluster of {bytes} bytes; at most {} are read",
                limits::CLUSTER_BYTES
            ),
            TrustError::TooManyKeys(count) => write!(
                f,
                "{count} listed keys; a node keeps at most {}",
                limits::CLUSTER_KEYS
            ),
            TrustError::TooManyPeers(count) => write!(
                f,
                "{count} peers; a node keeps at most {}",
                limits::CLUSTER_NODES
            ),
            TrustError::ZeroKey => f.write_str("the cluster key is all zeros; draw one"),
            TrustError::LongName(key) => write!(
                f,
                "the name of key {key} is longer than {} bytes; shorten it",
                limits::NAME_BYTES
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn trust() -> Trust {
        Trust {
            cluster_key: Some([7; 32]),
            listed: vec![Listed {
                key: PublicKey([3; 32]),
                role: Role::Operator,
                name: "ann".into(),
            }],
            peers: vec![
                "10.0.2.4:7600".parse().unwrap(),
                "[fe80::1]:1".parse().unwrap(),
            ],
        }
    }

    #[test]
    fn the_stored_form_comes_back_and_nothing_else_does() {
        let bytes = trust().encode().unwrap();
        assert_eq!(Trust::decode(&bytes), Ok(trust()));
        for length in 0..bytes.len() {
            assert!(Trust::decode(&bytes[..length]).is_err(), "{length}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Trust::decode(&longer), Err(TrustError::Malformed));
        let mut newer = bytes.clone();
        newer[4] = 2;
        assert_eq!(Trust::decode(&newer), Err(TrustError::Version(2)));
        assert_eq!(Trust::decode(b"SOS"), Err(TrustError::NotTrust));
        let flood = vec![0; limits::CLUSTER_BYTES + 1];
        assert_eq!(Trust::decode(&flood), Err(TrustError::TooLong(flood.len())));
        // A count that the bytes do not have allocates nothing.
        let lie = [&bytes[..5], &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
        assert_eq!(Trust::decode(&lie), Err(TrustError::Malformed));
    }

    #[test]
    fn what_would_not_be_read_is_not_written() {
        let mut zero = trust();
        zero.cluster_key = Some([0; 32]);
        assert_eq!(zero.encode(), Err(TrustError::ZeroKey));
        let mut many = trust();
        many.peers = vec![many.peers[0]; limits::CLUSTER_NODES + 1];
        assert!(many.encode().is_err());
        let mut long = trust();
        long.listed[0].name = "x".repeat(limits::NAME_BYTES + 1);
        assert!(long.encode().is_err());
    }

    #[test]
    fn the_stored_form_has_not_changed_by_accident() {
        let bytes = trust().encode().unwrap();
        let key = [
            &b"SOSt\x01\x01"[..],
            &[7; 32],
            &[1],
            &[3; 32],
            &[1, 3],
            b"ann",
        ]
        .concat();
        assert!(bytes.starts_with(&key));
        assert_eq!(&bytes[key.len()..key.len() + 7], [2, 0, 10, 0, 2, 4, 0xb0]);
        assert!(!format!("{:?}", trust()).contains("7, 7"));
        assert!(trust().lists(&PublicKey([3; 32]), Role::Operator));
        assert!(!trust().lists(&PublicKey([3; 32]), Role::Node));
    }
}
