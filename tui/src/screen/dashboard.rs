//! The state behind the screen: what was seen last, and what the keys changed. Nothing here draws.

mod keys;
mod rates;
mod replay;
mod rows;

use rates::Rates;
pub use replay::Replay;
pub(super) use replay::recorded;
pub use rows::{GONE_FOR_NS, ProcessRow};

use super::mouse::Drawn;
use super::order::SortColumn;
use super::prompt::Prompt;
use super::request::About;
use super::settings::{Kept, Message};
use super::theme::Theme;
use super::view::{Subject, View};
use super::viewport::Viewport;
use super::views::States;
use super::writing::Writing;
use crate::clock::{self, Zone};
use crate::filter::Filter;
use crate::history::Window;
use crate::holdings::Holdings;
use crate::inventory::Inventories;
use crate::recording::{Move, Recorder};
use crate::roster::{ProcessKey, Roster};
use crate::selection::{Selection, chip_labels};
use crate::source::{Connection, Feed, History, News, Observation, Pulse, Source, SourceError};
use crate::totals;
use crate::units::Units;
use crate::users::Users;
use shm_layout::names::Prefix;
use std::rc::Rc;
use std::sync::mpsc::Receiver;

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
    /// Go somewhere in the recording that is played.
    Play(Move),
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
    /// How much of the past charts show.
    pub window: Window,
    /// Where the keys move.
    pub focus: Focus,
    /// What the processes are sorted by.
    pub sort: SortColumn,
    /// The other way round.
    pub reversed: bool,
    /// Processes stand under those that started them.
    pub tree: bool,
    /// The processes' peaks are shown instead of what they hold.
    pub peaks: bool,
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
    /// Every allocation, for the views that show single ones.
    pub inventories: Inventories,
    /// What the keys changed in the views.
    pub views: States,
    /// What is meant by it is shown, in the tables of processes and of events.
    pub filter: Filter,
    /// Where things were drawn that can be clicked.
    pub drawn: Drawn,
    /// What the aggregator will have answered.
    pub(super) asked: Option<Receiver<(String, bool)>>,
    /// Whom the question on the screen is about.
    pub(super) about: Option<About>,
    /// Processes that are there, whether they are meant by the filter or not.
    pub processes: usize,
    /// What is being typed.
    pub prompt: Option<Prompt>,
    /// What bytes are counted in.
    pub units: Units,
    /// What is said in the last line.
    pub message: Option<Message>,
    /// Where settings are kept.
    pub keeping: Kept,
    /// Prefix of the files' names, for recordings.
    pub prefix: Prefix,
    /// What is being written to a disk.
    pub(super) writing: Writing,
    /// The recording that is being made.
    pub recorder: Option<Recorder>,
    /// Where one is in a recording; none: this is what is there now.
    pub replay: Option<Replay>,
    selection: Selection,
    users: Users,
    roster: Roster,
    /// Which of the aggregator's chips are shown.
    kept: Vec<usize>,
    counted: Vec<(u64, u64)>,
    rates: Rates,
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
            view: View::Overview,
            subject: None,
            window: Window::default(),
            focus: Focus::Processes,
            sort: SortColumn::Total,
            reversed: false,
            tree: false,
            peaks: false,
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
            inventories: Inventories::default(),
            views: States::default(),
            filter: Filter::default(),
            drawn: Drawn::default(),
            asked: None,
            about: None,
            processes: 0,
            prompt: None,
            units: Units::default(),
            message: None,
            keeping: Kept::default(),
            prefix: Prefix::default(),
            writing: Writing::default(),
            recorder: None,
            replay: None,
            selection,
            users: Users::default(),
            roster: Roster::default(),
            kept: Vec::new(),
            counted: Vec::new(),
            rates: Rates::default(),
        }
    }

    /// Takes in what was seen.
    pub fn update(&mut self, feed: Feed) {
        let Some(mut seen) = feed.seen else {
            match &mut self.seen {
                // A copy that never came out whole says nothing about the aggregator: the last figures stay, and grow old.
                Some(seen) if matches!(feed.connection, Connection::Unavailable(SourceError::Busy { .. })) => {
                    (seen.now_ns, seen.unix_ns) = (clock::monotonic_ns(), clock::unix_ns());
                    self.connection = seen.connection();
                }
                _ => {
                    self.forget();
                    self.connection = feed.connection;
                }
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
        self.take_rows(totals::processes(&seen.snapshot, &self.roster), moved, labels, seen.now_ns);
        self.rates.count(seen.heartbeat_ns, &seen.snapshot.processes);
        self.views.events.take(&seen.snapshot.lines);
        self.seen = Some(seen);
    }

    /// Names of users.
    pub const fn users(&self) -> &Users {
        &self.users
    }

    /// Looks again, and takes in what is new.
    pub fn look(&mut self, source: &mut Source) {
        match source.poll_again() {
            News::Feed(feed) => self.update(*feed),
            News::Same { connection, pulse } => self.stay(connection, pulse),
        }
        self.look_at_holdings();
        if let Some(seen) = self.seen.as_ref().filter(|_| self.view.needs_ledgers()) {
            self.inventories.look(&seen.prefix, seen.now_ns);
        }
        self.look_at_inventory();
        if self.view == View::Health {
            self.views.health.look();
        }
    }

    /// The figures are those of the last look; time went on.
    fn stay(&mut self, connection: Connection, pulse: Pulse) {
        let Some(mut seen) = self.seen.take() else { return };
        self.connection = connection;
        self.count(pulse.heartbeat_ns, seen.snapshot.health.events_total);
        self.rates.count(pulse.heartbeat_ns, &seen.snapshot.processes);
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
        self.processes = 0;
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

    /// Whether the figures are of the past.
    pub const fn is_old(&self) -> bool {
        matches!(self.connection, Connection::Stale { .. } | Connection::Ended)
    }
}

#[cfg(test)]
mod tests;
