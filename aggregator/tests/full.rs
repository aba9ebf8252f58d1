//! /dev/shm without room, at every moment at which somebody might want some. Each test runs in a mount namespace of its own
//! with a small one.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory;
use shm_layout::segment;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use support::daemon::Daemon;
use support::small_shm::{Filler, in_small_shm};
use support::{Ground, Player, figures, lines, play_if_asked};

#[test]
fn player() {
    play_if_asked();
}

/// What a tracked program says and how it ends.
fn run_player(ground: &Ground, tracked: &str) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "player", "--nocapture", "--test-threads=1"])
        .env("TEST_PLAYER", "1")
        .env("TT_ALLOC_TRACKING_ENABLED", tracked)
        .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"burst 0 1000 64\nunburst 0 500 64\nring\nclose\n").unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_program_that_starts_when_it_is_full_runs_on_and_says_one_line() {
    if !in_small_shm("a_program_that_starts_when_it_is_full_runs_on_and_says_one_line", 8) {
        return;
    }
    let ground = Ground::new();
    let _full = Filler::but(0);
    let (tracked, untracked) = (run_player(&ground, "1"), run_player(&ground, "0"));
    assert_eq!(tracked.status.code(), untracked.status.code());
    assert_eq!(String::from_utf8_lossy(&tracked.stdout), String::from_utf8_lossy(&untracked.stdout));
    assert_eq!(untracked.stderr, b"");
    let warned = String::from_utf8_lossy(&tracked.stderr);
    assert_eq!(warned.lines().count(), 1, "{warned}");
    for word in ["tt-alloc: tracking is off in this process", "/dev/shm", "--shm-size", "TT_ALLOC_RING_BYTES"] {
        assert!(warned.contains(word), "{word}: {warned}");
    }
    assert_eq!(ground.files(), Vec::<String>::new());
}

#[test]
fn what_fills_it_later_changes_nothing_and_a_sparse_ring_harms_nobody() {
    if !in_small_shm("what_fills_it_later_changes_nothing_and_a_sparse_ring_harms_nobody", 32) {
        return;
    }
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::small(&ground);
    player.alloc(0, Memory::Dram, 1_000_000, 5, 0);
    ground.see("the first", |s| s.health.live_allocations == 1);
    // A ring whose blocks were never reserved: to read it where there is no room is SIGBUS.
    let ring = player.tell("ring");
    let sparse = format!("/dev/shm/{}", ring.replace(&format!(".{}.", player.pid()), ".1."));
    std::fs::File::create(&sparse).unwrap().set_len(1 << 20).unwrap();
    let _full = Filler::but(0);
    // Every slot of the ring, several laps, pages that were not touched before among them.
    for lap in 0..10 {
        player.tell(&format!("burst {} 400 64", lap * 400));
        ground.see("a lap", |s| s.health.live_allocations == 401);
        player.tell(&format!("unburst {} 400 64", lap * 400));
        ground.see("its end", |s| s.health.live_allocations == 1);
    }
    let seen = ground.see("the sparse one refused", |s| s.health.rejected_rings_total == 1);
    assert!(lines(&seen).iter().any(|line| line.contains("blocks are not reserved")), "{:?}", lines(&seen));
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.blocks, dram.detail_incomplete), (5, 1, 0));
    assert_eq!((seen.health.dropped_events_total, seen.health.events_total), (0, 8001));
    player.close();
    ground.see("the end", |s| s.processes.is_empty());
    drop(aggregator);
    std::fs::remove_file(sparse).unwrap();
    ground.must_be_clean();
}

#[test]
fn an_aggregator_that_finds_it_full_says_so_and_leaves_nothing() {
    if !in_small_shm("an_aggregator_that_finds_it_full_says_so_and_leaves_nothing", 16) {
        return;
    }
    let ground = Ground::new();
    let full = Filler::but(64);
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aggregator"));
        command.arg("--once").env("TT_ALLOC_PREFIX", ground.prefix.to_string()).output().unwrap()
    };
    let output = run();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in ["aggregator: the stats segment", "/dev/shm has no room", "remove files", "--shm-size"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(output.stdout.is_empty());
    assert_eq!(ground.files(), Vec::<String>::new());
    drop(full);
    assert!(run().status.success());
}

#[test]
fn a_ledger_that_cannot_grow_costs_detail_and_comes_back() {
    if !in_small_shm("a_ledger_that_cannot_grow_costs_detail_and_comes_back", 32) {
        return;
    }
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "1048576")]);
    player.tell("burst 0 100 64");
    ground.see("the first", |s| s.health.live_allocations == 100);
    let full = Filler::but(0);
    player.tell("burst 100 1900 64");
    let dram = |s: &_, pid| figures(s, pid, 0, Memory::Dram);
    let pid = player.pid();
    let seen = ground.see("all of them", |s| dram(s, pid).blocks == 2000);
    assert_eq!((dram(&seen, pid).footprint_bytes, dram(&seen, pid).detail_incomplete), (2000 * 64, 1));
    assert_eq!(seen.health.dropped_events_total, 0);
    let told = |s: &_, what: &str| lines(s).iter().filter(|line| line.contains(what)).count();
    let seen = ground.see("a line", |s| told(s, "and no more") > 0);
    assert_eq!(told(&seen, "and no more"), 1, "once: {:?}", lines(&seen));
    let line = lines(&seen).into_iter().find(|line| line.contains("and no more")).unwrap();
    assert!(line.starts_with(&format!("PID {pid} (")) && line.contains("lists 512 allocations"), "{line}");
    assert!(line.contains("/dev/shm"), "{line}");
    // Listed and unlisted ones end.
    player.tell("unburst 0 1500 64");
    let seen = ground.see("the rest", |s| dram(s, pid).blocks == 500);
    assert_eq!(dram(&seen, pid).footprint_bytes, 500 * 64);
    drop(full);
    std::thread::sleep(std::time::Duration::from_millis(200));
    player.tell("burst 2000 1000 64");
    let seen = ground.see("new ones", |s| dram(s, pid).blocks == 1500);
    assert_eq!(dram(&seen, pid).footprint_bytes, 1500 * 64);
    assert_eq!(seen.health.live_allocations, 1000, "what comes now is listed");
    ground.see("a line", |s| told(s, "lists new allocations again") == 1);
    player.tell("unburst 1500 1500 64");
    let seen = ground.see("nothing", |s| dram(s, pid).blocks == 0);
    assert_eq!(dram(&seen, pid).footprint_bytes, 0);
    assert_eq!(seen.health.anomalies, Default::default());
    player.close();
    ground.see("the end", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn without_room_for_a_ledger_a_process_is_tracked_by_its_totals() {
    if !in_small_shm("without_room_for_a_ledger_a_process_is_tracked_by_its_totals", 32) {
        return;
    }
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    // Room for a small ring and no ledger.
    let _full = Filler::but(64);
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "4096")]);
    for id in 0..40 {
        player.alloc(0, Memory::Dram, id, 100, 0);
    }
    for id in 0..10 {
        player.free(0, Memory::Dram, id, 100, 0);
    }
    let seen = ground.see("what is left", |s| s.health.events_total == 50);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.blocks, dram.detail_incomplete), (3000, 30, 1));
    let line = lines(&seen).into_iter().find(|line| line.contains("has no ledger")).unwrap();
    assert!(line.contains("single allocations are not listed") && line.contains("/dev/shm"), "{line}");
}

#[test]
fn a_stats_segment_that_is_lost_when_it_is_full_is_made_when_there_is_room() {
    if !in_small_shm("a_stats_segment_that_is_lost_when_it_is_full_is_made_when_there_is_room", 32) {
        return;
    }
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let mut player = Player::small(&ground);
    player.alloc(0, Memory::Dram, 1, 10, 0);
    ground.see("the first", |s| s.health.live_allocations == 1);
    let path = format!("/dev/shm/{}", ground.prefix.stats());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    let full = Filler::but(0);
    player.alloc(0, Memory::Dram, 2, 20, 0);
    // It publishes once a second, and makes the segment again as often, if it can.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    daemon.must_live();
    assert!(ground.look().is_none());
    drop(full);
    let seen = ground.see("the segment", |s| s.health.live_allocations == 2);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).footprint_bytes, 30);
    daemon.kill();
}

static TICKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn tick(_signal: libc::c_int) {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_timer_signal_every_millisecond_does_not_stop_a_segment_from_being_made() {
    if !in_small_shm("a_timer_signal_every_millisecond_does_not_stop_a_segment_from_being_made", 512) {
        return;
    }
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    // Without SA_RESTART, and to this thread: a profiler's worst.
    let action = SigAction::new(SigHandler::Handler(tick), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler adds to an atomic and does nothing else.
    unsafe { sigaction(Signal::SIGALRM, &action).unwrap() };
    // SAFETY: it has no arguments and cannot fail.
    let me = unsafe { libc::pthread_self() };
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let timer = std::thread::spawn(move || {
        while ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            // SAFETY: that thread waits for this one's end.
            unsafe { libc::pthread_kill(me, libc::SIGALRM) };
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    // Far more than a millisecond's work, so that it is interrupted for certain. `timeout` ends what never ends.
    let bytes = 256 << 20;
    let created = segment::create("timer", bytes).unwrap();
    done.send(()).unwrap();
    timer.join().unwrap();
    assert!(TICKS.load(Ordering::Relaxed) > 0, "there was no signal");
    assert_eq!(std::fs::metadata("/dev/shm/timer").unwrap().len(), bytes as u64);
    created.remove();
}
