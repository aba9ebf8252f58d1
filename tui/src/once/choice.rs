//! Of a snapshot, what is meant by a filter, in the order asked for.

use crate::filter::Filter;
use crate::roster::Roster;
use crate::screen::order::Order;
use crate::selection::chip_labels;
use crate::totals;
use crate::users::Users;
use shm_layout::stats::{Row, Snapshot};

/// The snapshot with the processes that are meant, in this order (none: as they were), and the event lines that are meant or are of
/// these processes. Devices, and what the aggregator tells of itself, stay: they are figures of everybody.
pub fn choose(snapshot: Snapshot, filter: &Filter, order: Option<Order>, users: &Users) -> Snapshot {
    if filter.is_empty() && order.is_none() {
        return snapshot;
    }
    let mut roster = Roster::default();
    roster.update(&snapshot.processes, users);
    let labels = chip_labels(&snapshot.chips);
    let all = totals::processes(&snapshot, &roster);
    let mut chosen: Vec<_> = all.iter().enumerate().filter(|(_, process)| filter.has(process, &labels)).collect();
    if let Some(order) = order {
        order.sort(&mut chosen, false, |(_, process)| process);
    }
    let mut places = vec![None; snapshot.processes.len()];
    for (place, (at, _)) in (0u32..).zip(&chosen) {
        places[*at] = Some(place);
    }
    let mut pids: Vec<u32> = chosen.iter().map(|(_, process)| process.pid).collect();
    pids.sort_unstable();
    let rows = snapshot.rows.iter().filter_map(|row| {
        let process = places.get(row.process as usize).copied().flatten()?;
        Some(Row { process, ..*row })
    });
    let lines = snapshot.lines.iter().filter(|line| filter.has_line(line) || pids.binary_search(&line.pid).is_ok());
    Snapshot {
        rows: rows.collect(),
        processes: chosen.iter().map(|(at, _)| snapshot.processes[*at]).collect(),
        lines: lines.copied().collect(),
        ..snapshot
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::sample;

    fn pids(snapshot: &Snapshot) -> Vec<u32> {
        snapshot.processes.iter().map(|process| process.pid).collect()
    }

    #[test]
    fn what_is_left_keeps_its_figures() {
        let whole = sample::host(4);
        let users = Users::default();
        let choose = |filter: &str, order: Option<&str>| {
            let filter = Filter::parse(filter).unwrap();
            choose(whole.clone(), &filter, order.map(|order| order.parse().unwrap()), &users)
        };
        assert_eq!(choose("", None), whole);
        assert_eq!(pids(&choose("", Some("pid:desc"))), [52_011, 41_893, 41_207]);
        assert_eq!(pids(&choose("", Some("name"))), [41_207, 52_011, 41_893]);
        let left = choose("dram<20G", Some("dram:asc"));
        assert_eq!(pids(&left), [52_011, 41_893]);
        assert_eq!((&left.chips, left.health), (&whole.chips, whole.health), "devices are of everybody");
        for (at, process) in left.processes.iter().enumerate() {
            let before = whole.processes.iter().position(|p| p.pid == process.pid).unwrap();
            let figures = |snapshot: &Snapshot, at| {
                snapshot.rows_of(at).map(|row| (row.chip, row.memory, row.figures)).collect::<Vec<_>>()
            };
            assert!(!figures(&left, at).is_empty());
            assert_eq!(figures(&left, at), figures(&whole, before));
        }
        let told: Vec<u32> = left.lines.iter().map(|line| line.pid).collect();
        assert_eq!(told, [41_893, 41_893, 52_011]);
        assert_eq!(choose("refused", None).lines.len(), 1, "a line that is meant itself");
    }
}
