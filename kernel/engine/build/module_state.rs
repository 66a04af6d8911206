    // Inserted into wasmi's `module/mod.rs` by `build/edits.rs`: what a store's state is told of.

    /// Indices of the passive data segments that hold something.
    pub(crate) fn passive_data(&self) -> impl Iterator<Item = u32> + '_ {
        self.inner.data_segments.passive()
    }

    /// Indices of the passive element segments that hold something.
    pub(crate) fn passive_elements(&self) -> impl Iterator<Item = u32> + '_ {
        let segments = (0..).zip(&self.module_header().element_segments[..]);
        segments.filter_map(|(index, segment)| match segment.kind() {
            element::ElementSegmentKind::Passive if !segment.items().is_empty() => Some(index),
            _ => None,
        })
    }

    /// How many elements a segment lists.
    pub(crate) fn element_items(&self, segment: u32) -> usize {
        let segment = self.module_header().element_segments.get(segment as usize);
        segment.map_or(0, |segment| segment.items().len())
    }

    /// The types of the tables that the module defines itself, in order.
    pub(crate) fn defined_tables(&self) -> &[TableType] {
        let header = self.module_header();
        &header.tables[header.imports.len_tables..]
    }

