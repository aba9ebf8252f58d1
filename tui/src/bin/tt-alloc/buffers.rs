//! `tt-alloc buffers`: every live allocation.

use crate::stacks::tell_what_is_missing;
use clap::Args;
use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use std::process::ExitCode;
use tui::buffers::{Order, Query, json, table};
use tui::exit::Exit;
use tui::selection::{Device, Selection};
use tui::source::{Connection, Source, trusted_owners};
use tui::stacks::by_stack::under_rows;
use tui::stacks::told::Told;
use tui::{clock, ledger, output};

/// List live allocations: whose, where, how large, how old
#[derive(Debug, Args)]
pub struct Buffers {
    /// Only of this process
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Only on this device: the process's logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID")]
    devices: Vec<Device>,
    /// Only of this memory kind (DRAM, L1, L1_SMALL, TRACE, SYSTEM_MEMORY, CB, KERNEL); may be repeated
    #[arg(short, long = "memory", value_name = "KIND", value_parser = memory)]
    memories: Vec<Memory>,
    /// Sort by the largest or by the oldest; the second decides among equals
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ORDER", default_value = "size")]
    sort: Vec<Order>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// The call stack of each, as far as its process was asked to take them (TT_ALLOC_STACKS=1)
    #[arg(long)]
    stacks: bool,
}

pub fn memory(text: &str) -> Result<Memory, String> {
    Memory::from_name(text).ok_or_else(|| format!("use one of {}", Memory::ALL.map(Memory::name).join(", ")))
}

impl Buffers {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let prefix = Prefix::from_environment()?;
        let connection = Source::new(&prefix).poll().connection;
        let (ledgers, refused) = ledger::ledgers(&prefix, &trusted_owners());
        for error in &refused {
            tui::output::complain(format_args!("tt-alloc: {error}"));
        }
        match connection {
            Connection::Live => {}
            Connection::Unavailable(error) if ledgers.is_empty() => {
                tui::output::complain(format_args!("tt-alloc: {error}"));
                return Ok(if error.is_absence() { Exit::Nothing } else { Exit::Failure }.into());
            }
            // Ledgers outlive their aggregator: they show how it was.
            other => tui::output::complain(format_args!("tt-alloc: {other}; the list may be old")),
        }
        let query = Query {
            pid: self.pid,
            devices: Selection(self.devices),
            memories: self.memories,
            order: self.sort,
            limit: self.limit,
        };
        let (mut found, omitted) = query.answer(&ledgers);
        for ledger in ledgers.iter().filter(|ledger| ledger.was_cut_short()) {
            let pid = ledger.identity().pid;
            tui::output::complain(format_args!(
                "tt-alloc: the ledger of process {pid} was cut short while it was read: its list is not all"
            ));
        }
        let now = clock::monotonic_ns();
        let (mut told, errors) = Told::of(&prefix, &found);
        if self.stacks {
            told = told.with_names();
            tell_what_is_missing(&told, &errors);
        }
        told.fill(&mut found, self.stacks);
        let text = match (self.json, table(&found, now, output::columns())) {
            (true, _) => json(&found, omitted, now)?,
            (false, table) if self.stacks => under_rows(&table, &found, &told),
            (false, table) => table,
        };
        output::print(&text)?;
        if omitted > 0 && !self.json {
            tui::output::complain(format_args!("tt-alloc: {omitted} more; raise --limit to see them"));
        }
        Ok(Exit::Ok.into())
    }
}
