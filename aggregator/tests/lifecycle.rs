//! Start, death, restart and flood, with real processes and real segments.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Memory, flags};
use shm_layout::ring::ring_bytes;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use support::daemon::{Daemon, command, refused};
use support::{Ground, Player, figures, lines, play_if_asked, wait};

#[test]
fn player() {
    play_if_asked();
}

#[test]
fn what_is_allocated_is_shown_and_what_is_freed_is_gone() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 1000, 2048);
    player.alloc(0, Memory::L1, 1, 500, 0);
    player.alloc(1, Memory::Dram, 1, 7, 64);
    let seen = ground.see("three allocations", |s| s.health.live_allocations == 3);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((dram.live_bytes, dram.footprint_bytes, dram.blocks), (1000, 2048, 1));
    assert_eq!(figures(&seen, player.pid(), 0, Memory::L1).footprint_bytes, 500);
    assert_eq!(figures(&seen, player.pid(), 1, Memory::Dram).footprint_bytes, 64);
    player.free(0, Memory::Dram, 1, 0, 0);
    let seen = ground.see("one less", |s| s.health.live_allocations == 2);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.blocks, dram.peak_footprint_bytes), (0, 0, 2048));
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total), (2048, 2048));
    player.close();
    ground.see("the end of the process", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn a_killed_process_takes_everything_with_it_and_the_line_says_what() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let (mut doomed, mut other) = (Player::start(&ground), Player::start(&ground));
    for id in 0..5 {
        doomed.alloc(0, Memory::Dram, id, 3 << 20, 0);
    }
    for id in 0..8 {
        doomed.tell(&format!("event 1 5 0 {id} 0 {} 0 9 0", 300 << 10));
    }
    for id in 0..4 {
        doomed.tell(&format!("event 1 6 0 {id} 0 {} 0 0 {}", 51 << 10, flags::DISPATCH));
    }
    other.alloc(0, Memory::Dram, 1, 4096, 0);
    ground.see("both", |s| s.health.live_allocations == 18);
    let pid = doomed.pid();
    doomed.kill();
    let seen = ground.see("only the other", |s| s.processes.len() == 1);
    assert_eq!(seen.health.deaths_total, 1);
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, 4096, "the other's is untouched");
    assert_eq!(seen.chips[0].memory[Memory::Cb as usize].footprint_bytes, 0);
    assert_eq!(seen.chips[0].memory[Memory::Kernel as usize].footprint_bytes, 0);
    let line = lines(&seen).into_iter().find(|line| line.contains("died")).unwrap();
    assert!(line.starts_with(&format!("PID {pid} (")), "{line}");
    let (what, command) = line.split_once("; command: ").expect("which script it was");
    assert!(what.ends_with("removed 5 buffers (15.0 MiB), 8 CBs (2.34 MiB), 4 kernels (204 KiB)"), "{line}");
    assert!(command.contains("lifecycle") && command.contains("--exact player"), "{line}");
    other.close();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn a_late_aggregator_sees_everything() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    player.tell("burst 0 1000 64");
    player.tell("unburst 0 400 64");
    let _aggregator = ground.aggregator();
    let seen = ground.see("the rest", |s| s.health.live_allocations == 600);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).footprint_bytes, 600 * 64);
}

#[test]
fn a_clean_run_without_an_aggregator_leaves_nothing() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    player.tell("burst 0 10 64");
    assert_eq!(ground.files().len(), 1);
    player.close();
    ground.must_be_clean();
}

#[test]
fn a_dead_ring_is_removed_by_the_next_producer_of_its_user() {
    let ground = Ground::new();
    let mut first = Player::start(&ground);
    first.tell("burst 0 10 64");
    let ring = first.tell("ring");
    first.kill();
    assert_eq!(ground.files(), std::slice::from_ref(&ring));
    let mut next = Player::start(&ground);
    next.tell("burst 0 10 64");
    assert!(!ground.files().contains(&ring));
    next.close();
    ground.must_be_clean();
}

#[test]
fn a_successor_continues_where_the_aggregator_ended() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    let aggregator = ground.aggregator();
    player.tell("burst 0 3000 64");
    ground.see("the first part", |s| s.health.live_allocations == 3000);
    drop(aggregator);
    player.tell("unburst 0 1000 64");
    player.tell("burst 5000 10 64");
    let _aggregator = ground.aggregator();
    let seen = ground.see("both parts", |s| s.health.live_allocations == 2010);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!(dram.footprint_bytes, 2010 * 64);
    assert_eq!(dram.allocated_bytes_total, 3010 * 64);
    assert_eq!(dram.freed_bytes_total, 1000 * 64);
    assert_eq!(dram.peak_footprint_bytes, 3000 * 64);
    assert_eq!(seen.health.anomalies, Default::default());
}

#[test]
fn an_aggregator_killed_at_any_moment_is_continued_exactly() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    player.tell("burst 0 1 64");
    for round in 0..12_u64 {
        let mut victim = Command::new(env!("CARGO_BIN_EXE_aggregator"))
            .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(victim.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("aggregator runs") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the aggregator ended");
        }
        let first = 10 + round * 2000;
        player.tell(&format!("burst {first} 2000 64"));
        player.tell(&format!("unburst {first} 1000 64"));
        // Some die in the middle of a batch, some when all is done.
        std::thread::sleep(std::time::Duration::from_micros(round * 300));
        victim.kill().unwrap();
        victim.wait().unwrap();
    }
    let _aggregator = ground.aggregator();
    let live = 1 + 12 * 1000;
    let seen = ground.see("the truth", |s| s.health.live_allocations == live && s.health.lag_events == 0);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.blocks), (live * 64, live));
    assert_eq!(dram.allocated_bytes_total, (1 + 12 * 2000) * 64);
    assert_eq!(dram.freed_bytes_total, 12 * 1000 * 64);
    assert_eq!(seen.health.anomalies, Default::default());
    assert_eq!(dram.detail_incomplete, 0);
}

#[test]
fn a_full_ring_drops_detail_and_never_totals() {
    let ground = Ground::new();
    let small = [("TT_ALLOC_RING_BYTES", "4096"), ("TT_ALLOC_RING_MAX_BYTES", "4096")];
    let mut player = Player::start_with(&ground, &small);
    player.tell("burst 0 1000 64");
    player.tell("unburst 0 10 64");
    let _aggregator = ground.aggregator();
    let seen = ground.see("the flood", |s| s.health.dropped_events_total > 0 && s.health.lag_events == 0);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!(seen.health.dropped_events_total, 1010 - 64);
    assert_eq!((dram.footprint_bytes, dram.blocks), (990 * 64, 990));
    assert_eq!(dram.detail_incomplete, 1, "and it says so");
    // What was dropped on the way in is freed by its size; what was listed, by the ledger's.
    player.tell("unburst 900 50 64");
    player.tell("unburst 20 5 64");
    let seen = ground.see("fewer", |s| figures(s, player.pid(), 0, Memory::Dram).blocks == 935);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).footprint_bytes, 935 * 64);
    let pid = player.pid();
    player.kill();
    let seen = ground.see("nothing", |s| s.processes.is_empty());
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, 0);
    assert_eq!(figures(&seen, pid, 0, Memory::Dram).blocks, 0);
}

#[test]
fn slots_that_were_read_are_written_again_lap_after_lap() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "4096")]);
    for lap in 0..20 {
        player.tell(&format!("burst {} 40 64", lap * 40));
        ground.see("the burst", |s| s.health.events_total == (lap + 1) * 40);
    }
    let seen = ground.look().unwrap();
    assert_eq!((seen.health.dropped_events_total, seen.health.live_allocations), (0, 800));
}

#[test]
fn many_threads_of_one_process() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.tell("threads 16 1000 32");
    let seen = ground.see("all of it", |s| s.health.events_total == 16 * 1500);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::L1).footprint_bytes, 16 * 500 * 32);
    assert_eq!(seen.health.anomalies, Default::default());
}

#[test]
fn a_forked_child_has_a_ring_of_its_own() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 100, 0);
    let child: u32 = player.tell("fork 50").parse().unwrap();
    player.alloc(0, Memory::Dram, 2, 100, 0);
    let seen = ground.see("parent and child", |s| s.processes.len() == 2 && s.health.live_allocations == 3);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).footprint_bytes, 200);
    assert_eq!(figures(&seen, child, 0, Memory::Dram).footprint_bytes, 50);
    // The parent's death is seen although the child, which shares its mapping and its descriptor, lives on.
    player.kill();
    let seen = ground.see("the child alone", |s| s.processes.len() == 1);
    assert_eq!(seen.processes[0].pid, child);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    ground.see("nobody", |s| s.processes.is_empty());
}

#[test]
fn a_second_aggregator_is_refused_and_names_the_first() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let said = refused(command(&ground, &[]));
    assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
}

#[test]
fn a_ring_that_shrinks_costs_only_itself() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let (mut liar, mut honest) = (Player::start(&ground), Player::start(&ground));
    liar.alloc(0, Memory::Dram, 1, 100, 0);
    honest.alloc(0, Memory::Dram, 1, 77, 0);
    ground.see("both", |s| s.health.live_allocations == 2);
    let ring = std::fs::OpenOptions::new().write(true).open(format!("/dev/shm/{}", liar.tell("ring"))).unwrap();
    ring.set_len(4096).unwrap();
    let seen = ground.see("the liar detached", |s| s.processes.len() == 1);
    assert_eq!(seen.processes[0].pid, honest.pid());
    assert_eq!(seen.health.rejected_rings_total, 1);
    honest.alloc(0, Memory::Dram, 2, 23, 0);
    ground.see("the honest one goes on", |s| figures(s, honest.pid(), 0, Memory::Dram).footprint_bytes == 100);
}

#[test]
fn what_only_looks_like_a_ring_is_refused() {
    let ground = Ground::new();
    let me = nix::unistd::geteuid().as_raw();
    let path = |pid: u32| format!("/dev/shm/{}.ring.{me}.{pid}.{:016x}", ground.prefix, 7);
    let bytes = usize::try_from(ring_bytes(64)).unwrap();
    std::fs::write(path(1), vec![0xAB; bytes]).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", path(2)).unwrap();
    std::fs::create_dir(path(3)).unwrap();
    nix::unistd::mkfifo(path(4).as_str(), nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
    let _aggregator = ground.aggregator();
    let seen = ground.see("four refusals", |s| s.health.rejected_rings_total == 4);
    let lines = lines(&seen);
    assert_eq!(lines.iter().filter(|line| line.starts_with("ring refused: ")).count(), 4, "{lines:?}");
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 5, 0);
    ground.see("a real one beside them", |s| s.health.live_allocations == 1);
    std::fs::remove_dir(path(3)).unwrap();
}

#[test]
fn a_stopped_process_is_not_dead() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 5, 0);
    let pid = nix::unistd::Pid::from_raw(player.pid() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    // Several sweeps long.
    std::thread::sleep(std::time::Duration::from_millis(800));
    assert_eq!(ground.look().unwrap().processes.len(), 1);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    player.alloc(0, Memory::Dram, 2, 5, 0);
    ground.see("it goes on", |s| s.health.live_allocations == 2);
}

#[test]
fn off_means_no_file() {
    let ground = Ground::new();
    for value in ["0", "", "no", "OFF"] {
        let mut player = Player::start_with(&ground, &[("TT_ALLOC_TRACKING_ENABLED", value)]);
        player.tell("burst 0 10 64");
        assert_eq!(player.tell("ring"), "none", "{value:?}");
        assert!(ground.files().is_empty());
    }
}

#[test]
fn the_aggregator_ends_cleanly_on_sigterm() {
    let ground = Ground::new();
    Daemon::start(&ground).end();
    ground.must_be_clean();
}

#[test]
fn a_limit_on_file_sizes_costs_the_tracking_not_the_process() {
    let ground = Ground::new();
    let test = std::env::current_exe().unwrap();
    let script =
        "ulimit -f 100; printf 'burst 0 10 64\nring\nclose\n' | \"$0\" --exact player --nocapture --test-threads=1";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(test)
        .env("TEST_PLAYER", "1")
        .env("TT_ALLOC_TRACKING_ENABLED", "1")
        .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let (said, warned) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("ok none"), "{said}");
    assert_eq!(warned.lines().filter(|line| line.starts_with("tt-alloc: ")).count(), 1, "one line: {warned}");
    assert!(warned.contains("ulimit -f"), "{warned}");
    assert!(ground.files().is_empty());
}

#[test]
fn a_log_that_nobody_reads_does_not_end_the_aggregator() {
    let ground = Ground::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_aggregator"))
        .env("TT_ALLOC_PREFIX", ground.prefix.to_string())
        .stderr(full)
        .spawn()
        .unwrap();
    wait("its segment", || ground.look()).unwrap();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 5, 0);
    ground.see("the event", |s| s.health.live_allocations == 1 && !s.lines.is_empty());
    let pid = nix::unistd::Pid::from_raw(daemon.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn an_unfinished_ledger_is_begun_anew() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 5, 0);
    let ledger = format!("/dev/shm/{}", player.tell("ring").replace(".ring.", ".ledger."));
    // An aggregator was killed between making the file and reserving its blocks.
    std::fs::File::create(&ledger).unwrap().set_len(102_400).unwrap();
    let aggregator = ground.aggregator();
    ground.see("the allocation", |s| s.health.live_allocations == 1);
    drop(aggregator);
    let _aggregator = ground.aggregator();
    let seen = ground.see("it again", |s| s.health.live_allocations == 1);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).detail_incomplete, 0);
}
