//! The sections of a ring: where the records lie. A ring begins with one; when it is full, and what is in it is alive or not
//! read yet, it goes on in a further one, twice as large, at the end of the same file.
//!
//! ```text
//!   file:  | header | drop table | vanished 0 | records 0 | vanished 1 | records 1 … | vanished 2 | records 2 …
//!
//!   section 0   claim: SEALED | 40960 ─┐  40,960 records were claimed here in all
//!   section 1   claim: SEALED | 70000  └► read on here when all of section 0 is read ─┐
//!   section 2   claim: 77                 the newest one: here is written           ◄─┘
//! ```
//!
//! A record's place within its section is its *local* sequence number, from 0; added to the claims of the sections before
//! (the section's *base*) it is its number in the ring. Numbers are given once and never again, but compaction moves
//! records to later numbers (see [`compact`](super::compact)).

use super::drops::DROP_DEVICES;
use crate::atomics::Word64;
use crate::event::{EVENT_BYTES, MEMORY_KINDS};
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Sections that a ring may have.
pub const SECTIONS: usize = 12;
/// Where their headers start in the ring's header.
pub const SECTIONS_OFFSET: usize = 1024;
/// Set in the claim word of a section in which nothing more is claimed: the rest of the word is the number of its records.
pub const SEALED: u64 = 1 << 63;

/// The header of a section.
///
/// | offset | field | writer | meaning |
/// |---|---|---|---|
/// | 0 | claim | producing threads | local number of the next record; [`SEALED`] |
/// | 128 | slots | producer, once | a power of two |
/// | 136 | moved_from | producer, compacting | local number from which the next records were moved to `start` |
/// | 144 | start | producer, compacting | local number of the first record that is there |
/// | 152 | compacting | producer, compacting | 1 while records are being moved |
/// | 160 | unknown_frees | producer, compacting | of the records that vanished, frees of what nobody had announced |
#[repr(C, align(128))]
#[derive(Debug)]
#[allow(missing_docs, reason = "the table above says it all")]
pub struct Section<W> {
    pub claim: W,
    _pad0: [W; 15],
    pub slots: W,
    pub moved_from: W,
    pub start: W,
    pub compacting: W,
    pub unknown_frees: W,
    _pad1: [W; 11],
}

const _: () = assert!(size_of::<Section<AtomicU64>>() == 256);
const _: () = assert!(offset_of!(Section<AtomicU64>, claim) == 0);
const _: () = assert!(offset_of!(Section<AtomicU64>, slots) == 128);
const _: () = assert!(offset_of!(Section<AtomicU64>, moved_from) == 136);
const _: () = assert!(offset_of!(Section<AtomicU64>, start) == 144);
const _: () = assert!(offset_of!(Section<AtomicU64>, compacting) == 152);
const _: () = assert!(offset_of!(Section<AtomicU64>, unknown_frees) == 160);

/// What compaction took out of a section, of one device and memory kind: it came and went unread.
#[repr(C)]
#[derive(Debug)]
pub struct VanishedCell<W> {
    /// Footprint of the allocations that are gone; as much was freed.
    pub bytes: W,
    /// The highest that the live footprint ever stood above what it was before `moved_from`, bytes.
    pub peak: W,
}

/// The table at the head of each section. Records of devices without a row do not vanish.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct VanishedTable<W> {
    /// By device, then by memory kind.
    pub cells: [[VanishedCell<W>; MEMORY_KINDS]; DROP_DEVICES],
}

const _: () = assert!(size_of::<VanishedCell<AtomicU64>>() == 16);
const _: () = assert!(size_of::<VanishedTable<AtomicU64>>() == 8192);

/// Where the records of a section lie that begins here.
pub const fn records_offset(section_offset: usize) -> usize {
    section_offset + size_of::<VanishedTable<AtomicU64>>()
}

/// Where a section with this many slots ends that begins here, and the next one begins; `None` if there are no such numbers.
pub const fn section_end(section_offset: usize, slots: u64) -> Option<usize> {
    let Some(bytes) = slots.checked_mul(EVENT_BYTES as u64) else { return None };
    if bytes > usize::MAX as u64 / 2 {
        return None;
    }
    records_offset(section_offset).checked_add(bytes as usize)
}

impl<W: Word64> Section<W> {
    /// Ends the section: nothing more is claimed in it. The number of its records.
    pub fn seal(&self) -> u64 {
        // Relaxed: what is claimed is known by its stamps.
        let mut claim = self.claim.load(Relaxed);
        loop {
            // SYNC(section.seal): after the next section was announced; pairs with the Acquire in `sealed_at`.
            match self.claim.compare_exchange_weak(claim, claim | SEALED, Release, Relaxed) {
                Ok(_) => return claim & !SEALED,
                Err(now) => claim = now,
            }
        }
    }

    /// The number of its records, if it was sealed. The next section is there then.
    pub fn sealed_at(&self) -> Option<u64> {
        // SYNC(section.seal): the next section is announced; pairs with the Release in `seal`.
        let claim = self.claim.load(Acquire);
        (claim & SEALED != 0).then_some(claim & !SEALED)
    }

    /// Whether records are being moved: in a dead process's ring none of this section means anything then.
    pub fn is_compacting(&self) -> bool {
        // SYNC(section.compacting): what was moved is in its place; pairs with the Release in compact/mod.rs `compact`.
        self.compacting.load(Acquire) != 0
    }

    /// Records claimed so far.
    pub fn claimed(&self) -> u64 {
        // Relaxed: what lies before it is known by its stamps.
        self.claim.load(Relaxed) & !SEALED
    }
}
