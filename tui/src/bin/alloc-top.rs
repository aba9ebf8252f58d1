//! `alloc-top`: who holds which bytes on which Tenstorrent chip, live.

#![forbid(unsafe_code)]

use clap::{ArgGroup, Parser};
use shm_layout::names::Prefix;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tui::configuration::Settings;
use tui::exit::finish;
use tui::filter::Filter;
use tui::once::{Format, Once};
use tui::screen::order::Order;
use tui::screen::theme::Colour;
use tui::selection::{Device, Selection};
use tui::top::{DEFAULT_REFRESH_MS, LEAST_REFRESH_MS, MOST_REFRESH_MS, Mode, TopOptions, run};
use tui::units::Units;

const AFTER: &str = "\
Filters: words that must all hold; a bare word is part of a name, a command line or a user, or a pid.
  mem> dram> l1> cb> other> since>  a size (4096, 64K, 1.5GiB, 2MB); also >= < <= =
  events>  a count (500, 20k)        age>  a time (90s, 10m, 2h)        pid:  a number
  user: name: cmd:  a part (= the whole)        dev:  0, 0-3, 0,2
  is:  incomplete, tracked, untracked, running, gone; of events info, warning, error
  ! before a word turns it round; quotes keep blanks: name:\"my job\"

Exit codes: 0 ok; 1 failure; 2 wrong usage; 3 nothing to show (no aggregator, no such device); 4 shown but degraded (--strict);
130 Ctrl-C while printing one look after another.

The dashboard's configuration: $XDG_CONFIG_HOME/tt-alloc/alloc-top.toml, else in ~/.config; the key W writes it.";

/// Who holds which bytes on which Tenstorrent chip, live.
///
/// On a terminal: a dashboard (? shows its keys). Otherwise, and with --once: tables.
#[derive(Debug, Parser)]
#[command(version, after_long_help = AFTER, after_help = "--help tells more: filters, exit codes, the configuration file",
          group = ArgGroup::new("form").args(["once", "json", "jsonl", "csv"]))]
struct Arguments {
    /// Only this device: a logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID", help_heading = "What is shown")]
    devices: Vec<Device>,
    /// Every device (the default), whatever --device says
    #[arg(short, long, help_heading = "What is shown")]
    all: bool,
    /// Only these processes and their events, as in: mem>1G user:ann dev:0 !train
    #[arg(long, value_name = "EXPR", help_heading = "What is shown")]
    filter: Option<Filter>,
    /// Processes by total, dram, l1, cb, other, events, pid, user or name; with :asc or :desc the other way round
    #[arg(long, value_name = "COLUMN", help_heading = "What is shown")]
    sort: Option<Order>,
    /// What bytes are counted in (JSON and CSV: always bytes; the dashboard: iec or si)
    #[arg(long, value_enum, value_name = "UNITS", help_heading = "What is shown")]
    units: Option<Units>,
    /// Milliseconds between two looks, at least 50 [default: 250]
    #[arg(short, long, value_name = "MS", help_heading = "What is shown",
          value_parser = clap::value_parser!(u64).range(1..=MOST_REFRESH_MS))]
    refresh: Option<u64>,

    /// Print tables and leave (the default when standard output is no terminal)
    #[arg(long, help_heading = "Printed output")]
    once: bool,
    /// Print one JSON object and leave
    #[arg(long, help_heading = "Printed output")]
    json: bool,
    /// Print a JSON object a look, one a line, until -n of them or until nobody reads
    #[arg(long, help_heading = "Printed output")]
    jsonl: bool,
    /// Print comma-separated values and leave: a row a device, a row a process
    #[arg(long, help_heading = "Printed output")]
    csv: bool,
    /// Print so many looks, --refresh apart
    #[arg(short = 'n', long = "count", value_name = "COUNT", help_heading = "Printed output",
          value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Exit code 4 when figures are old or incomplete now
    ///
    /// That is: the aggregator has not run for two seconds, rings are refused, single allocations are missing, rows did not
    /// fit. What was dropped, torn or not believed before does not count any more once what it touched has ended.
    #[arg(long, help_heading = "Printed output")]
    strict: bool,

    /// Leave the mouse to the terminal, which selects text with it
    #[arg(long, help_heading = "Dashboard")]
    no_mouse: bool,
    /// Draw with ASCII only
    #[arg(long, help_heading = "Dashboard")]
    ascii: bool,
    /// Which colours to use [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", help_heading = "Dashboard")]
    color: Option<Colour>,
    /// Neither read nor write the configuration file
    #[arg(long, help_heading = "Dashboard")]
    no_config: bool,

    /// Run an aggregator in this process, if none runs on the host
    #[arg(long, help_heading = "Aggregator")]
    embedded: bool,
    /// With --embedded: set a baseline for each process and device once the device has been opened
    #[arg(long, requires = "embedded", help_heading = "Aggregator")]
    auto_baseline: bool,

    /// Record what is seen into this file, for --replay; goes on with a recording that is there
    ///
    /// Where standard output is no terminal nothing is shown: it records until SIGINT or SIGTERM.
    #[arg(long, value_name = "FILE", help_heading = "Recording", conflicts_with_all = ["form", "count", "replay"])]
    record: Option<PathBuf>,
    /// Show a recording instead of this host; also printed, with -n or --jsonl look after look up to its end
    #[arg(long, value_name = "FILE", help_heading = "Recording", conflicts_with = "embedded")]
    replay: Option<PathBuf>,
    /// Of the recording: so far behind its beginning (10m), or at this moment (17:30, 2026-11-21 17:30:05)
    #[arg(long, value_name = "WHEN", help_heading = "Recording", requires = "replay", value_parser = when)]
    at: Option<String>,
}

/// What may be behind `--at`; which moment `17:30` is depends on the recording.
fn when(text: &str) -> Result<String, String> {
    let moment = || tui::clock::moment(text, &tui::clock::Zone::system(), tui::clock::unix_ns());
    if tui::amounts::duration(text).is_ok() || moment().is_some() {
        return Ok(text.to_owned());
    }
    let shown = shm_layout::text::clean(text.as_bytes());
    Err(format!("{shown:?} is neither a duration (10m) nor a moment (17:30, 2026-11-21 17:30:05)"))
}

impl Arguments {
    fn selection(&self) -> Selection {
        Selection(if self.all { Vec::new() } else { self.devices.clone() })
    }

    /// `None`: the dashboard.
    fn printed(&self) -> Option<Once> {
        let tables = self.once || self.count.is_some() || !std::io::stdout().is_terminal();
        let format = match self {
            _ if self.json || self.jsonl => Format::Json,
            _ if self.csv => Format::Csv,
            _ if tables => Format::Table,
            _ => return None,
        };
        Some(Once {
            format,
            selection: self.selection(),
            filter: self.filter.clone().unwrap_or_default(),
            order: self.sort,
            units: self.units.unwrap_or_default(),
            strict: self.strict,
            looks: self.count.or((!self.jsonl).then_some(1)),
            every: Duration::from_millis(self.refresh.unwrap_or(DEFAULT_REFRESH_MS).max(LEAST_REFRESH_MS)),
            ..Once::default()
        })
    }

    fn mode(&self) -> Mode {
        if self.record.is_some() && !std::io::stdout().is_terminal() {
            return Mode::Record;
        }
        self.printed().map_or(Mode::Screen, |once| Mode::Once(Box::new(once)))
    }

    fn options(self, prefix: Prefix) -> TopOptions {
        let settings = Settings {
            refresh_ms: self.refresh,
            units: self.units,
            filter: self.filter.clone(),
            mouse: self.no_mouse.then_some(false),
            ascii: self.ascii.then_some(true),
            color: self.color,
            ..Settings::default()
        };
        TopOptions {
            prefix,
            mode: self.mode(),
            selection: self.selection(),
            settings: settings.sorted(self.sort),
            configured: !self.no_config,
            embedded: self.embedded,
            auto_baseline: self.auto_baseline,
            record: self.record,
            replay: self.replay,
            at: self.at,
            stop: None,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let prefix = Prefix::from_environment().map_err(anyhow::Error::from);
    finish("alloc-top", prefix.and_then(|prefix| run(arguments.options(prefix))))
}
