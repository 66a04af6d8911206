//! Guest memories of a hosted node: reservations of address space whose pages Linux gives, zeroed, on
//! first touch (mmap(2)).
//!
//! A [`Pool`] counts what all of them hold. The kernel cannot see a touch here, so the count is taken
//! by asking Linux which pages are there (mincore(2)): when a listing wants it, and now and then at the
//! end of an instance's slice. An instance whose memory grew while the pool holds more than the node
//! was given is out of memory, as on bare metal, only some milliseconds later. For the same reason
//! images are copies ([`Shadow`]), and so is what begins as one.

use std::any::Any;
use std::io;
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use sos_engine::{FreezeError, FrozenImage, FrozenMemory, PAGE_BYTES, RangeOwner, Shadow};

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

    /// Takes `bytes` for an image, if there are so many.
    fn hold_image(self: &Arc<Pool>, bytes: u64) -> Option<ImageBytes> {
        let held = self.resident_bytes.fetch_add(bytes, Ordering::Relaxed);
        let pool = self.clone();
        let holding = ImageBytes { bytes, pool };
        (held.saturating_add(bytes) <= self.limit_bytes).then_some(holding)
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
    shadow: Shadow,
    pool: Arc<Pool>,
}

/// What an image holds of its pool.
#[derive(Debug)]
struct ImageBytes {
    bytes: u64,
    pool: Arc<Pool>,
}

impl Drop for ImageBytes {
    fn drop(&mut self) {
        let held = &self.pool.resident_bytes;
        held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
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

    fn freeze(&mut self, size_bytes: usize) -> Result<Arc<dyn FrozenImage>, FreezeError> {
        let bytes = self.length.min(size_bytes);
        let mut there = Vec::new();
        self.for_each_page(|index| there.push(index));
        let present = there
            .into_iter()
            .take_while(|index| index * PAGE_BYTES < bytes);
        let compared = self.shadow.compare(present.map(|index| {
            let start = index * PAGE_BYTES;
            let length = (bytes - start).min(PAGE_BYTES);
            // SAFETY: the bytes lie in the mapping, and `&mut self` says that nobody writes them.
            (index, unsafe {
                slice::from_raw_parts(self.base.add(start), length)
            })
        }));
        let copied_bytes = (compared.copied_count() * PAGE_BYTES) as u64;
        let held = self.pool.hold_image(copied_bytes);
        let held: Box<dyn Any + Send + Sync> = Box::new(held.ok_or(FreezeError::OutOfMemory)?);
        Ok(self.shadow.image(compared, self.length, held))
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
            shadow: Shadow::default(),
            pool,
        })
    }

    /// Reserves `length` bytes that begin as `frozen`.
    pub(super) fn copy_of(
        frozen: &FrozenMemory,
        length: usize,
        pool: Arc<Pool>,
    ) -> io::Result<Range> {
        let mut range = Range::new(length, pool)?;
        for page in frozen.pages() {
            let start = page.index * PAGE_BYTES;
            let count = range.mapped_bytes.saturating_sub(start).min(PAGE_BYTES);
            // SAFETY: `count` bytes from `start` on lie in the mapping, which nobody else knows yet.
            unsafe {
                let place = range.base.wrapping_add(start);
                place.copy_from_nonoverlapping(page.bytes.as_ptr(), count);
            }
        }
        range.shadow = Shadow::of(frozen);
        range.look();
        Ok(range)
    }

    /// Counts the pages that are there.
    fn look(&self) -> u64 {
        let mut found = 0;
        self.for_each_page(|_| found += 1);
        let found_bytes = (found * PAGE_BYTES) as u64;
        self.note(found_bytes);
        found_bytes
    }

    /// Calls `with` for the index of each page that is there, in order.
    fn for_each_page(&self, mut with: impl FnMut(usize)) {
        let mut pages = [0; PAGES_PER_LOOK];
        for start in (0..self.mapped_bytes).step_by(PAGES_PER_LOOK * PAGE_BYTES) {
            let length = (self.mapped_bytes - start).min(PAGES_PER_LOOK * PAGE_BYTES);
            let pages = &mut pages[..length / PAGE_BYTES];
            // SAFETY: the addresses lie in the mapping; Linux writes one byte for each of their pages,
            // and `pages` has as many.
            let result =
                unsafe { libc::mincore(self.base.add(start).cast(), length, pages.as_mut_ptr()) };
            if result == 0 {
                let there = (0..pages.len()).filter(|&page| pages[page] & 1 != 0);
                there.for_each(|page| with(start / PAGE_BYTES + page));
            }
        }
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
    use sos_engine::GuestMemory;

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
    fn an_image_keeps_what_the_range_held_and_says_what_was_written() {
        let pool = Pool::new(1 << 30);
        let range = Range::new(1 << 30, pool.clone()).unwrap();
        for offset in [0, 5 * PAGE_BYTES, 700 << 20] {
            touch(&range, offset);
        }
        let mut memory = GuestMemory::new(Box::new(range));
        let first = memory.freeze(1 << 30).unwrap();
        assert_eq!(first.page_count(), 3);
        memory.load_page(5, &[9; PAGE_BYTES]).unwrap();
        let second = memory.freeze(1 << 30).unwrap();
        let written: Vec<usize> = second
            .pages()
            .filter(|page| page.written)
            .map(|page| page.index)
            .collect();
        assert_eq!(written, [5]);
        assert_eq!(first.page(5).unwrap()[..2], [1, 0]);
        assert!(second.same_page(&first, 0) && !second.same_page(&first, 5));

        let clone = Range::copy_of(&second, 1 << 30, pool.clone()).unwrap();
        assert_eq!(touch(&clone, 5 * PAGE_BYTES), 9);
        assert_eq!(touch(&clone, 700 << 20), 1);
        assert_eq!(second.page(5).unwrap()[0], 9);
        drop((memory, first, second, clone));
        assert_eq!(pool.resident_bytes(), 0);
    }

    #[test]
    fn an_image_beyond_the_pool_is_refused() {
        let pool = Pool::new(3 << 19);
        let range = Range::new(1 << 20, pool.clone()).unwrap();
        for offset in (0..1 << 20).step_by(PAGE_BYTES) {
            touch(&range, offset);
        }
        let mut memory = GuestMemory::new(Box::new(range));
        assert_eq!(memory.resident_bytes(), 1 << 20);
        assert_eq!(
            memory.freeze(1 << 20).unwrap_err(),
            FreezeError::OutOfMemory
        );
        assert_eq!(pool.resident_bytes(), 1 << 20);
        assert_eq!(memory.freeze(1 << 18).unwrap().page_count(), 64);
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
