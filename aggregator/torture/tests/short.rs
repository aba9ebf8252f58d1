//! A short run, with another seed each time. What it prints is shown when it fails; the seed is in it.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long it runs, s.
const SECONDS: &str = "12";
/// How long it may take in all, on a machine where much else runs.
const WATCHDOG: Duration = Duration::from_secs(180);

#[test]
fn a_short_run_finds_nothing_wrong() {
    let report = std::env::temp_dir().join(format!("torture-{}.json", std::process::id()));
    let prefix = format!("test_torture_{}", std::process::id());
    let mut run = Command::new(env!("CARGO_BIN_EXE_torture"));
    // The aggregator's library, and not its binary: that may be missing here, or of another day.
    run.args([SECONDS, "--built-in", "--prefix", &prefix, "--producers", "8", "--report"]).arg(&report);
    // A group of its own: the watchdog must reach everybody.
    let mut child = run.process_group(0).stdin(Stdio::null()).spawn().unwrap();
    let group = Pid::from_raw(child.id() as i32);
    let deadline = Instant::now() + WATCHDOG;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > deadline {
            killpg(group, Signal::SIGKILL).unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // Producers that outlived it, should it have died.
    let _gone = killpg(group, Signal::SIGKILL);
    let dot = format!("{prefix}.");
    let names = std::fs::read_dir("/dev/shm").unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let left: Vec<String> = names.filter(|name| name.starts_with(&dot)).collect();
    left.iter().for_each(|name| std::fs::remove_file(format!("/dev/shm/{name}")).unwrap());
    let status = status.unwrap_or_else(|| panic!("it did not end within {WATCHDOG:?}"));
    assert!(status.success(), "it failed: see above; the seed is in its first line and its last");
    assert!(left.is_empty(), "it left {left:?}");

    // A run in which nothing happened proves nothing.
    let text = std::fs::read(&report).unwrap();
    std::fs::remove_file(&report).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&text).unwrap();
    for (what, least) in [
        ("quiet_checks", 5),
        ("events", 1000),
        ("rows", 50),
        ("listed", 100),
        ("producer_kills", 10),
        ("aggregator_kills", 3),
        ("lives", 1),
    ] {
        let happened = report[what].as_u64().unwrap();
        assert!(happened >= least, "only {happened} {what}: {report:#}");
    }
}
