//! A simulated node's memory: who holds how much of it, and when it plays that there is none.

use sos_core::machine::FrozenMemory;
use sos_engine::{CopiedImage, FreezeError, HeapWatch, PAGE_BYTES};
use std::any::Any;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The account of one machine.
#[derive(Debug)]
pub struct Account {
    total_bytes: AtomicU64,
    held_bytes: AtomicU64,
    images: AtomicU64,
    /// Which of the questions are answered with none.
    shortage: Mutex<Range<u64>>,
    questions: AtomicU64,
}

/// Bytes that a guest memory or an image of one holds, given back when it is dropped.
#[derive(Debug)]
pub struct Holding {
    bytes: u64,
    holder: Holder,
    account: Arc<Account>,
}

#[derive(Debug, PartialEq, Eq)]
enum Holder {
    Memory,
    Image,
}

impl Account {
    /// An account of so many bytes.
    pub fn new(total_bytes: u64) -> Arc<Account> {
        Arc::new(Account {
            total_bytes: AtomicU64::new(total_bytes),
            held_bytes: AtomicU64::new(0),
            images: AtomicU64::new(0),
            shortage: Mutex::new(0..0),
            questions: AtomicU64::new(0),
        })
    }

    /// All that guests may hold and that is left to the kernel.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes.load(Ordering::Relaxed)
    }

    /// Makes the memory larger or smaller.
    pub fn set_total_bytes(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Says which of the [questions](Account::questions) find no memory.
    pub fn set_shortage(&self, questions: Range<u64>) {
        *self.shortage.lock().unwrap_or_else(PoisonError::into_inner) = questions;
    }

    /// How often the kernel asked for free memory, or took some.
    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    /// Images of guest memories that are there.
    pub fn images(&self) -> u64 {
        self.images.load(Ordering::Relaxed)
    }

    /// What nobody holds.
    pub fn free_bytes(&self) -> u64 {
        let number = self.questions.fetch_add(1, Ordering::Relaxed);
        let shortage = self.shortage.lock().unwrap_or_else(PoisonError::into_inner);
        if shortage.contains(&number) {
            return 0;
        }
        let held_bytes = self.held_bytes.load(Ordering::Relaxed);
        self.total_bytes().saturating_sub(held_bytes)
    }

    /// Takes `bytes` for a guest memory, if there are so many.
    pub fn hold_memory(self: &Arc<Account>, bytes: u64) -> Option<Holding> {
        self.hold(bytes, Holder::Memory)
    }

    fn hold(self: &Arc<Account>, bytes: u64, holder: Holder) -> Option<Holding> {
        if bytes > self.free_bytes() {
            return None;
        }
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        if holder == Holder::Image {
            self.images.fetch_add(1, Ordering::Relaxed);
        }
        Some(Holding {
            bytes,
            holder,
            account: self.clone(),
        })
    }

    /// Fails the test when `frozen` is not an image of this machine: between machines, and over a
    /// power cut, a memory travels as bytes.
    pub fn check_origin(self: &Arc<Account>, frozen: &FrozenMemory) {
        let beside = frozen.image().map(CopiedImage::beside);
        let holding = beside.and_then(|beside| beside.downcast_ref::<Holding>());
        assert!(
            holding.is_some_and(|holding| Arc::ptr_eq(&holding.account, self)),
            "an image was mapped on a machine on which it was not made"
        );
    }
}

impl HeapWatch for Holding {
    fn freeze(
        &mut self,
        _page_count: usize,
        copied_count: usize,
    ) -> Result<Box<dyn Any + Send + Sync>, FreezeError> {
        let bytes = (copied_count * PAGE_BYTES) as u64;
        let holding = self.account.hold(bytes, Holder::Image);
        Ok(Box::new(holding.ok_or(FreezeError::OutOfMemory)?))
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let account = &self.account;
        account.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.holder == Holder::Image {
            account.images.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::machine::{SimClock, SimMachine};
    use sos_core::machine::{Machine, ReserveError};

    const PAGE: [u8; PAGE_BYTES] = [7; PAGE_BYTES];

    fn machine() -> SimMachine {
        SimMachine::new(Arc::new(SimClock::default()), 0, 1)
    }

    #[test]
    fn images_and_clones_are_accounted_for_and_given_back() {
        let mut machine = machine();
        let account = machine.memory.clone();
        account.set_total_bytes(1 << 20);
        let mut memory = machine.reserve_memory(65_536).unwrap();
        memory.load_page(3, &PAGE).unwrap();
        let frozen = memory.freeze(65_536).unwrap();
        assert_eq!(account.free_bytes(), (1 << 20) - 65_536 - PAGE_BYTES as u64);
        let mut copy = machine.map_frozen(&frozen, 65_536).unwrap();
        assert_eq!(
            account.free_bytes(),
            (1 << 20) - 2 * 65_536 - PAGE_BYTES as u64
        );
        assert_eq!(account.images(), 1);
        assert_eq!(copy.freeze(65_536).unwrap().page(3), Some(&PAGE));
        let small = machine.map_frozen(&frozen, 4096).unwrap_err();
        assert!(matches!(small, ReserveError::TooSmall { .. }), "{small}");
        drop((memory, frozen, copy));
        assert_eq!(account.images(), 0);
        assert_eq!(account.free_bytes(), 1 << 20);
    }

    #[test]
    fn a_freeze_in_a_shortage_is_refused_and_forgets_nothing() {
        let mut machine = machine();
        let account = machine.memory.clone();
        let mut memory = machine.reserve_memory(65_536).unwrap();
        memory.load_page(0, &PAGE).unwrap();
        account.set_shortage(0..u64::MAX);
        assert_eq!(memory.freeze(65_536).unwrap_err(), FreezeError::OutOfMemory);
        account.set_shortage(0..0);
        let frozen = memory.freeze(65_536).unwrap();
        assert_eq!((frozen.sequence(), frozen.count_written()), (1, 1));
    }

    #[test]
    #[should_panic(expected = "on which it was not made")]
    fn an_image_of_another_machine_is_not_mapped() {
        let mut memory = machine().reserve_memory(65_536).unwrap();
        let frozen = memory.freeze(65_536).unwrap();
        let _ = machine().map_frozen(&frozen, 65_536);
    }
}
