//! The ledger's header and entries as they are mapped.

use crate::atomics::Word64;
use crate::event::{EVENT_BYTES, EVENT_WORDS, Event, Kind};
use crate::ring::{ENDIAN_MARK, Slot};
use crate::tag::{NAME_BYTES, TAGS};
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// First word of every ledger, its version digit included.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TTALLED4");
/// Version of this layout.
pub const VERSION: u32 = 4;
/// Bytes of the header proper.
pub const HEADER_BYTES: usize = 4096;
/// Words of one state block.
pub const STATE_WORDS: usize = 5120;
/// Where the state blocks start: behind the [names of tags](super::TagNames).
pub(super) const STATES_OFFSET: usize = HEADER_BYTES + TAGS * NAME_BYTES;
/// Where the entries start.
pub const ENTRIES_OFFSET: usize = STATES_OFFSET + 2 * STATE_WORDS * 8;
/// `kind` of an entry that the batch in flight removes.
pub const DYING: u8 = 0xFF;

const ID_WORD: usize = 2;
const DEVICE_WORD: usize = 6;
const KIND_WORD: usize = 7;
const KIND_SHIFT: u32 = 32;
const MEMORY_SHIFT: u32 = 40;

/// Where state block 0 or 1 starts.
pub const fn state_offset(block: usize) -> usize {
    STATES_OFFSET + (block & 1) * STATE_WORDS * 8
}

/// Bytes of a ledger with this many entries.
pub const fn ledger_bytes(entries: usize) -> usize {
    ENTRIES_OFFSET + entries * EVENT_BYTES
}

/// Whose ledger it is. Written once, before the magic.
///
/// | offset | field | bytes | meaning |
/// |---|---|---|---|
/// | 0 | magic | 8 | [`MAGIC`]; stored last |
/// | 8 | version | 4 | [`VERSION`] |
/// | 12 | endian | 4 | [`ENDIAN_MARK`] |
/// | 16 | pid | 4 | as the aggregator sees it |
/// | 20 | uid | 4 | owner of the ring |
/// | 24 | start_ticks | 8 | of the process |
/// | 32 | nonce | 8 | of the ring |
/// | 40 | ring_pid | 4 | as in the ring's name |
/// | 44 | entry_bytes | 4 | 64 |
/// | 48 | reserved | 80 | 0 |
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[allow(missing_docs, reason = "the table above says it all")]
pub struct Identity {
    pub magic: u64,
    pub version: u32,
    pub endian: u32,
    pub pid: u32,
    pub uid: u32,
    pub start_ticks: u64,
    pub nonce: u64,
    pub ring_pid: u32,
    pub entry_bytes: u32,
    pub reserved: [u64; 10],
}

const IDENTITY_WORDS: usize = 16;
const _: () = assert!(size_of::<Identity>() == IDENTITY_WORDS * 8);
const _: () = assert!(offset_of!(Identity, magic) == 0);
const _: () = assert!(offset_of!(Identity, version) == 8);
const _: () = assert!(offset_of!(Identity, endian) == 12);
const _: () = assert!(offset_of!(Identity, pid) == 16);
const _: () = assert!(offset_of!(Identity, uid) == 20);
const _: () = assert!(offset_of!(Identity, start_ticks) == 24);
const _: () = assert!(offset_of!(Identity, nonce) == 32);
const _: () = assert!(offset_of!(Identity, ring_pid) == 40);
const _: () = assert!(offset_of!(Identity, entry_bytes) == 44);
const _: () = assert!(offset_of!(Identity, reserved) == 48);

/// The header as it is mapped. Only the aggregator writes; viewers map it read-only.
///
/// | offset | field | meaning |
/// |---|---|---|
/// | 0 | identity | [`Identity`] as words |
/// | 256 | commit | applied × 2 + state block in force: every ring record before `applied` is in |
/// | 264 | settled | the `commit` whose removals are finished |
/// | 272 | capacity | entries in the file |
/// | 280 | gone | 0, or when its process was taken out of the figures, `CLOCK_MONOTONIC` ns: snapshots from then on count it as gone |
#[repr(C, align(128))]
#[derive(Debug)]
pub struct LedgerHeader<W> {
    identity: [W; IDENTITY_WORDS],
    _pad0: [W; 16],
    commit: W,
    settled: W,
    capacity: W,
    gone: W,
    _pad1: [W; 476],
}

/// Where the commit word lies.
pub(super) const COMMIT_OFFSET: usize = 256;

const _: () = assert!(size_of::<LedgerHeader<AtomicU64>>() == HEADER_BYTES);
const _: () = assert!(offset_of!(LedgerHeader<AtomicU64>, commit) == COMMIT_OFFSET);
const _: () = assert!(offset_of!(LedgerHeader<AtomicU64>, settled) == 264);
const _: () = assert!(offset_of!(LedgerHeader<AtomicU64>, capacity) == 272);
const _: () = assert!(offset_of!(LedgerHeader<AtomicU64>, gone) == 280);
const _: () = assert!(ENTRIES_OFFSET == 94_208 && ENTRIES_OFFSET.is_multiple_of(align_of::<Slot<AtomicU64>>()));
const _: () = assert!(offset_of!(Event, kind) == KIND_WORD * 8 + KIND_SHIFT as usize / 8);
const _: () = assert!(offset_of!(Event, memory) == KIND_WORD * 8 + MEMORY_SHIFT as usize / 8);
const _: () = assert!(offset_of!(Event, id) == ID_WORD * 8 && offset_of!(Event, device) == DEVICE_WORD * 8);

impl<W: Word64> LedgerHeader<W> {
    /// Writes the identity and announces the ledger by its magic.
    pub fn announce(&self, mut identity: Identity) {
        identity.version = VERSION;
        identity.endian = ENDIAN_MARK;
        identity.entry_bytes = EVENT_BYTES as u32;
        let words: [u64; IDENTITY_WORDS] = bytemuck::must_cast(identity);
        for (to, word) in self.identity.iter().zip(words).skip(1) {
            // Relaxed: published by the magic.
            to.store(word, Relaxed);
        }
        // SYNC(ledger.magic): publishes the identity; pairs with the Acquire in `identity`.
        self.identity[0].store(MAGIC, Release);
    }

    /// A copy of the identity; its magic is 0 while the ledger is not ready.
    pub fn identity(&self) -> Identity {
        let mut words = [0; IDENTITY_WORDS];
        // SYNC(ledger.magic): pairs with the Release in `announce`.
        words[0] = self.identity[0].load(Acquire);
        if words[0] == 0 {
            // Nothing orders the rest yet.
            return Identity::zeroed();
        }
        for (word, from) in words.iter_mut().zip(&self.identity).skip(1) {
            // Relaxed: ordered by the magic.
            *word = from.load(Relaxed);
        }
        bytemuck::must_cast(words)
    }

    /// How far the ring's records are in, and which state block tells the sums of that moment. A copy of that block
    /// is whole if this says the same before and after it was made.
    pub fn committed(&self) -> (u64, usize) {
        // SYNC(ledger.block): had the copy before this second look a word of a later commit's block, this fence makes
        // the commit visible that took the block out of force; pairs with the Release fence in `commit`.
        W::fence(Acquire);
        // SYNC(ledger.commit): entries and state block of the commit are visible; pairs with the Release in `commit`.
        let word = self.commit.load(Acquire);
        (word >> 1, (word & 1) as usize)
    }

    /// Commits: every record before `applied` is in, and `block` has the sums.
    pub fn commit(&self, applied: u64, block: usize) {
        // SYNC(ledger.commit): publishes entries, marks and the state block; pairs with the Acquire in `committed`.
        self.commit.store(applied << 1 | (block as u64 & 1), Release);
        // SYNC(ledger.block): the other block is out of force before the next batch stores into it; pairs with the
        // Acquire fence in `committed`.
        W::fence(Release);
    }

    /// Whether the last commit's removals are finished.
    pub fn is_settled(&self) -> bool {
        // SYNC(ledger.settled): Relaxed, because only the aggregator that holds the ledger reads them; pairs with the
        // Release in `settle` of one that was killed before.
        self.settled.load(Relaxed) == self.commit.load(Relaxed)
    }

    /// The last commit's removals are finished.
    pub fn settle(&self) {
        // The whole word: a commit may remove something and have read nothing. The block, which is another with every commit,
        // tells it from the one before then. Relaxed: its own store, or that of a killed aggregator, which the kill orders.
        let commit = self.commit.load(Relaxed);
        // SYNC(ledger.settled): after the cleared stamps and before the next batch's marks, for a next aggregator that
        // finds this file; pairs with `is_settled`: the kill that separates the two orders them.
        self.settled.store(commit, Release);
        W::fence(Release);
    }

    /// When its process was taken out of the figures; 0 if it was not.
    pub fn gone(&self) -> u64 {
        // Relaxed: only the aggregator that holds the ledger stores it; the kill of one before orders it.
        self.gone.load(Relaxed)
    }

    /// Its process is taken out of the figures at this moment; 0: it is not.
    pub fn set_gone(&self, monotonic_ns: u64) {
        // Relaxed: before the snapshot that says so, which is published by a Release of the same aggregator.
        self.gone.store(monotonic_ns, Relaxed);
    }

    /// Entries in the file.
    pub fn capacity(&self) -> usize {
        // SYNC(ledger.capacity): the file has this many entries; pairs with the Release in `set_capacity`.
        self.capacity.load(Acquire) as usize
    }

    /// The file has grown to this many entries.
    pub fn set_capacity(&self, entries: usize) {
        // SYNC(ledger.capacity): after the file has grown; pairs with the Acquire in `capacity`.
        self.capacity.store(entries as u64, Release);
    }
}

/// The entries as they are mapped.
#[derive(Debug)]
pub struct Entries<'a, W>(pub &'a [Slot<W>]);

impl<W> Clone for Entries<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W> Copy for Entries<'_, W> {}

impl<W: Word64> Entries<'_, W> {
    /// Stores a record in a free entry; its stamp is stored last, so that readers see all of it or nothing.
    #[inline(always)]
    pub fn insert(&self, at: usize, event: &Event) {
        let words = event.to_words();
        let slot = &self.0[at];
        // SYNC(ledger.reuse): whoever copies a word stored below and then fences sees that the old stamp is gone; pairs
        // with the Acquire fence in `get`. It also keeps the words behind the `clear` for whoever finds the file after
        // a kill: an old stamp over new words would be an allocation that never was.
        W::fence(Release);
        // By number: zipped iterators end up as a loop that keeps its state in memory, ten times as slow.
        for (at, word) in words.iter().enumerate().skip(1) {
            // Relaxed: published by the stamp.
            slot.0[at].store(*word, Relaxed);
        }
        // SYNC(ledger.entry): publishes the record; pairs with the first Acquire in `get`.
        slot.0[0].store(words[0], Release);
    }

    /// Marks an entry as dying, or takes the mark back.
    #[inline(always)]
    pub fn mark(&self, at: usize, dying: bool) {
        let word = &self.0[at].0[KIND_WORD];
        let kind = if dying { DYING } else { Kind::Alloc as u8 };
        // Relaxed: only the aggregator stores entries; a viewer may show a dying entry for one more moment.
        let old = word.load(Relaxed);
        word.store(old & !(0xFF << KIND_SHIFT) | u64::from(kind) << KIND_SHIFT, Relaxed);
    }

    /// Frees an entry.
    pub fn clear(&self, at: usize) {
        // SYNC(ledger.cleared): after the commit, for whoever finds the file after a kill; readers in `get` are told
        // by the fence in `insert`, before anything else is stored here.
        self.0[at].0[0].store(0, Release);
    }

    /// A copy of the entry for its only writer, who knows that it is live.
    #[inline(always)]
    pub fn own(&self, at: usize) -> Event {
        let slot = &self.0[at];
        // Relaxed: its own stores.
        let word = |at: usize| slot.0[at].load(Relaxed);
        // Spelled out, for the reason told in the ring's `read_one`.
        Event::from_words([word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7)])
    }

    /// Whether the entry has this key; for its only writer, who knows that it is live.
    #[inline(always)]
    pub fn is_about(&self, at: usize, device: u32, memory: u8, id: u64) -> bool {
        let slot = &self.0[at];
        // Relaxed: its own stores.
        let word = |at: usize| slot.0[at].load(Relaxed);
        word(ID_WORD) == id && word(DEVICE_WORD) as u32 == device && (word(KIND_WORD) >> MEMORY_SHIFT) as u8 == memory
    }

    /// A copy of the entry, if it is live (a dying one included) and did not change meanwhile.
    pub fn get(&self, at: usize) -> Option<Event> {
        let slot = self.0.get(at)?;
        let mut words = [0; EVENT_WORDS];
        // SYNC(ledger.entry): the record is visible once its stamp is; pairs with the Release in `insert`.
        words[0] = slot.0[0].load(Acquire);
        if words[0] == 0 {
            return None;
        }
        for (word, from) in words.iter_mut().zip(&slot.0).skip(1) {
            // Relaxed: checked by the second look at the stamp.
            *word = from.load(Relaxed);
        }
        // SYNC(ledger.reuse): had a word of a newer record been copied, this fence makes the end of the old stamp
        // visible; pairs with the Release fence in `insert`. SYNC(ledger.cleared): a cleared entry is None.
        W::fence(Acquire);
        // Relaxed: ordered by the fence. A stamp is never used twice, so equal means unchanged.
        (slot.0[0].load(Relaxed) == words[0]).then(|| Event::from_words(words))
    }
}

/// Why a ledger is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not announced.
    #[error("its creator never finished it")]
    NotReady,
    /// Not a ledger.
    #[error("not a ledger: the magic number is wrong")]
    Magic,
    /// Another version.
    #[error("ledger layout version {found}, this build reads version {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
}

impl Identity {
    /// Whether this copy describes a ledger that this version can read.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), IdentityError> {
        if self.magic == 0 {
            return Err(IdentityError::NotReady);
        }
        if let Some(found) = crate::names::other_version(self.magic, MAGIC) {
            return Err(IdentityError::Version { found });
        }
        if self.magic != MAGIC || self.endian != ENDIAN_MARK || self.entry_bytes as usize != EVENT_BYTES {
            return Err(IdentityError::Magic);
        }
        if self.version != VERSION {
            return Err(IdentityError::Version { found: self.version });
        }
        Ok(())
    }
}
