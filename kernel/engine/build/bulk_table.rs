// Inserted into wasmi's `exec.rs` by `build/edits.rs` in place of its handlers: see `bulk.rs`.

execution_handler! {
    fn table_copy(
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
        let crate::ir::decode::TableCopy {
            dst_table,
            src_table,
            dst,
            src,
            len,
        } = unsafe { args.decode_op() };
        let (to, from, left): (u64, u64, u64) = (args.get(dst), args.get(src), args.get(len));
        // SAFETY: `instance` is live and warmed up while a handler runs.
        let src_table = unsafe { instance.load_entity_ptr(src_table) };
        // SAFETY: as above.
        let mut dst_table = unsafe { instance.load_entity_ptr(dst_table) };
        let fuel = store.inner_mut().fuel_mut();
        // Two indices may mean one table.
        let within = src_table == dst_table;
        let backward = within && is_backward(to, from, left);
        let copied = if within {
            // SAFETY: it is the only entity that is accessed here.
            copy_table_within(unsafe { dst_table.as_mut() }, fuel, to, from, left)
        } else {
            // SAFETY: they are distinct entities, so the references do not alias.
            let (to_table, from_table) = unsafe { (dst_table.as_mut(), src_table.as_ref()) };
            copy_table(to_table, from_table, fuel, to, from, left)
        };
        match copied {
            (Bulk::Done, _) => {}
            (Bulk::Paused, done) => {
                args.set(dst, if backward { to } else { to + done });
                args.set(src, if backward { from } else { from + done });
                args.set(len, left - done);
                let required_fuel = piece_fuel(fuel, (left - done).saturating_mul(size_of::<RawRef>() as u64));
                args.set_ip(ip);
                out_of_fuel!(store, args, required_fuel)
            }
            (Bulk::OutOfBounds, _) => trap!(TrapCode::TableOutOfBounds),
        }
        dispatch!(store, args)
    }
}

execution_handler! {
    fn table_fill(
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
        let crate::ir::decode::TableFill {
            table,
            dst,
            len,
            value,
        } = unsafe { args.decode_op() };
        let (to, left): (u64, u64) = (args.get(dst), args.get(len));
        let element: RawRef = args.get(value);
        // SAFETY: `instance` is live and warmed up; `table` is the only entity that is accessed here.
        let table = unsafe { instance.load_entity_ptr(table).as_mut() };
        let fuel = store.inner_mut().fuel_mut();
        match fill_table(table, fuel, to, element, left) {
            (Bulk::Done, _) => {}
            (Bulk::Paused, done) => {
                args.set(dst, to + done);
                args.set(len, left - done);
                let required_fuel = piece_fuel(fuel, (left - done).saturating_mul(size_of::<RawRef>() as u64));
                args.set_ip(ip);
                out_of_fuel!(store, args, required_fuel)
            }
            (Bulk::OutOfBounds, _) => trap!(TrapCode::TableOutOfBounds),
        }
        dispatch!(store, args)
    }
}

execution_handler! {
    fn table_init(
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
        let crate::ir::decode::TableInit {
            table,
            elem,
            dst,
            src,
            len,
        } = unsafe { args.decode_op() };
        let to: u64 = args.get(dst);
        let (from, left): (u32, u32) = (args.get(src), args.get(len));
        // SAFETY: `instance` is live and warmed up; tables and segments are of different arenas, so the
        // references do not alias.
        let table = unsafe { instance.load_entity_ptr(table).as_mut() };
        // SAFETY: as above.
        let element = unsafe { instance.load_entity_ptr(elem).as_ref() };
        let fuel = store.inner_mut().fuel_mut();
        match init_table(table, element, fuel, to, from, left) {
            (Bulk::Done, _) => {}
            (Bulk::Paused, done) => {
                args.set(dst, to + done);
                args.set(src, from + done as u32);
                args.set(len, left - done as u32);
                let required_fuel = piece_fuel(fuel, (u64::from(left) - done) * size_of::<RawRef>() as u64);
                args.set_ip(ip);
                out_of_fuel!(store, args, required_fuel)
            }
            (Bulk::OutOfBounds, _) => trap!(TrapCode::TableOutOfBounds),
        }
        dispatch!(store, args)
    }
}

execution_handler! {
    fn elem_drop(
