//! What `tt-alloc leaks` says of baselines: which ones are a mark, what is compared with them, and with what nothing is.

use super::jobs::{Ground, Job};
use serde_json::Value;
use shm_layout::event::flags;

const LEAKS: [&str; 3] = ["leaks", "--grace", "0s"];

/// All that was not looked for, on one line.
fn not_looked_for(report: &Value) -> String {
    report["not_looked_for"].to_string()
}

#[test]
fn baselines_that_set_themselves_are_no_mark_and_that_is_said() {
    let ground = Ground::new();
    let aggregator = ground.aggregator_with(true);
    let mut jobs = vec![Job::start(&ground)];
    jobs[0].tell("open");
    jobs[0].tell(&format!("alloc DRAM 1 {} {}", 14 << 20, flags::SYSTEM));
    jobs[0].tell(&format!("alloc DRAM 2 {} 0", 4 << 20));
    ground.see("the automatic one", &["stats"], |stats| {
        stats["devices"][0]["memory"]["DRAM"]["baseline_automatic"] == true
    });
    ground.live(2);
    // Weights are no leak; and nothing is said to have been looked at that was not.
    let (code, said, _) = ground.tool(&[&LEAKS[..], &["--fail"]].concat());
    assert!(code == Some(0) && said.contains("have set themselves only (--auto-baseline)"), "{said}");
    let report = ground.json(&LEAKS);
    assert_eq!((&report["suspects"], &report["looked_at"]["baselines"]), (&0.into(), &0.into()), "{report:#}");
    // One that somebody sets is a mark.
    assert_eq!(ground.tool(&["baseline", "set"]).0, Some(0));
    assert_eq!(ground.json(&LEAKS)["looked_at"]["baselines"], 1);
    jobs[0].tell("alloc DRAM 3 4096 0");
    ground.live(3);
    let (code, said, _) = ground.tool(&[&LEAKS[..], &["--fail"]].concat());
    assert!(code == Some(1) && said.contains("DRAM: 4.00 KiB more than at the baseline"), "{said}");
    assert!(!said.contains("--auto-baseline"), "{said}");
    ground.end(jobs, aggregator);
}

#[test]
fn what_begins_after_a_baseline_is_more_than_nothing_and_other_processes_are_named() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut jobs = vec![Job::start(&ground)];
    jobs[0].tell("alloc DRAM 1 4096 0");
    ground.live(1);
    assert_eq!(ground.tool(&["baseline", "set"]).0, Some(0));
    jobs[0].tell("alloc L1 2 512 0");
    jobs.push(Job::start(&ground));
    jobs[1].tell("alloc DRAM 1 100 0");
    ground.live(3);
    let (code, said, _) = ground.tool(&[&LEAKS[..], &["--fail"]].concat());
    assert!(code == Some(1) && said.contains("L1: 512 B more than at the baseline of"), "{said}");
    assert!(said.ends_with("\n1 suspect\n"), "{said}");
    let report = ground.json(&LEAKS);
    assert!(not_looked_for(&report).contains(&format!(", of PID {} (", jobs[1].pid())), "{report:#}");
    // Of what was not asked about nothing is said.
    let of_dram = ground.json(&[&LEAKS[..], &["--memory", "DRAM", "--pid", &jobs[0].pid().to_string()]].concat());
    assert_eq!((&of_dram["suspects"], &of_dram["looked_at"]["baselines"]), (&0.into(), &1.into()));
    assert!(!not_looked_for(&of_dram).contains("baseline"), "{of_dram:#}");
    let of_l1 = ground.json(&[&LEAKS[..], &["--memory", "L1", "--pid", &jobs[0].pid().to_string()]].concat());
    assert!(!not_looked_for(&of_l1).contains("baseline"), "{of_l1:#}");
    assert_eq!(of_l1["suspects"], 1, "the mark of its device counts, whatever kind was asked about: {of_l1:#}");
    ground.end(jobs, aggregator);
}

#[test]
fn more_that_may_be_work_in_progress_is_not_called_no_leak() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut jobs = vec![Job::start(&ground)];
    jobs[0].tell("alloc DRAM 1 100000 0");
    ground.live(1);
    assert_eq!(ground.tool(&["baseline", "set"]).0, Some(0));
    // As much is in work again, and a little stays.
    jobs[0].tell("free DRAM 1");
    jobs[0].tell("alloc DRAM 2 1024 0");
    jobs[0].tell("alloc DRAM 3 100000 0");
    ground.live(2);
    let (code, said, _) = ground.tool(&["leaks", "--grace", "1h", "--strict"]);
    assert!(code == Some(4) && said.contains("DRAM: 1.00 KiB more than at the baseline of"), "{said}");
    assert!(
        said.contains("as much is younger than 1h") && said.ends_with("\nno leak found in what could be looked at\n")
    );
    let report = ground.json(&["leaks", "--grace", "1h"]);
    assert_eq!(report["not_known"][0]["pid"], jobs[0].pid(), "{report:#}");
    jobs[0].tell("free DRAM 2");
    ground.live(1);
    let (code, said, _) = ground.tool(&["leaks", "--grace", "1h", "--strict"]);
    assert!(code == Some(0) && said.ends_with("\nno leak found\n"), "{said}");
    ground.end(jobs, aggregator);
}
