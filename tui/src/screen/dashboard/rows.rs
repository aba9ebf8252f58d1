//! The rows of the process table: who is there, who has just gone, in what order, and which one is selected.

use super::Dashboard;
use crate::roster::ProcessKey;
use crate::screen::keys::Action;
use crate::screen::order::{Order, SortColumn};
use crate::totals::ProcessTotals;
use shm_layout::stats::Line;
use std::collections::{HashMap, HashSet};

/// How long a process that is gone is still shown, ns.
pub const GONE_FOR_NS: u64 = 10_000_000_000;

/// A row of the process table.
#[derive(Clone, Debug)]
pub struct ProcessRow {
    /// The figures; of a process that is gone, its last.
    pub totals: ProcessTotals,
    /// How many of those that started it, directly or not, stand above it in the tree.
    pub depth: usize,
    /// When it was found gone, `CLOCK_MONOTONIC` ns.
    pub gone_since_ns: Option<u64>,
    /// Its chips when it was found gone: by now others may be in their places.
    gone_from: String,
}

impl ProcessRow {
    const fn new(totals: ProcessTotals) -> Self {
        Self { totals, depth: 0, gone_since_ns: None, gone_from: String::new() }
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
        order.sort(&mut self.rows, self.peaks, |row| &row.totals);
        for row in &mut self.rows {
            row.depth = 0;
        }
        if self.tree {
            self.rows = grown(std::mem::take(&mut self.rows));
        }
    }

    /// What the event log says of the end of this process: what was removed with it.
    pub fn left_behind(&self, process: &ProcessTotals) -> Option<String> {
        let mut lines = self.views.events.lines().rev();
        let line = lines.find(|line| line.pid == process.pid && line.unix_ns >= process.started_unix_ns)?;
        let text = crate::table::line_text(line);
        text.split_once("removed ").map(|(_, what)| format!("gone: {what}"))
    }

    /// Where the selected process stands.
    pub fn selected_at(&self) -> Option<usize> {
        self.rows.iter().position(|row| Some(row.totals.key()) == self.selected)
    }

    /// Sorts by this column; by the one that they are sorted by already, the other way round.
    pub fn sort_by(&mut self, column: SortColumn) {
        self.reversed = column == self.sort && !self.reversed;
        self.sort = column;
        self.sort_rows();
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

/// The rows as a tree: each under the nearest of those that started it, brothers in the order in which they were.
fn grown(rows: Vec<ProcessRow>) -> Vec<ProcessRow> {
    let at_pid: HashMap<u32, usize> = rows.iter().enumerate().map(|(at, row)| (row.totals.pid, at)).collect();
    let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        let ancestors = row.totals.who.ancestors();
        let above = ancestors.iter().find_map(|pid| at_pid.get(pid).copied()).filter(|above| *above != at);
        children.entry(above).or_default().push(at);
    }
    let mut rows: Vec<Option<ProcessRow>> = rows.into_iter().map(Some).collect();
    let mut tree = Vec::with_capacity(rows.len());
    // The next one is at the end.
    let mut next: Vec<(usize, usize)> =
        children.remove(&None).unwrap_or_default().into_iter().map(|at| (at, 0)).collect();
    next.reverse();
    while let Some((at, depth)) = next.pop() {
        if let Some(mut row) = rows[at].take() {
            row.depth = depth;
            tree.push(row);
        }
        let below = children.remove(&Some(at)).unwrap_or_default();
        next.extend(below.into_iter().rev().map(|child| (child, depth + 1)));
    }
    // Where a pid was used again while they were looked up, some may be each other's parents.
    tree.extend(rows.into_iter().flatten());
    tree
}
