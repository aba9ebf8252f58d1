//! The phases of what a process holds, as its ledger tells them.

use super::Ground;
use shm_layout::event::Event;
use shm_layout::ledger::{DYING, ENTRIES_OFFSET, Entries, LedgerHeader, TAGS_OFFSET, TagNames};
use shm_layout::names::{ProcessFile, Role};
use shm_layout::ring::Slot;
use shm_layout::segment::{self, Access, Expect};
use std::sync::atomic::AtomicU64;

/// Every live allocation of the process whose ring has this name, with its phase: `?` where the name is not there. `None` while there
/// is no ledger.
pub fn phases(ground: &Ground, ring: &str) -> Option<Vec<(Event, Option<String>)>> {
    let file = ProcessFile::parse(ring, &ground.prefix)?.of_role(Role::Ledger);
    let expect = Expect { owners: &[], least: 1, most: u64::MAX };
    let opened = segment::open(&file.name(&ground.prefix), Access::Read, expect).ok()?;
    let header = opened.mapping.one::<LedgerHeader<AtomicU64>>(0)?;
    let names = opened.mapping.one::<TagNames<AtomicU64>>(TAGS_OFFSET)?;
    let slots = opened.mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, header.capacity())?;
    let live = (0..slots.len()).filter_map(|at| Entries(slots).get(at)).filter(|event| event.kind != DYING);
    let named = live.map(|event| {
        let number = event.tag_number();
        let name = || names.get(number).map_or_else(|| "?".to_owned(), |name| name.text());
        (event, (number != 0).then(name))
    });
    Some(named.collect())
}

/// The bytes that are kept as names.
pub fn raw_names(ground: &Ground, ring: &str) -> Vec<u8> {
    let file = ProcessFile::parse(ring, &ground.prefix).unwrap().of_role(Role::Ledger);
    let bytes = std::fs::read(format!("/dev/shm/{}", file.name(&ground.prefix))).unwrap();
    bytes[TAGS_OFFSET..TAGS_OFFSET + size_of::<TagNames<AtomicU64>>()].to_vec()
}
