//! Attaching to a ring: every check before the first byte is believed.

use crate::sections::Place;
use crate::sigbus::Guarded;
use crate::unlinked;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use nix::errno::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use shm_layout::locks::{self, Lock};
use shm_layout::names::{Prefix, ProcessFile};
use shm_layout::procfs;
use shm_layout::ring::{
    CLOSED_CLEAN, DropTable, HEADER_BYTES, Identity, IdentityError, RingHeader, SECTIONS, SOURCE_PROXY, ring_bytes,
};
use shm_layout::segment::{self, Access, Expect, Mapping, SegmentError, remove_if_same};
use shm_layout::stats::Reason;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most slots that a section may have: 1 GiB of records.
pub const MOST_SLOTS: u64 = 1 << 24;

/// Drops above this that a process claims are a lie: a hundred million a second would take a month. It is what a lie can add to
/// the host's sum, and far enough from every true one to be recognised for it.
pub const MOST_DROPS: u64 = 1 << 48;

/// Why a ring is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The file is not as it should be.
    #[error("{error}{next}", error = .0, next = next_step(.0))]
    Segment(#[from] SegmentError),
    /// The header is not as it should be.
    #[error("{name}: {reason}")]
    Identity {
        /// File name.
        name: String,
        /// What is wrong.
        reason: IdentityError,
    },
    /// The header says that it belongs to somebody else than the file's name and owner.
    #[error("{name}: its header names another user or another ring; remove the file if no process of its user has it")]
    Impostor {
        /// File name.
        name: String,
    },
    /// Its process is making room in it.
    #[error(
        "{name}: its process is making room in it; it is tried again; if this lasts, it may be stopped (kill -CONT)"
    )]
    Compacting {
        /// File name.
        name: String,
    },
    /// Sections that contradict each other or the file.
    #[error(
        "{name}: its sections contradict each other or the file's size; restart its process, with the hooks of this version"
    )]
    Sections {
        /// File name.
        name: String,
    },
    /// Somebody else drains it.
    #[error("{name}: {} drains it already, perhaps another aggregator; it is tried again, and read once that one ends", process_text(*.pid))]
    Busy {
        /// File name.
        name: String,
        /// Who; 0 if it is in a pid namespace that cannot be seen from here, or has let go of it meanwhile.
        pid: u32,
    },
    /// As many are tracked as there is room for, of all or of its user.
    #[error("{name}: no room for more, of all or of its user; raise the aggregator's limit on open files (ulimit -n)")]
    Full {
        /// File name.
        name: String,
        /// Whose process it is, as far as that is known.
        uid: u32,
    },
    /// A lock could not be asked for. (What fails when the file is opened and mapped is [`SegmentError::Io`].)
    #[error("{name}: cannot {doing}: {errno}; it is tried again; ENOLCK: memory for locks is short")]
    System {
        /// File name.
        name: String,
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        errno: Errno,
    },
}

/// What may be done about a ring's file that is not as it should be, where the error itself does not say.
const fn next_step(error: &SegmentError) -> &'static str {
    match error {
        SegmentError::NotRegular { .. } | SegmentError::Owner { .. } => "; its owner or root may remove it",
        SegmentError::Size { .. } | SegmentError::Sparse { .. } => "; restart its process, or remove the file",
        SegmentError::Linked { .. } => "; remove all its names but one, which is `….ring.…`",
        _ => "",
    }
}

/// A process by its pid, as far as that can be told.
fn process_text(pid: u32) -> String {
    if pid == 0 { "a hidden process".to_owned() } else { format!("process {pid}") }
}

impl AttachError {
    /// Whether the reason may pass: somebody else drains it, its permissions were taken away, or descriptors or memory are short.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::Compacting { .. }
                | Self::Full { .. }
                | Self::System { .. }
                | Self::Segment(SegmentError::Io { .. } | SegmentError::Permission { .. })
        )
    }

    /// Its kind, for viewers.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Segment(SegmentError::Permission { .. }) => Reason::Permission,
            Self::Segment(SegmentError::NotRegular { .. }) => Reason::NotRegular,
            Self::Segment(SegmentError::Owner { .. }) => Reason::Owner,
            Self::Segment(SegmentError::Size { .. }) => Reason::Size,
            Self::Segment(SegmentError::Sparse { .. }) => Reason::Sparse,
            Self::Segment(SegmentError::Linked { .. }) => Reason::Linked,
            Self::Segment(SegmentError::Io { .. }) | Self::System { .. } => Reason::System,
            Self::Segment(_) => Reason::Other,
            Self::Identity { reason: IdentityError::NotReady, .. } => Reason::NotReady,
            Self::Identity { reason: IdentityError::Magic | IdentityError::Endian, .. } => Reason::NotARing,
            Self::Identity { reason: IdentityError::Version { .. }, .. } => Reason::Version,
            Self::Identity { reason: IdentityError::Geometry, .. } | Self::Sections { .. } => Reason::Geometry,
            Self::Impostor { .. } => Reason::Impostor,
            Self::Compacting { .. } => Reason::Compacting,
            Self::Busy { .. } => Reason::Busy,
            Self::Full { .. } => Reason::NoRoom,
            Self::Identity { .. } => Reason::Other,
        }
    }

    /// Whether the ring may be ready in a moment.
    pub fn is_not_ready(&self) -> bool {
        // A ring that is being made has no blocks yet, or no magic yet.
        matches!(
            self,
            Self::Identity { reason: IdentityError::NotReady, .. }
                | Self::Compacting { .. }
                | Self::Segment(SegmentError::Sparse { .. } | SegmentError::Size { found: 0, .. })
        )
    }
}

/// A ring that this aggregator drains.
#[derive(Debug)]
pub struct AttachedRing {
    opened: Guarded,
    /// A copy of its identity, checked.
    pub identity: Identity,
    /// Its owner as this process sees it; 0 if it is in a pid namespace that cannot be seen from here.
    pub pid: u32,
    pidfd: Option<OwnedFd>,
    /// The section that is read.
    pub(crate) place: Place,
}

impl AttachedRing {
    /// Opens, checks and locks the ring.
    ///
    /// # Errors
    /// See [`AttachError`]. Nothing of the ring was changed then.
    pub fn attach(prefix: &Prefix, file: &ProcessFile) -> Result<Self, AttachError> {
        let name = file.name(prefix);
        let expect =
            Expect { owners: &[file.uid], least: ring_bytes(1), most: ring_bytes(MOST_SLOTS) * SECTIONS as u64 };
        let opened = segment::open(&name, Access::ReadWrite, expect).or_else(|error| match error {
            SegmentError::NotFound { .. } => unlinked::open(prefix, file, Access::ReadWrite, expect),
            other => Err(other),
        })?;
        let file_bytes = opened.mapping.len() as u64;
        let opened = Guarded::new(opened).ok_or_else(|| AttachError::Full { name: name.clone(), uid: file.uid })?;
        let Some(header) = opened.mapping.one::<RingHeader<AtomicU64>>(0) else {
            return Err(SegmentError::Size { name, found: file_bytes }.into());
        };
        let identity = header.identity();
        identity.check(file_bytes).map_err(|reason| AttachError::Identity { name: name.clone(), reason })?;
        if identity.slots > MOST_SLOTS {
            return Err(AttachError::Sections { name });
        }
        if (identity.uid, identity.pid, identity.nonce) != (file.uid, file.pid, file.nonce) {
            return Err(AttachError::Impostor { name });
        }
        // Only an aggregator of our own user speaks for others.
        if identity.source == SOURCE_PROXY && file.uid != nix::unistd::geteuid().as_raw() {
            return Err(AttachError::Impostor { name });
        }
        let system = |doing| {
            let name = name.clone();
            move |errno| AttachError::System { name, doing, errno }
        };
        if !locks::try_take(&opened.file, Lock::Consumer).map_err(system("take the consumer lock"))? {
            let pid = locks::holder(&opened.file, Lock::Consumer).ok().flatten().unwrap_or(0);
            return Err(AttachError::Busy { name, pid });
        }
        let owner = locks::holder(&opened.file, Lock::Owner).map_err(system("look at the owner lock"))?;
        let place = Place::first(identity.slots);
        let mut ring = Self { opened, identity, pid: 0, pidfd: None, place };
        ring.meet(owner);
        Ok(ring)
    }

    /// Learns who the owner is, while it provably is: the lock is asked again after the pidfd was opened.
    fn meet(&mut self, owner: Option<u32>) {
        if self.is_proxy() {
            return self.meet_client();
        }
        self.pid = match owner {
            Some(pid) => pid,
            None => return self.pid = self.identity.pid,
        };
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return };
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        if matches!(locks::holder(&self.opened.file, Lock::Owner), Ok(Some(again)) if again == self.pid) {
            self.pidfd = Some(pidfd);
        }
    }

    /// Learns of the process that the socket listener speaks for: no lock tells of it, its pid and start do.
    fn meet_client(&mut self) {
        self.pid = self.identity.pid;
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return };
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        if !self.client_is_dead() {
            self.pidfd = Some(pidfd);
        }
    }

    fn client_is_dead(&self) -> bool {
        match procfs::stat(&self.pid.to_string()) {
            None => procfs::is_gone(self.pid),
            Some(stat) => stat.state == b'Z' || stat.start_ticks != self.identity.start_ticks,
        }
    }

    /// Whether an aggregator's socket listener writes it on behalf of its process.
    pub fn is_proxy(&self) -> bool {
        self.identity.source == SOURCE_PROXY
    }

    /// The user whose process it is about.
    pub fn client_uid(&self) -> u32 {
        if self.is_proxy() { self.identity.client_uid } else { self.identity.uid }
    }

    /// The pidfd has told what it had to tell.
    pub fn close_pidfd(&mut self) {
        self.pidfd = None;
    }

    /// Becomes readable when the owner is dead; `None` if it cannot be had.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    pub(crate) fn header(&self) -> &RingHeader<AtomicU64> {
        self.opened.mapping.one(0).unwrap_or_else(|| unreachable!("checked at attach"))
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.opened.mapping
    }

    pub(crate) fn file(&self) -> &OwnedFd {
        &self.opened.file
    }

    /// File name.
    pub fn name(&self) -> &str {
        &self.opened.name
    }

    pub(crate) fn system(&self, doing: &'static str, errno: Errno) -> AttachError {
        AttachError::System { name: self.opened.name.clone(), doing, errno }
    }

    /// Maps the file up to this byte: it has grown since.
    pub(crate) fn see_up_to(&mut self, bytes: usize) -> Result<(), AttachError> {
        if bytes <= self.opened.mapping.len() {
            return Ok(());
        }
        self.opened.follow(bytes).map_err(AttachError::Segment)
    }

    /// The ring's drop table.
    pub fn drops(&self) -> &DropTable<AtomicU64> {
        self.opened.mapping.one(HEADER_BYTES).unwrap_or_else(|| unreachable!("checked at attach"))
    }

    /// Tells in the header how far the ring is read.
    pub fn set_cursor(&self, cursor: u64) {
        // SYNC(ring.cursor): the socket's listener goes on with the ledger of an earlier aggregator once its ring is read; pairs
        // with the Acquire in legacy/proxy.rs `is_read`. To everybody else it is a courtesy.
        self.header().cursor.store(cursor, Release);
    }

    /// Keeps the producer's clock.
    pub fn set_clock(&self, monotonic_ns: u64) {
        // Relaxed: a time stamp orders nothing.
        self.header().clock.store(monotonic_ns, Relaxed);
    }

    /// Records that did not fit, so far; at most [`MOST_DROPS`]. Not cut to what the drop table adds up to: that one is the
    /// process's word as well, and a release of no told number of blocks is one record of no block.
    pub fn dropped(&self) -> u64 {
        // SYNC(ring.dropped): the cells that these records were counted in are visible; pairs with the Release in the
        // producer's ring.rs `count_lost`.
        self.header().dropped.load(Acquire).min(MOST_DROPS)
    }

    /// Of these, records other than allocations and frees.
    pub fn lost_controls(&self) -> u64 {
        // Relaxed: a counter.
        self.header().lost_controls.load(Relaxed)
    }

    /// Whether its process ended it in good order.
    pub fn closed(&self) -> bool {
        // SYNC(ring.closed): every record before the close is there; pairs with the Release in the producer's ring.rs
        // `close`.
        self.header().closed.load(Acquire) == CLOSED_CLEAN
    }

    /// Whether the file shrank under us; its pages read as zeros since.
    pub fn was_shrunk(&self) -> bool {
        self.opened.faulted()
    }

    /// Device and inode of its file.
    pub fn inode(&self) -> (u64, u64) {
        self.opened.inode
    }

    /// Unlinks the file, if it still has its name.
    pub fn remove(&self) {
        remove_if_same(&self.opened.name, self.opened.inode);
    }

    /// Whether its owner is dead, for those whose pidfd cannot tell: by owner lock, pid, start time and mappings together.
    pub fn owner_is_dead(&self) -> bool {
        if self.is_proxy() {
            return self.client_is_dead();
        }
        if !matches!(locks::holder(&self.opened.file, Lock::Owner), Ok(None)) {
            return false;
        }
        // The lock is free. A process loses it by closing any descriptor of the file, too: ask who has the pid now.
        match procfs::stat(&self.pid.to_string()) {
            // Not seen is not dead: /proc may hide it (hidepid).
            None => procfs::is_gone(self.pid),
            Some(stat) if stat.state == b'Z' || stat.start_ticks != self.identity.start_ticks => true,
            Some(_) => self.owner_has_unmapped(),
        }
    }

    /// Whether the owner lives but has another program now (exec): its ring is not mapped any more.
    fn owner_has_unmapped(&self) -> bool {
        let maps = procfs::read_bounded(&format!("/proc/{}/maps", self.pid), 64 << 20);
        // Not by windows: a sweep over many owners would compare megabytes place by place.
        maps.is_ok_and(|maps| !maps.is_empty() && !String::from_utf8_lossy(&maps).contains(&self.opened.name))
    }
}

/// What is opened is left as it was found, for the next consumer.
impl Drop for AttachedRing {
    fn drop(&mut self) {
        self.set_clock(0);
    }
}
