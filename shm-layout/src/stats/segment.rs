//! The stats segment's header, history and buffers as they are mapped.

use super::gone::GONE_WORDS;
use super::history::{SAMPLE_WORDS, SPAN_WORDS};
use super::snapshot::Snapshot;
use crate::atomics::Word64;
use crate::ring::ENDIAN_MARK;
use crate::seqlock::{BUFFER_HEADER_WORDS, Snapshots};
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// First word of the segment, its version digit included.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TTALSTA4");
/// Version of this layout.
pub const VERSION: u32 = 4;
/// Chips in a snapshot.
pub const MAX_CHIPS: usize = 64;
/// Processes in a snapshot.
pub const MAX_PROCESSES: usize = 2048;
/// Rows in a snapshot.
pub const MAX_ROWS: usize = 12_288;
/// Event lines in a snapshot.
pub const MAX_LINES: usize = 64;
/// Refused rings in a snapshot.
pub const MAX_REFUSALS: usize = 64;
/// Differences between records and tt-metal's counters in a snapshot.
pub const MAX_DIFFERENCES: usize = 64;

const HEADER_BYTES: usize = 4096;
const BUFFER_WORDS: usize = BUFFER_HEADER_WORDS + Snapshot::MAX_WORDS;
const SPANS_OFFSET: usize = HEADER_BYTES + SAMPLE_WORDS * 8;
const BUFFERS_OFFSET: usize = SPANS_OFFSET + SPAN_WORDS * 8;
// The arrays begin on pages of their own: what is not used of the histories takes no page of a reader or writer.
const _: () = assert!(SPANS_OFFSET.is_multiple_of(4096) && BUFFERS_OFFSET.is_multiple_of(4096));

/// Bytes of the segment.
pub const fn stats_bytes() -> usize {
    BUFFERS_OFFSET + 2 * BUFFER_WORDS * 8
}

/// The bytes of the segment in which the histories lie: of these only what belongs to chips that are there is ever written.
pub const fn stats_histories() -> core::ops::Range<usize> {
    HEADER_BYTES..BUFFERS_OFFSET
}

/// Who publishes, and the geometry. Written once, before the magic.
///
/// | offset | field | bytes | meaning |
/// |---|---|---|---|
/// | 0 | magic | 8 | [`MAGIC`]; stored last |
/// | 8 | version | 4 | [`VERSION`] |
/// | 12 | endian | 4 | [`ENDIAN_MARK`] |
/// | 16 | total_bytes | 8 | the file's size |
/// | 24 | history_offset | 8 | |
/// | 32 | buffers_offset | 8 | |
/// | 40 | buffer_words | 8 | of each of the two |
/// | 48 | pid | 4 | of the aggregator |
/// | 52 | uid | 4 | of the aggregator |
/// | 56 | start_ticks | 8 | field 22 of its /proc/pid/stat |
/// | 64 | started_unix_ns | 8 | when it began to publish |
/// | 72 | started_monotonic_ns | 8 | the same moment |
/// | 80 | spans_offset | 8 | of the longer, coarser history |
/// | 88 | reserved | 40 | 0 |
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[allow(missing_docs, reason = "the table above says it all")]
pub struct Identity {
    pub magic: u64,
    pub version: u32,
    pub endian: u32,
    pub total_bytes: u64,
    pub history_offset: u64,
    pub buffers_offset: u64,
    pub buffer_words: u64,
    pub pid: u32,
    pub uid: u32,
    pub start_ticks: u64,
    pub started_unix_ns: u64,
    pub started_monotonic_ns: u64,
    pub spans_offset: u64,
    pub reserved: [u64; 5],
}

const IDENTITY_WORDS: usize = 16;
const _: () = assert!(size_of::<Identity>() == IDENTITY_WORDS * 8);
const _: () = assert!(offset_of!(Identity, magic) == 0);
const _: () = assert!(offset_of!(Identity, version) == 8);
const _: () = assert!(offset_of!(Identity, endian) == 12);
const _: () = assert!(offset_of!(Identity, total_bytes) == 16);
const _: () = assert!(offset_of!(Identity, history_offset) == 24);
const _: () = assert!(offset_of!(Identity, buffers_offset) == 32);
const _: () = assert!(offset_of!(Identity, buffer_words) == 40);
const _: () = assert!(offset_of!(Identity, pid) == 48);
const _: () = assert!(offset_of!(Identity, uid) == 52);
const _: () = assert!(offset_of!(Identity, start_ticks) == 56);
const _: () = assert!(offset_of!(Identity, started_unix_ns) == 64);
const _: () = assert!(offset_of!(Identity, started_monotonic_ns) == 72);
const _: () = assert!(offset_of!(Identity, spans_offset) == 80);
const _: () = assert!(offset_of!(Identity, reserved) == 88);

impl Identity {
    /// All zeros: who writes is still to be said, and what the layout decides is said when the segment is announced.
    pub fn unannounced() -> Self {
        Self::zeroed()
    }
}

/// The header as it is mapped.
///
/// | offset | field | writer | meaning |
/// |---|---|---|---|
/// | 0 | identity | aggregator, once; a successor that goes on in it | [`Identity`] as words |
/// | 256 | active | aggregator | index of the shown buffer |
/// | 264 | heartbeat | aggregator | `CLOCK_MONOTONIC` ns of its last round; 0 = it ended in good order |
/// | 272 | history_head | aggregator | samples taken so far, those that were due and that nobody took included |
/// | 280 | sampled | aggregator | `CLOCK_MONOTONIC` ns of the last sample; 0 = none yet |
/// | 288 | since | as the identity | `CLOCK_MONOTONIC` ns when the first of those began whose figures this one continues |
/// | 320 | gone | aggregator | [`Gone`](super::Gone) as words, of buffer 0 and of buffer 1 |
#[repr(C, align(128))]
#[derive(Debug)]
pub struct StatsHeader<W> {
    identity: [W; IDENTITY_WORDS],
    _pad0: [W; 16],
    /// Index of the shown buffer.
    pub active: W,
    /// When the aggregator last ran.
    pub heartbeat: W,
    /// Samples taken so far.
    pub history_head: W,
    /// When the last sample was taken.
    pub sampled: W,
    /// When the first of those began whose figures this one continues.
    pub since: W,
    _pad1: [W; 3],
    /// By buffer: the sums over processes that are gone as of its snapshot.
    pub gone: [[W; GONE_WORDS]; 2],
    _pad2: [W; 440],
}

const _: () = assert!(size_of::<StatsHeader<AtomicU64>>() == HEADER_BYTES);
const _: () = assert!(offset_of!(StatsHeader<AtomicU64>, active) == 256);
const _: () = assert!(offset_of!(StatsHeader<AtomicU64>, heartbeat) == 264);
const _: () = assert!(offset_of!(StatsHeader<AtomicU64>, history_head) == 272);
const _: () = assert!(offset_of!(StatsHeader<AtomicU64>, sampled) == 280);
const _: () = assert!(offset_of!(StatsHeader<AtomicU64>, since) == 288);
const _: () = assert!(offset_of!(StatsHeader<AtomicU64>, gone) == 320);

/// The whole segment over mapped words.
#[derive(Debug)]
pub struct StatsView<'a, W> {
    /// The header.
    pub header: &'a StatsHeader<W>,
    pub(super) samples: &'a [W],
    pub(super) spans: &'a [W],
    snapshots: Snapshots<'a, W>,
}

impl<'a, W: Word64> StatsView<'a, W> {
    /// Over a header and everything behind it; `None` unless that is exactly [`stats_bytes`] long.
    pub fn new(header: &'a StatsHeader<W>, words: &'a [W]) -> Option<Self> {
        if words.len() != SAMPLE_WORDS + SPAN_WORDS + 2 * BUFFER_WORDS {
            return None;
        }
        let (samples, rest) = words.split_at(SAMPLE_WORDS);
        let (spans, buffers) = rest.split_at(SPAN_WORDS);
        let (first, second) = buffers.split_at(BUFFER_WORDS);
        Some(Self { header, samples, spans, snapshots: Snapshots::new(&header.active, [first, second])? })
    }

    /// Writes the identity's geometry and announces the segment by its magic. Once, by the aggregator, and again by a successor that
    /// goes on in it: whoever copies the identity at that moment may have words of both, and sees it whole at the next look.
    pub fn announce(&self, mut identity: Identity) {
        identity.version = VERSION;
        identity.endian = ENDIAN_MARK;
        identity.total_bytes = stats_bytes() as u64;
        identity.history_offset = HEADER_BYTES as u64;
        identity.spans_offset = SPANS_OFFSET as u64;
        identity.buffers_offset = BUFFERS_OFFSET as u64;
        identity.buffer_words = BUFFER_WORDS as u64;
        let words: [u64; IDENTITY_WORDS] = bytemuck::must_cast(identity);
        for (to, word) in self.header.identity.iter().zip(words).skip(1) {
            // Relaxed: published by the magic.
            to.store(word, Relaxed);
        }
        // SYNC(stats.magic): publishes the identity; pairs with the Acquire in `identity`.
        self.header.identity[0].store(MAGIC, Release);
    }

    /// A copy of the identity; its magic is 0 while the segment is not ready.
    pub fn identity(&self) -> Identity {
        let mut words = [0; IDENTITY_WORDS];
        // SYNC(stats.magic): the identity is visible once the magic is; pairs with the Release in `announce`.
        words[0] = self.header.identity[0].load(Acquire);
        if words[0] == 0 {
            // Nothing orders the rest yet.
            return Identity::zeroed();
        }
        for (word, from) in words.iter_mut().zip(&self.header.identity).skip(1) {
            // Relaxed: ordered by the magic.
            *word = from.load(Relaxed);
        }
        bytemuck::must_cast(words)
    }

    /// The two buffers.
    pub fn snapshots(&self) -> Snapshots<'a, W> {
        self.snapshots
    }
}

/// Why a stats segment is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not announced yet.
    #[error("the stats segment is not ready yet: try again in a moment")]
    NotReady,
    /// Not a stats segment.
    #[error("not a stats segment: the magic number is wrong")]
    Magic,
    /// Another version.
    #[error(
        "stats layout version {found}, this build reads version {VERSION}: use the aggregator and alloc-top of one release"
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// Sizes that do not fit.
    #[error("the stats segment's sizes contradict each other")]
    Geometry,
}

impl Identity {
    /// Whether this copy describes a segment that this version can read.
    ///
    /// # Errors
    /// What is wrong, in words for the person at the terminal.
    pub fn check(&self) -> Result<(), IdentityError> {
        if self.magic == 0 {
            return Err(IdentityError::NotReady);
        }
        if let Some(found) = crate::names::other_version(self.magic, MAGIC) {
            return Err(IdentityError::Version { found });
        }
        if self.magic != MAGIC || self.endian != ENDIAN_MARK {
            return Err(IdentityError::Magic);
        }
        if self.version != VERSION {
            return Err(IdentityError::Version { found: self.version });
        }
        let sound = self.total_bytes as usize == stats_bytes() && self.buffer_words as usize == BUFFER_WORDS;
        if sound { Ok(()) } else { Err(IdentityError::Geometry) }
    }
}
