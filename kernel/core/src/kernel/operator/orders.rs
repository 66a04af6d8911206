//! Answers to what operators ask for, some of which takes several turns.

use super::{Kernel, Session};
use crate::control::{Control, ControlError, Report};
use crate::kernel::answer;
use crate::machine::Machine;
use crate::operator::Refusal;
use crate::shell::{self, LineResult};
use alloc::string::ToString;

/// What was asked for that takes several turns.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ordered {
    /// By a request, with this order's number.
    Control(u32),
    /// By a line of the shell.
    Line(shell::Order),
}

impl Ordered {
    /// The order's number.
    fn number(self) -> u32 {
        match self {
            Ordered::Control(number) => number,
            Ordered::Line(order) => order.number,
        }
    }
}

impl Kernel {
    /// Tells an operator what became of orders, as far as that is known.
    pub(super) fn answer_orders(&mut self, machine: &mut dyn Machine, session: &mut Session) {
        let mut operator = answer::Operator {
            kernel: self,
            machine,
        };
        let mut place = 0;
        while let Some(&(request, ordered)) = session.ordered.get(place) {
            // One report is on its way at a time.
            session.unfinished = true;
            let outcome = match session.report {
                None => operator.outcome(ordered.number()),
                Some(_) => return,
            };
            let Some(outcome) = outcome else {
                place += 1;
                continue;
            };
            session.ordered.remove(place);
            match ordered {
                Ordered::Control(_) => session.tell(request, outcome),
                Ordered::Line(order) => session.tell_line(request, order.result(outcome)),
            }
        }
    }
}

impl Session {
    /// Answers a request.
    pub(super) fn tell(&mut self, request: u32, result: Result<Report, ControlError>) {
        match result {
            Ok(report) => {
                // A report consists of numbers, text and lists, which JSON can always hold.
                let json = serde_json::to_vec(&report).unwrap_or_default();
                self.begin_report(request, json);
            }
            Err(error) => self.refuse(request, Refusal::Control(error.to_string())),
        }
    }

    /// Answers a line, or has it answered when it is carried out.
    pub(super) fn tell_line(&mut self, request: u32, result: LineResult) {
        match result {
            LineResult::Done(text) => self.begin_report(request, text.into_bytes()),
            LineResult::Failed(text) => self.refuse(request, Refusal::Control(text)),
            LineResult::Ordered(order) => self.ordered.push((request, Ordered::Line(order))),
        }
    }
}
