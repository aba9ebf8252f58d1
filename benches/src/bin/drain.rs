//! What one event costs the aggregator: drain, ledger and totals, from 10^3 to 10^7 live allocations.
//!
//!     cargo run --release -p benches --bin drain -- [--quick] [--json FILE] [--only WORD]
//!
//! One process, one thread: a real ring is filled, then the aggregator's own code drains it; only the draining is
//! timed. Beside it, in the same run, what the machine can do: a bare ring, a bare hash table.

use anyhow::Context;
use benches::drain::ids::Ids;
use benches::drain::limit::{Table, bare_drain};
use benches::drain::load::{Programs, Steady};
use benches::drain::memory;
use benches::machine;
use benches::report::Report;
use benches::sample::Sample;
use std::path::PathBuf;

const STEADY: &str = "free one at random + allocate one";
const STEADY_TURN: &str = "its longest turn";
const GROWTH: &str = "allocate only";
const GROWTH_TURN: &str = "its longest turn while the ledger grows";

struct Arguments {
    quick: bool,
    json: Option<PathBuf>,
    /// Only this many live allocations.
    only: Option<usize>,
}

fn arguments() -> anyhow::Result<Option<Arguments>> {
    let mut arguments = Arguments { quick: false, json: None, only: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut next = || words.next().with_context(|| format!("{word} what?"));
        match word.as_str() {
            "--quick" => arguments.quick = true,
            "--json" => arguments.json = Some(next()?.into()),
            "--only" => arguments.only = Some(next()?.parse()?),
            "--memory" => {
                let bytes = memory::here(next()?.parse()?)?;
                println!("{} {}", bytes.file, bytes.private);
                return Ok(None);
            }
            other => anyhow::bail!("{other}: not known; --quick, --json FILE, --only LIVE"),
        }
    }
    Ok(Some(arguments))
}

fn main() -> anyhow::Result<()> {
    let Some(Arguments { quick, json, only }) = arguments()? else { return Ok(()) };
    let mut report = Report::new("drain");
    if let Some(cpu) = machine::processors().last() {
        machine::pin(*cpu);
    }
    let sizes: &[usize] =
        if quick { &[1_000, 100_000, 1_000_000] } else { &[1_000, 10_000, 100_000, 1_000_000, 10_000_000] };
    let rounds = if quick { 3 } else { 8 };
    report.add("limit: drain of a ring in memory", "bare ring", None, "ns/event", &mut bare_drain(10 * rounds));
    for live in sizes.iter().copied().filter(|live| only.is_none_or(|only| only == *live)) {
        if let Err(error) = steady_state(&mut report, live, rounds) {
            report.missing.push(format!("{live} live: {error:#}"));
        }
    }
    if only.is_none() {
        if let Err(error) = one_id(&mut report, rounds) {
            report.missing.push(format!("one id for all: {error:#}"));
        }
        for programs in [10, 1_000] {
            if let Err(error) = programs_of(&mut report, programs, rounds) {
                report.missing.push(format!("{programs} programs: {error:#}"));
            }
        }
    }
    for live in sizes.iter().copied().filter(|live| *live >= 100_000 && only.is_none_or(|only| only == *live)) {
        match memory::in_a_child(live) {
            Ok(bytes) => {
                let at = ("live", live as f64);
                for (subject, bytes) in [("ledger file", bytes.file as f64), ("private", bytes.private as f64)] {
                    let mut one: Sample = [bytes / live as f64].into_iter().collect();
                    report.add_point("memory per live allocation", subject, at, "bytes", &mut one);
                }
            }
            Err(error) => report.missing.push(format!("memory at {live} live: {error:#}")),
        }
    }
    print!("{report}");
    if let Some(path) = json {
        report.write(&path)?;
    }
    Ok(())
}

/// Every kind of ids in turn, the bare table among them, so that a slow moment hits all alike.
fn steady_state(report: &mut Report, live: usize, rounds: usize) -> anyhow::Result<()> {
    const BLOCK: usize = 6;
    // Rounds that nobody times, so that each case finds its own in the caches again, as far as they go.
    let warm = (live / 4_000).clamp(1, 40);
    let at = ("live", live as f64);
    let kinds: &[Ids] = if live > 1_000_000 { &[Ids::Random] } else { &Ids::DISTINCT };
    let mut cases = Vec::new();
    for (n, ids) in kinds.iter().enumerate() {
        cases.push((*ids, Steady::grow(&format!("s{n}"), *ids, live)?));
    }
    let mut table = Table::new(live);
    for _ in 0..rounds {
        for (_, case) in &mut cases {
            for n in 0..warm + BLOCK {
                case.round(n >= warm);
            }
        }
        for n in 0..warm + BLOCK {
            table.round(n >= warm);
        }
    }
    report.add_point("limit: half of insert + remove", "hashbrown, foldhash", at, "ns/event", &mut table.half_pair);
    for (ids, case) in &mut cases {
        case.check().with_context(|| ids.name())?;
        report.add_point(STEADY, ids.name(), at, "ns/event", &mut case.steady);
    }
    for (ids, case) in &mut cases {
        report.add_point(STEADY_TURN, ids.name(), at, "ms", &mut case.steady_turn);
    }
    let case = cases.iter_mut().find(|(ids, _)| *ids == Ids::Random);
    let Some((_, case)) = case else { return Ok(()) };
    report.add_point(GROWTH, "random ids", at, "ns/event", &mut case.growth);
    report.add_point(GROWTH_TURN, "random ids", at, "ms", &mut case.growth_turn);
    report.add_point("a successor continues the ledger", "random ids", at, "ms", &mut case.recovery(3)?);
    let mut close: Sample = [case.close()].into_iter().collect();
    report.add_point("a device closes, all on it ends", "random ids", at, "ms", &mut close);
    Ok(())
}

fn one_id(report: &mut Report, rounds: usize) -> anyhow::Result<()> {
    for live in [100, 1_000, 10_000, 100_000] {
        let mut case = Steady::grow("one", Ids::One, live)?;
        for n in 0..=rounds {
            case.round(n > 0);
            if case.steady_turn.quantile(1.0) > 100.0 {
                break;
            }
        }
        case.check()?;
        let slow = case.steady.quantile(0.5) > 2_000.0;
        report.add_point(STEADY, Ids::One.name(), ("live", live as f64), "ns/event", &mut case.steady);
        if slow {
            report.missing.push(format!("one id for more than {live}: it takes too long"));
            break;
        }
    }
    Ok(())
}

fn programs_of(report: &mut Report, programs: usize, rounds: usize) -> anyhow::Result<()> {
    let at = ("programs", programs as f64);
    let mut all = Programs::new("programs", programs)?;
    for n in 0..=6 * rounds {
        all.round(n > 0);
    }
    all.check()?;
    let measure = "release of 100 CBs + 100 allocations";
    report.add_point(measure, "per record", at, "ns/event", &mut all.per_record);
    report.add_point(measure, "per block", at, "ns", &mut all.per_block);
    Ok(())
}
