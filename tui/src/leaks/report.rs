//! What was found, as text and as JSON.

use super::{Finding, Look};
use crate::units;
use crate::unseen::Unseen;
use serde::Serialize;
use shm_layout::report::SCHEMA_VERSION;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Looked {
    /// Processes, at the last look.
    pub processes: usize,
    /// Their live allocations.
    pub allocations: usize,
    /// Looks.
    pub looks: usize,
    /// From the first to the last.
    pub seconds: f64,
    /// Accounts (process, device, memory kind) that were compared with a baseline that somebody has set.
    pub baselines: usize,
}

impl Looked {
    /// So many looks over this time, of which this is the last.
    pub fn at(last: &Look, looks: usize, seconds: f64, baselines: usize) -> Self {
        Self { processes: last.processes.len(), allocations: last.allocations(), looks, seconds, baselines }
    }
}

/// The answer of `tt-alloc leaks`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    schema_version: u32,
    looked_at: Looked,
    /// Findings that are suspect.
    suspects: usize,
    findings: Vec<Finding>,
    not_looked_for: Vec<String>,
    not_known: Vec<Unseen>,
}

impl Report {
    /// Of these findings; suspects come first, what takes most before the rest.
    pub fn new(
        looked_at: Looked,
        mut findings: Vec<Finding>,
        not_looked_for: Vec<String>,
        not_known: Vec<Unseen>,
    ) -> Self {
        findings.sort_by_key(|one| (!one.suspect, one.kind, std::cmp::Reverse((one.footprint_bytes, one.count))));
        let suspects = findings.iter().filter(|one| one.suspect).count();
        Self { schema_version: SCHEMA_VERSION, looked_at, suspects, findings, not_looked_for, not_known }
    }

    /// Whether something is taken for a leak.
    pub const fn has_suspects(&self) -> bool {
        self.suspects > 0
    }

    /// Whether all could be looked at.
    pub const fn is_complete(&self) -> bool {
        self.not_known.is_empty()
    }

    /// As one JSON object on one line.
    ///
    /// # Errors
    /// When it cannot be written as JSON (it always can).
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|text| text + "\n")
    }

    /// For a person.
    pub fn text(&self) -> String {
        let Looked { processes, allocations, looks, seconds, .. } = self.looked_at;
        let mut text =
            format!("looked at {}, {}", number(processes, "process"), number(allocations, "live allocation"));
        if looks > 1 {
            text += &format!(", {looks} times in {}", units::age((seconds * 1e9) as u64));
        }
        text += "\n";
        let mut line = |mark: &str, what: &str, said: &str, next: &str| {
            text += &format!("{mark:<7}  {what:<13}  {said}\n");
            if !next.is_empty() {
                text += &format!("{:<7}  {:<13}  -> {next}\n", "", "");
            }
        };
        for one in &self.findings {
            line(if one.suspect { "SUSPECT" } else { "note" }, one.kind.word(), &one.text, &one.next);
        }
        for unseen in &self.not_known {
            line("note", "not known", &unseen.text, "");
        }
        for what in &self.not_looked_for {
            line("note", "not done", what, "");
        }
        text += &match self.suspects {
            0 if self.is_complete() => "no leak found\n".to_owned(),
            0 => "no leak found in what could be looked at\n".to_owned(),
            n => number(n, "suspect") + "\n",
        };
        text
    }
}

/// "1 process", "3 processes".
fn number(n: usize, noun: &str) -> String {
    let plural = match (n, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{n} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::super::{Class, Kind, Sum, fixture};
    use super::*;
    use crate::buffers::group_key::SizeClass;
    use serde_json::{Value, json};
    use shm_layout::event::Memory;

    fn finding(kind: Kind, class: Class, bytes: u64) -> Finding {
        let held = fixture::held(7, Vec::new());
        Finding::of(kind, &held, 0, Memory::Dram, class, Sum { count: 1, bytes })
    }

    #[test]
    fn suspects_come_first_and_the_end_says_what_it_comes_to() {
        let looked = Looked { processes: 2, allocations: 1, looks: 5, seconds: 8.0, baselines: 0 };
        let all = vec![
            finding(Kind::Grew, Class::Trace, 900),
            finding(Kind::Outlived, Class::Application, 10),
            finding(Kind::Outlived, Class::Application, 20),
        ];
        let report = Report::new(looked, all, vec!["x: not asked".to_owned()], Vec::new());
        let text = report.text();
        let first: Vec<&str> = text.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
        assert_eq!(first, ["looked", "SUSPECT", "SUSPECT", "note", "note", "2"], "{text}");
        assert!(text.starts_with("looked at 2 processes, 1 live allocation, 5 times in 8s\n"), "{text}");
        assert_eq!(report.findings[0].footprint_bytes, 20);
        assert!(report.has_suspects() && report.is_complete());
        let unknown = vec![Unseen { pid: None, text: "a ring is not read".to_owned() }];
        let report = Report::new(looked, Vec::new(), Vec::new(), unknown);
        assert!(report.text().ends_with("a ring is not read\nno leak found in what could be looked at\n"));
        assert!(Report::new(looked, Vec::new(), Vec::new(), Vec::new()).text().ends_with("\nno leak found\n"));
    }

    /// The contract of docs/leaks.md.
    #[test]
    fn the_contract_is_kept() {
        let mut one = finding(Kind::ClosedDevice, Class::ProgramCache, 10);
        one.size_class = Some(SizeClass::Power(3));
        let report = Report::new(
            Looked::default(),
            vec![one],
            vec!["x".to_owned()],
            vec![Unseen { pid: Some(3), text: "y".into() }],
        );
        let json: Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        let expected = json!({
            "schema_version": 1,
            "looked_at": {"processes": 0, "allocations": 0, "looks": 0, "seconds": 0.0, "baselines": 0},
            "suspects": 0,
            "findings": [{
                "kind": "closed-device", "suspect": false, "class": "program-cache",
                "pid": 7, "process_name": "python3", "uid": 1000,
                "device": 0, "chip_id": "0x1c", "memory": "DRAM",
                "size_class": {"from_bytes": 8, "below_bytes": 16}, "program": null, "tag": null,
                "count": 1, "footprint_bytes": 10, "oldest_age_seconds": null, "looks": [],
                "text": "PID 7 (python3), device 0 (0x1c), DRAM", "next": "",
            }],
            "not_looked_for": ["x"],
            "not_known": [{"pid": 3, "text": "y"}],
        });
        assert_eq!(json, expected);
    }
}
