//! What the host pays: idle rings, latencies, publishing, start, memory, with real processes and a real aggregator.
//!
//!     cargo build --release -p aggregator
//!     cargo run --release -p benches --bin host -- [--quick] [--json FILE] [--only WORD]... [--aggregator FILE]
//!
//! `--only` takes one of `poll`, `visible`, `death`, `idle`, `publish`, `start`; without it all are measured, which
//! takes some minutes.

use benches::host::latency::Others;
use benches::host::{Outcome, cost, daemon, latency, player};
use benches::report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Default)]
struct Arguments {
    quick: bool,
    json: Option<PathBuf>,
    only: Vec<String>,
    aggregator: Option<PathBuf>,
}

fn parse() -> Outcome<Arguments> {
    let mut arguments = Arguments::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        match word.as_str() {
            "--quick" => arguments.quick = true,
            "--json" => arguments.json = Some(value()?.into()),
            "--only" => arguments.only.push(value()?),
            "--aggregator" => arguments.aggregator = Some(value()?.into()),
            other => return Err(format!("{other}: --quick, --json FILE, --only WORD, --aggregator FILE").into()),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let done = match &words[..] {
        [_, first, prefix, slots] if first == player::ARGUMENT => player::play(prefix, slots),
        _ => measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("host: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Outcome<()> {
    let Arguments { quick, json, only, aggregator } = parse()?;
    let program = daemon::program(aggregator)?;
    let wanted = |word: &str| only.is_empty() || only.iter().any(|other| other == word);
    let pick = |full: usize, short: usize| if quick { short } else { full };
    let mut report = Report::new("host");
    if wanted("poll") {
        for count in [64, 1024] {
            cost::idle_poll(count, pick(2000, 200), &mut report)?;
        }
    }
    if wanted("visible") {
        let events = pick(1000, 200) as u64;
        latency::event_to_visible(&program, Others::Busy(4), events, "4 processes write", &mut report)?;
        let resting = Others::BusyWhileItRests(4);
        latency::event_to_visible(&program, resting, events / 10, "4 write, it is rare", &mut report)?;
        latency::event_to_visible(&program, Others::Flood(1), events, "1 process floods", &mut report)?;
        latency::event_to_visible(&program, Others::Idle, events / 10, "from idle", &mut report)?;
    }
    if wanted("death") {
        latency::death_to_gone(&program, 100, &mut report)?;
    }
    if wanted("publish") {
        for count in [1, 10, 100, pick(1000, 300)] {
            cost::publishing(count, pick(1000, 200), &mut report)?;
        }
    }
    if wanted("idle") {
        for count in [pick(1024, 300), 100, 1] {
            cost::idle_daemon(&program, count, pick(10, 3) as u64, &mut report)?;
        }
    }
    if wanted("start") {
        latency::start_with_full_rings(&program, pick(100, 20), &mut report)?;
    }
    print!("{report}");
    if let Some(path) = json {
        report.write(&path)?;
    }
    Ok(())
}
