//! The event ring: one file per tracked process, written by its threads, read by one consumer.
//!
//! ```text
//!        0 +----------------------------------+
//!          | identity   (written once)        |  magic, version, who, geometry
//!      256 +----------------------------------+
//!          | consumer line                    |  cursor, clock word
//!      384 +----------------------------------+
//!          | producer line                    |  closed, drops
//!     1024 +----------------------------------+
//!          | 12 section headers, 256 each     |  claim word; what compaction did
//!     4096 +----------------------------------+
//!          | drop table                       |  what did not fit, by device and memory
//!    20480 +----------------------------------+
//!          | section 0: vanished table        |  what came and went unread
//!    28672 |            records, 64 bytes each |  a power of two of them
//!          +----------------------------------+
//!          | section 1: …                     |  only once section 0 was full; twice as large
//!          +----------------------------------+
//! ```
//!
//! # The slot protocol
//!
//! A slot's stamp tells its state, for the record with sequence number `n` in a ring of `N` slots:
//!
//! | stamp | state | next |
//! |---|---|---|
//! | 0 | never used | producer may write record `n < N` |
//! | `n + 1` | record `n` is published | consumer may read it |
//! | `!(n + 1)` | record `n` was read | producer may write record `n + N` |
//!
//! A producing thread claims `n` with one compare-and-swap on the claim word, stores the record's words and publishes the
//! stamp. The consumer reads in order and *writes* the stamp back: the line returns to the producer writable, which makes
//! its next store 4 to 10 times cheaper (docs/adr/0002). Nobody ever waits for anybody.
//!
//! A thread that dies between claim and publish leaves a hole. While its process lives the consumer stops there; once
//! the process is dead the hole is skipped and counted (`torn`).

mod compact;
mod consumer;
mod drops;
mod header;
mod producer;
mod section;

pub use compact::{Compacted, Compactor, scratch_words};
pub use consumer::{Consumer, Drained};
pub use drops::{DROP_DEVICES, DropCell, DropTable};
pub use header::{
    CLOCK_MONOTONIC_NS, CLOCK_TICKS, CLOSED_CLEAN, ENDIAN_MARK, FIRST_SECTION_OFFSET, HEADER_BYTES, Identity,
    IdentityError, MAGIC, NAME_BYTES, RECORDS_OFFSET, RingHeader, SOURCE_OWN, SOURCE_PROXY, VERSION, ring_bytes,
};
pub use producer::{Producer, Push};
pub use section::{
    SEALED, SECTIONS, SECTIONS_OFFSET, Section, VanishedCell, VanishedTable, records_offset, section_end,
};

use crate::atomics::Word64;
use crate::event::EVENT_WORDS;
use core::sync::atomic::Ordering::Relaxed;

/// One slot: a record as eight atomic words, the stamp first.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Slot<W>(pub [W; EVENT_WORDS]);

const _: () = assert!(size_of::<Slot<core::sync::atomic::AtomicU64>>() == 64);
const _: () = assert!(align_of::<Slot<core::sync::atomic::AtomicU64>>() == 64);

impl<W: Word64> Slot<W> {
    #[inline(always)]
    pub(crate) fn stamp(&self) -> &W {
        &self.0[0]
    }

    /// Stores a record's words, all but the stamp. Spelled out: as a loop it is not unrolled, and costs twice the push.
    #[inline(always)]
    pub(crate) fn fill(&self, words: &[u64; EVENT_WORDS]) {
        // Relaxed: published by the stamp.
        let put = |at: usize| self.0[at].store(words[at], Relaxed);
        put(1);
        put(2);
        put(3);
        put(4);
        put(5);
        put(6);
        put(7);
    }

    /// A copy of a record's words under this stamp, which the caller has acquired.
    #[inline(always)]
    pub(crate) fn copy(&self, stamp: u64) -> [u64; EVENT_WORDS] {
        // Relaxed: ordered by the stamp.
        let get = |at: usize| self.0[at].load(Relaxed);
        [stamp, get(1), get(2), get(3), get(4), get(5), get(6), get(7)]
    }
}

/// The stamp of the published record `seq`.
#[inline(always)]
pub(crate) const fn published(seq: u64) -> u64 {
    seq.wrapping_add(1)
}

/// The stamp that a slot has when record `seq` may be written into it.
#[inline(always)]
pub(crate) const fn free_for(seq: u64, slots: u64) -> u64 {
    if seq < slots { 0 } else { !(seq.wrapping_add(1).wrapping_sub(slots)) }
}
