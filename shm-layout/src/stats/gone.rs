//! Sums over processes that are gone: what rings and ledgers cannot tell an aggregator's successor any more.

use super::figures::Anomalies;
use super::segment::StatsView;
use crate::atomics::Word64;
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;
use core::sync::atomic::Ordering::{Relaxed, Release};

/// Sums over processes that are gone, as of one snapshot. Read by an aggregator's successor only; viewers find the sums over
/// everybody in [`Health`](super::Health).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Gone {
    /// Of the snapshot that this belongs to.
    pub generation: u64,
    /// Events read from them.
    pub events: u64,
    /// Events that they could not write.
    pub dropped: u64,
    /// Slots that they claimed and never published.
    pub torn: u64,
    /// How many of them were found dead.
    pub deaths: u64,
    /// 0.
    pub reserved: [u64; 3],
    /// What could not be believed of them.
    pub anomalies: Anomalies,
}

pub(super) const GONE_WORDS: usize = 16;
const _: () = assert!(size_of::<Gone>() == GONE_WORDS * 8);
const _: () = assert!(offset_of!(Gone, generation) == 0);
const _: () = assert!(offset_of!(Gone, events) == 8);
const _: () = assert!(offset_of!(Gone, dropped) == 16);
const _: () = assert!(offset_of!(Gone, torn) == 24);
const _: () = assert!(offset_of!(Gone, deaths) == 32);
const _: () = assert!(offset_of!(Gone, reserved) == 40);
const _: () = assert!(offset_of!(Gone, anomalies) == 64);

impl<W: Word64> StatsView<'_, W> {
    /// Leaves the sums that belong to the snapshot that is published next.
    pub fn leave_gone(&self, gone: &Gone) {
        // Relaxed: only this writer stores it.
        let next = 1 - (self.header.active.load(Relaxed) & 1) as usize;
        // SYNC(stats.gone): the buffer that these sums will belong to was taken out of sight before, also for whoever finds
        // the file after a kill here; pairs with `gone`: the kill that separates the two orders them.
        W::fence(Release);
        let words: [u64; GONE_WORDS] = bytemuck::must_cast(*gone);
        for (to, word) in self.header.gone[next].iter().zip(words) {
            // Relaxed: the index that is stored when the snapshot is complete comes after it.
            to.store(word, Relaxed);
        }
    }

    /// The sums left for the snapshot in this buffer; for the successor of an aggregator that is dead.
    pub fn gone(&self, buffer: usize) -> Gone {
        // SYNC(stats.gone): Relaxed, because its writer is dead; pairs with the fence in `leave_gone`.
        let word = |at: usize| self.header.gone[buffer & 1][at].load(Relaxed);
        bytemuck::must_cast(core::array::from_fn::<u64, GONE_WORDS, _>(word))
    }
}
