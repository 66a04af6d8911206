// Inserted into wasmi's `exec.rs` by `build/edits.rs` in place of its handlers: see `bulk.rs`.

execution_handler! {
    fn memory_copy(
        store: &mut PrunedStore,
        ip: Ip,
        sp: Sp,
        mem0: Mem0Ptr,
        mem0_len: Mem0Len,
        instance: Inst,
        ireg: Ireg,
        freg32: Freg32,
        freg64: Freg64,
    ) -> Done = {
        let mut args = Args::from_parts(ip, sp, mem0, mem0_len, instance, ireg, freg32, freg64);
        let crate::ir::decode::MemoryCopy {
            dst_memory,
            src_memory,
            dst,
            src,
            len,
        } = unsafe { args.decode_op() };
        let (to, from, left): (u64, u64, u64) = (args.get(dst), args.get(src), args.get(len));
        // SAFETY: `instance` is live and warmed up while a handler runs.
        let src_memory = unsafe { instance.load_entity_ptr(src_memory) };
        // SAFETY: as above.
        let mut dst_memory = unsafe { instance.load_entity_ptr(dst_memory) };
        let fuel = store.inner_mut().fuel_mut();
        // Two indices may mean one memory.
        let within = src_memory == dst_memory;
        let backward = within && is_backward(to, from, left);
        let copied = if within {
            // SAFETY: it is the only entity that is accessed here.
            copy_memory_within(unsafe { dst_memory.as_mut() }, fuel, to, from, left)
        } else {
            // SAFETY: they are distinct entities, so the references do not alias.
            let (to_memory, from_memory) = unsafe { (dst_memory.as_mut(), src_memory.as_ref()) };
            copy_memory(to_memory, from_memory, fuel, to, from, left)
        };
        match copied {
            (Bulk::Done, _) => {}
            (Bulk::Paused, done) => {
                args.set(dst, if backward { to } else { to + done });
                args.set(src, if backward { from } else { from + done });
                args.set(len, left - done);
                let required_fuel = piece_fuel(fuel, left - done);
                args.set_ip(ip);
                out_of_fuel!(store, args, required_fuel)
            }
            (Bulk::OutOfBounds, _) => trap!(TrapCode::MemoryOutOfBounds),
        }
        dispatch!(store, args)
    }
}

execution_handler! {
    fn memory_fill(
        store: &mut PrunedStore,
        ip: Ip,
        sp: Sp,
        mem0: Mem0Ptr,
        mem0_len: Mem0Len,
        instance: Inst,
        ireg: Ireg,
        freg32: Freg32,
        freg64: Freg64,
    ) -> Done = {
        let mut args = Args::from_parts(ip, sp, mem0, mem0_len, instance, ireg, freg32, freg64);
        let crate::ir::decode::MemoryFill {
            memory,
            dst,
            len,
            value,
        } = unsafe { args.decode_op() };
        let (to, left): (u64, u64) = (args.get(dst), args.get(len));
        let byte: u8 = args.get(value);
        // SAFETY: `instance` is live and warmed up; `memory` is the only entity that is accessed here.
        let memory = unsafe { instance.load_entity_ptr(memory).as_mut() };
        let fuel = store.inner_mut().fuel_mut();
        match fill_memory(memory, fuel, to, byte, left) {
            (Bulk::Done, _) => {}
            (Bulk::Paused, done) => {
                args.set(dst, to + done);
                args.set(len, left - done);
                let required_fuel = piece_fuel(fuel, left - done);
                args.set_ip(ip);
                out_of_fuel!(store, args, required_fuel)
            }
            (Bulk::OutOfBounds, _) => trap!(TrapCode::MemoryOutOfBounds),
        }
        dispatch!(store, args)
    }
}

execution_handler! {
    fn memory_init(
        store: &mut PrunedStore,
        ip: Ip,
        sp: Sp,
        mem0: Mem0Ptr,
        mem0_len: Mem0Len,
        instance: Inst,
        ireg: Ireg,
        freg32: Freg32,
        freg64: Freg64,
    ) -> Done = {
        let mut args = Args::from_parts(ip, sp, mem0, mem0_len, instance, ireg, freg32, freg64);
        let crate::ir::decode::MemoryInit {
            memory,
            data,
            dst,
            src,
            len,
        } = unsafe { args.decode_op() };
        let to: u64 = args.get(dst);
        let (from, left): (u32, u32) = (args.get(src), args.get(len));
        // SAFETY: `instance` is live and warmed up; memories and segments are of different arenas, so
        // the references do not alias.
        let memory = unsafe { instance.load_entity_ptr(memory).as_mut() };
        // SAFETY: as above.
        let data = unsafe { instance.load_entity_ptr(data).as_ref() };
        let fuel = store.inner_mut().fuel_mut();
        match write_memory(memory, fuel, to, data.bytes(), from, left) {
            (Bulk::Done, _) => {}
            (Bulk::Paused, done) => {
                args.set(dst, to + done);
                args.set(src, from + done as u32);
                args.set(len, left - done as u32);
                let required_fuel = piece_fuel(fuel, u64::from(left) - done);
                args.set_ip(ip);
                out_of_fuel!(store, args, required_fuel)
            }
            (Bulk::OutOfBounds, _) => trap!(TrapCode::MemoryOutOfBounds),
        }
        dispatch!(store, args)
    }
}

execution_handler! {
    fn data_drop(
