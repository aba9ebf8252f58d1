//! `tt-alloc stats`: the aggregated figures, once.

use clap::Args;
use shm_layout::names::Prefix;
use std::process::ExitCode;
use tui::filter::Filter;
use tui::once::{Format, Once};
use tui::screen::order::Order;
use tui::selection::{Device, Selection};
use tui::source::Source;
use tui::units::Units;

/// Print the figures of every chip and process, once
#[derive(Debug, Args)]
pub struct Stats {
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Comma-separated values instead of tables: a row a device, a row a process
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Only these processes: words, or mem>1G user:ann dev:0 (docs/alloc-top.md has them all)
    #[arg(long, value_name = "EXPR", default_value = "", hide_default_value = true)]
    filter: Filter,
    /// Processes in the order of this column: total, dram, l1, cb, other, events, pid, user or name, with :asc or :desc
    #[arg(long, value_name = "COLUMN")]
    sort: Option<Order>,
    /// What the tables count bytes in
    #[arg(long, value_enum, default_value_t = Units::Iec, value_name = "UNITS")]
    units: Units,
    /// Exit code 4 when figures are old or incomplete now
    ///
    /// That is: the aggregator has not run for two seconds, rings are refused, single allocations are missing, rows did not
    /// fit. What was dropped, torn or not believed before does not count any more once what it touched has ended.
    #[arg(long)]
    strict: bool,
    /// Only this device: a logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID")]
    devices: Vec<Device>,
}

impl Stats {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let once = Once {
            format: match (self.json, self.csv) {
                (true, _) => Format::Json,
                (_, true) => Format::Csv,
                _ => Format::Table,
            },
            selection: Selection(self.devices),
            filter: self.filter,
            order: self.sort,
            units: self.units,
            strict: self.strict,
            ..Once::default()
        };
        let mut source = Source::new(&Prefix::from_environment()?);
        Ok(once.show("tt-alloc", &mut source)?.into())
    }
}
