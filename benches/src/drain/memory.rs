//! Bytes per live allocation: the ledger's file, and what the aggregator itself grows by. Measured in a process of its
//! own, so that nothing that was measured before is counted or hides something.

use super::ids::Ids;
use super::load::Steady;
use anyhow::Context;
use std::process::Command;

/// What `--memory` prints.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// Of the ledger's file.
    pub file: u64,
    /// Private memory beyond that of one without allocations; what the load generator itself takes is not in it.
    pub private: i64,
}

fn private_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse::<i64>().ok());
    kib.unwrap_or(0) * 1024
}

/// In a process of its own: what as many live allocations take.
///
/// # Errors
/// When there is no room.
pub fn here(live: usize) -> anyhow::Result<Bytes> {
    // What every size takes, once: the host, the ring's batch, the load's own buffers.
    let first = Steady::grow("m0", Ids::Sequential, 1)?;
    let before = private_bytes();
    let mut steady = Steady::grow("m1", Ids::Sequential, live)?;
    // The load's own list of live ids is 8 bytes each.
    let private = private_bytes() - before - 8 * live as i64;
    steady.check()?;
    drop(first);
    Ok(Bytes { file: steady.ledger_bytes(), private })
}

/// The same, in a child.
///
/// # Errors
/// When it could not be started, or told nothing.
pub fn in_a_child(live: usize) -> anyhow::Result<Bytes> {
    let output = Command::new(std::env::current_exe()?).args(["--memory", &live.to_string()]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_whitespace();
    let file = words.next().and_then(|word| word.parse().ok()).context("no answer")?;
    let private = words.next().and_then(|word| word.parse().ok()).context("half an answer")?;
    Ok(Bytes { file, private })
}
