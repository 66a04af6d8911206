//! Copies of one instance that are asked for together.
//!
//! Each takes as long as several requests of a client, so a few are made in each turn, and the others run
//! meanwhile. None of them runs or sends before all are made; when one cannot be, none is. Then all are let go
//! in one turn, and the operator who asked is answered. Nobody is held up by those that begin either: they
//! come to the CPU one after the other ([`RunQueue::enter_late`](crate::sched::RunQueue::enter_late)).

use super::Kernel;
use super::anew::{Claimed, addresses_of};
use super::cut::FromCut;
use super::joint::{Joining, Joint};
use super::record::State;
use crate::control::{ControlError, MadeRow, PortAddress};
use crate::host::Revival;
use crate::instance::engine::Program;
use crate::limits;
use crate::log::EventKind;
use crate::machine::{Duration, Machine, Time};
use crate::snapshot::Cut;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How long copies are made in one turn: the others wait.
const TURN: Duration = Duration::from_micros(500);
/// Copies of one turn at most.
const COPIES_PER_TURN: usize = 4;

/// What copies are asked for.
pub(super) struct Wanted {
    /// The original's name.
    pub original: String,
    /// What stands in front of the copies' numbers.
    pub base: String,
    /// How many.
    pub count: u32,
    /// Addresses of the first, counted up for the others.
    pub addresses: Vec<PortAddress>,
}

/// Copies that are being made.
pub(super) struct Copies {
    order: u32,
    wanted: Wanted,
    cut: Cut,
    /// Heap that a copy of it takes.
    copy_bytes: u64,
    program: Arc<Program>,
    /// When they were asked for.
    requested: Time,
    /// The last number in a name.
    suffix: u32,
    rows: Vec<MadeRow>,
}

/// Orders of operators that take several turns.
#[derive(Default)]
pub(super) struct Orders {
    next: u32,
    /// The first is worked on.
    under_way: VecDeque<Copies>,
    /// What became of those that nobody has asked about yet.
    ended: VecDeque<(u32, Result<Vec<MadeRow>, ControlError>)>,
}

impl Orders {
    /// Whether there is something to do.
    pub fn has_work(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// What became of an order; none while it is under way. It is told once.
    pub fn take_end(&mut self, order: u32) -> Option<Result<Vec<MadeRow>, ControlError>> {
        let is_its = |copies: &Copies| copies.order == order;
        if self.under_way.iter().any(is_its) {
            return None;
        }
        let place = self.ended.iter().position(|(number, _)| *number == order);
        let ended = place.and_then(|place| self.ended.remove(place));
        Some(match ended {
            Some((_, end)) => end,
            None => Err(ControlError::OrderForgotten),
        })
    }

    fn end(&mut self, order: u32, end: Result<Vec<MadeRow>, ControlError>) {
        self.under_way.retain(|copies| copies.order != order);
        if self.ended.len() == limits::ORDERS {
            self.ended.pop_front();
        }
        self.ended.push_back((order, end));
    }
}

impl Kernel {
    /// Begins to make copies of an instance out of this cut of it: the number of the order.
    ///
    /// # Errors
    /// [`ControlError::TooManyOrders`], [`ControlError::StillLoading`].
    pub(super) fn order_copies(&mut self, cut: Cut, wanted: Wanted) -> Result<u32, ControlError> {
        if self.orders.under_way.len() == limits::ORDERS {
            return Err(ControlError::TooManyOrders);
        }
        // The original runs, so it is translated.
        let program = self.programs.ready(&super::programs::set_of(&cut.spec));
        let program = program.ok_or_else(|| ControlError::StillLoading(wanted.original.clone()))?;
        self.orders.next = self.orders.next.wrapping_add(1);
        let order = self.orders.next;
        self.orders.under_way.push_back(Copies {
            order,
            copy_bytes: cut.copy_bytes(),
            wanted,
            cut,
            program,
            requested: self.arrival,
            suffix: 1,
            rows: Vec::new(),
        });
        self.joints.push(Joint::of_order(order));
        Ok(order)
    }

    /// Goes on with the first order.
    pub(super) fn advance_orders(&mut self, machine: &mut dyn Machine) {
        let end = self.clock.now() + TURN;
        for _ in 0..COPIES_PER_TURN {
            let Some(mut copies) = self.orders.under_way.pop_front() else {
                return;
            };
            let order = copies.order;
            if let Err(error) = self.make_copy(machine, &mut copies) {
                if let Some(place) = self.joint_of_order(order) {
                    let joint = self.joints.remove(place);
                    self.undo(joint, &error.to_string());
                }
                return self.orders.end(order, Err(error));
            }
            if copies.rows.len() == copies.wanted.count as usize {
                return self.let_go(copies);
            }
            self.orders.under_way.push_front(copies);
            if self.clock.now() >= end {
                return;
            }
        }
    }

    fn joint_of_order(&self, order: u32) -> Option<usize> {
        let mut joints = self.joints.iter();
        joints.position(|joint| joint.order == Some(order))
    }

    /// Makes the next copy, which does not run yet.
    fn make_copy(
        &mut self,
        machine: &mut dyn Machine,
        copies: &mut Copies,
    ) -> Result<(), ControlError> {
        let wanted = &copies.wanted;
        let name = self.numbered_name(&wanted.base, &mut copies.suffix);
        let number = copies.rows.len() as u32;
        let given = addresses_of(&wanted.addresses, &wanted.original, number);
        self.admit_copy(machine, &name, copies.copy_bytes)?;
        let mut cut = copies.cut.clone();
        let place = self.make_anew(
            &mut cut,
            &name,
            &given,
            &BTreeMap::new(),
            &mut Claimed::new(),
        )?;
        let key = self.insert_cut(&cut)?;
        self.begin_loading(key, Some(Box::new(FromCut::alone(cut, Revival::Cloned))));
        if let State::Loading(loading) = &mut self.records[key as usize].state {
            loading.requested = copies.requested;
        }
        let live = match self.build(machine, key, &copies.program) {
            Ok(live) => live,
            Err(reason) => {
                self.fail_start(key, reason.clone());
                return Err(ControlError::StartFailed { name, reason });
            }
        };
        if let Some(joint) = self.joint_of_order(copies.order) {
            let program = Some(copies.program.clone());
            let live = Some(live);
            self.joints[joint]
                .members
                .push(Joining { key, program, live });
        }
        copies.rows.push(MadeRow {
            name,
            unplugged: place.unplugged,
            unaddressed: place.unaddressed,
        });
        Ok(())
    }

    /// Lets all copies run. Their networks are polled with their first slices.
    fn let_go(&mut self, copies: Copies) {
        let now = self.clock.now();
        if let Some(place) = self.joint_of_order(copies.order) {
            for (number, member) in self.joints.remove(place).members.into_iter().enumerate() {
                let Some(live) = member.live else {
                    continue;
                };
                let account = &mut self.records[member.key as usize].account;
                self.run_queue.enter_late(account, number as u32);
                self.bring_to_life(member.key, live);
            }
        }
        for row in &copies.rows {
            let original = copies.wanted.original.clone();
            self.journal
                .event(now, &row.name, EventKind::Cloned, original);
        }
        self.orders.end(copies.order, Ok(copies.rows));
    }

    /// Takes note that what an order has made so far was given up.
    pub(super) fn end_order(&mut self, order: u32, reason: &str) {
        let error = ControlError::GroupFailed(reason.into());
        self.orders.end(order, Err(error));
    }
}
