    // Inserted into wasmi's `store/inner.rs` by `build/edits.rs`: segments, which wasmi's own interface
    // does not reach.

    pub(crate) fn data_segment(&self, segment: &DataSegment) -> Option<&DataSegmentEntity> {
        self.resolve(segment.as_raw(), &self.datas).ok()
    }

    pub(crate) fn data_segment_mut(
        &mut self,
        segment: &DataSegment,
    ) -> Option<&mut DataSegmentEntity> {
        let index = *self.unwrap_stored(segment.as_raw()).ok()?;
        Self::resolve_mut(index, &mut self.datas).ok()
    }

    pub(crate) fn element_segment_mut(
        &mut self,
        segment: &ElementSegment,
    ) -> Option<&mut CoreElementSegment> {
        let index = *self.unwrap_stored(segment.as_raw()).ok()?;
        Self::resolve_mut(index, &mut self.elems).ok()
    }

