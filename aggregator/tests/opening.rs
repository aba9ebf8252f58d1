//! Baselines that set themselves when a device has been opened (`--auto-baseline`).
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use aggregator::daemon::Options;
use aggregator::embedded::Embedded;
use aggregator::telemetry::Root;
use shm_layout::control::{answer_of, socket_name};
use shm_layout::event::{Kind, Memory, flags};
use shm_layout::stats::Snapshot;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;
use support::daemon::Daemon;
use support::{Ground, Player, figures, play_if_asked};

#[test]
fn player() {
    play_if_asked();
}

fn automatic(ground: &Ground) -> Embedded {
    let options = Options { root: Root::at("/nonexistent"), auto_baseline: true };
    aggregator::embedded::start_with(&ground.prefix, options).unwrap()
}

fn ask(ground: &Ground, line: &str) {
    let address = SocketAddr::from_abstract_name(socket_name(&ground.prefix)).unwrap();
    let mut stream = UnixStream::connect_addr(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer_of(&answer).unwrap().is_ok(), "{line}: {answer}");
}

fn open(player: &mut Player, device: u32, chip: u64) {
    player.tell(&format!("event {} 0 {device} {chip} 0 140 0 3 0", Kind::DeviceInfo as u8));
}

fn close(player: &mut Player, device: u32) {
    player.tell(&format!("event {} 0 {device} 0 0 0 0 0 0", Kind::DeviceClose as u8));
}

/// As the hooks tell what is allocated while fabric and command queues are configured.
fn system(player: &mut Player, device: u32, memory: Memory, id: u64, size: u64) {
    let (kind, memory, flags) = (Kind::Alloc as u8, memory as u8, flags::SYSTEM);
    player.tell(&format!("event {kind} {memory} {device} {id} {id} {size} 0 0 {flags}"));
}

/// The baseline, what has come since, and whether it set itself.
type Compared = (Option<u64>, Option<i64>, bool);

fn of(seen: &Snapshot, pid: u32, device: u32, memory: Memory) -> Compared {
    let figures = figures(seen, pid, device, memory);
    (figures.baseline_bytes(), figures.since_baseline_bytes(), figures.is_baseline_automatic())
}

fn dram_of_chip(seen: &Snapshot, chip: usize) -> Compared {
    let figures = &seen.chips[chip].memory[Memory::Dram as usize];
    (figures.baseline_bytes(), figures.since_baseline_bytes(), figures.is_baseline_automatic())
}

const NONE: Compared = (None, None, false);

fn set(bytes: u64, since: i64) -> Compared {
    (Some(bytes), Some(since), true)
}

#[test]
fn an_opening_ends_with_the_application_s_first_allocation() {
    let ground = Ground::new();
    let mut aggregator = Daemon::start_with(&ground, &["--auto-baseline"]);
    let (mut one, mut other) = (Player::start(&ground), Player::start(&ground));
    for player in [&mut one, &mut other] {
        open(player, 0, 0x7000);
        open(player, 1, 0x7001);
        system(player, 0, Memory::Dram, 1, 14_000);
    }
    let (first, second) = (one.pid(), other.pid());
    // Nobody has allocated yet: what is there is the system's so far, and goes on being so.
    ground.see("the first part", |s| {
        [first, second].into_iter().all(|pid| of(s, pid, 0, Memory::Dram) == set(14_000, 0))
    });
    system(&mut one, 0, Memory::Dram, 2, 200);
    system(&mut one, 0, Memory::Kernel, 3, 208);
    ground.see("the rest", |s| of(s, first, 0, Memory::Dram) == set(14_200, 0));
    one.alloc(0, Memory::Dram, 4, 4_300, 0);
    one.alloc(0, Memory::L1, 5, 77, 0);
    // Over is over, whoever allocates; of the other device it is not.
    system(&mut one, 0, Memory::Dram, 6, 10);
    system(&mut one, 1, Memory::Dram, 7, 900);
    let check = |seen: &Snapshot| {
        assert_eq!(of(seen, first, 0, Memory::Dram), set(14_200, 4_310));
        assert_eq!(of(seen, first, 0, Memory::Kernel), set(208, 0));
        assert_eq!(of(seen, first, 0, Memory::L1), NONE, "nothing of the system: all is the application's");
        assert_eq!(dram_of_chip(seen, 0), set(28_200, 4_310), "the sum of both");
    };
    let there =
        |s: &Snapshot| of(s, first, 1, Memory::Dram) == set(900, 0) && figures(s, first, 0, Memory::Dram).blocks == 4;
    check(&ground.see("both devices", there));
    aggregator.kill();
    // Whose baselines they are: they are in the accounts, whoever looks on.
    let mut aggregator = Daemon::start(&ground);
    check(&ground.see("all again", there));
    aggregator.kill();
    let aggregator = automatic(&ground);
    check(&ground.see("once more", there));
    // The opening of its second device goes on where the first aggregator was killed.
    system(&mut one, 1, Memory::Dram, 8, 100);
    ground.see("still the system's", |s| of(s, first, 1, Memory::Dram) == set(1_000, 0));
    one.alloc(1, Memory::Dram, 9, 1, 0);
    ground.see("no more", |s| of(s, first, 1, Memory::Dram) == set(1_000, 1));
    // Another opening is another baseline.
    close(&mut one, 0);
    ground.see("none", |s| of(s, first, 0, Memory::Dram) == NONE);
    open(&mut one, 0, 0x7000);
    system(&mut one, 0, Memory::Dram, 20, 50);
    one.alloc(0, Memory::Dram, 21, 5, 0);
    ground.see("the next", |s| of(s, first, 0, Memory::Dram) == set(50, 5));
    one.kill();
    other.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn what_somebody_has_set_or_cleared_stays() {
    let ground = Ground::new();
    let aggregator = automatic(&ground);
    let mut player = Player::start(&ground);
    let pid = player.pid();
    for device in 0..3 {
        open(&mut player, device, 0x7000 + u64::from(device));
        system(&mut player, device, Memory::Dram, u64::from(device), 1_000);
    }
    ground.see("all", |s| (0..3).all(|device| of(s, pid, device, Memory::Dram) == set(1_000, 0)));
    ask(&ground, "baseline-set chip=0x7000");
    ask(&ground, "baseline-clear chip=0x7001");
    for device in 0..3 {
        system(&mut player, device, Memory::Dram, 10 + u64::from(device), 100);
        player.alloc(device, Memory::Dram, 20 + u64::from(device), 7, 0);
    }
    ground.see("the allocations", |s| {
        (0..3).all(|device| figures(s, pid, device, Memory::Dram).blocks == 3)
            && of(s, pid, 2, Memory::Dram) == set(1_100, 7)
            && of(s, pid, 1, Memory::Dram) == NONE
            && of(s, pid, 0, Memory::Dram) == (Some(1_000), Some(107), false)
    });
    // A chip's is somebody's as soon as one of its processes' is.
    ask(&ground, "baseline-set chip=0x7002");
    let seen = ground.see("by hand", |s| of(s, pid, 2, Memory::Dram) == (Some(1_107), Some(0), false));
    assert_eq!(dram_of_chip(&seen, 2), (Some(1_107), Some(0), false));
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn one_that_comes_late_finds_the_same() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    let pid = player.pid();
    open(&mut player, 0, 0x7000);
    system(&mut player, 0, Memory::Dram, 1, 14_000);
    player.alloc(0, Memory::Dram, 2, 500, 0);
    player.alloc(0, Memory::Dram, 3, 600, 0);
    player.free(0, Memory::Dram, 2, 0, 0);
    // Nobody introduces this one, and nobody was there when it was opened: it is not known what the system's is.
    player.alloc(5, Memory::Dram, 4, 9_999, 0);
    let aggregator = automatic(&ground);
    let seen = ground.see("it", |s| of(s, pid, 0, Memory::Dram) == set(14_000, 600));
    assert_eq!(of(&seen, pid, 5, Memory::Dram), NONE);
    player.alloc(5, Memory::Dram, 5, 1, 0);
    ground.see("the last", |s| figures(s, pid, 5, Memory::Dram).blocks == 2);
    // One who comes after it, and comes to rest after it: whose opening was seen.
    let mut next = Player::start(&ground);
    next.alloc(5, Memory::Dram, 1, 77, 0);
    let seen = ground.see("the next one's rest", |s| of(s, next.pid(), 5, Memory::Dram) == set(77, 0));
    assert_eq!(of(&seen, pid, 5, Memory::Dram), NONE);
    next.kill();
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn of_a_device_that_nobody_introduces_it_is_the_first_rest() {
    let ground = Ground::new();
    let aggregator = automatic(&ground);
    let mut player = Player::start(&ground);
    let pid = player.pid();
    player.alloc(0, Memory::Dram, 1, 14_000, 0);
    ground.see("its rest", |s| of(s, pid, 0, Memory::Dram) == set(14_000, 0));
    player.alloc(0, Memory::Dram, 2, 4_300, 0);
    player.alloc(0, Memory::L1, 3, 22, 0);
    ground.see("more", |s| of(s, pid, 0, Memory::Dram) == set(14_000, 4_300) && of(s, pid, 0, Memory::L1) == NONE);
    // Another device is opened later.
    player.alloc(1, Memory::Dram, 4, 15_000, 0);
    ground.see("the other's", |s| of(s, pid, 1, Memory::Dram) == set(15_000, 0));
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn nobody_asked_nothing_is_set() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    let pid = player.pid();
    open(&mut player, 0, 0x7000);
    system(&mut player, 0, Memory::Dram, 1, 14_000);
    player.alloc(0, Memory::Dram, 2, 500, 0);
    player.alloc(1, Memory::Dram, 3, 500, 0);
    let seen = ground.see("all", |s| s.health.live_allocations == 3);
    assert_eq!((of(&seen, pid, 0, Memory::Dram), of(&seen, pid, 1, Memory::Dram)), (NONE, NONE));
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}
