//! A ring on the heap: what of one its producer and its consumer need.

use core::sync::atomic::AtomicU64;
use shm_layout::ring::{Consumer, Producer, Slot};

/// Slots that nobody has written.
pub fn slots(count: usize) -> Vec<Slot<AtomicU64>> {
    (0..count).map(|_| Slot(core::array::from_fn(|_| AtomicU64::new(0)))).collect()
}

/// Its claim word and its slots.
pub struct Ring {
    pub claim: AtomicU64,
    pub slots: Vec<Slot<AtomicU64>>,
}

impl Ring {
    pub fn new(count: usize) -> Self {
        Self { claim: AtomicU64::new(0), slots: slots(count) }
    }
    pub fn producer(&self) -> Producer<'_, AtomicU64> {
        Producer::new(&self.claim, &self.slots).expect("a power of two")
    }
    pub fn consumer(&self) -> Consumer<'_, AtomicU64> {
        Consumer::new(&self.slots).expect("a power of two")
    }
}
