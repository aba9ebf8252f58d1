//! The ring is a queue, whatever is done to it: random operations against a model, any words in its slots.

mod support;

use core::sync::atomic::Ordering::{Relaxed, Release};
use proptest::collection::vec;
use proptest::prelude::*;
use shm_layout::ring::{Drained, Push};
use std::collections::VecDeque;
use support::cases::{LONG, config};
use support::ring::Ring;
use support::{record, which};

#[derive(Clone, Copy, Debug)]
enum RingOp {
    Push,
    /// A thread claims and dies.
    Hole,
    Read(usize),
    Release(u64),
    /// A new consumer, which begins behind everything read so far.
    Successor,
}

fn ring_op() -> impl Strategy<Value = RingOp> {
    prop_oneof![
        8 => Just(RingOp::Push),
        1 => Just(RingOp::Hole),
        4 => (0..6_usize).prop_map(RingOp::Read),
        4 => (0..6_u64).prop_map(RingOp::Release),
        1 => Just(RingOp::Successor),
    ]
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn ring_behaves_like_a_queue(log in 0..4_u32, ops in vec(ring_op(), 0..LONG), hostile_claim in any::<u64>()) {
        let capacity = 1_u64 << log;
        let ring = Ring::new(capacity as usize);
        // What was claimed and not yet read: None is a hole.
        let mut queue: VecDeque<Option<u64>> = VecDeque::new();
        let (mut claimed, mut read, mut released) = (0_u64, 0_u64, 0_u64);
        for op in ops {
            prop_assert_eq!(ring.producer().next(), claimed);
            let full = claimed - released == capacity;
            match op {
                RingOp::Push => {
                    let expected = if full { Push::Full } else { Push::Written(claimed) };
                    prop_assert_eq!(ring.producer().push(&record(7, claimed)), expected);
                    if !full {
                        queue.push_back(Some(claimed));
                        claimed += 1;
                    }
                }
                RingOp::Hole if !full => {
                    ring.claim.store(claimed + 1, Relaxed);
                    queue.push_back(None);
                    claimed += 1;
                }
                RingOp::Hole => {}
                RingOp::Read(max) => {
                    let mut expected = Vec::new();
                    while expected.len() < max && matches!(queue.front(), Some(Some(_))) {
                        expected.extend(queue.pop_front().flatten());
                    }
                    let mut seen = Vec::new();
                    let to = ring.consumer().read(read, max, |event| {
                        assert_eq!(event.stamp - 1, event.id & 0xFFFF_FFFF);
                        seen.push(which(&event).1);
                    });
                    read += expected.len() as u64;
                    prop_assert_eq!((to, seen), (read, expected));
                }
                RingOp::Release(count) => {
                    let to = (released + count).min(read);
                    ring.consumer().release(released, to);
                    released = to;
                }
                RingOp::Successor => {
                    ring.consumer().release_unreturned(read);
                    released = read;
                }
            }
        }
        // The process dies: to the end, and no further whatever the claim word says.
        let holes = queue.iter().filter(|record| record.is_none()).count() as u64;
        let expected: Vec<u64> = queue.into_iter().flatten().collect();
        let mut seen = Vec::new();
        let (end, found) = ring.consumer().drain_dead(read, claimed, |event| seen.push(which(&event).1));
        prop_assert_eq!(&seen, &expected);
        prop_assert_eq!((end, found), (claimed, Drained { read: seen.len() as u64, torn: holes }));
        let (end, found) = ring.consumer().drain_dead(read, hostile_claim, |_| {});
        prop_assert!(end >= read && end - read <= capacity && found.read + found.torn == end - read);
    }

    /// Whatever lies in the slots: bounded, no panic, and only stamps that are expected are read.
    #[test]
    #[cfg_attr(miri, ignore = "making random words takes miri minutes; threads.rs instead")]
    fn consumer_survives_any_words(
        words in vec(prop_oneof![any::<u64>(), 0..12_u64, (0..12_u64).prop_map(|n| !n)], 32),
        from in prop_oneof![0..9_u64, any::<u64>()],
        claim in prop_oneof![0..12_u64, any::<u64>()],
        max in prop_oneof![0..9_usize, any::<usize>()],
    ) {
        let ring = Ring::new(4);
        for (slot, words) in ring.slots.iter().zip(words.chunks(8)) {
            slot.0.iter().zip(words).for_each(|(to, word)| to.store(*word, Relaxed));
        }
        let mut count = 0;
        let to = ring.consumer().read(from, max, |event| {
            assert_eq!(event.stamp, (from + count).wrapping_add(1));
            count += 1;
        });
        prop_assert!(to == from + count && count <= 4);
        let (end, found) = ring.consumer().drain_dead(from, claim, |_| {});
        prop_assert!(end - from <= 4 && found.read + found.torn == end - from);
        ring.consumer().release_unreturned(from);
    }
}

#[test]
fn release_pairs_with_nothing_else() {
    // A stamp that a producer would write and one that a consumer would write never meet, whatever the lap.
    let ring = Ring::new(1);
    for n in 0..5 {
        assert_eq!(ring.producer().push(&record(1, n)), Push::Written(n));
        assert_eq!(ring.producer().push(&record(1, n)), Push::Full);
        assert_eq!(ring.consumer().read(n, 9, |_| {}), n + 1);
        ring.consumer().release(n, n + 1);
        assert_eq!(ring.consumer().read_one(n), None);
        ring.claim.fetch_add(0, Release);
    }
}
