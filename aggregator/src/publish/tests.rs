#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::*;
use shm_layout::stats::{HISTORY_SAMPLES, HISTORY_SPANS, UNKNOWN};

const SECOND: u64 = 1_000_000_000;
const DRAM: usize = Memory::Dram as usize;

/// A stats segment of its own name that nobody looks at, and the clock by which it is filled. Removed at the end.
struct Filled {
    segment: Created,
    now_ns: u64,
    sampled: Vec<(u64, u32)>,
}

impl Filled {
    fn new(test: &str) -> Self {
        let prefix = Prefix::new(&format!("tt_test_samples_{}_{test}", std::process::id())).unwrap();
        let segment = segment::create(&prefix.stats(), stats_bytes()).unwrap();
        Self { segment, now_ns: 1000 * SECOND, sampled: Vec::new() }
    }

    fn view(&self) -> StatsView<'_, AtomicU64> {
        view_of(&self.segment).unwrap()
    }

    /// The aggregator looks after so many ns, and these chips hold so much.
    fn look_after(&mut self, ns: u64, chips: &[Chip]) {
        self.now_ns += ns;
        let mut sampled = core::mem::take(&mut self.sampled);
        sample(&self.view(), chips, self.now_ns, &mut sampled);
        self.sampled = sampled;
    }

    /// A look each second, at which the one chip holds these.
    fn seconds(&mut self, footprints: impl IntoIterator<Item = u64>) {
        footprints.into_iter().for_each(|bytes| self.look_after(SECOND, &[chip(1, bytes)]));
    }

    fn spans(&self) -> Vec<u64> {
        self.view().spans_below(0, DRAM, self.view().history_head())
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.segment.remove();
    }
}

fn chip(id: u64, bytes: u64) -> Chip {
    let mut chip = Chip { chip_id: id, ..bytemuck::Zeroable::zeroed() };
    chip.memory[DRAM].footprint_bytes = bytes;
    chip
}

#[test]
fn a_span_keeps_the_largest_of_its_samples() {
    let mut filled = Filled::new("largest");
    filled.seconds((0..65).map(|second| if second == 33 { 9000 } else { 100 + second }));
    assert_eq!(filled.spans(), [119, 9000, 159, 164]);
    assert_eq!(filled.view().history(0, DRAM).len(), 65);
    // Between two samples it is looked much oftener, and nothing is recorded.
    (0..9).for_each(|_| filled.look_after(SECOND / 10, &[chip(1, 77_777)]));
    assert_eq!((filled.view().history_head(), filled.spans()[3]), (65, 164));
    // Five minutes later the samples of the spike are gone, and it is not.
    filled.seconds([5; 400]);
    assert!(filled.view().history(0, DRAM).iter().all(|sample| *sample == 5));
    assert_eq!(filled.spans()[..4], [119, 9000, 159, 164]);
}

#[test]
fn a_successor_continues_the_span_that_was_begun() {
    let mut first = Filled::new("first");
    first.seconds((0..47).map(|second| if second == 41 { 8000 } else { second }));
    let mut next = Filled::new("next");
    next.view().inherit_history(&first.view());
    next.sampled = first.sampled.clone();
    next.now_ns = first.now_ns;
    // Nobody ran for five seconds.
    next.look_after(6 * SECOND, &[chip(1, 50)]);
    next.seconds([60; 10]);
    assert_eq!(next.spans(), [19, 39, 8000, 60]);
    let samples = next.view().history(0, DRAM);
    assert_eq!(
        (samples.len(), &samples[45..54]),
        (63, &[45, 46, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, 50, 60][..])
    );
}

#[test]
fn a_gap_of_an_hour_is_marked_and_as_long_as_it_was() {
    let mut filled = Filled::new("hour");
    filled.seconds([7; 50]);
    filled.look_after(3600 * SECOND, &[chip(1, 30)]);
    assert_eq!(filled.view().history_head(), 50 + 3600);
    let (samples, spans) = (filled.view().history(0, DRAM), filled.spans());
    assert_eq!(samples.len(), HISTORY_SAMPLES);
    assert!(samples[..HISTORY_SAMPLES - 1].iter().all(|sample| *sample == UNKNOWN));
    assert_eq!(samples.last(), Some(&30));
    // Samples 40 to 49 were taken, 50 to 3648 were not.
    assert_eq!((spans.len(), &spans[..4]), (183, &[7, 7, 7, UNKNOWN][..]));
    assert_eq!(spans.iter().filter(|span| **span == UNKNOWN).count(), 179);
    assert_eq!(spans.last(), Some(&30));
    // A weekend, after which nothing is known but now.
    filled.look_after(2 * 86_400 * SECOND, &[chip(1, 40)]);
    assert_eq!(filled.view().history_head(), 50 + 3600 + 2 * 86_400);
    assert!(filled.spans()[..HISTORY_SPANS - 1].iter().all(|span| *span == UNKNOWN));
    assert_eq!(filled.spans().last(), Some(&40));
}

#[test]
fn a_chip_in_the_place_of_another_one_has_none_of_its_past() {
    let mut filled = Filled::new("place");
    for _ in 0..45 {
        filled.look_after(SECOND, &[chip(1, 500), chip(2, 600)]);
    }
    filled.look_after(SECOND, &[chip(1, 500), chip(3, 20)]);
    let view = filled.view();
    let of = |at| (view.history(at, DRAM), view.spans_below(at, DRAM, view.history_head()));
    let (samples, spans) = of(1);
    assert!(samples[..45].iter().all(|sample| *sample == 0) && samples[45] == 20);
    assert_eq!(spans, [0, 0, 20]);
    assert_eq!(of(0), (vec![500; 46], vec![500; 3]));
}
