//! One moment of the whole host: what a buffer of the stats segment holds.
//!
//! ```text
//!   words:  [chips | processes | rows | lines | refusals | differences]  six counts
//!           [Health]
//!           [Chip] x chips  [Process] x processes  [Row] x rows  [Line] x lines  [Refusal] x refusals
//!           [Difference] x differences
//! ```

use super::figures::{Chip, Health, Line, Process, Row};
use super::refusal::Refusal;
use super::segment::{MAX_CHIPS, MAX_DIFFERENCES, MAX_LINES, MAX_PROCESSES, MAX_REFUSALS, MAX_ROWS};
use super::telemetry::Difference;
use crate::atomics::Word64;
use crate::seqlock::Snapshots;
use bytemuck::{Pod, Zeroable};

const COUNT_WORDS: usize = 6;

/// Chips, processes, what each process holds where, recent event lines, and the aggregator's health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The aggregator's own state.
    pub health: Health,
    /// Chips, in the order in which they were first seen; then those that no tracked process told of.
    pub chips: Vec<Chip>,
    /// Tracked processes, by pid; then those that are not tracked, by pid.
    pub processes: Vec<Process>,
    /// What each holds where.
    pub rows: Vec<Row>,
    /// Recent event lines, the oldest first.
    pub lines: Vec<Line>,
    /// Rings that are there and are not read, at most [`MAX_REFUSALS`]; of every user some, his oldest first.
    pub refusals: Vec<Refusal>,
    /// Where tt-metal's own counters tell something else than a tracked process's records.
    pub differences: Vec<Difference>,
}

/// A snapshot whose parts lie where their owner keeps them: to be published without being copied together first. Whoever
/// fills it keeps to the limits (`MAX_…`).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "as in `Snapshot`")]
pub struct Parts<'a> {
    pub health: &'a Health,
    /// Those of tracked processes, and the others; so with the next two.
    pub chips: [&'a [Chip]; 2],
    pub processes: [&'a [Process]; 2],
    pub rows: [&'a [Row]; 2],
    /// In two pieces, as a ring buffer has them.
    pub lines: [&'a [Line]; 2],
    pub refusals: &'a [Refusal],
    pub differences: &'a [Difference],
}

impl Parts<'_> {
    /// Publishes it.
    pub fn publish<W: Word64>(&self, to: Snapshots<'_, W>) {
        let counts = [
            both(self.chips),
            both(self.processes),
            both(self.rows),
            both(self.lines),
            self.refusals.len(),
            self.differences.len(),
        ];
        let counts = counts.map(|n| n as u64);
        to.publish_parts(&[
            &counts,
            words(core::slice::from_ref(self.health)),
            words(self.chips[0]),
            words(self.chips[1]),
            words(self.processes[0]),
            words(self.processes[1]),
            words(self.rows[0]),
            words(self.rows[1]),
            words(self.lines[0]),
            words(self.lines[1]),
            words(self.refusals),
            words(self.differences),
        ]);
    }

    /// A copy that owns what it holds.
    pub fn to_snapshot(&self) -> Snapshot {
        Snapshot {
            health: *self.health,
            chips: self.chips.concat(),
            processes: self.processes.concat(),
            rows: self.rows.concat(),
            lines: self.lines.concat(),
            refusals: self.refusals.to_vec(),
            differences: self.differences.to_vec(),
        }
    }
}

/// Why words are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stats segment's counts do not fit its size")]
pub struct DecodeError;

const fn both<T>(pieces: [&[T]; 2]) -> usize {
    pieces[0].len() + pieces[1].len()
}

fn words_of<T: Pod>() -> usize {
    size_of::<T>() / 8
}

fn words<T: Pod>(items: &[T]) -> &[u64] {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) };
    bytemuck::cast_slice(items)
}

fn append<T: Pod>(to: &mut Vec<u64>, items: &[T]) {
    to.extend_from_slice(words(items));
}

/// Takes `count` items from the front of the words.
fn take<T: Pod + Zeroable>(words: &mut &[u64], count: usize) -> Result<Vec<T>, DecodeError> {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) };
    let need = count.checked_mul(words_of::<T>()).ok_or(DecodeError)?;
    let (mine, rest) = words.split_at_checked(need).ok_or(DecodeError)?;
    *words = rest;
    Ok(bytemuck::cast_slice(mine).to_vec())
}

impl Snapshot {
    /// Most words that a snapshot within the limits takes.
    pub const MAX_WORDS: usize = COUNT_WORDS
        + size_of::<Health>() / 8
        + MAX_CHIPS * (size_of::<Chip>() / 8)
        + MAX_PROCESSES * (size_of::<Process>() / 8)
        + MAX_ROWS * (size_of::<Row>() / 8)
        + MAX_LINES * (size_of::<Line>() / 8)
        + MAX_REFUSALS * (size_of::<Refusal>() / 8)
        + MAX_DIFFERENCES * (size_of::<Difference>() / 8);

    /// The snapshot as words. Whoever fills it keeps to the limits (`MAX_…`).
    pub fn encode(&self, words: &mut Vec<u64>) {
        words.clear();
        let Self { chips, processes, rows, lines, refusals, differences, .. } = self;
        let counts = [chips.len(), processes.len(), rows.len(), lines.len(), refusals.len(), differences.len()]
            .map(|n| n as u64);
        words.extend(counts);
        append(words, &[self.health]);
        append(words, chips);
        append(words, processes);
        append(words, rows);
        append(words, lines);
        append(words, refusals);
        append(words, differences);
    }

    /// The snapshot that these words hold.
    ///
    /// # Errors
    /// When counts and length contradict each other, or a row points outside.
    pub fn decode(mut words: &[u64]) -> Result<Self, DecodeError> {
        let [chips, processes, rows, lines, refusals, differences] = match take::<u64>(&mut words, COUNT_WORDS)?[..] {
            [a, b, c, d, e, f] => [a, b, c, d, e, f],
            _ => return Err(DecodeError),
        };
        let limit = |count: u64, max: usize| usize::try_from(count).ok().filter(|n| *n <= max).ok_or(DecodeError);
        let health = take::<Health>(&mut words, 1)?[0];
        let snapshot = Self {
            health,
            chips: take(&mut words, limit(chips, MAX_CHIPS)?)?,
            processes: take(&mut words, limit(processes, MAX_PROCESSES)?)?,
            rows: take(&mut words, limit(rows, MAX_ROWS)?)?,
            lines: take(&mut words, limit(lines, MAX_LINES)?)?,
            refusals: take(&mut words, limit(refusals, MAX_REFUSALS)?)?,
            differences: take(&mut words, limit(differences, MAX_DIFFERENCES)?)?,
        };
        let inside =
            |row: &Row| (row.process as usize) < snapshot.processes.len() && (row.chip as usize) < snapshot.chips.len();
        let known = |difference: &Difference| (difference.chip as usize) < snapshot.chips.len();
        if snapshot.rows.iter().all(inside) && snapshot.differences.iter().all(known) {
            Ok(snapshot)
        } else {
            Err(DecodeError)
        }
    }

    /// The rows of one process.
    pub fn rows_of(&self, process: usize) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.process as usize == process)
    }
}
