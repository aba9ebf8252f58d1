//! `tt-alloc baseline` and `tt-alloc reset`, from the command to what it says. This process is the tracked one, and has the aggregator
//! of its own user beside it.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn tool(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let path = if name == "tt-alloc" { env!("CARGO_BIN_EXE_tt-alloc") } else { env!("CARGO_BIN_EXE_alloc-top") };
    let command = Command::new(path).args(arguments).env_remove("TT_ALLOC_TRACKING_ENABLED").output();
    let Output { status, stdout, stderr } = command.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn tt_alloc(arguments: &[&str]) -> (Option<i32>, String, String) {
    tool("tt-alloc", arguments)
}

fn allocate(id: u64, size: u64) {
    producer::process::record(Event { id, size, address: id, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
}

/// Looks until the figures have come so far.
fn see(what: &str, bytes: u64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let dram = || {
        let json: serde_json::Value = serde_json::from_str(&tt_alloc(&["stats", "--json"]).1).ok()?;
        json["devices"][0]["memory"]["DRAM"]["footprint_bytes"].as_u64()
    };
    while dram() != Some(bytes) {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_baseline_from_nothing_to_nothing() {
    if std::env::var_os("CONTROL_TEST").is_none() {
        let name = format!("control_{}", std::process::id());
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_baseline_from_nothing_to_nothing", "--nocapture"])
            .envs([("CONTROL_TEST", "1"), ("TT_ALLOC_TRACKING_ENABLED", "1"), ("TT_ALLOC_PREFIX", &name)])
            .output()
            .unwrap();
        // It ends with something alive, which a killed process would leave as well.
        let gc = Command::new(env!("CARGO_BIN_EXE_tt-alloc")).arg("gc").env("TT_ALLOC_PREFIX", &name).output().unwrap();
        assert!(gc.status.success() && output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let left = std::fs::read_dir(shm_layout::names::DIRECTORY).unwrap().flatten();
        let left: Vec<_> =
            left.map(|entry| entry.file_name()).filter(|file| file.to_string_lossy().starts_with(&name)).collect();
        assert!(left.is_empty(), "{left:?}");
        return;
    }
    let prefix = Prefix::from_environment().unwrap();
    // Nobody to ask.
    let (code, said, wrong) = tt_alloc(&["baseline", "set"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(wrong.contains("start it, then ask again"), "{wrong}");

    let aggregator = aggregator::embedded::start(&prefix).unwrap();
    allocate(1, 3 << 20);
    see("the first", 3 << 20);
    let (code, said, wrong) = tt_alloc(&["baseline", "show"]);
    assert_eq!((code, said.as_str()), (Some(3), ""));
    assert!(wrong.contains("no baseline is set there; `tt-alloc baseline set` sets one"), "{wrong}");
    let pid = std::process::id().to_string();
    let (code, said, wrong) = tt_alloc(&["baseline", "set", "--device", "0", "--pid", &pid]);
    assert_eq!((code, wrong.as_str()), (Some(0), ""));
    assert_eq!(said, format!("baseline of PID {pid} on chip 0x0 set: 3.00 MiB in 1 process\n"));
    allocate(2, 1 << 20);
    see("the second", 4 << 20);
    let (_, said, _) = tt_alloc(&["baseline", "show"]);
    let row: Vec<&str> = said.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, [pid.as_str(), "0", "DRAM", "3.00", "MiB", "4.00", "MiB", "+1.00", "MiB", "hand"], "{said}");
    for (name, arguments) in [("tt-alloc", &["stats"][..]), ("alloc-top", &["--once"])] {
        let (_, said, _) = tool(name, arguments);
        assert!(said.contains("3.00 MiB baseline, +1.00 MiB"), "{name}: {said}");
        let processes: Vec<&str> = said.lines().skip_while(|line| !line.contains("COMMAND")).collect();
        assert!(processes[0].contains("SINCE") && processes[1].contains("+1.00 MiB"), "{name}: {said}");
    }
    let json: serde_json::Value = serde_json::from_str(&tt_alloc(&["stats", "--json"]).1).unwrap();
    let dram = &json["devices"][0]["memory"]["DRAM"];
    assert_eq!(
        (dram["baseline_bytes"].as_u64(), dram["since_baseline_bytes"].as_i64(), dram["baseline_automatic"].as_bool()),
        (Some(3 << 20), Some(1 << 20), Some(false))
    );

    let (code, _, wrong) = tt_alloc(&["reset"]);
    assert_eq!(code, Some(2));
    assert!(wrong.contains("--device ID, --pid PID, or --all"), "{wrong}");
    let (code, _, wrong) = tt_alloc(&["reset", "--device", "7"]);
    assert_eq!(code, Some(1));
    assert!(wrong.contains("none of the 1 known devices"), "{wrong}");
    let (code, said, _) = tt_alloc(&["reset", "--all"]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with("figures begun anew in 1 process"), "{said}");
    assert_eq!(tt_alloc(&["baseline", "clear"]).0, Some(0));
    assert_eq!(tt_alloc(&["baseline", "show"]).0, Some(3));
    drop(aggregator);
    for left in [prefix.stats(), prefix.lock()] {
        let _ = std::fs::remove_file(format!("/dev/shm/{left}"));
    }
}
