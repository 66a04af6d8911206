// Inserted into wasmi's `module/instantiate/mod.rs` by `build/edits.rs`: active segments in pieces, once their
// instance is made.

/// Bytes of a piece of a segment, as of bulk operations.
const PIECE_BYTES: usize = 64 * 1024;
/// Elements of a piece, which take about as long: each is an expression.
const PIECE_ELEMENTS: usize = 4 * 1024;
/// What a segment costs by itself, in units of fuel: about a nanosecond each.
const SEGMENT_FUEL: u64 = 64;
/// What each element costs.
const ELEMENT_FUEL: u64 = 6;
/// Bytes of data that cost one: their pages may be touched for the first time.
const BYTES_PER_FUEL: u64 = 2;

/// Evaluates constant expressions in an instance that is made.
struct InstanceContext<'a> {
    store: &'a StoreInner,
    entity: &'a InstanceEntity,
}

impl EvalContext for InstanceContext<'_> {
    fn get_global(&self, index: u32) -> Option<Val> {
        let global = self.entity.layout().global_addr(index)?;
        let value = self.store.resolve_global(&self.entity.get_global(global)?).get();
        Some(Val::from_raw_parts(value.raw(), value.ty(), self.store))
    }

    fn get_func(&self, index: u32) -> Option<Nullable<Func>> {
        let function = self.entity.layout().func_addr(index)?;
        Some(<Nullable<Func>>::from(self.entity.get_func(function)?))
    }
}

impl InstanceContext<'_> {
    /// The offset of a segment.
    fn offset(&self, offset: &ConstExpr) -> Option<usize> {
        let offset = match offset.eval(self)? {
            Val::I32(value) => u64::from(value as u32),
            Val::I64(value) => value as u64,
            _ => return None,
        };
        usize::try_from(offset).ok()
    }

    fn reference(&self, item: &ConstExpr) -> Option<RawRef> {
        item.eval(self)?.unwrap_raw_ref(self.store)
    }
}

/// Spends the cost of a piece, of the first one whatever it is.
fn spend(fuel: u64, spent: &mut u64, cost: u64) -> bool {
    let is_paid = *spent == 0 || fuel.saturating_sub(*spent) >= cost;
    *spent += if is_paid { cost } else { 0 };
    is_paid
}

impl Module {
    /// How many segments there are.
    pub(crate) fn segment_count(&self) -> usize {
        let data = self.inner.data_segments.into_iter().count();
        self.module_header().element_segments.len() + data
    }

    /// Elements or bytes of a segment that are to be applied; of those of elements first.
    pub(crate) fn active_length(&self, segment: usize) -> Option<usize> {
        let elements = &self.module_header().element_segments[..];
        if let Some(segment) = elements.get(segment) {
            return Some(match segment.kind() {
                ElementSegmentKind::Active(_) => segment.items().len(),
                ElementSegmentKind::Passive | ElementSegmentKind::Declared => 0,
            });
        }
        let data = self.inner.data_segments.into_iter().nth(segment - elements.len())?;
        Some(match data {
            InitDataSegment::Active { bytes, .. } => bytes.len(),
            InitDataSegment::Passive { .. } => 0,
        })
    }

    /// Applies active segments of `instance` from `position` on, until `fuel` is `spent`, at least one piece. Tells
    /// whether all are applied; `None` when one does not fit, which was checked when the instance was made.
    pub(crate) fn apply_segments(
        &self,
        store: &mut StoreInner,
        instance: Instance,
        position: &mut crate::additions::SegmentPosition,
        fuel: u64,
        spent: &mut u64,
    ) -> Option<bool> {
        let elements = &self.module_header().element_segments[..];
        while let Some(segment) = elements.get(position.segment as usize) {
            let ElementSegmentKind::Active(active) = segment.kind() else {
                position.next();
                continue;
            };
            let done = usize::try_from(position.done).ok()?;
            let rest = segment.items().get(done..)?;
            let piece = rest.get(..PIECE_ELEMENTS).unwrap_or(rest);
            let cost = SEGMENT_FUEL + ELEMENT_FUEL * piece.len() as u64;
            if !spend(fuel, spent, cost) {
                return Some(false);
            }
            Self::apply_elements(store, instance, active, done, piece)?;
            position.done += piece.len() as u64;
            if piece.len() == rest.len() {
                position.next();
            }
        }
        let first = (position.segment as usize).checked_sub(elements.len())?;
        for segment in self.inner.data_segments.into_iter().skip(first) {
            if let InitDataSegment::Active { memory_index, offset, bytes } = segment {
                loop {
                    let done = usize::try_from(position.done).ok()?;
                    let rest = bytes.get(done..)?;
                    let piece = rest.get(..PIECE_BYTES).unwrap_or(rest);
                    let cost = SEGMENT_FUEL + piece.len() as u64 / BYTES_PER_FUEL;
                    if !spend(fuel, spent, cost) {
                        return Some(false);
                    }
                    let memory = memory_index.into_u32();
                    Self::apply_data(store, instance, (memory, offset), done, piece)?;
                    position.done += piece.len() as u64;
                    if piece.len() == rest.len() {
                        break;
                    }
                }
            }
            position.next();
        }
        Some(true)
    }

    /// Writes some elements of a segment, of which `done` are written.
    fn apply_elements(
        store: &mut StoreInner,
        instance: Instance,
        active: &super::element::ActiveElementSegment,
        done: usize,
        items: &[ConstExpr],
    ) -> Option<()> {
        let entity = store.resolve_instance(&instance);
        let context = InstanceContext { store, entity };
        let table = entity.layout().table_addr(active.table_index().into_u32())?;
        let table = entity.get_table(table)?;
        let start = context.offset(active.offset())?.checked_add(done)?;
        let references = items.iter().map(|item| context.reference(item));
        let references: alloc::vec::Vec<RawRef> = references.collect::<Option<_>>()?;
        let table = store.resolve_table_mut(&table);
        let count = u32::try_from(references.len()).ok()?;
        let element = crate::core::CoreElementSegment::new(table.ty().element(), references);
        let start = u64::try_from(start).ok()?;
        table.init(element.as_ref(), start, 0, count, None).ok()
    }

    /// Writes some bytes of a segment of the memory and at the offset `to`, of which `done` are written.
    fn apply_data(
        store: &mut StoreInner,
        instance: Instance,
        to: (u32, &ConstExpr),
        done: usize,
        bytes: &[u8],
    ) -> Option<()> {
        let entity = store.resolve_instance(&instance);
        let context = InstanceContext { store, entity };
        let memory = entity.get_memory(entity.layout().memory_addr(to.0)?)?;
        let start = context.offset(to.1)?.checked_add(done)?;
        store.resolve_memory_mut(&memory).write(start, bytes).ok()
    }
}

