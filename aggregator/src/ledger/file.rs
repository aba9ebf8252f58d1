//! The ledger's file: entries and state blocks that outlive this aggregator, and how they grow.

use crate::sigbus::{Fault, Guard};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::ledger::{
    ENTRIES_OFFSET, Identity, IdentityError, LedgerHeader, LedgerState, STATE_WORDS, TAGS_OFFSET, TagNames,
    ledger_bytes, state_offset,
};
use shm_layout::ring::Slot;
use shm_layout::segment::{self, Access, Expect, Mapping, SegmentError, remove_if_same};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Entries of a new ledger.
const FIRST_ENTRIES: usize = 512;
/// Entries above which a ledger does not grow (1 GiB): further allocations count in the totals only.
pub const MOST_ENTRIES: usize = 1 << 24;
/// It grows by an eighth when its entries are used up, at most by these (1 MiB) at once: more would take longer than others can wait.
const MOST_ADDED: usize = 1 << 14;
/// No ring comes to this many records; a ledger that says so is not continued, for its next commits would not fit their word.
const LAST: u64 = 1 << 62;
/// Addresses are taken for 16 times what is needed when they do not suffice, so that pages hardly ever move.
const ROOM: usize = 16;
/// When it is tried again to grow, after /dev/shm was full.
const AGAIN: Duration = Duration::from_millis(100);

/// The file.
#[derive(Debug)]
pub struct File {
    // Dropped before what it guards.
    guard: Guard,
    mapping: Mapping,
    descriptor: OwnedFd,
    name: String,
    inode: (u64, u64),
    capacity: usize,
    /// State block in force.
    block: usize,
    words: Vec<u64>,
    full_since: Option<Instant>,
    /// Since it last grew.
    complained: bool,
    notice: Option<String>,
}

/// A file that was there, as far as its header goes.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub file: File,
    /// Every ring record before this one is in it.
    pub applied: u64,
    /// Whether its last batch was committed and not settled.
    pub unsettled: bool,
    /// The sums as of then.
    pub state: LedgerState,
}

impl File {
    /// Makes the file, in place of an unusable one of ours. Not announced yet.
    pub fn create(name: &str) -> Result<Self, SegmentError> {
        let bytes = ledger_bytes(FIRST_ENTRIES);
        let mut created = match segment::create(name, bytes) {
            Err(SegmentError::Exists { .. }) => {
                // Ours, but not usable (an unfinished or foreign layout): begin anew. A stranger's file stays.
                segment::remove_own(name);
                segment::create(name, bytes)?
            }
            other => other?,
        };
        created.publish_to_all()?;
        // Mapped once more, with room to grow: what made it keeps a descriptor of its own as long as its mapping is in use.
        let room = ledger_bytes(FIRST_ENTRIES * ROOM);
        if let Err(error) = segment::grow(name, &created.file, &mut created.mapping, bytes, room) {
            created.remove();
            return Err(error);
        }
        created.mapping.prefault(0, bytes);
        let Some(guard) = Guard::over(&created.mapping) else {
            created.remove();
            let source = std::io::Error::other(
                "no room to watch over one more file; single allocations are listed once others have ended",
            );
            return Err(SegmentError::Io { name: created.name, doing: "guard its pages", source });
        };
        let file = Self::over(guard, created.mapping, created.file, created.name, created.inode, FIRST_ENTRIES);
        file.header().set_capacity(FIRST_ENTRIES);
        Ok(file)
    }

    fn over(
        guard: Guard,
        mapping: Mapping,
        descriptor: OwnedFd,
        name: String,
        inode: (u64, u64),
        capacity: usize,
    ) -> Self {
        Self {
            guard,
            mapping,
            descriptor,
            name,
            inode,
            capacity,
            block: 0,
            words: Vec::new(),
            full_since: None,
            complained: false,
            notice: None,
        }
    }

    /// Opens the file of this ring, if there is one that may be continued.
    pub fn find(name: &str, identity: &Identity) -> Option<Found> {
        let me = nix::unistd::geteuid().as_raw();
        let expect = Expect { owners: &[me], least: ledger_bytes(1) as u64, most: ledger_bytes(MOST_ENTRIES) as u64 };
        let opened = segment::open(name, Access::ReadWrite, expect).ok()?;
        let guard = Guard::over(&opened.mapping)?;
        let header = opened.mapping.one::<LedgerHeader<AtomicU64>>(0)?;
        let found = header.identity();
        let same = found.check().is_ok() && found.nonce == identity.nonce && found.uid == identity.uid;
        let capacity = header.capacity();
        if !same || capacity == 0 || capacity > MOST_ENTRIES || ledger_bytes(capacity) > opened.mapping.len() {
            return None;
        }
        let (applied, block) = header.committed();
        if applied >= LAST {
            return None;
        }
        let unsettled = !header.is_settled();
        let state_words: Vec<u64> = opened
            .mapping
            .array::<AtomicU64>(state_offset(block), STATE_WORDS)?
            .iter()
            // Relaxed: written by an aggregator that is dead; its kill orders it.
            .map(|word| word.load(Relaxed))
            .collect();
        let state = LedgerState::decode(&state_words)?;
        if guard.faulted() {
            return None;
        }
        let mut file = Self::over(guard, opened.mapping, opened.file, opened.name, opened.inode, capacity);
        file.block = block;
        Some(Found { file, applied, unsettled, state })
    }

    /// Why a file of this name and user that is there cannot be read by this version, if that is the reason.
    pub fn unreadable(name: &str) -> Option<IdentityError> {
        let me = nix::unistd::geteuid().as_raw();
        let least = size_of::<LedgerHeader<AtomicU64>>() as u64;
        let opened = segment::open(name, Access::Read, Expect { owners: &[me], least, most: u64::MAX }).ok()?;
        let found = opened.mapping.one::<LedgerHeader<AtomicU64>>(0)?.identity().check().err();
        found.filter(|error| matches!(error, IdentityError::Version { .. }))
    }

    /// The header.
    pub fn header(&self) -> &LedgerHeader<AtomicU64> {
        self.mapping.one(0).unwrap_or_else(|| unreachable!("checked when the ledger was opened"))
    }

    /// The slots of all entries.
    pub fn slots(&self) -> &[Slot<AtomicU64>] {
        let slots = self.mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, self.capacity);
        slots.unwrap_or_else(|| unreachable!("checked when the ledger was opened or grown"))
    }

    /// The names of the process's tags.
    pub fn tags(&self) -> &TagNames<AtomicU64> {
        self.mapping.one(TAGS_OFFSET).unwrap_or_else(|| unreachable!("checked when the ledger was opened"))
    }

    /// Entries in the file.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Stores a state in the block that is not in force and commits it, for ring records before `applied`.
    pub fn commit(&mut self, applied: u64, encode: impl FnOnce(&mut Vec<u64>)) {
        let block = 1 - self.block;
        encode(&mut self.words);
        let count = self.words.len().min(STATE_WORDS);
        if let Some(to) = self.mapping.array::<AtomicU64>(state_offset(block), count) {
            for (to, word) in to.iter().zip(&self.words) {
                // Relaxed: published by the commit.
                to.store(*word, Relaxed);
            }
        }
        self.block = block;
        self.header().commit(applied, block);
    }

    /// Adds entries. False if there is no room; it is not asked again for a moment then.
    #[cold]
    pub fn grow(&mut self) -> bool {
        // An eighth more: what lies unused is little beside what is used.
        let capacity = (self.capacity + (self.capacity / 8).clamp(FIRST_ENTRIES, MOST_ADDED)).min(MOST_ENTRIES);
        if capacity == self.capacity || self.full_since.is_some_and(|since| since.elapsed() < AGAIN) {
            return false;
        }
        // Growing would fill the gap that somebody has cut into the file: it would look as if it had always been empty.
        // Relaxed: for the fault that this load is if the page is gone.
        let _last = self.slots().last().map(|slot| slot.0[0].load(Relaxed));
        if self.guard.faulted() {
            return false;
        }
        let (bytes, room) = (ledger_bytes(capacity), ledger_bytes((capacity * ROOM).min(MOST_ENTRIES)));
        self.guard.pause();
        let grown = segment::grow(&self.name, &self.descriptor, &mut self.mapping, bytes, room);
        // Also after an error: it may have moved.
        self.guard.watch(&self.mapping);
        if let Err(error) = grown {
            if !core::mem::replace(&mut self.complained, true) {
                let entries = self.capacity;
                self.notice = Some(format!(
                    "lists {entries} allocations and no more, further ones count in the totals only: its ledger cannot grow: {error}"
                ));
            }
            self.full_since = Some(Instant::now());
            return false;
        }
        self.full_since = None;
        if core::mem::replace(&mut self.complained, false) {
            self.notice = Some("lists new allocations again: its ledger has room".to_owned());
        }
        self.capacity = capacity;
        self.header().set_capacity(capacity);
        true
    }

    /// What is to be told of it, once.
    pub fn take_notice(&mut self) -> Option<String> {
        self.notice.take()
    }

    /// Tells whether the file lost pages, and with them entries.
    pub fn fault(&self) -> Fault {
        self.guard.fault()
    }

    /// Name in /dev/shm.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Unlinks the file.
    pub fn delete(self) {
        remove_if_same(&self.name, self.inode);
    }
}
