//! What a run counts.

use serde::Serialize;
use std::fmt;

/// The figures of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// Seconds it took.
    pub seconds: f64,
    /// The seed.
    pub seed: u64,
    /// Rounds: a storm and a check each.
    pub rounds: u64,
    /// Events that producers told of; those of the killed since their last report are not among them.
    pub events: u64,
    /// Producers started, forked ones not counted.
    pub producers: u64,
    /// Producers killed by SIGKILL.
    pub producer_kills: u64,
    /// Producers that ended by themselves: in good order, or by abort.
    pub producer_ends: u64,
    /// Producers stopped by SIGSTOP.
    pub producer_stops: u64,
    /// Children forked, as far as their parents lived to tell.
    pub forks: u64,
    /// Aggregators killed by SIGKILL.
    pub aggregator_kills: u64,
    /// Aggregators ended by SIGTERM.
    pub aggregator_ends: u64,
    /// Aggregators stopped by SIGSTOP.
    pub aggregator_stops: u64,
    /// Checks in which everything agreed.
    pub quiet_checks: u64,
    /// Rows compared with the truth in them.
    pub rows: u64,
    /// Of them: marked incomplete. Their footprint and blocks were compared, single allocations could not be.
    pub incomplete_rows: u64,
    /// Processes that were excused from a check: records of theirs were dropped that totals do not survive.
    pub excused: u64,
    /// Of them: figures that were wrong indeed.
    pub excused_and_wrong: u64,
    /// Allocations in ledgers that were compared.
    pub listed: u64,
    /// Events dropped, of processes that were there at a check.
    pub drops: u64,
    /// Rings that a producer was killed while making, and that no aggregator removed.
    pub unfinished_rings: u64,
    /// Longest time that the figures took to agree, s.
    pub longest_wait_seconds: f64,
    /// Aggregators whose descriptors, threads and memory were compared after a long life.
    pub lives: u64,
    /// Largest growth of an aggregator's resident memory over such a life, KiB.
    pub memory_growth_kib: i64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} s, seed {}: {} checks; {} events; killed: {} producers, {} aggregators; ended: {} producers, {} aggregators; \
             stopped: {} producers, {} aggregators; {} forks; {} rows compared, {} of them incomplete; {} allocations listed; \
             {} drops; {} excused ({} wrong); {} unfinished rings left; longest wait {:.3} s; {} long lives, {:+} KiB",
            self.seconds,
            self.seed,
            self.quiet_checks,
            self.events,
            self.producer_kills,
            self.aggregator_kills,
            self.producer_ends,
            self.aggregator_ends,
            self.producer_stops,
            self.aggregator_stops,
            self.forks,
            self.rows,
            self.incomplete_rows,
            self.listed,
            self.drops,
            self.excused,
            self.excused_and_wrong,
            self.unfinished_rings,
            self.longest_wait_seconds,
            self.lives,
            self.memory_growth_kib,
        )
    }
}
