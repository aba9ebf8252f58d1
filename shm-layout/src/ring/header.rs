//! The ring's header: who writes here, how large it is, and the words that producer and consumer share.

use super::section::{SECTIONS, SECTIONS_OFFSET, Section, records_offset};
use super::{DropTable, Slot};
use crate::atomics::Word64;
use crate::event::EVENT_BYTES;
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// First word of every ring, of whatever version.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TTALRING");
/// Version of this layout. A newer one is refused with a message that says so.
pub const VERSION: u32 = 2;
/// Reads back as another number on a machine of the other byte order.
pub const ENDIAN_MARK: u32 = 0x0102_0304;
/// Bytes of the header proper.
pub const HEADER_BYTES: usize = 4096;
/// Where section 0 starts: after the header and the drop table.
pub const FIRST_SECTION_OFFSET: usize = HEADER_BYTES + size_of::<DropTable<AtomicU64>>();
/// Where the records of section 0 start.
pub const RECORDS_OFFSET: usize = records_offset(FIRST_SECTION_OFFSET);
/// Bytes of a process name (the kernel's `comm` is 15 and a NUL).
pub const NAME_BYTES: usize = 32;
/// [`Identity::clock`]: `time` is nanoseconds of `CLOCK_MONOTONIC`.
pub const CLOCK_MONOTONIC_NS: u32 = 1;
/// [`Identity::clock`]: `time` is [`ticks`](crate::ticks); `created_ticks` and `created_monotonic_ns` are one moment.
pub const CLOCK_TICKS: u32 = 2;
/// [`Identity::source`]: the process that the ring is about writes it.
pub const SOURCE_OWN: u32 = 0;
/// [`Identity::source`]: an aggregator writes it on behalf of the process, which speaks to its socket. `pid` and `start_ticks` are
/// the process's, in the aggregator's pid namespace; `uid` is the aggregator's, who owns the file, and `client_uid` the process's.
pub const SOURCE_PROXY: u32 = 1;
/// [`RingHeader::closed`]: the process closed its ring in good order.
pub const CLOSED_CLEAN: u64 = 1;

/// Bytes of a ring file whose only section has this many slots.
pub const fn ring_bytes(slots: u64) -> u64 {
    RECORDS_OFFSET as u64 + slots * EVENT_BYTES as u64
}

/// Who writes the ring, and its geometry. Written once, before the magic; read as a copy and then validated.
///
/// | offset | field | bytes | meaning |
/// |---|---|---|---|
/// | 0 | magic | 8 | [`MAGIC`]; stored last, Release. 0 = not ready |
/// | 8 | version | 4 | [`VERSION`] |
/// | 12 | endian | 4 | [`ENDIAN_MARK`] |
/// | 16 | header_bytes | 4 | [`HEADER_BYTES`] |
/// | 20 | record_bytes | 4 | 64 |
/// | 24 | slots | 8 | of section 0; a power of two |
/// | 32 | records_offset | 8 | [`RECORDS_OFFSET`] |
/// | 40 | total_bytes | 8 | the file's size as long as it has one section |
/// | 48 | pid | 4 | in the producer's own pid namespace |
/// | 52 | uid | 4 | |
/// | 56 | start_ticks | 8 | field 22 of /proc/self/stat: clock ticks after boot |
/// | 64 | boot_id | 16 | /proc/sys/kernel/random/boot_id |
/// | 80 | pid_namespace | 8 | inode of /proc/self/ns/pid |
/// | 88 | clock | 4 | [`CLOCK_MONOTONIC_NS`] or [`CLOCK_TICKS`] |
/// | 92 | reserved0 | 4 | 0 |
/// | 96 | created_monotonic_ns | 8 | `CLOCK_MONOTONIC` at creation |
/// | 104 | created_unix_ns | 8 | `CLOCK_REALTIME` at the same moment |
/// | 112 | nonce | 8 | the same as in the file's name |
/// | 120 | name | 32 | the process's comm, NUL-padded |
/// | 152 | created_ticks | 8 | the processor's counter at `created_monotonic_ns`; 0 = not used |
/// | 160 | source | 4 | [`SOURCE_OWN`] or [`SOURCE_PROXY`] |
/// | 164 | client_uid | 4 | of the process, in a [`SOURCE_PROXY`] ring; else 0 |
/// | 168 | reserved | 88 | 0 |
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[allow(missing_docs, reason = "the table above says it all")]
pub struct Identity {
    pub magic: u64,
    pub version: u32,
    pub endian: u32,
    pub header_bytes: u32,
    pub record_bytes: u32,
    pub slots: u64,
    pub records_offset: u64,
    pub total_bytes: u64,
    pub pid: u32,
    pub uid: u32,
    pub start_ticks: u64,
    pub boot_id: [u8; 16],
    pub pid_namespace: u64,
    pub clock: u32,
    pub reserved0: u32,
    pub created_monotonic_ns: u64,
    pub created_unix_ns: u64,
    pub nonce: u64,
    pub name: [u8; NAME_BYTES],
    pub created_ticks: u64,
    pub source: u32,
    pub client_uid: u32,
    pub reserved: [u8; 88],
}

const IDENTITY_WORDS: usize = 32;
const _: () = assert!(size_of::<Identity>() == IDENTITY_WORDS * 8);
const _: () = assert!(offset_of!(Identity, magic) == 0);
const _: () = assert!(offset_of!(Identity, version) == 8);
const _: () = assert!(offset_of!(Identity, endian) == 12);
const _: () = assert!(offset_of!(Identity, header_bytes) == 16);
const _: () = assert!(offset_of!(Identity, record_bytes) == 20);
const _: () = assert!(offset_of!(Identity, slots) == 24);
const _: () = assert!(offset_of!(Identity, records_offset) == 32);
const _: () = assert!(offset_of!(Identity, total_bytes) == 40);
const _: () = assert!(offset_of!(Identity, pid) == 48);
const _: () = assert!(offset_of!(Identity, uid) == 52);
const _: () = assert!(offset_of!(Identity, start_ticks) == 56);
const _: () = assert!(offset_of!(Identity, boot_id) == 64);
const _: () = assert!(offset_of!(Identity, pid_namespace) == 80);
const _: () = assert!(offset_of!(Identity, clock) == 88);
const _: () = assert!(offset_of!(Identity, reserved0) == 92);
const _: () = assert!(offset_of!(Identity, created_monotonic_ns) == 96);
const _: () = assert!(offset_of!(Identity, created_unix_ns) == 104);
const _: () = assert!(offset_of!(Identity, nonce) == 112);
const _: () = assert!(offset_of!(Identity, name) == 120);
const _: () = assert!(offset_of!(Identity, created_ticks) == 152);
const _: () = assert!(offset_of!(Identity, source) == 160);
const _: () = assert!(offset_of!(Identity, client_uid) == 164);
const _: () = assert!(offset_of!(Identity, reserved) == 168);

/// The header as it is mapped: atomic words only.
///
/// | offset | field | writer | meaning |
/// |---|---|---|---|
/// | 0 | identity | producer, once | [`Identity`] as words |
/// | 256 | cursor | whoever reads | every record before it was read and its slot returned; counted over all sections |
/// | 264 | clock | consumer | its clock at the last poll, ns; 0 = nobody keeps it |
/// | 384 | closed | producer | [`CLOSED_CLEAN`] after a clean exit |
/// | 392 | dropped | producing threads | records that did not fit |
/// | 400 | lost_controls | producing threads | of these, records other than allocations and frees |
/// | 408 | stale_clock | producing threads | clock word that was found stale and is not to be used |
/// | 512 | section_count | producer | sections that are there |
/// | 1024 | sections | | 12 x 256 bytes: [`Section`] |
#[repr(C, align(128))]
#[derive(Debug)]
pub struct RingHeader<W> {
    identity: [W; IDENTITY_WORDS],
    /// Records before this one were read.
    pub cursor: W,
    /// The consumer's clock, kept for the producer (nanoseconds; 0 = nobody keeps it).
    pub clock: W,
    _pad0: [W; 14],
    /// Why the ring ended; 0 while it is open.
    pub closed: W,
    /// Records that did not fit. Added to (Release) after the drop table, so that whoever loads it (Acquire) and then
    /// reads the table misses none.
    pub dropped: W,
    /// Dropped records other than allocations and frees.
    pub lost_controls: W,
    /// A clock word that was found stale.
    pub stale_clock: W,
    _pad1: [W; 12],
    /// Sections that are there: 1 to [`SECTIONS`].
    pub section_count: W,
    _pad2: [W; 63],
    /// The sections, in the order in which they are filled.
    pub sections: [Section<W>; SECTIONS],
}

const _: () = assert!(size_of::<RingHeader<AtomicU64>>() == HEADER_BYTES);
const _: () = assert!(offset_of!(RingHeader<AtomicU64>, cursor) == 256);
const _: () = assert!(offset_of!(RingHeader<AtomicU64>, clock) == 264);
const _: () = assert!(offset_of!(RingHeader<AtomicU64>, closed) == 384);
const _: () = assert!(offset_of!(RingHeader<AtomicU64>, dropped) == 392);
const _: () = assert!(offset_of!(RingHeader<AtomicU64>, lost_controls) == 400);
const _: () = assert!(offset_of!(RingHeader<AtomicU64>, stale_clock) == 408);
const _: () = assert!(offset_of!(RingHeader<AtomicU64>, section_count) == 512);
const _: () = assert!(offset_of!(RingHeader<AtomicU64>, sections) == SECTIONS_OFFSET);
const _: () = assert!(RECORDS_OFFSET.is_multiple_of(align_of::<Slot<AtomicU64>>()));

impl<W: Word64> RingHeader<W> {
    /// Writes the identity and then announces the ring by its magic. Once, by the creator.
    pub fn announce(&self, identity: &Identity) {
        let words: [u64; IDENTITY_WORDS] = bytemuck::must_cast(*identity);
        for (to, word) in self.identity.iter().zip(words).skip(1) {
            // Relaxed: published by the magic below.
            to.store(word, Relaxed);
        }
        // SYNC(ring.magic): publishes the identity; pairs with the Acquire in `identity`.
        self.identity[0].store(MAGIC, Release);
    }

    /// A copy of the identity; its magic is 0 while the ring is not ready.
    pub fn identity(&self) -> Identity {
        let mut words = [0; IDENTITY_WORDS];
        // SYNC(ring.magic): the identity is visible once the magic is; pairs with the Release in `announce`.
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
}

impl Identity {
    /// What this version's layout decides of a ring with so many slots; who writes it is still to be said, and is all zeros.
    pub fn with_slots(slots: u64) -> Self {
        Self {
            magic: MAGIC,
            version: VERSION,
            endian: ENDIAN_MARK,
            header_bytes: HEADER_BYTES as u32,
            record_bytes: EVENT_BYTES as u32,
            slots,
            records_offset: RECORDS_OFFSET as u64,
            total_bytes: ring_bytes(slots),
            ..Self::zeroed()
        }
    }

    /// Whether this copy describes a ring that this version can read, in a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// What is wrong, in words for the operator.
    pub fn check(&self, file_bytes: u64) -> Result<(), IdentityError> {
        if self.magic == 0 {
            return Err(IdentityError::NotReady);
        }
        // The magic comes first, so it is by the magic that the other byte order shows.
        if self.magic == MAGIC.swap_bytes() {
            return Err(IdentityError::Endian);
        }
        if self.magic != MAGIC {
            return Err(IdentityError::Magic);
        }
        if self.endian != ENDIAN_MARK {
            return Err(IdentityError::Endian);
        }
        if self.version != VERSION {
            return Err(IdentityError::Version { found: self.version });
        }
        let sound = self.header_bytes as usize == HEADER_BYTES
            && self.record_bytes as usize == EVENT_BYTES
            && self.records_offset as usize == RECORDS_OFFSET
            && self.slots.is_power_of_two()
            && self.slots <= 1 << 32
            && self.total_bytes == ring_bytes(self.slots)
            // It may have grown by sections since.
            && self.total_bytes <= file_bytes
            && (self.clock == CLOCK_MONOTONIC_NS || self.clock == CLOCK_TICKS && self.created_ticks != 0);
        if sound { Ok(()) } else { Err(IdentityError::Geometry) }
    }
}

/// Why a ring is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The creator has not announced it yet.
    #[error("not ready: its creator has not announced it yet")]
    NotReady,
    /// Not a ring.
    #[error("not a ring: the magic number is wrong")]
    Magic,
    /// Written by a machine of the other byte order.
    #[error("written with the other byte order")]
    Endian,
    /// Another version of the layout.
    #[error(
        "layout version {found}, this build reads version {VERSION}: use the aggregator and the tracking library of one release"
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// Sizes that contradict each other or the file.
    #[error("sizes in the header contradict each other or the file's size")]
    Geometry,
}
