//! The stats segment of this host: found, checked, read, and found again when the aggregator is replaced.

use crate::clock;
use shm_layout::event::Memory;
use shm_layout::names::{DIRECTORY, Prefix};
use shm_layout::procfs;
use shm_layout::segment::{Access, Expect, Opened, SegmentError, open};
use shm_layout::stats::{
    DecodeError, HISTORY_SECONDS_PER_SAMPLE, Identity, IdentityError, Snapshot, StatsHeader, StatsView, stats_bytes,
};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Acquire;

/// A heartbeat older than this is a stopped aggregator, ns.
pub const STALE_AFTER_NS: u64 = 2_000_000_000;
/// With its process gone, this age is enough, ns. The pid alone is no proof: the aggregator may be in another pid
/// namespace.
const GONE_AFTER_NS: u64 = 500_000_000;
/// Copies tried before the figures of the last poll are kept for one more.
const TRIES: usize = 64;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No stats segment.
    #[error(
        "no aggregator runs on this host (no {DIRECTORY}/{name}); start one with `aggregator &` or look with `alloc-top --embedded`"
    )]
    NoAggregator {
        /// File name.
        name: String,
    },
    /// The segment is being made.
    #[error("{DIRECTORY}/{name} is not ready yet; the aggregator is starting, try again in a moment")]
    NotReady {
        /// File name.
        name: String,
    },
    /// Not a segment that this build reads.
    #[error("{DIRECTORY}/{name}: {error}")]
    Foreign {
        /// File name.
        name: String,
        /// What is wrong.
        error: IdentityError,
    },
    /// Owned by a user who must not publish figures for others.
    #[error(
        "{DIRECTORY}/{name} belongs to user {found}, neither root nor you: refused, it may be forged; ask user {found} to stop it, or run the aggregator as root"
    )]
    Owner {
        /// File name.
        name: String,
        /// The owner.
        found: u32,
    },
    /// It may not be read.
    #[error(
        "{DIRECTORY}/{name} may not be read; ask its owner for an aggregator that publishes to everybody (mode 0644)"
    )]
    Permission {
        /// File name.
        name: String,
    },
    /// Anything else about the file.
    #[error("{DIRECTORY}/{0}; remove the file if no aggregator uses it, then start one with `aggregator &`")]
    Segment(#[source] SegmentError),
    /// The writer was quicker than every copy.
    #[error("{DIRECTORY}/{name} changed during every one of {TRIES} copies; try again")]
    Busy {
        /// File name.
        name: String,
    },
    /// Counts that contradict each other.
    #[error("{DIRECTORY}/{name}: {error}; restart the aggregator")]
    Damaged {
        /// File name.
        name: String,
        /// What is wrong.
        error: DecodeError,
    },
}

impl SourceError {
    fn from_segment(error: SegmentError) -> Self {
        match error {
            SegmentError::NotFound { name } => Self::NoAggregator { name },
            SegmentError::Owner { name, found } => Self::Owner { name, found },
            SegmentError::Permission { name } => Self::Permission { name },
            // A file of no size yet was created a moment ago.
            SegmentError::Size { name, found: 0 } => Self::NotReady { name },
            other => Self::Segment(other),
        }
    }

    /// Whether there simply is nothing to show: no aggregator, or none that is ready.
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::NoAggregator { .. } | Self::NotReady { .. })
    }
}

/// What is known of the aggregator at this poll.
#[derive(Debug)]
pub enum Connection {
    /// It runs.
    Live,
    /// It has not run for a while; the figures are its last ones.
    Stale {
        /// Since its last heartbeat, ns.
        age_ns: u64,
        /// Its process is gone, as far as can be seen from here.
        gone: bool,
    },
    /// It ended in good order; the figures are its last ones.
    Ended,
    /// There is nothing to read.
    Unavailable(SourceError),
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("the aggregator runs"),
            Self::Stale { age_ns, gone: false } => {
                write!(f, "the aggregator has not answered for {}: figures are old", crate::units::age(*age_ns))
            }
            Self::Stale { age_ns, gone: true } => {
                write!(f, "the aggregator died {} ago: figures are old", crate::units::age(*age_ns))
            }
            Self::Ended => f.write_str("the aggregator was stopped: figures are its last"),
            Self::Unavailable(error) => error.fmt(f),
        }
    }
}

/// The footprints of one chip over time, the oldest first, one sample a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// DRAM, bytes.
    pub dram: Vec<u64>,
    /// L1, bytes.
    pub l1: Vec<u64>,
}

/// What was read at one poll.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The figures.
    pub snapshot: Snapshot,
    /// By chip, as in the snapshot. Shared by the looks between two samples.
    pub history: Vec<Rc<History>>,
    /// Number of the newest sample.
    pub history_head: u64,
    /// Who publishes.
    pub identity: Identity,
    /// The aggregator's last round, `CLOCK_MONOTONIC` ns.
    pub heartbeat_ns: u64,
    /// The moment of the poll, `CLOCK_MONOTONIC` ns.
    pub now_ns: u64,
    /// The same moment, Unix time in ns.
    pub unix_ns: u64,
}

impl Observation {
    /// Time that a history sample stands for, s.
    pub const SECONDS_PER_SAMPLE: u64 = HISTORY_SECONDS_PER_SAMPLE;
}

/// The answer to one poll.
#[derive(Debug)]
pub struct Feed {
    /// The aggregator's state.
    pub connection: Connection,
    /// The figures; `None` when there is nothing to read now.
    pub seen: Option<Observation>,
}

/// What changes though the figures do not.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// By chip, as the aggregator has them.
    pub history: Vec<Rc<History>>,
    /// Number of the newest sample.
    pub history_head: u64,
    /// The aggregator's last round, `CLOCK_MONOTONIC` ns.
    pub heartbeat_ns: u64,
    /// The moment of the poll, `CLOCK_MONOTONIC` ns.
    pub now_ns: u64,
    /// The same moment, Unix time in ns.
    pub unix_ns: u64,
}

/// The answer to one poll of somebody who has the answers before.
#[derive(Debug)]
pub enum News {
    /// Other figures, or none.
    Feed(Box<Feed>),
    /// The figures of the last feed, published once and not again: they were not copied.
    Same {
        /// The aggregator's state.
        connection: Connection,
        /// What has changed nevertheless.
        pulse: Pulse,
    },
}

/// Names one published snapshot of one segment: the buffer shown, and its sequence word. A buffer that is written again has
/// another sequence, and one that was shown before is not shown again without being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edition {
    active: u64,
    sequence: u64,
}

struct Attached {
    opened: Opened,
    identity: Identity,
    /// What was copied last.
    edition: Option<Edition>,
    history: Vec<Rc<History>>,
    history_head: u64,
}

impl Attached {
    fn view(&self) -> Option<StatsView<'_, AtomicU64>> {
        view(&self.opened)
    }

    /// What is shown now; `None` where that cannot be told.
    fn shown(&self) -> Option<Edition> {
        // SYNC(seqlock.active): pairs with the Release of the index in shm-layout's seqlock.rs.
        let active = self.view()?.header.active.load(Acquire) & 1;
        // The two buffers are the last in the file; `Identity::check` has seen to their size.
        let buffer = usize::try_from(self.identity.buffer_words).ok()?.checked_mul(8)?;
        let offset = self.opened.mapping.len().checked_sub(buffer.checked_mul(2 - active as usize)?)?;
        // SYNC(seqlock.even): nothing is read behind it; the copy itself looks again.
        let sequence = self.opened.mapping.one::<AtomicU64>(offset)?.load(Acquire);
        (sequence & 1 == 0 && sequence != 0).then_some(Edition { active, sequence })
    }

    /// Reads the histories of so many chips, if there is a sample that has not been read.
    fn read_history(&mut self, chips: usize) {
        let Some(view) = view(&self.opened) else { return };
        // SYNC(stats.history): as in `StatsView::history`.
        let head = view.header.history_head.load(Acquire);
        if head == self.history_head && chips == self.history.len() {
            return;
        }
        let of = |chip, memory| view.history(chip, memory as usize);
        let history = |chip| Rc::new(History { dram: of(chip, Memory::Dram), l1: of(chip, Memory::L1) });
        self.history = (0..chips).map(history).collect();
        self.history_head = head;
    }

    fn pulse(&self) -> Option<Pulse> {
        Some(Pulse {
            history: self.history.clone(),
            history_head: self.history_head,
            heartbeat_ns: self.view()?.header.heartbeat.load(Acquire),
            now_ns: clock::monotonic_ns(),
            unix_ns: clock::unix_ns(),
        })
    }
}

fn view(opened: &Opened) -> Option<StatsView<'_, AtomicU64>> {
    let behind = size_of::<StatsHeader<AtomicU64>>();
    let words = opened.mapping.array(behind, opened.mapping.len().checked_sub(behind)? / 8)?;
    StatsView::new(opened.mapping.one(0)?, words)
}

/// The identity, also of a segment whose size is not this version's. `None` when the file is too short for one.
fn identity(opened: &Opened) -> Option<Identity> {
    const WORDS: usize = size_of::<Identity>() / 8;
    let shared: &[AtomicU64] = opened.mapping.array(0, WORDS)?;
    let mut words = [0; WORDS];
    // SYNC(stats.magic): the first load; pairs with the Release in `StatsView::announce`.
    for (word, from) in words.iter_mut().zip(shared) {
        *word = from.load(Acquire);
    }
    Some(bytemuck::must_cast(words))
}

/// A reader of the stats segment.
pub struct Source {
    name: String,
    owners: Vec<u32>,
    attached: Option<Attached>,
    words: Vec<u64>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    /// Of this prefix. Only root's segment and the viewer's own are believed.
    pub fn new(prefix: &Prefix) -> Self {
        Self::trusting(prefix, trusted_owners())
    }

    /// Of this prefix, believing these owners.
    pub fn trusting(prefix: &Prefix, owners: Vec<u32>) -> Self {
        Self { name: prefix.stats(), owners, attached: None, words: Vec::new() }
    }

    /// Looks once. Never waits: what is not there now is an answer, too.
    pub fn poll(&mut self) -> Feed {
        self.forget_edition();
        let feed = match self.poll_again() {
            News::Feed(feed) => *feed,
            // Not without an edition to compare with.
            News::Same { connection, .. } => Feed { connection, seen: None },
        };
        // Whoever polls again has not got this feed.
        self.forget_edition();
        feed
    }

    fn forget_edition(&mut self) {
        if let Some(attached) = &mut self.attached {
            attached.edition = None;
        }
    }

    /// Looks once, for somebody who keeps what the last look brought: figures that are still the same are not copied again.
    pub fn poll_again(&mut self) -> News {
        self.look().unwrap_or_else(|error| {
            // Not while it is merely busy: attaching again would not make it quicker.
            if !matches!(error, SourceError::Busy { .. }) {
                self.attached = None;
            }
            News::Feed(Box::new(Feed { connection: Connection::Unavailable(error), seen: None }))
        })
    }

    fn look(&mut self) -> Result<News, SourceError> {
        if self.attached.as_ref().is_some_and(|attached| !self.is_current(attached)) {
            self.attached = None;
        }
        let attached = match self.attached.take() {
            Some(attached) => attached,
            None => self.attach()?,
        };
        let attached = self.attached.insert(attached);
        let name = || self.name.clone();
        let geometry = || SourceError::Foreign { name: name(), error: IdentityError::Geometry };
        // Looked at before the copy: if another one is shown meanwhile, the next look copies once too often.
        let edition = attached.shown();
        if edition.is_some() && edition == attached.edition {
            attached.read_history(attached.history.len());
            let pulse = attached.pulse().ok_or_else(geometry)?;
            let connection = connection(&attached.identity, pulse.heartbeat_ns, pulse.now_ns);
            return Ok(News::Same { connection, pulse });
        }
        let view = attached.view().ok_or_else(geometry)?;
        if !view.snapshots().read_within(&mut self.words, TRIES) {
            // No snapshot yet looks like this as well.
            let ran = view.header.heartbeat.load(Acquire) != 0;
            return Err(if ran { SourceError::Busy { name: name() } } else { SourceError::NotReady { name: name() } });
        }
        let snapshot = Snapshot::decode(&self.words).map_err(|error| SourceError::Damaged { name: name(), error })?;
        attached.edition = edition;
        attached.read_history(snapshot.chips.len());
        let Pulse { history, history_head, heartbeat_ns, now_ns, unix_ns } = attached.pulse().ok_or_else(geometry)?;
        let identity = attached.identity;
        let seen = Observation { snapshot, history, history_head, identity, heartbeat_ns, now_ns, unix_ns };
        let connection = connection(&identity, heartbeat_ns, now_ns);
        Ok(News::Feed(Box::new(Feed { connection, seen: Some(seen) })))
    }

    fn attach(&self) -> Result<Attached, SourceError> {
        let bytes = stats_bytes() as u64;
        // From 0 on: what is too small is told apart from what is of another version.
        let expect = Expect { owners: &self.owners, least: 0, most: u64::MAX };
        let opened = open(&self.name, Access::Read, expect).map_err(SourceError::from_segment)?;
        let foreign = |error| SourceError::Foreign { name: self.name.clone(), error };
        let identity = identity(&opened).ok_or(foreign(IdentityError::Geometry))?;
        identity.check().map_err(|error| match error {
            IdentityError::NotReady => SourceError::NotReady { name: self.name.clone() },
            other => foreign(other),
        })?;
        if opened.mapping.len() as u64 != bytes {
            return Err(foreign(IdentityError::Geometry));
        }
        Ok(Attached { opened, identity, edition: None, history: Vec::new(), history_head: 0 })
    }

    /// Whether the name still leads to the file that is mapped, in its full size.
    fn is_current(&self, attached: &Attached) -> bool {
        std::fs::symlink_metadata(format!("{DIRECTORY}/{}", self.name)).is_ok_and(|m| {
            (m.dev(), m.ino()) == attached.opened.inode && m.len() == attached.opened.mapping.len() as u64
        })
    }
}

/// Who may publish figures to this viewer: root, and the viewer's own user.
pub fn trusted_owners() -> Vec<u32> {
    vec![0, nix::unistd::geteuid().as_raw()]
}

fn connection(identity: &Identity, heartbeat_ns: u64, now_ns: u64) -> Connection {
    if heartbeat_ns == 0 {
        return Connection::Ended;
    }
    let age_ns = now_ns.saturating_sub(heartbeat_ns);
    if age_ns <= GONE_AFTER_NS {
        return Connection::Live;
    }
    let gone = procfs::stat(&identity.pid.to_string())
        .is_none_or(|stat| stat.start_ticks != identity.start_ticks || stat.state == b'Z');
    if gone || age_ns > STALE_AFTER_NS { Connection::Stale { age_ns, gone } } else { Connection::Live }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::sample;
    use shm_layout::segment::{Created, create};
    use shm_layout::stats::{MAGIC, VERSION};
    use std::sync::atomic::Ordering::Relaxed;

    /// A stats segment of its own name, removed at the end.
    struct Published {
        prefix: Prefix,
        created: Created,
    }

    impl Published {
        fn new(test: &str, bytes: usize) -> Self {
            let prefix = Prefix::new(&format!("tt_test_tui_{}_{test}", std::process::id())).unwrap();
            let created = create(&prefix.stats(), bytes).unwrap();
            Self { prefix, created }
        }

        fn announced(test: &str) -> Self {
            let published = Self::new(test, stats_bytes());
            published.announce();
            published
        }

        fn view(&self) -> StatsView<'_, AtomicU64> {
            let behind = size_of::<StatsHeader<AtomicU64>>();
            let mapping = &self.created.mapping;
            let words = mapping.array(behind, (mapping.len() - behind) / 8).unwrap();
            StatsView::new(mapping.one(0).unwrap(), words).unwrap()
        }

        fn announce(&self) {
            let start_ticks = procfs::stat("self").unwrap().start_ticks;
            self.view().announce(Identity { pid: std::process::id(), start_ticks, ..sample::identity() });
        }

        fn publish(&self, snapshot: &Snapshot) {
            let mut words = Vec::new();
            snapshot.encode(&mut words);
            self.view().snapshots().publish(&words);
            self.view().header.heartbeat.store(clock::monotonic_ns(), Relaxed);
        }

        fn source(&self) -> Source {
            Source::new(&self.prefix)
        }
    }

    impl Drop for Published {
        fn drop(&mut self) {
            self.created.remove();
        }
    }

    fn error(feed: Feed) -> SourceError {
        match feed.connection {
            Connection::Unavailable(error) => error,
            other => panic!("expected an error, found: {other}"),
        }
    }

    #[test]
    fn follows_the_aggregator_from_absent_to_replaced() {
        let published = Published::new("life", stats_bytes());
        let mut source = published.source();
        assert!(matches!(error(source.poll()), SourceError::NotReady { .. }));
        published.announce();
        assert!(matches!(error(source.poll()), SourceError::NotReady { .. }), "announced, nothing published");
        published.publish(&sample::host(2));
        published.view().record_sample(1, 0, 0, 77);
        published.view().advance_history(0);
        let feed = source.poll();
        assert!(matches!(feed.connection, Connection::Live));
        let seen = feed.seen.unwrap();
        assert_eq!(seen.snapshot, sample::host(2));
        assert_eq!((seen.history[1].dram.as_slice(), seen.history_head), ([77].as_slice(), 1));

        published.created.remove();
        assert!(matches!(error(source.poll()), SourceError::NoAggregator { .. }));
        let next = Published::announced("life");
        next.publish(&sample::host(3));
        assert_eq!(source.poll().seen.unwrap().snapshot.chips.len(), 3);
        // Replaced without being absent at any poll.
        next.created.remove();
        let last = Published::announced("life");
        last.publish(&sample::host(1));
        assert_eq!(source.poll().seen.unwrap().snapshot.chips.len(), 1);
    }

    #[test]
    fn figures_published_once_are_copied_once() {
        let published = Published::announced("edition");
        let mut source = published.source();
        let publish = |generation| {
            let mut snapshot = sample::host(2);
            snapshot.health.generation = generation;
            published.publish(&snapshot);
        };
        // The generation of what was copied; `None` where nothing was.
        let generation = |news: News| match news {
            News::Feed(feed) => Some(feed.seen.unwrap().snapshot.health.generation),
            News::Same { .. } => None,
        };
        publish(1);
        assert_eq!(source.poll().seen.unwrap().snapshot.health.generation, 1);
        assert_eq!(generation(source.poll_again()), Some(1), "that poll was not this one's");
        assert_eq!(generation(source.poll_again()), None);
        published.view().record_sample(0, 0, 0, 77);
        published.view().advance_history(0);
        published.view().header.heartbeat.store(0, Relaxed);
        let News::Same { connection: Connection::Ended, pulse } = source.poll_again() else { panic!("not the same") };
        assert_eq!((pulse.history[0].dram.as_slice(), pulse.history_head), ([77].as_slice(), 1), "time goes on");
        // One and two snapshots later: another buffer, the same buffer.
        publish(2);
        assert_eq!(generation(source.poll_again()), Some(2));
        publish(3);
        publish(4);
        assert_eq!(generation(source.poll_again()), Some(4));
        publish(5);
        publish(6);
        assert_eq!(generation(source.poll_again()), Some(6));
        assert_eq!(generation(source.poll_again()), None);
        // A poll in full is one in any case.
        assert!(source.poll().seen.is_some());
        // Another segment of the same name begins with the same sequence words.
        published.created.remove();
        let next = Published::announced("edition");
        for _ in 0..6 {
            next.publish(&sample::host(3));
        }
        let News::Feed(feed) = source.poll_again() else { panic!("it is another one") };
        assert_eq!(feed.seen.unwrap().snapshot.chips.len(), 3);
    }

    #[test]
    fn figures_not_copied_again_make_the_same_screen() {
        use crate::screen::dashboard::Dashboard;
        let published = Published::announced("screen");
        published.publish(&sample::host(4));
        let mut dashboards = [published.source(), published.source()].map(|source| {
            let theme = crate::screen::theme::Theme::new(true, false);
            let zone = crate::clock::Zone::utc();
            (Dashboard::new("box".into(), zone, theme, crate::selection::Selection::default(), 100), source)
        });
        for round in 0..3 {
            let [(looks, source), (copies, other)] = &mut dashboards;
            looks.look(source);
            copies.update(other.poll());
            published.view().record_sample(3, 0, round, 77 << round);
            published.view().advance_history(round);
        }
        let pictures = dashboards.map(|(mut dashboard, mut source)| {
            dashboard.look(&mut source);
            let seen = dashboard.seen.as_mut().unwrap();
            (seen.now_ns, seen.unix_ns) = (seen.identity.started_monotonic_ns, sample::UNIX_NS);
            let mut buffer = ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, 160, 45));
            let area = buffer.area;
            crate::screen::draw(&mut buffer, area, &dashboard);
            buffer
        });
        assert_eq!(pictures[0], pictures[1]);
        assert!(pictures[0].content.iter().any(|cell| cell.symbol() == "█"), "there are figures on it");
    }

    #[test]
    fn tells_old_figures_from_new_ones() {
        let published = Published::announced("stale");
        published.publish(&sample::host(1));
        let mut source = published.source();
        let heartbeat = |ns| published.view().header.heartbeat.store(ns, Relaxed);
        heartbeat(clock::monotonic_ns() - 3 * STALE_AFTER_NS);
        let feed = source.poll();
        assert!(matches!(feed.connection, Connection::Stale { age_ns, gone: false } if age_ns > STALE_AFTER_NS));
        assert!(feed.seen.is_some(), "the last figures are shown");
        heartbeat(0);
        assert!(matches!(source.poll().connection, Connection::Ended));
        // Its pid belongs to another process by now.
        published.view().announce(Identity { pid: std::process::id(), start_ticks: 1, ..sample::identity() });
        heartbeat(clock::monotonic_ns() - GONE_AFTER_NS - 1);
        assert!(matches!(published.source().poll().connection, Connection::Stale { gone: true, .. }));
    }

    #[test]
    fn refuses_a_foreign_owner() {
        let published = Published::announced("owner");
        published.publish(&sample::host(1));
        let mut source = Source::trusting(&published.prefix, vec![4_123_456_789]);
        let error = error(source.poll());
        assert!(matches!(error, SourceError::Owner { .. }), "{error}");
        assert!(error.to_string().contains("refused") && !error.is_absence());
    }

    #[test]
    fn refuses_another_version_whatever_its_size() {
        for bytes in [4096, stats_bytes(), stats_bytes() + 4096] {
            let published = Published::new(&format!("version{bytes}"), bytes);
            let words: &[AtomicU64] = published.created.mapping.array(0, 2).unwrap();
            words[1].store(u64::from(VERSION + 1) | u64::from(shm_layout::ring::ENDIAN_MARK) << 32, Relaxed);
            words[0].store(MAGIC, Relaxed);
            let error = error(published.source().poll());
            let wrong = matches!(error, SourceError::Foreign { error: IdentityError::Version { found }, .. } if found == VERSION + 1);
            assert!(wrong, "{bytes}: {error}");
        }
    }

    #[test]
    fn refuses_what_is_no_stats_segment() {
        let published = Published::new("magic", 4096);
        published.created.mapping.one::<AtomicU64>(0).unwrap().store(5, Relaxed);
        assert!(matches!(error(published.source().poll()), SourceError::Foreign { error: IdentityError::Magic, .. }));
        let short = Published::new("short", 64);
        assert!(matches!(error(short.source().poll()), SourceError::Foreign { error: IdentityError::Geometry, .. }));
    }

    #[test]
    fn survives_a_segment_that_shrinks_or_lies() {
        let published = Published::announced("shrink");
        published.publish(&sample::host(1));
        let mut source = published.source();
        assert!(source.poll().seen.is_some());
        published.view().snapshots().publish(&[u64::MAX; 40]);
        assert!(matches!(error(source.poll()), SourceError::Damaged { .. }));
        nix::unistd::ftruncate(&published.created.file, 8192).unwrap();
        assert!(matches!(error(source.poll()), SourceError::Foreign { error: IdentityError::Geometry, .. }));
        nix::unistd::ftruncate(&published.created.file, 0).unwrap();
        assert!(matches!(error(source.poll()), SourceError::NotReady { .. }));
    }
}
