//! The past of the chips' memory, as the aggregator's two rings tell it, and windows of time on it.
//!
//! A second each for the last five minutes; beyond, of every twenty seconds the largest sample.

use crate::source::Observation;
use crate::units;
use shm_layout::event::{MEMORY_KINDS, Memory};
use shm_layout::stats::{HISTORY_SAMPLES_PER_SPAN, HISTORY_SECONDS_PER_SAMPLE, HISTORY_SPANS, StatsView, UNKNOWN};
use std::sync::atomic::AtomicU64;

/// The footprints of one chip over time, bytes, by memory kind, the oldest first; [`UNKNOWN`] where nobody looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// One a second.
    pub samples: [Vec<u64>; MEMORY_KINDS],
    /// One for [`HISTORY_SAMPLES_PER_SPAN`] samples, the largest of them; the last one may still grow.
    pub spans: [Vec<u64>; MEMORY_KINDS],
}

/// How much of the past is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    seconds: u64,
}

/// What has come in some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Bytes more, or fewer.
    pub bytes: i64,
    /// The time that is known of, s: the window, or less of it.
    pub seconds: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { seconds: 300 }
    }
}

impl Window {
    /// All of them, the shortest first; the longest is all that is kept.
    pub const ALL: [Self; 9] = [
        Self { seconds: 30 },
        Self { seconds: 60 },
        Self { seconds: 120 },
        Self { seconds: 300 },
        Self { seconds: 600 },
        Self { seconds: 900 },
        Self { seconds: 1800 },
        Self { seconds: 3600 },
        Self { seconds: HISTORY_SPANS as u64 * HISTORY_SAMPLES_PER_SPAN * HISTORY_SECONDS_PER_SAMPLE },
    ];

    /// Its length, s.
    pub const fn seconds(self) -> u64 {
        self.seconds
    }

    /// The next longer one; after the longest comes the shortest.
    pub fn longer(self) -> Self {
        Self::ALL.into_iter().find(|other| other.seconds > self.seconds).unwrap_or(Self::ALL[0])
    }

    /// The next shorter one; after the shortest comes the longest.
    pub fn shorter(self) -> Self {
        let shorter = Self::ALL.into_iter().rev().find(|other| other.seconds < self.seconds);
        shorter.unwrap_or(Self::ALL[Self::ALL.len() - 1])
    }

    /// `30s`, `10m`, `4h`.
    pub fn name(self) -> String {
        round_time(self.seconds)
    }

    /// Its length in samples.
    const fn samples(self) -> u64 {
        self.seconds / HISTORY_SECONDS_PER_SAMPLE
    }

    /// Samples that are compared as one at either end: a job that takes and gives memory at each of its steps has not grown because
    /// it was looked at in different ones.
    fn step(self) -> u64 {
        (self.samples() / 30).clamp(1, HISTORY_SAMPLES_PER_SPAN)
    }
}

/// A time that is whole hours, minutes or seconds: `30s`, `10m`, `4h`.
pub fn round_time(seconds: u64) -> String {
    match seconds {
        _ if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

impl Growth {
    /// The time: the window's name, or how much of it is known.
    pub fn time(&self, window: Window) -> String {
        if self.seconds + window.step() * HISTORY_SECONDS_PER_SAMPLE >= window.seconds {
            window.name()
        } else {
            units::age(self.seconds.saturating_mul(1_000_000_000))
        }
    }

    /// `+1.20 GiB in 10m`.
    pub fn words(&self, window: Window) -> String {
        format!("{} in {}", units::change(self.bytes), self.time(window))
    }

    /// `+1.20G 10m`.
    pub fn short(&self, window: Window) -> String {
        format!("{} {}", units::short_change(self.bytes), self.time(window))
    }
}

/// The largest that is known; [`UNKNOWN`] of nothing.
fn largest(figures: impl IntoIterator<Item = u64>) -> u64 {
    figures.into_iter().filter(|figure| *figure != UNKNOWN).max().unwrap_or(UNKNOWN)
}

/// One memory kind's rings, by number: the sample `head` is the next one to come.
struct Series<'a> {
    samples: &'a [u64],
    spans: &'a [u64],
    head: u64,
    /// Number of the oldest sample.
    first: u64,
    /// Number of the oldest span.
    first_span: u64,
}

impl<'a> Series<'a> {
    fn new(history: &'a History, memory: Memory, head: u64) -> Self {
        let (samples, spans) = (&history.samples[memory as usize][..], &history.spans[memory as usize][..]);
        let first = head.saturating_sub(samples.len() as u64);
        let first_span = head.div_ceil(HISTORY_SAMPLES_PER_SPAN).saturating_sub(spans.len() as u64);
        Self { samples, spans, head, first, first_span }
    }

    fn sample(&self, number: u64) -> u64 {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.samples.get(at)).copied().unwrap_or(UNKNOWN)
    }

    fn span(&self, number: u64) -> u64 {
        let at = number.checked_sub(self.first_span).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.spans.get(at)).copied().unwrap_or(UNKNOWN)
    }

    /// The largest of these samples: themselves, as far back as they reach, else the spans that begin among them, or the one in
    /// which they are.
    fn largest(&self, from: u64, to: u64) -> u64 {
        let samples = (from.max(self.first)..to.min(self.head)).map(|number| self.sample(number));
        let end = to.min(self.first);
        if from >= end {
            return largest(samples);
        }
        let (mut begin, end) = (from.div_ceil(HISTORY_SAMPLES_PER_SPAN), end.div_ceil(HISTORY_SAMPLES_PER_SPAN));
        if begin >= end {
            begin = from / HISTORY_SAMPLES_PER_SPAN;
        }
        largest((begin..end.max(begin + 1)).map(|number| self.span(number)).chain(samples))
    }
}

impl History {
    /// Of this chip, up to this head.
    pub fn read(view: &StatsView<'_, AtomicU64>, chip: usize, head: u64) -> Self {
        Self {
            samples: std::array::from_fn(|memory| view.samples_below(chip, memory, head)),
            spans: std::array::from_fn(|memory| view.spans_below(chip, memory, head)),
        }
    }

    /// The window in so many columns, the oldest first, bytes: of each the largest sample in it, [`UNKNOWN`] where none is known. A
    /// column stands for the `count`th part of the window. `head` is the number behind the newest sample.
    ///
    /// Columns begin at multiples of that part, whatever the newest sample is: the picture moves to the left and does not shimmer.
    pub fn columns(&self, memory: Memory, head: u64, window: Window, count: usize) -> Vec<u64> {
        let series = Series::new(self, memory, head);
        // Of a number without bounds.
        let (width, parts) = (u128::from(window.samples()), count as u128);
        let column = |number: u64| u128::from(number) * parts / width;
        let newest = (column(head).saturating_sub(1)).max(column(head.saturating_sub(1)));
        let begin = |column: u128| u64::try_from((column * width).div_ceil(parts)).unwrap_or(u64::MAX);
        let largest = |place: u128| {
            // Before the first sample of all.
            let Some(column) = (newest + 1 + place).checked_sub(parts) else { return UNKNOWN };
            match (begin(column), begin(column + 1)) {
                (from, to) if from < to => series.largest(from, to),
                // Several columns for one sample.
                (from, _) => series.largest(from.saturating_sub(1), from),
            }
        };
        (0..parts).map(largest).collect()
    }

    /// What has come within the window, or since the first sample in it that is known. Compared is the largest of some samples at
    /// either end: of a thirtieth of the window, and of twenty seconds at most. `None`: too little is known.
    pub fn growth(&self, memory: Memory, head: u64, window: Window) -> Option<Growth> {
        let series = Series::new(self, memory, head);
        let step = window.step();
        let begin = head.saturating_sub(window.samples());
        let now = series.largest(head.saturating_sub(step), head);
        // Spans that begin in the window, as far as there are no samples; then the samples.
        let spans = begin.div_ceil(HISTORY_SAMPLES_PER_SPAN).max(series.first_span)
            ..series.first.div_ceil(HISTORY_SAMPLES_PER_SPAN);
        let spans = spans.map(|number| (number * HISTORY_SAMPLES_PER_SPAN, series.span(number)));
        let samples = begin.max(series.first)..head;
        let samples = samples.filter(|number| series.sample(*number) != UNKNOWN);
        let samples = samples.map(|number| (number, series.largest(number, number.saturating_add(step))));
        let (since, then) = spans.chain(samples).find(|(_, then)| *then != UNKNOWN)?;
        if now == UNKNOWN || head.saturating_sub(since) < 2 * step {
            return None;
        }
        let bytes = i128::from(now) - i128::from(then);
        let bytes = bytes.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        Some(Growth { bytes, seconds: (head - since).saturating_mul(HISTORY_SECONDS_PER_SAMPLE) })
    }
}

impl Observation {
    /// [`History::columns`] of the chip in this place.
    pub fn past(&self, chip: usize, memory: Memory, window: Window, columns: usize) -> Vec<u64> {
        let unknown = || vec![UNKNOWN; columns];
        self.history
            .get(chip)
            .map_or_else(unknown, |history| history.columns(memory, self.history_head, window, columns))
    }

    /// [`History::growth`] of the chip in this place.
    pub fn growth(&self, chip: usize, memory: Memory, window: Window) -> Option<Growth> {
        self.history.get(chip)?.growth(memory, self.history_head, window)
    }
}

#[cfg(test)]
mod tests;
