//! The rows of the process table: who is there, who has just gone, in what order, and which one is selected.

use super::Dashboard;
use crate::roster::ProcessKey;
use crate::screen::keys::Action;
use crate::screen::order::Order;
use crate::totals::ProcessTotals;
use shm_layout::stats::Line;
use std::collections::HashSet;

/// How long a process that is gone is still shown, ns.
pub const GONE_FOR_NS: u64 = 10_000_000_000;

/// A row of the process table.
#[derive(Clone, Debug)]
pub struct ProcessRow {
    /// The figures; of a process that is gone, its last.
    pub totals: ProcessTotals,
    /// When it was found gone, `CLOCK_MONOTONIC` ns.
    pub gone_since_ns: Option<u64>,
    /// Its chips when it was found gone: by now others may be in their places.
    gone_from: String,
}

impl ProcessRow {
    const fn new(totals: ProcessTotals) -> Self {
        Self { totals, gone_since_ns: None, gone_from: String::new() }
    }

    /// Not gone, or not for long.
    pub(super) fn is_shown(&self, now_ns: u64) -> bool {
        self.gone_since_ns.is_none_or(|since| now_ns.saturating_sub(since) < GONE_FOR_NS)
    }

    /// Labels of its chips: `0-3`.
    pub fn chips(&self, labels: &[String]) -> String {
        if self.gone_since_ns.is_some() { self.gone_from.clone() } else { self.totals.chips.list(labels) }
    }
}

impl Dashboard {
    /// New rows; those that are gone stay a little. `moved`: somebody came or left.
    pub(super) fn take_rows(&mut self, now_there: Vec<ProcessTotals>, moved: bool, labels: Vec<String>, now_ns: u64) {
        let mut gone = std::mem::take(&mut self.rows);
        if moved {
            let there: HashSet<ProcessKey> = now_there.iter().map(ProcessTotals::key).collect();
            gone.retain(|row| !there.contains(&row.totals.key()));
        } else {
            gone.retain(|row| row.gone_since_ns.is_some());
        }
        for row in gone.iter_mut().filter(|row| row.gone_since_ns.is_none()) {
            row.gone_from = row.totals.chips.list(&self.labels);
            row.gone_since_ns = Some(now_ns);
        }
        gone.retain(|row| row.is_shown(now_ns));
        self.labels = labels;
        self.processes = now_there.len();
        self.rows = now_there.into_iter().map(ProcessRow::new).chain(gone).collect();
        if !self.filter.is_empty() {
            self.rows.retain(|row| self.filter.has(&row.totals, &self.labels));
        }
        self.sort_rows();
        self.drop_stale_selection();
    }

    /// Whether this event line is meant: by what it tells, or because it is of a process that is.
    pub fn has_line(&self, line: &Line) -> bool {
        self.filter.is_empty()
            || self.filter.has_line(line)
            || (line.pid != 0 && self.rows.iter().any(|row| row.totals.pid == line.pid))
    }

    pub(super) fn drop_stale_selection(&mut self) {
        if self.selected.is_some() && self.selected_at().is_none() {
            self.selected = None;
        }
    }

    pub(in crate::screen) fn sort_rows(&mut self) {
        let order = Order { column: self.sort, reversed: self.reversed };
        order.sort(&mut self.rows, |row| &row.totals);
    }

    /// Where the selected process stands.
    pub fn selected_at(&self) -> Option<usize> {
        self.rows.iter().position(|row| Some(row.totals.key()) == self.selected)
    }

    pub(super) fn select(&mut self, action: Action) {
        let Some(last) = self.rows.len().checked_sub(1) else { return };
        let page = self.process_view.lines.get().max(1);
        let at = match (action, self.selected_at()) {
            (Action::First, _) => 0,
            (Action::Last, _) => last,
            // The first key selects what is on top.
            (_, None) => self.process_view.offset.get(),
            (Action::Up, Some(at)) => at.saturating_sub(1),
            (Action::PageUp, Some(at)) => at.saturating_sub(page),
            (Action::PageDown, Some(at)) => at + page,
            (_, Some(at)) => at + 1,
        };
        self.selected = self.rows.get(at.min(last)).map(|row| row.totals.key());
    }
}
