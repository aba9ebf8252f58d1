//! What is done when the ring is full.
//!
//! ```text
//!   push ──► full? ──► the newest section has room? ──► pushed there
//!                          │ no
//!                          ▼
//!            one thread: nobody reads that section? ──► compact it: what came and went unread makes room
//!                          │ somebody does, or more than half is alive
//!                          ▼
//!            go on in a section twice as large, up to the bound (TT_ALLOC_RING_MAX_BYTES)
//!                          │ no further
//!                          ▼
//!            counted by device and memory kind, in bytes and blocks: totals stay exact
//! ```
//!
//! Threads that find the ring full meanwhile wait for that one, at most [`PATIENCE`]. docs/adr/0008 has what it takes.

use crate::environment::SLOTS;
use crate::host::{Undisturbed, Uninterrupted};
use crate::ring::{Parts, Ring, STRIDE, Touched, count_lost};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use memmap2::MmapMut;
use shm_layout::event::{EVENT_BYTES, Event};
use shm_layout::locks::{self, Lock};
use shm_layout::ring::{
    Compacted, Compactor, Producer, Push, RingHeader, SECTIONS, Slot, VanishedTable, records_offset, scratch_words,
    section_end,
};
use shm_layout::segment::Mapping;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a thread waits while another makes room: as for the making of the ring. Then its event is counted as dropped.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long it sleeps at a time.
const PAUSE: Duration = Duration::from_micros(50);
/// Room is made at most so often for one event: others may take it.
const ROUNDS: u32 = 64;
/// A compaction that frees less than one part in this of the section is not worth the next one.
const WORTH: u64 = 16;
/// As many drops later it is tried again, at least; twice as many after each further time in vain, up to as many laps.
const LEAST_DROPS: u64 = 64;
const MOST_LAPS: u64 = 8;

/// A section as this process reaches it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'a> {
    pub(crate) mapping: &'a Mapping,
    /// Where it begins in the file, bytes.
    pub(crate) offset: usize,
    pub(crate) slots: u64,
}

impl<'a> Reach<'a> {
    fn records(&self) -> Option<&'a [Slot<AtomicU64>]> {
        self.mapping.array(records_offset(self.offset), usize::try_from(self.slots).ok()?)
    }

    /// Its writing side.
    pub(crate) fn producer(&self, header: &'a RingHeader<AtomicU64>, number: usize) -> Option<Producer<'a, AtomicU64>> {
        Producer::new(&header.sections[number].claim, self.records()?)
    }
}

/// A section beyond the first.
#[derive(Debug)]
struct Further {
    mapping: Mapping,
    offset: usize,
    slots: u64,
    touched: Touched,
}

/// What a ring has grown by, and who is at it.
#[derive(Debug)]
pub(crate) struct Growth {
    further: [OnceLock<Further>; SECTIONS - 1],
    /// Number of the section that is written.
    newest: AtomicUsize,
    /// The thread that makes room; 0 none.
    maker: AtomicU32,
    /// It is not tried again before so many drops; as many more as after the last time.
    futile_until: AtomicU64,
    futile_for: AtomicU64,
    /// Records in all sections, at most.
    most_slots: u64,
}

enum Room {
    Made,
    Wait,
    None,
}

impl Growth {
    pub(crate) fn new(most_slots: u64) -> Self {
        Self {
            further: [const { OnceLock::new() }; SECTIONS - 1],
            newest: AtomicUsize::new(0),
            maker: AtomicU32::new(0),
            futile_until: AtomicU64::new(0),
            futile_for: AtomicU64::new(0),
            most_slots,
        }
    }

    /// Whether making room was in vain a moment ago.
    fn is_futile(&self, header: &RingHeader<AtomicU64>) -> bool {
        // Relaxed, Relaxed: counters.
        self.futile_until.load(Relaxed) > header.dropped.load(Relaxed)
    }
}

/// Writes a record that section 0 has no room for, or counts it. Takes its words and not the record: a record whose address is taken lies in
/// memory on the way of those that fit, too, and not in registers.
#[cold]
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "these are one record")]
pub(crate) fn overflow(
    ring: &Ring,
    time: u64,
    id: u64,
    address: u64,
    size: u64,
    footprint: u64,
    place: u64,
    about: u64,
) {
    let event = Event::from_words([0, time, id, address, size, footprint, place, about]);
    let Parts { header, drops, .. } = ring.hot();
    if !push_beyond(ring, header, &event) {
        count_lost(header, drops, &event);
    }
}

/// Writes a record that section 0 has no room for. False if no room is to be had.
pub(crate) fn push_beyond(ring: &Ring, header: &RingHeader<AtomicU64>, event: &Event) -> bool {
    // Relaxed: section 0 is the one that was tried; another one is acquired by `push_newest`.
    ring.growth.newest.load(Relaxed) > 0 && ring.push_newest(header, event)
        || !ring.growth.is_futile(header) && ring.push_after_making_room(header, event)
}

impl Ring {
    fn reach(&self, number: usize) -> Option<Reach<'_>> {
        let Some(before) = number.checked_sub(1) else { return Some(self.first()) };
        let Further { mapping, offset, slots, .. } = self.growth.further.get(before)?.get()?;
        Some(Reach { mapping, offset: *offset, slots: *slots })
    }

    /// Pushes into the newest section. False if it is full.
    fn push_newest(&self, header: &RingHeader<AtomicU64>, event: &Event) -> bool {
        // SYNC(growth.newest): the section is there; pairs with the Release in `grow`.
        let number = self.growth.newest.load(Acquire);
        let Some(reach) = self.reach(number) else { return false };
        match reach.producer(header, number).map(|producer| producer.push(event)) {
            Some(Push::Written(seq)) => {
                if seq.is_multiple_of(64)
                    && let Some(further) = number.checked_sub(1).and_then(|before| self.growth.further[before].get())
                {
                    self.look(seq, header, &further.touched, &reach);
                }
                true
            }
            _ => false,
        }
    }

    /// False if there is no room to be had.
    #[cold]
    #[inline(never)]
    fn push_after_making_room(&self, header: &RingHeader<AtomicU64>, event: &Event) -> bool {
        let _host = Undisturbed::begin();
        let (begin, mut rounds) = (Instant::now(), 0);
        loop {
            let again = match self.make_room() {
                Room::Made if rounds < ROUNDS && begin.elapsed() < PATIENCE => {
                    rounds += 1;
                    true
                }
                Room::Wait if begin.elapsed() < PATIENCE => {
                    std::thread::sleep(PAUSE);
                    true
                }
                _ => false,
            };
            // At the end, too: what was not worth the next try may have freed a few slots, and somebody else may have made room.
            if self.push_newest(header, event) {
                return true;
            }
            if !again {
                return false;
            }
        }
    }

    fn make_room(&self) -> Room {
        // SAFETY: gettid has no arguments and cannot fail.
        let me = u32::try_from(unsafe { libc::gettid() }).unwrap_or(u32::MAX);
        // A handler that jumps out of the making would leave it to nobody for ever; one that forks would have it done twice, by the
        // child as well, in the same memory.
        let _signals = Uninterrupted::begin();
        // SYNC(growth.maker): what the last maker did is seen; pairs with the Release below.
        match self.growth.maker.compare_exchange(0, me, Acquire, Relaxed) {
            Ok(_) => {}
            // Whatever interrupts the making nevertheless (a fault's handler) must not wait for it.
            Err(maker) if maker == me => return Room::None,
            Err(_) => return Room::Wait,
        }
        // Nothing of ours unwinds into the host.
        let made = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| self.make_room_alone()));
        // SYNC(growth.maker): after everything that was done; pairs with the Acquire above.
        self.growth.maker.store(0, Release);
        match made {
            Ok(Some(true)) => Room::Made,
            _ => Room::None,
        }
    }

    /// Whether there is room now. By one thread at a time.
    fn make_room_alone(&self) -> Option<bool> {
        // Relaxed: only the maker stores it.
        let number = self.growth.newest.load(Relaxed);
        let reach = self.reach(number)?;
        if reach.producer(self.header(), number)?.has_room() {
            return Some(true);
        }
        // Relaxed: as below.
        let before = self.growth.futile_for.swap(0, Relaxed);
        let mut freed = false;
        let lock = Lock::Section(number);
        if self.created().has_its_descriptor() && locks::try_take(&self.created().file, lock) == Ok(true) {
            let compacted = self.compact(number, &reach);
            locks::give_back(&self.created().file, lock);
            if let Some(Compacted { freed: slots, kept }) = compacted {
                freed = slots >= (reach.slots / WORTH).max(1);
                if freed && kept <= reach.slots / 2 {
                    return Some(true);
                }
            }
        }
        if self.grow(number, &reach).is_some() || freed {
            return Some(true);
        }
        // Relaxed: counters, of which one thread at a time stores.
        let drops = (before * 2).min(reach.slots * MOST_LAPS);
        let drops = drops.max(reach.slots / WORTH).max(LEAST_DROPS);
        self.growth.futile_for.store(drops, Relaxed);
        self.growth.futile_until.store(self.header().dropped.load(Relaxed) + drops, Relaxed);
        Some(false)
    }

    /// Takes out of a section what came and went unread. Under its lock.
    fn compact(&self, number: usize, reach: &Reach<'_>) -> Option<Compacted> {
        let header = self.header();
        let base: u64 = header.sections[..number].iter().map(|section| section.claimed()).sum();
        let section = &header.sections[number];
        // A reader that is still in a section before this one has read nothing here.
        let read = self.read_so_far()?.saturating_sub(base);
        if read > section.claimed() {
            return None;
        }
        let words = scratch_words(usize::try_from(reach.slots).ok()?);
        // Mapped, not allocated: it goes back to the kernel at once, and is zero.
        let mut scratch = MmapMut::map_anon(words * size_of::<u64>()).ok()?;
        let scratch = bytemuck::try_cast_slice_mut(&mut scratch[..]).ok()?;
        let table = &reach.mapping.one::<VanishedTable<AtomicU64>>(reach.offset)?.cells;
        // True exactly when some record of this ring was read (here, or in a section before), lies in a section before this one, or
        // was dropped or lost before the ring was made: then a free may be of an allocation that is not among the records that are
        // compacted, and that the reader has in its ledger or in a total. Otherwise all records there ever were are among them, or
        // vanished in a compaction together with what ended them; a free that finds nothing is then one for the reader, too.
        // Asked once the records are settled, not before: whoever drops an allocation counts it before anybody can free it, so
        // the count is seen by whoever sees that free. Relaxed: behind the Acquire of the free's stamp.
        let history = || base + read > 0 || header.dropped.load(Relaxed) > 0;
        Compactor { section, table, slots: reach.records()? }.compact(read, history, scratch)
    }

    /// Goes on in a further section, twice as large.
    fn grow(&self, number: usize, reach: &Reach<'_>) -> Option<()> {
        let next = number + 1;
        if self.growth.further.get(number)?.get().is_none() {
            self.prepare(number, reach)?;
        }
        let header = self.header();
        // SYNC(ring.sections): the section is laid out; pairs with the Acquire in the aggregator's sections.rs `section_count`.
        header.section_count.store(next as u64 + 1, Release);
        if !reach.producer(header, number)?.has_room() {
            header.sections[number].seal();
            // SYNC(growth.newest): publishes the section; pairs with the Acquire in `push_newest`.
            self.growth.newest.store(next, Release);
        }
        // Otherwise all was read meanwhile, and the next section waits until it is needed: a reader that has nothing to read looks
        // for records here, and only now and then for a seal.
        Some(())
    }

    /// Lays the section after this one out.
    fn prepare(&self, number: usize, reach: &Reach<'_>) -> Option<()> {
        let slots = reach.slots.checked_mul(2)?;
        let offset = section_end(reach.offset, reach.slots)?;
        let end = section_end(offset, slots)?;
        // Each is twice the one before. Of a larger one than an aggregator reads, nothing would ever be seen.
        let all = slots.checked_mul(2)? - self.first().slots;
        if all > self.growth.most_slots || slots > *SLOTS.end() {
            return None;
        }
        let mapping = self.created().extend(offset, end).ok()?;
        mapping.prefault(offset, records_offset(0) + 2 * STRIDE as usize * EVENT_BYTES);
        let touched = Touched(AtomicU64::new(2 * STRIDE));
        // Relaxed: published by the count.
        self.header().sections[number + 1].slots.store(slots, Relaxed);
        self.growth.further.get(number)?.set(Further { mapping, offset, slots, touched }).ok()
    }
}
