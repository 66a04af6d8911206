//! Guest memories of a hosted node: reservations of address space whose pages Linux gives, zeroed, on
//! first touch (mmap(2)).
//!
//! A [`Pool`] counts what all of them hold. The kernel cannot see a touch here, so the count is taken
//! by asking Linux which pages are there (mincore(2)): when a listing wants it, and now and then at the
//! end of an instance's slice. An instance whose memory grew while the pool holds more than the node
//! was given is out of memory, as on bare metal, only some milliseconds later.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use sos_engine::RangeOwner;

/// Bytes of a page on x86_64.
const PAGE_BYTES: usize = 4096;
/// Pages asked about at a time.
const PAGES_PER_LOOK: usize = 16 << 10;
/// Least time between two looks at the end of slices.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What the memories of a node hold together.
#[derive(Debug)]
pub(super) struct Pool {
    limit_bytes: u64,
    resident_bytes: AtomicU64,
    started: Instant,
    /// When the last look at the end of a slice was, in nanoseconds since `started`.
    looked_ns: AtomicU64,
}

impl Pool {
    /// A pool that may hold this much.
    pub(super) fn new(limit_bytes: u64) -> Arc<Pool> {
        Arc::new(Pool {
            limit_bytes,
            resident_bytes: AtomicU64::new(0),
            started: Instant::now(),
            looked_ns: AtomicU64::new(0),
        })
    }

    /// What it may hold.
    pub(super) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// What it holds, as of the latest looks.
    pub(super) fn resident_bytes(&self) -> u64 {
        self.resident_bytes.load(Ordering::Relaxed)
    }

    /// Whether it is time for another look.
    fn is_due(&self) -> bool {
        let now_ns = self.started.elapsed().as_nanos() as u64;
        let due = now_ns.saturating_sub(self.looked_ns.load(Ordering::Relaxed))
            >= LOOK_INTERVAL.as_nanos() as u64;
        if due {
            self.looked_ns.store(now_ns, Ordering::Relaxed);
        }
        due
    }
}

/// The reservation of one memory.
#[derive(Debug)]
pub(super) struct Range {
    base: *mut u8,
    /// Reserved: whole pages.
    mapped_bytes: usize,
    length: usize,
    /// What the last look found.
    resident_bytes: AtomicU64,
    pool: Arc<Pool>,
}

// SAFETY: the mapping belongs to this value alone and to no thread.
unsafe impl Send for Range {}

// SAFETY: `new` mapped `mapped_bytes` >= `length` bytes at `base`, readable and writable, anonymous and
// so zero until written; nobody else knows the address, and only `drop` unmaps it.
unsafe impl RangeOwner for Range {
    fn base(&self) -> *mut u8 {
        self.base
    }

    fn len(&self) -> usize {
        self.length
    }

    fn resident_bytes(&self) -> usize {
        self.look() as usize
    }

    fn take_exhausted(&self) -> bool {
        if !self.pool.is_due() {
            return false;
        }
        let before = self.resident_bytes.load(Ordering::Relaxed);
        self.look() > before && self.pool.resident_bytes() > self.pool.limit_bytes
    }
}

impl Range {
    /// Reserves `length` bytes, of which none is there yet.
    pub(super) fn new(length: usize, pool: Arc<Pool>) -> io::Result<Range> {
        let mapped_bytes = length
            .max(1)
            .checked_next_multiple_of(PAGE_BYTES)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        let kind = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a mapping at an address of Linux's choice touches no memory in use.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), mapped_bytes, rights, kind) }?;
        Ok(Range {
            base: base.cast(),
            mapped_bytes,
            length,
            resident_bytes: AtomicU64::new(0),
            pool,
        })
    }

    /// Counts the pages that are there.
    fn look(&self) -> u64 {
        let mut pages = [0; PAGES_PER_LOOK];
        let mut found = 0;
        for start in (0..self.mapped_bytes).step_by(PAGES_PER_LOOK * PAGE_BYTES) {
            let length = (self.mapped_bytes - start).min(PAGES_PER_LOOK * PAGE_BYTES);
            let pages = &mut pages[..length / PAGE_BYTES];
            // SAFETY: the addresses lie in the mapping; Linux writes one byte for each of their pages,
            // and `pages` has as many.
            let result =
                unsafe { libc::mincore(self.base.add(start).cast(), length, pages.as_mut_ptr()) };
            if result == 0 {
                found += pages.iter().filter(|&&page| page & 1 != 0).count();
            }
        }
        let found_bytes = (found * PAGE_BYTES) as u64;
        self.note(found_bytes);
        found_bytes
    }

    /// Corrects the pool's sum by what was found.
    fn note(&self, found_bytes: u64) {
        let before = self.resident_bytes.swap(found_bytes, Ordering::Relaxed);
        let change = found_bytes.wrapping_sub(before);
        self.pool
            .resident_bytes
            .fetch_add(change, Ordering::Relaxed);
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        self.note(0);
        // SAFETY: `new` made exactly this mapping, and the owner of the range is its last user.
        let result = unsafe { munmap(self.base.cast(), self.mapped_bytes) };
        debug_assert!(result.is_ok(), "munmap: {result:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(range: &Range, offset: usize) -> u8 {
        assert!(offset < range.len());
        // SAFETY: the offset lies in the range, which only this test uses.
        unsafe {
            let byte = range.base().add(offset);
            let found = byte.read_volatile();
            byte.write_volatile(1);
            found
        }
    }

    #[test]
    fn pages_are_zero_come_on_touch_and_go_with_their_range() {
        let pool = Pool::new(1 << 30);
        let range = Range::new(4 << 30, pool.clone()).unwrap();
        assert_eq!(range.resident_bytes(), 0);
        let offsets = [0, 100 << 20, (4 << 30) - 1];
        for offset in offsets {
            assert_eq!(touch(&range, offset), 0);
        }
        // Linux may give a huge page where one small one is touched.
        let resident = range.resident_bytes();
        assert!(
            (3 * PAGE_BYTES..=3 * (2 << 20)).contains(&resident),
            "{resident}"
        );
        assert_eq!(pool.resident_bytes(), resident as u64);
        assert_eq!(touch(&range, 0), 1);
        drop(range);
        assert_eq!(pool.resident_bytes(), 0);
    }

    #[test]
    fn a_range_that_grows_beyond_the_pool_is_exhausted() {
        let pool = Pool::new(1 << 20);
        let range = Range::new(64 << 20, pool.clone()).unwrap();
        let looked = || {
            pool.looked_ns.store(0, Ordering::Relaxed);
            std::thread::sleep(LOOK_INTERVAL);
            range.take_exhausted()
        };
        assert!(!looked());
        for offset in (0..32 << 20).step_by(PAGE_BYTES) {
            touch(&range, offset);
        }
        assert!(looked());
        // It has not grown since.
        assert!(!looked());
    }
}
