//! The stats segment, as a viewer reads it.

use super::ground::Ground;
use super::{Outcome, monotonic_ns};
use shm_layout::event::Memory;
use shm_layout::segment::{self, Access, Expect, Opened};
use shm_layout::stats::{Snapshot, StatsHeader, StatsView, stats_bytes};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// After this long what is waited for will not come.
const PATIENCE_NS: u64 = 30_000_000_000;
/// Between two looks: so fine is what is measured.
const PAUSE: Duration = Duration::from_micros(50);

/// A reader of the figures.
#[derive(Debug)]
pub struct Watcher {
    opened: Opened,
    words: Vec<u64>,
}

impl Watcher {
    /// Opens the segment as soon as it is there.
    ///
    /// # Errors
    /// When it does not come.
    pub fn open(ground: &Ground) -> Outcome<Self> {
        let expect = Expect { owners: &[], least: stats_bytes() as u64, most: stats_bytes() as u64 };
        let begin = monotonic_ns();
        loop {
            if let Ok(opened) = segment::open(&ground.prefix.stats(), Access::Read, expect) {
                let mut watcher = Self { opened, words: Vec::new() };
                if watcher.look().is_some() {
                    return Ok(watcher);
                }
            }
            if monotonic_ns() - begin > PATIENCE_NS {
                return Err("no stats segment".into());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The figures of now.
    pub fn look(&mut self) -> Option<Snapshot> {
        let mapping = &self.opened.mapping;
        let header = mapping.one::<StatsHeader<AtomicU64>>(0)?;
        let at = size_of::<StatsHeader<AtomicU64>>();
        let view = StatsView::new(header, mapping.array(at, (stats_bytes() - at) / 8)?)?;
        view.identity().check().ok()?;
        view.snapshots().read_within(&mut self.words, 1000).then(|| Snapshot::decode(&self.words).ok())?
    }

    /// Waits for figures of which this holds; the moment at which they were seen, `CLOCK_MONOTONIC` ns.
    ///
    /// # Errors
    /// When they do not come.
    pub fn wait(&mut self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Outcome<u64> {
        let begin = monotonic_ns();
        loop {
            let seen = self.look().is_some_and(|snapshot| holds(&snapshot));
            let now = monotonic_ns();
            if seen {
                return Ok(now);
            }
            if now - begin > PATIENCE_NS {
                return Err(format!("waited in vain for {what}").into());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Blocks that a process has in L1.
pub fn blocks(snapshot: &Snapshot, pid: u32) -> u64 {
    let Some(at) = snapshot.processes.iter().position(|process| process.pid == pid) else { return 0 };
    let mut rows = snapshot.rows_of(at).filter(|row| row.memory == Memory::L1 as u32);
    rows.next().map_or(0, |row| row.figures.blocks)
}
