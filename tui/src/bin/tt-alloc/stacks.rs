//! `tt-alloc stacks`: live bytes by call stack.

use crate::buffers::memory;
use clap::Args;
use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use std::process::ExitCode;
use tui::buffers::Query;
use tui::exit::Exit;
use tui::ledger;
use tui::output::{complain, print};
use tui::selection::{Device, Selection};
use tui::source::{Connection, Source, trusted_owners};
use tui::stacks::by_stack;
use tui::stacks::told::Told;
use tui::users::Users;

/// List live bytes by the call stack that allocated them, the largest first
///
/// For processes that were started with TT_ALLOC_STACKS=1 besides TT_ALLOC_TRACKING_ENABLED=1. Functions of your own processes have names.
#[derive(Debug, Args)]
pub struct Stacks {
    /// Only of this process
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Only on this device: the process's logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID")]
    devices: Vec<Device>,
    /// Only of this memory kind (DRAM, L1, L1_SMALL, TRACE, SYSTEM_MEMORY, CB, KERNEL); may be repeated
    #[arg(short, long = "memory", value_name = "KIND", value_parser = memory)]
    memories: Vec<Memory>,
    /// At most so many stacks
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// Collapsed lines for flame graphs: "process;outermost;...;innermost bytes"
    #[arg(long, conflicts_with = "json")]
    folded: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Stacks {
    /// Shows them.
    ///
    /// # Errors
    /// When the prefix is no prefix, or standard output cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let prefix = Prefix::from_environment()?;
        let connection = Source::new(&prefix).poll().connection;
        let (ledgers, refused) = ledger::ledgers(&prefix, &trusted_owners());
        for error in &refused {
            complain(format_args!("tt-alloc: {error}"));
        }
        match connection {
            Connection::Live => {}
            Connection::Unavailable(error) if ledgers.is_empty() => {
                complain(format_args!("tt-alloc: {error}"));
                return Ok(if error.is_absence() { Exit::Nothing } else { Exit::Failure }.into());
            }
            other => complain(format_args!("tt-alloc: {other}; the list may be old")),
        }
        let query =
            Query { pid: self.pid, devices: Selection(self.devices), memories: self.memories, ..Query::default() };
        let (found, _) = query.answer(&ledgers);
        let (told, errors) = Told::of(&prefix, &found);
        let told = told.with_names();
        tell_what_is_missing(&told, &errors);
        let mut groups = by_stack::groups(&found, &told);
        if !groups.is_empty() && groups.iter().all(|group| group.stack.is_empty()) && errors.is_empty() {
            complain("tt-alloc: no call stacks: start programs with TT_ALLOC_STACKS=1 to have them");
        }
        let omitted = self.limit.map_or(0, |limit| groups.len().saturating_sub(limit));
        groups.truncate(self.limit.unwrap_or(usize::MAX));
        let text = if self.json {
            by_stack::json(&groups, omitted)?
        } else if self.folded {
            by_stack::folded(&groups)
        } else {
            by_stack::table(&groups)
        };
        print(&text)?;
        if omitted > 0 && !self.json {
            complain(format_args!("tt-alloc: {omitted} more; raise --limit to see them"));
        }
        Ok(Exit::Ok.into())
    }
}

/// Why stacks are missing, and names.
pub fn tell_what_is_missing(told: &Told, errors: &[tui::stacks::file::StacksError]) {
    for error in errors {
        complain(format_args!("tt-alloc: {error}"));
    }
    let users = Users::default();
    for uid in told.nameless_users() {
        let user = users.label(uid);
        complain(format_args!("tt-alloc: functions in processes of user {user} have no names here: ask as that user"));
    }
}
