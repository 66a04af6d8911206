//! From a suspended call to its call stack. Reads only; takes what the frames hold, and no longer.

use super::map::{Operand, Place};
use super::sites::{NoSite, Places, Site, Sites};
use super::{CallStack, CaptureError, Frames};
use crate::core::RawVal;
use crate::engine::{Inst, Stack};
use crate::state::{FunctionRef, References, Value};
use crate::store::StoreInner;
use crate::{Engine, Func, ResumableCallHostTrap, ResumableCallOutOfFuel, Store, V128, ValType};
use alloc::vec::Vec;

impl ResumableCallOutOfFuel {
    /// Heap that [`capture`](Self::capture) takes at most.
    pub fn capture_bytes(&self) -> usize {
        capture_bytes(self.engine(), self.stack())
    }

    /// What the program is in the midst of.
    ///
    /// # Errors
    /// [`CaptureError::BetweenSafepoints`] when it has to go on a little first; the others name
    /// what is missing in `references`.
    pub fn capture<T>(
        &self,
        store: &Store<T>,
        references: &References,
    ) -> Result<CallStack, CaptureError> {
        let capture = Capture::new(store, references, self.stack());
        let pause = Innermost::Pause {
            required_fuel: self.required_fuel(),
        };
        capture.call_stack(self.root(), pause)
    }
}

impl ResumableCallHostTrap {
    /// Heap that [`capture`](Self::capture) takes at most.
    pub fn capture_bytes(&self) -> usize {
        capture_bytes(self.engine(), self.stack())
    }

    /// What the program is in the midst of; the arguments of the host call are the caller's to keep.
    ///
    /// # Errors
    /// They name what is missing in `references`.
    pub fn capture<T>(
        &self,
        store: &Store<T>,
        references: &References,
    ) -> Result<CallStack, CaptureError> {
        let capture = Capture::new(store, references, self.stack());
        capture.call_stack(self.root(), Innermost::HostCall(self.host_func()))
    }
}

/// Each cell may become a value, and each call a frame that is named while it is looked at. The first
/// capture makes the index of the engine's functions.
fn capture_bytes(engine: &Engine, stack: &Stack) -> usize {
    let calls = stack.suspended_calls().len();
    stack.cell_count() * size_of::<Value>()
        + calls * (Frames::HEAD_BYTES + 4 * size_of::<Call>())
        + Places::bytes(calls)
        + Sites::bytes(largest_call(stack))
        + engine.find_bytes()
}

/// Cells of the call that has most.
fn largest_call(stack: &Stack) -> usize {
    let starts = stack.suspended_calls().map(|(_, start, _)| start);
    let ends = starts.clone().skip(1).chain([stack.cell_count()]);
    let cells = starts.zip(ends);
    let cells = cells.map(|(start, end)| end.saturating_sub(start));
    cells.max().unwrap_or(0)
}

/// What the innermost frame is at.
#[derive(Clone, Copy)]
enum Innermost {
    Pause { required_fuel: u64 },
    HostCall(Func),
}

struct Capture<'a> {
    engine: &'a Engine,
    store: &'a StoreInner,
    references: &'a References,
    stack: &'a Stack,
    /// The instances of the set with their places.
    places: Vec<(Inst, u32)>,
}

/// One call as the stack has it.
struct Call {
    address: usize,
    start: usize,
    module: u32,
}

impl<'a> Capture<'a> {
    fn new<T>(store: &'a Store<T>, references: &'a References, stack: &'a Stack) -> Capture<'a> {
        Capture {
            engine: store.engine(),
            store: &store.inner,
            references,
            stack,
            places: references.places(&store.inner),
        }
    }

    fn call_stack(&self, root: Func, innermost: Innermost) -> Result<CallStack, CaptureError> {
        let name = |function: Func| {
            let handle = function.unwrap_raw(self.store);
            let name = handle.and_then(|handle| self.references.name(self.store, handle).ok());
            name.flatten().ok_or(CaptureError::OtherFunction)
        };
        let calls = self.calls()?;
        let mut sites = Sites::new(self.engine, largest_call(self.stack));
        // Values of the others have cells below those of the innermost.
        let below = calls.last().map_or(0, |last| last.start);
        let mut frames = Frames::untold(calls.len());
        if let Some((last, others)) = calls.split_last() {
            let frame = others.len();
            let none = CaptureError::NoSafepoint { frame };
            let site = match innermost {
                Innermost::HostCall(_) => sites.call(last.address).ok_or(none)?,
                Innermost::Pause { required_fuel } => {
                    sites.pause(last.address).map_err(|error| match error {
                        NoSite::Unknown => none,
                        NoSite::BetweenSafepoints => {
                            CaptureError::BetweenSafepoints { required_fuel }
                        }
                    })?
                }
            };
            frames.reserve(below + site.value_count());
            self.frames(&[(frame, last.start)], |_| last.module, &site, &mut frames)?;
            self.others(others, sites, &mut frames)?;
        }
        Ok(CallStack {
            root: name(root)?,
            frames,
            host_call: match innermost {
                Innermost::Pause { .. } => None,
                Innermost::HostCall(function) => Some(name(function)?),
            },
        })
    }

    /// Tells the frames of all calls but the innermost.
    fn others(
        &self,
        calls: &[Call],
        mut sites: Sites<'_>,
        frames: &mut Frames,
    ) -> Result<(), CaptureError> {
        sites.leave();
        let places = Places::new(calls.iter().map(|call| call.address));
        let mut at_place: Vec<(usize, usize)> = Vec::new();
        for (address, numbers) in places.iter() {
            at_place.clear();
            at_place.extend(numbers.map(|number| (number, calls[number].start)));
            let Some(site) = sites.call(address) else {
                let frame = at_place.first().map_or(0, |(number, _)| *number);
                return Err(CaptureError::NoSafepoint { frame });
            };
            self.frames(&at_place, |number| calls[number].module, &site, frames)?;
        }
        Ok(())
    }

    /// All calls, outermost first, with the module that each runs in: the stack tells the innermost,
    /// and where it changes.
    fn calls(&self) -> Result<Vec<Call>, CaptureError> {
        let mut calls: Vec<Call> = Vec::new();
        let mut returns: Vec<Option<Inst>> = Vec::new();
        for (address, start, instance) in self.stack.suspended_calls() {
            calls.push(Call {
                address,
                start,
                module: 0,
            });
            returns.push(instance);
        }
        let mut running = self.stack.running_instance();
        let mut place = None;
        for (frame, (call, returns)) in calls.iter_mut().zip(returns).enumerate().rev() {
            let other = CaptureError::OtherInstance { frame };
            let module = match place {
                Some(module) => module,
                None => {
                    let instance = running.ok_or(other)?;
                    let mut places = self.places.iter();
                    let found = places.find(|(there, _)| *there == instance);
                    found.ok_or(other)?.1
                }
            };
            call.module = module;
            place = Some(module);
            if returns.is_some() {
                (running, place) = (returns, None);
            }
        }
        Ok(calls)
    }

    /// Tells the frames of the calls with these numbers and first cells, which are all at `site`: one local or operand of
    /// all after the other, so that what it is is looked at once.
    fn frames(
        &self,
        calls: &[(usize, usize)],
        module: impl Fn(usize) -> u32,
        site: &Site<'_>,
        frames: &mut Frames,
    ) -> Result<(), CaptureError> {
        let width = site.value_count();
        if let &[(number, start)] = calls {
            let begin = frames.values().len();
            self.values(number, start, site, frames.values())?;
            self.tell(number, module(number), begin, site, frames);
            return Ok(());
        }
        let begin = frames.grow(calls.len() * width);
        let mut columns = Columns {
            capture: self,
            calls,
            values: frames.values_from(begin),
            width,
        };
        let mut number = 0;
        for run in site.locals.runs() {
            let cells = super::map::cells_of(run.value_type);
            for cell in (0..run.count).map(|index| run.cell + index * cells) {
                columns.cells(number, cell, run.value_type)?;
                number += 1;
            }
        }
        let mut cell = site.locals.cells();
        for operand in site.operands {
            let value_type = operand.value_type;
            match operand.place {
                Place::Cells => columns.cells(number, cell, value_type)?,
                Place::Local(local) => {
                    // There is one, or its cells are nowhere.
                    let local = site.locals.cell(local as usize).unwrap_or(NOWHERE);
                    columns.cells(number, local, value_type)?;
                }
                Place::Constant(bits) => columns.same(number, value_type, Some(bits))?,
                Place::Register => columns.same(number, value_type, self.register(operand))?,
            }
            number += 1;
            cell += super::map::cells_of(value_type);
        }
        let begins = (0..calls.len()).map(|index| begin + index * width);
        for (&(number, _), begin) in calls.iter().zip(begins) {
            self.tell(number, module(number), begin, site, frames);
        }
        Ok(())
    }

    /// Tells the values of one call, which is at `site`.
    fn values(
        &self,
        frame: usize,
        start: usize,
        site: &Site<'_>,
        values: &mut Vec<Value>,
    ) -> Result<(), CaptureError> {
        let cells = self.stack.cells_from(start);
        let number = |value_type, cell: usize| match value_type {
            ValType::I32 => cells
                .get(cell)
                .map(|&low| Value::I32(u64::from(low) as u32)),
            ValType::I64 => cells.get(cell).map(|&low| Value::I64(low.into())),
            ValType::F32 => cells
                .get(cell)
                .map(|&low| Value::F32(u64::from(low) as u32)),
            ValType::F64 => cells.get(cell).map(|&low| Value::F64(low.into())),
            ValType::V128 | ValType::FuncRef | ValType::ExternRef => None,
        };
        // What is no number, and what is nowhere.
        let other =
            |value_type, cell| self.value(frame, value_type, self.cells(start + cell, value_type));
        for run in site.locals.runs() {
            let mut cell = run.cell;
            for _ in 0..run.count {
                values.push(match number(run.value_type, cell) {
                    Some(value) => value,
                    None => other(run.value_type, cell)?,
                });
                cell += super::map::cells_of(run.value_type);
            }
        }
        let mut next = site.locals.cells();
        for operand in site.operands {
            let value_type = operand.value_type;
            let cell = match operand.place {
                Place::Cells => next,
                // There is one, or its cells are nowhere.
                Place::Local(local) => site.locals.cell(local as usize).unwrap_or(NOWHERE),
                Place::Constant(_) | Place::Register => NOWHERE,
            };
            values.push(match (operand.place, number(value_type, cell)) {
                (_, Some(value)) => value,
                (Place::Constant(bits), None) => self.value(frame, value_type, Some(bits))?,
                (Place::Register, None) => self.value(frame, value_type, self.register(operand))?,
                (Place::Cells | Place::Local(_), None) => other(value_type, cell)?,
            });
            next += super::map::cells_of(value_type);
        }
        Ok(())
    }

    /// The frame of this number is at `site`, and its values begin at `begin`.
    fn tell(&self, number: usize, module: u32, begin: usize, site: &Site<'_>, frames: &mut Frames) {
        let function = FunctionRef {
            module,
            function: site.function,
        };
        let what = (function, site.operator, site.at);
        let (locals, width) = (site.locals.count(), site.value_count());
        frames.tell(number, what, begin, locals, width);
    }

    fn value(
        &self,
        frame: usize,
        value_type: ValType,
        raw: Option<u128>,
    ) -> Result<Value, CaptureError> {
        let raw = raw.ok_or(CaptureError::NoSafepoint { frame })?;
        let raw = RawVal::from(V128::from(raw));
        let value = self.references.capture(self.store, value_type, raw);
        value.map_err(|_| CaptureError::OtherReference { frame })
    }

    fn cells(&self, index: usize, value_type: ValType) -> Option<u128> {
        let low = self.stack.cell(index)?.into();
        match value_type {
            ValType::V128 => Some(low | u128::from(self.stack.cell(index + 1)?) << 64),
            _ => Some(low),
        }
    }

    fn register(&self, operand: &Operand) -> Option<u128> {
        let register = super::map::register_of(operand.value_type)?;
        Some(self.stack.register_bits()[register].into())
    }
}

/// No cell of a call.
const NOWHERE: usize = usize::MAX / 2;

/// The values of calls at one site: `width` of each call after each other.
struct Columns<'a> {
    capture: &'a Capture<'a>,
    /// Numbers and first cells.
    calls: &'a [(usize, usize)],
    values: &'a mut [Value],
    width: usize,
}

impl Columns<'_> {
    /// The value of this number of each call lies in its cells from `cell` on.
    fn cells(
        &mut self,
        number: usize,
        cell: usize,
        value_type: ValType,
    ) -> Result<(), CaptureError> {
        match value_type {
            ValType::I32 => self.numbers(number, cell, |low| Value::I32(low as u32)),
            ValType::I64 => self.numbers(number, cell, Value::I64),
            ValType::F32 => self.numbers(number, cell, |low| Value::F32(low as u32)),
            ValType::F64 => self.numbers(number, cell, Value::F64),
            ValType::V128 | ValType::FuncRef | ValType::ExternRef => {
                let capture = self.capture;
                self.each(number, |frame, start| {
                    let raw = capture.cells(start + cell, value_type);
                    capture.value(frame, value_type, raw)
                })
            }
        }
    }

    fn numbers(
        &mut self,
        number: usize,
        cell: usize,
        value: impl Fn(u64) -> Value,
    ) -> Result<(), CaptureError> {
        let stack = self.capture.stack;
        self.each(number, |frame, start| match stack.cell(start + cell) {
            Some(low) => Ok(value(low)),
            None => Err(CaptureError::NoSafepoint { frame }),
        })
    }

    /// The value of this number has the same bits in each call.
    fn same(
        &mut self,
        number: usize,
        value_type: ValType,
        raw: Option<u128>,
    ) -> Result<(), CaptureError> {
        let frame = self.calls.first().map_or(0, |(frame, _)| *frame);
        let value = self.capture.value(frame, value_type, raw)?;
        self.each(number, |_, _| Ok(value))
    }

    fn each(
        &mut self,
        number: usize,
        value: impl Fn(usize, usize) -> Result<Value, CaptureError>,
    ) -> Result<(), CaptureError> {
        let frames = self.values.chunks_exact_mut(self.width);
        for (values, (frame, start)) in frames.zip(self.calls) {
            if let Some(place) = values.get_mut(number) {
                *place = value(*frame, *start)?;
            }
        }
        Ok(())
    }
}
