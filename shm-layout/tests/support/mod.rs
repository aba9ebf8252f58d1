//! What several tests share.
#![allow(dead_code, reason = "every test binary uses its own part of it")]

pub mod cases;
pub mod compaction;
pub mod heap;
pub mod ring;
pub mod state;

use shm_layout::event::{Event, Kind, Memory};

/// The `n`th record of a thread: every word tells which one it is, so that a torn one shows.
pub fn record(thread: u32, n: u64) -> Event {
    let seed = u64::from(thread) << 32 | n;
    Event {
        stamp: 0,
        time: seed + 1,
        id: seed,
        address: seed ^ 0xA5A5_A5A5_A5A5_A5A5,
        size: seed * 3,
        footprint: !seed,
        device: n as u32 & 1023,
        thread,
        context: n as u32 ^ thread << 8,
        kind: Kind::Alloc as u8,
        memory: Memory::L1 as u8,
        flags: n as u16,
    }
}

/// Which record this is; panics if its words are not of one record.
#[track_caller]
pub fn which(event: &Event) -> (u32, u64) {
    let n = event.id & 0xFFFF_FFFF;
    assert_eq!(Event { stamp: 0, ..*event }, record(event.thread, n), "torn record");
    (event.thread, n)
}
