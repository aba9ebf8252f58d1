//! A viewer that /proc hides the aggregator from (`hidepid=2`): one that is stopped is said to be late, and not to be dead.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shm_layout::names::Prefix;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
/// A user that nobody is.
const USER: &str = "61001";
/// A fresh /proc in a mount namespace of its own; the word, not the number, is of the kernels since 5.8, where it is for this mount alone.
const HIDE: &str = "mount -t proc -o hidepid=invisible proc /proc && exec \"$@\"";

fn in_hiding() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", HIDE, "sh"]);
    command
}

fn prefix() -> String {
    format!("hidden_{}", std::process::id())
}

/// An aggregator in a process of its own.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        for name in [Prefix::new(&prefix()).unwrap().stats(), Prefix::new(&prefix()).unwrap().lock()] {
            let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
        }
    }
}

#[test]
fn daemon() {
    let Ok(prefix) = std::env::var("TEST_DAEMON") else { return };
    let _aggregator = aggregator::embedded::start(&Prefix::new(&prefix).unwrap()).unwrap();
    println!("\nruns");
    std::thread::sleep(PATIENCE * 2);
}

/// What `tt-alloc stats` complains of, in hiding.
fn complaint() -> String {
    let mut command = in_hiding();
    command.args([
        "setpriv",
        "--reuid",
        USER,
        "--regid",
        USER,
        "--clear-groups",
        env!("CARGO_BIN_EXE_tt-alloc"),
        "stats",
    ]);
    let output = command.env("TT_ALLOC_PREFIX", prefix()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn wait_for(what: &str, mut said: impl FnMut(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let complaint = complaint();
        if said(&complaint) {
            return complaint;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}: {complaint:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_aggregator_that_is_stopped_out_of_sight_is_not_called_dead() {
    let may = nix::unistd::geteuid().is_root()
        && in_hiding().arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !may {
        eprintln!("SKIPPED, NOT TESTED: hidepid needs root, a mount namespace and a kernel since 5.8");
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "daemon", "--nocapture", "--test-threads=1"]).env("TEST_DAEMON", prefix());
    let mut daemon = Daemon(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(daemon.0.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "runs"));
    wait_for("figures", str::is_empty);
    kill(Pid::from_raw(daemon.0.id().cast_signed()), Signal::SIGSTOP).unwrap();
    let said = wait_for("its silence", |said| !said.is_empty());
    assert!(said.contains("has not answered for"), "{said}");
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    let said = complaint();
    assert!(said.contains("the aggregator died"), "{said}");
}
