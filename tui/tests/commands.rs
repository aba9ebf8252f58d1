//! The commands as their user meets them: exit codes, output, and what they leave in /dev/shm.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A prefix of this test's own; what has it at the end is removed.
struct Ground(String);

impl Ground {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(format!("cmd_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    fn files(&self) -> Vec<String> {
        let dot = format!("{}.", self.0);
        let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with(&dot)).collect()
    }

    fn tt_alloc(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tt-alloc"));
        command.args(arguments).env("TT_ALLOC_PREFIX", &self.0).env_remove("TT_ALLOC_TRACKING_ENABLED");
        command
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for name in self.files() {
            let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_demo_without_a_terminal_prints_one_table_and_leaves_nothing() {
    let ground = Ground::new();
    let Output { status, stdout, stderr } = ground.tt_alloc(&["demo"]).output().unwrap();
    let (table, errors) = (text(&stdout), text(&stderr));
    assert!(status.success(), "{errors}");
    for expected in ["DRAM", "serve_llm", "train", "blackhole", "0x824632222ce0"] {
        assert!(table.contains(expected), "{expected} is missing in:\n{table}");
    }
    assert!(!table.contains('\x1b'), "no decoration without a terminal");
    assert_eq!(ground.files(), Vec::<String>::new());
}

#[test]
fn gc_after_kill_9_of_everything_leaves_nothing() {
    let ground = Ground::new();
    let mut demo =
        ground.tt_alloc(&["demo"]).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
    let has = |role: &str| ground.files().iter().any(|name| name.contains(role));
    wait_for("rings, ledgers, stats and lock", || has(".ring.") && has(".ledger.") && has(".stats") && has(".lock"));
    let group = nix::unistd::Pid::from_raw(i32::try_from(demo.id()).unwrap());
    nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).unwrap();
    demo.wait().unwrap();
    assert!(!ground.files().is_empty(), "a kill leaves files, or there is nothing to collect");
    let mut said = String::new();
    // The producers are reaped by somebody else, a moment later.
    wait_for("gc to find all dead", || {
        said += &text(&ground.tt_alloc(&["gc"]).output().unwrap().stdout);
        ground.files().is_empty()
    });
    for role in [".ring.", ".ledger.", ".stats"] {
        assert!(said.contains(role), "{role} is missing in {said}");
    }
}

#[test]
fn run_is_the_command_with_two_variables_more() {
    let ground = Ground::new();
    let library = std::env::temp_dir().join(format!("{}.so", ground.0));
    std::fs::write(&library, "").unwrap();
    let script = "echo \"$TT_ALLOC_TRACKING_ENABLED $LD_PRELOAD $1\"; exit 7";
    let mut command = ground.tt_alloc(&["run", "--", "sh", "-c", script, "sh", "--flag of mine"]);
    // The dynamic linker complains of the empty library on standard error, and goes on.
    let output = command.env("TT_ALLOC_PRELOAD", &library).env_remove("LD_PRELOAD").output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(text(&output.stdout), format!("1 {} --flag of mine\n", library.canonicalize().unwrap().display()));
    let missing = ground.tt_alloc(&["run", "no-such-command"]).env("TT_ALLOC_PRELOAD", &library).output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
    std::fs::remove_file(&library).unwrap();
    let without = ground.tt_alloc(&["run", "true"]).env("TT_ALLOC_PRELOAD", &library).output().unwrap();
    assert_eq!(without.status.code(), Some(1));
    assert!(text(&without.stderr).contains("TT_ALLOC_PRELOAD"), "says the next step");
}

#[test]
fn without_an_aggregator_the_exit_code_says_so() {
    let ground = Ground::new();
    for arguments in [&["stats"][..], &["stats", "--json"], &["map"], &["map", "--json"]] {
        let output = ground.tt_alloc(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(text(&output.stderr).contains("aggregator"), "says the next step");
        assert!(output.stdout.is_empty());
    }
    for wrong in [&["stats", "--no-such-flag"][..], &["map", "--memory", "KERNEL"]] {
        assert_eq!(ground.tt_alloc(wrong).output().unwrap().status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn doctor_finds_what_is_wrong_with_the_variable() {
    let ground = Ground::new();
    let output = ground.tt_alloc(&["doctor"]).env("TT_ALLOC_TRACKING_ENABLED", "maybe").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("BAD   tracking"), "{}", text(&output.stdout));
}

#[test]
fn alloc_top_ends_when_its_terminal_goes_away() {
    let ground = Ground::new();
    let pty = nix::pty::openpty(None, None).unwrap();
    for fd in [&pty.master, &pty.slave] {
        // Not for the child: it would keep its own terminal open.
        let close_on_exec = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
        nix::fcntl::fcntl(fd, close_on_exec).unwrap();
    }
    let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let mut top = Command::new(env!("CARGO_BIN_EXE_alloc-top"))
        .env("TT_ALLOC_PREFIX", &ground.0)
        .env("TERM", "xterm")
        .stdin(end(&pty.slave))
        .stdout(end(&pty.slave))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(pty.slave);
    // It draws, then the terminal's other end is closed. No signal comes: it is not the terminal's session.
    let mut first = [0];
    nix::unistd::read(&pty.master, &mut first).unwrap();
    drop(pty.master);
    let deadline = Instant::now() + PATIENCE;
    while top.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            top.kill().unwrap();
            panic!("alloc-top outlives its terminal");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
