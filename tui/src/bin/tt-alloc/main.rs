//! `tt-alloc`: the command line of tt-alloc. One file per subcommand.

#![forbid(unsafe_code)]

mod baseline;
mod buffers;
mod demo;
mod doctor;
mod gc;
mod leaks;
mod map;
mod reset;
mod run;
mod stacks;
mod stats;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Allocation telemetry for Tenstorrent accelerators.
///
/// Exit codes: 0 ok; 1 failure; 2 wrong usage; 3 nothing to show (no aggregator); 4 shown but degraded (--strict).
#[derive(Debug, Parser)]
#[command(name = "tt-alloc", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Stats(stats::Stats),
    Buffers(buffers::Buffers),
    Leaks(leaks::Leaks),
    Map(map::Map),
    Stacks(stacks::Stacks),
    Baseline(baseline::Baseline),
    Reset(reset::Reset),
    Doctor(doctor::Doctor),
    Gc(gc::Gc),
    Demo(demo::Demo),
    #[command(hide = true)]
    DemoProducer(demo::DemoProducer),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(command) => command.run(),
        Command::Stats(command) => command.run(),
        Command::Buffers(command) => command.run(),
        Command::Leaks(command) => command.run(),
        Command::Map(command) => command.run(),
        Command::Stacks(command) => command.run(),
        Command::Baseline(command) => command.run(),
        Command::Reset(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Gc(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::DemoProducer(command) => command.run(),
    };
    tui::exit::finish("tt-alloc", result)
}
