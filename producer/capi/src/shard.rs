//! A part of what is live by address: one lock, one table.
//!
//! All shards lie on a page that the kernel wipes in a child of fork: there, every gate is open and every table is gone, whatever the
//! parent's other threads were in the midst of. What the parent's tables held stays as memory of the child that nobody uses.

use crate::gate::Gate;
use crate::live::{Report, Table};
use core::mem::size_of;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64};

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

#[cfg_attr(target_arch = "aarch64", repr(C, align(65536)))]
#[cfg_attr(not(target_arch = "aarch64"), repr(C, align(4096)))]
#[derive(Debug)]
struct WipedPage([Shard; SHARDS]);

const _: () = assert!(size_of::<WipedPage>() == align_of::<WipedPage>());

static PAGE: WipedPage = WipedPage([const { Shard::new() }; SHARDS]);

/// Answer of the kernel, which is the same in children: 0 not asked, 1 it wipes the page, 2 it does not.
static WIPED: AtomicU8 = AtomicU8::new(0);

/// All shards.
pub(crate) fn all() -> &'static [Shard; SHARDS] {
    &PAGE.0
}

/// The number of the shard of what has this id on this device.
#[inline(always)]
pub(crate) fn number(device: u32, id: u64) -> usize {
    // The upper bits of a product depend on all bits of its factors; addresses differ in the middle ones.
    ((id ^ u64::from(device) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
}

/// Whether the kernel wipes the page in a child; asked at the first call.
fn wiped() -> bool {
    // SYNC(capi.page): the page is advised; pairs with the Release below.
    match WIPED.load(Acquire) {
        0 => {}
        answer => return answer == 1,
    }
    // SAFETY: the range is exactly the static, which is aligned to pages and as long as one, so that nothing else lies there; its words
    // are atomics, so a wipe in a child is a change of value.
    let answer =
        unsafe { libc::madvise((&raw const PAGE).cast_mut().cast(), size_of::<WipedPage>(), libc::MADV_WIPEONFORK) };
    // SYNC(capi.page): after the advice; pairs with the Acquire above.
    WIPED.store(if answer == 0 { 1 } else { 2 }, Release);
    answer == 0
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
        // SAFETY: null or a leaked box, which only whoever is inside uses.
        unsafe { self.table.load(Relaxed).as_mut() }
    }

    /// Makes the table if there is none. `false` where it would not be wiped in a child. Inside.
    #[inline(always)]
    pub(crate) fn has_table(&self) -> bool {
        // Relaxed: as in `table`.
        !self.table.load(Relaxed).is_null() || self.make()
    }

    #[cold]
    fn make(&self) -> bool {
        if !wiped() {
            return false;
        }
        // Relaxed: as in `table`.
        self.table.store(Box::into_raw(Box::default()), Relaxed);
        true
    }

    /// An id that no other block of this process has. Inside.
    #[inline(always)]
    pub(crate) fn next_id(&self, number: usize) -> u64 {
        // Relaxed, Relaxed: the gate orders them.
        let block = self.blocks.load(Relaxed);
        self.blocks.store(block + 1, Relaxed);
        // The shard is in the low bits: those are what a compaction of the ring tells records apart by fastest.
        OURS | (block * SHARDS as u64 + number as u64)
    }
}
