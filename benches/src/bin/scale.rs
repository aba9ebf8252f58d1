//! What a host costs as it grows: 1 to 1,000 processes, 1 to 64 devices, 10^3 to 10^7 live allocations.
//!
//!     cargo build --release && cargo run --release -p benches --bin scale -- [--quick] [--json FILE] [--over WORD] [--at N]
//!
//! Real processes, real rings, the real aggregator. After every round each total that it shows is compared with what the
//! processes say they hold; one that is wrong ends the program with an error, and nothing is written.

use anyhow::Context;
use benches::report::Report;
use benches::scale::child;
use benches::scale::point::{Effort, Point};
use clap::Parser;
use std::path::PathBuf;

#[derive(Parser)]
#[command(about = "What a host costs as it grows")]
struct Args {
    /// Fewer points and rounds
    #[arg(long)]
    quick: bool,
    /// Also write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only this curve: processes, devices, live
    #[arg(long, value_name = "WORD")]
    over: Option<String>,
    /// Only this point of each curve
    #[arg(long, value_name = "N")]
    at: Option<f64>,
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == child::ARGUMENT) {
        return child::play(&words[1..]);
    }
    let args = Args::parse();
    raise_descriptor_limit();
    let effort = if args.quick {
        Effort { rounds: 3, events: 100_000, idle_seconds: 1 }
    } else {
        Effort { rounds: 12, events: 400_000, idle_seconds: 5 }
    };
    let mut report = Report::new("scale");
    for (n, point) in Point::all(args.quick).into_iter().enumerate() {
        let (over, value) = point.at();
        let wanted = args.over.as_ref().is_none_or(|only| only == over) && args.at.is_none_or(|only| only == value);
        if wanted {
            point.measure(n, effort, &mut report).with_context(|| format!("{value} {over}, {}", point.fixed()))?;
        }
    }
    print!("{report}");
    args.json.map_or(Ok(()), |path| report.write(&path)).context("write the JSON")
}

/// Two pipes a process.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // As far as it may; a process that cannot be started says so.
        let _raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
