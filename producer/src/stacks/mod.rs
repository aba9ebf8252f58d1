//! Call stacks of allocations, for who asks for them by `TT_ALLOC_STACKS`.
//!
//! ```text
//!   record(Alloc) ──► unwind ──► there already? ──► its number
//!                                    │ no: new
//!                                    ▼
//!                     told, and the modules that it goes through ──► its number; 0 where there is no place
//! ```
//!
//! No lock, no allocation and no system call of ours is made on the way: what is loaded where is asked of the C library's
//! `_dl_find_object`, which needs none, as does libgcc's unwinder where it was built for it. Where the C library does not have it (glibc
//! before 2.35) no stacks are taken: a child of fork might wait for the loader's lock for ever. A libgcc that was built for an older glibc
//! (conda's) takes that lock nevertheless, and one up to version 12 a mutex of its own once a compiler at run time has called
//! `__register_frame`: there a child that was forked while another thread held it may hang at its first allocation. Names of functions are
//! the viewers' work.

mod modules;
mod unwind;

use crate::ring::Ring;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use modules::Finder;
use shm_layout::locks::{self, Lock};
use shm_layout::names::Role;
use shm_layout::segment::{self, SegmentError};
use shm_layout::stacks::{
    MODULES, MODULES_OFFSET, ModuleSlot, STACKS, STACKS_BYTES, STACKS_OFFSET, StackSlot, StacksHeader, Table, identity,
    tell,
};
use unwind::Walk;

/// Why no call stacks are taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StacksError {
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error("{name}: cannot take its owner lock: {errno}")]
    Lock { name: String, errno: nix::errno::Errno },
    #[error("the C library has no _dl_find_object (glibc 2.35 and later do)")]
    NoFinder,
    #[error("{name}: shorter than it was made")]
    Short { name: String },
}

/// The stacks of this process. Never dropped.
#[derive(Debug)]
pub(crate) struct Stacks {
    header: &'static StacksHeader<AtomicU64>,
    modules: &'static [ModuleSlot<AtomicU64>],
    table: Table<'static, AtomicU64>,
    finder: Finder,
    depth: usize,
}

impl Stacks {
    /// Makes the file, beside this ring: reserved, locked, announced.
    pub(crate) fn create(ring: &Ring, depth: usize) -> Result<Self, StacksError> {
        let finder = Finder::new(Stacks::create as *const () as usize).ok_or(StacksError::NoFinder)?;
        let (prefix, file, ring_identity) = ring.names();
        let name = file.of_role(Role::Stacks).name(prefix);
        let created = segment::create(&name, STACKS_BYTES)?;
        match locks::try_take(&created.file, Lock::Owner) {
            Ok(true) => {}
            other => {
                created.remove();
                return Err(StacksError::Lock { name, errno: other.err().unwrap_or(nix::errno::Errno::EAGAIN) });
            }
        }
        // As the ring: for threads that run until the process is gone, and for frames that go on in a child.
        let created = Box::leak(Box::new(created));
        let parts = || {
            let header = created.mapping.one::<StacksHeader<AtomicU64>>(0)?;
            let modules = created.mapping.array::<ModuleSlot<AtomicU64>>(MODULES_OFFSET, MODULES)?;
            let slots = created.mapping.array::<StackSlot<AtomicU64>>(STACKS_OFFSET, STACKS)?;
            Some((header, modules, Table::new(header, slots)?))
        };
        let Some((header, modules, table)) = parts() else {
            created.remove();
            return Err(StacksError::Short { name });
        };
        // Relaxed: published with the identity.
        header.depth.store(depth as u64, Relaxed);
        header.announce(&identity(&ring_identity));
        Ok(Self { header, modules, table, finder, depth })
    }

    /// The number of the call stack of whoever has called the function that this is inlined into; 0 if it cannot be told.
    #[inline(always)]
    pub(crate) fn take(&self, thread: u32) -> u32 {
        let mut walk = Walk::new(self.depth, self.finder.own());
        unwind::walk(&mut walk);
        let addresses = walk.addresses();
        if addresses.is_empty() {
            return 0;
        }
        self.table.intern(thread, addresses, walk.is_cut(), || self.tell_modules(addresses))
    }

    /// Tells what these addresses lie in: as it is now, for a library may have come where another was.
    fn tell_modules(&self, addresses: &[u64]) {
        let mut last = None;
        for address in addresses {
            // The call is at the byte before the address that it returns to.
            let call = address.wrapping_sub(1);
            if last.is_some_and(|last: shm_layout::stacks::Module| last.holds(call)) {
                continue;
            }
            last = self.finder.find(call);
            if let Some(module) = &last {
                tell(self.header, self.modules, module);
            }
        }
    }
}
