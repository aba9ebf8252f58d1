//! A baseline that set itself, from the event to what is said of it. This process is the tracked one, and has the aggregator of its own user beside it.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use aggregator::daemon::Options;
use aggregator::telemetry::Root;
use shm_layout::event::{Event, Kind, Memory, flags};
use shm_layout::names::Prefix;
use std::process::Command;
use std::time::{Duration, Instant};

fn said(path: &str, arguments: &[&str]) -> String {
    let output = Command::new(path).args(arguments).env_remove("TT_ALLOC_TRACKING_ENABLED").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

const TOP: &str = env!("CARGO_BIN_EXE_alloc-top");
const TOOL: &str = env!("CARGO_BIN_EXE_tt-alloc");

#[test]
fn a_baseline_that_set_itself_is_shown_as_such() {
    if std::env::var_os("BASELINE_TEST").is_none() {
        let name = format!("auto_baseline_{}", std::process::id());
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_baseline_that_set_itself_is_shown_as_such", "--nocapture"])
            .envs([("BASELINE_TEST", "1"), ("TT_ALLOC_TRACKING_ENABLED", "1"), ("TT_ALLOC_PREFIX", &name)])
            .output()
            .unwrap();
        let gc = Command::new(TOOL).arg("gc").env("TT_ALLOC_PREFIX", &name).output().unwrap();
        assert!(gc.status.success() && output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let prefix = Prefix::from_environment().unwrap();
    let aggregator =
        aggregator::embedded::start_with(&prefix, Options { root: Root::at("/nonexistent"), auto_baseline: true })
            .unwrap();
    let tell = |event: Event| producer::process::record(event);
    tell(Event { id: 0x7000, context: 3, ..Event::new(Kind::DeviceInfo, Memory::Dram, 0) });
    tell(Event { id: 1, size: 14 << 20, flags: flags::SYSTEM, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
    tell(Event { id: 2, size: 4 << 20, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
    tell(Event { id: 3, size: 1 << 20, ..Event::new(Kind::Alloc, Memory::L1, 0) });
    let words = "14.0 MiB baseline (auto), +4.00 MiB";
    let deadline = Instant::now() + Duration::from_secs(30);
    let table = loop {
        let table = said(TOP, &["--once"]);
        if table.contains(words) && table.contains("L1") {
            break table;
        }
        assert!(Instant::now() < deadline, "{table}");
        std::thread::sleep(Duration::from_millis(20));
    };
    // Of the process: what is not the system's, of DRAM and L1.
    assert!(table.contains("SINCE") && table.contains("+5.00 MiB"), "{table}");
    assert!(said(TOOL, &["stats"]).contains(words));
    let show = said(TOOL, &["baseline", "show"]);
    assert!(show.lines().nth(1).unwrap().ends_with("+4.00 MiB  auto"), "{show}");
    let json: serde_json::Value = serde_json::from_str(&said(TOP, &["--json"])).unwrap();
    for figures in [&json["devices"][0]["memory"], &json["processes"][0]["devices"][0]["memory"]] {
        let dram = &figures["DRAM"];
        assert_eq!((&dram["baseline_bytes"], &dram["baseline_automatic"]), (&(14 << 20).into(), &true.into()));
        assert_eq!(figures["L1"]["baseline_automatic"], serde_json::Value::Null);
    }
    // Without an aggregator of its own alloc-top sets nothing.
    let refused = Command::new(TOP).args(["--once", "--auto-baseline"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    drop(aggregator);
    for left in [prefix.stats(), prefix.lock()] {
        let _ = std::fs::remove_file(format!("/dev/shm/{left}"));
    }
}
