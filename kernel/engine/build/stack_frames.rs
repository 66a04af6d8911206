    // Inserted into wasmi's `state.rs` by `build/frame_edits.rs`: a suspended stack, to read and to make
    // again. `src/frames` knows what the cells mean.

    /// Each call, outermost first: where its code goes on, its first cell, and the instance to
    /// return to when its caller runs in another.
    pub(crate) fn suspended_calls(
        &self,
    ) -> impl ExactSizeIterator<Item = (usize, usize, Option<Inst>)> + Clone + '_ {
        let calls = self.frames.frames.iter();
        calls.map(|frame| (frame.ip.value.addr(), frame.start.0, frame.instance))
    }

    /// The instance that the innermost call runs in.
    pub(crate) fn running_instance(&self) -> Option<Inst> {
        self.frames.instance
    }

    /// How many cells there are.
    pub(crate) fn cell_count(&self) -> usize {
        self.values.cells.len()
    }

    /// The cell at `index`.
    pub(crate) fn cell(&self, index: usize) -> Option<u64> {
        self.values.cells.get(index).map(|cell| u64::from(*cell))
    }

    /// The bits of the cells from `start` on.
    pub(crate) fn cells_from(&self, start: usize) -> &[Cell] {
        self.values.cells.get(start..).unwrap_or_default()
    }

    /// Sets the cell at `index`, which must exist.
    pub(crate) fn set_cell(&mut self, index: usize, bits: u64) -> Option<()> {
        *self.values.cells.get_mut(index)? = Cell::from(bits);
        Some(())
    }

    /// Has at least `count` cells; new ones are zero.
    pub(crate) fn extend_cells(&mut self, count: usize) -> Result<(), TrapCode> {
        let before = self.values.cells.len();
        self.values.grow_if_needed(SpOffset(count))?;
        if let Some(new) = self.values.cells.get_mut(before..) {
            new.fill(Cell::default());
        }
        Ok(())
    }

    /// Adds a call at `code`, whose cells begin at `start`, in `instance`.
    ///
    /// # Safety
    ///
    /// `code` must be at an operator of code that outlives the stack, the cells of the calls must be
    /// as that code expects them, and `instance` must be a live one of the store that will resume.
    pub(crate) unsafe fn push_suspended_call(
        &mut self,
        code: *const u8,
        start: usize,
        instance: Inst,
    ) -> Result<(), TrapCode> {
        let calls = &mut self.frames;
        if calls.frames.len() == calls.max_height {
            return Err(TrapCode::StackOverflow);
        }
        let caller = calls.instance.replace(instance);
        let instance = caller.filter(|caller| *caller != instance);
        calls.frames.push(Frame { ip: Ip { value: code }, start: SpOffset(start), instance });
        Ok(())
    }

    /// The bits of the integer, `f32` and `f64` registers.
    pub(crate) fn register_bits(&self) -> [u64; 3] {
        let (ireg, freg32, freg64) = self.regs();
        let floats = (f32::from(freg32).to_bits(), f64::from(freg64).to_bits());
        [u64::from(ireg), floats.0.into(), floats.1]
    }

    /// Sets the bits of the integer, `f32` and `f64` registers.
    pub(crate) fn set_register_bits(&mut self, [ireg, freg32, freg64]: [u64; 3]) {
        self.sync_regs(
            Ireg::from(ireg),
            Freg32::from(f32::from_bits(freg32 as u32)),
            Freg64::from(f64::from_bits(freg64)),
        );
    }

