//! Aggregators that are stopped, ended while they are busy, started several at once and in place of one that is being killed: there
//! is one at most, and it is right.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use nix::sys::signal::Signal;
use shm_layout::event::Memory;
use std::time::{Duration, Instant};
use support::daemon::Daemon;
use support::published::publisher;
use support::{Ground, PATIENCE, Player, play_if_asked, wait};

const DRAM: usize = Memory::Dram as usize;

#[test]
fn player() {
    play_if_asked();
}

#[test]
fn sigterm_while_busy_and_twice() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    let mut id = 0;
    for _ in 0..5 {
        let mut daemon = Daemon::start(&ground);
        player.tell(&format!("burst {id} 5000 64"));
        id += 5000;
        daemon.signal(Signal::SIGTERM);
        daemon.signal(Signal::SIGTERM);
        player.tell(&format!("unburst {} 4000 64", id - 5000));
        let (code, said) = daemon.ended();
        assert_eq!(code, Some(0), "{said}");
    }
    let _last = Daemon::start(&ground);
    let seen = ground.see("the truth", |s| s.health.live_allocations == 5000 && s.health.lag_events == 0);
    let dram = seen.chips[0].memory[DRAM];
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total), (25_000 * 64, 20_000 * 64));
}

#[test]
fn stopped_for_ten_seconds_and_woken_it_is_right_again() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut player = Player::start(&ground);
    player.tell("burst 0 100 64");
    ground.see("the first", |s| s.health.live_allocations == 100);
    daemon.stop();
    let mut other = Player::start(&ground);
    other.tell("burst 0 100 64");
    player.tell("unburst 0 50 64");
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(ground.look().unwrap().health.live_allocations, 100, "it was stopped");
    player.kill();
    daemon.go_on();
    let seen = ground
        .see("the truth", |s| s.health.deaths_total == 1 && s.processes.len() == 1 && s.health.live_allocations == 100);
    assert_eq!(seen.processes[0].pid, other.pid());
    let dram = seen.chips[0].memory[DRAM];
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total), (200 * 64, 100 * 64));
    daemon.end_after(&ground, [other]);
}

#[test]
fn of_several_started_at_once_one_stays_and_the_others_name_it() {
    let ground = Ground::new();
    for _ in 0..5 {
        let mut all: Vec<Daemon> = (0..4).map(|_| Daemon::spawn(&ground)).collect();
        wait("one that publishes", || publisher(&ground)).unwrap();
        let running = wait("the others' end", || {
            let alive: Vec<u32> = all.iter_mut().filter_map(|d| d.lives().then(|| d.pid())).collect();
            (alive.len() <= 1).then_some(alive)
        })
        .unwrap();
        let [winner] = running[..] else { panic!("none is left") };
        for mut daemon in all {
            if daemon.pid() == winner {
                daemon.end();
            } else {
                let (code, said) = daemon.ended();
                assert_eq!(code, Some(1));
                assert!(said.contains(&format!("an aggregator runs already: process {winner} ")), "{said}");
            }
        }
    }
    ground.must_be_clean();
}

#[test]
fn started_while_the_old_one_is_being_killed() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    let mut old = Daemon::start(&ground);
    for round in 0..20 {
        player.tell(&format!("burst {} 100 64", round * 100));
        let pid = old.pid();
        old.signal(Signal::SIGKILL);
        // Not waited for: it may still be about to die.
        let deadline = Instant::now() + PATIENCE;
        let new = loop {
            let mut new = Daemon::spawn(&ground);
            let taken = wait("its word", || {
                let lives = new.lives();
                (!lives || publisher(&ground) == Some(new.pid())).then_some(lives)
            });
            if taken.unwrap() {
                break new;
            }
            let (code, said) = new.ended();
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains(&format!("process {pid} ")), "{said}");
            assert!(Instant::now() < deadline);
        };
        assert_eq!(old.ended().0, None, "killed");
        old = new;
    }
    let seen = ground.see("the truth", |s| s.health.live_allocations == 2000 && s.health.lag_events == 0);
    assert_eq!(seen.chips[0].memory[DRAM].allocated_bytes_total, 2000 * 64);
}
