//! The stats segment: made at start, filled at every change, removed at a clean end.

use crate::sigbus::Guard;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use shm_layout::procfs;
use shm_layout::segment::{self, Created, SegmentError};
use shm_layout::stats::{Chip, Identity, Parts, StatsHeader, StatsView, stats_bytes};

/// The segment that this aggregator publishes in.
#[derive(Debug)]
pub struct Publisher {
    /// Dropped before what it guards. Nothing is to be done at a fault but what `keep` does.
    guard: Option<Guard>,
    segment: Created,
    generation: u64,
    /// That it cannot be made again was told.
    complained: bool,
}

impl Publisher {
    /// Makes the segment; one of this user that an earlier aggregator left is replaced (the instance lock is ours).
    ///
    /// # Errors
    /// When there is no room, or another user has the name.
    pub fn create(prefix: &Prefix, monotonic_ns: u64, unix_ns: u64) -> Result<Self, SegmentError> {
        let name = prefix.stats();
        let me = nix::unistd::geteuid().as_raw();
        if segment::remove_own(&name) {
            tracing::info!(name, "replaced a stats segment that an earlier aggregator left");
        }
        let segment = segment::create(&name, stats_bytes())?;
        let publisher = Self { guard: Guard::over(&segment.mapping), segment, generation: 0, complained: false };
        if let Some(view) = publisher.view() {
            view.announce(Identity {
                magic: 0,
                version: 0,
                endian: 0,
                total_bytes: 0,
                history_offset: 0,
                buffers_offset: 0,
                buffer_words: 0,
                pid: std::process::id(),
                uid: me,
                start_ticks: procfs::stat("self").map_or(0, |stat| stat.start_ticks),
                started_unix_ns: unix_ns,
                started_monotonic_ns: monotonic_ns,
                reserved: [0; 6],
            });
        }
        publisher.segment.publish_to_all()?;
        Ok(publisher)
    }

    /// Makes the segment again where somebody has cut it short, taken its name away or its permissions. To be called now and
    /// then; true if it was, and everything is to be published again.
    pub fn keep(&mut self, prefix: &Prefix, monotonic_ns: u64, unix_ns: u64) -> bool {
        if !self.guard.as_ref().is_some_and(Guard::faulted) && self.segment.is_as_published() {
            return false;
        }
        match Self::create(prefix, monotonic_ns, unix_ns) {
            Ok(mut anew) => {
                tracing::warn!(name = self.segment.name, "the stats segment was cut short or taken away: made again");
                anew.generation = self.generation;
                *self = anew;
                true
            }
            Err(error) => {
                if !core::mem::replace(&mut self.complained, true) {
                    tracing::error!(%error, "the stats segment was cut short or taken away, and cannot be made again yet: viewers see nothing");
                }
                false
            }
        }
    }

    fn view(&self) -> Option<StatsView<'_, AtomicU64>> {
        let mapping = &self.segment.mapping;
        let header = mapping.one::<StatsHeader<AtomicU64>>(0)?;
        let at = size_of::<StatsHeader<AtomicU64>>();
        StatsView::new(header, mapping.array(at, (stats_bytes() - at) / 8)?)
    }

    /// The number of the next snapshot.
    pub fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Shows this snapshot.
    pub fn publish(&mut self, parts: &Parts<'_>) {
        if let Some(view) = self.view() {
            parts.publish(view.snapshots());
        }
        self.beat(parts.health.monotonic_ns);
    }

    /// Tells that the aggregator is alive.
    pub fn beat(&self, monotonic_ns: u64) {
        if let Some(header) = self.segment.mapping.one::<StatsHeader<AtomicU64>>(0) {
            // Relaxed: a time stamp orders nothing.
            header.heartbeat.store(monotonic_ns, Relaxed);
        }
    }

    /// Takes one sample of every chip for the sparklines.
    pub fn sample(&self, chips: &[Chip]) {
        let Some(view) = self.view() else { return };
        // Relaxed: only this aggregator stores it.
        let head = view.header.history_head.load(Relaxed);
        for (at, chip) in chips.iter().enumerate() {
            for memory in Memory::ALL {
                view.record_sample(at, memory as usize, head, chip.memory[memory as usize].footprint_bytes);
            }
        }
        view.advance_history(head);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.beat(0);
        self.segment.remove();
    }
}
