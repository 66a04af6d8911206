    // Inserted into wasmi's `translator/func/mod.rs` by `build/frame_edits.rs`: tells the recorder of
    // frame maps what the translator knows at a safepoint. No code is emitted.

    /// Begins the frame map; locals and operands are known from here.
    fn begin_frames(&mut self, fuel_pos: Option<Pos<ir::BlockFuel>>) {
        let locals = (0..self.locals.len()).map(|index| self.locals.ty(LocalIdx::from(index as u32)));
        self.frames.begin(self.func.into_u32(), locals);
        self.record_pause(crate::frames::Kind::Entry, fuel_pos);
    }

    /// A point that runs out of fuel at the operator whose charge is at `fuel_pos`.
    fn record_pause(&mut self, kind: crate::frames::Kind, fuel_pos: Option<Pos<ir::BlockFuel>>) {
        let Some(fuel_pos) = fuel_pos else { return };
        // The operator's handler precedes the amount.
        let offset = usize::from(encoder::BytePos::from(fuel_pos)) - size_of::<usize>();
        self.record_frame(kind, offset, 0);
    }

    /// A call of the function that was just encoded; its results are pushed.
    fn record_call(&mut self, function: u32) {
        if self.reachable {
            let results = self.resolve_func_type_with(FuncIdx::from(function), FuncType::len_results);
            self.record_frame(
                crate::frames::Kind::CallFunction(function),
                self.next_offset(),
                results.into(),
            );
        }
    }

    /// The same for a call through a table.
    fn record_indirect_call(&mut self, type_index: u32) {
        if self.reachable {
            let results = self.resolve_type(type_index).len_results();
            let callee = u32::from(self.resolve_dedup_type(type_index));
            self.record_frame(
                crate::frames::Kind::CallOfType(callee),
                self.next_offset(),
                results.into(),
            );
        }
    }

    /// The operator that comes next may run out of fuel within and be executed again; its operands
    /// were popped, and lie in cells of their own.
    fn record_again(&mut self) -> Result<(), Error> {
        let mut operands = mem::take(&mut self.again);
        operands.sort_unstable_by_key(|(slot, _)| u16::from(*slot));
        for (_, ty) in &operands {
            self.stack.push_temp(*ty, Allocation::None)?;
        }
        self.record_frame(crate::frames::Kind::Again, self.next_offset(), 0);
        for _ in &operands {
            self.stack.pop();
        }
        operands.clear();
        self.again = operands;
        Ok(())
    }

    /// Where the next operator will be.
    fn next_offset(&self) -> usize {
        let end = self.instrs.encoded_ops().len();
        end.next_multiple_of(crate::frames::CODE_UNIT)
    }

    /// Records all operands but the uppermost `left_out`.
    fn record_frame(&mut self, kind: crate::frames::Kind, offset: usize, left_out: usize) {
        let Self { frames, stack, .. } = self;
        let height = stack.height() - left_out;
        let register = |ty| stack.local_in_register(ty).map(u32::from);
        let point = crate::frames::Point {
            kind,
            offset,
            registers: [ValType::I64, ValType::F32, ValType::F64].map(register),
            height,
            kept: stack.recorded_operands(),
        };
        let total = stack.height();
        let is_recorded = frames.record(point, stack.settled_operands(), |index| {
            let operand = stack.peek(total - 1 - index);
            let place = match operand {
                Operand::Local(local) => crate::frames::Place::Local(local.local_index().into()),
                Operand::Temp(temp) if temp.in_reg() => crate::frames::Place::Register,
                Operand::Temp(_) => crate::frames::Place::Cells,
                Operand::Immediate(value) => {
                    let bits = crate::V128::from(value.val().raw()).as_u128();
                    crate::frames::Place::Constant(bits)
                }
            };
            crate::frames::Operand { value_type: operand.ty(), place }
        });
        if is_recorded {
            stack.set_recorded_operands(height);
        }
    }

