//! The past of a chip's memory in a stats segment: both rings beside a list of everything that was ever recorded.

mod support;

use shm_layout::event::{MEMORY_KINDS, Memory};
use shm_layout::stats::{
    HISTORY_SAMPLES, HISTORY_SAMPLES_PER_SPAN, HISTORY_SPANS, StatsHeader, StatsView, UNKNOWN, stats_bytes,
    stats_histories,
};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use support::heap::Heap;

const L1: usize = Memory::L1 as usize;
const CHIP: usize = 2;
const PER_SPAN: usize = HISTORY_SAMPLES_PER_SPAN as usize;

/// The words of a segment.
struct Words {
    header: Heap<StatsHeader<AtomicU64>, AtomicU64>,
    rest: Vec<AtomicU64>,
}

impl Words {
    fn new() -> Self {
        let words = || AtomicU64::new(0);
        // SAFETY: repr(C) and made of its words only.
        let header = unsafe { Heap::new(|_| AtomicU64::new(0)) };
        Self { header, rest: (0..(stats_bytes() - size_of::<StatsHeader<AtomicU64>>()) / 8).map(|_| words()).collect() }
    }

    fn view(&self) -> StatsView<'_, AtomicU64> {
        StatsView::new(&self.header, &self.rest).expect("the whole segment")
    }

    /// Words of the histories that are not zero.
    fn used(&self) -> usize {
        let words = stats_histories().len() / 8;
        // Relaxed: one thread.
        self.rest[..words].iter().filter(|word| word.load(Relaxed) != 0).count()
    }
}

/// What a reader must find after these samples.
fn must_be(view: &StatsView<'_, AtomicU64>, all: &[u64]) {
    let head = view.history_head();
    assert_eq!(head as usize, all.len());
    assert_eq!(view.history(CHIP, L1), all[all.len().saturating_sub(HISTORY_SAMPLES)..], "of {}", all.len());
    let largest = |span: &[u64]| span.iter().copied().filter(|sample| *sample != UNKNOWN).max().unwrap_or(UNKNOWN);
    let spans: Vec<u64> = all.chunks(PER_SPAN).map(largest).collect();
    assert_eq!(
        view.spans_below(CHIP, L1, head),
        spans[spans.len().saturating_sub(HISTORY_SPANS)..],
        "of {}",
        all.len()
    );
}

/// A fixed sequence that looks like noise (splitmix64).
fn dice(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 20
}

#[test]
#[cfg_attr(miri, ignore = "megabytes, word by word")]
fn both_rings_tell_what_was_recorded_over_gaps_and_restarts() {
    let mut words = Words::new();
    let mut all: Vec<u64> = Vec::new();
    let mut seed = 6;
    let take = |words: &Words, all: &mut Vec<u64>, count: u64, seed: &mut u64| {
        for _ in 0..count {
            let footprint = dice(seed) % 1000;
            words.view().record_sample(CHIP, L1, all.len() as u64, footprint);
            words.view().advance_history(all.len() as u64);
            all.push(footprint);
        }
    };
    // Every way in which a gap can lie in the spans, and gaps longer than each of the rings.
    for gap in (0..50).chain([299, 300, 301, 3600, 14_380, 14_399, 14_400, 14_401, 14_420, 100_000]).rev() {
        let before = dice(&mut seed) % 47;
        take(&words, &mut all, before, &mut seed);
        must_be(&words.view(), &all);
        let head = words.view().skip_samples(CHIP + 1, all.len() as u64, gap);
        all.resize(all.len() + gap as usize, UNKNOWN);
        assert_eq!(head as usize, all.len());
        must_be(&words.view(), &all);
        // The next aggregator makes a segment of its own.
        if gap % 3 == 0 {
            let next = Words::new();
            next.view().inherit_history(&words.view());
            words = next;
            must_be(&words.view(), &all);
        }
    }
    take(&words, &mut all, 15_000, &mut seed);
    must_be(&words.view(), &all);
}

#[test]
#[cfg_attr(miri, ignore = "megabytes, word by word")]
fn what_is_not_there_is_not_touched() {
    let words = Words::new();
    words.view().skip_samples(2, 0, 50_000);
    words.view().record_sample(1, L1, 50_000, 77);
    let one = MEMORY_KINDS * (HISTORY_SAMPLES + HISTORY_SPANS);
    assert_eq!(words.used(), 2 * one);
    let next = Words::new();
    next.view().inherit_history(&words.view());
    assert_eq!((next.used(), next.view().history_head()), (2 * one, 50_000));
    // Another chip has the second place.
    next.view().clear_history(1);
    assert_eq!(next.used(), one);
    assert!(next.view().history(1, L1).iter().all(|sample| *sample == 0));
    assert!(next.view().spans_below(1, L1, 50_000).iter().all(|sample| *sample == 0));
    // No such chips, no such kinds.
    words.view().record_sample(64, 0, 0, 1);
    words.view().record_sample(0, MEMORY_KINDS, 0, 1);
    words.view().clear_history(usize::MAX);
    assert!(words.view().history(64, 0).is_empty() && words.view().spans_below(0, MEMORY_KINDS, 1).is_empty());
    assert_eq!(words.used(), 2 * one);
}

#[test]
#[cfg_attr(miri, ignore = "megabytes, word by word")]
fn any_head_is_read() {
    let words = Words::new();
    for head in [0, 1, 19, 20, 21, 300, 14_400, u64::MAX - 1, u64::MAX] {
        words.header.history_head.store(head, Relaxed);
        let view = words.view();
        assert_eq!(view.history(0, 0).len() as u64, head.min(300));
        assert_eq!(view.spans_below(0, 0, head).len() as u64, head.div_ceil(20).min(720));
        view.skip_samples(64, head, u64::MAX);
        view.record_sample(0, 0, head, 5);
        view.advance_history(head);
    }
}

#[test]
#[cfg_attr(miri, ignore = "megabytes, word by word")]
fn a_sample_that_is_recorded_twice_counts_once_and_grows_its_span() {
    // An aggregator was killed between a sample and the head.
    let words = Words::new();
    let view = words.view();
    for head in 0..25 {
        view.record_sample(0, 0, head, 10);
        view.advance_history(head);
    }
    view.record_sample(0, 0, 25, 30);
    view.record_sample(0, 0, 25, 20);
    view.advance_history(25);
    assert_eq!((view.history(0, 0).len(), view.history(0, 0)[25]), (26, 20));
    assert_eq!(view.spans_below(0, 0, 26), [10, 30]);
    // Nobody took the next one: what is known of the span stays.
    view.record_sample(0, 0, 26, UNKNOWN);
    view.advance_history(26);
    assert_eq!((view.history(0, 0)[26], view.spans_below(0, 0, 27)), (UNKNOWN, vec![10, 30]));
}
