//! A mapped segment, reached as atomics and nothing else.

use crate::ledger::{LedgerHeader, TagNames};
use crate::ring::{DropTable, RingHeader, Slot, VanishedTable};
use crate::stacks::{ModuleSlot, StackSlot, StacksHeader};
use crate::stats::StatsHeader;
use core::sync::atomic::AtomicU64;
use memmap2::{MmapOptions, MmapRaw, RemapOptions};
use nix::errno::Errno;
use shared_memory::Shmem;
use std::io;
use std::os::fd::OwnedFd;

/// Types that may stand for shared bytes: any bit pattern is valid, every part is an atomic.
///
/// # Safety
/// The implementor is `#[repr(C)]` (or transparent) and made of `AtomicU64` only, without padding.
pub unsafe trait SharedWords {}

// SAFETY: it is the atomic itself.
unsafe impl SharedWords for AtomicU64 {}
// SAFETY: repr(C), eight atomics; its size assertion shows that there is no padding.
unsafe impl SharedWords for Slot<AtomicU64> {}
// SAFETY: repr(C), atomics only; its size assertion shows that there is no padding.
unsafe impl SharedWords for RingHeader<AtomicU64> {}
// SAFETY: repr(C), atomics only; its size assertion shows that there is no padding.
unsafe impl SharedWords for DropTable<AtomicU64> {}
// SAFETY: repr(C), atomics only; its size assertion shows that there is no padding.
unsafe impl SharedWords for VanishedTable<AtomicU64> {}
// SAFETY: repr(C), atomics only; its size assertion shows that there is no padding.
unsafe impl SharedWords for StatsHeader<AtomicU64> {}
// SAFETY: repr(C), atomics only; its size assertion shows that there is no padding.
unsafe impl SharedWords for LedgerHeader<AtomicU64> {}
// SAFETY: repr(C), atomics only; its size assertion shows that there is no padding.
unsafe impl SharedWords for TagNames<AtomicU64> {}
// SAFETY: repr(C), atomics only; its size assertion shows that there is no padding.
unsafe impl SharedWords for StacksHeader<AtomicU64> {}
// SAFETY: repr(C), atomics only; its size assertion shows that there is no padding.
unsafe impl SharedWords for StackSlot<AtomicU64> {}
// SAFETY: repr(C), atomics only; its size assertion shows that there is no padding.
unsafe impl SharedWords for ModuleSlot<AtomicU64> {}

enum Pages {
    Created(Shmem),
    Opened(MmapRaw),
}

/// The pages of a segment, mapped until this is dropped.
pub struct Mapping {
    pages: Pages,
    /// Bytes that the file is known to have; more may be mapped.
    len: usize,
}

// SAFETY: the mapping is plain memory of this process that no thread owns; it is only reached through atomics
// (`array`), and unmapped once, by drop. `Shmem` and `MmapRaw` lack Send for their raw pointer only.
unsafe impl Send for Mapping {}
// SAFETY: as above: shared references give out atomics only.
unsafe impl Sync for Mapping {}

impl core::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mapping").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Mapping {
    pub(super) fn created(shmem: Shmem, len: usize) -> Self {
        debug_assert!(shmem.len() >= len);
        Self { pages: Pages::Created(shmem), len }
    }

    pub(super) fn opened(map: MmapRaw) -> Self {
        let len = map.len();
        Self { pages: Pages::Opened(map), len }
    }

    /// Shows `bytes` of the file, which has grown to at least that. `room` bytes of addresses are taken at once, so that this
    /// costs nothing most of the times: what lies behind the file's end is not given out. Where addresses do not suffice,
    /// the pages move with what the kernel knows about them; nothing is mapped anew page by page.
    pub(super) fn stretch(&mut self, file: &OwnedFd, bytes: usize, room: usize) -> io::Result<()> {
        let room = room.max(bytes);
        match &mut self.pages {
            Pages::Opened(map) if map.len() >= bytes => {}
            Pages::Opened(map) => {
                let mut remap = |bytes| {
                    // SAFETY: nobody holds a reference into the mapping (`&mut self`), so it may move; what is beyond
                    // the file's end is beyond `len`, and not reached.
                    unsafe { map.remap(bytes, RemapOptions::new().may_move(true)) }
                };
                // Addresses may be limited (ulimit -v): then only what is needed.
                remap(room).or_else(|_| remap(bytes))?;
            }
            // That one cannot be stretched: once in a segment's life.
            Pages::Created(_) => {
                let map = |bytes| MmapOptions::new().len(bytes).map_raw(file);
                self.pages = Pages::Opened(map(room).or_else(|_| map(bytes))?);
            }
        }
        self.len = bytes;
        Ok(())
    }

    /// Bytes that may be reached.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is mapped.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Address of the first byte, for system calls about the range. Not for dereferencing.
    pub fn address(&self) -> *mut u8 {
        match &self.pages {
            Pages::Created(shmem) => shmem.as_ptr(),
            Pages::Opened(map) => map.as_mut_ptr(),
        }
    }

    /// Takes the page faults of these bytes now, not at their first use; whole pages, what is outside is left out. Best
    /// effort: kernels before 5.14 do not know the advice. For segments of this process, whose blocks are reserved.
    pub fn prefault(&self, offset: usize, bytes: usize) {
        // A multiple of every page size; a page that is there already costs next to nothing.
        const PAGE: usize = 64 << 10;
        let start = (offset / PAGE * PAGE).min(self.len);
        let end = offset.saturating_add(bytes).min(self.len);
        let errno = Errno::last_raw();
        // SAFETY: the range lies inside the mapping; populating pages for writing changes no byte.
        unsafe {
            libc::madvise(self.address().add(start).cast(), end - start, libc::MADV_POPULATE_WRITE);
        }
        // A signal handler may be among the callers: its program is not to see that we asked.
        Errno::set_raw(errno);
    }

    /// `count` values of `T` from byte `offset` on; `None` if they do not lie inside, aligned. A mapping opened for
    /// reading must only be read: a store into it ends the process.
    pub fn array<T: SharedWords>(&self, offset: usize, count: usize) -> Option<&[T]> {
        let bytes = count.checked_mul(size_of::<T>())?;
        let end = offset.checked_add(bytes)?;
        if end > self.len || !offset.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: the range lies inside the mapping (checked), which is page-aligned, so the offset's alignment is the
        // address's; `SharedWords` says that any bytes are a valid `T` and that all access is atomic; the mapping
        // lives as long as `self`, which the returned lifetime borrows.
        Some(unsafe { core::slice::from_raw_parts(self.address().add(offset).cast::<T>(), count) })
    }

    /// One value of `T` at byte `offset`; as [`array`](Self::array).
    pub fn one<T: SharedWords>(&self, offset: usize) -> Option<&T> {
        self.array(offset, 1)?.first()
    }
}
