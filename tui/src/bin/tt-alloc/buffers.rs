//! `tt-alloc buffers`: every live allocation, or groups of them.

use crate::stacks::tell_what_is_missing;
use clap::Args;
use serde_json::json;
use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use shm_layout::tag::Name;
use std::process::ExitCode;
use std::time::Duration;
use tui::amounts::{self, ns};
use tui::buffers::filter::Filter;
use tui::buffers::group_key::By;
use tui::buffers::groups::Groups;
use tui::buffers::{Order, Query, json, table};
use tui::exit::Exit;
use tui::selection::{Device, Selection};
use tui::source::{Connection, Source, trusted_owners};
use tui::stacks::by_stack::under_rows;
use tui::stacks::told::Told;
use tui::unseen::unseen;
use tui::users::{self, Users};
use tui::{clock, ledger, output};

/// List live allocations, or groups of them: whose, where, how large, how old
#[derive(Debug, Args)]
pub struct Buffers {
    /// Only of this process
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Only of processes of this user: a name or a uid
    #[arg(long, value_name = "USER", value_parser = users::uid)]
    user: Option<u32>,
    /// Only on this device: the process's logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID")]
    devices: Vec<Device>,
    /// Only of this memory kind (DRAM, L1, L1_SMALL, TRACE, SYSTEM_MEMORY, CB, KERNEL); may be repeated
    #[arg(short, long = "memory", value_name = "KIND", value_parser = memory)]
    memories: Vec<Memory>,
    /// Only what was allocated in this phase (tt_alloc_tag_push); may be repeated
    #[arg(long = "tag", value_name = "NAME")]
    tags: Vec<String>,
    /// Only what takes at least so many bytes: 4096, 64KiB, 1.5GiB
    #[arg(long, value_name = "SIZE", value_parser = amounts::bytes)]
    min_size: Option<u64>,
    /// Only what is older than this: 500ms, 90s, 10m, 1h30m, 2d
    #[arg(long, value_name = "DURATION", value_parser = amounts::duration)]
    older_than: Option<Duration>,
    /// Only what is younger than this
    #[arg(long, value_name = "DURATION", value_parser = amounts::duration)]
    younger_than: Option<Duration>,
    /// Only what is flagged as the system's (fabric, dispatch)
    #[arg(long, conflicts_with = "application")]
    system: bool,
    /// Only what is not
    #[arg(long)]
    application: bool,
    /// Only of the program with this number (column CONTEXT; of buffers it is the allocator that they are of)
    #[arg(long, value_name = "N")]
    program: Option<u32>,
    /// Groups instead of single ones; several make groups of groups
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    by: Vec<By>,
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
    #[arg(long, conflicts_with = "by")]
    stacks: bool,
}

/// A memory kind by its name.
pub fn memory(text: &str) -> Result<Memory, String> {
    Memory::from_name(text).ok_or_else(|| format!("use one of {}", Memory::ALL.map(Memory::name).join(", ")))
}

impl Buffers {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let prefix = Prefix::from_environment()?;
        let feed = Source::new(&prefix).poll();
        let (ledgers, refused) = ledger::ledgers(&prefix, &trusted_owners());
        if let Connection::Unavailable(error) = &feed.connection
            && ledgers.is_empty()
        {
            refused.iter().for_each(|error| output::complain(format_args!("tt-alloc: {error}")));
            output::complain(format_args!("tt-alloc: {error}"));
            return Ok(if error.is_absence() { Exit::Nothing } else { Exit::Failure }.into());
        }
        let now = clock::monotonic_ns();
        let filter = Filter {
            least_bytes: self.min_size.unwrap_or(0),
            older_than_ns: self.older_than.map(ns),
            younger_than_ns: self.younger_than.map(ns),
            system: if self.system { Some(true) } else { self.application.then_some(false) },
            program: self.program,
            uid: self.user,
            now_ns: now,
        };
        let query = Query {
            pid: self.pid,
            devices: Selection(self.devices),
            memories: self.memories,
            // As it is kept: 32 bytes, cleaned.
            tags: self.tags.iter().map(|tag| Name::new(tag.as_bytes()).text()).collect(),
            filter,
            order: self.sort,
            limit: self.limit,
        };
        let columns = output::columns();
        let (mut listed, groups, omitted) = if self.by.is_empty() {
            let (listed, omitted) = query.answer(&ledgers);
            (listed, None, omitted)
        } else {
            let groups = Groups::of(&query.found(&ledgers), &self.by, &query.order, query.limit, now);
            let omitted = groups.omitted;
            (Vec::new(), Some(groups), omitted)
        };
        let (mut told, errors) = Told::of(&prefix, &listed);
        if self.stacks {
            told = told.with_names();
            tell_what_is_missing(&told, &errors);
        }
        told.fill(&mut listed, self.stacks);
        // After the list was read: whatever was cut short meanwhile shows.
        let not_known = unseen(&feed, &ledgers, &refused, &query, &Users::default());
        let text = match (&groups, self.json) {
            (None, false) if self.stacks => under_rows(&table(&listed, now, columns), &listed, &told),
            (None, false) => table(&listed, now, columns),
            (None, true) => json(&listed, omitted, &json!(not_known), now)?,
            (Some(groups), false) => groups.table(now, columns),
            (Some(groups), true) => groups.json(&json!(not_known), now)?,
        };
        output::print(&text)?;
        not_known.iter().for_each(|unseen| output::complain(format_args!("tt-alloc: {}", unseen.text)));
        if omitted > 0 && !self.json {
            output::complain(format_args!("tt-alloc: {omitted} more; raise --limit to see them"));
        }
        Ok(Exit::Ok.into())
    }
}
