//! What has grown, what is old, what is left: each with what speaks for it, and what it is taken for.

mod draw;
mod grown;

use crate::clock::Zone;
use crate::inventory::Inventory;
use crate::leaks::{Finding, departures};
use crate::roster::ProcessKey;
use crate::screen::keys::Action;
use crate::screen::viewport::Viewport;
use crate::screen::views::programs::step;
use crate::source::Observation;
pub use draw::draw;
use grown::{First, Grown};
use std::cmp::Reverse;
use std::sync::Arc;

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
    findings: Vec<Finding>,
    inventory: Option<Arc<Inventory>>,
    /// Processes, in the order of their pids.
    processes: Vec<(u32, ProcessKey)>,
}

impl State {
    /// Takes in figures: also while another view is shown.
    pub fn see_figures(&mut self, seen: &Observation) {
        self.first.see(seen);
    }

    /// Takes in what was read of the ledgers, and what is to be shown of the figures.
    pub fn see(&mut self, inventory: Option<&Arc<Inventory>>, seen: &Observation, zone: &Zone) {
        self.processes = seen.snapshot.processes.iter().map(|process| (process.pid, process.into())).collect();
        self.processes.sort_unstable_by_key(|(pid, _)| *pid);
        self.grown = self.first.grown(seen);
        self.inventory = inventory.cloned();
        let study = inventory.and_then(|inventory| inventory.study.as_ref());
        self.findings = study.map(|study| study.findings.clone()).unwrap_or_default();
        self.findings.extend(departures::findings(&seen.snapshot.lines, None, zone));
        self.findings.sort_by_key(|one| (!one.suspect, one.kind, Reverse((one.footprint_bytes, one.count))));
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
