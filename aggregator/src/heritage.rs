//! What an earlier aggregator published last: found, checked as if a stranger had written it, and handed to its successor.
//!
//! Believed is a segment of this user, of this layout and size, with one whole snapshot and the sums that belong to it. Of two
//! buffers the shown one comes first; the other serves where the first cannot be read. Everything else is left alone.

use crate::sigbus::Guarded;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::names::Prefix;
use shm_layout::procfs;
use shm_layout::segment::{self, Access, Expect, Opened, SegmentError};
use shm_layout::stats::{
    Chip, Figures, Gone, Identity, IdentityError, Line, Presence, Severity, Snapshot, Source, StatsHeader, StatsView,
    UNKNOWN, stats_bytes,
};
use shm_layout::text;

/// A figure above this is no count of anything that was here: what adds to it must not overflow.
const MOST: u64 = 1 << 62;

/// Why nothing is continued.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file is not as it should be.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// Another layout, or no stats segment.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Neither buffer holds a whole snapshot with its sums.
    #[error("it holds no whole snapshot")]
    Torn,
    /// Figures that cannot be.
    #[error("its figures contradict each other")]
    Figures,
    /// Not mapped.
    #[error("its pages cannot be read")]
    Pages,
}

/// An earlier aggregator's figures.
#[derive(Debug)]
pub struct Heritage {
    /// Its last snapshot, its texts cleaned.
    pub snapshot: Snapshot,
    /// Its sums over processes that were gone then.
    pub gone: Gone,
    /// Its pid.
    pub pid: u32,
    /// Whether it ended in good order.
    pub ended: bool,
    /// When the first of the aggregators began whose figures these are, `CLOCK_MONOTONIC` ns.
    pub since_ns: u64,
    /// The buffer of its snapshot.
    pub buffer: usize,
    start_ticks: u64,
    segment: Guarded,
}

/// The segment's parts.
pub fn view(opened: &Opened) -> Option<StatsView<'_, AtomicU64>> {
    let at = size_of::<StatsHeader<AtomicU64>>();
    StatsView::new(opened.mapping.one(0)?, opened.mapping.array(at, stats_bytes().checked_sub(at)? / 8)?)
}

impl Heritage {
    /// What an earlier aggregator of this user left; for whoever has the instance lock. `None` if there is nothing.
    ///
    /// # Errors
    /// Why what is there is not continued.
    pub fn find(prefix: &Prefix) -> Result<Option<Self>, Refusal> {
        let me = nix::unistd::geteuid().as_raw();
        let least = size_of::<Identity>() as u64;
        let opened = match segment::open(&prefix.stats(), Access::Read, Expect { owners: &[me], least, most: u64::MAX })
        {
            Err(SegmentError::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        let segment = Guarded::new(opened).ok_or(Refusal::Pages)?;
        let identity = identity(&segment).ok_or(Refusal::Pages)?;
        identity.check()?;
        if segment.mapping.len() != stats_bytes() {
            return Err(IdentityError::Geometry.into());
        }
        let view = view(&segment).ok_or(Refusal::Pages)?;
        // Relaxed, here and below: their writer is dead, its lock is ours.
        let shown = (view.header.active.load(Relaxed) & 1) as usize;
        let (buffer, (mut snapshot, mut gone)) = [shown, 1 - shown]
            .into_iter()
            .find_map(|buffer| Some((buffer, whole(&view, buffer)?)))
            .ok_or(Refusal::Torn)?;
        let since_ns = match view.header.since.load(Relaxed) {
            0 => identity.started_monotonic_ns,
            since => since,
        };
        // Relaxed: as above.
        let ended = view.header.heartbeat.load(Relaxed) == 0;
        if segment.faulted() {
            return Err(Refusal::Pages);
        }
        forget_bystanders(&mut snapshot);
        bound(&mut snapshot, &mut gone);
        check(&snapshot)?;
        let Identity { pid, start_ticks, .. } = identity;
        let mut found = Self { snapshot, gone, pid, ended, since_ns, buffer, start_ticks, segment };
        found.clean();
        Ok(Some(found))
    }

    /// Its samples.
    pub fn history(&self) -> Option<StatsView<'_, AtomicU64>> {
        view(&self.segment)
    }

    /// Its segment once more, to be written.
    ///
    /// # Errors
    /// When it cannot be, is another one by now, or its writer lives: a lock file that somebody removed keeps nobody out.
    pub fn reopen(&self) -> Result<Opened, SegmentError> {
        let name = self.segment.name.clone();
        let refused = |why: String| SegmentError::Io {
            name: name.clone(),
            doing: "cannot go on in it",
            source: std::io::Error::other(why),
        };
        let is_writer = |stat: procfs::Stat| stat.start_ticks == self.start_ticks && stat.state != b'Z';
        if !self.ended && procfs::stat(&self.pid.to_string()).is_some_and(is_writer) {
            let pid = self.pid;
            return Err(refused(format!(
                "its writer lives: end process {pid}, or make room for a second one in /dev/shm"
            )));
        }
        let bytes = stats_bytes() as u64;
        let owners = &[nix::unistd::geteuid().as_raw()];
        let opened = segment::open(&name, Access::ReadWrite, Expect { owners, least: bytes, most: bytes })?;
        if opened.inode != self.segment.inode || self.segment.faulted() {
            return Err(refused("it was replaced or cut short: start the aggregator again".to_owned()));
        }
        Ok(opened)
    }

    /// What a viewer shows is cleaned again there; what is stored should be clean already.
    fn clean(&mut self) {
        let line = |line: &mut Line| line.text = text::store(text::load(&line.text).as_bytes());
        self.snapshot.lines.iter_mut().for_each(line);
        let chip = |chip: &mut Chip| chip.board = text::store(text::load(&chip.board).as_bytes());
        self.snapshot.chips.iter_mut().for_each(chip);
    }
}

/// The identity, also of a segment of another size than this layout's.
fn identity(opened: &Opened) -> Option<Identity> {
    let shared: &[AtomicU64] = opened.mapping.array(0, size_of::<Identity>() / 8)?;
    // Relaxed: written long ago, by somebody who is dead.
    let words: Vec<u64> = shared.iter().map(|word| word.load(Relaxed)).collect();
    bytemuck::try_pod_read_unaligned(bytemuck::cast_slice(&words)).ok()
}

/// A buffer's snapshot and the sums that were left with it, if both are whole.
fn whole(view: &StatsView<'_, AtomicU64>, buffer: usize) -> Option<(Snapshot, Gone)> {
    let mut words = Vec::new();
    if !view.snapshots().read_buffer(buffer, &mut words) {
        return None;
    }
    let (snapshot, gone) = (Snapshot::decode(&words).ok()?, view.gone(buffer));
    (gone.generation == snapshot.health.generation).then_some((snapshot, gone))
}

/// Whether a successor would take these over: no process may bring about figures that are not.
#[cfg(feature = "fuzzing")]
pub fn believable(snapshot: &Snapshot, gone: &Gone) -> bool {
    let (mut snapshot, mut gone) = (snapshot.clone(), *gone);
    bound(&mut snapshot, &mut gone);
    check(&snapshot).is_ok()
}

/// Leaves out what is told by others than rings: it is there to be read again. Chips of theirs, processes and rows come last.
fn forget_bystanders(snapshot: &mut Snapshot) {
    let tracked = snapshot.processes.iter().take_while(|process| Source::is_tracked(process.source)).count();
    let told = |chip: &&Chip| chip.telemetry.presence <= Presence::Both as u32;
    let chips = snapshot.chips.iter().take_while(told).count();
    snapshot.processes.truncate(tracked);
    snapshot.chips.truncate(chips);
    snapshot.rows.retain(|row| (row.process as usize) < tracked && (row.chip as usize) < chips);
    snapshot.differences.clear();
}

/// Cuts every sum to what can be. Not a reason to refuse them: a process that lies about sizes drives a chip's sums as high as
/// it likes, and a successor would forget everybody's peaks and history for it.
fn bound(snapshot: &mut Snapshot, gone: &mut Gone) {
    let mut counters: [u64; 16] = bytemuck::must_cast(*gone);
    // The first is the generation, which is no sum but has to be what it is in the snapshot.
    counters.iter_mut().skip(1).for_each(|n| *n = (*n).min(MOST));
    *gone = bytemuck::must_cast(counters);
    let health = &mut snapshot.health;
    let processes = snapshot.processes.iter_mut();
    let of_processes = processes.flat_map(|process| [&mut process.events_total, &mut process.dropped_events_total]);
    let figures = snapshot.chips.iter_mut().flat_map(|chip| &mut chip.memory);
    let figures = figures.chain(snapshot.rows.iter_mut().map(|row| &mut row.figures)).flat_map(|figures| {
        let Figures { peak_footprint_bytes, allocated_bytes_total, freed_bytes_total, footprint_bytes, .. } = figures;
        [peak_footprint_bytes, allocated_bytes_total, freed_bytes_total, footprint_bytes]
    });
    let of_health = [&mut health.events_total, &mut health.rejected_rings_total];
    of_processes.chain(figures).chain(of_health).for_each(|n| *n = (*n).min(MOST));
}

fn check(snapshot: &Snapshot) -> Result<(), Refusal> {
    let chips = &snapshot.chips;
    let once = chips.iter().enumerate().all(|(at, chip)| {
        !chips[..at].iter().any(|other| (other.chip_id, other.id_is_logical) == (chip.chip_id, chip.id_is_logical))
    });
    let sound = once
        && chips.iter().flat_map(|chip| &chip.memory).chain(snapshot.rows.iter().map(|row| &row.figures)).all(can_be)
        && snapshot.lines.iter().all(|line| line.severity <= Severity::Error as u32);
    if sound { Ok(()) } else { Err(Refusal::Figures) }
}

fn can_be(figures: &Figures) -> bool {
    figures.capacity_bytes == UNKNOWN || figures.capacity_bytes <= MOST
}
