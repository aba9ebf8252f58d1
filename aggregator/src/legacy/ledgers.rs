//! What is live according to the ledgers that this aggregator keeps: read as a viewer would, by another thread than the one that
//! writes them.

use crate::sigbus::Guarded;
use core::sync::atomic::AtomicU64;
use shm_layout::event::Event;
use shm_layout::ledger::{DYING, ENTRIES_OFFSET, Entries, LedgerHeader};
use shm_layout::names::{Prefix, ProcessFile, Role};
use shm_layout::ring::Slot;
use shm_layout::segment::{self, Access, Expect};

fn open(prefix: &Prefix, file: &ProcessFile) -> Option<Guarded> {
    let owners = &[nix::unistd::geteuid().as_raw()];
    let name = file.of_role(Role::Ledger).name(prefix);
    let expect = Expect { owners, least: ENTRIES_OFFSET as u64, most: u64::MAX };
    let opened = Guarded::new(segment::open(&name, Access::Read, expect).ok()?)?;
    let identity = opened.mapping.one::<LedgerHeader<AtomicU64>>(0)?.identity();
    (identity.check().is_ok() && identity.nonce == file.nonce).then_some(opened)
}

/// When the process of this ledger started, clock ticks after boot; `None` if there is no ledger.
pub fn start_ticks(prefix: &Prefix, file: &ProcessFile) -> Option<u64> {
    let opened = open(prefix, file)?;
    Some(opened.mapping.one::<LedgerHeader<AtomicU64>>(0)?.identity().start_ticks)
}

/// Every allocation that is live, in no order; `None` if there is no ledger.
pub fn live(prefix: &Prefix, file: &ProcessFile) -> Option<Vec<Event>> {
    let opened = open(prefix, file)?;
    let in_file = opened.mapping.len().saturating_sub(ENTRIES_OFFSET) / size_of::<Slot<AtomicU64>>();
    let header: &LedgerHeader<AtomicU64> = opened.mapping.one(0)?;
    let count = header.capacity().min(in_file);
    let entries = Entries(opened.mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, count)?);
    let live = (0..count).filter_map(|at| entries.get(at)).filter(|event| event.kind != DYING);
    Some(live.collect())
}
