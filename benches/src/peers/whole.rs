//! The whole path of a tracked process, as hooks call it: each measure in a process of its own, because a process is tracked
//! or it is not.

use super::rounds::Plan;
use super::{Drain, event, ours};
use crate::machine::pin;
use crate::sample::Sample;
use anyhow::{Context, bail, ensure};
use producer::environment::{ENABLED_VARIABLE, Options};
use producer::{Ring, process};
use shm_layout::names::{PREFIX_VARIABLE, Prefix};
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::Instant;

const BURST: u64 = 1024;

/// What a child does: `whole PART CPU`.
///
/// # Errors
/// When the arguments are not right, or there is no ring.
pub fn child(arguments: &[String]) -> anyhow::Result<()> {
    let [part, cpu] = arguments else { bail!("whole PART CPU") };
    pin(cpu.parse()?);
    match part.as_str() {
        "disabled" => disabled(),
        "enabled" => enabled(true),
        "alone" => enabled(false),
        "first" => first(),
        _ => bail!("no part {part}"),
    }
}

#[inline(never)]
fn nothing(n: u64) {
    black_box(n);
}

#[inline(never)]
fn record(n: u64) {
    process::record(event(n));
}

fn time(events: u64, mut each: impl FnMut(u64)) -> f64 {
    let begin = Instant::now();
    for n in 0..events {
        each(black_box(n));
    }
    begin.elapsed().as_nanos() as f64 / events as f64
}

/// Tells pairs: a call of nothing, and a call that would record.
fn disabled() -> anyhow::Result<()> {
    ensure!(!process::enabled(), "this process is tracked");
    for _ in 0..50 {
        println!("{} {}", time(100_000, nothing), time(100_000, record));
    }
    Ok(())
}

/// Tells ns an event, burst by burst; a reader on this processor gives the slots back between.
fn enabled(attached: bool) -> anyhow::Result<()> {
    process::record(event(0));
    let mut reader = ours::Reader::open(process::ring_name().context("no ring")?, attached)?;
    reader.drain(|_| {});
    for at in 0..100_u64 {
        let ns = time(BURST, record);
        ensure!(reader.drain(|_| {}) == BURST, "what was pushed is read");
        if at >= 34 {
            println!("0 {ns}");
        }
    }
    drop(reader);
    process::close();
    Ok(())
}

/// Tells us of the first event and of the second.
fn first() -> anyhow::Result<()> {
    let us = |n| {
        let begin = Instant::now();
        process::record(event(n));
        begin.elapsed().as_nanos() as f64 / 1000.0
    };
    let (first, second) = (us(0), us(1));
    ensure!(process::ring_name().is_some(), "no ring");
    println!("{first} {second}");
    process::close();
    Ok(())
}

/// Runs a child; the pairs that it tells.
fn pairs(part: &str, tracked: bool, prefix: &str, cpu: usize) -> anyhow::Result<Vec<(f64, f64)>> {
    let me = std::env::current_exe().context("where this program lies")?;
    let mut command = Command::new(me);
    command.args(["child", "whole", part, &cpu.to_string()]).env(PREFIX_VARIABLE, prefix).stdin(Stdio::null());
    if tracked {
        command.env(ENABLED_VARIABLE, "1");
    } else {
        command.env_remove(ENABLED_VARIABLE);
    }
    let output = command.stderr(Stdio::inherit()).output().context("start the child")?;
    ensure!(output.status.success(), "the child failed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pair = |line: &str| line.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    Ok(text.lines().filter_map(pair).collect())
}

fn own_prefix() -> String {
    format!("tt_bench_whole_{}", std::process::id())
}

/// ns of a call of nothing, and of a call that would record if the process were tracked.
///
/// # Errors
/// When a child fails.
pub fn measure_disabled(plan: Plan) -> anyhow::Result<(Sample, Sample)> {
    let pairs = pairs("disabled", false, &own_prefix(), plan.here)?;
    Ok((pairs.iter().map(|pair| pair.0).collect(), pairs.iter().map(|pair| pair.1).collect()))
}

/// ns an event through the process's own ring, with an aggregator's clock or with nobody attached.
///
/// # Errors
/// When a child fails.
pub fn measure_enabled(plan: Plan, attached: bool) -> anyhow::Result<Sample> {
    let part = if attached { "enabled" } else { "alone" };
    Ok(pairs(part, true, &own_prefix(), plan.here)?.iter().map(|pair| pair.1).collect())
}

/// Microseconds of the first and of the second event of new processes, among this many other rings.
///
/// # Errors
/// When a child fails, or there is no room for the rings.
pub fn measure_first(plan: Plan, processes: usize, others: usize) -> anyhow::Result<(Sample, Sample)> {
    let prefix = own_prefix();
    let options = Options { prefix: Prefix::new(&prefix).context("the prefix")?, slots: 64, ..Options::default() };
    let rings: Vec<Ring> = (0..others).map(|_| Ring::create(&options)).collect::<Result<_, _>>()?;
    let told = (0..processes)
        .map(|_| pairs("first", true, &prefix, plan.here))
        .collect::<Result<Vec<_>, _>>()
        .map(|told| told.concat());
    rings.iter().for_each(Ring::close);
    let told = told?;
    Ok((told.iter().map(|pair| pair.0).collect(), told.iter().map(|pair| pair.1).collect()))
}
