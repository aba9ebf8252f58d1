//! Two hundred processes of three users on one host, and what a normal user may do with what root's aggregator publishes.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use nix::unistd::{Gid, Uid, geteuid};
use shm_layout::event::Memory;
use std::os::unix::process::CommandExt;
use std::process::Command;
use support::daemon::Daemon;
use support::{Ground, Player, figures, play_if_asked};

/// Root and two that no real user has.
const USERS: [u32; 3] = [0, 61001, 61002];
const PROCESSES: usize = 200;

#[test]
fn player() {
    // As root it was started; it becomes the user before it makes a ring.
    if let Ok(uid) = std::env::var("TEST_UID") {
        let uid = uid.parse().unwrap();
        nix::unistd::setgroups(&[]).unwrap();
        nix::unistd::setresgid(Gid::from_raw(uid), Gid::from_raw(uid), Gid::from_raw(uid)).unwrap();
        nix::unistd::setresuid(Uid::from_raw(uid), Uid::from_raw(uid), Uid::from_raw(uid)).unwrap();
        // The change took it away, and with it what others of this user may see in /proc.
        nix::sys::prctl::set_dumpable(true).unwrap();
    }
    play_if_asked();
}

#[test]
fn intruder() {
    let Ok(files) = std::env::var("TEST_INTRUDE") else { return };
    for name in files.split(' ') {
        let opened = std::fs::OpenOptions::new().write(true).open(format!("/dev/shm/{name}"));
        let how = opened.map_or_else(|error| format!("{:?}", error.kind()), |_| "opened".to_owned());
        println!("\nopen {name} {how}");
    }
}

fn is_root(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("SKIPPED, NOT TESTED: {test} needs root to become several users");
    }
    root
}

fn player_of(ground: &Ground, uid: u32) -> Player {
    let uid = uid.to_string();
    let environment = [("TEST_UID", uid.as_str()), ("TT_ALLOC_RING_BYTES", "65536")];
    Player::start_with(ground, &environment[usize::from(uid == "0")..])
}

/// This test binary's `intruder` as this user; every line that it says about a file.
fn intrude(ground: &Ground, uid: u32) -> Vec<(String, String)> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "intruder", "--nocapture", "--test-threads=1"])
        .env("TEST_INTRUDE", ground.files().join(" "))
        .uid(uid)
        .gid(uid)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let told = said.lines().filter_map(|line| line.strip_prefix("open ")?.split_once(' '));
    told.map(|(name, how)| (name.to_owned(), how.to_owned())).collect()
}

#[test]
fn two_hundred_processes_of_three_users_have_their_own_figures() {
    if !is_root("two hundred processes of three users") {
        return;
    }
    let ground = Ground::new();
    let daemon = Daemon::start_as(&ground, 0);
    let mut players: Vec<(u32, Player)> = (0..PROCESSES)
        .map(|n| {
            let uid = USERS[n % USERS.len()];
            (uid, player_of(&ground, uid))
        })
        .collect();
    for (n, (_, player)) in players.iter_mut().enumerate() {
        // The same ids for everybody: only their owners tell them apart.
        player.alloc(0, Memory::Dram, 1, n as u64 + 1, 0);
        player.alloc(0, Memory::L1, 1, 1000, 0);
        player.alloc(0, Memory::Dram, 2, 5000, 0);
        player.free(0, Memory::Dram, 2, 5000, 0);
    }
    let seen = ground.see("everybody", |s| s.health.events_total == 4 * PROCESSES as u64);
    assert_eq!((seen.processes.len(), seen.health.anomalies), (PROCESSES, Default::default()));
    let mut by_user = [0; USERS.len()];
    for (n, (uid, player)) in players.iter().enumerate() {
        let process = seen.processes.iter().find(|process| process.pid == player.pid()).unwrap();
        assert_eq!(process.uid, *uid);
        let dram = figures(&seen, player.pid(), 0, Memory::Dram);
        assert_eq!((dram.footprint_bytes, dram.blocks), (n as u64 + 1, 1));
        assert_eq!(figures(&seen, player.pid(), 0, Memory::L1).footprint_bytes, 1000);
        by_user[n % USERS.len()] += dram.footprint_bytes;
    }
    for (uid, expected) in USERS.into_iter().zip(by_user) {
        let of_user = seen.processes.iter().filter(|process| process.uid == uid);
        let sum: u64 = of_user.map(|process| figures(&seen, process.pid, 0, Memory::Dram).footprint_bytes).sum();
        assert_eq!(sum, expected, "user {uid}");
    }
    let total = (PROCESSES * (PROCESSES + 1) / 2) as u64;
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, total);

    let told = intrude(&ground, USERS[1]);
    assert!(told.len() > 2 * PROCESSES, "rings, ledgers, the stats: {}", told.len());
    for (name, how) in told {
        let own_ring = name.contains(&format!(".ring.{}.", USERS[1]));
        assert_eq!(how, if own_ring { "opened" } else { "PermissionDenied" }, "{name}");
    }

    for (n, (_, player)) in players.iter_mut().enumerate() {
        if n % 2 == 0 {
            player.kill();
        }
    }
    let seen = ground.see("the others", |s| s.processes.len() == PROCESSES / 2);
    assert_eq!(seen.health.deaths_total, PROCESSES as u64 / 2);
    let left: u64 = (0..PROCESSES as u64).filter(|n| n % 2 == 1).map(|n| n + 1).sum();
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, left);
    players.into_iter().filter(|(_, player)| ground_has(&seen, player)).for_each(|(_, player)| player.close());
    ground.see("nobody", |s| s.processes.is_empty());
    daemon.end();
    ground.must_be_clean();
}

fn ground_has(seen: &shm_layout::stats::Snapshot, player: &Player) -> bool {
    seen.processes.iter().any(|process| process.pid == player.pid())
}

#[test]
fn a_user_s_aggregator_leaves_others_alone() {
    if !is_root("a user's aggregator beside another user's process") {
        return;
    }
    let ground = Ground::new();
    let daemon = Daemon::start_as(&ground, USERS[1]);
    let (mut own, mut other) = (player_of(&ground, USERS[1]), player_of(&ground, USERS[2]));
    own.alloc(0, Memory::Dram, 1, 10, 0);
    other.alloc(0, Memory::Dram, 1, 10, 0);
    let ring = other.tell("ring");
    other.kill();
    own.alloc(0, Memory::Dram, 2, 5, 0);
    let seen = ground.see("its own", |s| figures(s, own.pid(), 0, Memory::Dram).footprint_bytes == 15);
    assert_eq!((seen.processes.len(), seen.health.rejected_rings_total), (1, 0));
    own.close();
    ground.see("nobody", |s| s.processes.is_empty());
    daemon.end();
    assert_eq!(ground.files(), [ring.as_str()], "the dead process's of another user, untouched");
    std::fs::remove_file(format!("/dev/shm/{ring}")).unwrap();
}
