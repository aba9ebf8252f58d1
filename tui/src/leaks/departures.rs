//! What processes held that ended in good order, and commands that leave more at every run: as far as the event lines tell.
//!
//! A process's end gives back all that it held, so none of it is lost. What is not known: what it held on devices that it had
//! closed before, and runs of which no line is left (the last 64 lines are kept). Whoever was killed had no time to free
//! anything, and is not counted.

use super::{Finding, Kind, Sum};
use crate::amounts;
use crate::clock::Zone;
use aggregator::bytes_text;
use shm_layout::stats::Line;
use shm_layout::text;
use std::collections::BTreeMap;

/// So many runs in a row that left more each time are told.
const LEAST_RUNS: usize = 3;
/// So many are suspect: by chance it is one in 120.
const SUSPECT_RUNS: usize = 5;

/// One process that ended in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Departure {
    unix_ns: u64,
    pid: u32,
    name: String,
    /// Where the line tells it.
    command: Option<String>,
    /// Buffers that it had not freed; bytes to three digits.
    buffers: Sum,
}

/// What an event line tells of such an end; `None` for every other line.
fn departure(line: &Line) -> Option<Departure> {
    let text = text::load(&line.text);
    let (who, rest) = text.strip_prefix("PID ")?.split_once(" (")?;
    let _digits: u32 = who.parse().ok()?;
    let (name, how) = rest.split_once(") exited")?;
    let (how, command) = match how.split_once("; command: ") {
        Some((how, command)) => (how, Some(command.to_owned())),
        None => (how, None),
    };
    let parts = how.strip_prefix(": removed ").and_then(|parts| parts.split("; ").next()).unwrap_or_default();
    let mut buffers = Sum::default();
    for part in parts.split(", ") {
        // "5 buffers (15.2 MiB)"
        let Some((what, bytes)) = part.strip_suffix(')').and_then(|part| part.split_once(" (")) else { continue };
        if let Some((count, "buffer" | "buffers")) = what.split_once(' ') {
            buffers = Sum { count: count.parse().ok()?, bytes: amounts::bytes(bytes).ok()? };
        }
    }
    Some(Departure { unix_ns: line.unix_ns, pid: line.pid, name: name.to_owned(), command, buffers })
}

/// What the lines tell, the oldest of which is the first; of one process only, if that is asked.
pub fn findings(lines: &[Line], pid: Option<u32>, zone: &Zone) -> Vec<Finding> {
    let departures: Vec<Departure> = lines.iter().filter_map(departure).collect();
    let mut found = Vec::new();
    for one in departures.iter().filter(|one| one.buffers.count > 0 && pid.is_none_or(|pid| pid == one.pid)) {
        let mut finding = nameless(Kind::LeftAtExit, one);
        finding.text = format!(
            "PID {} ({}) ended in good order at {} without having freed {} {} ({})",
            one.pid,
            one.name,
            zone.time_of_day(one.unix_ns),
            one.buffers.count,
            if one.buffers.count == 1 { "buffer" } else { "buffers" },
            bytes_text(one.buffers.bytes),
        );
        finding.next = "its end gave them back; closing the device before would have, too".to_owned();
        found.push(finding);
    }
    if pid.is_none() {
        found.extend(runs(&departures).into_iter().filter_map(|chain| grown(&chain)));
    }
    found
}

/// Runs of one command, the last of which each left more than the one before.
fn runs(departures: &[Departure]) -> Vec<Vec<&Departure>> {
    let mut chains: BTreeMap<(&str, Option<&str>), Vec<&Departure>> = BTreeMap::new();
    for one in departures {
        if one.buffers == Sum::default() {
            // Of which command is not told: of none of that name it can be said that each run left something.
            chains.retain(|(name, _), _| *name != one.name);
            continue;
        }
        let chain = chains.entry((&one.name, one.command.as_deref())).or_default();
        let left_more = chain.last().is_none_or(|before| {
            let (count, bytes) = (before.buffers.count, before.buffers.bytes);
            one.buffers.count >= count && one.buffers.bytes >= bytes && one.buffers != before.buffers
        });
        if !left_more {
            chain.clear();
        }
        chain.push(one);
    }
    chains.into_values().filter(|chain| chain.len() >= LEAST_RUNS).collect()
}

fn grown(chain: &[&Departure]) -> Option<Finding> {
    let (first, last) = (chain.first()?, chain.last()?);
    let mut finding = nameless(Kind::RunsGrew, last);
    finding.pid = None;
    finding.suspect = chain.len() >= SUSPECT_RUNS && last.command.is_some();
    let which = match &last.command {
        Some(command) => format!("`{command}`"),
        None => format!("processes called {}, whose commands are not known,", last.name),
    };
    finding.text = format!(
        "the last {} runs of {which} each left more than the one before: {} to {} buffers, {} to {}",
        chain.len(),
        first.buffers.count,
        last.buffers.count,
        bytes_text(first.buffers.bytes),
        bytes_text(last.buffers.bytes),
    );
    finding.next =
        "each run's end gave back what it held; watch one while it runs: `tt-alloc leaks --watch 5`".to_owned();
    Some(finding)
}

/// Of what has ended: where it was is not known any more.
fn nameless(kind: Kind, of: &Departure) -> Finding {
    Finding {
        kind,
        suspect: false,
        class: None,
        pid: Some(of.pid),
        process_name: Some(of.name.clone()),
        uid: None,
        device: None,
        chip_id: None,
        memory: None,
        size_class: None,
        program: None,
        tag: None,
        count: of.buffers.count,
        footprint_bytes: of.buffers.bytes,
        oldest_age_seconds: None,
        looks: Vec::new(),
        text: String::new(),
        next: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<Line> {
        let line = |(n, what): (usize, &&str)| Line {
            unix_ns: (1_700_000_000 + n as u64) * 1_000_000_000,
            severity: 0,
            pid: 100 + n as u32,
            text: text::store(what.as_bytes()),
        };
        texts.iter().enumerate().map(line).collect()
    }

    fn found(texts: &[&str]) -> Vec<Finding> {
        findings(&lines(texts), None, &Zone::utc())
    }

    fn exits(counts: &[u64], command: &str) -> Vec<String> {
        let text =
            |n: &u64| format!("PID 1 (python3) exited: removed {n} buffers ({n}.00 KiB), 2 CBs (1.00 MiB){command}");
        counts.iter().map(text).collect()
    }

    fn runs_of(counts: &[u64], command: &str) -> Vec<(bool, String)> {
        let texts = exits(counts, command);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let runs = found(&texts).into_iter().filter(|one| one.kind == Kind::RunsGrew);
        runs.map(|one| (one.suspect, one.text)).collect()
    }

    #[test]
    fn only_ends_in_good_order_with_buffers_are_told() {
        let all = found(&[
            "PID 1 (a b) (c)) exited: removed 1 buffer (512 B), 8 CBs (2.40 MiB); 2 torn records; command: python3 x.py (y)",
            "PID 2 (python3) exited",
            "PID 3 (python3) died: removed 9 buffers (1.00 MiB)",
            "PID 4 (python3) exited: removed 8 CBs (2.40 MiB), 4 kernels (204 KiB)",
            "PID 5 (python3) is tracked",
            "PID 6 (x) exited: removed many buffers (1 B)",
        ]);
        assert_eq!(all.len(), 1, "{all:#?}");
        let one = &all[0];
        assert_eq!((one.suspect, one.pid, one.count, one.footprint_bytes), (false, Some(100), 1, 512));
        assert!(
            one.text.starts_with("PID 100 (a b) (c)) ended in good order at 22:13:20 without having freed 1 buffer")
        );
    }

    #[test]
    fn runs_that_leave_more_each_time() {
        let of = "; command: python3 train.py";
        assert!(runs_of(&[1, 2], of).is_empty());
        let three = runs_of(&[9, 1, 2, 3], of);
        assert_eq!(three.len(), 1);
        assert!(!three[0].0 && three[0].1.contains("the last 3 runs of `python3 train.py`"), "{three:?}");
        assert!(runs_of(&[1, 2, 3, 4, 5], of)[0].0, "five");
        assert!(!runs_of(&[1, 2, 3, 4, 5], "")[0].0, "five of who knows what");
        for steady in [[1, 2, 3, 4, 4], [5, 4, 3, 2, 1], [1, 2, 1, 2, 1]] {
            assert!(runs_of(&steady, of).is_empty(), "{steady:?}");
        }
        let mut mixed = exits(&[1, 2, 3], of);
        mixed.insert(2, "PID 1 (python3) exited".to_owned());
        let mixed: Vec<&str> = mixed.iter().map(String::as_str).collect();
        assert!(found(&mixed).iter().all(|one| one.kind == Kind::LeftAtExit), "one run left nothing");
        let two = [exits(&[1, 2], of), exits(&[3, 4], "; command: other")].concat();
        let two: Vec<&str> = two.iter().map(String::as_str).collect();
        assert!(found(&two).iter().all(|one| one.kind == Kind::LeftAtExit), "two commands of one name");
    }
}
