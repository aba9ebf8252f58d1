//! What has grown, what is old, what is left: each with what speaks for it, and what it is taken for.

mod draw;
mod grown;

use crate::clock::Zone;
use crate::inventory::Inventory;
use crate::leaks::{Finding, departures};
use crate::roster::ProcessKey;
use crate::screen::keys::Action;
use crate::screen::view::Subject;
use crate::screen::viewport::Viewport;
use crate::screen::views::programs::step;
use crate::source::Observation;
pub use draw::draw;
use grown::{First, Grown};
use shm_layout::stats::Line;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// One finding, or the same of several devices of one process: a mesh does everything on each of its chips.
#[derive(Clone, Debug, PartialEq)]
struct Folded {
    /// Of the first device.
    finding: Finding,
    /// The least and the most allocations of any of the others; none where there are none.
    counts: Option<(u64, u64)>,
    /// The same of what they take, bytes.
    bytes: Option<(u64, u64)>,
    /// The process's numbers of all of them; none where it is about no device.
    devices: Vec<u32>,
}

impl Folded {
    fn new(finding: Finding) -> Self {
        Self { devices: finding.device.into_iter().collect(), finding, counts: None, bytes: None }
    }

    /// Of one device more.
    fn add(&mut self, other: &Finding) {
        let wider = |range: Option<(u64, u64)>, by: u64| {
            Some(range.map_or((by, by), |(least, most)| (least.min(by), most.max(by))))
        };
        self.counts = wider(self.counts, other.count);
        self.bytes = wider(self.bytes, other.footprint_bytes);
        self.devices.extend(other.device);
    }

    /// Those that say the same of several devices as one, in the order of the first of each.
    fn all(findings: Vec<Finding>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut places = HashMap::new();
        for one in findings {
            let about = (one.kind.word(), one.class, one.pid, one.memory, one.size_class, one.program);
            let key = one.device.map(|_| (about, one.tag.clone(), one.suspect));
            match key.as_ref().and_then(|key| places.get(key)).and_then(|at: &usize| all.get_mut(*at)) {
                Some(folded) => folded.add(&one),
                None => {
                    places.extend(key.map(|key| (key, all.len())));
                    all.push(Self::new(one));
                }
            }
        }
        all.iter_mut().for_each(|one| one.devices.sort_unstable());
        all
    }

    /// How many findings it stands for.
    fn count(&self) -> usize {
        self.devices.len().max(1)
    }
}

/// What is shown, and what the keys changed.
#[derive(Debug, Default)]
pub struct State {
    /// Of this process only.
    of: Option<ProcessKey>,
    view: Viewport,
    /// What everything took when this viewer first saw it.
    first: First,
    /// Of the figures seen last, the largest growth first.
    grown: Vec<Grown>,
    /// What the ledgers and the event lines tell, suspects first.
    findings: Vec<Folded>,
    inventory: Weak<Inventory>,
    /// The event lines that they were made of; none before that.
    lines: Option<Vec<Line>>,
    /// Processes, in the order of their pids.
    processes: Vec<(u32, ProcessKey)>,
}

impl State {
    /// Takes in figures: also while another view is shown.
    pub fn see_figures(&mut self, seen: &Observation) {
        self.first.see(seen);
    }

    /// Growth is counted anew, from the next figures on.
    pub fn forget(&mut self) {
        self.first = First::default();
    }

    /// Takes in what was read of the ledgers, and what is to be shown of the figures.
    pub fn see(&mut self, inventory: Option<&Arc<Inventory>>, seen: &Observation, zone: &Zone) {
        self.processes = seen.snapshot.processes.iter().map(|process| (process.pid, process.into())).collect();
        self.processes.sort_unstable_by_key(|(pid, _)| *pid);
        self.grown = self.first.grown(seen);
        let newest = inventory.map(Arc::downgrade).unwrap_or_default();
        if self.inventory.ptr_eq(&newest) && self.lines.as_ref() == Some(&seen.snapshot.lines) {
            return;
        }
        self.inventory = newest;
        self.lines = Some(seen.snapshot.lines.clone());
        let study = inventory.and_then(|inventory| inventory.study.as_ref());
        let mut findings = study.map(|study| study.findings.clone()).unwrap_or_default();
        findings.extend(departures::findings(&seen.snapshot.lines, None, zone));
        findings.sort_by_key(|one| (!one.suspect, one.kind, Reverse((one.footprint_bytes, one.count))));
        self.findings = Folded::all(findings);
    }

    /// Whose leaks are shown, where it is one process's.
    pub fn subject(&self) -> Option<Subject> {
        self.of.map(Subject::Process)
    }

    /// The pid of the process that is shown, if it is one.
    fn pid(&self) -> Option<u32> {
        self.processes.iter().find(|(_, key)| Some(*key) == self.of).map(|(pid, _)| *pid)
    }

    /// Does what a key asks for here; false: it is not a key of this view.
    pub fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Next | Action::Previous => {
                let keys: Vec<ProcessKey> = self.processes.iter().map(|(_, key)| *key).collect();
                self.of = step(&keys, self.of, action == Action::Next);
                self.view.offset.set(0);
            }
            Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
                self.view.scroll(action);
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests;
