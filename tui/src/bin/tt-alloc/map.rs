//! `tt-alloc map`: what is free in each bank, and in how many pieces.

use crate::buffers::memory;
use clap::Args;
use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use std::process::ExitCode;
use tui::buffers::Query;
use tui::control::ControlError;
use tui::exit::Exit;
use tui::inventory::Inventory;
use tui::selection::{Device, Selection};
use tui::source::{Connection, Source, trusted_owners};
use tui::space::report::{Report, is_mapped};
use tui::unseen::unseen;
use tui::users::Users;
use tui::{ledger, output};

/// Print what is taken and free in each bank, the largest free run, fragmentation
///
/// tt-metal's allocator takes the same stretch in every bank for a buffer, so that an allocation fails when no free run of one bank
/// is long enough, however much is free in all. alloc-top's view 5 draws the same.
#[derive(Debug, Args)]
pub struct Map {
    /// Only on this device: a logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID")]
    devices: Vec<Device>,
    /// Only of this memory kind (not KERNEL: no record tells where kernels lie); may be repeated
    #[arg(short, long = "memory", value_name = "KIND", value_parser = mapped)]
    memories: Vec<Memory>,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

fn mapped(text: &str) -> Result<Memory, String> {
    memory(text).and_then(|memory| {
        if is_mapped(memory) { Ok(memory) } else { Err("no record tells where kernels lie".to_owned()) }
    })
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
        let selection = Selection(self.devices);
        if !selection.0.is_empty() && !seen.snapshot.chips.iter().any(|chip| selection.has_chip(chip)) {
            return Err(ControlError::NoDevice { known: seen.snapshot.chips.len() }.into());
        }
        let inventory = Inventory::read(&prefix, &trusted_owners());
        let (ledgers, refused) = ledger::ledgers(&prefix, &trusted_owners());
        let not_known = unseen(&feed, &ledgers, &refused, &Query::default(), &Users::default());
        let not_known = not_known.into_iter().map(|one| one.text).collect();
        let report = Report::of(seen, &inventory, &selection, &self.memories, not_known);
        if self.json {
            output::print(&report.json()?)?;
        } else {
            output::print(&report.text(output::columns()))?;
            report.notes().iter().for_each(|note| output::complain(format_args!("tt-alloc: {note}")));
        }
        Ok(if report.is_blind() { Exit::Failure } else { Exit::Ok }.into())
    }
}
