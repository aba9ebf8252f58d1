//! The state behind the screen: what was seen last, and what the keys changed. Nothing here draws.

use super::keys::Action;
use super::order::SortColumn;
use super::theme::Theme;
use super::view::{Subject, View};
use super::viewport::Viewport;
use crate::clock::Zone;
use crate::holdings::Holdings;
use crate::roster::{ProcessKey, Roster};
use crate::selection::{Selection, chip_labels};
use crate::source::{Connection, Feed, History, News, Observation, Pulse, Source, SourceError};
use crate::totals::{self, ProcessTotals};
use crate::users::Users;
use std::collections::HashSet;
use std::rc::Rc;

/// How long a process that is gone is still shown, ns.
pub const GONE_FOR_NS: u64 = 5_000_000_000;
/// Refresh intervals that `+` and `-` step through, ms.
pub const INTERVALS_MS: [u64; 8] = [50, 100, 250, 500, 1000, 2000, 5000, 10_000];
/// Samples of the event counter from which the rate is made: about four seconds at the default interval.
const RATE_SPAN_NS: u64 = 4_000_000_000;

/// The box that the keys move in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// The process table.
    Processes,
    /// The devices.
    Devices,
    /// The event lines.
    Events,
}

/// What the run loop has to do about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nothing but to draw.
    None,
    /// Leave.
    Quit,
    /// Stop as a shell's job.
    Suspend,
    /// Draw every cell again.
    Redraw,
}

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
    fn is_shown(&self, now_ns: u64) -> bool {
        self.gone_since_ns.is_none_or(|since| now_ns.saturating_sub(since) < GONE_FOR_NS)
    }

    /// Labels of its chips: `0-3`.
    pub fn chips(&self, labels: &[String]) -> String {
        if self.gone_since_ns.is_some() { self.gone_from.clone() } else { self.totals.chips.list(labels) }
    }
}

/// The state.
#[derive(Debug)]
pub struct Dashboard {
    /// Name of the host.
    pub host: String,
    /// The zone of the times shown.
    pub zone: Zone,
    /// Glyphs and styles.
    pub theme: Theme,
    /// The aggregator runs inside this process.
    pub embedded: bool,
    /// Milliseconds between two looks.
    pub refresh_ms: u64,
    /// Updates are held.
    pub paused: bool,
    /// The help lies on top.
    pub help: bool,
    /// What is shown.
    pub view: View,
    /// Whom the details are of; none: of the first.
    pub subject: Option<Subject>,
    /// Where the keys move.
    pub focus: Focus,
    /// What the processes are sorted by.
    pub sort: SortColumn,
    /// The other way round.
    pub reversed: bool,
    /// The aggregator's state at the last look.
    pub connection: Connection,
    /// What was seen last, without the chips that were not asked for.
    pub seen: Option<Observation>,
    /// What the chips are called.
    pub labels: Vec<String>,
    /// The process table, sorted.
    pub rows: Vec<ProcessRow>,
    /// The selected process.
    pub selected: Option<ProcessKey>,
    /// Events a second; `None` until two looks can tell.
    pub events_per_second: Option<f64>,
    /// Scrolling of the process table.
    pub process_view: Viewport,
    /// Scrolling of the devices.
    pub device_view: Viewport,
    /// Scrolling of the event lines; they are counted from the newest.
    pub event_view: Viewport,
    /// Scrolling of charts and details.
    pub sheet: Viewport,
    /// Scrolling of the help.
    pub help_view: Viewport,
    /// Allocations of the process that details are of.
    pub holdings: Holdings,
    selection: Selection,
    users: Users,
    roster: Roster,
    /// Which of the aggregator's chips are shown.
    kept: Vec<usize>,
    counted: Vec<(u64, u64)>,
}

impl Dashboard {
    /// Nothing seen yet.
    pub fn new(host: String, zone: Zone, theme: Theme, selection: Selection, refresh_ms: u64) -> Self {
        Self {
            host,
            zone,
            theme,
            embedded: false,
            refresh_ms,
            paused: false,
            help: false,
            view: View::Table,
            subject: None,
            focus: Focus::Processes,
            sort: SortColumn::Total,
            reversed: false,
            connection: Connection::Unavailable(SourceError::NoAggregator { name: String::new() }),
            seen: None,
            labels: Vec::new(),
            rows: Vec::new(),
            selected: None,
            events_per_second: None,
            process_view: Viewport::default(),
            device_view: Viewport::default(),
            event_view: Viewport::default(),
            sheet: Viewport::default(),
            help_view: Viewport::default(),
            holdings: Holdings::default(),
            selection,
            users: Users::default(),
            roster: Roster::default(),
            kept: Vec::new(),
            counted: Vec::new(),
        }
    }

    /// Takes in what was seen.
    pub fn update(&mut self, feed: Feed) {
        let Some(mut seen) = feed.seen else {
            // A copy that never came out whole says nothing about the aggregator: the last figures stay.
            if !matches!(feed.connection, Connection::Unavailable(SourceError::Busy { .. })) {
                self.forget();
                self.connection = feed.connection;
            }
            return;
        };
        self.connection = feed.connection;
        if self.seen.as_ref().is_some_and(|before| before.identity != seen.identity) {
            self.counted.clear();
        }
        self.count(seen.heartbeat_ns, seen.snapshot.health.events_total);
        (seen.snapshot, self.kept) = self.selection.apply(seen.snapshot);
        seen.history = self.shown(&seen.history);
        let moved = self.roster.update(&seen.snapshot.processes, &self.users);
        let labels = chip_labels(&seen.snapshot.chips);
        self.take_rows(totals::processes(&seen.snapshot, &self.roster), moved, seen.now_ns);
        self.labels = labels;
        self.seen = Some(seen);
    }

    /// Looks again, and takes in what is new.
    pub fn look(&mut self, source: &mut Source) {
        match source.poll_again() {
            News::Feed(feed) => self.update(*feed),
            News::Same { connection, pulse } => self.stay(connection, pulse),
        }
        self.look_at_holdings();
    }

    /// The figures are those of the last look; time went on.
    fn stay(&mut self, connection: Connection, pulse: Pulse) {
        let Some(mut seen) = self.seen.take() else { return };
        self.connection = connection;
        self.count(pulse.heartbeat_ns, seen.snapshot.health.events_total);
        seen.history = self.shown(&pulse.history);
        (seen.history_head, seen.heartbeat_ns) = (pulse.history_head, pulse.heartbeat_ns);
        (seen.now_ns, seen.unix_ns) = (pulse.now_ns, pulse.unix_ns);
        self.rows.retain(|row| row.is_shown(seen.now_ns));
        self.drop_stale_selection();
        self.seen = Some(seen);
    }

    fn forget(&mut self) {
        self.seen = None;
        self.labels.clear();
        self.rows.clear();
        self.counted.clear();
        self.events_per_second = None;
    }

    /// The rate over the last seconds, by the aggregator's own clock.
    fn count(&mut self, heartbeat_ns: u64, events: u64) {
        // While the aggregator stands still, its last round is one moment, however often one looks.
        self.counted.pop_if(|(then, _)| *then == heartbeat_ns);
        self.counted.push((heartbeat_ns, events));
        self.counted.retain(|(then, count)| then.saturating_add(RATE_SPAN_NS) > heartbeat_ns && *count <= events);
        self.events_per_second = match self.counted[..] {
            [(then, before), .., (now, after)] if now > then => {
                Some((after - before) as f64 * 1e9 / (now - then) as f64)
            }
            _ => self.events_per_second.filter(|_| self.counted.len() > 1),
        };
    }

    /// Of the shown chips.
    fn shown(&self, history: &[Rc<History>]) -> Vec<Rc<History>> {
        self.kept.iter().filter_map(|at| history.get(*at).map(Rc::clone)).collect()
    }

    /// New rows; those that are gone stay a little. `moved`: somebody came or left.
    fn take_rows(&mut self, now_there: Vec<ProcessTotals>, moved: bool, now_ns: u64) {
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
        self.rows = now_there.into_iter().map(ProcessRow::new).chain(gone).collect();
        self.sort_rows();
        self.drop_stale_selection();
    }

    fn drop_stale_selection(&mut self) {
        if self.selected.is_some() && self.selected_at().is_none() {
            self.selected = None;
        }
    }

    fn sort_rows(&mut self) {
        let (sort, reversed) = (self.sort, self.reversed);
        // The pid makes the order of equals the same at every look.
        if matches!(sort, SortColumn::User | SortColumn::Name) {
            self.rows.sort_by(|a, b| {
                let order = sort.text(&a.totals).cmp(&sort.text(&b.totals));
                let order = if reversed { order.reverse() } else { order };
                order.then(a.totals.pid.cmp(&b.totals.pid))
            });
        } else {
            // Small keys are sorted, and each row moves once.
            self.rows.sort_by_cached_key(|row| {
                let amount = sort.amount(&row.totals);
                (if sort.downwards() == reversed { amount } else { !amount }, row.totals.pid)
            });
        }
    }

    /// Where the selected process stands.
    pub fn selected_at(&self) -> Option<usize> {
        self.rows.iter().position(|row| Some(row.totals.key()) == self.selected)
    }

    /// Whether the figures are of the past.
    pub const fn is_old(&self) -> bool {
        matches!(self.connection, Connection::Stale { .. } | Connection::Ended)
    }

    /// Does what a key asks for.
    pub fn act(&mut self, action: Action) -> Request {
        match action {
            Action::Quit => return Request::Quit,
            Action::Suspend => return Request::Suspend,
            Action::Redraw => return Request::Redraw,
            Action::Help => self.help = !self.help,
            Action::Back if self.help => self.help = false,
            Action::Back if self.view != View::Table => self.turn_to(View::Table),
            Action::Back => self.selected = None,
            Action::Show(view) => self.turn_to(view),
            Action::Next => self.step_subject(true),
            Action::Previous => self.step_subject(false),
            Action::NextBox => {
                self.focus = match self.focus {
                    Focus::Processes => Focus::Events,
                    Focus::Events => Focus::Devices,
                    Focus::Devices => Focus::Processes,
                }
            }
            Action::Sort => {
                let at = SortColumn::ALL.iter().position(|column| *column == self.sort).unwrap_or(0);
                self.sort = SortColumn::ALL[(at + 1) % SortColumn::ALL.len()];
                self.reversed = false;
                self.sort_rows();
            }
            Action::Reverse => {
                self.reversed = !self.reversed;
                self.sort_rows();
            }
            Action::Pause => self.paused = !self.paused,
            Action::Slower => {
                self.refresh_ms = INTERVALS_MS.into_iter().find(|ms| *ms > self.refresh_ms).unwrap_or(self.refresh_ms);
            }
            Action::Faster => {
                let next = INTERVALS_MS.into_iter().rev().find(|ms| *ms < self.refresh_ms);
                self.refresh_ms = next.unwrap_or(self.refresh_ms);
            }
            Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
                match (self.view, self.focus) {
                    _ if self.help => self.help_view.scroll(action),
                    (View::Charts | View::Detail, _) => self.sheet.scroll(action),
                    (_, Focus::Processes) => self.select(action),
                    (_, Focus::Devices) => self.device_view.scroll(action),
                    (_, Focus::Events) => self.event_view.scroll(action),
                }
            }
        }
        Request::None
    }

    fn select(&mut self, action: Action) {
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

#[cfg(test)]
mod tests;
