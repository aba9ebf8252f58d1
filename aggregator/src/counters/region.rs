//! The bytes of `tt_device_<id>_memory` as tt-metal writes them (impl/memory_tracking/memory_stats_shm.hpp). Versions 2, 3 and 4
//! have the same fields in the same places; 4 adds a word that says that they are whole.
//!
//! ```text
//!      0  version u32, processes u32, last update u64 ns, references u32, board u64, id u64, logical number u32
//!     48  totals: DRAM, L1, L1_SMALL, TRACE, CB u64
//!     88  16 x 48 bytes by logical chip: number u32, remote u32, the five figures
//!    856  64 x 120 bytes by process: pid i32, the five figures, last update u64 ns, name 64 bytes
//!   8536  version 4: 'REDY'
//!   8576  end
//! ```

use shm_layout::event::Memory;
use shm_layout::stats::UNKNOWN;
use shm_layout::text;

/// Bytes read of a file.
pub const BYTES: usize = 8576;
/// Files may be this much larger: padding of some builds. Those that count kernels, with other offsets, have 9280.
pub const MOST_BYTES: u64 = 8704;

const VERSIONS: core::ops::RangeInclusive<u32> = 2..=4;
const LOGICAL_NUMBER: usize = 40;
const PROCESSES: usize = 856;
const PROCESS_BYTES: usize = 120;
const PROCESS_COUNT: usize = 64;
const READY_AT: usize = 8536;
const READY: u32 = 0x5245_4459;
/// A figure above this has wrapped: earlier versions subtract without looking.
const MOST: u64 = 1 << 62;

/// The kinds that are counted, in their order.
pub const KINDS: [Memory; 5] = [Memory::Dram, Memory::L1, Memory::L1Small, Memory::Trace, Memory::Cb];

/// What a process's slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// In the pid namespace of who wrote it.
    pub pid: u32,
    /// Bytes asked for and not freed, by [`KINDS`]; [`UNKNOWN`] where it cannot be.
    pub bytes: [u64; 5],
    /// Unix time in ns.
    pub updated_unix_ns: u64,
    /// comm of the process, as far as it fits, cleaned.
    pub name: String,
}

/// A whole region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Logical number of the chip for who wrote it last.
    pub number: u32,
    /// The slots that are taken.
    pub slots: Vec<Slot>,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// What these bytes say; `None` if they are no region of a version that is known, or not ready.
pub fn decode(bytes: &[u8]) -> Option<Contents> {
    let version = word(bytes, 0).filter(|version| VERSIONS.contains(version))?;
    if bytes.len() < BYTES || version >= 4 && word(bytes, READY_AT)? != READY {
        return None;
    }
    let table = &bytes[PROCESSES..PROCESSES + PROCESS_COUNT * PROCESS_BYTES];
    Some(Contents {
        number: word(bytes, LOGICAL_NUMBER)?,
        slots: table.chunks_exact(PROCESS_BYTES).filter_map(slot).collect(),
    })
}

fn slot(bytes: &[u8]) -> Option<Slot> {
    // 0 is free, and -1 is being released.
    let pid = u32::try_from(word(bytes, 0)?.cast_signed()).ok().filter(|pid| *pid > 0)?;
    let mut figures = [UNKNOWN; 5];
    for (at, figure) in figures.iter_mut().enumerate() {
        *figure = long(bytes, 8 + at * 8).filter(|figure| *figure <= MOST).unwrap_or(UNKNOWN);
    }
    let name = bytes.get(56..)?.split(|b| *b == 0).next().unwrap_or_default();
    Some(Slot { pid, bytes: figures, updated_unix_ns: long(bytes, 48)?, name: text::clean(name) })
}
