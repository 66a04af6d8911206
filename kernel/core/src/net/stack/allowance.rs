//! How much of the node's memory new socket buffers and what is written to files may take.
//!
//! Both come from the kernel's heap, where a failure would end the node. So the kernel tells all
//! instances together what is left, and none takes more. The kernel renews the figure
//! from the machine's own before long; hence nothing is given back here.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

/// The bytes that all stacks of a node may still take. Clones share one figure.
#[derive(Debug, Clone)]
pub struct Allowance(Arc<AtomicU64>);

impl Allowance {
    /// An allowance of this many bytes.
    pub fn new(bytes: u64) -> Allowance {
        Allowance(Arc::new(AtomicU64::new(bytes)))
    }

    /// An allowance that does not end, for a stack outside a node.
    pub fn unlimited() -> Allowance {
        Allowance::new(u64::MAX)
    }

    /// Sets what is left.
    pub fn renew(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// What is left.
    pub fn left_bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts `bytes` that were taken, at most what was left.
    pub fn spend(&self, bytes: u64) {
        self.renew(self.left_bytes().saturating_sub(bytes));
    }

    /// Takes `bytes`, or nothing when fewer are left.
    #[must_use]
    pub(super) fn take(&self, bytes: usize) -> bool {
        // One CPU owns all stacks: nobody takes between the two accesses.
        let left = self.left_bytes().checked_sub(bytes as u64);
        left.inspect(|&left| self.renew(left)).is_some()
    }
}
