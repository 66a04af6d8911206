//! [`Status`]: what linked nodes tell each other of themselves, now and then.
//!
//! It goes between the messages of a migration channel, led by a byte that none of them begins with
//! (their first byte is the number of a variant, far below). An old one is worth nothing, so
//! it is left out when there is no room.

use crate::cluster::discovery::Announcement;
use crate::limits;
use crate::machine::Duration;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How often it is told.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);
/// First byte of a message that is one.
const MARK: u8 = 0xff;

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Status {
    /// The kernel's version.
    pub version: String,
    /// The TCP port that it listens on.
    pub port: u16,
    /// All its memory.
    pub memory_bytes: u64,
    /// What nobody uses of it.
    pub free_bytes: u64,
    /// Time that its CPU was busy since the last status, in parts of a thousand.
    pub load_permille: u16,
    /// Instances that it has, running or not.
    pub instances: u32,
}

impl Status {
    /// What a node announces of it.
    pub fn announced(said: &Announcement) -> Status {
        let bytes = |mib: u32| u64::from(mib) << 20;
        Status {
            version: said.version.clone(),
            port: said.address.port(),
            memory_bytes: bytes(said.memory_mib),
            free_bytes: bytes(said.free_mib),
            load_permille: said.load_permille,
            instances: 0,
        }
    }

    /// As a message.
    pub fn encode(&self) -> Vec<u8> {
        // An allocating sink takes everything and every field has a known length.
        postcard::to_extend(self, [MARK].to_vec()).unwrap_or_default()
    }

    /// Whether a message is one, sound or not.
    pub fn is_one(message: &[u8]) -> bool {
        message.first() == Some(&MARK)
    }

    /// From a message; none if it is spoiled.
    pub fn decode(message: &[u8]) -> Option<Status> {
        let body = message.strip_prefix(&[MARK])?;
        // What follows is a later version's.
        let (status, _) = postcard::take_from_bytes::<Status>(body).ok()?;
        let sound = status.version.len() <= limits::NAME_BYTES
            && status.version.bytes().all(|byte| byte.is_ascii_graphic());
        sound.then_some(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::{BootId, Message};

    #[test]
    fn a_status_comes_back_and_is_no_message_of_a_migration() {
        let status = Status {
            version: "0.1.0".into(),
            port: 7600,
            load_permille: 250,
            ..Status::default()
        };
        let mut message = status.encode();
        assert!(Status::is_one(&message));
        assert!(Message::decode(&message).is_err());
        message.push(1);
        assert_eq!(Status::decode(&message), Some(status.clone()));
        assert_eq!(Status::decode(&message[..4]), None);
        let shouting = Status {
            version: "\x1b[2J".into(),
            ..status
        };
        assert_eq!(Status::decode(&shouting.encode()), None);
        let hello = Message::hello(BootId([1; 16])).encode().unwrap();
        assert!(!Status::is_one(&hello));
    }
}
