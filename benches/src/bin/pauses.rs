//! What a thread waits for when its ring is full: nobody reads, every event is timed.
//!
//!     cargo build --release && cargo run --release -p benches --bin pauses -- [--quick] [--json FILE]
//!
//! A pause is an event that took more than 30 µs. What the thread was without a processor meanwhile is taken out, as far as the
//! kernel tells (a hypervisor does not); the whole is told beside it, and a control does the same without a ring.

use anyhow::Context;
use benches::pauses::{grown, runs, watch};
use benches::report::Report;
use clap::Parser;
use std::path::PathBuf;

#[derive(Parser)]
#[command(about = "What a thread waits for when its ring is full")]
struct Args {
    /// Fewer repeats
    #[arg(long)]
    quick: bool,
    /// Also write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut report = Report::new("pauses");
    let aggregator = std::env::current_exe().context("where this program lies")?.with_file_name("aggregator");
    let repeats = if args.quick { 2 } else { 10 };
    match watch::ticks_per_us() {
        Some(ticks) => runs::measure(repeats, 2_000_000, ticks, &aggregator, &mut report),
        None => {
            report.missing.push("pauses: no counter of the processor that tells time here".into());
            Ok(())
        }
    }
    .and_then(|()| grown::measure(repeats, 20, &mut report))
    .map_err(|error| anyhow::anyhow!("{error}"))?;
    print!("{report}");
    args.json.map_or(Ok(()), |path| report.write(&path)).context("write the JSON")
}
