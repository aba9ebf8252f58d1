//! An aggregator that /proc hides processes from (`hidepid=2`): not to see a process is not to know it dead.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use nix::unistd::{Gid, Uid};
use shm_layout::event::Memory;
use shm_layout::stats::Snapshot;
use shm_layout::text;
use std::process::{Command, Stdio};
use support::daemon::{Daemon, command};
use support::{Ground, Player, figures, lines, play_if_asked};

/// A user that nobody is.
const USER: u32 = 61001;
/// A fresh /proc in a mount namespace of its own. The word, not the number, is of the kernels since 5.8: for older ones it would be an
/// option of the whole host's /proc.
const HIDE: &str = "mount -t proc -o hidepid=invisible proc /proc && exec \"$@\"";

#[test]
fn player() {
    if let Ok(shy) = std::env::var("TEST_SHY") {
        let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
        nix::unistd::setgroups(&[]).unwrap();
        nix::unistd::setresgid(gid, gid, gid).unwrap();
        nix::unistd::setresuid(uid, uid, uid).unwrap();
        // A process that has changed its user belongs to root in /proc, and only root sees it there.
        nix::sys::prctl::set_dumpable(shy == "0").unwrap();
    }
    play_if_asked();
}

const IN_HIDING: [&str; 6] = ["unshare", "--mount", "sh", "-c", HIDE, "sh"];

fn in_hiding() -> Command {
    let mut command = Command::new(IN_HIDING[0]);
    command.args(&IN_HIDING[1..]);
    command
}

fn may_hide() -> bool {
    let may = nix::unistd::geteuid().is_root()
        && in_hiding().arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !may {
        eprintln!("SKIPPED, NOT TESTED: hidepid needs root, a mount namespace and a kernel since 5.8");
    }
    may
}

/// An aggregator of this user's that sees only its own processes, unless it is root's.
fn secluded(ground: &Ground, uid: u32) -> Daemon {
    let (user, group) = (format!("--reuid={uid}"), format!("--regid={uid}"));
    let become_user = ["setpriv", &user, &group, "--clear-groups"];
    Daemon::start_by(ground, command(ground, &[&IN_HIDING[..], &become_user].concat()))
}

fn name_of(seen: &Snapshot, player: &Player) -> String {
    text::load(&seen.processes.iter().find(|process| process.pid == player.pid()).unwrap().name)
}

#[test]
fn who_is_hidden_is_alive_until_dead_and_named_by_its_ring() {
    if !may_hide() {
        return;
    }
    for uid in [USER, 0] {
        let ground = Ground::new();
        let _daemon = secluded(&ground, uid);
        let mut open = Player::start_with(&ground, &[("TEST_SHY", "0")]);
        let mut shy = Player::start_with(&ground, &[("TEST_SHY", "1")]);
        open.alloc(0, Memory::Dram, 1, 100, 0);
        shy.alloc(0, Memory::Dram, 1, 7, 0);
        ground.see("both", |s| s.health.live_allocations == 2);
        // Its lock alone spoke for it: it closes a descriptor of its ring, and has none any more.
        shy.tell("lose_lock");
        open.tell("lose_lock");
        // Several sweeps long.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        shy.alloc(0, Memory::Dram, 2, 70, 0);
        let seen = ground.see("what it does next", |s| figures(s, shy.pid(), 0, Memory::Dram).footprint_bytes == 77);
        assert_eq!((seen.processes.len(), seen.health.deaths_total), (2, 0), "user {uid}: {:?}", lines(&seen));
        // Both run the same program.
        let name = name_of(&seen, &open);
        assert!(!name.is_empty() && name_of(&seen, &shy) == name, "{:?}", seen.processes);
        let hidden = seen.processes.iter().find(|process| process.pid == shy.pid()).unwrap();
        assert_eq!(text::load(&hidden.command_line).is_empty(), uid == USER, "it is hidden from user {USER} only");
        shy.kill();
        let seen = ground.see("its death", |s| s.health.deaths_total == 1);
        assert_eq!(figures(&seen, open.pid(), 0, Memory::Dram).footprint_bytes, 100);
        open.kill();
        ground.see("nobody", |s| s.processes.is_empty() && s.health.deaths_total == 2);
        ground.must_be_clean_but_for_stats();
    }
}

#[test]
fn gc_spares_the_ring_of_a_hidden_process() {
    if !may_hide() {
        return;
    }
    let ground = Ground::new();
    let mut shy = Player::start_with(&ground, &[("TEST_SHY", "1")]);
    shy.alloc(0, Memory::Dram, 1, 7, 0);
    let ring = shy.tell("ring");
    shy.tell("lose_lock");
    let collect = || {
        let mut gc = in_hiding();
        gc.arg("setpriv").args([format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".into()]);
        gc.arg(std::env::current_exe().unwrap()).args(["--exact", "collector", "--nocapture", "--test-threads=1"]);
        let output = gc.env("TEST_COLLECT", ground.prefix.to_string()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("collected "), "{said}");
        said.contains(&ring)
    };
    assert!(!collect(), "it lives");
    assert_eq!(ground.files(), [ring.as_str()]);
    shy.kill();
    assert!(collect(), "it is dead");
    ground.must_be_clean();
}

/// What `tt-alloc gc` does, for the test above.
#[test]
fn collector() {
    let Ok(prefix) = std::env::var("TEST_COLLECT") else { return };
    let prefix = shm_layout::names::Prefix::new(&prefix).unwrap();
    println!("\ncollected {:?}", shm_layout::leftover::collect(&prefix, Some(USER)));
}
