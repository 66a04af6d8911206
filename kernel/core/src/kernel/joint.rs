//! Instances that come to life together, at one point, or not at all: members of a group.
//!
//! Their programs may still have to be translated. So each is loading until all can be made; then all are made
//! before the first of them runs or sends a frame. When one cannot be, all is as it was.

use super::Kernel;
use super::cut::FromCut;
use super::record::Ended;
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
    members: Vec<Joining>,
    /// Switches and links that were made for them.
    segments: Vec<String>,
}

struct Joining {
    key: u32,
    /// Its translation, once it is there: it is not dropped while others are waited for.
    program: Option<Arc<Program>>,
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
            joining.push(Joining { key, program: None });
        }
        let keys: Vec<u32> = joining.iter().map(|it| it.key).collect();
        self.joints.push(Joint {
            members: joining,
            segments,
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
        let joint = self.joints.remove(place);
        let mut made = Vec::new();
        for member in &joint.members {
            let Some(program) = &member.program else {
                continue;
            };
            match self.build(machine, member.key, program) {
                Ok(live) => made.push((member.key, live)),
                Err(reason) => {
                    for (_, live) in &made {
                        self.unplug(&live.ports);
                    }
                    drop(made);
                    let name = &self.records[member.key as usize].spec.name;
                    let reason = format!("'{name}' could not be made: {reason}");
                    self.undo(joint, &reason);
                    return Err(reason);
                }
            }
        }
        // From here on nothing fails.
        let keys: Vec<u32> = made.iter().map(|(key, _)| *key).collect();
        for (key, live) in made {
            self.bring_to_life(key, live);
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
            self.undo(joint, reason);
        }
    }

    fn undo(&mut self, joint: Joint, reason: &str) {
        for Joining { key, .. } in joint.members {
            self.end_loading(key, Ended::NeverStarted);
        }
        self.remove_segments(&joint.segments);
        let text = format!("a group did not start: {reason}; nothing was changed");
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
