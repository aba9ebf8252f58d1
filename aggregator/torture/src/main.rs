//! `torture`: breaks producers and aggregators on purpose, at random and with a seed, and checks every total against what
//! the producers know to be true.
//!
//! | module | what it is |
//! |---|---|
//! | [`run`] | the run: storms, and a check whenever things are quiet |
//! | [`storm`] | what is done to whom at random |
//! | [`producer`] | a producer: this program again, with a truth of its own |
//! | [`cast`] | the producers, as the supervisor has them |
//! | [`victim`] | the aggregator |
//! | [`verdict`] | figures and ledgers against the truth |
//! | [`ratchet`] | counters that must not run backwards |

mod cast;
mod figures;
mod producer;
mod ratchet;
mod run;
mod storm;
mod stuck;
mod tally;
mod truth;
mod verdict;
mod victim;

use clap::Parser;
use shm_layout::names::Prefix;
use std::path::PathBuf;
use std::process::ExitCode;

/// Kills, stops, forks and floods producers and aggregators at random, and checks every total against the truth.
#[derive(Clone, Debug, Parser)]
pub struct Arguments {
    /// How long, s.
    pub seconds: f64,
    /// Of every choice; random if not given. Times are not chosen: the same seed meets another moment.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Name prefix of everything in /dev/shm.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Writes the summary there, as JSON.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Producers at a time, forked children not counted.
    #[arg(long, default_value_t = 12)]
    pub producers: usize,
    /// How long figures may take to agree, s.
    #[arg(long, default_value_t = 20.0)]
    pub patience: f64,
    /// Nobody is excused, whatever was dropped.
    #[arg(long)]
    pub strict: bool,
    /// Nobody keeps within the ring, neither those that do what totals do not survive when records are dropped.
    #[arg(long)]
    pub unbounded: bool,
    /// Also does, and expects, what is known to go wrong still: releases that do not say what they free by producers that overflow
    /// their rings (a dropped one marks nothing as incomplete), and rings that their process was killed while making (nobody
    /// removes them while an aggregator runs).
    #[arg(long)]
    pub known_faults: bool,
    /// Runs the aggregator that this program was built with, and not the binary beside it.
    #[arg(long)]
    pub built_in: bool,
    /// Nobody drops anything: everybody keeps within the ring from one check to the next.
    #[arg(long, conflicts_with = "unbounded")]
    pub no_overflow: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == producer::ARGUMENT) {
        let played = producer::play(arguments.into_iter().skip(1));
        // A producer ends when its supervisor does, and there is nothing to be said about it.
        return if played.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if arguments.get(1).is_some_and(|word| word == victim::ARGUMENT) {
        return match victim::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("aggregator: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let prefix = arguments.prefix.clone().unwrap_or_else(|| format!("torture_{}", std::process::id()));
    println!("torture: seed {seed}, prefix {prefix}, {} s", arguments.seconds);
    let outcome = Prefix::new(&prefix).map_err(Into::into).and_then(|prefix| run::run(&arguments, seed, &prefix));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("torture: FAILED with seed {seed}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
