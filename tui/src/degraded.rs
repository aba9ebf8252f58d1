//! Whether what is shown may be incomplete: for `--strict`, and for a line of warning.

use crate::source::{Connection, Observation};

/// Why the figures may be old or incomplete, one sentence each; none when all is well.
pub fn reasons(connection: &Connection, seen: &Observation) -> Vec<String> {
    let mut reasons = Vec::new();
    if !matches!(connection, Connection::Live) {
        reasons.push(connection.to_string());
    }
    let health = &seen.snapshot.health;
    let mut some = |number: u64, text: &str| {
        if number > 0 {
            reasons.push(format!("{number} {text}"));
        }
    };
    some(health.dropped_events_total, "events were dropped: totals are exact, single allocations may be missing");
    some(health.hidden_processes, "processes did not fit into the snapshot");
    some(health.hidden_rows, "rows did not fit into the snapshot");
    let figures = seen.snapshot.chips.iter().flat_map(|chip| &chip.memory);
    let incomplete = figures.filter(|figures| figures.detail_incomplete != 0).count();
    some(incomplete as u64, "memory kinds have lost single allocations");
    reasons
}
