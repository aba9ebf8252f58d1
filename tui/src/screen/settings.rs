//! What the dashboard begins with, and what of it is kept in the configuration file; the message about it in the last line.

use super::dashboard::Dashboard;
use super::theme::Colour;
use crate::clock;
use crate::configuration::Settings;
use crate::units::Units;
use std::path::PathBuf;

/// How long a message stands in the last line, ns.
const TOLD_FOR_NS: u64 = 10_000_000_000;

/// Where settings are kept, and those that are not the dashboard's own.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The file; `None`: none is to be used.
    pub path: Option<PathBuf>,
    /// Whose the mouse is, if somebody said so.
    pub mouse: Option<bool>,
    /// ASCII only, if somebody said so. Where the terminal cannot do more, that is no setting.
    pub ascii: Option<bool>,
    /// When to use colours, if somebody said so.
    pub color: Option<Colour>,
}

/// What is said in the last line, and until when, `CLOCK_MONOTONIC` ns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What.
    pub text: String,
    /// It has not worked.
    pub failed: bool,
    until_ns: u64,
}

impl Dashboard {
    /// Takes in what is set.
    pub fn set(&mut self, settings: &Settings) {
        if let Some(order) = settings.order() {
            (self.sort, self.reversed) = (order.column, order.reversed);
        } else if let Some(reversed) = settings.reversed {
            self.reversed = reversed;
        }
        self.tree = settings.tree.unwrap_or(self.tree);
        self.window = settings.window.unwrap_or(self.window);
        self.sort_rows();
        if let Some(ms) = settings.refresh_ms {
            self.refresh_ms = ms.max(crate::top::LEAST_REFRESH_MS);
        }
        if let Some(units) = settings.units {
            self.units = units.on_screen();
        }
        if let Some(filter) = &settings.filter {
            self.meant(filter.clone());
        }
        if let Some(view) = settings.view {
            self.turn_to(view);
        }
    }

    /// What is set now.
    pub fn settings(&self) -> Settings {
        Settings {
            view: Some(self.view),
            sort: Some(self.sort),
            reversed: Some(self.reversed),
            tree: Some(self.tree),
            window: Some(self.window),
            refresh_ms: Some(self.refresh_ms),
            units: Some(self.units),
            filter: Some(self.filter.clone()),
            mouse: self.keeping.mouse,
            ascii: self.keeping.ascii,
            color: self.keeping.color,
        }
    }

    /// The other units.
    pub(super) fn turn_units(&mut self) {
        self.units = self.units.other();
        self.say(
            if self.units == Units::Si {
                "bytes in powers of 1000: kB, MB, GB"
            } else {
                "bytes in powers of 1024: KiB, MiB, GiB"
            },
            false,
        );
    }

    /// Says something in the last line, until a key is pressed or some seconds have passed.
    pub fn say(&mut self, text: &str, failed: bool) {
        let until_ns = clock::monotonic_ns().saturating_add(TOLD_FOR_NS);
        self.message = Some(Message { text: shm_layout::text::clean(text.as_bytes()), failed, until_ns });
    }

    /// Old messages go. True: one has gone.
    pub(super) fn drop_old_message(&mut self) -> bool {
        self.message.take_if(|message| message.until_ns <= clock::monotonic_ns()).is_some()
    }
}
