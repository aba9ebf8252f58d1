//! What call stacks cost: ns of an allocation and its free through this process's own ring, with `TT_ALLOC_STACKS` off and on.
//!
//!     cargo run --release -p benches --bin stacks
//!
//! Each figure is the median of rounds of a process of its own, whose events come out of so many nested functions; a reader on the same thread empties the
//! ring between rounds. All stacks but the first are known already, as in a program that runs.

use anyhow::Context;
use benches::peers::{Drain, ours};
use producer::environment::{ENABLED_VARIABLE, STACKS_VARIABLE};
use producer::process;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::PREFIX_VARIABLE;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

/// Says which depth a process started by this one measures.
const DEPTH: &str = "TT_BENCH_DEPTH";
/// Allocations of a round; with their frees they fit into a ring.
const ALLOCATIONS: u64 = 4096;
const ROUNDS: usize = 101;

#[inline(never)]
fn nested(depth: u32, id: u64) {
    match depth {
        0 => {
            let event = |kind| Event { id, size: 4096, ..Event::new(kind, Memory::Dram, 0) };
            process::record(event(Kind::Alloc));
            process::record(event(Kind::Free));
        }
        _ => nested(depth - 1, id),
    }
    // No tail call: each is a frame.
    black_box(id);
}

/// Median ns of an allocation and its free, in this process.
fn measure(depth: u32) -> anyhow::Result<f64> {
    nested(depth, 0);
    let mut reader = ours::Reader::open(process::ring_name().context("no ring")?, true)?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        reader.drain(|_| {});
        let begin = Instant::now();
        (0..ALLOCATIONS).for_each(|id| nested(black_box(depth), id));
        rounds.push(begin.elapsed().as_nanos() as f64 / ALLOCATIONS as f64);
    }
    anyhow::ensure!(reader.dropped() == 0, "everything fits");
    process::close();
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

fn main() -> anyhow::Result<()> {
    if let Ok(depth) = std::env::var(DEPTH) {
        println!("{}", measure(depth.parse()?)?);
        return Ok(());
    }
    println!("nested  taken  ns for an allocation and its free");
    for (nested, taken) in [(8, "0"), (8, "8"), (8, "32"), (32, "0"), (32, "8"), (32, "16"), (32, "24"), (32, "32")] {
        let output = Command::new(std::env::current_exe()?)
            .env(DEPTH, nested.to_string())
            .env(STACKS_VARIABLE, taken)
            .env(ENABLED_VARIABLE, "1")
            .env(PREFIX_VARIABLE, format!("tt_bench_stacks_{}", std::process::id()))
            .output()?;
        anyhow::ensure!(output.status.success(), "{output:?}");
        let ns: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        println!("{nested:6}  {:>5}  {ns:8.1}", if taken == "0" { "off" } else { taken });
    }
    Ok(())
}
