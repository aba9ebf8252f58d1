//! The ring under every interleaving, weak memory included.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p shm-layout --release --test loom_ring`
//!
//! The words of a record are plain cells here, not atomics: loom fails at the first access that nothing orders. So a
//! passing model says more than "no torn record was seen": no record can be torn.
#![cfg(loom)]

mod support;

use core::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use shm_layout::atomics::Word64;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::ring::{Consumer, DropTable, Identity, MAGIC, Producer, Push, RingHeader, Slot};
use support::heap::Heap;
use support::{record, which};

/// A word that is atomic (claim, stamp), or plain memory whose accesses must be ordered by others.
///
/// Loom remembers one last access of an object, so a thread's own load hides from it that another thread's load before
/// that could also have come after the store that follows: half of the schedules are never tried. A second word that is
/// added to before each access makes every two accesses depend on each other. It orders nothing: Relaxed, and the ring
/// has no fences.
enum Word {
    Atomic(AtomicU64, AtomicU64),
    Plain(UnsafeCell<u64>),
}

impl Word {
    fn atomic() -> Self {
        Self::Atomic(AtomicU64::new(0), AtomicU64::new(0))
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
            Self::Plain(_) => unreachable!("words of records are only loaded and stored"),
        }
    }
    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        match self {
            Self::Atomic(word, hint) => {
                hint.fetch_add(0, Relaxed);
                word.fetch_add(value, order)
            }
            Self::Plain(_) => unreachable!("words of records are only loaded and stored"),
        }
    }
    fn fence(order: Ordering) {
        loom::sync::atomic::fence(order);
    }
}

struct Ring {
    claim: Word,
    slots: Vec<Slot<Word>>,
}

impl Ring {
    fn new(slots: usize) -> Arc<Self> {
        let word = |at| if at == 0 { Word::atomic() } else { Word::Plain(UnsafeCell::new(0)) };
        let slots = (0..slots).map(|_| Slot(core::array::from_fn(word))).collect();
        Arc::new(Self { claim: Word::atomic(), slots })
    }

    fn producer(&self) -> Producer<'_, Word> {
        Producer::new(&self.claim, &self.slots).expect("a power of two")
    }

    fn consumer(&self) -> Consumer<'_, Word> {
        Consumer::new(&self.slots).expect("a power of two")
    }

    /// Pushes records `0..count` of this thread; sequence number and record of those that were written.
    fn push_all(&self, thread: u32, count: u64) -> Vec<(u64, u64)> {
        let written = |n| match self.producer().push(&record(thread, n)) {
            Push::Written(seq) => Some((seq, n)),
            Push::Full => None,
        };
        (0..count).filter_map(written).collect()
    }

    /// Claims the next record as `push` does, stores some of its words and dies.
    fn die_in_push(&self, thread: u32) -> Option<u64> {
        let slots = self.slots.len() as u64;
        let mut seq = self.claim.load(Relaxed);
        loop {
            let slot = &self.slots[(seq % slots) as usize];
            let free = if seq < slots { 0 } else { !(seq + 1 - slots) };
            if slot.0[0].load(Acquire) != free {
                let now = self.claim.load(Relaxed);
                if now == seq {
                    return None;
                }
                seq = now;
                continue;
            }
            match self.claim.compare_exchange_weak(seq, seq + 1, Relaxed, Relaxed) {
                Ok(_) => {
                    for (to, word) in slot.0.iter().zip(record(thread, 0).to_words()).skip(1).take(3) {
                        to.store(word, Relaxed);
                    }
                    return Some(seq);
                }
                Err(found) => seq = found,
            }
        }
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(f);
}

/// Everything written was read once, in the order of its sequence number, whole.
fn compare(seen: &[Event], mut written: Vec<(u64, (u32, u64))>) {
    written.sort_unstable();
    let seen: Vec<_> = seen.iter().map(|event| (event.stamp - 1, which(event))).collect();
    assert_eq!(seen, written);
    for thread in [1, 2] {
        let order: Vec<u64> = seen.iter().filter(|(_, (of, _))| *of == thread).map(|(_, (_, n))| *n).collect();
        assert!(order.is_sorted(), "reordered");
    }
}

/// Two producing threads and the consumer, who looks `looks` times while they push. Records that were written.
fn two_producers(slots: usize, each: [u64; 2], looks: usize) -> usize {
    let ring = Ring::new(slots);
    let threads = [1, 2].map(|name| {
        let ring = ring.clone();
        thread::spawn(move || ring.push_all(name, each[name as usize - 1]))
    });
    let (mut seen, mut next) = (Vec::new(), 0);
    let mut look = |max| {
        let to = ring.consumer().read(next, max, |event| seen.push(event));
        ring.consumer().release(next, to);
        next = to;
        to
    };
    for _ in 0..looks {
        look(2);
    }
    let mut written = Vec::new();
    for (name, handle) in (1..).zip(threads) {
        written.extend(handle.join().expect("no panic").into_iter().map(|(seq, n)| (seq, (name, n))));
    }
    assert_eq!(look(usize::MAX), ring.claim.load(Relaxed), "a published record was not read");
    let count = written.len();
    compare(&seen, written);
    count
}

#[test]
fn two_producers_two_slots_wrap_and_full() {
    model(|| {
        let written = two_producers(2, [2, 2], 2);
        assert!((2..=4).contains(&written), "two fit in any case");
    });
}

#[test]
fn two_producers_two_slots_three_laps() {
    model(|| {
        two_producers(2, [4, 1], 2);
    });
}

/// Contention is no reason to be full.
#[test]
fn two_producers_four_slots_are_never_full() {
    model(|| assert_eq!(two_producers(4, [2, 2], 1), 4));
}

#[test]
fn two_producers_four_slots_wrap() {
    model(|| {
        two_producers(4, [3, 2], 1);
    });
}

#[test]
fn full_exactly_when_full() {
    model(|| {
        let ring = Ring::new(2);
        assert_eq!(ring.push_all(1, 3), [(0, 0), (1, 1)]);
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || {
                let to = ring.consumer().read(0, 1, |event| assert_eq!(which(&event), (1, 0)));
                ring.consumer().release(0, to);
            })
        };
        // Written only if the slot has come back; a second one never.
        let meanwhile = ring.push_all(2, 2);
        assert!(meanwhile.is_empty() || meanwhile.len() == 1 && meanwhile[0].0 == 2);
        reader.join().expect("no panic");
        let after = ring.push_all(3, 2);
        assert_eq!(meanwhile.len() + after.len(), 1, "one slot came back, one record goes in");
    });
}

/// One producer a lap ahead of a consumer who hands back slot by slot: a slot written before it was read would be an
/// unordered access.
#[test]
fn no_slot_is_written_before_it_was_read() {
    model(|| {
        let ring = Ring::new(2);
        let producer = {
            let ring = ring.clone();
            thread::spawn(move || ring.push_all(1, 4))
        };
        let (mut seen, mut next) = (Vec::new(), 0);
        for _ in 0..4 {
            let to = ring.consumer().read(next, 1, |event| seen.push(event));
            ring.consumer().release(next, to);
            next = to;
        }
        let written = producer.join().expect("no panic");
        ring.consumer().read(next, usize::MAX, |event| seen.push(event));
        compare(&seen, written.into_iter().map(|(seq, n)| (seq, (1, n))).collect());
    });
}

/// A consumer that was killed between commit and release: its successor hands the slots back, once.
#[test]
fn a_successor_returns_what_its_predecessor_did_not() {
    model(|| {
        let ring = Ring::new(2);
        assert_eq!(ring.push_all(1, 2).len(), 2);
        let applied = ring.consumer().read(0, 2, |_| {});
        ring.consumer().release(0, 1);
        let producer = {
            let ring = ring.clone();
            thread::spawn(move || ring.push_all(2, 2))
        };
        ring.consumer().release_unreturned(applied);
        let mut written = producer.join().expect("no panic");
        written.extend(ring.push_all(2, 2 - written.len() as u64));
        assert_eq!(written.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2, 3]);
        let mut seen = Vec::new();
        assert_eq!(ring.consumer().read(applied, 9, |event| seen.push(which(&event).0)), 4);
        assert_eq!(seen, [2, 2]);
    });
}

/// A thread dies between claim and publish, another goes on: the hole stops the reader, is never written over, and is
/// skipped and counted once the process is dead.
#[test]
fn a_hole_is_kept_and_then_skipped() {
    model(|| {
        let ring = Ring::new(2);
        let dying = {
            let ring = ring.clone();
            thread::spawn(move || ring.die_in_push(9))
        };
        let living = {
            let ring = ring.clone();
            thread::spawn(move || ring.push_all(1, 2))
        };
        let (mut seen, mut next) = (Vec::new(), 0);
        for _ in 0..2 {
            let to = ring.consumer().read(next, 1, |event| seen.push(event));
            ring.consumer().release(next, to);
            next = to;
        }
        let hole = dying.join().expect("no panic");
        let mut written = living.join().expect("no panic");
        // The process lives on and comes round to the hole: nothing gets past it.
        written.extend(ring.push_all(1, 3).into_iter().map(|(seq, n)| (seq, n + 100)));
        let claim = ring.claim.load(Relaxed);
        if let Some(hole) = hole {
            assert!(ring.consumer().read(next, usize::MAX, |_| {}) <= hole, "read past the hole");
            assert!(claim - hole <= 2, "claimed over the hole");
            let slot = &ring.slots[(hole % 2) as usize];
            for (at, word) in record(9, 0).to_words().into_iter().enumerate().skip(1).take(3) {
                assert_eq!(slot.0[at].load(Relaxed), word, "the hole was written over");
            }
        }
        let (end, found) = ring.consumer().drain_dead(next, claim, |event| seen.push(event));
        assert_eq!((end, found.torn), (claim, u64::from(hole.is_some())));
        assert_eq!(seen.len(), written.len());
        for (event, (seq, n)) in seen.iter().zip(&written) {
            assert_eq!((event.stamp, which(event)), (seq + 1, (1, n % 100)));
        }
    });
}

/// What does not fit is counted exactly, and `dropped` (stored Release, loaded Acquire) never runs ahead of the table.
#[test]
fn drops_add_up() {
    model(|| {
        let ring = Ring::new(1);
        // SAFETY: repr(C) and made of its words only.
        let drops = Arc::new(unsafe { Heap::<DropTable<AtomicU64>, AtomicU64>::new(|_| AtomicU64::new(0)) });
        let dropped = Arc::new(AtomicU64::new(0));
        let lose = |ring: &Ring, drops: &DropTable<AtomicU64>, dropped: &AtomicU64, kind, size| {
            let event = Event { size, ..Event::new(kind, Memory::Cb, 63) };
            let full = ring.producer().push(&event) == Push::Full;
            if full {
                assert!(drops.count(&event));
                dropped.fetch_add(1, Release);
            }
            u64::from(full)
        };
        let other = {
            let (ring, drops, dropped) = (ring.clone(), drops.clone(), dropped.clone());
            thread::spawn(move || lose(&ring, &drops, &dropped, Kind::Alloc, 5))
        };
        let reader = {
            let (drops, dropped) = (drops.clone(), dropped.clone());
            thread::spawn(move || {
                let said = dropped.load(Acquire);
                let cell = &drops.cells[63][Memory::Cb as usize];
                let counted = cell.allocated_blocks.load(Relaxed) + cell.freed_blocks.load(Relaxed);
                assert!(counted >= said, "a drop was announced before it was counted");
            })
        };
        let mine = lose(&ring, &drops, &dropped, Kind::Free, 7);
        let others = other.join().expect("no panic");
        reader.join().expect("no panic");
        let cell = &drops.cells[63][Memory::Cb as usize];
        let sums = [&cell.allocated_bytes, &cell.allocated_blocks, &cell.freed_bytes, &cell.freed_blocks];
        assert_eq!(sums.map(|word| word.load(Relaxed)), [others * 5, others, mine * 7, mine]);
        assert_eq!(mine + others, 1, "one slot");
    });
}

#[test]
fn drops_of_two_threads_in_one_cell_add_up() {
    model(|| {
        // SAFETY: repr(C) and made of its words only.
        let drops = Arc::new(unsafe { Heap::<DropTable<AtomicU64>, AtomicU64>::new(|_| AtomicU64::new(0)) });
        let event = |size| Event { size, ..Event::new(Kind::Alloc, Memory::Dram, 0) };
        let other = {
            let drops = drops.clone();
            thread::spawn(move || drops.count(&event(5)) && drops.count(&event(6)))
        };
        assert!(drops.count(&event(7)) && other.join().expect("no panic"));
        let cell = &drops.cells[0][0];
        let sums = [&cell.allocated_bytes, &cell.allocated_blocks].map(|word| word.fetch_add(0, AcqRel));
        assert_eq!(sums, [18, 3]);
    });
}

#[test]
fn whoever_sees_the_magic_sees_the_identity() {
    model(|| {
        // SAFETY: repr(C) and made of its words only.
        let header = Arc::new(unsafe { Heap::<RingHeader<AtomicU64>, AtomicU64>::new(|_| AtomicU64::new(0)) });
        let identity: Identity = bytemuck::cast(core::array::from_fn::<u64, 32, _>(|at| at as u64 * 77 + 1));
        let creator = {
            let header = header.clone();
            thread::spawn(move || header.announce(&identity))
        };
        let seen = header.identity();
        assert!(seen.magic == 0 || seen == Identity { magic: MAGIC, ..identity });
        creator.join().expect("no panic");
        assert_eq!(header.identity(), Identity { magic: MAGIC, ..identity });
    });
}
