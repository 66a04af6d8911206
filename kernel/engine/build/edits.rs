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
    /// This text follows the anchor.
    InsertAfter(&'static str),
    /// Everything before the anchor goes.
    DropBefore,
}

use Change::{DropBefore, InsertAfter, Replace};

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
        file: "src/module/mod.rs",
        why: "the kernel must know each defined memory before it supplies the bytes",
        anchor: "    fn internal_memories(&self)",
        change: Replace("    pub(crate) fn internal_memories(&self)"),
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
            "                    if context.as_context().store.inner.additions.segments.are_applied() {\n                        memory.write(context.as_context_mut(), offset, bytes)?;\n                    }\n",
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
        why: "a `table.grow` that ran out of fuel resumed at a stale position, for ever",
        anchor: "                done!(store, DoneReason::out_of_fuel(required_fuel));\n            }\n            Err(StoreError::External(TableError::ResourceLimiterDeniedAllocation)) => {\n",
        change: Replace(
            "                args.set_ip(ip);\n                out_of_fuel!(store, args, required_fuel)\n            }\n            Err(StoreError::External(TableError::ResourceLimiterDeniedAllocation)) => {\n",
        ),
    },
];
