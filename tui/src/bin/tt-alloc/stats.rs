//! `tt-alloc stats`: the aggregated figures, once.

use clap::Args;
use shm_layout::names::Prefix;
use std::process::ExitCode;
use std::time::Duration;
use tui::once::{Format, Once};
use tui::selection::{Device, Selection};
use tui::source::Source;

/// Print the figures of every chip and process, once
#[derive(Debug, Args)]
pub struct Stats {
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Exit code 4 when figures are old or incomplete now: the aggregator has not run for two seconds, rings
    /// are refused, single allocations are missing, rows did not fit. What was dropped, torn or not believed before does not
    /// count any more once what it touched has ended
    #[arg(long)]
    strict: bool,
    /// Only this device: a logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID")]
    devices: Vec<Device>,
}

impl Stats {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let once = Once {
            format: if self.json { Format::Json } else { Format::Table },
            selection: Selection(self.devices),
            strict: self.strict,
            patience: Duration::ZERO,
        };
        let mut source = Source::new(&Prefix::from_environment()?);
        Ok(once.show("tt-alloc", &mut source)?.into())
    }
}
