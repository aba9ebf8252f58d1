//! The stats segment of this host: found, checked, read, and found again when the aggregator is replaced.

mod absence;

pub use absence::SourceError;

pub use crate::history::History;

use crate::clock;
use aggregator::sigbus::Guarded;
use shm_layout::names::{DIRECTORY, Prefix};
use shm_layout::procfs;
use shm_layout::segment::{Access, Expect, Opened, open};
use shm_layout::stats::{Identity, IdentityError, Snapshot, StatsHeader, StatsView, stats_bytes};
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

/// What was read at one poll.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Of the files' names.
    pub prefix: Prefix,
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
    /// Whether the aggregator runs, at the moment of the poll.
    pub fn connection(&self) -> Connection {
        connection(&self.identity, self.heartbeat_ns, self.now_ns)
    }
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
    opened: Guarded,
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
        let head = view.history_head();
        if head == self.history_head && chips == self.history.len() {
            return;
        }
        self.history = (0..chips).map(|chip| Rc::new(History::read(&view, chip, head))).collect();
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
    prefix: Prefix,
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
        Self { prefix: prefix.clone(), name: prefix.stats(), owners, attached: None, words: Vec::new() }
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
        let found = self.look();
        // What was read since is zeros, whatever became of it.
        let lost = self.attached.as_ref().is_some_and(|attached| attached.opened.faulted());
        let found = if lost { Err(SourceError::Lost { name: self.name.clone() }) } else { found };
        found.unwrap_or_else(|error| {
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
        let prefix = self.prefix.clone();
        let seen = Observation { prefix, snapshot, history, history_head, identity, heartbeat_ns, now_ns, unix_ns };
        let connection = connection(&identity, heartbeat_ns, now_ns);
        Ok(News::Feed(Box::new(Feed { connection, seen: Some(seen) })))
    }

    fn attach(&self) -> Result<Attached, SourceError> {
        let bytes = stats_bytes() as u64;
        // From 0 on: what is too small is told apart from what is of another version.
        let expect = Expect { owners: &self.owners, least: 0, most: u64::MAX };
        let opened = open(&self.name, Access::Read, expect).map_err(SourceError::from_segment)?;
        let foreign = |error| SourceError::Foreign { name: self.name.clone(), error };
        let opened = Guarded::new(opened).ok_or_else(|| SourceError::Busy { name: self.name.clone() })?;
        let identity = identity(&opened).ok_or(foreign(IdentityError::Geometry))?;
        identity.check().map_err(|error| match error {
            _ if opened.faulted() => SourceError::Lost { name: self.name.clone() },
            IdentityError::NotReady => SourceError::NotReady { name: self.name.clone() },
            other => foreign(other),
        })?;
        if opened.mapping.len() as u64 != bytes {
            return Err(foreign(IdentityError::Geometry));
        }
        Ok(Attached { opened, identity, edition: None, history: Vec::new(), history_head: 0 })
    }

    /// Whether the name still leads to the file that is mapped, in its full size, and the same aggregator publishes in it.
    fn is_current(&self, attached: &Attached) -> bool {
        let same_file = std::fs::symlink_metadata(format!("{DIRECTORY}/{}", self.name)).is_ok_and(|m| {
            (m.dev(), m.ino()) == attached.opened.inode && m.len() == attached.opened.mapping.len() as u64
        });
        // Where there was no room for a second segment, a successor goes on in the one that is there.
        same_file && identity(&attached.opened) == Some(attached.identity)
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
    let gone = match procfs::stat(&identity.pid.to_string()) {
        Some(stat) => stat.start_ticks != identity.start_ticks || stat.state == b'Z',
        // Not seen is not dead: /proc may hide it (hidepid).
        None => procfs::is_gone(identity.pid),
    };
    if gone || age_ns > STALE_AFTER_NS { Connection::Stale { age_ns, gone } } else { Connection::Live }
}

#[cfg(test)]
mod tests;
