//! The reading side of the ring.

use super::{Slot, published};
use crate::atomics::Word64;
use crate::event::Event;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What one call of [`Consumer::drain_dead`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Records read.
    pub read: u64,
    /// Slots that were claimed and never published.
    pub torn: u64,
}

/// The cursor and the slots, as the one consumer sees them.
///
/// Reading and returning are two steps, so that the consumer can make its own state durable in between: after
/// [`read`](Self::read) the records still lie in the ring; [`release`](Self::release) hands the slots back.
#[derive(Debug)]
pub struct Consumer<'a, W> {
    slots: &'a [Slot<W>],
}

impl<W> Clone for Consumer<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W> Copy for Consumer<'_, W> {}

impl<'a, W: Word64> Consumer<'a, W> {
    /// The reading side over these slots; `None` unless their number is a power of two.
    pub fn new(slots: &'a [Slot<W>]) -> Option<Self> {
        slots.len().is_power_of_two().then_some(Self { slots })
    }

    /// Slots in the ring.
    pub fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    fn slot(&self, seq: u64) -> &'a Slot<W> {
        &self.slots[(seq & (self.capacity() - 1)) as usize]
    }

    /// The record `seq`, if it is published. The copy is the consumer's own: validate it, then use it.
    #[inline(always)]
    pub fn read_one(&self, seq: u64) -> Option<Event> {
        let slot = self.slot(seq);
        // SYNC(ring.stamp): the record's words are visible once its stamp is; pairs with the Release in producer.rs
        // `push`.
        if slot.stamp().load(Acquire) != published(seq) {
            return None;
        }
        // A hostile producer may change the words meanwhile; then the copy is garbage, which validation has to expect anyway.
        Some(Event::from_words(slot.copy(published(seq))))
    }

    /// The word in which record `seq` will show, and what it holds then: for whoever only waits for it.
    pub fn awaited(&self, seq: u64) -> (&'a W, u64) {
        (self.slot(seq).stamp(), published(seq))
    }

    /// Reads published records from `from` on, in order, at most `max`, until the first that is not there yet.
    /// The sequence number after the last one read.
    pub fn read(&self, from: u64, max: usize, mut each: impl FnMut(Event)) -> u64 {
        let mut seq = from;
        let end = from.saturating_add(max as u64);
        while seq < end {
            let Some(event) = self.read_one(seq) else {
                break;
            };
            each(event);
            seq += 1;
        }
        seq
    }

    /// Hands the slots of `from..to` back to the producer. Only after whatever they held is safe elsewhere.
    pub fn release(&self, from: u64, to: u64) {
        for seq in from..to {
            // SYNC(ring.free): our reads of the slot happen before the producer writes it again; pairs with the Acquire
            // in producer.rs `push`. Written (not only read), so that the line comes back to the producer writable.
            self.slot(seq).stamp().store(!published(seq), Release);
        }
    }

    /// Hands back those slots of the last lap before `applied` that an earlier consumer read and was killed before it
    /// handed them back. A slot that the producer has already used again is left alone.
    pub fn release_unreturned(&self, applied: u64) {
        for seq in applied.saturating_sub(self.capacity())..applied {
            // Relaxed: nothing is read through it; only this consumer moves a slot on from `published`.
            if self.slot(seq).stamp().load(Relaxed) == published(seq) {
                self.release(seq, seq + 1);
            }
        }
    }

    /// Reads to the end of a ring whose process is dead: `claim` is its claim word's last value, at most one lap ahead of
    /// `from` (a claim that says otherwise is hostile and is cut to that). Holes are skipped.
    pub fn drain_dead(&self, from: u64, claim: u64, mut each: impl FnMut(Event)) -> (u64, Drained) {
        let end = claim.clamp(from, from.saturating_add(self.capacity()));
        let mut found = Drained::default();
        for seq in from..end {
            match self.read_one(seq) {
                Some(event) => {
                    each(event);
                    found.read += 1;
                }
                None => found.torn += 1,
            }
        }
        (end, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EVENT_WORDS;
    use crate::ring::{Producer, Push};
    use core::sync::atomic::AtomicU64;

    #[test]
    fn what_a_dead_writer_claimed_and_did_not_write_is_mended_and_nothing_else() {
        let slots: Vec<Slot<AtomicU64>> = (0..4).map(|_| Slot([const { AtomicU64::new(0) }; EVENT_WORDS])).collect();
        let claim = AtomicU64::new(0);
        let producer = Producer::new(&claim, &slots).expect("a power of two");
        let consumer = Consumer::new(&slots).expect("a power of two");
        let (event, nothing) = (Event { id: 1, ..Event::default() }, Event { id: 9, ..Event::default() });
        assert_eq!(producer.push(&event), Push::Written(0));
        // Killed between the claim and the stamp.
        claim.store(2, Relaxed);
        assert_eq!(producer.push(&event), Push::Written(2));
        assert_eq!(consumer.read(0, 9, |_| {}), 1, "the reader waits for it");
        assert_eq!((producer.mend(0, &nothing), producer.mend(0, &nothing)), (1, 0));
        let mut ids = Vec::new();
        assert_eq!(consumer.read(0, 9, |event| ids.push(event.id)), 3);
        assert_eq!(ids, [1, 9, 1]);
        // In a later lap, with everything read.
        consumer.release(0, 3);
        claim.store(5, Relaxed);
        assert_eq!(producer.mend(3, &nothing), 2);
        assert_eq!(consumer.read(3, 9, |_| {}), 5);
    }

    #[test]
    fn slots_that_a_killed_consumer_kept_are_handed_back_and_others_left_alone() {
        let slots: Vec<Slot<AtomicU64>> = (0..4).map(|_| Slot([const { AtomicU64::new(0) }; EVENT_WORDS])).collect();
        let claim = AtomicU64::new(0);
        let producer = Producer::new(&claim, &slots).expect("a power of two");
        let consumer = Consumer::new(&slots).expect("a power of two");
        let event = Event::default();
        for seq in 0..4 {
            assert_eq!(producer.push(&event), Push::Written(seq));
        }
        // Read to 3, handed back to 1, then killed; the producer has used that one slot again.
        assert_eq!(consumer.read(0, 3, |_| {}), 3);
        consumer.release(0, 1);
        assert_eq!(producer.push(&event), Push::Written(4));
        assert_eq!(producer.push(&event), Push::Full);
        consumer.release_unreturned(3);
        assert_eq!(producer.push(&event), Push::Written(5));
        assert_eq!(producer.push(&event), Push::Written(6));
        assert_eq!(producer.push(&event), Push::Full, "record 3 was not read");
        assert_eq!(consumer.read(3, 9, |_| {}), 7);
    }
}
