//! Numbers and structures of the C API.

use shm_layout::event::{self, Arch, MAX_DEVICE, Memory};

/// Version of this interface: changes when a function or a structure is added.
pub const TT_ALLOC_API_VERSION: u32 = 1;

/// Largest device number that can be told. What names a larger one is counted as invalid.
pub const TT_ALLOC_MAX_DEVICE: u32 = 1023;

/// Memory kinds 0 to 4 are tt-metal's BufferType. Device DRAM.
pub const TT_ALLOC_DRAM: u8 = 0;
/// L1: SRAM of the Tensix cores.
pub const TT_ALLOC_L1: u8 = 1;
/// Host memory; in no device total.
pub const TT_ALLOC_SYSTEM_MEMORY: u8 = 2;
/// The small region at the top of L1.
pub const TT_ALLOC_L1_SMALL: u8 = 3;
/// The trace region of DRAM.
pub const TT_ALLOC_TRACE: u8 = 4;
/// Circular (and dataflow) buffers of programs: bytes of all cores together.
pub const TT_ALLOC_CB: u8 = 5;
/// Program binaries: bytes of all cores together.
pub const TT_ALLOC_KERNEL: u8 = 6;

/// Kernel types, tt-metal's numbers. An application's kernel; so is every other number.
pub const TT_ALLOC_KERNEL_APPLICATION: u8 = 0;
/// A kernel of the fabric.
pub const TT_ALLOC_KERNEL_FABRIC: u8 = 1;
/// A kernel of the dispatcher.
pub const TT_ALLOC_KERNEL_DISPATCH: u8 = 2;

/// Chip generations, tt-metal's numbers. Not known.
pub const TT_ALLOC_ARCH_UNKNOWN: u32 = 0;
/// Grayskull.
pub const TT_ALLOC_ARCH_GRAYSKULL: u32 = 1;
/// Wormhole B0.
pub const TT_ALLOC_ARCH_WORMHOLE_B0: u32 = 2;
/// Blackhole.
pub const TT_ALLOC_ARCH_BLACKHOLE: u32 = 3;
/// Quasar.
pub const TT_ALLOC_ARCH_QUASAR: u32 = 4;

/// Flag of a block: `id` is an address, which may be live twice for a moment; a free takes the oldest.
pub const TT_ALLOC_ID_IS_ADDRESS: u16 = 1;
/// Flag of a block: it is the system's (fabric, dispatch), not the application's.
pub const TT_ALLOC_SYSTEM: u16 = 2;
/// Flag of a block: a circular buffer that lies in an L1 buffer, which is told itself; it takes no bytes of its own.
pub const TT_ALLOC_GLOBALLY_ALLOCATED: u16 = 4;
/// Flag of a block: its size is a guess.
pub const TT_ALLOC_SIZE_UNKNOWN: u16 = 8;
/// Flag of a block: a kernel of the fabric.
pub const TT_ALLOC_FABRIC: u16 = 16;
/// Flag of a block: a kernel of the dispatcher.
pub const TT_ALLOC_DISPATCH: u16 = 32;

/// The flags that a caller may set.
pub(crate) const FLAGS: u16 = TT_ALLOC_ID_IS_ADDRESS
    | TT_ALLOC_SYSTEM
    | TT_ALLOC_GLOBALLY_ALLOCATED
    | TT_ALLOC_SIZE_UNKNOWN
    | TT_ALLOC_FABRIC
    | TT_ALLOC_DISPATCH;

const _: () = assert!(TT_ALLOC_MAX_DEVICE == MAX_DEVICE);
const _: () = assert!(
    TT_ALLOC_DRAM == Memory::Dram as u8
        && TT_ALLOC_L1 == Memory::L1 as u8
        && TT_ALLOC_SYSTEM_MEMORY == Memory::SystemMemory as u8
        && TT_ALLOC_L1_SMALL == Memory::L1Small as u8
        && TT_ALLOC_TRACE == Memory::Trace as u8
        && TT_ALLOC_CB == Memory::Cb as u8
        && TT_ALLOC_KERNEL == Memory::Kernel as u8
);
const _: () = assert!(
    TT_ALLOC_ARCH_UNKNOWN == Arch::Unknown as u32
        && TT_ALLOC_ARCH_GRAYSKULL == Arch::Grayskull as u32
        && TT_ALLOC_ARCH_WORMHOLE_B0 == Arch::WormholeB0 as u32
        && TT_ALLOC_ARCH_BLACKHOLE == Arch::Blackhole as u32
        && TT_ALLOC_ARCH_QUASAR == Arch::Quasar as u32
);
const _: () = assert!(
    TT_ALLOC_ID_IS_ADDRESS == event::flags::ID_IS_ADDRESS
        && TT_ALLOC_SYSTEM == event::flags::SYSTEM
        && TT_ALLOC_GLOBALLY_ALLOCATED == event::flags::GLOBALLY_ALLOCATED
        && TT_ALLOC_SIZE_UNKNOWN == event::flags::SIZE_UNKNOWN
        && TT_ALLOC_FABRIC == event::flags::FABRIC
        && TT_ALLOC_DISPATCH == event::flags::DISPATCH
);

/// One block, for callers who know at a free what they had said at the allocation. Begin with all zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Block {
    /// What names this block among those of its device and memory kind; below 2^63. Best a number that is never used again.
    pub id: u64,
    /// Its address on the device, in a bank.
    pub address: u64,
    /// Bytes asked for.
    pub size: u64,
    /// Bytes that the allocator took for them, on all banks or cores together; 0: as many as asked for.
    pub footprint: u64,
    /// The process's logical device number.
    pub device: u32,
    /// Program that it belongs to, for circular buffers, or group; 0: none.
    pub program: u32,
    /// One of the memory kinds.
    pub memory: u8,
    /// 0.
    pub reserved: u8,
    /// Flags of a block, added up.
    pub flags: u16,
    /// 0.
    pub reserved2: u32,
}

/// One device, as it was opened. Begin with all zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Device {
    /// The chip's unique id, by which processes that use one chip are found together; 0: not known.
    pub chip_id: u64,
    /// Board id; 0: not known.
    pub board_id: u64,
    /// The process's logical device number.
    pub device: u32,
    /// One of the chip generations.
    pub arch: u32,
    /// Tensix cores after harvesting; 0: not known.
    pub cores: u32,
    /// 0.
    pub reserved: u32,
}

/// What the functions that name blocks by address had to leave open in this process so far.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Frees of what is not live: nothing was told of them.
    pub unmatched_frees: u64,
    /// Frees that did not say a memory kind while buffers of several kinds were live at the address: the oldest was taken.
    pub ambiguous_frees: u64,
}
