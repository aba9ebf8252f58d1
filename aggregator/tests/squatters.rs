//! Things in /dev/shm that have a ring's name and are none, by the dozen and by the ten thousand, and systems that give the
//! aggregator too little.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory;
use shm_layout::ring::ring_bytes;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use support::daemon::{Daemon, command};
use support::{Ground, Player, figures, lines, play_if_asked, wait};

#[test]
fn player() {
    play_if_asked();
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Resident memory, KiB, and open files.
fn size(daemon: &Daemon) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let files = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    (rss.trim().trim_end_matches(" kB").parse().unwrap(), files)
}

/// A user namespace in which nobody can have an inotify instance.
const WITHOUT_INOTIFY: [&str; 4] = ["unshare", "-Ur", "sh", "-c"];
const NO_INSTANCES: &str = "echo 0 > /proc/sys/user/max_inotify_instances &&";

/// An aggregator that logs all that it does by default.
fn without_inotify(ground: &Ground) -> Daemon {
    let script = format!("{NO_INSTANCES} exec \"$0\"");
    let mut command = command(ground, &[&WITHOUT_INOTIFY[..], &[&script]].concat());
    command.env("RUST_LOG", "info");
    Daemon::start_by(ground, command)
}

fn user_namespaces() -> bool {
    let script = format!("{NO_INSTANCES} true");
    let there = Command::new(WITHOUT_INOTIFY[0]).args(&WITHOUT_INOTIFY[1..]).arg(script).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        let _said = writeln!(std::io::stderr(), "\n!!! SKIPPED: no user namespace can be had here (unshare -Ur) !!!\n");
    }
    there
}

/// Names that a ring may have, one after the other.
struct Names<'a> {
    ground: &'a Ground,
    next: u32,
}

impl Names<'_> {
    fn of(&mut self, uid: u32) -> String {
        self.next += 1;
        format!("/dev/shm/{}.ring.{uid}.{}.{:016x}", self.ground.prefix, self.next, self.next)
    }
}

#[test]
fn whatever_has_a_ring_s_name_and_is_none_is_refused_with_its_reason() {
    let ground = Ground::new();
    let mut honest = Player::start(&ground);
    honest.alloc(0, Memory::Dram, 1, 5, 0);
    let ring = format!("/dev/shm/{}", honest.tell("ring"));
    let content = std::fs::read(&ring).unwrap();
    let me = nix::unistd::geteuid().as_raw();
    let mut names = Names { ground: &ground, next: 0 };
    // Of users who have none of their own here, so that each is told; without root those are nobody's concern.
    let others = |n: u32| if is_root() { 90_001 + n } else { me };
    let mut reasons = vec!["not a regular file"; 4];
    nix::unistd::mkfifo(names.of(others(0)).as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    drop(std::os::unix::net::UnixListener::bind(names.of(others(0))).unwrap());
    let directory = names.of(others(0));
    std::fs::create_dir(&directory).unwrap();
    symlink("/etc/shadow", names.of(others(0))).unwrap();
    // The ring of somebody honest, by another name.
    symlink(&ring, names.of(others(1))).unwrap();
    symlink("/dev/shm/nothing", names.of(others(1))).unwrap();
    reasons.extend(["not a regular file"; 2]);
    File::create(names.of(me)).unwrap().set_len(1 << 40).unwrap();
    reasons.push("is not a size that such a segment has");
    std::fs::write(names.of(me), [0xAB; 100]).unwrap();
    reasons.push("is not a size that such a segment has");
    std::fs::write(names.of(me), vec![0xAB; usize::try_from(ring_bytes(64)).unwrap()]).unwrap();
    reasons.push("magic");
    // A ring's content, in a file that names another.
    std::fs::write(names.of(me), &content).unwrap();
    reasons.push("its header names another user or another ring");
    let refused = if is_root() {
        use nix::sys::stat::{Mode, SFlag, makedev, mknod};
        // The null device (a /dev/shm that is mounted nodev forbids to open it); a file of another user than its name says, though its content is somebody's ring.
        mknod(names.of(90_005).as_str(), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3)).unwrap();
        let (by_user, by_root) = (names.of(90_005), names.of(90_006));
        std::fs::write(&by_user, &content).unwrap();
        std::os::unix::fs::chown(&by_user, Some(65_534), None).unwrap();
        reasons.push("owned by user 65534");
        std::fs::write(&by_root, &content).unwrap();
        reasons.push("owned by user 0");
        reasons.len() + 1
    } else {
        let _said = writeln!(std::io::stderr(), "\n!!! NOT TESTED without root: device nodes, foreign owners !!!\n");
        reasons.len()
    };
    let shadow = std::fs::metadata("/etc/shadow").ok().map(|meta| (meta.len(), meta.modified().unwrap()));
    let _daemon = Daemon::start(&ground);
    let seen = ground.see("refusals", |s| s.health.rejected_rings_total == refused as u64);
    assert_eq!(seen.processes.len(), 1);
    let told = lines(&seen);
    if is_root() {
        for reason in &reasons {
            let wanted = reasons.iter().filter(|other| other == &reason).count();
            let found = told.iter().filter(|l| l.starts_with("ring refused: ") && l.contains(reason)).count();
            // The device is one more.
            assert!(found == wanted || *reason == "not a regular file" && found == wanted + 1, "{reason}: {told:#?}");
        }
    }
    // A second name of the honest one's ring, made when it is attached already: it is not attached twice.
    let link = names.of(me);
    std::fs::hard_link(&ring, &link).unwrap();
    honest.alloc(0, Memory::Dram, 2, 6, 0);
    let seen = ground.see("the link refused", |s| s.health.rejected_rings_total == refused as u64 + 1);
    assert_eq!(seen.processes.len(), 1);
    ground.see("the honest one", |s| figures(s, honest.pid(), 0, Memory::Dram).footprint_bytes == 11);
    let after = std::fs::metadata("/etc/shadow").ok().map(|meta| (meta.len(), meta.modified().unwrap()));
    assert_eq!(after, shadow);
    std::fs::remove_dir(directory).unwrap();
}

#[test]
fn ten_thousand_squatters_cost_no_figure_no_memory_and_no_log() {
    if !user_namespaces() {
        return;
    }
    let ground = Ground::new();
    let mut players: Vec<Player> = (0..3).map(|_| Player::start(&ground)).collect();
    players.iter_mut().for_each(|player| player.alloc(0, Memory::Dram, 1 << 40, 7, 0));
    // It scans once a second, so that each is met again and again.
    let daemon = without_inotify(&ground);
    ground.see("the honest", |s| s.health.live_allocations == 3);
    let before = size(&daemon);
    let me = nix::unistd::geteuid().as_raw();
    let mut names = Names { ground: &ground, next: 0 };
    let garbage = vec![0xAB; usize::try_from(ring_bytes(4)).unwrap()];
    let mut directories = Vec::new();
    const ROUNDS: u64 = 20;
    for round in 0..ROUNDS {
        for _ in 0..150 {
            nix::unistd::mkfifo(names.of(me).as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
            symlink("/etc/shadow", names.of(me)).unwrap();
            std::fs::write(names.of(me), "too short").unwrap();
            directories.push(names.of(me));
            std::fs::create_dir(directories.last().unwrap()).unwrap();
        }
        // Ten thousand refused rings: half of them by what is in them.
        for _ in 0..400 {
            std::fs::write(names.of(me), &garbage).unwrap();
        }
        for (n, player) in players.iter_mut().enumerate() {
            player.tell(&format!("burst {} 300 {}", round * 300, n + 1));
            player.tell(&format!("unburst {} 200 {}", round * 300, n + 1));
        }
    }
    let refused = u64::from(names.next);
    assert_eq!(refused, ROUNDS * 1000);
    let seen = ground.see("every refusal", |s| s.health.rejected_rings_total >= refused);
    let exact = |seen: &shm_layout::stats::Snapshot| {
        for (n, player) in players.iter().enumerate() {
            let dram = figures(seen, player.pid(), 0, Memory::Dram);
            let blocks = ROUNDS * 100;
            assert_eq!((dram.footprint_bytes, dram.blocks), (7 + blocks * (n as u64 + 1), blocks + 1));
            assert_eq!(dram.detail_incomplete, 0);
        }
        assert_eq!((seen.health.dropped_events_total, seen.health.anomalies), (0, Default::default()));
    };
    exact(&seen);
    // Several scans later.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let seen = ground.look().unwrap();
    exact(&seen);
    assert_eq!(seen.health.rejected_rings_total, refused, "each once");
    // A look at one that is not ready may have it open for a moment.
    wait("no more open files", || (size(&daemon).1 <= before.1).then_some(())).unwrap();
    let after = size(&daemon);
    assert!(after.0 < before.0 + 12_000, "{} KiB, then {} KiB", before.0, after.0);
    let told = lines(&seen);
    assert_eq!(told.iter().filter(|line| line.contains("is tracked")).count(), 3, "pushed out: {told:?}");
    assert!(told.iter().any(|line| line.contains("counted only")), "{told:?}");
    assert!(daemon.said().lines().count() < 40, "{}", daemon.said());
    // Who comes and who goes now is seen as before.
    let mut late = Player::start(&ground);
    late.alloc(0, Memory::L1, 1, 9, 0);
    players[0].kill();
    let gone = players[0].pid();
    ground.see("both", |s| {
        figures(s, late.pid(), 0, Memory::L1).footprint_bytes == 9 && s.processes.iter().all(|p| p.pid != gone)
    });
    directories.iter().for_each(|directory| std::fs::remove_dir(directory).unwrap());
}

#[test]
fn without_inotify_everything_is_found_by_scanning() {
    if !user_namespaces() {
        return;
    }
    let ground = Ground::new();
    let mut first = Player::start(&ground);
    first.alloc(0, Memory::Dram, 1, 10, 0);
    let daemon = without_inotify(&ground);
    ground.see("who was there", |s| s.health.live_allocations == 1);
    let mut players: Vec<Player> = (0..5).map(|_| Player::start(&ground)).collect();
    players.iter_mut().for_each(|player| player.alloc(0, Memory::Dram, 1, 10, 0));
    ground.see("who came later", |s| s.health.live_allocations == 6);
    players[0].kill();
    ground.see("who died", |s| s.health.live_allocations == 5);
    let said = daemon.said();
    assert_eq!(said.matches("no inotify on /dev/shm").count(), 1, "{said}");
    assert!(said.contains("found by scanning only, once a second"), "{said}");
}

#[test]
fn with_thirty_two_open_files_it_tracks_whom_it_can_and_says_so() {
    let ground = Ground::new();
    let daemon = Daemon::start_after(&ground, "ulimit -n 32;");
    let before = size(&daemon).1;
    let mut players: Vec<Player> = (0..6).map(|_| Player::start(&ground)).collect();
    players.iter_mut().for_each(|player| player.alloc(0, Memory::Dram, 1, 10, 0));
    let seen = ground.see("everybody", |s| s.health.rings + s.health.rejected_rings_total == 6);
    let tracked = seen.health.rings;
    assert!((1..6).contains(&tracked), "{tracked}");
    assert_eq!(seen.health.live_allocations, tracked, "each with its ledger");
    let line = lines(&seen).into_iter().find(|line| line.contains("no room")).unwrap();
    assert!(line.contains("raise the limit on open files (ulimit -n, now 32)"), "{line}");
    // As many as it counts with, and no more by trying again.
    let files = size(&daemon).1;
    assert_eq!(files - before, 3 * tracked as usize);
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(size(&daemon).1, files);
    assert!(files <= 32, "{files}");
    let seen = ground.look().unwrap();
    let mut doomed = players.iter().position(|player| seen.processes.iter().any(|p| p.pid == player.pid()));
    let gone = &mut players[doomed.take().unwrap()];
    gone.kill();
    let pid = gone.pid();
    ground.see("another in its place", |s| s.health.rings == tracked && s.processes.iter().all(|p| p.pid != pid));
}
