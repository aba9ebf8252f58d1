//! Figures, printed: `alloc-top --once`, `--json`, `--jsonl`, `--csv`, and `tt-alloc stats`. One look, or one after another.
//!
//! | module | what lies there |
//! |---|---|
//! | [`choice`] | of a snapshot, what is meant by a filter, in the order asked for |
//! | [`pace`] | the time between two looks |

pub mod choice;
pub mod pace;

use crate::clock::Zone;
use crate::csv;
use crate::degraded;
use crate::exit::Exit;
use crate::filter::Filter;
use crate::json;
use crate::output::{self, complain};
use crate::recording::Player;
use crate::screen::order::{Order, SortColumn};
use crate::selection::Selection;
use crate::source::{Connection, Feed, Observation, Source};
use crate::table;
use crate::units::{self, Units};
use crate::users::Users;
use pace::{Pace, Wait};
use std::time::{Duration, Instant};

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As tables.
    Table,
    /// As JSON objects, one a line.
    Json,
    /// As comma-separated values: a header, then a row a device and a row a process.
    Csv,
}

/// What is printed, and how it counts.
#[derive(Clone, Debug)]
pub struct Once {
    /// The form.
    pub format: Format,
    /// The devices asked for.
    pub selection: Selection,
    /// The processes asked for.
    pub filter: Filter,
    /// Their order; none: the largest first, and in JSON as they are published.
    pub order: Option<Order>,
    /// What the tables count bytes in.
    pub units: Units,
    /// Old or incomplete figures are [`Exit::Degraded`].
    pub strict: bool,
    /// How long to wait for an aggregator that is starting.
    pub patience: Duration,
    /// How often it looks; none: until nobody reads any more.
    pub looks: Option<u64>,
    /// From one look to the next.
    pub every: Duration,
}

impl Default for Once {
    /// One look at everything, as tables.
    fn default() -> Self {
        Self {
            format: Format::Table,
            selection: Selection::default(),
            filter: Filter::default(),
            order: None,
            units: Units::default(),
            strict: false,
            patience: Duration::ZERO,
            looks: Some(1),
            every: Duration::from_millis(crate::top::DEFAULT_REFRESH_MS),
        }
    }
}

/// What became of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// There are figures.
    Printed {
        /// They are old or incomplete.
        degraded: bool,
    },
    /// There are none to be had now, or of no such device.
    Not(Exit),
    /// Nobody reads.
    Closed,
}

/// What one look leaves for the next.
struct Looks<'a> {
    program: &'a str,
    users: Users,
    zone: Zone,
    printed: u64,
    /// What was complained of at the last look, without numbers: it is not said again while it lasts.
    complaints: Vec<String>,
}

impl Looks<'_> {
    /// Says what is new. An age or a count that has grown is not.
    fn complain(&mut self, of: Vec<String>) {
        let apart = |what: &String| what.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        let kinds: Vec<String> = of.iter().map(apart).collect();
        for (what, _) in of.iter().zip(&kinds).filter(|(_, kind)| !self.complaints.contains(kind)) {
            complain(format_args!("{}: {what}", self.program));
        }
        self.complaints = kinds;
    }
}

impl Once {
    /// Looks and prints. Messages go to standard error, figures alone to standard output.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn show(&self, program: &str, source: &mut Source) -> anyhow::Result<Exit> {
        units::count_in(self.units);
        let zone = Zone::system();
        let mut looks = Looks { program, users: Users::default(), zone, printed: 0, complaints: Vec::new() };
        if self.looks == Some(1) {
            return Ok(match self.look(&mut looks, source)? {
                Looked::Not(exit) => exit,
                Looked::Printed { degraded } => self.exit(degraded),
                Looked::Closed => Exit::Ok,
            });
        }
        let mut pace = Pace::begin(self.every)?;
        let mut any_degraded = false;
        let mut left = self.looks;
        loop {
            let looked = self.look(&mut looks, source)?;
            match looked {
                Looked::Closed => return Ok(self.exit(any_degraded)),
                // An aggregator that is replaced may be missing for a moment: not at the first look.
                Looked::Not(exit) if looks.printed == 0 => return Ok(exit),
                Looked::Not(_) => any_degraded = true,
                Looked::Printed { degraded } => any_degraded |= degraded,
            }
            left = left.map(|looks| looks.saturating_sub(1));
            if left == Some(0) {
                return Ok(if let Looked::Not(exit) = looked { exit } else { self.exit(any_degraded) });
            }
            match pace.wait(std::io::stdout())? {
                Wait::Over => {}
                Wait::Closed | Wait::Ended => return Ok(self.exit(any_degraded)),
                Wait::Interrupted => return Ok(Exit::Interrupted),
            }
        }
    }

    /// Prints looks of a recording, from where it is on, so far apart as it would look; at its end that is all. Nobody waits.
    ///
    /// # Errors
    /// When standard output cannot be written, or the recording not be read.
    pub fn play(&self, program: &str, player: &mut Player) -> anyhow::Result<Exit> {
        units::count_in(self.units);
        let (users, zone) = (Users::fixed(player.names()), Zone::system());
        let mut looks = Looks { program, users, zone, printed: 0, complaints: Vec::new() };
        let mut any_degraded = false;
        let mut left = self.looks;
        loop {
            looks.users = Users::fixed(player.names());
            let looked = self.tell(&mut looks, player.feed())?;
            any_degraded |= !matches!(looked, Looked::Printed { degraded: false });
            left = left.map(|looks| looks.saturating_sub(1));
            match looked {
                Looked::Closed => return Ok(Exit::Ok),
                Looked::Not(exit) if looks.printed == 0 && (left == Some(0) || player.is_at_end()) => return Ok(exit),
                _ if left == Some(0) || player.is_at_end() => return Ok(self.exit(any_degraded)),
                _ => {}
            }
            player.pass(self.every)?;
        }
    }

    const fn exit(&self, degraded: bool) -> Exit {
        if degraded && self.strict { Exit::Degraded } else { Exit::Ok }
    }

    fn look(&self, looks: &mut Looks<'_>, source: &mut Source) -> anyhow::Result<Looked> {
        let feed = self.wait_for(source);
        self.tell(looks, feed)
    }

    /// Prints what was seen, here and now or elsewhere.
    fn tell(&self, looks: &mut Looks<'_>, feed: Feed) -> anyhow::Result<Looked> {
        let (connection, mut seen) = match (feed.seen, feed.connection) {
            (Some(seen), connection) => (connection, seen),
            (None, Connection::Unavailable(error)) => {
                looks.complain(vec![error.to_string()]);
                return Ok(Looked::Not(if error.is_absence() { Exit::Nothing } else { Exit::Failure }));
            }
            (None, connection) => anyhow::bail!("no figures, though {connection}; try again"),
        };
        let reasons = degraded::reasons(&connection, &seen);
        let degraded = !reasons.is_empty();
        looks.complain(reasons.into_iter().chain(degraded::past(&seen)).collect());
        let there = seen.snapshot.chips.len();
        seen.snapshot = self.selection.apply(seen.snapshot).0;
        // What is not there by itself is not there because of the filter.
        let nobody = if seen.snapshot.processes.is_empty() || self.filter.is_empty() {
            "no tracked process".to_owned()
        } else {
            format!("no process is meant by {}", shm_layout::text::clean(self.filter.text().as_bytes()))
        };
        let order = self.order.or((self.format != Format::Json).then_some(Order::natural(SortColumn::Total)));
        seen.snapshot = choice::choose(seen.snapshot, &self.filter, order, &looks.users);
        if !output::write(&self.text(&seen, matches!(connection, Connection::Live), looks, &nobody)?)? {
            return Ok(Looked::Closed);
        }
        looks.printed += 1;
        if !self.selection.0.is_empty() && seen.snapshot.chips.is_empty() {
            looks.complain(vec![format!(
                "none of the {there} known devices has that number or chip id; look without --device"
            )]);
            return Ok(Looked::Not(Exit::Nothing));
        }
        Ok(Looked::Printed { degraded })
    }

    fn text(&self, seen: &Observation, live: bool, looks: &Looks<'_>, nobody: &str) -> anyhow::Result<String> {
        let mut text = String::new();
        match self.format {
            Format::Json => text = json::report_as(seen, live, &looks.users)?,
            Format::Csv => {
                if looks.printed == 0 {
                    text.push_str(&csv::header());
                }
                text.push_str(&csv::rows_as(seen, live, &looks.users));
            }
            Format::Table => {
                if self.looks != Some(1) {
                    let gap = if looks.printed > 0 { "\n" } else { "" };
                    text = format!("{gap}{}\n\n", looks.zone.time_of_day(seen.unix_ns));
                }
                text.push_str(&table::overview(seen, &looks.users, output::columns(), nobody));
            }
        }
        Ok(text)
    }

    fn wait_for(&self, source: &mut Source) -> Feed {
        let until = Instant::now() + self.patience;
        loop {
            let feed = source.poll();
            if feed.seen.is_some() || Instant::now() >= until {
                return feed;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
