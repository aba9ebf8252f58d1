//! The programs that measure, run one after the other.

use super::kept::Kept;
use crate::report::Report;
use anyhow::{Context, ensure};
use std::path::Path;
use std::process::Command;

/// A program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name; it lies beside this one.
    pub name: &'static str,
    /// What it measures.
    pub what: &'static str,
}

/// All of them, in the order of the page.
pub const PROGRAMS: [Program; 7] = [
    Program { name: "peers", what: "one event, ours and its peers in turn" },
    Program { name: "hooks", what: "a tensor on stock ttnn, with and without the hooks" },
    Program { name: "pauses", what: "a ring that is full and that nobody reads: what a thread waits for" },
    Program { name: "drain", what: "one event in the aggregator: drain, ledger, totals" },
    Program { name: "host", what: "idle rings, latencies, publishing, start, memory" },
    Program { name: "scale", what: "a host that grows: processes, devices, live allocations" },
    Program { name: "frame", what: "alloc-top: a frame, its CPU, its start" },
];

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// It measured, and its report is kept.
    Measured,
    /// It is not built here; whatever is kept of it stays.
    NotThere,
}

/// Runs one and keeps its report.
///
/// # Errors
/// When it fails: whatever was kept of it before stays.
pub fn run(program: &Program, quick: bool, folder: &Path) -> anyhow::Result<Went> {
    let path = std::env::current_exe().context("where this program lies")?.with_file_name(program.name);
    if !path.exists() {
        return Ok(Went::NotThere);
    }
    let json = std::env::temp_dir().join(format!("tt-alloc-{}-{}.json", program.name, std::process::id()));
    let mut command = Command::new(path);
    command.arg("--json").arg(&json).args(quick.then_some("--quick"));
    let status = command.status().with_context(|| format!("start {}", program.name))?;
    let text = std::fs::read_to_string(&json);
    let _gone = std::fs::remove_file(&json);
    ensure!(status.success(), "{} failed: {status}", program.name);
    let report: Report = serde_json::from_str(&text.context("it wrote no report")?)?;
    ensure!(report.program == program.name, "{} calls itself {}", program.name, report.program);
    Kept { quick, report }.write(folder)?;
    Ok(Went::Measured)
}
