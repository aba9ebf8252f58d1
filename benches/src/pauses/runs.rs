//! The cases in turn, and what came of them.

use super::cases::{Case, Run, run};
use super::watch::{LEAST_US, Pause};
use crate::host::Outcome;
use crate::report::Report;
use crate::sample::Sample;
use producer::environment::DEFAULT_MOST_SLOTS;
use shm_layout::event::EVENT_BYTES;
use std::path::PathBuf;
use std::time::Duration;

const MIB: f64 = 1_048_576.0;
/// The header and the tables of all sections are less.
const BESIDE_RECORDS: u64 = 1 << 20;

/// Measures of the report, each with a row for each case.
pub mod measures {
    /// Nanoseconds an event, the loop and its clock included.
    pub const MEAN: &str = "full ring: an event, mean";
    /// Pauses of a run.
    pub const COUNT: &str = "full ring: pauses over 30 µs";
    /// Pauses of all runs, without what the thread was without a processor.
    pub const PAUSE: &str = "full ring: a pause";
    /// All of them, as they were.
    pub const TAKEN: &str = "full ring: a pause, waits for a processor included";
    /// Events of a run.
    pub const EVENTS: &str = "full ring: events";
    /// The ring's file at the end.
    pub const BYTES: &str = "full ring: ring at the end";
    /// Events of a run that did not fit.
    pub const DROPPED: &str = "full ring: dropped";
    /// The pause in which a section was made, by its size.
    pub const GROWN: &str = "full ring: going on in a further section";
    /// An event that does not fit.
    pub const DROP: &str = "full ring: a drop";
}

/// Every case so often, in turn.
///
/// # Errors
/// As [`run`]; and when a ring is larger than it may be.
pub fn measure(
    repeats: usize,
    events: u64,
    ticks_per_us: f64,
    aggregator: &PathBuf,
    report: &mut Report,
) -> Outcome<()> {
    let mut runs: Vec<(Case, Vec<Run>)> = Case::ALL.iter().map(|case| (*case, Vec::new())).collect();
    let mut as_long = Duration::from_millis(300);
    let there = aggregator.exists();
    for _ in 0..repeats {
        for (case, runs) in &mut runs {
            if *case == Case::Stopped && !there {
                continue;
            }
            let done = run(*case, events, as_long, ticks_per_us, aggregator)?;
            let most = DEFAULT_MOST_SLOTS * EVENT_BYTES as u64 + BESIDE_RECORDS;
            if done.bytes > most {
                return Err(format!("{}: the ring has {} bytes, and may have {most}", case.name(), done.bytes).into());
            }
            if *case == Case::Live(5000) {
                as_long = done.took;
            }
            runs.push(done);
        }
    }
    if !there {
        report.missing.push(format!("{}: no {}", Case::Stopped.name(), aggregator.display()));
    }
    tell(&runs, report);
    Ok(())
}

fn tell(runs: &[(Case, Vec<Run>)], report: &mut Report) {
    let mut each = |measure: &str, unit: &str, of: &dyn Fn(&Run) -> Vec<f64>| {
        for (case, runs) in runs.iter().filter(|(_, runs)| !runs.is_empty()) {
            report.add(measure, case.name(), None, unit, &mut runs.iter().flat_map(of).collect());
        }
    };
    each(measures::MEAN, "ns/event", &|run| vec![run.took.as_nanos() as f64 / run.events.max(1) as f64]);
    let own =
        |run: &Run| -> Vec<f64> { run.pauses.iter().map(|pause| pause.own_us).filter(|us| *us > LEAST_US).collect() };
    each(measures::COUNT, "a run", &|run| vec![own(run).len() as f64]);
    each(measures::PAUSE, "µs", &own);
    each(measures::TAKEN, "µs", &|run| run.pauses.iter().map(|pause| pause.us).collect());
    each(measures::EVENTS, "a run", &|run| vec![run.events as f64]);
    each(measures::BYTES, "MiB", &|run| vec![run.bytes as f64 / MIB]);
    each(measures::DROPPED, "a run", &|run| vec![run.dropped as f64]);

    // One thread's: of several, the one that notices first need not be the one that made it.
    let alone = runs.iter().filter(|(case, _)| !matches!(case, Case::Threads(_)));
    let all: Vec<&Pause> = alone.flat_map(|(_, runs)| runs).flat_map(|run| &run.pauses).collect();
    for mib in [4, 8, 16, 32] {
        let this = |pause: &&&Pause| pause.grew >> 20 == mib;
        let mut sample: Sample = all.iter().filter(this).map(|pause| pause.own_us).collect();
        report.add_point(measures::GROWN, "its section", ("MiB", mib as f64), "µs", &mut sample);
    }
    let mut drops: Sample = runs.iter().flat_map(|(_, runs)| runs).filter_map(|run| run.ns_per_drop).collect();
    report.add(measures::DROP, Case::Bound.name(), None, "ns/event", &mut drops);
}
