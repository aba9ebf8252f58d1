//! The round that an aggregator does again and again: sleep, drain, sweep, publish.

use crate::discover::Discovery;
use crate::host::{Host, Now};
use crate::instance::Instance;
use crate::publish::Publisher;
use crate::wake::Wake;
use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use shm_layout::leftover;
use shm_layout::names::{Prefix, ProcessFile};
use shm_layout::stats::{HISTORY_SECONDS_PER_SAMPLE, Snapshot};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Sleep while events come in.
const HOT: Duration = Duration::from_millis(1);
/// Longest sleep when none do: the most that an event waits to be seen.
const COLD: Duration = Duration::from_millis(25);
/// How often dead processes are looked for that no pidfd tells of.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// How often /dev/shm is read in full, in case inotify lost something.
const SCAN_EVERY: Duration = Duration::from_secs(1);
/// How often a snapshot is published when nothing changes.
const PUBLISH_IDLE: Duration = Duration::from_millis(500);
/// Publishing takes at most one part in this of the time.
const PUBLISH_SHARE: u32 = 10;

/// An aggregator, the only one of its prefix.
#[derive(Debug)]
pub struct Daemon {
    host: Host,
    discovery: Discovery,
    publisher: Publisher,
    wake: Wake,
    _instance: Instance,
}

impl Daemon {
    /// Takes the instance lock, makes the stats segment, attaches to whatever is there.
    ///
    /// # Errors
    /// When another aggregator runs, or the stats segment cannot be made.
    pub fn start(prefix: &Prefix, stop: BorrowedFd<'_>) -> anyhow::Result<Self> {
        let instance = Instance::take(prefix)?;
        let now = Now::read();
        let publisher = Publisher::create(prefix, now.monotonic_ns, now.unix_ns).context("the stats segment")?;
        remove_orphaned_ledgers(prefix);
        let discovery = Discovery::new(prefix.clone());
        let wake = Wake::new(stop, discovery.fd()).context("epoll")?;
        let mut daemon = Self { host: Host::new(prefix.clone()), discovery, publisher, wake, _instance: instance };
        let there = daemon.discovery.scan();
        daemon.meet(there, now);
        daemon.host.drain(now);
        daemon.host.sweep(now);
        daemon.publish(now);
        Ok(daemon)
    }

    fn meet(&mut self, files: Vec<ProcessFile>, now: Now) {
        let met = self.host.meet(files, now);
        self.watch(met);
    }

    fn watch(&mut self, met: Vec<ProcessFile>) {
        for file in met {
            if let Some(pidfd) = self.host.pidfd(&file)
                && let Err(errno) = self.wake.watch(file, pidfd)
            {
                tracing::warn!(%errno, pid = file.pid, "its death will be noticed by the sweep only");
            }
        }
    }

    fn publish(&mut self, now: Now) {
        let mut snapshot = self.host.snapshot(now, cpu_ns());
        self.publisher.publish(&mut snapshot);
    }

    /// Runs until the stop descriptor is readable.
    pub fn run(mut self) {
        let mut sleep = HOT;
        let mut dirty = false;
        let (mut swept, mut scanned, mut sampled) = (Instant::now(), Instant::now(), Instant::now());
        let (mut published, mut publishing) = (Instant::now(), Duration::ZERO);
        loop {
            let woken = self.wake.wait(sleep);
            if woken.stop {
                break;
            }
            let now = Now::read();
            if woken.files {
                let announced = self.discovery.announced();
                self.meet(announced, now);
                dirty = true;
            }
            if self.host.is_waiting() {
                let met = self.host.meet_waiting(now);
                self.watch(met);
            }
            self.host.keep_clocks(now);
            let read = self.host.drain(now);
            for file in &woken.dead {
                self.host.died(file, now);
            }
            if swept.elapsed() >= SWEEP_EVERY {
                swept = Instant::now();
                dirty |= self.host.sweep(now);
            }
            if scanned.elapsed() >= SCAN_EVERY {
                scanned = Instant::now();
                let there = self.discovery.scan();
                self.meet(there, now);
            }
            dirty |= read > 0 || !woken.dead.is_empty();
            let due = if dirty { publishing * PUBLISH_SHARE } else { PUBLISH_IDLE };
            if published.elapsed() >= due {
                let begin = Instant::now();
                self.publish(now);
                publishing = begin.elapsed();
                published = begin;
                dirty = false;
            }
            if sampled.elapsed() >= Duration::from_secs(HISTORY_SECONDS_PER_SAMPLE) {
                sampled = Instant::now();
                self.publisher.sample(self.host.chips().all());
            }
            let busy = read > 0 || dirty || self.host.is_waiting();
            sleep = if busy { HOT } else { (sleep * 2).min(COLD) };
        }
        self.finish();
    }

    /// Reads what is still there, so that a next aggregator finds little to do. Ledgers of living processes stay.
    fn finish(mut self) {
        let now = Now::read();
        self.host.drain(now);
        tracing::info!(processes = self.host.process_count(), "aggregator ends");
    }

    /// One look: everything that is there is read. For `aggregator --once`.
    pub fn look(mut self) -> Snapshot {
        let deadline = Instant::now() + Duration::from_millis(200);
        loop {
            let now = Now::read();
            let met = self.host.meet_waiting(now);
            self.watch(met);
            let read = self.host.drain(now);
            if (read == 0 && !self.host.is_waiting()) || Instant::now() > deadline {
                return self.host.snapshot(now, cpu_ns());
            }
        }
    }
}

/// Ledgers of this user whose ring is gone: their process was removed by an aggregator that was killed just then.
fn remove_orphaned_ledgers(prefix: &Prefix) {
    for name in leftover::orphaned_ledgers(prefix) {
        tracing::info!(name, "removed a ledger without a ring");
    }
}

fn cpu_ns() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        u64::try_from(us).unwrap_or(0) * 1000
    })
}
