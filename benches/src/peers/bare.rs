//! The limit: a ring of 64-byte slots that does nothing else. One producer, stamps in the slots, and a consumer that clears
//! the line that it has read.

use super::{Drain, Push, SLOTS, words};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// One cache line.
#[repr(align(64))]
#[derive(Debug, Default)]
pub struct Slot([AtomicU64; 8]);

/// A word on lines of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Line(AtomicU64);

/// Where the ring's slots are: on the heap, or in a file that two processes map.
pub trait Slots: Send {
    /// The slots, a power of two of them.
    fn slots(&self) -> &[Slot];
}

impl Slots for Arc<[Slot]> {
    fn slots(&self) -> &[Slot] {
        self
    }
}

/// A ring on the heap.
pub fn heap() -> Arc<[Slot]> {
    (0..SLOTS).map(|_| Slot::default()).collect()
}

#[inline(always)]
fn fill(slot: &Slot, n: u64, stamp: u64) {
    let words = words(n);
    let put = |at: usize| slot.0[at].store(words[at], Relaxed);
    put(1);
    put(2);
    put(3);
    put(4);
    put(5);
    put(6);
    put(7);
    // Publishes the words; pairs with the Acquire in `drain`.
    slot.0[0].store(stamp, Release);
}

/// Pushes with plain stores: the position is the producer's own.
#[derive(Debug)]
pub struct Plain<S> {
    slots: S,
    next: u64,
}

impl<S: Slots> Plain<S> {
    /// Over these slots.
    pub fn new(slots: S) -> Self {
        Self { slots, next: 0 }
    }
}

impl<S: Slots> Push for Plain<S> {
    #[inline(always)]
    fn push(&mut self, n: u64) -> bool {
        let slots = self.slots.slots();
        let slot = &slots[self.next as usize & (slots.len() - 1)];
        // Taken over from the consumer, which has cleared it.
        if slot.0[0].load(Acquire) != 0 {
            return false;
        }
        self.next += 1;
        fill(slot, n, self.next);
        true
    }
}

/// Claims its slot with a compare-and-swap, as many producers have to: what the locked instruction costs by itself.
#[derive(Debug)]
pub struct Claiming {
    slots: Arc<[Slot]>,
    claim: Arc<Line>,
}

impl Claiming {
    /// Over these slots.
    pub fn new(slots: Arc<[Slot]>) -> Self {
        Self { slots, claim: Arc::default() }
    }
}

impl Push for Claiming {
    #[inline(always)]
    fn push(&mut self, n: u64) -> bool {
        loop {
            let next = self.claim.0.load(Relaxed);
            let slot = &self.slots[next as usize & (self.slots.len() - 1)];
            if slot.0[0].load(Acquire) != 0 {
                return false;
            }
            if self.claim.0.compare_exchange_weak(next, next + 1, Relaxed, Relaxed).is_ok() {
                fill(slot, n, next + 1);
                return true;
            }
        }
    }
}

/// Reads, and clears each line that it has read.
#[derive(Debug)]
pub struct Reader<S> {
    slots: S,
    next: u64,
}

impl<S: Slots> Reader<S> {
    /// Over these slots.
    pub fn new(slots: S) -> Self {
        Self { slots, next: 0 }
    }
}

impl<S: Slots> Drain for Reader<S> {
    fn drain(&mut self, mut each: impl FnMut(u64)) -> u64 {
        let slots = self.slots.slots();
        let from = self.next;
        loop {
            let slot = &slots[self.next as usize & (slots.len() - 1)];
            // The words are visible once the stamp is.
            if slot.0[0].load(Acquire) != self.next + 1 {
                return self.next - from;
            }
            let sum = (1..8).fold(0_u64, |sum, at| sum ^ std::hint::black_box(slot.0[at].load(Relaxed)));
            std::hint::black_box(sum);
            each(slot.0[2].load(Relaxed));
            // Our reads come before the producer's next stores.
            slot.0[0].store(0, Release);
            self.next += 1;
        }
    }
}
