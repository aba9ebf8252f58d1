//! A ring of this process, and an aggregator that drains it, both in this thread: what is timed is the aggregator's side
//! alone.

use aggregator::Daemon;
use anyhow::Context;
use nix::sys::eventfd::EventFd;
use producer::Ring;
use producer::environment::Options;
use shm_layout::event::Event;
use shm_layout::names::{DIRECTORY, Prefix, ProcessFile, Role};
use shm_layout::segment::{self, Access, Expect};
use shm_layout::stats::{Health, Snapshot, StatsHeader, StatsView, stats_bytes};
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// Slots of the ring.
const SLOTS: u64 = 1 << 16;

/// What can be told at once.
pub const MOST: usize = SLOTS as usize;

/// The ground.
#[derive(Debug)]
pub struct Ground {
    prefix: Prefix,
    ring: Ring,
    /// `None` only between two of them.
    daemon: Option<Daemon>,
    stop: EventFd,
    told: u64,
}

impl Ground {
    /// A ring and a host that has met it. The name tells this ground's files from others'.
    ///
    /// # Errors
    /// When there is no room in /dev/shm, or the ring was refused.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let prefix = Prefix::new(&format!("drain_{}_{name}", std::process::id()))?;
        let ring = Ring::create(&Options { prefix: prefix.clone(), slots: SLOTS, ..Options::default() })?;
        let stop = EventFd::new().context("eventfd")?;
        let mut ground = Self { daemon: None, stop, prefix, ring, told: 0 };
        ground.meet()?;
        Ok(ground)
    }

    fn meet(&mut self) -> anyhow::Result<()> {
        self.daemon = Some(Daemon::start(&self.prefix, self.stop.as_fd())?);
        anyhow::ensure!(self.health()?.rings == 1, "the ring was refused");
        Ok(())
    }

    /// The aggregator's health, as it publishes it.
    fn health(&mut self) -> anyhow::Result<Health> {
        self.daemon.as_mut().context("no aggregator")?.publish_now();
        let bytes = stats_bytes() as u64;
        let expect = Expect { owners: &[], least: bytes, most: bytes };
        let opened = segment::open(&self.prefix.stats(), Access::Read, expect)?;
        let behind = size_of::<StatsHeader<AtomicU64>>();
        let words = opened.mapping.array(behind, (stats_bytes() - behind) / 8);
        let view = opened.mapping.one(0).zip(words).and_then(|(header, words)| StatsView::new(header, words));
        let mut copy = Vec::new();
        anyhow::ensure!(view.is_some_and(|view| view.snapshots().read(&mut copy)), "no snapshot");
        Ok(Snapshot::decode(&copy)?.health)
    }

    /// Writes these events into the ring; at most [`MOST`].
    pub fn tell(&mut self, events: &[Event]) {
        let writer = self.ring.writer();
        for event in events {
            writer.record(*event);
        }
        self.told += events.len() as u64;
    }

    /// Drains all that was told. How long it took, and the longest of its turns.
    pub fn drain(&mut self) -> (Duration, Duration) {
        let (mut all, mut longest) = (Duration::ZERO, Duration::ZERO);
        loop {
            let begin = Instant::now();
            let read = self.daemon.as_mut().map_or(0, Daemon::read_now);
            let spent = begin.elapsed();
            if read == 0 {
                return (all, longest);
            }
            all += spent;
            longest = longest.max(spent);
        }
    }

    /// Ends this aggregator and lets another one continue its ledger. How long that took.
    ///
    /// # Errors
    /// When the ring was refused.
    pub fn succeed(&mut self) -> anyhow::Result<Duration> {
        self.daemon = None;
        let begin = Instant::now();
        self.meet()?;
        Ok(begin.elapsed())
    }

    /// Asserts that nothing was lost or misunderstood, and tells what is live.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&mut self) -> anyhow::Result<u64> {
        let health = self.health()?;
        anyhow::ensure!(self.ring.dropped() == 0, "{} events were dropped", self.ring.dropped());
        anyhow::ensure!(health.events_total == self.told, "{} events of {}", health.events_total, self.told);
        anyhow::ensure!(health.anomalies == Default::default(), "{:?}", health.anomalies);
        Ok(health.live_allocations)
    }

    /// Bytes of the ledger's file.
    pub fn ledger_bytes(&self) -> u64 {
        let Some(file) = ProcessFile::parse(self.ring.name(), &self.prefix) else { return 0 };
        let name = file.of_role(Role::Ledger).name(&self.prefix);
        std::fs::metadata(format!("{DIRECTORY}/{name}")).map_or(0, |file| file.len())
    }
}

/// Nothing stays in /dev/shm.
impl Drop for Ground {
    fn drop(&mut self) {
        let dot = format!("{}.", self.prefix);
        for entry in std::fs::read_dir(DIRECTORY).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&dot) {
                let _removed = std::fs::remove_file(entry.path());
            }
        }
    }
}
