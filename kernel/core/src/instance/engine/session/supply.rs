//! What memories a session's modules want.

use crate::instance::engine::MemoryRequest;
use sos_engine::Module;

/// Bytes that one memory may grow to.
const ONE_MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// What the memories that `module` defines want, in order.
pub(super) fn requests(module: &Module) -> impl Iterator<Item = MemoryRequest> + '_ {
    module.defined_memories().map(|memory| {
        let page = |pages: u64| pages.saturating_mul(memory.page_bytes());
        let minimum_bytes = page(memory.minimum());
        let most = memory.maximum().map_or(u64::MAX, page);
        MemoryRequest {
            minimum_bytes,
            maximum_bytes: most.min(ONE_MEMORY_BYTES).max(minimum_bytes),
        }
    })
}
