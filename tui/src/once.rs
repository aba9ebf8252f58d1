//! One look, printed: `alloc-top --once`, `alloc-top --json`, `tt-alloc stats`.

use crate::degraded;
use crate::exit::Exit;
use crate::json;
use crate::output;
use crate::selection::Selection;
use crate::source::{Connection, Feed, Source};
use crate::table;
use crate::users::Users;
use std::time::{Duration, Instant};

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As tables.
    Table,
    /// As one JSON object.
    Json,
}

/// What is printed, and how it counts.
#[derive(Clone, Debug)]
pub struct Once {
    /// The form.
    pub format: Format,
    /// The devices asked for.
    pub selection: Selection,
    /// Old or incomplete figures are [`Exit::Degraded`].
    pub strict: bool,
    /// How long to wait for an aggregator that is starting.
    pub patience: Duration,
}

impl Once {
    /// Looks and prints. Messages go to standard error, figures alone to standard output.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn show(&self, program: &str, source: &mut Source) -> anyhow::Result<Exit> {
        self.tell(program, self.look(source), &Users::default())
    }

    /// Prints what was seen, here and now or elsewhere.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn tell(&self, program: &str, feed: Feed, users: &Users) -> anyhow::Result<Exit> {
        let mut seen = match (feed.seen, feed.connection) {
            (Some(seen), connection) => {
                for reason in degraded::reasons(&connection, &seen).into_iter().chain(degraded::past(&seen)) {
                    crate::output::complain(format_args!("{program}: {reason}"));
                }
                (connection, seen)
            }
            (None, Connection::Unavailable(error)) => {
                crate::output::complain(format_args!("{program}: {error}"));
                return Ok(if error.is_absence() { Exit::Nothing } else { Exit::Failure });
            }
            (None, connection) => anyhow::bail!("no figures, though {connection}; try again"),
        };
        let degraded = !degraded::reasons(&seen.0, &seen.1).is_empty();
        let there = seen.1.snapshot.chips.len();
        seen.1.snapshot = self.selection.apply(seen.1.snapshot).0;
        let text = match self.format {
            Format::Json => json::report_as(&seen.1, matches!(seen.0, Connection::Live), users)?,
            Format::Table => table::overview(&seen.1, users, output::columns()),
        };
        output::print(&text)?;
        if !self.selection.0.is_empty() && seen.1.snapshot.chips.is_empty() {
            crate::output::complain(format_args!(
                "{program}: none of the {there} known devices has that number or chip id; look without --device"
            ));
            return Ok(Exit::Nothing);
        }
        Ok(if degraded && self.strict { Exit::Degraded } else { Exit::Ok })
    }

    fn look(&self, source: &mut Source) -> Feed {
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
