//! A random walk of processes that allocate, free, fork and die while the aggregator is killed and ended again and again.
//! TT_ALLOC_SEED repeats one; TT_ALLOC_ROUNDS is how many aggregators there are.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shm_layout::event::Memory;
use shm_layout::segment::{self, Access, Expect};
use shm_layout::stats::{Anomalies, Snapshot};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use support::daemon::Daemon;
use support::dice::Dice;
use support::past::must_not_shrink;
use support::published::history;
use support::{Ground, Player, figures, play_if_asked, wait};

const DRAM: usize = Memory::Dram as usize;

#[test]
fn player() {
    play_if_asked();
}

/// What the producers of one chip are known to have done.
#[derive(Default)]
struct Truth {
    allocated: u64,
    freed: u64,
    events: u64,
    deaths: u64,
}

#[test]
fn killed_again_and_again_under_load_it_never_loses_count() {
    let seed = std::env::var("TT_ALLOC_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let rounds = std::env::var("TT_ALLOC_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    eprintln!("TT_ALLOC_SEED={seed} TT_ALLOC_ROUNDS={rounds}");
    let mut dice = Dice(seed);
    let ground = Ground::new();
    let mut truth = Truth::default();
    // By player: first id and number of blocks of 64 bytes that it holds.
    let mut players: Vec<(Player, Vec<(u64, u64)>)> = (0..3).map(|_| (Player::start(&ground), Vec::new())).collect();
    let mut next_id = 1;
    let mut shown: Option<Snapshot> = None;
    let mut samples: Vec<u64> = Vec::new();
    // Whoever has not written anything has no ring, and is not seen to die.
    for (player, held) in &mut players {
        player.alloc(0, Memory::Dram, next_id, 64, 0);
        held.push((next_id, 1));
        (next_id, truth.events, truth.allocated) = (next_id + 1, truth.events + 1, truth.allocated + 64);
    }
    for _ in 0..rounds {
        let mut daemon = Daemon::start(&ground);
        let until = Instant::now() + Duration::from_millis(20 + dice.roll(180));
        while Instant::now() < until {
            let (player, held) = &mut players[dice.roll(3) as usize];
            match dice.roll(20) {
                0..9 => {
                    let count = 1 + dice.roll(800);
                    player.tell(&format!("burst {next_id} {count} 64"));
                    held.push((next_id, count));
                    (next_id, truth.events) = (next_id + count, truth.events + count);
                    truth.allocated += count * 64;
                }
                9..17 if !held.is_empty() => {
                    let (first, count) = held.swap_remove(dice.roll(held.len() as u64) as usize);
                    player.tell(&format!("unburst {first} {count} 64"));
                    truth.events += count;
                    truth.freed += count * 64;
                }
                17 => {
                    // FreeAll of what it holds in DRAM, or the close of the device.
                    let kind = [3, 6][dice.roll(2) as usize];
                    player.tell(&format!("event {kind} 0 0 0 0 0 0 0 0"));
                    truth.events += 1;
                    truth.freed += held.drain(..).map(|(_, count)| count * 64).sum::<u64>();
                }
                18 => {
                    // A child of fork, which dies with what it holds.
                    let child: i32 = player.tell("fork 50").parse().unwrap();
                    wait("the child's ring", || {
                        let mine = format!(".{child}.");
                        ground.files().iter().any(|name| name.contains(".ring.") && name.contains(&mine)).then_some(())
                    })
                    .unwrap();
                    wait("its event", || (claimed(&ground, child) == 1).then_some(())).unwrap();
                    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
                    (truth.events, truth.deaths) = (truth.events + 1, truth.deaths + 1);
                    (truth.allocated, truth.freed) = (truth.allocated + 50, truth.freed + 50);
                }
                19 => {
                    player.kill();
                    truth.freed += held.drain(..).map(|(_, count)| count * 64).sum::<u64>();
                    *player = Player::start(&ground);
                    let id = next_id;
                    player.alloc(0, Memory::Dram, id, 64, 0);
                    held.push((id, 1));
                    (next_id, truth.events, truth.allocated) = (next_id + 1, truth.events + 1, truth.allocated + 64);
                    truth.deaths += 1;
                }
                _ => {}
            }
        }
        if dice.roll(4) == 0 {
            daemon.signal(Signal::SIGTERM);
            let (code, said) = daemon.ended();
            assert_eq!(code, Some(0), "{said}");
        } else {
            daemon.kill();
        }
        let left = ground.look().expect("there is always a whole snapshot");
        if let Some(before) = &shown {
            must_not_shrink(before, &left);
        }
        let kept = history(&ground, DRAM);
        assert!(kept.len() >= samples.len().min(300), "samples got lost: {samples:?} {kept:?}");
        samples = kept;
        shown = Some(left);
    }
    let last = Daemon::start(&ground);
    let live: u64 = players.iter().flat_map(|(_, held)| held).map(|(_, count)| count).sum();
    let seen = ground.see("the truth", |s| {
        s.health.live_allocations == live && s.health.lag_events == 0 && s.health.events_total == truth.events
    });
    must_not_shrink(&shown.unwrap(), &seen);
    let dram = seen.chips[0].memory[DRAM];
    assert_eq!((dram.footprint_bytes, dram.blocks), (live * 64, live));
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total), (truth.allocated, truth.freed));
    assert_eq!((seen.health.deaths_total, seen.health.anomalies), (truth.deaths, Anomalies::default()));
    assert_eq!((seen.health.dropped_events_total, dram.detail_incomplete), (0, 0));
    for (player, held) in players {
        let mine: u64 = held.iter().map(|(_, count)| count * 64).sum();
        assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).footprint_bytes, mine);
        player.close();
    }
    ground.see("nobody", |s| s.processes.is_empty());
    last.end();
    ground.must_be_clean();
}

/// Records that the ring of this process has; 0 while it is being made.
fn claimed(ground: &Ground, pid: i32) -> u64 {
    let name = ground.files().into_iter().find(|name| name.contains(".ring.") && name.contains(&format!(".{pid}.")));
    let Some(name) = name else { return 1 };
    let expect = Expect { owners: &[], least: 4096, most: u64::MAX };
    let Ok(ring) = segment::open(&name, Access::Read, expect) else { return 0 };
    ring.mapping
        .one::<shm_layout::ring::RingHeader<AtomicU64>>(0)
        .map_or(0, |header| header.sections[0].claim.load(Relaxed))
}
