//! Instances whose program is not translated yet.
//!
//! They compete for the CPU like running ones, and their slices go into the translation, so that a
//! large program holds nobody up. Several that wait for one program work on the same translation, each
//! with its own share.

use super::cut::FromCut;
use super::programs::{SetKey, Translation, set_of};
use super::record::{Ended, LoadingInstance, State, Usage};
use super::{Kernel, admission};
use crate::instance::engine::{Program, Progress};
use crate::machine::{Machine, Time};
use crate::sched::SLICE;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes of a module that are translated between two looks at the clock.
const STEP_BYTES: usize = 2048;
/// Steps of one slice, should the clock stand still.
const STEPS_PER_SLICE: usize = 64;
/// What a simulated machine charges for a byte: about 20 ns, as on a fast host.
const FUEL_PER_BYTE: u64 = 4;

/// What a slice of translation came to.
enum Slice {
    Unfinished,
    Ready(Arc<Program>),
    Failed(String),
}

impl Kernel {
    /// Starts an instance: at once when its program is translated or soon will be, else it is loading
    /// from now on.
    ///
    /// # Errors
    /// In words, when it is known already that it cannot start.
    pub(super) fn launch(&mut self, machine: &mut dyn Machine, key: u32) -> Result<(), String> {
        self.launch_as(machine, key, None)
    }

    /// Starts an instance, from a cut if there is one.
    ///
    /// # Errors
    /// As for [`Self::launch`].
    pub(super) fn launch_as(
        &mut self,
        machine: &mut dyn Machine,
        key: u32,
        from: Option<Box<FromCut>>,
    ) -> Result<(), String> {
        self.begin_loading(key, from);
        self.load_slice(machine, key)
    }

    /// Makes an instance one that is loading.
    pub(super) fn begin_loading(&mut self, key: u32, from: Option<Box<FromCut>>) {
        let now = self.clock.now();
        self.recall_program(key);
        let remains = self.take_remains(key);
        let record = &mut self.records[key as usize];
        record.restart_due = None;
        record.usage = Usage {
            started: now,
            ..Usage::default()
        };
        record.state = State::Loading(LoadingInstance {
            // Cuts are for operators, and what comes before the launch is part of the wait.
            requested: if from.is_some() { self.arrival } else { now },
            remains,
            from,
        });
        self.set_timer(key);
    }

    /// Spends a slice of an instance on its program's translation, and makes the instance when that
    /// is done.
    ///
    /// # Errors
    /// In words, why it cannot start; that is recorded as how it ended, too.
    pub(super) fn load_slice(&mut self, machine: &mut dyn Machine, key: u32) -> Result<(), String> {
        let begin = self.clock.now();
        let set = set_of(&self.records[key as usize].spec);
        let slice = match self.programs.ready(&set) {
            Some(program) => Slice::Ready(program),
            None => self.translate(machine, &set, begin + SLICE),
        };
        let used = self.clock.now().since(begin);
        let record = &mut self.records[key as usize];
        self.run_queue.charge(key, &mut record.account, used);
        record.usage.cpu_nanos += used.as_nanos() as u64;
        record.usage.slices += 1;
        self.busy_nanos += used.as_nanos() as u64;
        match slice {
            Slice::Unfinished => {
                self.run_queue.wake(key, &mut record.account);
                Ok(())
            }
            Slice::Ready(program) if self.is_arriving(key) => {
                self.arrival_is_translated(key, program);
                Ok(())
            }
            Slice::Ready(program) => match self.joint_of(key) {
                Some(joint) => self.join(machine, joint, key, program),
                None => self.enliven(machine, key, &program),
            },
            Slice::Failed(reason) => {
                self.fail_loading(&set, &reason);
                Err(reason)
            }
        }
    }

    /// Goes on with a translation until about `until`.
    fn translate(&mut self, machine: &mut dyn Machine, set: &SetKey, until: Time) -> Slice {
        for _ in 0..STEPS_PER_SLICE {
            let Some(entry) = self.programs.entry(set) else {
                let text = "a module is missing or corrupt in the image; build the image again";
                return Slice::Failed(text.into());
            };
            let loading = match &mut entry.translation {
                Translation::Ready(program, _) => return Slice::Ready(program.clone()),
                Translation::Loading(loading) => loading,
                Translation::No => match self.engine.begin(entry.sources.clone()) {
                    Ok(loading) => {
                        entry.translate_nanos = 0;
                        entry.translation = Translation::Loading(Box::new(loading));
                        continue;
                    }
                    Err(error) => return Slice::Failed(error.to_string()),
                },
            };
            let (before, begin) = (loading.done_bytes(), self.clock.now());
            let progress = loading.step(STEP_BYTES, admission::spare_bytes(machine));
            let done = loading.done_bytes().saturating_sub(before);
            machine.charge_fuel(done as u64 * FUEL_PER_BYTE);
            let now = self.clock.now();
            entry.translate_nanos += now.since(begin).as_nanos() as u64;
            match progress {
                Progress::Working => {}
                Progress::Starved { needed_bytes } => {
                    if !self.forget_translation() {
                        let refusal = admission::no_translation(machine, needed_bytes);
                        return Slice::Failed(refusal.to_string());
                    }
                }
                Progress::Ready(program) => {
                    let bytes = program.translated_bytes();
                    entry.translation = Translation::Ready(program.clone(), bytes);
                    while self.programs.are_too_many() && self.forget_translation() {}
                    return Slice::Ready(program);
                }
                Progress::Failed(error) => return Slice::Failed(error.to_string()),
            }
            if now >= until {
                break;
            }
        }
        Slice::Unfinished
    }

    /// Ends every instance that waits for a translation that failed.
    fn fail_loading(&mut self, set: &SetKey, reason: &str) {
        let waiting: Vec<u32> = self.waiting_for(set).collect();
        for key in waiting {
            match self.joint_of(key) {
                Some(_) => self.abandon(key, reason),
                None if self.is_arriving(key) => self.arrival_cannot_be_translated(key, reason),
                // It may have been given up with the one before.
                None if matches!(self.records[key as usize].state, State::Loading(_)) => {
                    self.fail_start(key, reason.into());
                }
                None => {}
            }
        }
    }

    /// The instances that wait for a translation.
    fn waiting_for(&self, set: &SetKey) -> impl Iterator<Item = u32> {
        let loading = self
            .occupied()
            .filter(|(_, record)| matches!(record.state, State::Loading(_)));
        loading
            .filter(|(_, record)| set_of(&record.spec) == *set)
            .map(|(key, _)| key)
    }

    /// Takes an instance that is loading out of the queue and ends it. A translation that nobody
    /// waits for any more is given up.
    pub(super) fn end_loading(&mut self, key: u32, ended: Ended) {
        let remains = self.take_remains(key);
        let record = &mut self.records[key as usize];
        self.run_queue.remove(key, &mut record.account);
        record.state = State::Ended(ended, remains);
        let set = set_of(&record.spec);
        self.become_former(key);
        let wanted = self.waiting_for(&set).next().is_some();
        if let Some(entry) = self.programs.entry(&set)
            && matches!(entry.translation, Translation::Loading(_))
            && !wanted
        {
            entry.translation = Translation::No;
        }
        self.set_timer(key);
    }
}
