//! [`Group`]: what a snapshot says of those that were taken at the same instant.
//!
//! Each member is a snapshot of its own, and each names all members: so they travel and are kept like any
//! other, and a node that has them all has the group.

use super::format::SnapshotId;
use crate::image::is_name;
use crate::limits;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Instances that were cut at one instant, and what joined them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Names the group among all.
    pub id: SnapshotId,
    /// What it was called on its node.
    pub name: String,
    /// The members, in the order in which they were named.
    pub members: Vec<GroupMember>,
    /// Switches without uplink and links whose every port was a member's.
    pub segments: Vec<GroupSegment>,
}

/// One instance of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// The instance's name.
    pub instance: String,
    /// Its snapshot.
    pub snapshot: SnapshotId,
}

/// A switch or link that joined only members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSegment {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: GroupSegmentKind,
    /// Largest IP packet, bytes.
    pub mtu_bytes: u16,
}

/// What joins members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupSegmentKind {
    /// A switch without uplink.
    Switch,
    /// A point-to-point link.
    Link,
}

/// Why what a file says of its group is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupError {
    /// More members, or segments, than a group has.
    TooMany,
    /// A name that no instance, switch or link has.
    Name(String),
    /// Something is in it twice.
    Twice(String),
    /// The snapshot itself is not in it.
    Stranger,
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupError::TooMany => write!(
                f,
                "its group has more than {} members or their networks",
                limits::GROUP_MEMBERS
            ),
            GroupError::Name(name) => write!(f, "its group names {name:?}, which is no name"),
            GroupError::Twice(name) => write!(f, "its group names '{name}' twice"),
            GroupError::Stranger => f.write_str("it is not in the group that it names"),
        }
    }
}

impl Group {
    /// Whether it can be what it says, in the file of the snapshot `own` of `instance`.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn check(&self, own: SnapshotId, instance: &str) -> Result<(), GroupError> {
        if self.members.len() > limits::GROUP_MEMBERS
            || self.segments.len() > limits::GROUP_MEMBERS * limits::PORTS_PER_INSTANCE
        {
            return Err(GroupError::TooMany);
        }
        if !is_snapshot_name(&self.name) {
            return Err(GroupError::Name(self.name.clone()));
        }
        require_names(self.members.iter().map(|member| &member.instance))?;
        require_names(self.segments.iter().map(|segment| &segment.name))?;
        let mut numbers = BTreeSet::new();
        let twice = self.members.iter().find(|it| !numbers.insert(it.snapshot));
        if let Some(member) = twice {
            return Err(GroupError::Twice(member.instance.clone()));
        }
        let is_own = |member: &GroupMember| member.snapshot == own && member.instance == instance;
        match self.members.iter().any(is_own) {
            true => Ok(()),
            false => Err(GroupError::Stranger),
        }
    }

    /// Whether the switch or link of this name joined only members.
    pub fn has_segment(&self, name: &str) -> bool {
        self.segments.iter().any(|segment| segment.name == name)
    }
}

/// Whether a snapshot or a group can be called so.
pub fn is_snapshot_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=limits::NAME_BYTES).contains(&name.len()) && name.bytes().all(sound)
}

/// Names that can be, each once.
fn require_names<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), GroupError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !is_name(name) {
            return Err(GroupError::Name(name.clone()));
        }
        if !seen.insert(name) {
            return Err(GroupError::Twice(name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn member(instance: &str, number: u8) -> GroupMember {
        GroupMember {
            instance: instance.into(),
            snapshot: SnapshotId([number; 16]),
        }
    }

    fn group() -> Group {
        Group {
            id: SnapshotId([9; 16]),
            name: "monday".into(),
            members: vec![member("web", 1), member("store", 2)],
            segments: vec![GroupSegment {
                name: "back".into(),
                kind: GroupSegmentKind::Link,
                mtu_bytes: 1500,
            }],
        }
    }

    #[test]
    fn a_group_is_believed_only_if_it_can_be() {
        let own = SnapshotId([2; 16]);
        let refused = |change: fn(&mut Group)| {
            let mut group = group();
            change(&mut group);
            group.check(own, "store")
        };
        assert_eq!(refused(|_| ()), Ok(()));
        let twice = |name: &str| Err(GroupError::Twice(name.into()));
        assert_eq!(
            refused(|it| it.members[0].instance = "store".into()),
            twice("store")
        );
        assert_eq!(
            refused(|it| it.members[0].snapshot = SnapshotId([2; 16])),
            twice("store")
        );
        assert_eq!(
            refused(|it| it.segments.push(it.segments[0].clone())),
            twice("back")
        );
        assert_eq!(
            refused(|it| it.members[1].snapshot = SnapshotId([3; 16])),
            Err(GroupError::Stranger)
        );
        assert_eq!(
            refused(|it| it.members[1].instance = "other".into()),
            Err(GroupError::Stranger)
        );
        let name = |name: &str| Err(GroupError::Name(name.into()));
        assert_eq!(refused(|it| it.name = "a/b".into()), name("a/b"));
        assert_eq!(
            refused(|it| it.segments[0].name = "\x1b".into()),
            name("\x1b")
        );
        let many = |it: &mut Group| it.members = vec![member("web", 1); limits::GROUP_MEMBERS + 1];
        assert_eq!(refused(many), Err(GroupError::TooMany));
    }
}
