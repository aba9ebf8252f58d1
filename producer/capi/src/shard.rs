//! A part of what is live by address: one lock, one table.
//!
//! All shards lie on a page that the kernel wipes in a child of fork: there, every gate is open and every table is gone, whatever the
//! parent's other threads were in the midst of. What the parent's tables held stays as memory of the child that nobody uses.

use crate::gate::Gate;
use crate::live::Report;
use crate::table::Table;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU64};
use producer::fork::{Wipe, WipedPage};
use std::alloc::{Layout, alloc};

/// Shards: some per thread that may come at once, so that two seldom meet.
pub(crate) const SHARDS: usize = 64;

/// Bit of every id that is given here. Callers who name their blocks themselves stay below.
pub(crate) const OURS: u64 = 1 << 63;

/// One shard; zero is empty.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Shard {
    /// Everything below is changed inside only.
    pub(crate) gate: Gate<Report>,
    /// Made when the first block comes; never given back.
    table: AtomicPtr<Table>,
    /// Blocks so far: makes their ids.
    blocks: AtomicU64,
    /// Frees of what is not live.
    pub(crate) unmatched: AtomicU64,
    /// Frees that took the oldest of several memory kinds.
    pub(crate) ambiguous: AtomicU64,
}

// SAFETY: a static; atomics, all zero.
static PAGE: WipedPage<[Shard; SHARDS]> = unsafe { WipedPage::new([const { Shard::new() }; SHARDS]) };

static WIPE: Wipe = Wipe::new();

/// All shards.
pub(crate) fn all() -> &'static [Shard; SHARDS] {
    &PAGE
}

/// The number of the shard of what has this id on this device.
#[inline(always)]
pub(crate) fn number(device: u32, id: u64) -> usize {
    // The upper bits of a product depend on all bits of its factors; addresses differ in the middle ones.
    ((id ^ u64::from(device) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
}

impl Shard {
    const fn new() -> Self {
        Self {
            gate: Gate::new(),
            table: AtomicPtr::new(core::ptr::null_mut()),
            blocks: AtomicU64::new(0),
            unmatched: AtomicU64::new(0),
            ambiguous: AtomicU64::new(0),
        }
    }

    /// The table, if there is one.
    ///
    /// # Safety
    /// This thread is inside the gate, and the last borrow has ended.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "whoever is inside is alone")]
    pub(crate) unsafe fn table(&self) -> Option<&mut Table> {
        // Relaxed: the gate orders it.
        // SAFETY: null or a table that is never given back, which only whoever is inside uses.
        unsafe { self.table.load(Relaxed).as_mut() }
    }

    /// Blocks so far whose allocations are told, as far as somebody outside can be certain: all but the last one.
    pub(crate) fn told(&self) -> u64 {
        // SYNC(shard.blocks): what is told later comes after these; pairs with the Release in `next_id`.
        self.blocks.load(Acquire).saturating_sub(1)
    }

    /// Makes the table if there is none. `false` where there is no memory, or where it would not be wiped in a child. Inside.
    #[inline(always)]
    pub(crate) fn has_table(&self) -> bool {
        // Relaxed: as in `table`.
        !self.table.load(Relaxed).is_null() || self.make()
    }

    #[cold]
    fn make(&self) -> bool {
        if !WIPE.is_of(&PAGE) {
            return false;
        }
        // Not a box: that would end the process where there is no memory.
        // SAFETY: the layout is not empty.
        let place: *mut Table = unsafe { alloc(Layout::new::<Table>()) }.cast();
        if place.is_null() {
            return false;
        }
        // SAFETY: allocated for this, and nobody else's yet.
        unsafe { place.write(Table::default()) };
        // Relaxed: as in `table`.
        self.table.store(place, Relaxed);
        true
    }

    /// An id that no other block of this process has. Inside.
    #[inline(always)]
    pub(crate) fn next_id(&self, number: usize) -> u64 {
        // Relaxed: the gate orders it.
        let block = self.blocks.load(Relaxed);
        // SYNC(shard.blocks): the blocks before this one are in the ring; pairs with the Acquire in `told`.
        self.blocks.store(block + 1, Release);
        // The shard is in the low bits: those are what a compaction of the ring tells records apart by fastest.
        OURS | (block * SHARDS as u64 + number as u64)
    }
}

/// The number of a block among those of its shard, from its id.
pub(crate) const fn block(id: u64) -> u64 {
    (id & !OURS) / SHARDS as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;

    #[test]
    fn without_memory_there_is_no_table_and_no_end_of_the_process() {
        let shard = Shard::new();
        memory::without(|| assert!(!shard.has_table()));
        assert!(shard.has_table());
    }
}
