//! `tt-alloc leaks` and the groups of `tt-alloc buffers`, with real processes: each finding, and none of a healthy job.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "leaks/baselines.rs"]
mod baselines;
#[path = "leaks/jobs.rs"]
mod jobs;

use jobs::{Ground, Job, PATIENCE};
use serde_json::{Value, json};
use shm_layout::event::flags;
use std::time::{Duration, Instant};

/// (kind, pid, suspect) of each finding.
fn found(report: &Value) -> Vec<(&str, Option<u64>, bool)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|f| (f["kind"].as_str().unwrap(), f["pid"].as_u64(), f["suspect"] == true)).collect()
}

const WATCH: [&str; 5] = ["leaks", "--watch", "4", "--every", "250ms"];

#[test]
fn one_that_keeps_a_buffer_an_iteration_is_found_by_watching_and_healthy_ones_are_not() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut jobs: Vec<Job> = (0..3).map(|_| Job::start(&ground)).collect();
    jobs[1].tell("steady");
    jobs[2].tell("wave");
    ground.see("both", &["buffers", "--by", "process"], |all| all["groups"].as_array().unwrap().len() == 2);
    for _ in 0..4 {
        let (code, said, _) = ground.tool(&[&WATCH[..], &["--fail"]].concat());
        assert_eq!(code, Some(0), "{said}");
        assert!(said.ends_with("no leak found\n") && said.contains("4 times in"), "{said}");
    }
    jobs[0].tell("leak");
    let leaks = u64::from(jobs[0].pid());
    let report = ground.see("the leak", &WATCH, |report| report["suspects"] != 0);
    assert_eq!(found(&report), [("grew", Some(leaks), true)], "{report:#}");
    let one = &report["findings"][0];
    assert_eq!(one["size_class"], json!({"from_bytes": 1 << 20, "below_bytes": 2 << 20}));
    assert_eq!((&one["memory"], &one["class"], &one["device"]), (&"DRAM".into(), &"application".into(), &0.into()));
    let counts: Vec<u64> = one["looks"].as_array().unwrap().iter().map(|l| l["count"].as_u64().unwrap()).collect();
    assert!(counts.len() == 4 && counts.is_sorted() && one["count"] == counts[3] - counts[0], "{report:#}");
    let healthy = jobs[1].pid().to_string();
    assert!(found(&ground.json(&[&WATCH[..], &["--pid", &healthy]].concat())).is_empty());
    // Until a look finds it, so that a machine that stands still for a moment is no failure.
    let deadline = Instant::now() + PATIENCE;
    let said = loop {
        let (code, said, _) = ground.tool(&[&WATCH[..], &["--fail"]].concat());
        if code == Some(1) {
            break said;
        }
        assert!(Instant::now() < deadline, "{said}");
    };
    let suspect = format!("SUSPECT  grew           PID {leaks} (");
    assert!(said.contains(&suspect) && said.ends_with("\n1 suspect\n"), "{said}");
    assert_eq!(ground.tool(&["leaks", "--watch", "2"]).0, Some(2), "two looks tell nothing");
    ground.end(jobs, aggregator);
}

#[test]
fn what_outlives_a_mark_is_told_and_what_is_kept_on_purpose_is_told_apart() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut jobs = vec![Job::start(&ground)];
    let pid = u64::from(jobs[0].pid());
    // The start of a process is told in hundredths of a second.
    std::thread::sleep(Duration::from_millis(50));
    let begin = jiff::Timestamp::now().to_string();
    for id in 1..=4 {
        jobs[0].tell(&format!("alloc DRAM {id} 1000 0"));
    }
    ground.live(4);
    let none = ground.json(&["leaks"]);
    assert!(found(&none).is_empty() && none["not_looked_for"][0].as_str().unwrap().contains("no baseline is set"));
    assert_eq!(ground.tool(&["baseline", "set"]).0, Some(0));
    let leaks = ["leaks", "--grace", "0s"];
    // All are replaced: no more than there was.
    for id in 1..=4 {
        jobs[0].tell(&format!("alloc DRAM {} 1000 0", id + 10));
        jobs[0].tell(&format!("free DRAM {id}"));
    }
    ground.live(4);
    let steady = ground.json(&leaks);
    assert_eq!((found(&steady), &steady["looked_at"]["baselines"]), (vec![], &1.into()), "{steady:#}");
    // What tt-metal and the cache keep.
    jobs[0].tell(&format!("alloc DRAM 50 70000 {}", flags::SYSTEM));
    ground.live(5);
    let system = ground.json(&leaks);
    assert_eq!(found(&system), [("outlived", Some(pid), false)], "{system:#}");
    assert_eq!((&system["findings"][0]["class"], &system["suspects"]), (&"system".into(), &0.into()));
    // One more, and it stays.
    jobs[0].tell("alloc DRAM 20 500 0");
    ground.live(6);
    let (code, said, _) = ground.tool(&[&leaks[..], &["--fail"]].concat());
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("SUSPECT  outlived       PID {pid} (")), "{said}");
    assert!(
        said.contains("500 B more than at the baseline of") && said.contains("5 that came since are still there"),
        "{said}"
    );
    let young = ground.json(&["leaks", "--grace", "1h"]);
    assert!(found(&young).is_empty(), "what is younger may be work in progress: {young:#}");
    jobs[0].tell("free DRAM 20");
    ground.live(5);
    assert_eq!(ground.json(&leaks)["suspects"], 0, "it is gone");

    // Since a moment, of which nobody knows what there was.
    for memory in ["TRACE", "CB", "KERNEL", "SYSTEM_MEMORY"] {
        jobs[0].tell(&format!("alloc {memory} 60 4096 0"));
    }
    ground.live(9);
    let since = ground.json(&["leaks", "--since", &begin, "--grace", "0s"]);
    let classes = |since: &Value, suspect: bool| {
        let findings = since["findings"].as_array().unwrap().iter().filter(|f| f["suspect"] == suspect);
        findings.map(|f| f["class"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(classes(&since, true), ["application"], "{since:#}");
    let mut apart = classes(&since, false);
    apart.sort_unstable();
    assert_eq!(apart, ["program-cache", "program-cache", "system", "system", "trace"]);
    // The process is younger than that, and this host as well: whatever it holds came since.
    for before in ["1h", "10000d"] {
        let since = ground.json(&["leaks", "--since", before, "--grace", "0s"]);
        assert!(since["suspects"] == 0 && classes(&since, false).len() == 6, "{since:#}");
        assert!(since.to_string().contains("the process began only"), "{since:#}");
        assert_eq!(ground.tool(&["leaks", "--since", before, "--grace", "0s", "--fail"]).0, Some(0));
    }
    std::thread::sleep(Duration::from_millis(1100));
    assert!(found(&ground.json(&["leaks", "--since", "1s"])).is_empty(), "nothing came in the last second");
    for (bad, why) in [("soon", "or a moment"), ("2100-01-01 00:00", "still to come")] {
        let (code, _, wrong) = ground.tool(&["leaks", "--since", bad]);
        assert!(code == Some(2) && wrong.contains(why), "{wrong}");
    }
    ground.end(jobs, aggregator);
}

#[test]
fn closed_devices_and_unknown_sizes() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut jobs = vec![Job::start(&ground)];
    let pid = u64::from(jobs[0].pid());
    jobs[0].tell("open");
    jobs[0].tell("alloc L1 1 0 8");
    jobs[0].tell("alloc DRAM 2 4096 0");
    ground.live(2);
    let report = ground.json(&["leaks"]);
    assert_eq!(found(&report), [("size-unknown", Some(pid), false)], "{report:#}");
    assert_eq!((&report["findings"][0]["memory"], &report["findings"][0]["chip_id"]), (&"L1".into(), &"0x7000".into()));
    jobs[0].tell("close-device");
    ground.live(0);
    assert!(found(&ground.json(&["leaks"])).is_empty(), "its close has ended what was there");
    jobs[0].tell("alloc DRAM 3 4096 0");
    jobs[0].tell("alloc CB 4 4096 0");
    ground.live(2);
    let report = ground.json(&["leaks"]);
    assert_eq!(found(&report), [("closed-device", Some(pid), true), ("closed-device", Some(pid), false)], "{report:#}");
    assert_eq!(
        (&report["findings"][1]["class"], &report["findings"][0]["count"]),
        (&"program-cache".into(), &1.into())
    );
    jobs[0].tell("close-device");
    ground.live(0);
    assert!(found(&ground.json(&["leaks"])).is_empty());
    ground.end(jobs, aggregator);
}

#[test]
fn what_ended_processes_had_not_freed_and_runs_that_leave_more() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let run = |leaves: u64| {
        let mut job = Job::start(&ground);
        (0..leaves).for_each(|id| job.tell(&format!("alloc DRAM {} 4096 0", id + 1)));
        let pid = u64::from(job.pid());
        // Nobody is told of one that the aggregator never saw.
        job.tell("alloc L1 99 64 0");
        ground.live(leaves as usize + 1);
        job.tell("free L1 99");
        job.exit();
        pid
    };
    let last =
        |pid| move |report: &Value| report["findings"].as_array().unwrap().iter().any(|finding| finding["pid"] == pid);
    // Runs that leave as much each time, as a job does that never closes its device.
    for _ in 0..3 {
        let pid = run(2);
        let report = ground.see("its end", &["leaks"], last(pid));
        assert!(found(&report).iter().all(|(kind, _, suspect)| *kind == "left-at-exit" && !suspect), "{report:#}");
        let stats = ground.json(&["stats"]);
        assert_eq!(stats["devices"][0]["memory"]["DRAM"]["footprint_bytes"], 0, "nothing adds up over runs");
    }
    let runs = |report: &Value| {
        let all = report["findings"].as_array().unwrap();
        all.iter()
            .find(|f| f["kind"] == "runs-grew")
            .map(|f| (f["suspect"] == true, f["text"].as_str().unwrap().to_owned()))
    };
    for leaves in 3..=6 {
        let pid = run(leaves);
        let report = ground.see("its end", &["leaks"], last(pid));
        match runs(&report) {
            None => assert!(leaves < 4, "{report:#}"),
            Some((suspect, text)) => {
                assert!(leaves >= 4 && suspect == (leaves == 6), "{leaves}: {text}");
                assert!(
                    text.contains("jobs::job --nocapture") && text.contains(&format!(" 2 to {leaves} buffers")),
                    "{text}"
                );
            }
        }
    }
    assert_eq!(ground.tool(&["leaks", "--fail"]).0, Some(1));
    let only = run(0);
    ground.see("its end", &["stats"], |stats| {
        stats["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["pid"] == only && line["text"].as_str().unwrap().ends_with("exited"))
    });
    assert_eq!(runs(&ground.json(&["leaks"])), None, "one run left nothing");
    ground.end(Vec::new(), aggregator);
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let ground = Ground::new();
    let mut jobs = vec![Job::start(&ground), Job::start(&ground)];
    assert_eq!(ground.tool(&["leaks"]).0, Some(3), "nobody aggregates");
    // More than its ring holds, and all of it alive.
    jobs[0].tell("many 3000");
    jobs[1].tell("many 3");
    let aggregator = ground.aggregator();
    let pid = jobs[0].pid();
    for list in [&["buffers"][..], &["buffers", "--by", "memory"], &["leaks"]] {
        let about = |answer: &Value| answer["not_known"].as_array().unwrap().iter().any(|one| one["pid"] == pid);
        ground.see("that records were dropped", list, about);
        let (_, said, wrong) = ground.tool(list);
        assert!((said + &wrong).contains("its ring was full"), "{list:?}: {wrong}");
    }
    let (code, said, _) = ground.tool(&["leaks", "--strict"]);
    assert!(code == Some(4) && said.ends_with("no leak found in what could be looked at\n"), "{said}");
    let other = jobs[1].pid().to_string();
    let (code, said, _) = ground.tool(&["leaks", "--strict", "--pid", &other]);
    assert!(code == Some(0) && said.ends_with("no leak found\n"), "{said}");
    // A ledger that is not where it should be.
    let pid = format!(".{other}.");
    let ledger = ground.files().into_iter().find(|name| name.contains(".ledger.") && name.contains(&pid)).unwrap();
    let (here, away) = (format!("/dev/shm/{ledger}"), format!("/dev/shm/{}.away", ground.0));
    std::fs::rename(&here, &away).unwrap();
    let (code, said, _) = ground.tool(&["leaks", "--strict", "--pid", &other]);
    assert!(code == Some(4) && said.contains("its single allocations cannot be read from here"), "{said}");
    std::fs::rename(&away, &here).unwrap();
    ground.end(jobs, aggregator);
}

#[test]
fn buffers_are_filtered_and_grouped() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut jobs = vec![Job::start(&ground), Job::start(&ground)];
    for (memory, id, size, flags) in [("DRAM", 1, 4096, 0), ("DRAM", 2, 1024, 0), ("L1", 3, 2048, flags::SYSTEM)] {
        jobs[0].tell(&format!("alloc {memory} {id} {size} {flags}"));
    }
    jobs[1].tell("alloc DRAM 1 8192 0");
    ground.live(4);
    let ids = |filter: &[&str]| {
        let list = ground.json(&[&["buffers"], filter].concat());
        let ids = list["buffers"].as_array().unwrap().iter().map(|b| b["id"].as_u64().unwrap());
        ids.collect::<Vec<u64>>()
    };
    assert_eq!(ids(&["--min-size", "2KiB"]), [1, 1, 3]);
    assert_eq!((ids(&["--system"]), ids(&["--application"])), (vec![3], vec![1, 1, 2]));
    assert_eq!((ids(&["--older-than", "1h"]), ids(&["--younger-than", "1h"]).len()), (vec![], 4));
    assert_eq!((ids(&["--program", "7"]), ids(&["--user", "4123456789"])), (vec![], vec![]));
    let me = nix::unistd::geteuid().to_string();
    assert_eq!(ids(&["--user", &me]).len(), 4);
    let groups = ground.json(&["buffers", "--by", "process,memory"]);
    let key =
        |at: usize| (groups["groups"][at]["process"]["pid"].as_u64().unwrap(), groups["groups"][at]["count"].as_u64());
    assert_eq!(groups["groups"].as_array().unwrap().len(), 3);
    assert_eq!((key(0), key(1)), ((jobs[1].pid().into(), Some(1)), (jobs[0].pid().into(), Some(2))), "{groups:#}");
    assert_eq!(groups["footprint_bytes"], 15_360);
    let (_, table, wrong) = ground.tool(&["buffers", "--by", "size-class", "-n", "2"]);
    let first: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(first[..5], ["8", "KiB..16", "KiB", "1", "8.00"], "{table}");
    assert!(table.lines().count() == 4 && wrong.contains("2 more"), "{table}{wrong}");
    for wrong in [["--by", "colour"], ["--min-size", "x"], ["--older-than", "5"], ["--user", "no such user"]] {
        assert_eq!(ground.tool(&[&["buffers"], &wrong[..]].concat()).0, Some(2), "{wrong:?}");
    }
    ground.end(jobs, aggregator);
}
