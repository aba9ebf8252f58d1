//! The past of every chip's memory: two rings of footprints, one of a sample a second, and one that reaches further back and
//! keeps of each span of samples the largest.
//!
//! Both are counted by one number, that of the sample: sample n lies in the first ring at n modulo its length, and in span
//! n / [`HISTORY_SAMPLES_PER_SPAN`], whose figure grows while its samples are taken. So there is one head for both, and whoever goes
//! on where another one was killed continues the span that it had begun.

use super::UNKNOWN;
use super::segment::{MAX_CHIPS, StatsView};
use crate::atomics::Word64;
use crate::event::MEMORY_KINDS;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Samples kept per chip and memory kind.
pub const HISTORY_SAMPLES: usize = 300;
/// Time between two samples.
pub const HISTORY_SECONDS_PER_SAMPLE: u64 = 1;
/// Samples that a span is made of.
pub const HISTORY_SAMPLES_PER_SPAN: u64 = 20;
/// Spans kept per chip and memory kind: four hours.
pub const HISTORY_SPANS: usize = 720;

/// Words of all samples.
pub(super) const SAMPLE_WORDS: usize = MAX_CHIPS * MEMORY_KINDS * HISTORY_SAMPLES;
/// Words of all spans.
pub(super) const SPAN_WORDS: usize = MAX_CHIPS * MEMORY_KINDS * HISTORY_SPANS;

// A chip's samples that are about to be written over lie within its spans.
const _: () = assert!(HISTORY_SAMPLES < HISTORY_SPANS * HISTORY_SAMPLES_PER_SPAN as usize);

/// The ring of one chip's memory kind, of rings of this length that lie one after the other.
fn ring<W>(all: &[W], length: usize, chip: usize, memory: usize) -> Option<&[W]> {
    if memory >= MEMORY_KINDS {
        return None;
    }
    let start = chip.checked_mul(MEMORY_KINDS)?.checked_add(memory)?.checked_mul(length)?;
    all.get(start..start.checked_add(length)?)
}

/// The place of this number in a ring.
fn at<W>(ring: &[W], number: u64) -> &W {
    &ring[(number % ring.len() as u64) as usize]
}

/// The last numbers below `end` that a ring of this length holds.
fn kept(length: usize, end: u64) -> core::ops::Range<u64> {
    end.saturating_sub(length as u64)..end
}

impl<'a, W: Word64> StatsView<'a, W> {
    fn sample_ring(&self, chip: usize, memory: usize) -> Option<&'a [W]> {
        ring(self.samples, HISTORY_SAMPLES, chip, memory)
    }

    fn span_ring(&self, chip: usize, memory: usize) -> Option<&'a [W]> {
        ring(self.spans, HISTORY_SPANS, chip, memory)
    }

    /// Stores one sample of a chip's memory kind as number `head`, bytes; then the caller moves `history_head` past it. A sample that
    /// nobody took is [`UNKNOWN`].
    pub fn record_sample(&self, chip: usize, memory: usize, head: u64, footprint: u64) {
        let (Some(samples), Some(spans)) = (self.sample_ring(chip, memory), self.span_ring(chip, memory)) else {
            return;
        };
        // Relaxed: published by `advance_history`; a reader that is a lap behind may see it early, as one sample.
        at(samples, head).store(footprint, Relaxed);
        let span = at(spans, head / HISTORY_SAMPLES_PER_SPAN);
        // Relaxed: only the aggregator stores here, and it is published as the sample is.
        let largest = match span.load(Relaxed) {
            // What is there is four hours old.
            _ if head.is_multiple_of(HISTORY_SAMPLES_PER_SPAN) => footprint,
            UNKNOWN => footprint,
            before if footprint == UNKNOWN => before,
            before => before.max(footprint),
        };
        // Relaxed: as above.
        span.store(largest, Relaxed);
    }

    /// Shows the samples stored as number `head`.
    pub fn advance_history(&self, head: u64) {
        // SYNC(stats.history): publishes the samples; pairs with the Acquire in `history_head`.
        self.header.history_head.store(head.saturating_add(1), Release);
    }

    /// Nobody took so many samples from number `head` on, of these many chips: they are [`UNKNOWN`], and shown. The number of the
    /// next one. Takes as long for a year as for four hours.
    pub fn skip_samples(&self, chips: usize, head: u64, count: u64) -> u64 {
        let end = head.saturating_add(count);
        // The span that began before keeps what is known of it.
        let spans = head.div_ceil(HISTORY_SAMPLES_PER_SPAN)..end.div_ceil(HISTORY_SAMPLES_PER_SPAN);
        let forget = |ring: &[W], numbers: core::ops::Range<u64>| {
            let from = kept(ring.len(), numbers.end).start.max(numbers.start);
            // Relaxed: as samples that were taken.
            (from..numbers.end).for_each(|number| at(ring, number).store(UNKNOWN, Relaxed));
        };
        for (chip, memory) in (0..chips).flat_map(|chip| (0..MEMORY_KINDS).map(move |memory| (chip, memory))) {
            if let (Some(samples), Some(of_spans)) = (self.sample_ring(chip, memory), self.span_ring(chip, memory)) {
                forget(samples, head..end);
                forget(of_spans, spans.clone());
            }
        }
        if count > 0 {
            self.advance_history(end - 1);
        }
        end
    }

    /// All of this chip's past becomes that of a chip of which nothing was held: another one had the place.
    pub fn clear_history(&self, chip: usize) {
        for memory in 0..MEMORY_KINDS {
            let rings = [self.sample_ring(chip, memory), self.span_ring(chip, memory)];
            // Relaxed: as samples.
            rings.into_iter().flatten().flatten().for_each(|word| word.store(0, Relaxed));
        }
    }

    /// Copies every sample from a segment of an aggregator that is dead, with their number. Before anybody reads this one, in which
    /// nothing was recorded yet: where that one has none, no page is touched.
    pub fn inherit_history(&self, from: &StatsView<'_, W>) {
        for (to, word) in self.samples.iter().zip(from.samples).chain(self.spans.iter().zip(from.spans)) {
            // Relaxed: nobody writes the one, nobody reads the other yet.
            match word.load(Relaxed) {
                0 => {}
                footprint => to.store(footprint, Relaxed),
            }
        }
        // Relaxed: as the samples; readers come after the segment got its name.
        self.header.history_head.store(from.header.history_head.load(Relaxed), Relaxed);
        self.header.sampled.store(from.header.sampled.load(Relaxed), Relaxed);
    }

    /// The number behind the newest sample. What is below may be read, and is of this moment or newer.
    pub fn history_head(&self) -> u64 {
        // SYNC(stats.history): the samples below the head are visible; pairs with the Release in `advance_history`.
        self.header.history_head.load(Acquire)
    }

    /// The samples of a chip's memory kind, bytes, the oldest first; [`UNKNOWN`] where none was taken.
    pub fn history(&self, chip: usize, memory: usize) -> Vec<u64> {
        self.samples_below(chip, memory, self.history_head())
    }

    /// As [`history`](Self::history), up to a [head](Self::history_head) that was read before.
    pub fn samples_below(&self, chip: usize, memory: usize, head: u64) -> Vec<u64> {
        // Relaxed: ordered by the head.
        let read = |ring: &[W]| kept(HISTORY_SAMPLES, head).map(|number| at(ring, number).load(Relaxed)).collect();
        self.sample_ring(chip, memory).map(read).unwrap_or_default()
    }

    /// The spans of a chip's memory kind up to a [head](Self::history_head) that was read before, bytes, the oldest first: of each the
    /// largest sample, [`UNKNOWN`] where none was taken. The last one may still grow; its number is that of the newest sample, in
    /// spans.
    pub fn spans_below(&self, chip: usize, memory: usize, head: u64) -> Vec<u64> {
        let end = head.div_ceil(HISTORY_SAMPLES_PER_SPAN);
        // Relaxed: ordered by the head.
        let read = |ring: &[W]| kept(HISTORY_SPANS, end).map(|number| at(ring, number).load(Relaxed)).collect();
        self.span_ring(chip, memory).map(read).unwrap_or_default()
    }
}
