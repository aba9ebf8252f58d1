//! What is live by address: for callers who free without saying what.
//!
//! tt-metal's reports name a buffer by its address, and a free names nothing else. Here it is found what is meant, so that the ring is told
//! all of it: an id that never comes again, the memory kind, the size. Then no order of events is ambiguous to whoever reads the ring, a
//! full ring can take out what came and went, and what does not fit is counted exactly.
//!
//! | what happens | what is done |
//! |---|---|
//! | a buffer is told where one of its memory kind is (another thread's, before the free of the last use is told; a view) | there is one at a time: the earlier ends here, the later is told; the free to come takes the earlier, and tells nothing |
//! | a circular buffer or kernel is told where one is | both are live; a free takes the oldest |
//! | a free does not say a memory kind, and buffers of several are live at the address | the oldest of them; counted as ambiguous |
//! | a free says a size, and several are live at the address | the oldest of this size, if there is one; what is subtracted is never the caller's |
//! | a free of what is not live | nothing is told; counted |
//! | a device is closed | what was live on it is forgotten; where another thread is inside for long, by that thread |
//!
//! The order at an address is the order in the ring: both are written inside the shard. Who is inside may write for another thread; its
//! thread and tag are told all the same.

use crate::gate::{Inside, PATIENCE, Turn, give_way};
use crate::shard::{self, Shard};
use crate::table::{Key, Told, Which};
use core::sync::atomic::Ordering::Relaxed;
use producer::process::{self, Author};
use shm_layout::event::{Event, Kind, MAX_DEVICE, Memory};
use std::time::{Duration, Instant};

fn event(kind: Kind, key: Key, told: Told) -> Event {
    let Told { id, size, memory, flags, .. } = told;
    Event { id, address: key.address, size, flags, ..Event::new(kind, memory, key.device) }
}

/// What is reported by an address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Report {
    Alloc {
        key: Key,
        memory: Memory,
        size: u64,
        flags: u16,
        by: Author,
    },
    Free {
        key: Key,
        which: Which,
        size: u64,
        by: Author,
    },
    /// A close that was told while others were inside. `from`: blocks from this number on may have been told after it.
    Close {
        device: u32,
        from: u64,
        by: Author,
    },
}

impl Shard {
    /// Brings a report into the table and the ring. Inside.
    #[inline(always)]
    fn apply(&self, report: Report) {
        match report {
            Report::Alloc { key, memory, size, flags, by } => self.apply_alloc(key, memory, size, flags, by),
            Report::Free { key, which, size, by } => self.apply_free(key, which, size, by),
            Report::Close { device, from, by } => self.apply_close(device, from, by),
        }
    }

    fn apply_alloc(&self, key: Key, memory: Memory, size: u64, flags: u16, by: Author) {
        let id = self.next_id(shard::number(key.device, key.address));
        let told = Told { id, size, memory, flags, ended: false };
        // SAFETY: inside; the only borrow.
        let table = self.has_table().then(|| unsafe { self.table() }).flatten();
        let Some(table) = table.and_then(|table| table.has_room(key).then_some(table)) else { return process::lose() };
        if let Some(earlier) = table.add(key, told) {
            // In this order, as in the allocator.
            process::record_by(by, event(Kind::Free, key, earlier));
        }
        process::record_by(by, event(Kind::Alloc, key, told));
    }

    fn apply_free(&self, key: Key, which: Which, size: u64, by: Author) {
        // SAFETY: inside; the only borrow.
        let taken = unsafe { self.table() }.and_then(|table| table.take(key, which, size));
        let Some((told, ambiguous)) = taken else {
            // Relaxed: a counter.
            self.unmatched.fetch_add(1, Relaxed);
            return;
        };
        if ambiguous {
            // Relaxed: a counter.
            self.ambiguous.fetch_add(1, Relaxed);
        }
        if !told.ended {
            process::record_by(by, event(Kind::Free, key, told));
        }
    }

    /// What the close has ended is forgotten; what may have been told after it, and is of before it, ends by itself.
    #[cold]
    fn apply_close(&self, device: u32, from: u64, by: Author) {
        // SAFETY: inside; the only borrow.
        let Some(table) = (unsafe { self.table() }) else { return };
        table.forget(device, |key, told| {
            if !told.ended && shard::block(told.id) >= from {
                process::record_by(by, event(Kind::Free, key, told));
            }
        });
    }
}

/// Does what was reported inside its shard, or leaves it to who is there.
#[inline(always)]
fn report(key: Key, report: Report) {
    let shard = &shard::all()[shard::number(key.device, key.address)];
    let passed = Turn::begin().is_some_and(|_turn| shard.gate.pass(report, PATIENCE, |report| shard.apply(report)));
    if !passed {
        process::lose();
    }
}

/// Something is allocated at this address.
#[inline(always)]
pub(crate) fn allocated(device: u32, memory: Memory, address: u64, size: u64, flags: u16) {
    if !process::ready() {
        return;
    }
    let key = Key { device, address };
    if device > MAX_DEVICE {
        // Told as it is, so that it is counted.
        return process::record(event(Kind::Alloc, key, Told { id: address, size, memory, flags, ended: false }));
    }
    report(key, Report::Alloc { key, memory, size, flags, by: process::author_of_allocation() });
}

/// What is meant is freed. `size` chooses among several; 0: not said.
#[inline(always)]
pub(crate) fn freed(device: u32, which: Which, address: u64, size: u64) {
    if process::ready() {
        let key = Key { device, address };
        report(key, Report::Free { key, which, size, by: process::author() });
    }
}

/// A device is closed, and whatever was live on it has ended.
pub(crate) fn closed(device: u32) {
    if !process::ready() {
        return;
    }
    let Some(_turn) = Turn::begin() else { return process::lose() };
    // All of them, in their order: an allocation on another thread is either before the close, in the ring and here, or after it.
    let deadline = Instant::now() + PATIENCE;
    let inside = shard::all().each_ref().map(|shard| enter(shard, deadline));
    // Where somebody stays inside: what is certainly told by now. Before the close is told.
    let told = shard::all().each_ref().map(Shard::told);
    process::record(Event::new(Kind::DeviceClose, Memory::Dram, device));
    // All are opened first: what the others left meanwhile is done while they go on.
    let mut opened = [false; shard::SHARDS];
    for ((shard, inside), opened) in shard::all().iter().zip(inside).zip(&mut opened) {
        let Some(_inside) = inside else { continue };
        // SAFETY: inside; the only borrow.
        if let Some(table) = unsafe { shard.table() } {
            table.forget(device, |_, _| {});
        }
        *opened = true;
    }
    for ((shard, opened), from) in shard::all().iter().zip(opened).zip(told) {
        if opened {
            shard.gate.work_off(|report| shard.apply(report));
            continue;
        }
        // A free that was left there before may be told after the close: then it is of what is not live.
        process::lose();
        let close = Report::Close { device, from, by: process::author() };
        // It has waited.
        if !shard.gate.pass(close, Duration::ZERO, |report| shard.apply(report)) {
            process::lose();
        }
    }
}

/// Goes in, when whoever is there has gone; what was left is done then.
fn enter(shard: &Shard, deadline: Instant) -> Option<Inside<'_, Report>> {
    loop {
        if let Some(inside) = shard.gate.enter() {
            inside.catch_up(&mut |report| shard.apply(report));
            return Some(inside);
        }
        if Instant::now() > deadline {
            return None;
        }
        give_way();
    }
}

/// Frees of what was not live, and frees that took the oldest of several memory kinds, so far.
pub(crate) fn doubts() -> (u64, u64) {
    shard::all().iter().fold((0, 0), |(unmatched, ambiguous), shard| {
        // Relaxed: counters.
        (unmatched + shard.unmatched.load(Relaxed), ambiguous + shard.ambiguous.load(Relaxed))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may unwrap")]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;
    use shm_layout::ring::{Consumer, FIRST_SECTION_OFFSET, RingHeader, Slot, records_offset};
    use shm_layout::segment::{Access, Expect, open};

    const DEVICE: u32 = 3;

    /// The child of the test below: a device is closed and opened again while somebody stays inside one shard.
    #[test]
    fn closing() {
        if std::env::var_os("TEST_CLOSING").is_none() {
            return;
        }
        let at = shard::number(DEVICE, 0);
        let shard = &shard::all()[at];
        let here: Vec<u64> =
            (0..).map(|n| n * 64).filter(|&address| shard::number(DEVICE, address) == at).take(4).collect();
        let tell = |address| allocated(DEVICE, Memory::Dram, address, 64, 0);
        tell(here[0]);
        tell(here[1]);
        let inside = shard.gate.enter().unwrap();
        tell(here[2]);
        closed(DEVICE);
        tell(here[3]);
        inside.leave(|report| shard.apply(report));

        let ring = open(process::ring_name().unwrap(), Access::Read, Expect { owners: &[], least: 1, most: u64::MAX })
            .unwrap();
        let header = ring.mapping.one::<RingHeader<AtomicU64>>(0).unwrap();
        let slots = header.sections[0].slots.load(Relaxed) as usize;
        let records = ring.mapping.array::<Slot<AtomicU64>>(records_offset(FIRST_SECTION_OFFSET), slots).unwrap();
        let mut told = Vec::new();
        Consumer::new(records)
            .unwrap()
            .read(0, slots, |event| told.push((Kind::from_u8(event.kind).unwrap(), event.address)));
        // One of the shard's last block and the close is told first, who knows which: a free more is none too few.
        told[4..6].sort_unstable_by_key(|(_, address)| *address);
        let expected = [
            (Kind::Alloc, here[0]),
            (Kind::Alloc, here[1]),
            (Kind::DeviceClose, 0),
            (Kind::Alloc, here[2]),
            (Kind::Free, here[1]),
            (Kind::Free, here[2]),
            (Kind::Alloc, here[3]),
        ];
        assert_eq!(told, expected);
        assert_ne!(header.lost_controls.load(Relaxed), 0, "not marked");
        process::close();
    }

    #[test]
    fn a_close_is_told_also_while_somebody_stays_inside_and_ends_what_is_told_after_it() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let prefix = format!("test_capi_close_{}", std::process::id());
        child.args(["--exact", "live::tests::closing", "--nocapture"]);
        child.envs([("TEST_CLOSING", "1"), ("TT_ALLOC_TRACKING_ENABLED", "1"), ("TT_ALLOC_PREFIX", &prefix)]);
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
