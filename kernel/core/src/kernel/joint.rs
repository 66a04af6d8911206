//! Instances that come to life together, at one point, or not at all: members of a group.
//!
//! Their programs may still have to be translated. So each is loading until all can be made; then all are made
//! before the first of them runs or sends a frame. When one cannot be, all is as it was.

use super::Kernel;
use super::cut::FromCut;
use super::record::{Ended, Live};
use crate::control::ControlError;
use crate::instance::engine::Program;
use crate::log::Severity;
use crate::machine::Machine;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Several instances that wait for each other.
pub(super) struct Joint {
    pub members: Vec<Joining>,
    /// Switches and links that were made for them.
    segments: Vec<String>,
    /// The order that makes them, one after the other (`copies`).
    pub order: Option<u32>,
}

pub(super) struct Joining {
    pub key: u32,
    /// Its translation, once it is there: it is not dropped while others are waited for.
    pub program: Option<Arc<Program>>,
    /// Its running part, once that is made.
    pub live: Option<Live>,
}

impl Joint {
    /// Nobody yet of those that an order makes.
    pub fn of_order(order: u32) -> Joint {
        Joint {
            members: Vec::new(),
            segments: Vec::new(),
            order: Some(order),
        }
    }
}

/// One that is to join.
pub(super) struct Member {
    pub key: u32,
    pub from: FromCut,
}

impl Kernel {
    /// Lets instances go on from their cuts, whose places they have taken, all or none. `segments` were made for them, and go with them if
    /// they fail.
    ///
    /// # Errors
    /// [`ControlError::GroupFailed`], if it is known already: everything is as before.
    pub(super) fn launch_together(
        &mut self,
        machine: &mut dyn Machine,
        members: Vec<Member>,
        segments: Vec<String>,
    ) -> Result<(), ControlError> {
        let mut joining = Vec::new();
        for Member { key, from } in members {
            self.begin_loading(key, Some(Box::new(from)));
            joining.push(Joining {
                key,
                program: None,
                live: None,
            });
        }
        let keys: Vec<u32> = joining.iter().map(|it| it.key).collect();
        self.joints.push(Joint {
            members: joining,
            segments,
            order: None,
        });
        for key in keys {
            self.load_slice(machine, key)
                .map_err(ControlError::GroupFailed)?;
        }
        Ok(())
    }

    /// Whether an instance waits for others, and with whom.
    pub(super) fn joint_of(&self, key: u32) -> Option<usize> {
        let is_its = |joint: &Joint| joint.members.iter().any(|it| it.key == key);
        self.joints.iter().position(is_its)
    }

    /// Takes note that an instance's program is translated, and makes all of them when it was the last.
    ///
    /// # Errors
    /// In words, why they cannot be made: everything is as before.
    pub(super) fn join(
        &mut self,
        machine: &mut dyn Machine,
        place: usize,
        key: u32,
        program: Arc<Program>,
    ) -> Result<(), String> {
        let members = &mut self.joints[place].members;
        if let Some(member) = members.iter_mut().find(|it| it.key == key) {
            member.program = Some(program);
        }
        if members.iter().any(|it| it.program.is_none()) {
            return Ok(());
        }
        let mut joint = self.joints.remove(place);
        for number in 0..joint.members.len() {
            let member = &mut joint.members[number];
            let Some(program) = &member.program else {
                continue;
            };
            match self.build(machine, member.key, program) {
                Ok(live) => member.live = Some(live),
                Err(reason) => {
                    let name = &self.records[member.key as usize].spec.name;
                    let reason = format!("'{name}' could not be made: {reason}");
                    self.undo(joint, &reason);
                    return Err(reason);
                }
            }
        }
        // From here on nothing fails.
        let keys: Vec<u32> = joint.members.iter().map(|it| it.key).collect();
        for member in joint.members {
            if let Some(live) = member.live {
                self.bring_to_life(member.key, live);
            }
        }
        for key in keys {
            self.poll_network(key);
        }
        Ok(())
    }

    /// Gives up the instances that wait together with one: everything is as before.
    pub(super) fn abandon(&mut self, key: u32, reason: &str) {
        if let Some(place) = self.joint_of(key) {
            let joint = self.joints.remove(place);
            let order = joint.order;
            self.undo(joint, reason);
            if let Some(order) = order {
                self.end_order(order, reason);
            }
        }
    }

    /// Has everything be as it was before instances that wait together, which are in no list any more.
    pub(super) fn undo(&mut self, joint: Joint, reason: &str) {
        for Joining { key, live, .. } in joint.members {
            if let Some(live) = live {
                self.unplug_fresh(key, &live.ports);
            }
            self.end_loading(key, Ended::NeverStarted);
        }
        self.remove_segments(&joint.segments);
        let text = format!("instances that begin together did not: {reason}; nothing was changed");
        self.log(Severity::Error, text);
    }

    /// Removes switches and links that were made for instances that are not.
    pub(super) fn remove_segments(&mut self, segments: &[String]) {
        for segment in segments {
            // One that somebody else uses meanwhile stays.
            let _ = self.fabric.remove_segment(segment);
        }
    }
}
