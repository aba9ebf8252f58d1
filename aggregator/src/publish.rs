//! The stats segment: made under another name, filled with what an earlier aggregator left, and shown when its first snapshot
//! is in it: whoever dies before has changed nothing. Removed at a clean end, unless somebody still has something to continue.

use crate::heritage::Heritage;
use crate::sigbus::Guard;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use nix::sys::stat::{SFlag, lstat};
use shm_layout::event::Memory;
use shm_layout::names::{DIRECTORY, Prefix};
use shm_layout::procfs;
use shm_layout::segment::{self, Created, Opened, SegmentError};
use shm_layout::stats::{
    Chip, Gone, HISTORY_SECONDS_PER_SAMPLE, Identity, Parts, StatsHeader, StatsView, stats_bytes, stats_histories,
};

/// Time between two samples, ns.
const SAMPLE_NS: u64 = HISTORY_SECONDS_PER_SAMPLE * 1_000_000_000;

/// The segment that this aggregator publishes in.
#[derive(Debug)]
pub struct Publisher {
    /// Dropped before what it guards. Nothing is to be done at a fault but what `keep` does.
    guard: Option<Guard>,
    segment: Created,
    /// The name that it gets when its first snapshot is in it.
    name: String,
    generation: u64,
    /// Whose samples each series holds.
    sampled: Vec<(u64, u32)>,
    keep: bool,
    /// What [`show`](Self::show) is to announce in a predecessor's segment: until then that is not this one's.
    adopts: Option<Identity>,
    /// That it cannot be made again was told.
    complained: bool,
}

impl Publisher {
    /// Makes the segment, with the samples of this predecessor (the instance lock is ours). Nobody sees it before
    /// [`show`](Self::show).
    ///
    /// # Errors
    /// When there is no room, or another user has the name.
    pub fn create(
        prefix: &Prefix,
        heritage: Option<&Heritage>,
        monotonic_ns: u64,
        unix_ns: u64,
    ) -> Result<Self, SegmentError> {
        let name = prefix.stats();
        let me = nix::unistd::geteuid();
        // Looked at now, so that nothing is begun that could not be shown.
        if let Ok(stat) = lstat(format!("{DIRECTORY}/{name}").as_str()) {
            let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
            let ours = me.is_root() || stat.st_uid == me.as_raw();
            if !ours || !regular && !segment::remove_own(&name) {
                return Err(SegmentError::exists(name));
            }
        }
        // Somebody was killed before it had shown its own.
        segment::remove_own(&prefix.next_stats());
        // All is reserved; the pages of the past of chips that are not there are not taken before they come.
        let histories = stats_histories();
        let segment = segment::create_in_part(&prefix.next_stats(), stats_bytes(), histories.start)?;
        segment.mapping.prefault(histories.end, stats_bytes() - histories.end);
        let guard = Guard::over(&segment.mapping);
        let mut publisher = Self {
            guard,
            segment,
            name,
            generation: 0,
            sampled: Vec::new(),
            keep: false,
            adopts: None,
            complained: false,
        };
        if let Some(view) = publisher.view() {
            if let Some(from) = heritage.and_then(Heritage::history) {
                view.inherit_history(&from);
            }
            // Relaxed: nobody looks yet.
            view.header.since.store(heritage.map_or(monotonic_ns, |heritage| heritage.since_ns), Relaxed);
            view.announce(identity(monotonic_ns, unix_ns));
        }
        if let Some(heritage) = heritage {
            publisher.go_on_from(heritage);
        }
        publisher.segment.publish_to_all()?;
        Ok(publisher)
    }

    /// Goes on in this predecessor's own segment, where there is no room for a second one. It needs none: its blocks are reserved.
    /// Its snapshot is there until the next one is whole beside it, so whoever is killed meanwhile has lost nothing.
    ///
    /// # Errors
    /// When it cannot be written, is not the one that was read any more, or its writer lives.
    pub fn adopt(heritage: &Heritage, monotonic_ns: u64, unix_ns: u64) -> Result<Self, SegmentError> {
        let Opened { mapping, file, name, inode, .. } = heritage.reopen()?;
        let segment = Created { mapping, file, name: name.clone(), inode };
        let mut publisher = Self {
            guard: Guard::over(&segment.mapping),
            segment,
            name,
            generation: 0,
            sampled: Vec::new(),
            keep: true,
            adopts: Some(identity(monotonic_ns, unix_ns)),
            complained: false,
        };
        if let Some(view) = publisher.view() {
            // Relaxed: as they were, but for a segment that lost the buffer which it showed.
            view.header.since.store(heritage.since_ns, Relaxed);
            view.header.active.store(heritage.buffer as u64, Relaxed);
        }
        publisher.go_on_from(heritage);
        publisher.segment.publish_to_all()?;
        Ok(publisher)
    }

    fn go_on_from(&mut self, heritage: &Heritage) {
        self.generation = heritage.snapshot.health.generation;
        self.sampled = heritage.snapshot.chips.iter().map(key).collect();
    }

    /// Gives the segment its name, in place of a predecessor's; in a predecessor's own, puts this one's name.
    ///
    /// # Errors
    /// The system's answer.
    pub fn show(&mut self) -> Result<(), SegmentError> {
        if let Some(identity) = self.adopts.take() {
            if let Some(view) = self.view() {
                view.announce(identity);
            }
            self.keep = false;
            return Ok(());
        }
        let path = |name: &str| format!("{DIRECTORY}/{name}");
        std::fs::rename(path(&self.segment.name), path(&self.name)).map_err(|source| SegmentError::Io {
            name: self.name.clone(),
            doing: "give it its name",
            source,
        })?;
        self.segment.name.clone_from(&self.name);
        Ok(())
    }

    /// Makes the segment again where somebody has cut it short, taken its name away or its permissions. To be called now and
    /// then; true if it was, and everything is to be published and then shown. Its history is lost with it.
    pub fn keep(&mut self, prefix: &Prefix, monotonic_ns: u64, unix_ns: u64) -> bool {
        if !self.guard.as_ref().is_some_and(Guard::faulted) && self.segment.is_as_published() {
            return false;
        }
        match Self::create(prefix, None, monotonic_ns, unix_ns) {
            Ok(mut anew) => {
                tracing::warn!(name = self.name, "the stats segment was cut short or taken away: made again");
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
        view_of(&self.segment)
    }

    /// The number of the next snapshot.
    pub fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Shows this snapshot; `gone` is for a successor.
    pub fn publish(&mut self, parts: &Parts<'_>, gone: &Gone) {
        if let Some(view) = self.view() {
            view.leave_gone(&Gone { generation: parts.health.generation, ..*gone });
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

    /// Takes a sample of every chip for the charts, if one is due. Those that were due and that nobody took are
    /// [`UNKNOWN`](shm_layout::stats::UNKNOWN): no aggregator ran then, or it was stopped.
    pub fn sample(&mut self, chips: &[Chip], monotonic_ns: u64) {
        let mut sampled = core::mem::take(&mut self.sampled);
        if let Some(view) = self.view() {
            sample(&view, chips, monotonic_ns, &mut sampled);
        }
        self.sampled = sampled;
    }

    /// What is published stays when this is dropped, for a successor.
    pub fn leave_behind(&mut self) {
        self.keep = true;
    }
}

/// This process's.
fn identity(monotonic_ns: u64, unix_ns: u64) -> Identity {
    Identity {
        pid: std::process::id(),
        uid: nix::unistd::geteuid().as_raw(),
        start_ticks: procfs::stat("self").map_or(0, |stat| stat.start_ticks),
        started_unix_ns: unix_ns,
        started_monotonic_ns: monotonic_ns,
        ..Identity::unannounced()
    }
}

fn view_of(segment: &Created) -> Option<StatsView<'_, AtomicU64>> {
    let at = size_of::<StatsHeader<AtomicU64>>();
    StatsView::new(segment.mapping.one(0)?, segment.mapping.array(at, (stats_bytes() - at) / 8)?)
}

fn key(chip: &Chip) -> (u64, u32) {
    (chip.chip_id, chip.id_is_logical)
}

/// [`Publisher::sample`]; `sampled` tells whose samples each series holds.
fn sample(view: &StatsView<'_, AtomicU64>, chips: &[Chip], monotonic_ns: u64, sampled: &mut Vec<(u64, u32)>) {
    // Relaxed: only this aggregator stores these.
    let last = view.header.sampled.load(Relaxed);
    // A moment that is still to come was told by nobody who could know.
    let begun = if last == 0 || last > monotonic_ns { monotonic_ns - SAMPLE_NS.min(monotonic_ns) } else { last };
    let due = (monotonic_ns - begun) / SAMPLE_NS;
    if due == 0 {
        return;
    }
    for (at, chip) in chips.iter().enumerate() {
        if sampled.get(at) != Some(&key(chip)) {
            if at < sampled.len() {
                // Another chip has the place now: none of these samples is its.
                view.clear_history(at);
            }
            sampled.resize(sampled.len().max(at + 1), (0, u32::MAX));
            sampled[at] = key(chip);
        }
    }
    // Relaxed: as above.
    let head = view.skip_samples(chips.len(), view.header.history_head.load(Relaxed), due - 1);
    for (at, chip) in chips.iter().enumerate() {
        for memory in Memory::ALL {
            view.record_sample(at, memory as usize, head, chip.memory[memory as usize].footprint_bytes);
        }
    }
    view.advance_history(head);
    // Relaxed: for this aggregator and its successor.
    view.header.sampled.store(begun + due * SAMPLE_NS, Relaxed);
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if self.adopts.is_some() {
            return;
        }
        self.beat(0);
        if !self.keep {
            self.segment.remove();
        }
    }
}

#[cfg(test)]
mod tests;
