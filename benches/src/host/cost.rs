//! Idle rings, publishing, memory.

use super::Outcome;
use super::daemon::Daemon;
use super::ground::Ground;
use super::latency::all_there;
use super::player::{Player, SMALL};
use crate::report::Report;
use crate::sample::Sample;
use aggregator::lookout::Lookout;
use nix::sys::eventfd::EventFd;
use producer::Ring;
use producer::environment::Options;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::ring::{Consumer, RECORDS_OFFSET, Slot};
use shm_layout::segment::{self, Access, Expect, Opened};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// One look at idle rings, ns a ring: again and again, and as an idle aggregator does it, after a pause in which others used
/// the caches.
///
/// # Errors
/// When the rings cannot be made.
pub fn idle_poll(count: usize, looks: usize, report: &mut Report) -> Outcome<()> {
    let ground = Ground::new()?;
    let options = Options { prefix: ground.prefix.clone(), slots: SMALL, ..Options::default() };
    let rings = (0..count).map(|_| Ring::create(&options)).collect::<Result<Vec<_>, _>>()?;
    let expect = Expect { owners: &[], least: 1, most: u64::MAX };
    let mut opened: Vec<Opened> = Vec::new();
    for (n, ring) in rings.iter().enumerate() {
        // Not all at the same place.
        for id in 0..n as u64 % 100 {
            ring.record(Event { id, size: 1, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
        }
        opened.push(segment::open(ring.name(), Access::ReadWrite, expect)?);
    }
    let mut lookout = Lookout::default();
    for (seat, opened) in opened.iter().enumerate() {
        let slots = opened.mapping.array::<Slot<AtomicU64>>(RECORDS_OFFSET, SMALL as usize);
        let consumer = slots.and_then(Consumer::new).ok_or("no ring")?;
        let (word, awaited) = consumer.awaited(seat as u64 % 100);
        lookout.watch(seat, word, awaited);
    }
    let mut found = Vec::new();
    let mut look = || {
        let begin = Instant::now();
        lookout.look(0..count, &mut found);
        begin.elapsed().as_nanos() as f64 / count as f64
    };
    let mut warm: Sample = (0..looks).map(|_| look()).collect();
    let mut other = vec![1_u8; 8 << 20];
    let mut cold = Sample::default();
    for round in 0..looks.min(100) {
        std::thread::sleep(Duration::from_millis(2));
        other.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(round as u8));
        cold.push(look());
    }
    std::hint::black_box(&other);
    let mut asleep = Sample::default();
    for _ in 0..looks.min(100) {
        std::thread::sleep(Duration::from_millis(40));
        asleep.push(look());
    }
    if !found.is_empty() {
        return Err("an idle ring was found to have something".into());
    }
    report.add_point("one look at idle rings", "again and again", ("rings", count as f64), "ns/ring", &mut warm);
    report.add_point("one look at idle rings", "after 8 MiB of others", ("rings", count as f64), "ns/ring", &mut cold);
    report.add_point(
        "one look at idle rings",
        "after a sleep of 40 ms",
        ("rings", count as f64),
        "ns/ring",
        &mut asleep,
    );
    Ok(())
}

/// What a daemon takes that has nothing to do, percent of one core, and its memory.
///
/// # Errors
/// When a process does not do its part.
pub fn idle_daemon(program: &PathBuf, count: usize, seconds: u64, report: &mut Report) -> Outcome<()> {
    let ground = Ground::new()?;
    let (daemon, mut watcher) = Daemon::start(program, &ground)?;
    let _players = Player::start_many(&ground, count, SMALL)?;
    all_there(&mut watcher, count)?;
    std::thread::sleep(Duration::from_secs(2));
    let mut sample = Sample::default();
    for _ in 0..seconds {
        let (before, begin) = (daemon.cpu_ns()?, Instant::now());
        std::thread::sleep(Duration::from_secs(1));
        sample.push((daemon.cpu_ns()? - before) as f64 * 100.0 / begin.elapsed().as_nanos() as f64);
    }
    let at = ("processes", count as f64);
    report.add_point("idle daemon", "one core", at, "%", &mut sample);
    let mut memory = |subject, bytes: u64| {
        let mut one = Sample::from_iter([bytes as f64 / f64::from(1 << 20)]);
        report.add_point("memory", subject, at, "MiB", &mut one);
    };
    memory("daemon, private", daemon.private_bytes()?);
    memory("stats segment", ground.bytes_of(".stats"));
    memory("ledgers", ground.bytes_of(".ledger."));
    memory("rings", ground.bytes_of(".ring."));
    Ok(())
}

/// One publication after one event, with so many processes that did nothing.
///
/// # Errors
/// When a process does not do its part.
pub fn publishing(count: usize, times: usize, report: &mut Report) -> Outcome<()> {
    let ground = Ground::new()?;
    let _others = Player::start_many(&ground, count - 1, SMALL)?;
    let mine = Ring::create(&Options { prefix: ground.prefix.clone(), slots: SMALL, ..Options::default() })?;
    let stop = EventFd::new()?;
    let mut daemon = aggregator::Daemon::start(&ground.prefix, stop.as_fd())?;
    while daemon.read_now() > 0 {}
    let (mut one, mut nothing) = (Sample::default(), Sample::default());
    let timed = |daemon: &mut aggregator::Daemon, sample: &mut Sample| {
        let begin = Instant::now();
        daemon.publish_now();
        sample.push(begin.elapsed().as_nanos() as f64 / 1000.0);
    };
    for id in 0..times as u64 {
        mine.record(Event { id, size: 1, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
        // A resting ring is looked at after a while only.
        while daemon.read_now() == 0 {}
        timed(&mut daemon, &mut one);
        timed(&mut daemon, &mut nothing);
    }
    let at = ("processes", count as f64);
    report.add_point("one publication", "one process has news", at, "us", &mut one);
    report.add_point("one publication", "nobody has news", at, "us", &mut nothing);
    Ok(())
}
