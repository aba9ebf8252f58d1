//! The one 64-bit atomic that every layout is made of, as a trait.
//!
//! The algorithms ([`ring`](crate::ring), [`seqlock`](crate::seqlock)) are generic over it, so that loom checks the very
//! code that runs on mapped memory. Orderings are arguments, as in `core`: each call site says its own.

use core::sync::atomic::Ordering;

/// A 64-bit atomic word.
pub trait Word64: Sized {
    /// Atomic load.
    fn load(&self, order: Ordering) -> u64;
    /// Atomic store.
    fn store(&self, value: u64, order: Ordering);
    /// Atomic compare-and-swap that may fail spuriously.
    ///
    /// # Errors
    /// The value found, when it was not `current` (or for no reason at all).
    fn compare_exchange_weak(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64>;
    /// Atomic addition, wrapping; the value before.
    fn fetch_add(&self, value: u64, order: Ordering) -> u64;
    /// A fence of the same memory model.
    fn fence(order: Ordering);
}

impl Word64 for core::sync::atomic::AtomicU64 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }
    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
    #[inline(always)]
    fn compare_exchange_weak(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        self.compare_exchange_weak(current, new, success, failure)
    }
    #[inline(always)]
    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.fetch_add(value, order)
    }
    #[inline(always)]
    fn fence(order: Ordering) {
        core::sync::atomic::fence(order);
    }
}

#[cfg(loom)]
impl Word64 for loom::sync::atomic::AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
    fn compare_exchange_weak(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        self.compare_exchange_weak(current, new, success, failure)
    }
    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.fetch_add(value, order)
    }
    fn fence(order: Ordering) {
        loom::sync::atomic::fence(order);
    }
}
