//! What alloc-top costs: a frame in this process, the real program's share of a core, and its way to the first content.
//!
//!     cargo build --release && cargo run --release -p benches --bin frame -- [--quick] [--json FILE] [--part PART]
//!
//! The real program looks at a thousand real, tiny processes and a real aggregator, through a pseudo-terminal, at 10 Hz.

#[path = "../frame/host.rs"]
mod host;
#[path = "../frame/inside.rs"]
mod inside;
#[path = "../frame/live.rs"]
mod live;

use anyhow::Context;
use benches::report::Report;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Parser)]
#[command(about = "What alloc-top costs")]
struct Args {
    /// Fewer frames, and a shorter look
    #[arg(long)]
    quick: bool,
    /// Also write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only this part; may be repeated
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<Part>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// A part of the measurements.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One frame, in this process.
    Frame,
    /// The real program.
    Live,
}

#[derive(Subcommand)]
enum Role {
    /// One of the tracked processes (started by the benchmark itself)
    #[command(hide = true)]
    Tracked {
        /// Which one.
        number: u32,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Role::Tracked { number }) = args.role {
        return live::tracked(number);
    }
    let mut report = Report::new("frame");
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    if wanted(Part::Frame) {
        inside::measure(&mut report, if args.quick { 40 } else { 300 })?;
    }
    if wanted(Part::Live)
        && let Err(error) = live::measure(&mut report, args.quick)
    {
        report.missing.push(format!("alloc-top against 1,000 real processes: {error:#}"));
    }
    print!("{report}");
    args.json.map_or(Ok(()), |path| report.write(&path)).context("write the JSON")
}
