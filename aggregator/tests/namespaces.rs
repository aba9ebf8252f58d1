//! Pids that mean different processes: in other namespaces, and again in the same one.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory;
use shm_layout::leftover::Fate;
use shm_layout::names::ProcessFile;
use std::process::{Child, Command, Stdio};
use support::daemon::{Daemon, command};
use support::{Ground, Player, figures, play_if_asked, wait};

#[test]
fn player() {
    play_if_asked();
}

fn may_unshare(test: &str) -> bool {
    let may = nix::unistd::geteuid().is_root()
        && Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if !may {
        eprintln!("SKIPPED, NOT TESTED: {test} needs root and pid namespaces");
    }
    may
}

/// A player that is the first process of a pid namespace of its own: it takes itself for pid 1.
fn player_in_its_own_namespace(ground: &Ground) -> Player {
    std::thread::scope(|scope| {
        // What a thread unshares counts for its children only.
        let thread = scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).unwrap();
            Player::start(ground)
        });
        thread.join().unwrap()
    })
}

#[test]
fn one_pid_in_two_namespaces_is_two_processes() {
    if !may_unshare("one pid in two namespaces") {
        return;
    }
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let (mut one, mut two) = (player_in_its_own_namespace(&ground), player_in_its_own_namespace(&ground));
    one.alloc(0, Memory::Dram, 1, 100, 0);
    two.alloc(0, Memory::Dram, 1, 7, 0);
    let me = nix::unistd::geteuid();
    for player in [&mut one, &mut two] {
        let ring = player.tell("ring");
        assert!(ring.starts_with(&format!("{}.ring.{me}.1.", ground.prefix)), "it takes itself for pid 1: {ring}");
    }
    let seen = ground.see("both", |s| s.health.live_allocations == 2);
    assert_eq!(seen.processes.len(), 2);
    // By the pids that they have where the aggregator is.
    assert_eq!(figures(&seen, one.pid(), 0, Memory::Dram).footprint_bytes, 100);
    assert_eq!(figures(&seen, two.pid(), 0, Memory::Dram).footprint_bytes, 7);
    one.kill();
    let seen = ground.see("the other", |s| s.processes.len() == 1);
    assert_eq!(figures(&seen, two.pid(), 0, Memory::Dram).footprint_bytes, 7);
    two.close();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

/// A process that ends with the test.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_aggregator_that_cannot_see_its_producers_declares_none_dead_before_its_end() {
    if !may_unshare("an aggregator in a namespace of its own") {
        return;
    }
    let ground = Ground::new();
    let _secluded = Daemon::spawn_by(command(&ground, &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]));
    wait("its segment", || ground.look()).unwrap();
    let (mut one, mut two) = (Player::start(&ground), Player::start(&ground));
    one.alloc(0, Memory::Dram, 1, 100, 0);
    two.alloc(0, Memory::Dram, 1, 7, 0);
    let total =
        |s: &shm_layout::stats::Snapshot| s.chips.first().map(|c| c.memory[Memory::Dram as usize].footprint_bytes);
    ground.see("both", |s| total(s) == Some(107));
    // Several sweeps long.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let seen = ground.look().unwrap();
    assert_eq!((total(&seen), seen.processes.len(), seen.health.deaths_total), (Some(107), 2, 0));
    one.kill();
    let seen = ground.see("the other", |s| s.processes.len() == 1);
    assert_eq!(total(&seen), Some(7));
    two.close();
    ground.see("nobody", |s| s.processes.is_empty());
}

/// Runs a test of this file where pids can be given: in a pid namespace of its own.
fn inside(test: &str) {
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("TEST_INSIDE", "1")
        .env("TEST_GROUND", Ground::new().prefix.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("seen inside"), "{output:?}");
}

/// Has the next process that is started get this pid.
fn give_next(pid: u32) {
    std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
}

#[test]
fn a_pid_used_again_does_not_inherit() {
    if !may_unshare("a pid used again") {
        return;
    }
    inside("a_pid_used_again");
}

#[test]
fn a_pid_used_again_by_another_user_is_told_by_its_start() {
    if !may_unshare("a pid used again by another user") {
        return;
    }
    inside("a_pid_used_again_by_another_user");
}

/// Nothing but its start tells this process from the one before: a user may not see what another's maps.
#[test]
fn a_pid_used_again_by_another_user() {
    if std::env::var_os("TEST_INSIDE").is_none() {
        return;
    }
    const USER: u32 = 61001;
    let ground = Ground::new();
    let mut old = Player::start_as(&ground, USER);
    old.alloc(0, Memory::Dram, 1, 100, 0);
    let (pid, ring) = (old.pid(), old.tell("ring"));
    // By the clock of the kernel: the next process starts at another of its ticks.
    std::thread::sleep(std::time::Duration::from_millis(50));
    old.kill();
    let root_s = wait("the pid", || {
        give_next(pid);
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let child = Reaped(child);
        (child.0.id() == pid).then_some(child)
    })
    .unwrap();
    let file = ProcessFile::parse(&ring, &ground.prefix).unwrap();
    let fate = shm_layout::leftover::fate(&ground.prefix, &file).unwrap();
    assert!(matches!(fate, Fate::Leftover { .. }), "{fate:?}");
    let daemon = Daemon::start_as(&ground, USER);
    ground.see("the death", |s| s.health.deaths_total == 1 && s.processes.is_empty());
    ground.must_be_clean_but_for_stats();
    drop((root_s, daemon));
    println!("seen inside");
}

#[test]
fn a_pid_used_again() {
    if std::env::var_os("TEST_INSIDE").is_none() {
        return;
    }
    let ground = Ground::new();
    for aggregator_before in [false, true] {
        let mut aggregator = aggregator_before.then(|| ground.aggregator());
        let mut old = Player::start(&ground);
        old.alloc(0, Memory::Dram, 1, 100, 0);
        old.alloc(1, Memory::L1, 1, 100, 0);
        if aggregator.is_some() {
            ground.see("the old", |s| s.health.live_allocations == 2);
        }
        let (pid, ring) = (old.pid(), std::path::PathBuf::from(format!("/dev/shm/{}", old.tell("ring"))));
        // A copy of its ring under its name stays if somebody tidies up: the next producer of its user does.
        let kept = std::path::PathBuf::from("/dev/shm").join(format!("kept_{}", ground.prefix));
        std::fs::hard_link(&ring, &kept).unwrap();
        old.kill();
        let mut new = wait("the pid", || {
            give_next(pid);
            Some(Player::start(&ground)).filter(|new| new.pid() == pid)
        })
        .unwrap();
        new.alloc(0, Memory::Dram, 2, 7, 0);
        if aggregator_before {
            std::fs::remove_file(&kept).unwrap();
        } else {
            // The dead one's ring is still there when the aggregator comes.
            let _ = std::fs::remove_file(&ring);
            std::fs::rename(&kept, &ring).unwrap();
        }
        let running = aggregator.take().unwrap_or_else(|| ground.aggregator());
        let seen = ground.see("the new alone", |s| s.processes.len() == 1 && s.health.live_allocations == 1);
        assert_eq!(seen.processes[0].pid, pid);
        assert_eq!(figures(&seen, pid, 0, Memory::Dram).footprint_bytes, 7);
        assert_eq!(figures(&seen, pid, 1, Memory::L1).footprint_bytes, 0);
        assert_eq!(seen.health.deaths_total, 1);
        new.close();
        ground.see("nobody", |s| s.processes.is_empty());
        drop(running);
        ground.must_be_clean();
    }
    println!("seen inside");
}
