//! Processes whose records were dropped, torn, or could not be believed.

use super::{Finding, TOLD, Verdict};
use crate::degraded;
use crate::source::Observation;
use crate::units::count;
use shm_layout::stats::{Anomalies, Process, incomplete};

/// The kinds of what could not be believed, in words, those that there are.
fn anomalies(a: &Anomalies) -> Vec<String> {
    [
        (a.free_unknown, "frees of what it never announced"),
        (a.double_free, "frees of what was freed before"),
        (a.invalid_record, "records with an impossible kind, memory or device"),
        (a.alloc_live, "allocations under an id that was live already"),
        (a.overflow, "sizes, devices or accounts beyond what fits"),
        (a.size_mismatch, "frees of another size than was allocated"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, words)| format!("{} {words}", count(number)))
    .collect()
}

/// What is wrong with one process; `None` if nothing is.
fn one_process(process: &Process) -> Option<Finding> {
    let mut parts = Vec::new();
    if let Some(why) = degraded::why_incomplete(process.incomplete) {
        parts.push(format!("details are incomplete ({}): {why}", incomplete::names(process.incomplete).join(", ")));
    }
    if process.dropped_events_total > 0 {
        parts.push(format!("{} records dropped so far, counted in its totals", count(process.dropped_events_total)));
    }
    if process.torn_events_total > 0 {
        parts.push(format!("{} records begun and never finished", count(process.torn_events_total)));
    }
    parts.extend(anomalies(&process.anomalies));
    let first = parts.first()?;
    let text =
        format!("{}: {}", degraded::who(process), parts[1..].iter().fold(first.clone(), |all, part| all + "; " + part));
    let lost = incomplete::NO_LEDGER | incomplete::LEDGER_FULL | incomplete::LEDGER_LOST;
    let next = if process.incomplete & lost != 0 {
        "make room in /dev/shm; the list is complete again when what is live now has been freed"
    } else if process.dropped_events_total > 0 {
        "give it a larger ring (TT_ALLOC_RING_MAX_BYTES), and keep an aggregator running beside it; complete again when what was \
         dropped has been freed"
    } else if process.incomplete != 0 {
        "figures are whole again when the process has been started again"
    } else if process.anomalies.sum() > 0 {
        "no total is wrong by this: frees of what is not in the ledger change nothing; report it with `tt-alloc stats --json` if \
         this process is stock ttnn"
    } else {
        ""
    };
    let verdict = if process.incomplete != 0 { Verdict::Bad } else { Verdict::Note };
    Some(Finding::new("process", verdict, text).next(next))
}

/// All that is wrong with processes, the worst first.
pub(super) fn findings(seen: &Observation) -> Vec<Finding> {
    let snapshot = &seen.snapshot;
    let mut troubled: Vec<Finding> = snapshot.processes.iter().filter_map(one_process).collect();
    troubled.sort_by_key(|finding| finding.verdict != Verdict::Bad);
    let more = troubled.len().saturating_sub(TOLD);
    let more_bad = troubled.iter().skip(TOLD).any(|finding| finding.verdict == Verdict::Bad);
    troubled.truncate(TOLD);
    if more > 0 {
        let verdict = if more_bad { Verdict::Bad } else { Verdict::Note };
        let text = format!("{more} more have dropped, torn or unbelievable records");
        troubled.push(Finding::new("process", verdict, text).next("`tt-alloc stats --json` has them all"));
    }
    let kinds = degraded::incomplete_kinds(snapshot);
    if kinds > 0 && troubled.iter().all(|finding| finding.verdict != Verdict::Bad) {
        let text = format!("{kinds} memory kinds of chips miss single allocations; totals are exact");
        troubled.push(Finding::new("details", Verdict::Bad, text));
    }
    let health = &snapshot.health;
    let rest = |total: u64, of: fn(&Process) -> u64| {
        total.saturating_sub(snapshot.processes.iter().map(of).fold(0, u64::saturating_add))
    };
    let gone = [
        (rest(health.dropped_events_total, |p| p.dropped_events_total), "dropped"),
        (rest(health.torn_events_total, |p| p.torn_events_total), "torn"),
        (rest(health.anomalies.sum(), |p| p.anomalies.sum()), "not believed"),
    ];
    let gone: Vec<String> =
        gone.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n))).collect();
    if !gone.is_empty() {
        let text =
            format!("records of processes that are gone: {}; nothing of them is left in a total", gone.join(", "));
        troubled.push(Finding::new("processes", Verdict::Note, text));
    }
    if troubled.is_empty() {
        troubled.push(Finding::new(
            "records",
            Verdict::Good,
            "none dropped, torn or unbelievable; all details are complete",
        ));
    }
    troubled
}
