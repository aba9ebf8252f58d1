//! Call stacks: one file per tracked process that was asked for them, written by its threads, read by viewers only.
//!
//! ```text
//!        0 +----------------------------------+
//!          | identity   (written once)        |  as a ring's, with another magic
//!      256 +----------------------------------+
//!          | depth, counters                  |
//!     4096 +----------------------------------+
//!          | 256 modules, 320 bytes each      |  what is loaded where: of addresses that were met
//!    86016 +----------------------------------+
//!          | 4096 stacks, 272 bytes each      |  found by hash; stack number n is slot n - 1
//!  1200128 +----------------------------------+
//! ```
//!
//! An allocation whose event has [`flags::STACK`](crate::event::flags::STACK) names its stack by number. A slot, of a stack or of a module,
//! is claimed by compare-and-swap, filled, and published by a release store of its first word; then it never changes. Who
//! finds no room tells no stack, which is counted. Addresses are as the process had them: *return* addresses, so that the call is at the
//! byte before.

mod header;
mod modules;
mod table;

pub use header::{StacksHeader, check, identity};
pub use modules::{BUILD_ID_BYTES, Module, ModuleSlot, PATH_BYTES, held_by, tell};
pub use table::{Stack, StackSlot, Table};

/// First word of every such file, of whatever version.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TTALSTAK");
/// Version of this layout. Another one is refused with a message that says so.
pub const VERSION: u32 = 1;
/// Most addresses of one stack.
pub const MOST_ADDRESSES: usize = 32;
/// Places for stacks.
pub const STACKS: usize = 4096;
/// Places for modules.
pub const MODULES: usize = 256;
/// Where the modules lie.
pub const MODULES_OFFSET: usize = size_of::<StacksHeader<core::sync::atomic::AtomicU64>>();
/// Where the stacks lie.
pub const STACKS_OFFSET: usize = MODULES_OFFSET + MODULES * size_of::<ModuleSlot<core::sync::atomic::AtomicU64>>();
/// Bytes of the file.
pub const STACKS_BYTES: usize = STACKS_OFFSET + STACKS * size_of::<StackSlot<core::sync::atomic::AtomicU64>>();

const _: () = assert!(MODULES_OFFSET == 4096 && STACKS_OFFSET == 86_016 && STACKS_BYTES == 1_200_128);
