//! The event record: what a tracked process says about one allocation, in one cache line.
//!
//! ```text
//!   0       8      16      24      32      40      48  52  56  60      64
//!   +-------+-------+-------+-------+-------+-------+---+---+---+-+-+---+
//!   | stamp | time  |  id   |address| size  |footpr.|dev|tid|ctx|k|m|flg|
//!   +-------+-------+-------+-------+-------+-------+---+---+---+-+-+---+
//! ```
//!
//! The same 64 bytes are a slot of the [ring](crate::ring) and an entry of the
//! [ledger](crate::ledger): what is live is simply the record that announced it.

use bytemuck::{Pod, Zeroable};
use core::mem::{align_of, offset_of, size_of};

/// Bytes of one record: one cache line on every machine tt-metal runs on.
pub const EVENT_BYTES: usize = 64;
/// 64-bit words of one record; slots are stored word by word through atomics.
pub const EVENT_WORDS: usize = EVENT_BYTES / 8;

/// One event, as it lies in the ring and in the ledger.
///
/// | offset | field | meaning |
/// |---|---|---|
/// | 0 | stamp | set by the ring: sequence number + 1; 0 in a record that is not in a ring |
/// | 8 | time | ticks; the ring header says how to convert (nanoseconds of `CLOCK_MONOTONIC` in version 1) |
/// | 16 | id | allocation id, or chip unique id in a `DeviceInfo` |
/// | 24 | address | device address |
/// | 32 | size | bytes asked for |
/// | 40 | footprint | bytes taken from the allocator; 0 means the same as `size` |
/// | 48 | device | the process's logical device number |
/// | 52 | thread | thread id; with [`flags::STACK`] the number of a [stack](crate::stacks), which has the thread id |
/// | 56 | context | program or mesh that the event belongs to; 0 is none. In a `Tag` its number |
/// | 60 | kind | [`Kind`] |
/// | 61 | memory | [`Memory`] |
/// | 62 | flags | [`flags`] in the lower 8 bits, the number of its [`tag`](crate::tag) in the upper 8; 0 is none |
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// Sequence number + 1, owned by the ring.
    pub stamp: u64,
    /// Ticks of the ring's clock.
    pub time: u64,
    /// Allocation id; the meaning for other kinds is told at [`Kind`].
    pub id: u64,
    /// Device address (per bank).
    pub address: u64,
    /// Bytes asked for.
    pub size: u64,
    /// Bytes taken from the allocator; 0 = the same as `size`.
    pub footprint: u64,
    /// The process's logical device number, 0 to [`MAX_DEVICE`].
    pub device: u32,
    /// Thread id of the caller; 0 = not told. With [`flags::STACK`] the number of its call stack.
    pub thread: u32,
    /// Program or mesh; 0 = none.
    pub context: u32,
    /// A [`Kind`] as a byte.
    pub kind: u8,
    /// A [`Memory`] as a byte.
    pub memory: u8,
    /// Bits of [`flags`], and the number of a [`tag`](crate::tag) above them.
    pub flags: u16,
}

const _: () = assert!(size_of::<Event>() == EVENT_BYTES && align_of::<Event>() == 8);
const _: () = assert!(offset_of!(Event, stamp) == 0);
const _: () = assert!(offset_of!(Event, time) == 8);
const _: () = assert!(offset_of!(Event, id) == 16);
const _: () = assert!(offset_of!(Event, address) == 24);
const _: () = assert!(offset_of!(Event, size) == 32);
const _: () = assert!(offset_of!(Event, footprint) == 40);
const _: () = assert!(offset_of!(Event, device) == 48);
const _: () = assert!(offset_of!(Event, thread) == 52);
const _: () = assert!(offset_of!(Event, context) == 56);
const _: () = assert!(offset_of!(Event, kind) == 60);
const _: () = assert!(offset_of!(Event, memory) == 61);
const _: () = assert!(offset_of!(Event, flags) == 62);
// `to_words` and `from_words` spell the layout out as a little-endian machine has it; tt-metal runs on no other.
const _: () = assert!(cfg!(target_endian = "little"));

/// Largest logical device number that an event may name; a larger one is an invalid record.
pub const MAX_DEVICE: u32 = 1023;

/// What an event says. Unknown numbers are skipped and counted, so later versions may add kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Something was allocated: `id`, `address`, `size`, `footprint`, `device`, `memory`, `context`.
    Alloc = 1,
    /// It was freed: `id`, `device`, `memory`. `size` and `footprint` are a hint (0 = not known);
    /// the ledger's own figures are what is subtracted.
    Free = 2,
    /// Everything of `memory` with `context` on `device` is freed (the CBs of one program, the buffers of one allocator).
    /// `size`, `footprint` and `id` (= blocks) are hints as in `Free`.
    FreeAll = 3,
    /// A device was opened: `id` = the chip's unique id, `context` = [`Arch`], `size` = Tensix cores
    /// after harvesting (0 unknown), `address` = board id (0 unknown).
    DeviceInfo = 4,
    /// The capacity of one memory kind of `device`: `size` = bytes, `footprint` = banks of the allocator (0 unknown), `id` = bytes that it
    /// hands out of each bank (0 unknown), `address` = the first address of these.
    Capacity = 5,
    /// A device was closed: whatever is alive on it ends with it.
    DeviceClose = 6,
    /// Program `context` was dispatched to `device`: its CBs are the resident ones now.
    ProgramResident = 7,
    /// A [`tag`](crate::tag) gets its name: `context` = its number, 1 to 255; `id`, `address`, `size`, `footprint` = 32 bytes of the
    /// name. With another number it says nothing.
    Tag = 8,
    /// A free named neither size nor memory kind, and what it freed was guessed: from now on (`size` = 1) it is not known whether
    /// `memory` of `device` is right; with `size` = 0 it is known again.
    Doubt = 16,
}

impl Kind {
    /// The kind with this number, if this version knows it.
    pub const fn from_u8(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::Alloc,
            2 => Self::Free,
            3 => Self::FreeAll,
            4 => Self::DeviceInfo,
            5 => Self::Capacity,
            6 => Self::DeviceClose,
            7 => Self::ProgramResident,
            8 => Self::Tag,
            16 => Self::Doubt,
            _ => return None,
        })
    }
}

/// Memory kinds; 0 to 4 are tt-metal's `BufferType` numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Memory {
    /// Device DRAM.
    Dram = 0,
    /// L1 (SRAM of the Tensix cores).
    L1 = 1,
    /// Host memory; in no device total.
    SystemMemory = 2,
    /// The small region at the top of L1.
    L1Small = 3,
    /// The trace region of DRAM.
    Trace = 4,
    /// Circular (and dataflow) buffers: per-core bytes × cores.
    Cb = 5,
    /// Program binaries: per-core bytes × cores.
    Kernel = 6,
}

/// Rows of every per-memory table: the seven kinds and one spare, so that a row is found by number.
pub const MEMORY_KINDS: usize = 8;

impl Memory {
    /// Every kind, in the order of the JSON.
    pub const ALL: [Self; 7] =
        [Self::Dram, Self::L1, Self::L1Small, Self::Trace, Self::SystemMemory, Self::Cb, Self::Kernel];

    /// The kind with this number, if this version knows it.
    pub const fn from_u8(n: u8) -> Option<Self> {
        Some(match n {
            0 => Self::Dram,
            1 => Self::L1,
            2 => Self::SystemMemory,
            3 => Self::L1Small,
            4 => Self::Trace,
            5 => Self::Cb,
            6 => Self::Kernel,
            _ => return None,
        })
    }

    /// Its name in JSON, tables and on the command line: tt-metal's own where it has one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dram => "DRAM",
            Self::L1 => "L1",
            Self::SystemMemory => "SYSTEM_MEMORY",
            Self::L1Small => "L1_SMALL",
            Self::Trace => "TRACE",
            Self::Cb => "CB",
            Self::Kernel => "KERNEL",
        }
    }

    /// The kind with this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name().eq_ignore_ascii_case(name))
    }

    /// What this kind's blocks are called in an event line.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Cb => "CBs",
            Self::Kernel => "kernels",
            _ => "buffers",
        }
    }
}

/// Chip generations, with the numbers of tt-metal's wire protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Arch {
    /// Not told.
    #[default]
    Unknown = 0,
    /// Grayskull.
    Grayskull = 1,
    /// Wormhole B0.
    WormholeB0 = 2,
    /// Blackhole.
    Blackhole = 3,
    /// Quasar.
    Quasar = 4,
}

impl Arch {
    /// The generation with this number; anything else is `Unknown`.
    pub const fn from_u32(n: u32) -> Self {
        match n {
            1 => Self::Grayskull,
            2 => Self::WormholeB0,
            3 => Self::Blackhole,
            4 => Self::Quasar,
            _ => Self::Unknown,
        }
    }

    /// Its name in JSON, as tt-metal spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Grayskull => "grayskull",
            Self::WormholeB0 => "wormhole_b0",
            Self::Blackhole => "blackhole",
            Self::Quasar => "quasar",
        }
    }
}

/// Bits of [`Event::flags`].
pub mod flags {
    /// `id` is an address and may be live twice for a moment; a free takes the oldest.
    pub const ID_IS_ADDRESS: u16 = 1 << 0;
    /// System memory (fabric, dispatch), not the application's.
    pub const SYSTEM: u16 = 1 << 1;
    /// A circular buffer that lives in an L1 buffer which is already counted.
    pub const GLOBALLY_ALLOCATED: u16 = 1 << 2;
    /// The size was not known to the source.
    pub const SIZE_UNKNOWN: u16 = 1 << 3;
    /// A kernel of the fabric.
    pub const FABRIC: u16 = 1 << 4;
    /// A kernel of the dispatcher.
    pub const DISPATCH: u16 = 1 << 5;
    /// The chip's unique id was not known: `id` is only the logical number.
    pub const CHIP_ID_UNKNOWN: u16 = 1 << 6;
    /// The number of the [`tag`](crate::tag) that the thread had; 0 is none.
    pub const TAG: u16 = 0xFF00;
    /// Where it begins.
    pub const TAG_SHIFT: u32 = 8;
    /// `thread` is the number of a call stack in the process's [stacks](crate::stacks).
    pub const STACK: u16 = 1 << 7;
}

impl Event {
    /// An event of this kind about this memory of this device; fill in the rest.
    pub const fn new(kind: Kind, memory: Memory, device: u32) -> Self {
        Self {
            stamp: 0,
            time: 0,
            id: 0,
            address: 0,
            size: 0,
            footprint: 0,
            device,
            thread: 0,
            context: 0,
            kind: kind as u8,
            memory: memory as u8,
            flags: 0,
        }
    }

    /// Bytes taken from the allocator: `footprint`, or `size` where no footprint was told. A globally
    /// allocated CB takes none: the buffer that it lives in is counted already.
    pub const fn taken(&self) -> u64 {
        if self.flags & flags::GLOBALLY_ALLOCATED != 0 {
            0
        } else if self.footprint != 0 {
            self.footprint
        } else {
            self.size
        }
    }

    /// The record as the words that a slot stores.
    ///
    /// Put together from the fields, not by a cast: a compiler that builds the record in memory and loads it again as words
    /// makes each narrow store wait for the wide load behind it, which costs more than the rest of a push.
    #[inline(always)]
    pub const fn to_words(&self) -> [u64; EVENT_WORDS] {
        [
            self.stamp,
            self.time,
            self.id,
            self.address,
            self.size,
            self.footprint,
            self.device as u64 | (self.thread as u64) << 32,
            self.context as u64 | (self.kind as u64) << 32 | (self.memory as u64) << 40 | (self.flags as u64) << 48,
        ]
    }

    /// The record that these words hold.
    #[inline(always)]
    pub const fn from_words(words: [u64; EVENT_WORDS]) -> Self {
        let [stamp, time, id, address, size, footprint, place, about] = words;
        Self {
            stamp,
            time,
            id,
            address,
            size,
            footprint,
            device: place as u32,
            thread: (place >> 32) as u32,
            context: about as u32,
            kind: (about >> 32) as u8,
            memory: (about >> 40) as u8,
            flags: (about >> 48) as u16,
        }
    }
}
