//! `alloc-top`: who holds which bytes on which Tenstorrent chip, live.

#![forbid(unsafe_code)]

use clap::Parser;
use shm_layout::names::Prefix;
use std::io::IsTerminal;
use std::process::ExitCode;
use tui::exit::finish;
use tui::once::Format;
use tui::screen::theme::Colour;
use tui::selection::{Device, Selection};
use tui::top::{DEFAULT_REFRESH_MS, Mode, TopOptions, run};

/// Who holds which bytes on which Tenstorrent chip, live.
///
/// Exit codes: 0 ok; 1 failure; 2 wrong usage; 3 nothing to show (no aggregator); 4 shown but degraded (--strict).
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Print one table and leave (the default when standard output is no terminal)
    #[arg(long)]
    once: bool,
    /// Print one JSON object and leave
    #[arg(long, conflicts_with = "once")]
    json: bool,
    /// Only this device: a logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID")]
    devices: Vec<Device>,
    /// Every device (the default), whatever --device says
    #[arg(short, long)]
    all: bool,
    /// Milliseconds between two looks, at least 50
    #[arg(short, long, value_name = "MS", default_value_t = DEFAULT_REFRESH_MS,
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    refresh: u64,
    /// Run an aggregator in this process, if none runs on the host
    #[arg(long)]
    embedded: bool,
    /// With --embedded: set a baseline for each process and device once the device has been opened
    #[arg(long, requires = "embedded")]
    auto_baseline: bool,
    /// Leave the mouse to the terminal
    #[arg(long)]
    no_mouse: bool,
    /// Draw with ASCII only
    #[arg(long)]
    ascii: bool,
    /// When to use colours
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,
    /// With --once and --json: exit code 4 when figures are old or incomplete now: the aggregator has not run for two seconds, rings
    /// are refused, single allocations are missing, rows did not fit. What was dropped, torn or not believed before does not
    /// count any more once what it touched has ended
    #[arg(long)]
    strict: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mode = if arguments.json {
        Mode::Once(Format::Json)
    } else if arguments.once || !std::io::stdout().is_terminal() {
        Mode::Once(Format::Table)
    } else {
        Mode::Screen
    };
    let result = Prefix::from_environment().map_err(anyhow::Error::from).and_then(|prefix| {
        run(TopOptions {
            prefix,
            mode,
            selection: Selection(if arguments.all { Vec::new() } else { arguments.devices }),
            refresh_ms: arguments.refresh,
            embedded: arguments.embedded,
            auto_baseline: arguments.auto_baseline,
            mouse: !arguments.no_mouse,
            ascii: arguments.ascii,
            colour: arguments.color,
            strict: arguments.strict,
            stop: None,
        })
    });
    finish("alloc-top", result)
}
