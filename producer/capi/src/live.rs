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
//! | a device is closed | what was live on it is forgotten |
//!
//! The order at an address is the order in the ring: both are written inside the shard. Who is inside may write for another thread; its
//! thread and tag are told all the same.

use crate::gate::Turn;
use crate::shard::{self, Shard};
use core::sync::atomic::Ordering::Relaxed;
use producer::process::{self, Author};
use shm_layout::event::{Event, Kind, MAX_DEVICE, Memory};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a close waits for threads that are inside: a device takes longer to close.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is named by an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    device: u32,
    address: u64,
}

/// One block, as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    id: u64,
    size: u64,
    memory: Memory,
    flags: u16,
    /// A later buffer has its place: its end was told, and its free is still to come.
    ended: bool,
}

/// What is live at one address; nearly always one block.
#[derive(Debug)]
struct Blocks {
    oldest: Told,
    later: VecDeque<Told>,
}

/// Which blocks a free may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// A buffer of any memory kind: neither circular buffer nor kernel.
    Buffer,
    /// What is of this memory kind.
    Of(Memory),
}

impl Which {
    fn means(self, memory: Memory) -> bool {
        match self {
            Self::Buffer => !matches!(memory, Memory::Cb | Memory::Kernel),
            Self::Of(of) => of == memory,
        }
    }
}

/// One shard's part of what is live.
#[derive(Debug)]
pub(crate) struct Table {
    live: HashMap<Key, Blocks, foldhash::fast::FixedState>,
}

impl Default for Table {
    fn default() -> Self {
        Self { live: HashMap::with_hasher(foldhash::fast::FixedState::with_seed(0)) }
    }
}

impl Table {
    /// Whether memory suffices for one more.
    fn has_room(&mut self, key: Key) -> bool {
        match self.live.get_mut(&key) {
            Some(blocks) => blocks.later.try_reserve(1).is_ok(),
            None => self.live.try_reserve(1).is_ok(),
        }
    }

    /// Adds the newest, and returns the buffer whose place it has. There is room.
    fn add(&mut self, key: Key, told: Told) -> Option<Told> {
        match self.live.entry(key) {
            Entry::Occupied(mut entry) => {
                let Blocks { oldest, later } = entry.get_mut();
                let place =
                    |old: &&mut Told| Which::Buffer.means(told.memory) && old.memory == told.memory && !old.ended;
                let earlier = core::iter::once(oldest).chain(later.iter_mut()).find(place).map(|old| {
                    old.ended = true;
                    *old
                });
                later.push_back(told);
                earlier
            }
            Entry::Vacant(place) => {
                place.insert(Blocks { oldest: told, later: VecDeque::new() });
                None
            }
        }
    }

    /// Takes out what a free means, and whether it could have meant another memory kind.
    fn take(&mut self, key: Key, which: Which, size: u64) -> Option<(Told, bool)> {
        let Entry::Occupied(mut entry) = self.live.entry(key) else { return None };
        let blocks = entry.get_mut();
        if blocks.later.is_empty() {
            return which.means(blocks.oldest.memory).then(|| (entry.remove().oldest, false));
        }
        let all = || core::iter::once(&blocks.oldest).chain(&blocks.later).enumerate();
        let meant = || all().filter(|(_, told)| which.means(told.memory));
        let (oldest, first) = meant().next()?;
        let ambiguous = meant().any(|(_, told)| told.memory != first.memory);
        let of_size = if size == 0 { None } else { meant().find(|(_, told)| told.size == size) };
        let at = of_size.map_or(oldest, |(at, _)| at);
        let taken = match at {
            // Not empty, as was seen above.
            0 => blocks.later.pop_front().map(|next| core::mem::replace(&mut blocks.oldest, next)),
            later => blocks.later.remove(later - 1),
        };
        taken.map(|told| (told, ambiguous))
    }

    fn forget(&mut self, device: u32) {
        self.live.retain(|key, _| key.device != device);
    }
}

fn event(kind: Kind, key: Key, told: Told) -> Event {
    let Told { id, size, memory, flags, .. } = told;
    Event { id, address: key.address, size, flags, ..Event::new(kind, memory, key.device) }
}

/// What is reported by an address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Report {
    Alloc { key: Key, memory: Memory, size: u64, flags: u16, by: Author },
    Free { key: Key, which: Which, size: u64, by: Author },
}

impl Shard {
    /// Brings a report into the table and the ring. Inside.
    #[inline(always)]
    fn apply(&self, report: Report) {
        match report {
            Report::Alloc { key, memory, size, flags, by } => self.apply_alloc(key, memory, size, flags, by),
            Report::Free { key, which, size, by } => self.apply_free(key, which, size, by),
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
}

/// Does what was reported inside its shard, or leaves it to who is there.
#[inline(always)]
fn report(key: Key, report: Report) {
    let shard = &shard::all()[shard::number(key.device, key.address)];
    let passed = Turn::begin().is_some_and(|_turn| shard.gate.pass(report, |report| shard.apply(report)));
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
    let inside = shard::all().iter().take_while(|shard| {
        while !shard.gate.enter() {
            if Instant::now() > deadline {
                return false;
            }
            // Not libc's: there, a thread may be cancelled.
            // SAFETY: sched_yield has no arguments and cannot fail.
            unsafe { libc::syscall(libc::SYS_sched_yield) };
        }
        shard.gate.catch_up(|report| shard.apply(report));
        true
    });
    let inside = inside.count();
    if inside < shard::SHARDS {
        process::lose();
    } else {
        process::record(Event::new(Kind::DeviceClose, Memory::Dram, device));
    }
    for shard in &shard::all()[..inside] {
        // SAFETY: inside; the only borrow.
        if let (true, Some(table)) = (inside == shard::SHARDS, unsafe { shard.table() }) {
            table.forget(device);
        }
        shard.gate.leave(|report| shard.apply(report));
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
mod tests {
    use super::*;

    const AT: Key = Key { device: 0, address: 4096 };

    fn table(told: &[(u64, u64, Memory)]) -> Table {
        let mut table = Table::default();
        for &(id, size, memory) in told {
            assert!(table.has_room(AT));
            table.add(AT, Told { id, size, memory, flags: 0, ended: false });
        }
        table
    }

    /// Ids in the order in which such frees take them, and whether each was ambiguous.
    fn taken(table: &mut Table, which: Which, sizes: &[u64]) -> Vec<(u64, bool)> {
        let take = |&size| table.take(AT, which, size).map(|(told, ambiguous)| (told.id, ambiguous));
        sizes.iter().filter_map(take).collect()
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut table = table(&[(1, 10, Memory::Dram), (2, 20, Memory::Dram), (3, 10, Memory::Dram)]);
        assert_eq!(taken(&mut table, Which::Buffer, &[0, 0, 0, 0]), [(1, false), (2, false), (3, false)]);
        assert!(table.live.is_empty(), "nothing is kept of what is gone");
    }

    #[test]
    fn a_memory_kind_chooses() {
        let all = [(1, 10, Memory::Dram), (2, 20, Memory::L1), (3, 30, Memory::Cb), (4, 40, Memory::L1)];
        let mut table = table(&all);
        assert_eq!(taken(&mut table, Which::Of(Memory::L1), &[0]), [(2, false)]);
        assert_eq!(taken(&mut table, Which::Of(Memory::Trace), &[0]), []);
        // Neither the circular buffer nor a kernel is a buffer; of DRAM and L1, the oldest, and that is said.
        assert_eq!(taken(&mut table, Which::Buffer, &[0, 0, 0]), [(1, true), (4, false)]);
        assert_eq!(taken(&mut table, Which::Of(Memory::Cb), &[0]), [(3, false)]);
    }

    #[test]
    fn a_size_chooses_where_it_is_one_of_them() {
        let all = [(1, 10, Memory::Cb), (2, 20, Memory::Cb), (3, 30, Memory::Cb), (4, 20, Memory::Cb)];
        let mut table = table(&all);
        let got = taken(&mut table, Which::Of(Memory::Cb), &[20, 99, 20, 0]);
        assert_eq!(got, [(2, false), (1, false), (4, false), (3, false)]);
    }

    #[test]
    fn an_address_holds_one_buffer_of_a_memory_kind_and_its_frees_are_taken_in_order() {
        let mut table = table(&[(1, 10, Memory::Dram), (2, 20, Memory::L1)]);
        let mut add = |id, memory| {
            assert!(table.has_room(AT));
            let earlier = table.add(AT, Told { id, size: 10, memory, flags: 0, ended: false });
            earlier.map(|told| (told.id, told.size))
        };
        assert_eq!(add(3, Memory::Dram), Some((1, 10)));
        assert_eq!(add(4, Memory::Dram), Some((3, 10)), "the one that is there, not the oldest");
        // Circular buffers of several programs, and kernels.
        assert_eq!(
            (add(5, Memory::Cb), add(6, Memory::Cb), add(7, Memory::Kernel), add(8, Memory::Kernel)),
            (None, None, None, None)
        );
        let mut ends = |which| table.take(AT, which, 0).map(|(told, _)| (told.id, told.ended));
        assert_eq!(ends(Which::Of(Memory::Dram)), Some((1, true)));
        assert_eq!(ends(Which::Buffer), Some((2, false)));
        assert_eq!(ends(Which::Buffer), Some((3, true)));
        assert_eq!(ends(Which::Buffer), Some((4, false)));
        assert_eq!(ends(Which::Buffer), None);
    }

    #[test]
    fn other_addresses_and_devices_are_others() {
        let mut table = table(&[(1, 10, Memory::Dram)]);
        let other = [Key { device: 1, ..AT }, Key { address: 4128, ..AT }];
        for key in other {
            assert_eq!(table.take(key, Which::Buffer, 0), None);
            table.add(key, Told { id: 7, size: 1, memory: Memory::Dram, flags: 0, ended: false });
        }
        table.forget(0);
        assert_eq!(table.live.len(), 1);
        assert!(table.take(other[0], Which::Buffer, 0).is_some());
    }

    /// Addresses as tt-metal gives them do not crowd into a few shards.
    #[test]
    fn shards_are_used_alike() {
        for step in [32, 2048, 1 << 16, 1 << 30] {
            let mut used = [0_u32; shard::SHARDS];
            (0..6400).for_each(|n| used[shard::number(n as u32 % 8, n / 8 * step)] += 1);
            assert!(used.iter().all(|&n| (20..=400).contains(&n)), "{step}: {used:?}");
        }
    }
}
