//! What is live, by address: the table of one shard.

use shm_layout::event::Memory;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

/// What is named by an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) device: u32,
    pub(crate) address: u64,
}

/// One block, as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) id: u64,
    pub(crate) size: u64,
    pub(crate) memory: Memory,
    pub(crate) flags: u16,
    /// A later buffer has its place: its end was told, and its free is still to come.
    pub(crate) ended: bool,
}

/// What is live at one address; nearly always one block, but a kernel's id may collect them without end: a report that means the oldest
/// or the newest does not look through them. A free does that means a kind or a size which lies among many others (a million: some 10 ms).
#[derive(Debug)]
struct Blocks {
    oldest: Told,
    later: VecDeque<Told>,
    /// A bit for each kind of buffer that was here with one of these.
    kinds: u8,
}

impl Blocks {
    fn alone(told: Told) -> Self {
        Self { oldest: told, later: VecDeque::new(), kinds: kind(told.memory) }
    }
}

/// The bit of this kind of buffer; none of what is none.
fn kind(memory: Memory) -> u8 {
    if Which::Buffer.means(memory) { 1 << memory as u8 } else { 0 }
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
        #[cfg(test)]
        tests::LOOKS.set(tests::LOOKS.get() + 1);
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
    pub(crate) fn has_room(&mut self, key: Key) -> bool {
        match self.live.get_mut(&key) {
            Some(blocks) => blocks.later.try_reserve(1).is_ok(),
            None => self.live.try_reserve(1).is_ok(),
        }
    }

    /// Adds the newest, and returns the buffer whose place it has. There is room.
    pub(crate) fn add(&mut self, key: Key, told: Told) -> Option<Told> {
        match self.live.entry(key) {
            Entry::Occupied(mut entry) => {
                let Blocks { oldest, later, kinds } = entry.get_mut();
                let mut earlier = None;
                if *kinds & kind(told.memory) != 0 {
                    // The newest of its kind has the place, if any has.
                    let same = |old: &&mut Told| Which::Of(told.memory).means(old.memory);
                    let place = core::iter::once(oldest).chain(later.iter_mut()).rfind(same);
                    earlier = place.filter(|old| !old.ended).map(|old| {
                        old.ended = true;
                        *old
                    });
                }
                *kinds |= kind(told.memory);
                later.push_back(told);
                earlier
            }
            Entry::Vacant(place) => {
                place.insert(Blocks::alone(told));
                None
            }
        }
    }

    /// Takes out what a free means, and whether it could have meant another memory kind.
    pub(crate) fn take(&mut self, key: Key, which: Which, size: u64) -> Option<(Told, bool)> {
        let Entry::Occupied(mut entry) = self.live.entry(key) else { return None };
        let blocks = entry.get_mut();
        if blocks.later.is_empty() {
            return which.means(blocks.oldest.memory).then(|| (entry.remove().oldest, false));
        }
        let all = || core::iter::once(&blocks.oldest).chain(&blocks.later).enumerate();
        let meant = || all().filter(|(_, told)| which.means(told.memory));
        let (oldest, first) = meant().next()?;
        // Where there was but one kind it is not looked for.
        let mixed = which == Which::Buffer && blocks.kinds.count_ones() > 1;
        let ambiguous = mixed && meant().any(|(_, told)| told.memory != first.memory);
        let of_size = if size == 0 { None } else { meant().find(|(_, told)| told.size == size) };
        let at = of_size.map_or(oldest, |(at, _)| at);
        let taken = match at {
            // Not empty, as was seen above.
            0 => blocks.later.pop_front().map(|next| core::mem::replace(&mut blocks.oldest, next)),
            later => blocks.later.remove(later - 1),
        };
        taken.map(|told| (told, ambiguous))
    }

    /// Takes out all that is live on a device; `each` of it is seen, the oldest at an address first.
    pub(crate) fn forget(&mut self, device: u32, mut each: impl FnMut(Key, Told)) {
        self.live.retain(|key, blocks| {
            if key.device == device {
                core::iter::once(&blocks.oldest).chain(&blocks.later).for_each(|told| each(*key, *told));
            }
            key.device != device
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard;
    use core::cell::Cell;

    thread_local! {
        /// Blocks that were looked at by this thread.
        pub(super) static LOOKS: Cell<u64> = const { Cell::new(0) };
    }

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

    /// A kernel that is told twice and unloaded once stays, again and again; so does a buffer that nobody frees.
    #[test]
    fn what_collects_at_an_address_is_not_looked_through() {
        for (memory, which) in [(Memory::Kernel, Which::Of(Memory::Kernel)), (Memory::L1, Which::Buffer)] {
            let mut table = table(&[]);
            LOOKS.set(0);
            for n in 0..1000 {
                for id in [2 * n, 2 * n + 1] {
                    assert!(table.has_room(AT));
                    table.add(AT, Told { id, size: 10, memory, flags: 0, ended: false });
                }
                assert_eq!(table.take(AT, which, 10).map(|(told, _)| told.id), Some(n));
            }
            let looks = LOOKS.get();
            assert!(looks <= 20 * 1000, "{looks} looks of 3,000 reports of {memory:?}");
        }
    }

    #[test]
    fn other_addresses_and_devices_are_others() {
        let mut table = table(&[(1, 10, Memory::Dram)]);
        let other = [Key { device: 1, ..AT }, Key { address: 4128, ..AT }];
        for key in other {
            assert_eq!(table.take(key, Which::Buffer, 0), None);
            table.add(key, Told { id: 7, size: 1, memory: Memory::Dram, flags: 0, ended: false });
        }
        let mut gone = Vec::new();
        table.forget(0, |key, told| gone.push((key, told.id)));
        gone.sort_by_key(|(_, id)| *id);
        assert_eq!((gone, table.live.len()), (vec![(AT, 1), (other[1], 7)], 1));
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
