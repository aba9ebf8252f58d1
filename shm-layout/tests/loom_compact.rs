//! Compaction beside threads that go on pushing, under every interleaving, weak memory included.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p shm-layout --release --test loom_compact`
//!
//! No consumer runs beside a compaction (a lock keeps it out), so whoever compacts here reads afterwards, too, or another thread
//! does that takes the lock after it. The words of a record, the section's numbers and its table are plain cells: loom fails at the
//! first access that nothing orders.
#![cfg(loom)]

mod support;

use core::sync::atomic::Ordering::{self, Relaxed};
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64;
use loom::sync::{Arc, Mutex};
use loom::thread;
use shm_layout::atomics::Word64;
use shm_layout::event::{Event, Kind, MEMORY_KINDS, Memory};
use shm_layout::ring::{Compactor, Consumer, Producer, Push, Section, Slot, VanishedCell, scratch_words};
use support::heap::Heap;

/// A word that is atomic (claim, stamps), or plain memory whose accesses must be ordered by others. The second atomic: see loom_ring.rs.
enum Word {
    Atomic(AtomicU64, AtomicU64),
    Plain(UnsafeCell<u64>),
}

impl Word {
    fn atomic() -> Self {
        Self::Atomic(AtomicU64::new(0), AtomicU64::new(0))
    }
    fn plain() -> Self {
        Self::Plain(UnsafeCell::new(0))
    }
}

// SAFETY: loom checks every access to the cell; that is what it is for.
unsafe impl Sync for Word {}

impl Word64 for Word {
    fn load(&self, order: Ordering) -> u64 {
        match self {
            Self::Atomic(word, hint) => {
                hint.fetch_add(0, Relaxed);
                word.load(order)
            }
            // SAFETY: loom panics before an unordered access is made.
            Self::Plain(cell) => cell.with(|at| unsafe { *at }),
        }
    }
    fn store(&self, value: u64, order: Ordering) {
        match self {
            Self::Atomic(word, hint) => {
                hint.fetch_add(0, Relaxed);
                word.store(value, order)
            }
            // SAFETY: loom panics before an unordered access is made.
            Self::Plain(cell) => cell.with_mut(|at| unsafe { *at = value }),
        }
    }
    fn compare_exchange_weak(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        match self {
            Self::Atomic(word, hint) => {
                hint.fetch_add(0, Relaxed);
                word.compare_exchange(current, new, success, failure)
            }
            Self::Plain(_) => unreachable!("only the claim word"),
        }
    }
    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        match self {
            Self::Atomic(word, hint) => {
                hint.fetch_add(0, Relaxed);
                word.fetch_add(value, order)
            }
            Self::Plain(_) => {
                let before = self.load(order);
                self.store(before + value, order);
                before
            }
        }
    }
    fn fence(order: Ordering) {
        loom::sync::atomic::fence(order);
    }
}

const SLOTS: usize = 4;

struct Ring {
    section: Heap<Section<Word>, Word>,
    table: [[VanishedCell<Word>; MEMORY_KINDS]; 1],
    slots: Vec<Slot<Word>>,
    /// The section's lock, and how far it was read.
    read: Mutex<u64>,
}

/// Id, and whether it is the free.
type Record = (u64, bool);

fn event((id, is_free): Record) -> Event {
    let new = |kind| Event { id, time: id * 7, context: id as u32, ..Event::new(kind, Memory::Dram, 0) };
    if is_free { new(Kind::Free) } else { Event { address: id * 64, size: id * 100, ..new(Kind::Alloc) } }
}

impl Ring {
    /// With these in it already.
    fn with(records: &[Record]) -> Arc<Self> {
        // SAFETY: repr(C) and made of its words only.
        let section = unsafe { Heap::new(|at| if at == 0 { Word::atomic() } else { Word::plain() }) };
        let word = |at| if at == 0 { Word::atomic() } else { Word::plain() };
        let slots = (0..SLOTS).map(|_| Slot(core::array::from_fn(word))).collect();
        let table = [core::array::from_fn(|_| VanishedCell { bytes: Word::plain(), peak: Word::plain() })];
        let ring = Arc::new(Self { section, table, slots, read: Mutex::new(0) });
        assert_eq!(ring.push(records).len(), records.len());
        ring
    }

    /// Number and record of those that were written.
    fn push(&self, records: &[Record]) -> Vec<(u64, Record)> {
        let producer = Producer::new(&self.section.claim, &self.slots).expect("a power of two");
        let written = |record: &Record| match producer.push(&event(*record)) {
            Push::Written(seq) => Some((seq, *record)),
            Push::Full => None,
        };
        records.iter().filter_map(written).collect()
    }

    fn pushing(ring: &Arc<Self>, records: &'static [Record]) -> thread::JoinHandle<Vec<(u64, Record)>> {
        let ring = ring.clone();
        thread::spawn(move || ring.push(records))
    }

    fn compact(&self) -> u64 {
        let read = self.read.lock().expect("no panic");
        let mut scratch = vec![0; scratch_words(SLOTS)];
        let compactor = Compactor { section: &*self.section, table: &self.table, slots: &self.slots };
        compactor.compact(*read, || *read > 0, &mut scratch).expect("it can be done").freed
    }

    /// What a consumer that comes late finds in its place, from which number on, and the footprint that vanished.
    fn take_over(&self, hand_back: bool) -> (Vec<Event>, u64, u64) {
        let mut read = self.read.lock().expect("no panic");
        assert_eq!(self.section.compacting.load(Relaxed), 0);
        let start = self.section.start.load(Relaxed);
        let (from, gone) = if *read == self.section.moved_from.load(Relaxed) && start > *read {
            (start, self.table[0][0].bytes.load(Relaxed))
        } else {
            (*read, 0)
        };
        let consumer = Consumer::new(&self.slots).expect("a power of two");
        let mut seen = Vec::new();
        *read = consumer.read(from, SLOTS, |event| seen.push(event));
        if hand_back {
            consumer.release(from, *read);
        }
        (seen, from, gone)
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(f);
}

/// What is seen is what was written, whole and in its order, but for allocations that vanished together with their frees.
fn compare(mut written: Vec<(u64, Record)>, seen: &[Event], gone: u64) {
    written.sort_unstable();
    let mut left = seen.iter().peekable();
    let mut vanished = Vec::new();
    for (_, record) in &written {
        match left.next_if(|event| Event { stamp: 0, ..**event } == self::event(*record)) {
            Some(_) => {}
            None => vanished.push(*record),
        }
    }
    assert_eq!(left.next(), None, "torn, doubled or out of order: {seen:?} of {written:?}");
    let mut bytes = 0;
    for (id, is_free) in &vanished {
        let announced = written.iter().any(|(_, record)| *record == (*id, false));
        assert!(vanished.contains(&(*id, !is_free)) || *is_free && !announced, "lost: {id}, free: {is_free}");
        bytes += if *is_free { 0 } else { id * 100 };
    }
    assert_eq!(gone, bytes, "what vanished is told");
}

const FULL: [Record; 4] = [(1, false), (2, false), (1, true), (3, false)];

fn numbered(records: &[Record]) -> Vec<(u64, Record)> {
    (0..).zip(records.iter().copied()).collect()
}

/// The numbers that a consumer goes through have no gap.
fn in_a_row(seen: &[Event], from: u64) {
    assert!(seen.iter().zip(from + 1..).all(|(event, stamp)| event.stamp == stamp));
}

#[test]
fn slots_that_come_free_are_written_again() {
    model(|| {
        let ring = Ring::with(&FULL);
        let producer = Ring::pushing(&ring, &[(4, false), (4, true), (2, true)]);
        assert_eq!(ring.compact(), 2);
        let mut written = numbered(&FULL);
        written.extend(producer.join().expect("no panic"));
        let (seen, from, gone) = ring.take_over(true);
        in_a_row(&seen, from);
        assert_eq!(from + seen.len() as u64, ring.section.claim.load(Relaxed), "a published record was not read");
        compare(written, &seen, gone);
    });
}

#[test]
fn records_are_published_while_others_are_moved() {
    model(|| {
        let ring = Ring::with(&FULL[..3]);
        let threads = [Ring::pushing(&ring, &[(4, false), (4, true)]), Ring::pushing(&ring, &[(5, false)])];
        ring.compact();
        let mut written = numbered(&FULL[..3]);
        threads.into_iter().for_each(|thread| written.extend(thread.join().expect("no panic")));
        let (seen, from, gone) = ring.take_over(true);
        in_a_row(&seen, from);
        assert_eq!(from + seen.len() as u64, ring.section.claim.load(Relaxed), "a published record was not read");
        compare(written, &seen, gone);
    });
}

#[test]
fn one_compaction_after_another() {
    model(|| {
        let ring = Ring::with(&FULL);
        let producer = Ring::pushing(&ring, &[(2, true), (4, false), (4, true)]);
        let mut freed = ring.compact();
        freed += ring.compact();
        let mut written = numbered(&FULL);
        written.extend(producer.join().expect("no panic"));
        freed += ring.compact();
        let (seen, from, gone) = ring.take_over(true);
        in_a_row(&seen, from);
        assert_eq!(freed, from, "every slot before is handed back, once");
        compare(written, &seen, gone);
    });
}

/// The consumer is another process that takes the lock before or after; and is killed before it hands back.
#[test]
fn a_consumer_that_was_killed_before_it_handed_back() {
    model(|| {
        let ring = Ring::with(&FULL);
        let consumer = {
            let ring = ring.clone();
            thread::spawn(move || ring.take_over(false))
        };
        ring.compact();
        let (mut seen, from, gone) = consumer.join().expect("no panic");
        in_a_row(&seen, from);
        let mut written = numbered(&FULL);
        written.extend(ring.push(&[(2, true)]));
        let before = *ring.read.lock().expect("no panic");
        // What it had read and not handed back goes now.
        ring.compact();
        written.extend(ring.push(&[(4, false), (4, true)]));
        let (after, from, _) = ring.take_over(true);
        in_a_row(&after, from);
        assert_eq!(from, before, "nothing of these can vanish");
        seen.extend(after);
        compare(written, &seen, gone);
    });
}
