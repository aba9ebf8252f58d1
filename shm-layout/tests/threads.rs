//! Real threads over heap memory: what the models prove, at length here and word by word under miri.
//!
//! `cargo +nightly miri test -p shm-layout` runs these small.

mod support;

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU64};
use shm_layout::event::{Event, Kind};
use shm_layout::ledger::{Entries, LedgerHeader};
use shm_layout::ring::{Consumer, DropTable, HEADER_BYTES, Identity, MAGIC, Producer, Push, RingHeader, Slot};
use shm_layout::seqlock::Snapshots;
use std::thread;
use support::heap::Heap;
use support::{record, which};

/// Small under miri, whose steps take microseconds.
const fn times(native: u64, miri: u64) -> u64 {
    if cfg!(miri) { miri } else { native }
}

type Words<T> = Heap<T, AtomicU64>;

fn zeroed<T>() -> Words<T> {
    // SAFETY: used below with mapped types only, which are repr(C) and made of atomic words.
    unsafe { Heap::new(|_| AtomicU64::new(0)) }
}

#[test]
fn two_producers_and_a_consumer() {
    let each = times(200_000, 60);
    let (header, drops, slots) =
        (zeroed::<RingHeader<AtomicU64>>(), zeroed::<DropTable<AtomicU64>>(), zeroed::<[Slot<AtomicU64>; 8]>());
    let (full, done) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for name in [1, 2] {
            let (header, drops, slots, full, done) = (&header, &drops, &slots, &full, &done);
            scope.spawn(move || {
                let producer = Producer::new(&header.sections[0].claim, &**slots).expect("a power of two");
                for n in 0..each {
                    let event = record(name, n);
                    while producer.push(&event) == Push::Full {
                        assert!(drops.count(&Event { device: 0, size: 1, footprint: 0, flags: 0, ..event }));
                        full.fetch_add(1, Relaxed);
                        thread::yield_now();
                    }
                }
                done.fetch_add(1, Release);
            });
        }
        let consumer = Consumer::new(&*slots).expect("a power of two");
        let (mut next, mut expected) = (0, [0, 0, 0]);
        loop {
            let ended = done.load(Acquire) == 2;
            let to = consumer.read(next, 5, |event| {
                let (name, n) = which(&event);
                assert_eq!(n, expected[name as usize], "lost, twice or reordered");
                expected[name as usize] += 1;
            });
            consumer.release(next, to);
            if ended && to == next {
                break;
            }
            next = to;
            thread::yield_now();
        }
        assert_eq!((expected, next), ([0, each, each], header.sections[0].claim.load(Relaxed)));
    });
    let counted: u64 = drops.cells.iter().flatten().map(|cell| cell.allocated_blocks.load(Relaxed)).sum();
    let bytes: u64 = drops.cells.iter().flatten().map(|cell| cell.allocated_bytes.load(Relaxed)).sum();
    assert_eq!((counted, bytes), (full.load(Relaxed), full.load(Relaxed)));
}

/// Somebody writes anything anywhere while the consumer reads: it stays bounded, and what it copies is its own.
#[test]
fn a_scribbler_costs_only_its_own_records() {
    let slots = zeroed::<[Slot<AtomicU64>; 4]>();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 1_u64;
            while !stop.load(Relaxed) {
                n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Often a stamp that is expected, else anything.
                let value = if n >> 60 < 12 { (n >> 40) % 12 } else { n };
                slots.words()[(n >> 33) as usize % 32].store(value, Relaxed);
            }
        });
        let consumer = Consumer::new(&*slots).expect("a power of two");
        for round in 0..times(200_000, 40) {
            let from = round % 8;
            let mut count = 0;
            let to = consumer.read(from, 6, |event| {
                count += 1;
                assert_eq!(event.stamp, from + count);
                let _any = (Kind::from_u8(event.kind), event.taken());
            });
            assert!(to - from == count && count <= 6);
            let (end, _) = consumer.drain_dead(from, u64::MAX, |_| {});
            assert_eq!(end, from + 4);
            consumer.release_unreturned(from);
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn snapshots_are_whole() {
    let rounds = times(50_000, 30);
    let (active, buffers) = (AtomicU64::new(0), [(); 2].map(|()| zeroed::<[AtomicU64; 10]>()));
    let snapshots = Snapshots::new(&active, [&*buffers[0], &*buffers[1]]).expect("two of a size");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut words = Vec::new();
                while !stop.load(Relaxed) {
                    if snapshots.read_within(&mut words, 3) {
                        assert!(words.len() as u64 == words[0] % 8 + 1 && words.iter().all(|word| *word == words[0]));
                    }
                    thread::yield_now();
                }
            });
        }
        for n in 1..=rounds {
            snapshots.publish(&vec![n; (n % 8 + 1) as usize]);
        }
        stop.store(true, Relaxed);
    });
    let mut words = Vec::new();
    assert!(snapshots.read(&mut words) && words[0] == rounds);
}

#[test]
fn entries_are_whole() {
    let rounds = times(200_000, 60);
    let (header, slots) = (zeroed::<LedgerHeader<AtomicU64>>(), zeroed::<[Slot<AtomicU64>; 2]>());
    let entries = Entries(&*slots);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                for at in 0..3 {
                    if let Some(event) = entries.get(at) {
                        let (_, n) = which(&Event { kind: Kind::Alloc as u8, ..event });
                        assert_eq!(event.stamp, n + 1);
                    }
                }
                thread::yield_now();
            }
        });
        for n in 0..rounds {
            let at = (n % 2) as usize;
            entries.insert(at, &Event { stamp: n + 1, ..record(1, n) });
            header.commit(n, at);
            entries.mark(at, true);
            if n % 3 == 0 {
                entries.mark(at, false);
            }
            entries.clear(at);
            header.settle();
        }
        stop.store(true, Relaxed);
    });
    assert_eq!((entries.get(0), entries.get(1)), (None, None));
}

#[test]
fn the_identity_is_announced_whole() {
    for _ in 0..times(2_000, 10) {
        let header = zeroed::<RingHeader<AtomicU64>>();
        let identity = Identity { magic: MAGIC, ..bytemuck::cast([0x5A_u8; 256]) };
        thread::scope(|scope| {
            scope.spawn(|| header.announce(&identity));
            let seen = header.identity();
            assert!(seen.magic == 0 || seen == identity);
        });
        assert_eq!(header.identity(), identity);
        assert_eq!(header.words().len() * 8, HEADER_BYTES);
    }
}
