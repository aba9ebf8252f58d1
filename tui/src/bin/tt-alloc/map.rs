//! `tt-alloc map`: what is free in each bank, and in how many pieces.

use crate::buffers::memory;
use clap::Args;
use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use std::process::ExitCode;
use tui::exit::Exit;
use tui::inventory::Inventory;
use tui::output;
use tui::selection::{Device, Selection};
use tui::source::{Connection, Source, trusted_owners};
use tui::space::report::Report;

/// Print what is taken and free in each bank, the largest free run, fragmentation
///
/// tt-metal's allocator takes the same stretch in every bank for a buffer, so that an allocation fails when no free run of one bank
/// is long enough, however much is free in all. alloc-top's view 5 draws the same.
#[derive(Debug, Args)]
pub struct Map {
    /// Only on this device: a logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID")]
    devices: Vec<Device>,
    /// Only of this memory kind; may be repeated
    #[arg(short, long = "memory", value_name = "KIND", value_parser = memory)]
    memories: Vec<Memory>,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl Map {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let prefix = Prefix::from_environment()?;
        let feed = Source::new(&prefix).poll();
        let Some(seen) = &feed.seen else {
            output::complain(format_args!("tt-alloc: {}", feed.connection));
            let absent = matches!(&feed.connection, Connection::Unavailable(error) if error.is_absence());
            return Ok(if absent { Exit::Nothing } else { Exit::Failure }.into());
        };
        let inventory = Inventory::read(&prefix, &trusted_owners());
        let report = Report::of(seen, &inventory, &Selection(self.devices), &self.memories);
        if self.json {
            output::print(&report.json()?)?;
        } else {
            output::print(&report.text(output::columns()))?;
            report.notes().iter().for_each(|note| output::complain(format_args!("tt-alloc: {note}")));
        }
        if !matches!(feed.connection, Connection::Live) {
            output::complain(format_args!("tt-alloc: {}; the figures may be old", feed.connection));
        }
        Ok(Exit::Ok.into())
    }
}
