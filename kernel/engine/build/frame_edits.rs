//! What we change in wasmi for canonical frames (`src/frames`), each with its reason. Nothing here
//! adds an operator to translated code.

use crate::edits::Change::{InsertAfter, InsertBefore, Replace};
use crate::edits::Edit;

/// These edits come after all others.
pub const EDITS: &[Edit] = &[
    Edit {
        file: "src/engine/translator/mod.rs",
        why: "frame maps count operators; the validating translator kept positions to itself",
        anchor: "        self.pos = pos;\n",
        change: InsertAfter("        self.translator.update_pos(pos);\n"),
    },
    Edit {
        file: "src/engine/translator/func/mod.rs",
        why: "frame maps count operators",
        anchor: "    fn update_pos(&mut self, _pos: usize) {}\n",
        change: Replace(
            "    fn update_pos(&mut self, _pos: usize) {\n        self.frames.count_operator();\n    }\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/mod.rs",
        why: "a translator writes the frame map of its function",
        anchor: "    operator_cost: OperatorCostStrategy,\n}\n",
        change: Replace(
            "    operator_cost: OperatorCostStrategy,\n    frames: crate::frames::Recorder,\n    /// Operands of the operator that comes next, when it may be executed again.\n    again: Vec<(Slot, ValType)>,\n}\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/mod.rs",
        why: "a translator writes the frame map of its function",
        anchor: "            operator_cost,\n",
        change: InsertAfter(
            "            frames: Default::default(),\n            again: Vec::new(),\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/mod.rs",
        why: "a function's frame map goes with its code",
        anchor: "            self.instrs.encoded_ops(),\n        ));\n",
        change: Replace(
            "            self.instrs.encoded_ops(),\n        )\n        .with_frames(mem::take(&mut self.frames).finish()));\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/mod.rs",
        why: "the translator tells the recorder what it knows",
        anchor: "    /// Initializes the function's parameters.\n",
        change: InsertBefore(include_str!("record_frames.rs")),
    },
    Edit {
        file: "src/engine/translator/func/mod.rs",
        why: "a safepoint: function entry",
        anchor: "            .push_func_block(block_ty, end_label, consume_fuel)?;\n",
        change: InsertAfter("        self.begin_frames(consume_fuel);\n"),
    },
    Edit {
        file: "src/engine/translator/func/mod.rs",
        why: "a safepoint: an `if` with results whose `else` is missing. The registers there are \
              those of its beginning: wasmi took a local that the arm had computed for one that \
              the register still mirrors, and returned a wrong value",
        anchor: "            self.instrs.encode_consume_fuel_op()?;\n            self.copy_branch_params(frame.branch_params())?;\n",
        change: Replace(
            "            self.stack.restore_registers(&frame);\n            let fuel_pos = self.instrs.encode_consume_fuel_op()?;\n            self.record_pause(crate::frames::Kind::MissingElse, fuel_pos);\n            self.copy_branch_params(frame.branch_params())?;\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/mod.rs",
        why: "a safepoint: a bulk operation, between its pieces; its operands are those that get \
              slots of their own",
        anchor: "        let copy = Self::select_copy_sx_op(result, operand, &self.layout)?;\n        if let Some(copy)",
        change: InsertBefore("        self.again.push((result, operand.ty()));\n"),
    },
    Edit {
        file: "src/engine/translator/func/mod.rs",
        why: "a safepoint: a bulk operation, between its pieces",
        anchor: "        debug_assert!(instr.result_ref().is_none());\n        let instr = self.instrs.encode_op(instr)?;\n",
        change: InsertBefore(
            "        if !self.again.is_empty() {\n            self.record_again()?;\n        }\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "a safepoint: the head of a loop",
        anchor: "        self.stack.push_loop(block_ty, continue_label, fuel_pos)?;\n",
        change: InsertAfter("        self.record_pause(crate::frames::Kind::Loop, fuel_pos);\n"),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "a safepoint: the first arm of an `if`, unless its condition is constant",
        anchor: "            .push_if(block_ty, end_label, reachability, fuel_pos)?;\n",
        change: InsertAfter(
            "        if matches!(reachability, IfReachability::Both { .. }) {\n            self.record_pause(crate::frames::Kind::Then, fuel_pos);\n        }\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "a safepoint: the second arm of an `if`, if it can be reached",
        anchor: "            .push_else(frame, is_end_of_then_reachable, fuel_pos)?;\n",
        change: InsertAfter(
            "        if self.reachable {\n            self.record_pause(crate::frames::Kind::Else, fuel_pos);\n        }\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "a safepoint: a call",
        anchor: "        self.translate_call(function_index, Op::call_internal, Op::call_imported)\n",
        change: Replace(
            "        self.translate_call(function_index, Op::call_internal, Op::call_imported)?;\n        self.record_call(function_index);\n        Ok(())\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "a safepoint: a call through a table",
        anchor: "            Op::call_indirect_table0_r,\n        )\n",
        change: Replace(
            "            Op::call_indirect_table0_r,\n        )?;\n        self.record_indirect_call(type_index);\n        Ok(())\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "the frame of a function with tail calls may be another's",
        anchor: "            Op::return_call_imported,\n        )?;\n",
        change: InsertAfter("        self.frames.note_tail_call();\n"),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "the frame of a function with tail calls may be another's",
        anchor: "            Op::return_call_indirect_table0_r,\n        )?;\n",
        change: InsertAfter("        self.frames.note_tail_call();\n"),
    },
    Edit {
        file: "src/engine/translator/func/stack/mod.rs",
        why: "frame maps tell which registers mirror locals, and which operands changed",
        anchor: "    /// Returns the current [`Op::ConsumeFuel`] if fuel metering is enabled.\n",
        change: InsertBefore(
            "    /// The registers are as they were at the beginning of the `if` of `frame`.
    pub fn restore_registers(&mut self, frame: &IfControlFrame) {
        self.operands.set_registers(frame.registers());
    }

    /// The local that the register for `ty` mirrors.
    pub fn local_in_register(&self, ty: ValType) -> Option<LocalIdx> {
        self.operands.local_in_register(ty)
    }

    /// How many operands, from the bottom, did not change since the last record.
    pub fn recorded_operands(&self) -> usize {
        self.operands.recorded
    }

    /// Those of them that went to cells of their own since then.
    pub fn settled_operands(&self) -> &[u32] {
        &self.operands.settled
    }

    /// The lowest `count` operands were recorded.
    pub fn set_recorded_operands(&mut self, count: usize) {
        self.operands.recorded = count;
        self.operands.settled.clear();
    }

",
        ),
    },
    Edit {
        file: "src/engine/translator/func/stack/operands.rs",
        why: "frame maps write only operands that changed",
        anchor: "    /// Information about the registers that are in use.\n    regs: RegisterMap,\n}\n\n/// The state of all",
        change: Replace(
            "    /// Information about the registers that are in use.\n    regs: RegisterMap,\n    /// Operands, from the bottom, that are those last recorded.\n    pub(super) recorded: usize,\n    /// Those of them that went to cells of their own since then.\n    pub(super) settled: Vec<u32>,\n}\n\n/// The state of all",
        ),
    },
    Edit {
        file: "src/engine/translator/func/stack/operands.rs",
        why: "frame maps write only operands that changed",
        anchor: "        self.max_offset = 0;\n        self.regs.reset();\n",
        change: InsertAfter("        self.recorded = 0;\n        self.settled.clear();\n"),
    },
    Edit {
        file: "src/engine/translator/func/stack/operands.rs",
        why: "frame maps write only operands that changed: a popped one",
        anchor: "        let stack_pos = self.next_stack_pos();\n        self.try_unlink_local(operand);\n",
        change: InsertBefore("        self.recorded = self.recorded.min(self.operands.len());\n"),
    },
    Edit {
        file: "src/engine/translator/func/stack/operands.rs",
        why: "frame maps write only operands that changed: one that leaves its register",
        anchor: "        *in_reg = false;\n        Some(returned)\n",
        change: Replace(
            "        *in_reg = false;\n        self.settle(pos);\n        Some(returned)\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/stack/operands.rs",
        why: "frame maps write only operands that changed: one that gets cells of its own",
        anchor: "        self.operands[usize::from(index)] = StackOperand::Temp {\n",
        change: InsertBefore("        self.settle(index);\n"),
    },
    Edit {
        file: "src/engine/translator/func/stack/operands.rs",
        why: "frame maps write only operands that changed: a local that gets cells of its own",
        anchor: "        self.operands[usize::from(pos)] = StackOperand::Temp {\n",
        change: InsertBefore("        self.settle(pos);\n"),
    },
    Edit {
        file: "src/engine/translator/func/stack/operands.rs",
        why: "frame maps tell which registers mirror locals",
        anchor: "    /// Returns the current [`RegisterMap`] state.\n",
        change: InsertBefore(
            "    /// The operand at `pos` goes to cells of its own.
    fn settle(&mut self, pos: StackPos) {
        let index = usize::from(pos);
        if index < self.recorded {
            self.settled.push(index as u32);
        }
    }

    /// The local that the register for `ty` mirrors.
    pub fn local_in_register(&self, ty: ValType) -> Option<LocalIdx> {
        match self.regs.get(ty)? {
            RegisterLink::Local(index) => Some(index),
            RegisterLink::Temp(_) => None,
        }
    }

",
        ),
    },
    Edit {
        file: "src/engine/code_map/mod.rs",
        why: "a function's frame map goes with its code",
        anchor: "    len_stack_slots: u16,\n}\n\nimpl CompiledFuncEntry {\n",
        change: Replace(
            "    len_stack_slots: u16,
    /// Where locals and operands lie at each safepoint.
    frames: crate::frames::FrameMap,
}

impl CompiledFuncEntry {
    /// The same with its frame map.
    pub fn with_frames(mut self, frames: crate::frames::FrameMap) -> Self {
        self.frames = frames;
        self
    }

",
        ),
    },
    Edit {
        file: "src/engine/code_map/mod.rs",
        why: "a function's frame map goes with its code",
        anchor: "            ops,\n            len_local_slots,\n            len_stack_slots,\n        }\n    }\n",
        change: Replace(
            "            ops,\n            len_local_slots,\n            len_stack_slots,\n            frames: Default::default(),\n        }\n    }\n",
        ),
    },
    Edit {
        file: "src/engine/code_map/mod.rs",
        why: "capture and restore read the frame map of translated code",
        anchor: "    /// Assumes `self` to be compiled and returns a [`CompiledFuncRef`].\n",
        change: InsertBefore(
            "    /// The code with its frame map, once it is translated.
    pub(crate) fn translated(&self) -> Option<crate::frames::Translated<'_>> {
        if self.state.load(Ordering::Acquire) != state::COMPILED {
            return None;
        }
        // SAFETY: in this state, which is the last, `compiled` is set and nothing changes it.
        let compiled = unsafe { &*(*self.data.get()).compiled };
        Some(crate::frames::Translated {
            code: compiled.ops.as_ref().get_ref(),
            map: &compiled.frames,
            cells: compiled.len_stack_slots,
        })
    }

",
        ),
    },
    Edit {
        file: "src/engine/code_map/mod.rs",
        why: "capture finds functions by the addresses of their code",
        anchor: "    alloc_lock: Mutex<()>,\n}\n",
        change: Replace(
            "    alloc_lock: Mutex<()>,\n    frame_index: crate::frames::FrameIndex,\n}\n",
        ),
    },
    Edit {
        file: "src/engine/code_map/mod.rs",
        why: "capture finds functions by the addresses of their code",
        anchor: "    /// Initializes the [`EngineFunc`] with its [`CompiledFuncEntry`].\n",
        change: InsertBefore(
            "    /// The function whose code `address` lies in.
    pub(crate) fn function_at(&self, address: usize, near: &mut usize) -> Option<&FuncEntry> {
        let count = self.funcs.len_funcs.load(Ordering::Acquire);
        let all = || {
            (0..count as u32).filter_map(|function| {
                let entry = self.entry(EngineFunc::from(function))?;
                Some((function, entry.translated()?.code))
            })
        };
        let function = self.frame_index.find(address, near, count, all)?;
        self.entry(EngineFunc::from(function))
    }

    /// Heap that finding a function takes at most.
    pub(crate) fn find_bytes(&self) -> usize {
        let count = self.funcs.len_funcs.load(Ordering::Acquire);
        self.frame_index.find_bytes(count)
    }

",
        ),
    },
    Edit {
        file: "src/engine/func_types.rs",
        why: "restore checks what a call through a table returns",
        anchor: "    /// Resolves a deduplicated function type into a [`FuncType`] entity.\n",
        change: InsertBefore(
            "    /// The function type that translated code names `raw`.
    pub(crate) fn at(&self, raw: u32) -> Option<&FuncType> {
        self.func_types.get(RawHandle::new(raw)).ok()
    }

",
        ),
    },
    Edit {
        file: "src/engine/mod.rs",
        why: "restore checks what a call through a table returns",
        anchor: "impl Engine {\n",
        change: InsertAfter(
            "    pub(crate) fn results_of_type(&self, raw: u32) -> Option<alloc::boxed::Box<[crate::ValType]>> {
        Some(self.inner.func_types.read().at(raw)?.results().into())
    }

",
        ),
    },
    Edit {
        file: "src/engine/mod.rs",
        why: "capture finds functions by the addresses of their code",
        anchor: "impl Engine {\n",
        change: InsertAfter(
            "    pub(crate) fn function_at(&self, address: usize, near: &mut usize) -> Option<&FuncEntry> {
        self.inner.code_map.function_at(address, near)
    }

    pub(crate) fn find_bytes(&self) -> usize {
        self.inner.code_map.find_bytes()
    }

",
        ),
    },
    Edit {
        file: "src/engine/executor/handler/state.rs",
        why: "capture reads a suspended stack, and restore makes one",
        anchor: "impl Stack {\n",
        change: InsertAfter(include_str!("stack_frames.rs")),
    },
    Edit {
        file: "src/engine/resumable.rs",
        why: "capture names the root function, and restore makes a suspended call",
        anchor: "impl ResumableCallHostTrap {\n",
        change: InsertAfter(
            "    pub(crate) fn root(&self) -> Func {
        self.common.func
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.common.engine
    }

    pub(crate) fn restored(
        engine: Engine,
        stack: Stack,
        root: Func,
        host_func: Func,
        caller_results: SlotSpan,
    ) -> Self {
        let host_error = Error::new(\"restored within a host call\");
        Self::new(engine, stack, root, host_func, host_error, caller_results)
    }

",
        ),
    },
    Edit {
        file: "src/engine/resumable.rs",
        why: "capture names the root function, and restore makes a suspended call",
        anchor: "impl ResumableCallOutOfFuel {\n",
        change: InsertAfter(
            "    pub(crate) fn root(&self) -> Func {
        self.common.func
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.common.engine
    }

    pub(crate) fn restored(engine: Engine, stack: Stack, root: Func) -> Self {
        Self::new(engine, stack, root, 0)
    }

",
        ),
    },
];
