//! The writing side of the ring.

use super::{Slot, free_for, published};
use crate::atomics::Word64;
use crate::event::Event;
use crate::processor::prefetch_for_write;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Slots ahead of the one that is written, whose line is asked for: they come back from the consumer's cache in the meantime
/// (docs/adr/0005).
const AHEAD: u64 = 16;

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a record that was not written has to be counted as dropped"]
pub enum Push {
    /// Published as this sequence number.
    Written(u64),
    /// The ring is full; nothing was written.
    Full,
}

/// The claim word and the slots, as the producing threads of one process see them.
///
/// `Copy`: it is two pointers, and every thread of the process may hold one.
#[derive(Debug)]
pub struct Producer<'a, W> {
    claim: &'a W,
    slots: &'a [Slot<W>],
}

impl<W> Clone for Producer<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W> Copy for Producer<'_, W> {}

impl<'a, W: Word64> Producer<'a, W> {
    /// The writing side over this claim word and these slots; `None` unless their number is a power of two.
    pub fn new(claim: &'a W, slots: &'a [Slot<W>]) -> Option<Self> {
        slots.len().is_power_of_two().then_some(Self { claim, slots })
    }

    /// The sequence number that the next push will take, if nobody is quicker.
    #[inline(always)]
    pub fn next(&self) -> u64 {
        // Relaxed: only a hint, for choosing when to look at the clock.
        self.claim.load(Relaxed)
    }

    /// Whether a push would find a free slot now. Only a hint.
    pub fn has_room(&self) -> bool {
        let slots = self.slots.len() as u64;
        // Relaxed, Relaxed: a hint.
        let seq = self.claim.load(Relaxed);
        self.slots[(seq & (slots - 1)) as usize].stamp().load(Relaxed) == free_for(seq, slots)
    }

    /// Publishes `event` in every slot from record `from` on that was claimed and never published, by a writer that is dead: the
    /// consumer would wait for it. Only while nobody else pushes. The slots that were mended.
    pub fn mend(&self, from: u64, event: &Event) -> u64 {
        let slots = self.slots.len() as u64;
        // Relaxed: nobody else claims.
        let claim = self.claim.load(Relaxed);
        let mut mended = 0;
        for seq in from.max(claim.saturating_sub(slots))..claim {
            let slot = &self.slots[(seq & (slots - 1)) as usize];
            // SYNC(ring.free): as in `push`.
            if slot.stamp().load(Acquire) == free_for(seq, slots) {
                slot.fill(&event.to_words());
                // SYNC(ring.stamp): as in `push`.
                slot.stamp().store(published(seq), Release);
                mended += 1;
            }
        }
        mended
    }

    /// Writes one record; never waits. `event.stamp` is ignored.
    #[inline(always)]
    pub fn push(&self, event: &Event) -> Push {
        let slots = self.slots.len() as u64;
        // Relaxed: the claim word orders nothing; the slot's stamp does.
        let mut seq = self.claim.load(Relaxed);
        loop {
            let slot = &self.slots[(seq & (slots - 1)) as usize];
            // SYNC(ring.free): takes the slot over from the consumer, whose reads of the record that lay here
            // happened before; pairs with the Release in consumer.rs `release` and in
            // compact/mod.rs `compact`.
            let stamp = slot.stamp().load(Acquire);
            if stamp == free_for(seq, slots) {
                // Relaxed, Relaxed: whoever wins owns the slot alone; what it writes is published by the stamp.
                match self.claim.compare_exchange_weak(seq, seq.wrapping_add(1), Relaxed, Relaxed) {
                    Ok(_) => {
                        prefetch_for_write(&self.slots[(seq.wrapping_add(AHEAD) & (slots - 1)) as usize]);
                        slot.fill(&event.to_words());
                        // SYNC(ring.stamp): publishes the seven words above; pairs with the Acquire in
                        // consumer.rs `read_one` and in compact/mod.rs `published_until`.
                        slot.stamp().store(published(seq), Release);
                        return Push::Written(seq);
                    }
                    Err(found) => seq = found,
                }
            } else {
                // Not free: another thread was quicker and the claim word has moved on, or the ring is full. Relaxed: a
                // stamp that a quicker thread has left (or led to) was acquired, and its claim with it.
                let now = self.claim.load(Relaxed);
                if now == seq {
                    return Push::Full;
                }
                seq = now;
            }
        }
    }
}
