//! The ledger under every interleaving, weak memory included: the one writer against readers who only map it.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p shm-layout --release --test loom_ledger`
#![cfg(loom)]

mod support;

use core::sync::atomic::Ordering::Relaxed;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use shm_layout::event::{Event, Kind};
use shm_layout::ledger::{DYING, Entries, Identity, LedgerHeader, MAGIC};
use shm_layout::ring::Slot;
use support::heap::Heap;
use support::{record, which};

type Header = Heap<LedgerHeader<AtomicU64>, AtomicU64>;

fn header() -> Arc<Header> {
    // SAFETY: repr(C) and made of its words only.
    Arc::new(unsafe { Heap::new(|_| AtomicU64::new(0)) })
}

fn slots(count: usize) -> Arc<Vec<Slot<AtomicU64>>> {
    Arc::new((0..count).map(|_| Slot(core::array::from_fn(|_| AtomicU64::new(0)))).collect())
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(f);
}

/// Record `n` as it lies in a ledger.
fn entry(n: u64) -> Event {
    Event { stamp: n + 1, ..record(1, n) }
}

/// What a reader sees of the entry: whole, its stamp its own.
#[track_caller]
fn seen(slots: &[Slot<AtomicU64>]) -> Option<u64> {
    let event = Entries(slots).get(0)?;
    assert!(event.kind == DYING || event.kind == Kind::Alloc as u8);
    let (_, n) = which(&Event { kind: Kind::Alloc as u8, ..event });
    assert_eq!(event.stamp, n + 1, "the words of another record");
    Some(n)
}

#[test]
fn a_record_appears_whole_or_not_at_all() {
    model(|| {
        let slots = slots(1);
        let reader = {
            let slots = slots.clone();
            thread::spawn(move || seen(&slots))
        };
        Entries(&slots).insert(0, &entry(0));
        reader.join().expect("no panic");
        assert_eq!(seen(&slots), Some(0));
    });
}

#[test]
fn an_entry_used_again_is_never_a_mixture() {
    model(|| {
        let slots = slots(1);
        let entries = Entries(&slots);
        entries.insert(0, &entry(0));
        let reader = {
            let slots = slots.clone();
            thread::spawn(move || seen(&slots))
        };
        entries.clear(0);
        entries.insert(0, &entry(1));
        reader.join().expect("no panic");
        assert_eq!(seen(&slots), Some(1));
    });
}

#[test]
fn a_dying_entry_is_whole_until_it_is_gone() {
    model(|| {
        let slots = slots(1);
        let entries = Entries(&slots);
        entries.insert(0, &entry(0));
        let reader = {
            let slots = slots.clone();
            thread::spawn(move || (seen(&slots), seen(&slots)))
        };
        entries.mark(0, true);
        entries.clear(0);
        let (first, second) = reader.join().expect("no panic");
        assert!(first.is_some() || second.is_none(), "a removed entry came back");
        assert_eq!(seen(&slots), None);
    });
}

/// What a viewer does: commit word, copy of the block in force, commit word again.
#[test]
fn a_state_block_is_whole_if_the_commit_stayed() {
    const WORDS: usize = 2;
    model(|| {
        let header = header();
        let blocks: Arc<[Vec<AtomicU64>; 2]> =
            Arc::new([(); 2].map(|()| (0..WORDS).map(|_| AtomicU64::new(0)).collect()));
        let reader = {
            let (header, blocks) = (header.clone(), blocks.clone());
            thread::spawn(move || {
                let (applied, block) = header.committed();
                let copy: Vec<u64> = blocks[block].iter().map(|word| word.load(Relaxed)).collect();
                if header.committed() == (applied, block) {
                    assert_eq!(copy, [applied; WORDS], "words of another commit");
                }
            })
        };
        for applied in 1..=3 {
            let block = (applied % 2) as usize;
            for word in &blocks[block] {
                word.store(applied, Relaxed);
            }
            header.commit(applied, block);
        }
        reader.join().expect("no panic");
        assert_eq!(header.committed(), (3, 1));
    });
}

/// Whoever sees a commit sees the entries that it covers.
#[test]
fn a_commit_shows_its_entries() {
    model(|| {
        let (header, slots) = (header(), slots(1));
        let reader = {
            let (header, slots) = (header.clone(), slots.clone());
            thread::spawn(move || {
                if header.committed().0 == 1 {
                    assert_eq!(seen(&slots), Some(0));
                }
            })
        };
        Entries(&slots).insert(0, &entry(0));
        header.commit(1, 1);
        reader.join().expect("no panic");
    });
}

#[test]
fn whoever_sees_the_magic_sees_the_identity() {
    model(|| {
        let header = header();
        let words = Identity { reserved: [9; 10], ..bytemuck::cast([0x0101_0101_0101_0101_u64; 16]) };
        let creator = {
            let header = header.clone();
            thread::spawn(move || {
                header.set_capacity(8);
                header.announce(words);
            })
        };
        let seen = header.identity();
        if seen.magic != 0 {
            assert_eq!((seen.magic, seen.nonce, seen.reserved), (MAGIC, words.nonce, [9; 10]));
            assert_eq!((seen.check(), header.capacity()), (Ok(()), 8));
        }
        creator.join().expect("no panic");
        assert_eq!(header.identity().check(), Ok(()));
    });
}
