//! Compaction: what came and went unread is taken out of a section, in place, by the producing process.
//!
//! Whoever reads late needs what is alive and the order of things, not every step. So pairs of allocation and free vanish, and
//! the records that are left are moved up, in their order, to just before the first that is not published yet:
//!
//! ```text
//!   before:   from                                        to        claim
//!             | a1  A2  a3  f1  A4  f3  a5  f5  A6  F0  | (7)  8  |          small: dead.  F0: frees what was read before
//!
//!   after:     free slots, for records a lap on  | A2 A4 A6 F0 | (7)  8 |
//!             moved_from                         start         to
//! ```
//!
//! Threads go on publishing from `to` on meanwhile: no record there is touched, and no slot before it is anybody else's, since the
//! section's lock keeps consumers out. A reader that was at `moved_from` goes on at `start`; the table tells what it missed
//! (sums and peaks). What a free, a release or a close may mean for records that were read before stays: see `history`.
//!
//! A kill leaves `compacting` set, and nobody reads the section any more: the process is dead, and what it held with it.

mod devices;
mod frees;
mod groups;
mod marks;

use self::devices::DEVICE_WORDS;
use self::marks::Marks;
use super::section::{Section, VanishedCell};
use super::{Slot, published};
use crate::atomics::Word64;
use crate::event::{MAX_DEVICE, MEMORY_KINDS};
use crate::tag::TAGS;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const DEVICES: usize = MAX_DEVICE as usize + 1;
const ROWS: usize = super::DROP_DEVICES;
/// Steps per record after which it is given up: only equal keys by the thousand come there.
const STEPS_EACH: usize = 8;

/// Words of scratch memory for a section with this many slots. They must be zero.
pub const fn scratch_words(slots: usize) -> usize {
    // Five arrays of u32 by record, three sets of records, the devices, the running sums, the tags.
    slots / 2 * 5 + slots.div_ceil(64) * 3 + DEVICES * DEVICE_WORDS / 2 + ROWS * MEMORY_KINDS * 3 + TAGS / 2
}

/// What a compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Slots that are free now and were not.
    pub freed: u64,
    /// Records that are left.
    pub kept: u64,
}

/// A section, as the one that compacts it sees it.
#[derive(Debug)]
pub struct Compactor<'a, W> {
    /// Its header.
    pub section: &'a Section<W>,
    /// The rows of its table; fewer than there are devices only where nothing has such a device.
    pub table: &'a [[VanishedCell<W>; MEMORY_KINDS]],
    /// Its records.
    pub slots: &'a [Slot<W>],
}

impl<W: Word64> Compactor<'_, W> {
    /// Takes out what can go. `read` is how far a consumer's ledger says that this section was read (local; 0 = not at all).
    /// Only under the section's lock. `None` when it cannot be done, with nothing changed.
    ///
    /// `history`: whether something that is not in this section may have announced what is freed here: records before `read`,
    /// sections before this one, or records that were *dropped*: the free of a dropped allocation has to reach the reader, or its
    /// total keeps the allocation for ever. Asked once it is settled which records are looked at: what had been dropped when one of
    /// them was pushed is seen then.
    ///
    /// With `history`, what is left comes to the same as all of it unless an id that is no address was alive before and is announced
    /// again here. The table's peaks are estimates then: a free without size, a release or a close does not say how much of what was
    /// read before ends with it. What stays for good then: allocations and frees of addresses, until their device is closed; frees that
    /// find nothing; of each group one release without a count.
    pub fn compact(&self, read: u64, history: impl FnOnce() -> bool, scratch: &mut [u64]) -> Option<Compacted> {
        let lap = self.slots.len() as u64;
        // Relaxed: only written under the lock, which the caller has.
        let (moved_from, start) = (self.section.moved_from.load(Relaxed), self.section.start.load(Relaxed));
        // Nobody has read what was moved: it goes on from there. Otherwise it begins anew where the reader was.
        let again = read == moved_from && read < start;
        if !again && read < start || read > self.section.claimed() {
            return None;
        }
        let from = if again { start } else { read };
        let to = self.published_until(from, self.section.claimed().min(from + lap));
        let mut marks = Marks::new(self.slots, from, (to - from) as usize, history(), scratch)?;
        if again {
            for (sums, cell) in marks.sums.iter_mut().zip(self.table.iter().flatten()) {
                // Relaxed: as above.
                sums.peak = cell.peak.load(Relaxed);
            }
        }
        let dead = marks.mark()?;
        if dead == 0 && again {
            for (cell, sums) in self.table.iter().flatten().zip(&*marks.sums) {
                // Relaxed: read under the lock, which we have.
                cell.peak.store(sums.peak, Relaxed);
            }
            return Some(Compacted { freed: 0, kept: to - from });
        }
        // SYNC(section.compacting): before anything is moved; pairs with the Acquire in section.rs `is_compacting`. The
        // fence keeps the stores below behind this one.
        self.section.compacting.store(1, Relaxed);
        W::fence(Release);
        // Relaxed, all of these: published by the Release at the end, and by the lock.
        if !again {
            for cell in self.table.iter().flatten() {
                // Relaxed, Relaxed: as above.
                cell.bytes.store(0, Relaxed);
                cell.peak.store(0, Relaxed);
            }
            self.section.unknown_frees.store(0, Relaxed);
            // Relaxed: as above.
            self.section.moved_from.store(from, Relaxed);
        }
        marks.settle_releases();
        let start = marks.slide();
        for (cell, sums) in self.table.iter().flatten().zip(&*marks.sums) {
            // Relaxed: as above.
            cell.bytes.fetch_add(sums.gone, Relaxed);
            cell.peak.store(sums.peak, Relaxed);
        }
        // Relaxed: as above.
        self.section.unknown_frees.fetch_add(marks.unknown_frees, Relaxed);
        self.section.start.store(start, Relaxed);
        // Whatever a killed consumer had read and not handed back goes with the rest.
        let first = start.saturating_sub(lap).min(from);
        let mut freed = 0;
        for seq in first..start {
            let stamp = self.slots[(seq & (lap - 1)) as usize].stamp();
            // Relaxed: only whoever has the lock moves a slot on from `published`.
            if stamp.load(Relaxed) == published(seq) {
                // SYNC(ring.free): our reads of the slot happen before the producer writes it again; pairs with the Acquire
                // in producer.rs `push`.
                stamp.store(!published(seq), Release);
                freed += 1;
            }
        }
        // SYNC(section.compacting): everything is in its place; pairs with the Acquire in section.rs `is_compacting`.
        self.section.compacting.store(0, Release);
        Some(Compacted { freed, kept: to - start })
    }

    /// The first record from `from` on that is not published yet, at most `end`.
    fn published_until(&self, from: u64, end: u64) -> u64 {
        let mask = self.slots.len() as u64 - 1;
        // SYNC(ring.stamp): the records' words are visible; pairs with the Release in producer.rs `push`.
        let there = |seq: &u64| self.slots[(seq & mask) as usize].stamp().load(Acquire) == published(*seq);
        (from..end).find(|seq| !there(seq)).unwrap_or(end.max(from))
    }
}
