//! Older ttnn wheels, and the newest with another Python: the core of the ttnn suite on each.
//!
//! `TT_ALLOC_TTNN_VERSIONS` chooses them, `VERSION/PYTHON` separated by spaces; `none` is none of them. Each has a
//! virtual environment of its own beside that of the suite (600 MB), made the first time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod suite;

use std::io::Write;
use suite::{Bench, Session, Wheel, Worker};

/// What differs between versions, and each Python.
const WHEELS: &str = "0.76.0/3.10 0.77.0/3.12 0.79.0/3.12 0.81.1/3.12";

/// Workloads that compare by themselves.
const CORE: [&str; 2] = ["tensors.py", "operations.py"];
/// Where also kernels get their places on mock devices; before, only on real ones.
const NEWEST: &str = "0.81";

fn loud(text: &str) {
    let bar = "!".repeat(78);
    // Not eprintln!: the test harness would swallow it.
    let _ = writeln!(std::io::stderr(), "\n{bar}\n!! {}\n{bar}\n", text.trim_end().replace('\n', "\n!! "));
}

fn core_on(wheel: Wheel<'_>) {
    let Wheel { version, python } = wheel;
    let bench: &'static Bench = match Bench::make(Some(wheel)) {
        Ok(bench) => Box::leak(Box::new(bench)),
        // An older wheel, or another Python, is not there on every machine: the suite itself must be.
        Err(why) => return loud(&format!("ttnn {version} for Python {python} was not tried: {why}")),
    };
    let newest = version.starts_with(NEWEST);
    for workload in CORE.into_iter().chain(newest.then_some("kernels.py")) {
        let test = format!("v{version}_{python}_{}", workload.trim_end_matches(".py")).replace('.', "");
        let session = &mut Session::new(bench, &test, "p150");
        session.start_aggregator();
        let ended = session.run(&[workload]);
        ended.must_succeed();
        let samples: u32 = ended.line("SAMPLES").parse().unwrap();
        assert!(samples >= 10, "{samples} samples of {workload} with ttnn {version}");
        session.wait_until_nothing_is_held();
    }
    let session = &mut Session::new(bench, &format!("v{version}_{python}_killed").replace('.', ""), "p150");
    session.start_aggregator();
    let mut killed = Worker::start(session);
    killed.tell("alloc 12");
    killed.tell("operate");
    killed.tell("check held");
    let pid = killed.pid;
    killed.kill();
    session.wait_until_nothing_is_held();
    let (line, _) = session.death_of(pid);
    for noun in ["buffers", "CB", if newest { "kernels" } else { "removed" }] {
        assert!(line.contains(noun), "ttnn {version}: {line:?} does not name {noun:?}");
    }
    let said = session.doctor();
    assert!(said.contains(&format!("ttnn {version}: tracked; ")), "{said}");
    // Before 0.79 it says what it cannot see.
    let lacks = ["0.75", "0.76", "0.77", "0.78"].iter().any(|old| version.starts_with(old));
    assert_eq!(said.contains("dataflow buffers"), lacks, "{said}");
}

#[test]
fn the_core_on_other_wheels() {
    let chosen = std::env::var("TT_ALLOC_TTNN_VERSIONS").unwrap_or_else(|_| WHEELS.to_owned());
    if chosen == "none" {
        return loud("no other ttnn wheels were tried: TT_ALLOC_TTNN_VERSIONS=none");
    }
    let wheels: Vec<Wheel<'_>> = chosen
        .split_whitespace()
        .map(|wheel| wheel.split_once('/').expect("VERSION/PYTHON"))
        .map(|(version, python)| Wheel { version, python })
        .collect();
    assert!(!wheels.is_empty(), "TT_ALLOC_TTNN_VERSIONS names none");
    std::thread::scope(|threads| {
        let each = |wheel| move || core_on(wheel);
        let running: Vec<_> = wheels.iter().map(|&wheel| (wheel, threads.spawn(each(wheel)))).collect();
        let failed: Vec<_> =
            running.into_iter().filter_map(|(wheel, thread)| thread.join().is_err().then_some(wheel)).collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}
