//! What we change in wasmi, each with its reason. The texts are anchors and our own lines.

/// One change to one file of wasmi.
pub struct Edit {
    /// The file, relative to the assembled folder.
    pub file: &'static str,
    /// Why it is needed.
    pub why: &'static str,
    /// A text that must occur exactly once in the file.
    pub anchor: &'static str,
    /// What happens at the anchor.
    pub change: Change,
}

/// What is done at an anchor.
pub enum Change {
    /// The anchor becomes this text.
    Replace(&'static str),
    /// All from the anchor through the first text that follows becomes the second.
    ReplaceThrough(&'static str, &'static str),
    /// This text precedes the anchor.
    InsertBefore(&'static str),
    /// This text follows the anchor.
    InsertAfter(&'static str),
    /// Everything before the anchor goes.
    DropBefore,
}

use Change::{DropBefore, InsertAfter, InsertBefore, Replace, ReplaceThrough};

/// All edits, in the order in which they are applied.
pub const EDITS: &[Edit] = &[
    Edit {
        file: "src/lib.rs",
        why: "an included file carries no inner attributes; ours stand in our lib.rs",
        anchor: "extern crate alloc;\n",
        change: DropBefore,
    },
    Edit {
        file: "src/lib.rs",
        why: "linear memory is ours: bytes that the kernel supplies, never filled, never moved",
        anchor: "        Memory as CoreMemory,\n",
        change: Replace(""),
    },
    Edit {
        file: "src/lib.rs",
        why: "linear memory is ours (the name that wasmi uses inside)",
        anchor: "mod core {\n",
        change: InsertAfter("    pub use crate::linear_memory::LinearMemory as CoreMemory;\n"),
    },
    Edit {
        file: "src/lib.rs",
        why: "stack limits per execution need the type in our additions",
        anchor: "        EngineWeak,\n",
        change: InsertAfter("        StackConfig,\n"),
    },
    Edit {
        file: "src/engine/mod.rs",
        why: "our host functions read the argument cells themselves",
        anchor: "mod executor;\n",
        change: Replace("pub(crate) mod executor;\n"),
    },
    Edit {
        file: "src/func/caller.rs",
        why: "a host call reads and writes the memory of the module that makes it",
        anchor: "    instance: Option<Inst>,\n}",
        change: Replace("    pub(crate) instance: Option<Inst>,\n}"),
    },
    Edit {
        file: "src/memory/mod.rs",
        why: "a defined memory takes the next bytes that the kernel supplied",
        anchor: "CoreMemory::new(ty.core, &mut resource_limiter)?",
        change: Replace(
            "CoreMemory::new(ty.core, &mut resource_limiter, inner.additions.next_memory()?)?",
        ),
    },
    Edit {
        file: "src/memory/mod.rs",
        why: "static memory goes through the same type",
        anchor: "CoreMemory::new_static(ty.core, &mut resource_limiter, buf)?",
        change: Replace(
            "CoreMemory::new(ty.core, &mut resource_limiter, crate::GuestMemory::from_static(buf))?",
        ),
    },
    Edit {
        file: "src/store/inner.rs",
        why: "a store carries our additions",
        anchor: "    features: WasmFeatures,\n}\n",
        change: Replace(
            "    features: WasmFeatures,\n    pub(crate) additions: crate::additions::StoreAdditions,\n}\n",
        ),
    },
    Edit {
        file: "src/store/inner.rs",
        why: "a store carries our additions",
        anchor: "            fuel,\n            features,\n",
        change: InsertAfter("            additions: Default::default(),\n"),
    },
    Edit {
        file: "src/store/inner.rs",
        why: "our additions sum up what the memories of a store hold",
        anchor: "    memories: StableStoreArena<Memory>,\n",
        change: Replace("    pub(crate) memories: StableStoreArena<Memory>,\n"),
    },
    Edit {
        file: "src/store/inner.rs",
        why: "our additions sum up what the tables of a store hold",
        anchor: "    tables: StableStoreArena<Table>,\n",
        change: Replace("    pub(crate) tables: StableStoreArena<Table>,\n"),
    },
    Edit {
        file: "src/store/inner.rs",
        why: "our additions count the globals of a store",
        anchor: "    globals: StableStoreArena<Global>,\n",
        change: Replace("    pub(crate) globals: StableStoreArena<Global>,\n"),
    },
    Edit {
        file: "src/module/mod.rs",
        why: "the kernel must know each defined memory before it supplies the bytes",
        anchor: "    fn internal_memories(&self)",
        change: Replace("    pub(crate) fn internal_memories(&self)"),
    },
    Edit {
        file: "src/module/mod.rs",
        why: "translation in steps drives the parser",
        anchor: "mod parser;\n",
        change: Replace("pub(crate) mod parser;\n"),
    },
    Edit {
        file: "src/module/mod.rs",
        why: "translation in steps fills the builder",
        anchor: "mod builder;\n",
        change: Replace("pub(crate) mod builder;\n"),
    },
    Edit {
        file: "src/module/mod.rs",
        why: "the kernel tells what a translated module takes",
        anchor: "    pub(crate) fn internal_memories(&self)",
        change: InsertBefore(
            "    pub(crate) fn data_bytes(&self) -> usize {
        self.inner.data_segments.len_bytes()
    }

",
        ),
    },
    Edit {
        file: "src/module/mod.rs",
        why: "a store's state is told for each table that a module defines",
        anchor: "    fn internal_tables(&self)",
        change: InsertBefore(include_str!("module_state.rs")),
    },
    Edit {
        file: "src/module/mod.rs",
        why: "a store's state is told for each global that a module defines",
        anchor: "    fn internal_globals(&self)",
        change: Replace("    pub(crate) fn internal_globals(&self)"),
    },
    Edit {
        file: "src/module/data.rs",
        why: "a store's state tells which passive segments were dropped",
        anchor: "    /// Creates a new [`DataSegmentsBuilder`].\n",
        change: InsertBefore(
            "    /// Places of the passive segments that hold something.
    pub fn passive(&self) -> impl Iterator<Item = u32> + '_ {
        let segments = (0..).zip(&self.segments[..]);
        segments.filter_map(|(index, segment)| match &segment.inner {
            DataSegmentInner::Passive { bytes } if !bytes.as_ref().is_empty() => Some(index),
            _ => None,
        })
    }

",
        ),
    },
    Edit {
        file: "src/store/inner.rs",
        why: "a store's state tells which segments were dropped, and restoring drops them",
        anchor: "    /// Creates a new [`StoreInner`] for the given [`Engine`].\n",
        change: InsertBefore(include_str!("store_state.rs")),
    },
    Edit {
        file: "src/module/instantiate/mod.rs",
        why: "a restored instance gets its tables, which may have grown, after it is made",
        anchor: "                    .filter(|&max_index| max_index <= len_table)\n",
        change: Replace(
            "                    .filter(|&max_index| max_index <= len_table || !segments.are_checked())\n",
        ),
    },
    Edit {
        file: "src/module/data.rs",
        why: "the kernel tells what a translated module takes",
        anchor: "impl DataSegments {\n",
        change: InsertAfter(
            "    /// Bytes of all segments.
    pub fn len_bytes(&self) -> usize {
        let passive = self.segments.iter().map(|segment| match &segment.inner {
            DataSegmentInner::Active(_) => 0,
            DataSegmentInner::Passive { bytes } => bytes.as_ref().len(),
        });
        self.bytes.len() + passive.sum::<usize>()
    }

",
        ),
    },
    Edit {
        file: "src/module/data.rs",
        why: "translation in steps copies data segments into room made once",
        anchor: "impl DataSegmentsBuilder {\n",
        change: InsertAfter(
            "    /// Makes room for so many bytes of active segments.
    pub fn reserve_bytes(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes);
    }

",
        ),
    },
    Edit {
        file: "src/module/parser/mod.rs",
        why: "translation in steps names the function that comes next",
        anchor: "    /// Processes the end of the Wasm binary.\n",
        change: InsertBefore(
            "    pub(crate) fn engine_funcs(&self) -> u32 {
        self.engine_funcs
    }

",
        ),
    },
    Edit {
        file: "src/module/parser/buffered.rs",
        why: "translation in steps takes one part of a module at a time",
        anchor: "    /// Parse the Wasm module header.\n",
        change: InsertBefore(include_str!("next_part.rs")),
    },
    Edit {
        file: "src/engine/mod.rs",
        why: "translation in steps hands over each function",
        anchor: "impl Engine {\n",
        change: InsertAfter(
            "    pub(crate) fn init_func(&self, function: EngineFunc, code: CompiledFuncEntry) {
        self.inner.init_func(function, code)
    }

",
        ),
    },
    Edit {
        file: "src/module/instantiate/mod.rs",
        why: "the start function is the caller's to run, resumably and with fuel",
        anchor: "            start_func.call(store.as_context_mut(), &[], &mut [])?\n",
        change: Replace(
            "            store.as_context_mut().store.inner.additions.start = Some(start_func);\n",
        ),
    },
    Edit {
        file: "src/module/instantiate/mod.rs",
        why: "a restored instance gets its tables, which may have grown, after it is made",
        anchor: "ElementSegmentKind::Passive | ElementSegmentKind::Active(_) => segment\n",
        change: InsertBefore(
            "ElementSegmentKind::Active(_) if !segments.are_applied() => Box::from([]),\n                ",
        ),
    },
    Edit {
        file: "src/module/instantiate/mod.rs",
        why: "active segments are applied in pieces, but checked when their instance is made",
        anchor: "                let len_items = element.size(&context);\n",
        change: Replace("                let len_items = segment.items().len() as u32;\n"),
    },
    Edit {
        file: "src/module/instantiate/mod.rs",
        why: "active segments are applied in pieces",
        anchor: "struct InstanceBuilderContext<'a, 'b> {\n",
        change: InsertBefore(include_str!("apply_segments.rs")),
    },
    Edit {
        file: "src/module/instantiate/mod.rs",
        why: "a restored instance must not have its tables initialised again",
        anchor: "                table.init(elem.as_ref(), dst_index, 0, len_items, None)?;\n",
        change: Replace(
            "                if segments.are_applied() {\n                    table.init(elem.as_ref(), dst_index, 0, len_items, None)?;\n                }\n",
        ),
    },
    Edit {
        file: "src/module/instantiate/mod.rs",
        why: "a restored instance must not have its tables initialised again",
        anchor: "        for segment in &self.module_header().element_segments[..] {\n",
        change: Replace(
            "        let segments = context.as_context().store.inner.additions.segments;\n        for segment in &self.module_header().element_segments[..] {\n",
        ),
    },
    Edit {
        file: "src/module/instantiate/mod.rs",
        why: "a restored instance must not have its memories initialised again",
        anchor: "                    memory.write(context.as_context_mut(), offset, bytes)?;\n",
        change: Replace(
            "                    let segments = context.as_context().store.inner.additions.segments;
                    let end = offset.checked_add(bytes.len());
                    if segments.are_applied() {
                        memory.write(context.as_context_mut(), offset, bytes)?;
                    } else if segments.are_checked() && end.is_none_or(|end| end > memory.data_size(&context)) {
                        return Err(Error::from(MemoryError::OutOfBoundsAccess));
                    }
",
        ),
    },
    Edit {
        file: "src/engine/executor/handler/func.rs",
        why: "after a trap the kernel names the functions that led to it",
        anchor: "        let sp = outcome?;\n",
        change: InsertBefore(
            "        if let Err(ExecutionOutcome::Error(_)) = &outcome {
            crate::trace::keep(&mut self.store.inner);
        }
",
        ),
    },
    Edit {
        file: "src/engine/executor/handler/state.rs",
        why: "a trace of calls needs the addresses that the frames hold",
        anchor: "impl Stack {\n",
        change: InsertAfter(
            "    /// Where each call is in its translated code, outermost first.
    pub fn code_addresses(&self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator + '_ {
        self.frames.frames.iter().map(|frame| frame.ip.value.addr())
    }

",
        ),
    },
    Edit {
        file: "src/engine/resumable.rs",
        why: "a trace of a suspended call needs its stack",
        anchor: "impl ResumableCallHostTrap {\n",
        change: InsertAfter(
            "    pub(crate) fn stack(&self) -> &Stack {\n        &self.common.stack\n    }\n\n",
        ),
    },
    Edit {
        file: "src/engine/resumable.rs",
        why: "a trace of a suspended call needs its stack",
        anchor: "impl ResumableCallOutOfFuel {\n",
        change: InsertAfter(
            "    pub(crate) fn stack(&self) -> &Stack {\n        &self.common.stack\n    }\n\n",
        ),
    },
    Edit {
        file: "src/engine/executor/mod.rs",
        why: "stack limits belong to an instance, not to the engine",
        anchor: "        let store = ctx.store;\n        let stack = self.stacks.lock().reuse_or_new();\n",
        change: Replace(
            "        let store = ctx.store;\n        let stack = match &store.inner.additions.stack {\n            Some(limits) => Stack::new(limits),\n            None => self.stacks.lock().reuse_or_new(),\n        };\n",
        ),
    },
    Edit {
        file: "src/engine/executor/handler/exec.rs",
        why: "a handle or an error on the native stack whose address is passed on prevents the \
              tail call, so that each `memory.grow` would take native stack for ever",
        anchor: "        let memref = unsafe { instance.load_handle(memory) };\n",
        change: ReplaceThrough(
            "`memory.grow`: internal interpreter error: {error}\")\n            }\n        };\n",
            "        let return_value = match grow_memory(store, instance, memory, delta) {
            (Grown::Result, value) => {
                if utils::is_default_memory(instance, memory) {
                    args.reload_mem0();
                }
                value
            }
            (Grown::OutOfFuel, required_fuel) => {
                args.set_ip(ip);
                out_of_fuel!(store, args, required_fuel)
            }
            (Grown::Denied, _) => trap!(TrapCode::GrowthOperationLimited),
        };
",
        ),
    },
    Edit {
        file: "src/engine/executor/handler/exec.rs",
        why: "the same for `table.grow`, which moreover resumed at a stale position, for ever, \
              when it had run out of fuel",
        anchor: "        let table_ref = unsafe { instance.load_handle(table) };\n",
        change: ReplaceThrough(
            "`table.grow`: internal interpreter error: {error}\")\n            }\n        };\n",
            "        let delta = args.get(delta);
        let value = args.get(value);
        let return_value = match grow_table(store, instance, table, delta, value) {
            (Grown::Result, value) => value,
            (Grown::OutOfFuel, required_fuel) => {
                args.set_ip(ip);
                out_of_fuel!(store, args, required_fuel)
            }
            (Grown::Denied, _) => trap!(TrapCode::GrowthOperationLimited),
        };
",
        ),
    },
    Edit {
        file: "src/engine/executor/handler/exec.rs",
        why: "the parts of those handlers that use the native stack",
        anchor: "execution_handler! {\n    fn memory_copy(\n",
        change: InsertBefore(include_str!("out_of_line.rs")),
    },
    Edit {
        file: "src/engine/executor/handler/exec.rs",
        why: "bulk operations can be suspended between pieces (and outside their handlers, as above)",
        anchor: "execution_handler! {\n    fn memory_copy(\n",
        change: InsertBefore(include_str!("bulk.rs")),
    },
    Edit {
        file: "src/engine/executor/handler/exec.rs",
        why: "bulk operations of memories can be suspended between pieces",
        anchor: "execution_handler! {\n    fn memory_copy(\n",
        change: ReplaceThrough(
            "execution_handler! {\n    fn data_drop(\n",
            include_str!("bulk_memory.rs"),
        ),
    },
    Edit {
        file: "src/engine/executor/handler/exec.rs",
        why: "bulk operations of tables can be suspended between pieces",
        anchor: "execution_handler! {\n    fn table_copy(\n",
        change: ReplaceThrough(
            "execution_handler! {\n    fn elem_drop(\n",
            include_str!("bulk_table.rs"),
        ),
    },
    Edit {
        file: "src/engine/executor/handler/exec.rs",
        why: "the memory type whose pieces are moved",
        anchor: "    core::{CoreTable, RawRef, ReadAs, WriteAs, wasm},\n",
        change: Replace("    core::{CoreMemory, CoreTable, RawRef, ReadAs, WriteAs, wasm},\n"),
    },
    Edit {
        file: "src/engine/translator/func/mod.rs",
        why: "a bulk operation that is suspended between pieces writes to its operands, so they must not be \
              locals",
        anchor: "    /// Preserves all local operands on the stack.\n",
        change: InsertBefore(
            "    /// Copies the `operand` to the slot that its place on the stack of operands has.
    fn copy_operand_to_temp(&mut self, operand: Operand) -> Result<Slot, Error> {
        let result = operand.temp_slots().head();
        let copy = Self::select_copy_sx_op(result, operand, &self.layout)?;
        if let Some(copy) = copy {
            self.instrs.encode_op(copy)?;
        }
        Ok(result)
    }

",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "operands of a bulk operation are slots of its own",
        anchor: "        let data_addr = self.data_addr(data_index);\n        let dst = self.copy_operand_to_slot(dst)?;\n        let src = self.copy_operand_to_slot(src)?;\n        let len = self.copy_operand_to_slot(len)?;\n",
        change: Replace(
            "        let data_addr = self.data_addr(data_index);\n        let dst = self.copy_operand_to_temp(dst)?;\n        let src = self.copy_operand_to_temp(src)?;\n        let len = self.copy_operand_to_temp(len)?;\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "operands of a bulk operation are slots of its own",
        anchor: "        let src_memory_addr = self.memory_addr(src_mem)?;\n        let dst = self.copy_operand_to_slot(dst)?;\n        let src = self.copy_operand_to_slot(src)?;\n        let len = self.copy_operand_to_slot(len)?;\n",
        change: Replace(
            "        let src_memory_addr = self.memory_addr(src_mem)?;\n        let dst = self.copy_operand_to_temp(dst)?;\n        let src = self.copy_operand_to_temp(src)?;\n        let len = self.copy_operand_to_temp(len)?;\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "operands of a bulk operation are slots of its own",
        anchor: "        let memory_addr = self.memory_addr(mem)?;\n        let dst = self.copy_operand_to_slot(dst)?;\n        let len = self.copy_operand_to_slot(len)?;\n        let value = self.copy_operand_to_slot(value)?;\n",
        change: Replace(
            "        let memory_addr = self.memory_addr(mem)?;\n        let dst = self.copy_operand_to_temp(dst)?;\n        let len = self.copy_operand_to_temp(len)?;\n        let value = self.copy_operand_to_temp(value)?;\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "operands of a bulk operation are slots of its own",
        anchor: "        let elem_addr = self.elem_addr(elem_index);\n        let dst = self.copy_operand_to_slot(dst)?;\n        let src = self.copy_operand_to_slot(src)?;\n        let len = self.copy_operand_to_slot(len)?;\n",
        change: Replace(
            "        let elem_addr = self.elem_addr(elem_index);\n        let dst = self.copy_operand_to_temp(dst)?;\n        let src = self.copy_operand_to_temp(src)?;\n        let len = self.copy_operand_to_temp(len)?;\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "operands of a bulk operation are slots of its own",
        anchor: "        let src_table_addr = self.table_addr(src_table);\n        let dst = self.copy_operand_to_slot(dst)?;\n        let src = self.copy_operand_to_slot(src)?;\n        let len = self.copy_operand_to_slot(len)?;\n",
        change: Replace(
            "        let src_table_addr = self.table_addr(src_table);\n        let dst = self.copy_operand_to_temp(dst)?;\n        let src = self.copy_operand_to_temp(src)?;\n        let len = self.copy_operand_to_temp(len)?;\n",
        ),
    },
    Edit {
        file: "src/engine/translator/func/visit.rs",
        why: "operands of a bulk operation are slots of its own",
        anchor: "        let table_addr = self.table_addr(table);\n        let dst = self.copy_operand_to_slot(dst)?;\n        let value = self.copy_operand_to_slot(value)?;\n        let len = self.copy_operand_to_slot(len)?;\n",
        change: Replace(
            "        let table_addr = self.table_addr(table);\n        let dst = self.copy_operand_to_temp(dst)?;\n        let value = self.copy_operand_to_temp(value)?;\n        let len = self.copy_operand_to_temp(len)?;\n",
        ),
    },
    Edit {
        file: "src/engine/executor/handler/utils.rs",
        why: "the result of a suspended tail call to the host belongs where the callee's frame was",
        anchor: "            Control::Continue(_) => DoneReason::host_error(error, func, params.span()),\n",
        change: Replace(
            "            Control::Continue(_) => DoneReason::host_error(error, func, results),\n",
        ),
    },
    Edit {
        file: "src/engine/executor/handler/utils.rs",
        why: "the result of a suspended tail call to the host belongs where the callee's frame was",
        anchor: "    // Note: the parameters have already been moved into place by `return_prepare_host_frame`,\n",
        change: InsertAfter("    let results = store.stack_mut().tail_call_results(frame);\n"),
    },
    Edit {
        file: "src/engine/executor/handler/state.rs",
        why: "the result of a suspended tail call to the host belongs where the callee's frame was",
        anchor: "impl Stack {\n",
        change: InsertAfter(
            "    /// Where the caller, now the top frame, expects the results of `frame`.
    pub fn tail_call_results(&self, frame: HostFrame) -> crate::ir::SlotSpan {
        let offset = frame.start.0.saturating_sub(self.frames.top_start().0);
        crate::ir::SlotSpan::new(Slot::from(u16::try_from(offset).unwrap_or(0)))
    }

",
        ),
    },
];
