//! Frames between the machine's NICs, the fabric and the instances' stacks.

use super::Kernel;
use super::record::Activity;
use crate::log::Severity;
use crate::machine::{Machine, NicError, NicInfo, Time};
use alloc::format;
use alloc::string::String;

/// Frames taken from one NIC in one turn: bounds a turn under a flood.
const RECEIVE_BUDGET: usize = 64;
/// Rounds of deliveries between local instances in one turn.
const DELIVERY_ROUNDS: usize = 4;

/// What the kernel keeps of a NIC.
pub(super) struct Uplink {
    pub mac: [u8; 6],
    pub condition: Condition,
}

/// Whether a NIC works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// It does.
    Works,
    /// It failed or was pulled out.
    Gone,
}

impl Uplink {
    pub fn new(info: &NicInfo) -> Uplink {
        Uplink {
            mac: info.mac,
            condition: Condition::Works,
        }
    }
}

impl Kernel {
    /// Takes frames from the NICs into the fabric.
    pub(super) fn receive_frames(&mut self, machine: &mut dyn Machine, now: Time) {
        for nic in 0..self.nics.len() {
            if self.nics[nic].condition == Condition::Gone {
                continue;
            }
            let fabric = &mut self.fabric;
            let result = machine.receive_frames(nic, RECEIVE_BUDGET, &mut |frame| {
                fabric.receive_from_uplink(nic, frame, now);
            });
            if result == Err(NicError::Gone) {
                self.lose_nic(nic);
            }
        }
    }

    /// Hands frames that wait in ports to their instances' stacks, and what these answer to others.
    pub(super) fn deliver(&mut self) {
        let mut ready = core::mem::take(&mut self.ready_ports);
        for _ in 0..DELIVERY_ROUNDS {
            ready.clear();
            self.fabric.take_ready_ports(&mut ready);
            if ready.is_empty() {
                break;
            }
            for port in &ready {
                if let Some(&key) = self.owners.get(port) {
                    self.poll_network(key);
                } else if self.node.owns(*port) {
                    self.poll_node();
                }
            }
        }
        self.ready_ports = ready;
    }

    /// Whether frames wait in a port that nobody has looked at.
    pub(super) fn fabric_has_work(&self) -> bool {
        self.fabric.has_ready_ports()
    }

    /// Gives one instance's stack the CPU, and the instance a chance to go on.
    pub(super) fn poll_network(&mut self, key: u32) {
        let record = &mut self.records[key as usize];
        let Some(live) = record.live() else { return };
        match live.activity {
            Activity::Paused(_) | Activity::Standing(_) => return,
            Activity::Runnable | Activity::Waiting | Activity::Stopping(_) => {}
        }
        live.execution.guest_mut().poll_network(&mut self.fabric);
        self.attend_health(key);
        self.try_wake(key);
        self.set_timer(key);
    }

    /// Hands the frames for the outside to the NICs.
    pub(super) fn transmit_frames(&mut self, machine: &mut dyn Machine) {
        for nic in 0..self.nics.len() {
            let mut queued = 0;
            while let Some(frame) = self.fabric.next_uplink_frame(nic) {
                let result = match self.nics[nic].condition {
                    Condition::Works => machine.transmit_frame(nic, frame.bytes()),
                    Condition::Gone => Err(NicError::Gone),
                };
                match result {
                    Ok(()) => queued += 1,
                    Err(NicError::Full) => break,
                    Err(NicError::Gone) => self.lose_nic(nic),
                }
                self.fabric.pop_uplink_frame(nic);
            }
            if queued > 0 {
                machine.flush_frames(nic);
            }
        }
    }

    fn lose_nic(&mut self, nic: usize) {
        if self.nics[nic].condition == Condition::Works {
            self.nics[nic].condition = Condition::Gone;
            let text: String = format!(
                "nic{nic} failed or was removed: its switch has no uplink any more; reboot when it is back"
            );
            self.log(Severity::Error, text);
        }
    }
}
