//! Rings whose process was killed while it took out of them what came and went unread: records half moved, figures half told.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::atomics::Word64;
use shm_layout::event::Memory;
use shm_layout::ring::{
    Compactor, FIRST_SECTION_OFFSET, RingHeader, Section, Slot, VanishedTable, records_offset, scratch_words,
};
use shm_layout::segment::{self, Access, Expect, Opened};
use shm_layout::stats::{Anomalies, Snapshot};
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Ground, Player, lines, play_if_asked};

/// Bytes of each block that stays, and of each that comes and goes.
const STAYS: u64 = 1000;
const CHURN: u64 = 50_000;
/// Blocks that stay: the first records, so that all of them are moved.
const LIVE: u64 = 10;
/// Words of records that are written before the kill: five records, and a part of the sixth.
const WORDS_MOVED: u64 = 5 * 7 + 3;

#[test]
fn player() {
    play_if_asked();
}

thread_local! {
    /// The words whose stores are counted, by address, and how many more of them there will be.
    static LIFE: Cell<(usize, usize, u64)> = const { Cell::new((0, 0, u64::MAX)) };
}

/// A word of a process that is killed after some stores.
#[repr(transparent)]
struct Mortal(AtomicU64);

impl Word64 for Mortal {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        let (from, to, left) = LIFE.get();
        if (from..to).contains(&std::ptr::from_ref(self).addr()) {
            assert_ne!(left, 0, "killed");
            LIFE.set((from, to, left - 1));
        }
        self.0.store(value, order);
    }
    fn compare_exchange_weak(&self, current: u64, new: u64, yes: Ordering, no: Ordering) -> Result<u64, u64> {
        self.0.compare_exchange_weak(current, new, yes, no)
    }
    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.0.fetch_add(value, order)
    }
    fn fence(order: Ordering) {
        std::sync::atomic::fence(order);
    }
}

/// As words of a process that may be killed.
fn mortal<Whole, Same>(words: &[Whole]) -> &[Same] {
    assert_eq!((size_of::<Whole>(), align_of::<Whole>()), (size_of::<Same>(), align_of::<Same>()));
    // SAFETY: only used from some structure of `AtomicU64` to the same structure of `Mortal`, which is transparent over it.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

/// Compacts section 0 by the producer's own code, as a process with no ledger does; killed after so many stores into records.
/// Whether it came to its end.
fn compact(ring: &Opened, words: u64) -> bool {
    let header: &RingHeader<AtomicU64> = ring.mapping.one(0).unwrap();
    let slots = usize::try_from(header.identity().slots).unwrap();
    let slots = ring.mapping.array::<Slot<AtomicU64>>(records_offset(FIRST_SECTION_OFFSET), slots).unwrap();
    let table: &VanishedTable<AtomicU64> = ring.mapping.one(FIRST_SECTION_OFFSET).unwrap();
    let section: &Section<Mortal> = &mortal(&header.sections[..1])[0];
    let Range { start, end } = slots.as_ptr_range();
    LIFE.set((start.addr(), end.addr(), words));
    let mut scratch = vec![0; scratch_words(slots.len())];
    let compactor = Compactor { section, table: mortal(&table.cells), slots: mortal(slots) };
    let done = catch_unwind(AssertUnwindSafe(|| compactor.compact(0, || false, &mut scratch)));
    LIFE.set((0, 0, u64::MAX));
    done.is_ok_and(|done| done.is_some())
}

/// `LIVE` blocks stay, and one at a time comes and goes.
fn live_and_churn(player: &mut Player, first: u64) {
    for id in first..first + LIVE {
        player.alloc(0, Memory::Dram, id, STAYS, 0);
    }
    for id in first + LIVE..first + LIVE + 50 {
        player.alloc(0, Memory::Dram, id, CHURN, 0);
        player.free(0, Memory::Dram, id, CHURN, 0);
    }
}

/// Of a ring that was killed while its records were moved, nothing is told that was not so, and a line says what is lost.
fn nothing_is_made_up(ground: &Ground, player: &Player, highest: u64) {
    let pid = player.pid();
    let aggregator = ground.aggregator();
    let told = |s: &Snapshot| {
        lines(s).into_iter().find(|line| line.contains(&format!("PID {pid} ")) && line.contains(" died"))
    };
    let seen = ground.see("its end", |s| s.processes.is_empty() && told(s).is_some());
    let line = told(&seen).unwrap();
    assert!(line.ends_with("what was unread of its ring is lost: it was making room there"), "{line}");
    for figures in seen.chips.iter().flat_map(|chip| chip.memory) {
        assert!(figures.peak_footprint_bytes <= highest, "{figures:?}");
        assert_eq!((figures.footprint_bytes, figures.blocks), (0, 0));
        assert_eq!(figures.allocated_bytes_total, figures.freed_bytes_total);
    }
    // Records that are there twice, and frees that are there no more, would count as faults of the process.
    assert_eq!(seen.health.anomalies, Anomalies::default());
    assert_eq!(seen.health.events_total, 0, "none of them can be told from what it was moved over");
    drop(aggregator);
    ground.must_be_clean();
}

/// A process that has told some blocks that nobody has read, and its ring.
fn unread() -> (Ground, Player, Opened) {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    live_and_churn(&mut player, 1);
    let name = player.tell("ring");
    let ring = segment::open(&name, Access::ReadWrite, Expect { owners: &[], least: 1, most: u64::MAX }).unwrap();
    (ground, player, ring)
}

/// Such a process is killed while it moves records: nothing is made up of them.
fn is_killed_at_it(ground: &Ground, mut player: Player, ring: &Opened, highest: u64) {
    player.kill();
    assert!(!compact(ring, WORDS_MOVED), "it was killed");
    nothing_is_made_up(ground, &player, highest);
}

#[test]
fn who_was_killed_while_it_moved_records_is_not_read_from_the_middle_of_it() {
    let (ground, player, ring) = unread();
    is_killed_at_it(&ground, player, &ring, LIVE * STAYS + CHURN);
}

#[test]
fn nor_is_what_it_had_moved_before_when_it_is_killed_the_second_time() {
    let (ground, mut player, ring) = unread();
    assert!(compact(&ring, u64::MAX), "the first time it comes to its end");
    live_and_churn(&mut player, 1000);
    is_killed_at_it(&ground, player, &ring, 2 * LIVE * STAYS + CHURN);
}

#[test]
fn the_next_aggregator_does_not_go_back_into_it_either() {
    let (ground, mut player, ring) = unread();
    let header: &RingHeader<AtomicU64> = ring.mapping.one(0).unwrap();
    assert!(!compact(&ring, WORDS_MOVED), "its thread was killed: by exec, say");
    // The process is there as before: nobody notices an end.
    for _ in 0..3 {
        let aggregator = ground.aggregator();
        let pid = player.pid();
        let seen = ground.see("it", |s| s.processes.iter().any(|process| process.pid == pid));
        assert_eq!((seen.health.live_allocations, seen.health.events_total, seen.health.lag_events), (0, 0, 0));
        assert_eq!(header.sections[0].claimed(), LIVE + 100);
        drop(aggregator);
    }
    // What it tells after that is after that.
    let aggregator = ground.aggregator();
    player.alloc(0, Memory::Dram, 7777, STAYS, 0);
    let seen = ground.see("one block", |s| s.health.live_allocations == 1);
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].peak_footprint_bytes, STAYS);
    assert_ne!(seen.processes[0].incomplete, 0, "it is not all there is");
    player.kill();
    ground.see("its end", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}
