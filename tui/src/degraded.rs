//! Whether what is shown may be old or incomplete, and what went wrong before: for `--strict`, and for lines of warning.
//!
//! `--strict` is about now: what was dropped, torn or not believed before does not count any more once everything it touched
//! has ended, or the process has.

use crate::source::{Connection, Observation};
use crate::units;
use shm_layout::stats::{Process, Refusal, Snapshot, incomplete};

/// Refused rings that are named one by one.
const NAMED: usize = 3;

/// What these bits of a process's [`incomplete`] mean, the first of them that matters most.
pub fn why_incomplete(bits: u32) -> Option<&'static str> {
    let meanings = [
        (incomplete::OVERFLOW, "it told sizes, devices or accounts beyond what fits: totals may be too small"),
        (
            incomplete::DROPPED,
            "its ring was full and it dropped records: single allocations are missing, totals are exact",
        ),
        (incomplete::CONTROLS_LOST, "it dropped the record of a device's opening or closing"),
        (
            incomplete::LEDGER_LOST,
            "somebody cut its ledger short: what was listed there counts, and is not listed any more",
        ),
        (
            incomplete::AMBIGUOUS,
            "it freed an address that several memory kinds had, and did not say of which: one was guessed",
        ),
        (incomplete::LEDGER_FULL, "its ledger could not grow: /dev/shm was full"),
        (incomplete::NO_LEDGER, "it has no ledger: one could not be made"),
        (
            incomplete::HISTORY_LOST,
            "an earlier aggregator read records of it and left no ledger: totals may be too small",
        ),
        (incomplete::EARLIER, "an earlier aggregator lost single allocations, and did not say why"),
    ];
    meanings.into_iter().find(|(bit, _)| bits & bit != 0).map(|(_, meaning)| meaning)
}

/// "PID 4242 (python3)".
pub fn who(process: &Process) -> String {
    format!("PID {} ({})", process.pid, shm_layout::text::load(&process.name))
}

/// A refused ring and its reason.
pub fn refused(refusal: &Refusal, seen: &Observation) -> String {
    format!("{} is not read: {}", refusal.file().name(&seen.prefix), refusal.words())
}

/// Why the figures may be old or incomplete now, one sentence each; none when all is well.
pub fn reasons(connection: &Connection, seen: &Observation) -> Vec<String> {
    let mut reasons = Vec::new();
    if !matches!(connection, Connection::Live) {
        reasons.push(connection.to_string());
    }
    let snapshot = &seen.snapshot;
    let health = &snapshot.health;
    reasons.extend(snapshot.refusals.iter().take(NAMED).map(|refusal| refused(refusal, seen)));
    let named = snapshot.refusals.len().min(NAMED) as u64;
    let mut some = |number: u64, text: &str| {
        if number > 0 {
            reasons.push(format!("{number} {text}"));
        }
    };
    some(health.refused_rings.saturating_sub(named), "more rings are not read; `tt-alloc doctor` tells why");
    some(health.hidden_processes, "processes did not fit into the snapshot");
    some(health.hidden_rows, "rows did not fit into the snapshot");
    some(incomplete_kinds(snapshot), "memory kinds have lost single allocations");
    let processes = snapshot.processes.iter().filter(|process| process.incomplete != 0).count();
    some(processes as u64, "processes have incomplete details; `tt-alloc doctor` tells why");
    reasons
}

/// Memory kinds of chips whose single allocations are not all listed.
pub fn incomplete_kinds(snapshot: &Snapshot) -> u64 {
    let figures = snapshot.chips.iter().flat_map(|chip| &chip.memory);
    figures.filter(|figures| figures.detail_incomplete != 0).count() as u64
}

/// What went wrong so far, one sentence each: it may be over.
pub fn past(seen: &Observation) -> Vec<String> {
    let health = &seen.snapshot.health;
    [
        (
            health.dropped_events_total,
            "events were dropped so far: totals are exact, single allocations may be missing",
        ),
        (health.torn_events_total, "records were begun and never finished by processes that died"),
        (health.anomalies.sum(), "records could not be believed so far; `tt-alloc doctor` tells of which process"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, text)| format!("{} {text}", units::count(number)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn what_is_over_is_told_and_is_no_reason() {
        let mut seen = sample::observation(2);
        assert!(reasons(&Connection::Live, &seen).is_empty() && past(&seen).is_empty());
        seen.snapshot.health.dropped_events_total = 12;
        seen.snapshot.health.torn_events_total = 1;
        seen.snapshot.health.anomalies.overflow = u64::MAX;
        assert!(reasons(&Connection::Live, &seen).is_empty());
        assert_eq!(past(&seen).len(), 3);
    }

    #[test]
    fn each_trouble_of_now_is_a_reason() {
        let troubles: [fn(&mut Snapshot); 6] = [
            |s| s.refusals.push(Refusal { text: shm_layout::text::store(b"why"), ..bytemuck::Zeroable::zeroed() }),
            |s| s.health.refused_rings = 70,
            |s| s.health.hidden_processes = 1,
            |s| s.health.hidden_rows = 1,
            |s| s.chips[1].memory[0].detail_incomplete = 1,
            |s| s.processes[2].incomplete = incomplete::OVERFLOW,
        ];
        for (at, trouble) in troubles.into_iter().enumerate() {
            let mut seen = sample::observation(2);
            trouble(&mut seen.snapshot);
            assert_eq!(reasons(&Connection::Live, &seen).len(), 1, "{at}");
        }
        let stale = Connection::Stale { age_ns: 3_000_000_000, gone: false };
        assert_eq!(reasons(&stale, &sample::observation(1)).len(), 1);
    }

    #[test]
    fn every_bit_has_a_meaning() {
        assert!(incomplete::ALL.iter().all(|(bit, _)| why_incomplete(*bit).is_some()) && why_incomplete(0).is_none());
    }
}
