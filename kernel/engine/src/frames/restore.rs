//! From a call stack to a suspended call. Nothing of the call stack is believed.
//!
//! Each frame must be of a function that its module defines, at a safepoint of that function's map,
//! with locals and operands of the types that the map has there; its function must be what the frame
//! before it calls, or, when that has tail calls, one with the same results. So the frames are those
//! of a well-typed program, whatever its values are.

use super::locals::Locals;
use super::map::{Callee, HAS_TAIL_CALLS, Head, Place, Safepoint, cells_of, register_of};
use super::{At, CallStack, FrameFault, FrameRef, RestoreError, Translated};
use crate::engine::{Inst, Stack};
use crate::func::FuncEntity;
use crate::ir::{Slot, SlotSpan};
use crate::state::{FunctionRef, Problem, References, Value};
use crate::store::StoreInner;
use crate::{
    Engine, Func, Handle, Nullable, ResumableCallHostTrap, ResumableCallOutOfFuel, Store, V128,
    ValType,
};
use alloc::boxed::Box;

/// A call that goes on where its call stack was captured.
#[derive(Debug)]
pub enum Restored {
    /// It was out of fuel.
    OutOfFuel(ResumableCallOutOfFuel),
    /// It waits for a host call, whose arguments are the caller's to know.
    HostCall(ResumableCallHostTrap),
}

impl CallStack {
    /// Makes the suspended call, in a store whose instances are those of the set.
    ///
    /// # Errors
    /// [`RestoreError`] names what does not fit the modules.
    pub fn restore<T>(
        &self,
        store: &mut Store<T>,
        references: &mut References,
    ) -> Result<Restored, RestoreError> {
        let engine = store.engine().clone();
        Restoring::new(&engine, &mut store.inner, references).restore(self)
    }

    /// Checks a call stack that [is a tail](Self::is_tail): that its root can end with its host call.
    ///
    /// # Errors
    /// [`RestoreError`] names what does not fit.
    pub fn check_tail<T>(
        &self,
        store: &mut Store<T>,
        references: &mut References,
    ) -> Result<(), RestoreError> {
        let engine = store.engine().clone();
        let restoring = Restoring::new(&engine, &mut store.inner, references);
        let (_, expected) = restoring.root(self.root)?;
        match self.host_call {
            Some(call) if self.frames.is_empty() => restoring.host_call(call, &expected).map(drop),
            _ => Err(RestoreError::NoFrames),
        }
    }
}

/// What the next frame has to be.
struct Expected {
    /// The function that is called; none through a table.
    function: Option<Func>,
    /// Whether another may be there in its place.
    replaceable: bool,
    results: Box<[ValType]>,
}

struct Restoring<'a> {
    engine: &'a Engine,
    store: &'a mut StoreInner,
    references: &'a mut References,
    stack: Stack,
    registers: [u64; 3],
}

impl<'a> Restoring<'a> {
    fn new(
        engine: &'a Engine,
        store: &'a mut StoreInner,
        references: &'a mut References,
    ) -> Restoring<'a> {
        let limits = store.additions.stack.as_ref();
        let stack = Stack::new(limits.unwrap_or(&engine.config().stack));
        Restoring {
            engine,
            store,
            references,
            stack,
            registers: [0; 3],
        }
    }

    fn restore(mut self, call_stack: &CallStack) -> Result<Restored, RestoreError> {
        let (root, mut expected) = self.root(call_stack.root)?;
        let Some(last) = call_stack.frames.len().checked_sub(1) else {
            return Err(RestoreError::NoFrames);
        };
        let mut start = 0;
        for (index, frame) in call_stack.frames.iter().enumerate() {
            let is_calling = index < last || call_stack.host_call.is_some();
            let next = self.frame(frame, &expected, start, is_calling);
            let next = next.map_err(|fault| RestoreError::Frame {
                frame: index,
                fault,
            })?;
            (start, expected) = match next {
                Some((callee_start, callee)) => (callee_start, callee),
                None => (start, expected),
            };
        }
        self.stack.set_register_bits(self.registers);
        let engine = self.engine.clone();
        let Some(call) = call_stack.host_call else {
            let call = ResumableCallOutOfFuel::restored(engine, self.stack, root);
            return Ok(Restored::OutOfFuel(call));
        };
        let function = self.host_call(call, &expected)?;
        let results = start - self.innermost_start();
        // Within the frame's cells, which are counted by `u16`.
        let results = SlotSpan::new(Slot::from(u16::try_from(results).unwrap_or(0)));
        let call = ResumableCallHostTrap::restored(engine, self.stack, root, function, results);
        Ok(Restored::HostCall(call))
    }

    fn innermost_start(&self) -> usize {
        let starts = self.stack.suspended_calls().map(|(_, start, _)| start);
        starts.last().unwrap_or(0)
    }

    /// The function that the host called.
    fn root(&self, name: FunctionRef) -> Result<(Func, Expected), RestoreError> {
        let root = self.find(name).ok_or(RestoreError::UnknownRoot(name))?;
        let expected = self.expect(root).ok_or(RestoreError::UnknownRoot(name))?;
        Ok((root, expected))
    }

    /// Checks that `name` is a host function that the innermost frame calls.
    fn host_call(&self, name: FunctionRef, expected: &Expected) -> Result<Func, RestoreError> {
        let unknown = RestoreError::UnknownHostCall(name);
        let function = self.find(name).ok_or(unknown)?;
        let entity = self.store.try_resolve_func(&function);
        if !matches!(entity, Ok(FuncEntity::Host(_))) {
            return Err(unknown);
        }
        match self.is_expected(function, expected) {
            true => Ok(function),
            false => Err(RestoreError::OtherHostCall(name)),
        }
    }

    /// Adds one frame whose cells begin at `start`. When it calls: where the callee's cells begin,
    /// and what it has to be.
    fn frame(
        &mut self,
        frame: FrameRef<'_>,
        expected: &Expected,
        start: usize,
        is_calling: bool,
    ) -> Result<Option<(usize, Expected)>, FrameFault> {
        let unknown = FrameFault::UnknownFunction(frame.function);
        let function = self.find(frame.function).ok_or(unknown)?;
        let Ok(FuncEntity::Wasm(defined)) = self.store.try_resolve_func(&function) else {
            return Err(unknown);
        };
        let (instance, body) = (defined.instance(), defined.func_body());
        if self.references.place_of(self.store, instance) != Some(frame.function.module) {
            return Err(unknown);
        }
        if !self.is_expected(function, expected) {
            return Err(FrameFault::NotTheCallee);
        }
        let entry = self.engine.resolve_func(body).ok_or(unknown)?;
        let translated = entry.translated().ok_or(unknown)?;
        let mut locals = Locals::default();
        let head = translated.map.head_with(&mut locals).ok_or(unknown)?;
        let safepoint = safepoint(frame, &translated, &head)?;
        match (safepoint.at, is_calling) {
            (At::Call, false) => return Err(FrameFault::AtCall),
            (At::Call, true) => {}
            (_, true) => return Err(FrameFault::NotAtCall),
            (_, false) => {}
        }
        let end = start.checked_add(translated.cells.into());
        let end = end.ok_or(FrameFault::TooDeep)?;
        self.stack
            .extend_cells(end)
            .map_err(|_| FrameFault::TooDeep)?;
        self.set_locals(frame, &locals, start)?;
        self.set_operands(frame, &locals, &safepoint, start)?;
        self.push_call(&translated, &safepoint, start, instance)?;
        let Some(callee) = safepoint.callee else {
            return Ok(None);
        };
        let callee_start = start + locals.cells() + safepoint.operand_cells();
        let callee = self.callee(frame.function.module, callee).ok_or(unknown)?;
        Ok(Some((callee_start, callee)))
    }

    fn push_call(
        &mut self,
        translated: &Translated<'_>,
        safepoint: &Safepoint,
        start: usize,
        instance: Inst,
    ) -> Result<(), FrameFault> {
        let code = translated.code.get(safepoint.offset..);
        let code = code.ok_or(FrameFault::TooDeep)?;
        // SAFETY: a safepoint's offset is at an operator of the function's code, which belongs to
        // the engine that the suspended call keeps; the cells were just set as the function's map
        // says; the instance was resolved from the store, which never removes one, and a call can
        // be resumed only in the store that its root belongs to.
        let pushed = unsafe {
            self.stack
                .push_suspended_call(code.as_ptr(), start, instance)
        };
        pushed.map_err(|_| FrameFault::TooDeep)
    }

    /// What a frame has to be that `function` was called for.
    fn expect(&self, function: Func) -> Option<Expected> {
        let entity = self.store.try_resolve_func(&function).ok()?;
        let replaceable = match entity {
            FuncEntity::Wasm(defined) => {
                defined.func_entry().translated()?.map.head()?.flags & HAS_TAIL_CALLS != 0
            }
            FuncEntity::Host(_) => false,
        };
        Some(Expected {
            function: Some(function),
            replaceable,
            results: self.results(entity),
        })
    }

    /// What a frame has to be that is called from `module`.
    fn callee(&self, module: u32, callee: Callee) -> Option<Expected> {
        match callee {
            Callee::Function(function) => {
                let name = FunctionRef { module, function };
                self.expect(self.find(name)?)
            }
            Callee::OfType(callee) => Some(Expected {
                function: None,
                replaceable: true,
                results: self.engine.results_of_type(callee)?,
            }),
        }
    }

    fn is_expected(&self, function: Func, expected: &Expected) -> bool {
        if let Some(exact) = expected.function
            && exact.as_raw() == function.as_raw()
        {
            return true;
        }
        let entity = self.store.try_resolve_func(&function);
        let same_results = |entity| *self.results(entity) == *expected.results;
        expected.replaceable && entity.is_ok_and(same_results)
    }

    fn results(&self, function: &FuncEntity) -> Box<[ValType]> {
        let results = |ty: &crate::FuncType| ty.results().into();
        self.engine.resolve_func_type(function.ty_dedup(), results)
    }

    fn set_locals(
        &mut self,
        frame: FrameRef<'_>,
        locals: &Locals,
        start: usize,
    ) -> Result<(), FrameFault> {
        let expected = locals.count();
        if frame.locals.len() != expected {
            return Err(FrameFault::LocalCount { expected });
        }
        for (index, ((expected, cell), local)) in locals.iter().zip(frame.locals).enumerate() {
            let wrong = FrameFault::LocalType { index, expected };
            let bits = self.bits(expected, *local, wrong)?;
            self.set_cells(start + cell, expected, bits)?;
        }
        Ok(())
    }

    fn set_operands(
        &mut self,
        frame: FrameRef<'_>,
        locals: &Locals,
        safepoint: &Safepoint,
        start: usize,
    ) -> Result<(), FrameFault> {
        let expected = safepoint.operands.len();
        if frame.operands.len() != expected {
            return Err(FrameFault::OperandCount { expected });
        }
        let cell_of_local = |index: u32| locals.cell(index as usize);
        for (register, local) in safepoint.registers.iter().enumerate() {
            if let Some(cell) = local.and_then(cell_of_local) {
                self.registers[register] = self.stack.cell(start + cell).unwrap_or(0);
            }
        }
        let mut cell = start + locals.cells();
        for (index, (operand, value)) in safepoint.operands.iter().zip(frame.operands).enumerate() {
            let expected = operand.value_type;
            let wrong = FrameFault::OperandType { index, expected };
            let bits = self.bits(expected, *value, wrong)?;
            // Where the code relies on a value, or has it in one place with another, it must be so.
            let known = match operand.place {
                Place::Cells => {
                    self.set_cells(cell, expected, bits)?;
                    bits
                }
                Place::Register => {
                    if let Some(register) = register_of(expected) {
                        self.registers[register] = bits as u64;
                    }
                    bits
                }
                Place::Constant(known) => known,
                Place::Local(local) => {
                    let local = cell_of_local(local).unwrap_or(usize::MAX - start);
                    self.get_cells(start + local, expected).unwrap_or(!bits)
                }
            };
            if known != bits {
                return Err(FrameFault::OperandValue { index });
            }
            cell += cells_of(expected);
        }
        Ok(())
    }

    /// The bits of `value` in a cell, the upper ones zero; `wrong` when it is of another type.
    fn bits(
        &mut self,
        expected: ValType,
        value: Value,
        wrong: FrameFault,
    ) -> Result<u128, FrameFault> {
        let raw = self.references.restore(self.store, expected, value);
        match raw {
            Ok(raw) => Ok(V128::from(raw).as_u128()),
            Err(Problem::Type) => Err(wrong),
            Err(_) => Err(FrameFault::UnknownReference),
        }
    }

    fn find(&self, name: FunctionRef) -> Option<Func> {
        let handle = self.references.find(self.store, Some(name)).ok()?;
        <Nullable<Func>>::from_raw_parts(handle, &*self.store).into()
    }

    fn set_cells(&mut self, at: usize, value_type: ValType, bits: u128) -> Result<(), FrameFault> {
        let set = self.stack.set_cell(at, bits as u64);
        let set = match value_type {
            ValType::V128 => set.and(self.stack.set_cell(at + 1, (bits >> 64) as u64)),
            _ => set,
        };
        set.ok_or(FrameFault::TooDeep)
    }

    fn get_cells(&self, at: usize, value_type: ValType) -> Option<u128> {
        let low = u128::from(self.stack.cell(at)?);
        match value_type {
            ValType::V128 => Some(low | u128::from(self.stack.cell(at + 1)?) << 64),
            _ => Some(low),
        }
    }
}

/// The safepoint that `frame` names.
fn safepoint(
    frame: FrameRef<'_>,
    translated: &Translated<'_>,
    head: &Head<'_>,
) -> Result<Safepoint, FrameFault> {
    let found = translated.map.at_operator(head, frame.operator, frame.at);
    found.ok_or(FrameFault::NoSafepoint {
        operator: frame.operator,
        at: frame.at,
    })
}
