//! Programs with more rights than their caller: what the caller's environment asks for is not done.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::{Ground, play_if_asked};

/// A user that nobody is.
const USER: u32 = 61001;

#[test]
fn player() {
    if std::env::var_os("TEST_PLAYER").is_some() {
        // SAFETY: getauxval only reads the process's own auxiliary vector.
        println!("\nsecure {}", unsafe { libc::getauxval(libc::AT_SECURE) });
        play_if_asked();
    }
}

/// This test's program again, under a name of its own, where a user other than its owner may run it.
struct Program(PathBuf);

impl Program {
    fn copied(name: &str) -> Self {
        let me = std::env::current_exe().unwrap();
        let path = me.with_file_name(format!("privileged_{name}_{}", std::process::id()));
        std::fs::copy(me, &path).unwrap();
        Self(path)
    }

    /// Runs it as the user, tracked as far as the environment can say so.
    fn run(&self, ground: &Ground) -> Output {
        let mut child = Command::new(&self.0)
            .args(["--exact", "player", "--nocapture", "--test-threads=1"])
            .env("TEST_PLAYER", "1")
            .env("TT_ALLOC_TRACKING_ENABLED", "1")
            .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
            .uid(USER)
            .gid(USER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"burst 0 10 64\nring\nclose\n").unwrap();
        child.wait_with_output().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn set_uid(path: &Path) -> bool {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o4755)).is_ok()
}

fn give_capability(path: &Path) -> bool {
    Command::new("setcap").arg("cap_net_raw+ep").arg(path).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

fn lines_of(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

#[test]
fn a_program_with_more_rights_than_its_caller_is_never_tracked() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED, NOT TESTED: set-uid programs and file capabilities need root to make them");
        return;
    }
    let ground = Ground::new();
    let plain = Program::copied("plain");
    let tracked = plain.run(&ground);
    let said = lines_of(&tracked.stdout);
    assert!(said.contains(&"secure 0".into()), "{tracked:?}");
    let ring = format!("ok {}.ring.{USER}.", ground.prefix);
    assert!(said.iter().any(|line| line.starts_with(&ring)), "the same program without these rights is: {tracked:?}");
    assert!(ground.files().is_empty());
    for name in ["uid", "capability"] {
        let program = Program::copied(name);
        let given = if name == "uid" { set_uid(&program.0) } else { give_capability(&program.0) };
        if !given {
            eprintln!("SKIPPED, NOT TESTED: {name}: this file system or host has none");
            continue;
        }
        let output = program.run(&ground);
        let said = lines_of(&output.stdout);
        if !said.contains(&"secure 1".into()) {
            eprintln!("SKIPPED, NOT TESTED: {name}: the file system is mounted nosuid");
            continue;
        }
        // Ten events were told, then: no ring, no line of ours, the program's own exit code.
        assert!(said.contains(&"ok none".into()), "{output:?}");
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(lines_of(&output.stderr), lines_of(&tracked.stderr), "{name}");
        assert!(ground.files().is_empty(), "{name}: {:?}", ground.files());
    }
}
