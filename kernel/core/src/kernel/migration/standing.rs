//! Instances that stand because of a hand-over: nothing of them runs, their time does not pass, and what
//! reaches their ports waits.

use super::super::Kernel;
use super::super::lifecycle::Farewell;
use super::super::record::{Activity, Ended, Held, Moving, MovingStage, State};
use crate::log::EventKind;
use crate::migrate::{Done, HandoverId, Role};
use crate::net::fabric::PortId;
use alloc::string::String;
use alloc::vec::Vec;

impl Kernel {
    /// Has a live instance stand.
    pub(super) fn stand(&mut self, key: u32) {
        let record = &mut self.records[key as usize];
        let count = record.spec.ports.len();
        let State::Live(live) = &mut record.state else {
            return;
        };
        let held = match live.activity {
            Activity::Runnable => Held::Runnable,
            Activity::Waiting => Held::Waiting,
            Activity::Paused(_) | Activity::Standing(_) | Activity::Stopping(_) => return,
        };
        self.run_queue.remove(key, &mut record.account);
        live.activity = Activity::Standing(held);
        live.execution.guest_mut().clock.pause();
        live.ports
            .iter()
            .take(count)
            .for_each(|&port| self.fabric.hold(port));
        self.set_timer(key);
    }

    /// Lets an instance that stands go on; one that does not is left alone.
    pub(super) fn go_on(&mut self, key: u32) {
        let record = &self.records[key as usize];
        let count = record.spec.ports.len();
        let State::Live(live) = &record.state else {
            return;
        };
        let Activity::Standing(held) = live.activity else {
            return;
        };
        let ports: Vec<PortId> = live.ports.iter().take(count).copied().collect();
        for port in ports {
            self.fabric.release(port);
        }
        self.go_on_from(key, held);
        self.poll_network(key);
    }

    /// Takes an instance apart without a word to anybody, and forgets it.
    pub(super) fn drop_instance(&mut self, key: u32) {
        let record = &mut self.records[key as usize];
        record.moving = None;
        match record.state {
            State::Live(_) => self.take_apart(key, Ended::Stopped, Farewell::Silent),
            State::Loading(_) => self.end_loading(key, Ended::NeverStarted),
            State::Ended(..) => {}
        }
        self.remove_record(key);
    }

    /// Stops an instance that runs on another node too.
    pub(super) fn fence(&mut self, handover: HandoverId) {
        let Some(key) = self.key_of_instance(handover.instance) else {
            return self.report(Role::Target, handover, &Done::Ended);
        };
        let may_stand = matches!(&self.records[key as usize].state, State::Live(live)
            if !matches!(live.activity, Activity::Stopping(_)));
        if !may_stand {
            // Neither a policy nor an operator may bring it back.
            self.cancel_start(key);
            self.drop_instance(key);
            return self.report(Role::Target, handover, &Done::Ended);
        }
        let stage = MovingStage::Standing;
        self.records[key as usize].moving = Some(Moving { handover, stage });
        self.stand(key);
    }

    /// Lets an instance run on that was stopped because it ran elsewhere.
    pub(super) fn unfence(&mut self, handover: HandoverId) {
        if let Some(key) = self.key_of_move(handover) {
            self.settle(key);
            self.go_on(key);
            let name = self.records[key as usize].spec.name.clone();
            let now = self.clock.now();
            self.journal
                .event(now, &name, EventKind::Resumed, String::new());
        }
    }

    /// An instance takes part in no hand-over any more.
    pub(super) fn settle(&mut self, key: u32) {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        record.moving = None;
        let throttle = core::mem::take(&mut record.throttle);
        if let State::Live(live) = &mut record.state
            && !throttle.is_full()
            && let (Some(health), Some(spec)) = (&mut live.health, &record.spec.health)
        {
            // Nobody judged it meanwhile.
            let guest = live.execution.guest_mut();
            health.restart_after_pause(spec, &mut guest.stack, now);
        }
        self.set_timer(key);
    }
}
