//! What one socket client holds, as its messages tell it, and what they mean: a free names an address, and neither memory kind nor
//! size. What is written into the ring names both, and a number that is no other allocation's.
//!
//! | message | of something that is live | of something that is not |
//! |---|---|---|
//! | ALLOC | same size: one more view of it. Another size: the address was used again, and its free is still to come: the newer size (by the sender's clock) is what is there | a new block |
//! | FREE | one view less; the last one ends it | counted; on another connection, its ALLOC may still come (a debt) |
//! | `CB_ALLOC` | one more circular buffer | the same |
//! | `CB_FREE` | the oldest of the size that it tells, or the oldest: its size counts for nothing else; only the 64 oldest are looked at | counted |
//! | `KERNEL_LOAD` | told twice; another size replaces it | a new block |
//! | `KERNEL_UNLOAD` | ends it, whatever size it tells | counted |

mod doubts;

use super::message::{Kind as Said, Message};
use doubts::Doubt;
use shm_layout::event::{Event, Kind, Memory, flags};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

/// A size above this is none.
const MOST_SIZE: u64 = 1 << 48;
/// How long the allocation may come after its free, on another connection.
const DEBT_NS: u64 = 5_000_000_000;
/// Debts at a time, and of one address: each is paid by a record, all of them perhaps at once.
const MOST_DEBTS: usize = 4096;
const MOST_DEBTS_OF_ONE: u32 = 64;

/// Circular buffers of one address that are looked at for the one that a free's size names: a message's work is bounded, however many there are.
const MOST_LOOKED_AT: usize = 64;

/// Device and address (or number).
type Key = (u32, u64);

/// One block.
#[derive(Clone, Copy, Debug)]
struct Block {
    memory: Memory,
    size: u64,
    /// Its number in the ring and the ledger.
    number: u64,
    flags: u16,
    /// Allocations of it minus frees.
    views: u32,
    /// The sender's clock at the newest of these.
    told: u64,
    /// The connection of the newest of these.
    by: u64,
}

/// A free whose allocation was not there.
#[derive(Clone, Copy, Debug)]
struct Debt {
    count: u32,
    /// Unix time, ns.
    since: u64,
    by: u64,
}

/// When and where a message came.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Number of its connection.
    pub connection: u64,
    /// Its process has, or had, others.
    pub several: bool,
    /// Now, Unix time in ns.
    pub unix_ns: u64,
    /// Now, `CLOCK_MONOTONIC` ns.
    pub monotonic_ns: u64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in the table.
    In,
    /// It means nothing: an impossible device, size or kind.
    Meaningless,
    /// There is no room for another block.
    NoRoom,
}

/// The table.
#[derive(Debug, Default)]
pub struct Table {
    /// Buffers and kernels: of each kind one at most.
    blocks: HashMap<Key, Vec<Block>, foldhash::fast::RandomState>,
    /// Circular buffers, of which any number may have one address; the oldest first.
    circular: HashMap<Key, VecDeque<Block>, foldhash::fast::RandomState>,
    debts: HashMap<Key, Debt, foldhash::fast::RandomState>,
    /// Their counts, summed up.
    owed: usize,
    doubts: HashMap<Key, Doubt, foldhash::fast::RandomState>,
    /// Doubts by account.
    doubtful: HashMap<(u32, Memory), u32, foldhash::fast::RandomState>,
    live: usize,
    last: u64,
    /// Circular buffers that frees have looked at.
    #[cfg(test)]
    looked_at: usize,
}

impl Table {
    /// What an earlier aggregator's ledger lists. How often each was allocated is not known: once.
    pub fn continued(live: &[Event]) -> Self {
        let mut table = Self::default();
        let mut live: Vec<&Event> = live.iter().collect();
        live.sort_by_key(|event| event.id);
        for event in live {
            let Some(memory) = Memory::from_u8(event.memory) else { continue };
            let block =
                Block { memory, size: event.size, number: event.id, flags: event.flags, views: 1, told: 0, by: 0 };
            table.keep((event.device, event.address), block);
            table.last = table.last.max(event.id);
        }
        table
    }

    /// Numbers are given from above this one.
    pub fn count_from(&mut self, number: u64) {
        self.last = self.last.max(number);
    }

    /// The records of everything that is live, and of what is not known of it, for a ring that begins anew.
    pub fn again(&self, monotonic_ns: u64) -> impl Iterator<Item = Event> + '_ {
        let blocks = self.blocks.iter().flat_map(|(key, blocks)| blocks.iter().map(move |block| (*key, block)));
        let circular = self.circular.iter().flat_map(|(key, blocks)| blocks.iter().map(move |block| (*key, block)));
        let records = blocks.chain(circular).map(|(key, block)| record(Kind::Alloc, key, block));
        self.marks().chain(records).map(move |event| Event { time: monotonic_ns, ..event })
    }

    /// Blocks that are live.
    pub const fn len(&self) -> usize {
        self.live
    }

    /// Whether nothing is.
    pub const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Takes a message; what it means goes to `each`. `room` is whether another block may be kept.
    pub fn take(&mut self, message: &Message, room: bool, context: Context, mut each: impl FnMut(Event)) -> Taken {
        let each: &mut dyn FnMut(Event) = &mut |event| each(Event { time: context.monotonic_ns, ..event });
        let Ok(device) = u32::try_from(message.device) else { return Taken::Meaningless };
        if device > shm_layout::event::MAX_DEVICE {
            return Taken::Meaningless;
        }
        let key = (device, message.id);
        let allocates = matches!(message.kind, Said::Alloc | Said::CbAlloc | Said::KernelLoad);
        if allocates && !(1..=MOST_SIZE).contains(&message.size) {
            return Taken::Meaningless;
        }
        if allocates && !room {
            return Taken::NoRoom;
        }
        match message.kind {
            Said::Alloc => {
                let Some(memory) = buffer(message.what) else { return Taken::Meaningless };
                self.alloc(key, memory, message, context, each);
            }
            Said::Free => self.free(key, context, each),
            Said::CbAlloc => self.add(key, Memory::Cb, 0, message, context, each),
            Said::CbFree => self.end_circular(key, message.size, each),
            Said::KernelLoad => {
                let of_kind = match message.what {
                    0 => 0,
                    1 => flags::SYSTEM | flags::FABRIC,
                    2 => flags::SYSTEM | flags::DISPATCH,
                    _ => return Taken::Meaningless,
                };
                self.load(key, of_kind, message, context, each);
            }
            Said::KernelUnload => self.unload(key, each),
            Said::Query | Said::DumpRemaining | Said::DeviceInfoQuery | Said::DumpKernels => return Taken::Meaningless,
        }
        Taken::In
    }

    /// Buffers and kernels of this address.
    fn of(&self, key: Key) -> &[Block] {
        self.blocks.get(&key).map_or(&[], Vec::as_slice)
    }

    fn add(
        &mut self,
        key: Key,
        memory: Memory,
        of_kind: u16,
        message: &Message,
        context: Context,
        each: &mut dyn FnMut(Event),
    ) {
        self.last += 1;
        let block = Block {
            memory,
            size: message.size,
            number: self.last,
            flags: of_kind,
            views: 1,
            told: message.time,
            by: context.connection,
        };
        self.put(key, block, each);
    }

    fn put(&mut self, key: Key, block: Block, each: &mut dyn FnMut(Event)) {
        each(record(Kind::Alloc, key, &block));
        self.keep(key, block);
    }

    fn keep(&mut self, key: Key, block: Block) {
        match block.memory {
            Memory::Cb => self.circular.entry(key).or_default().push_back(block),
            _ => self.blocks.entry(key).or_default().push(block),
        }
        self.live += 1;
    }

    /// Ends the buffer or kernel at this place.
    fn end(&mut self, key: Key, at: usize, each: &mut dyn FnMut(Event)) -> Option<Block> {
        let Entry::Occupied(mut entry) = self.blocks.entry(key) else { return None };
        if at >= entry.get().len() {
            return None;
        }
        let block = entry.get_mut().remove(at);
        if entry.get().is_empty() {
            entry.remove();
        }
        self.live -= 1;
        each(record(Kind::Free, key, &block));
        Some(block)
    }

    fn alloc(&mut self, key: Key, memory: Memory, message: &Message, context: Context, each: &mut dyn FnMut(Event)) {
        self.look_at_doubt(key, memory, message, context, each);
        let place = self.of(key).iter().position(|block| block.memory == memory);
        let Some((place, block)) = place.and_then(|at| Some((at, self.blocks.get_mut(&key)?.get_mut(at)?))) else {
            self.add(key, memory, 0, message, context, each);
            if self.owes(key, message, context)
                && let Some(at) = self.of(key).iter().position(|block| block.memory == memory)
            {
                self.end(key, at, each);
            }
            return;
        };
        block.views = block.views.saturating_add(1);
        let newer = message.time >= block.told;
        if newer {
            (block.told, block.by) = (message.time, context.connection);
        }
        if !newer || block.size == message.size {
            return;
        }
        // Used again before its free was told.
        let views = block.views;
        self.end(key, place, each);
        self.add(key, memory, 0, message, context, each);
        if let Some(block) = self.blocks.get_mut(&key).and_then(|blocks| blocks.last_mut()) {
            block.views = views;
        }
    }

    fn free(&mut self, key: Key, context: Context, each: &mut dyn FnMut(Event)) {
        let buffers = |blocks: &[Block]| {
            let of = blocks.iter().enumerate().filter(|(_, block)| block.memory <= Memory::Trace);
            // Of several memory kinds: the one that this connection allocated, and of these the newest, which usually goes first.
            of.max_by_key(|(_, block)| (block.by == context.connection, block.number)).map(|(at, _)| at)
        };
        let Some(at) = buffers(self.of(key)) else { return self.not_there(key, Memory::Dram, context, each) };
        let several = self.of(key).iter().filter(|block| block.memory <= Memory::Trace).count() > 1;
        let Some(block) = self.blocks.get_mut(&key).and_then(|blocks| blocks.get_mut(at)) else { return };
        block.views -= 1;
        if block.views > 0 {
            return;
        }
        let freed = Block { views: 1, ..*block };
        if several {
            // Said first: there is no moment at which it passes for known.
            self.doubt(key, freed, context, each);
        }
        self.end(key, at, each);
        if !several {
            // Whatever was guessed, all of it has ended.
            self.settle(key, each);
        }
    }

    fn load(&mut self, key: Key, of_kind: u16, message: &Message, context: Context, each: &mut dyn FnMut(Event)) {
        if let Some(at) = self.of(key).iter().position(|block| block.memory == Memory::Kernel) {
            let there = self.of(key)[at];
            if (there.size, there.flags) == (message.size, of_kind) {
                return;
            }
            self.end(key, at, each);
        }
        self.add(key, Memory::Kernel, of_kind, message, context, each);
    }

    fn unload(&mut self, key: Key, each: &mut dyn FnMut(Event)) {
        match self.of(key).iter().position(|block| block.memory == Memory::Kernel) {
            Some(at) => drop(self.end(key, at, each)),
            None => each(unknown(key, Memory::Kernel)),
        }
    }

    /// Ends one circular buffer: the oldest of this size, or the oldest.
    fn end_circular(&mut self, key: Key, size: u64, each: &mut dyn FnMut(Event)) {
        let Entry::Occupied(mut entry) = self.circular.entry(key) else { return each(unknown(key, Memory::Cb)) };
        let blocks = entry.get_mut();
        let mut looked_at = blocks.iter().take(MOST_LOOKED_AT);
        let at = looked_at.position(|block| block.size == size).unwrap_or(0);
        #[cfg(test)]
        {
            self.looked_at += blocks.len().min(MOST_LOOKED_AT) - looked_at.len();
        }
        if let Some(block) = blocks.remove(at) {
            self.live -= 1;
            each(record(Kind::Free, key, &block));
        }
        if blocks.is_empty() {
            entry.remove();
        } else if blocks.capacity() > 4 * blocks.len().max(MOST_LOOKED_AT) {
            // Not kept for whoever had many at many addresses, one after the other.
            blocks.shrink_to(2 * blocks.len());
        }
    }

    fn not_there(&mut self, key: Key, memory: Memory, context: Context, each: &mut dyn FnMut(Event)) {
        let of_one = self.debts.get(&key).map_or(0, |debt| debt.count);
        if context.several && self.owed < MOST_DEBTS && of_one < MOST_DEBTS_OF_ONE {
            let debt = self.debts.entry(key).or_insert(Debt { count: 0, since: 0, by: context.connection });
            debt.count += 1;
            self.owed += 1;
            (debt.since, debt.by) = (context.unix_ns, context.connection);
            return;
        }
        each(unknown(key, memory));
    }

    /// Whether this allocation was freed already, on another connection that was read first.
    fn owes(&mut self, key: Key, message: &Message, context: Context) -> bool {
        let Entry::Occupied(mut entry) = self.debts.entry(key) else { return false };
        let debt = entry.get_mut();
        let owed = message.time != 0 && message.time <= debt.since && debt.by != context.connection;
        if owed {
            debt.count -= 1;
            self.owed -= 1;
            if debt.count == 0 {
                entry.remove();
            }
        }
        owed
    }

    /// Forgets debts whose allocation did not come: they were frees of something unknown. To be called now and then.
    pub fn forget_debts(&mut self, unix_ns: u64, mut each: impl FnMut(Event)) {
        let owed = &mut self.owed;
        self.debts.retain(|key, debt| {
            let keep = unix_ns.saturating_sub(debt.since) < DEBT_NS;
            if !keep {
                *owed -= debt.count as usize;
                (0..debt.count).for_each(|_| each(unknown(*key, Memory::Dram)));
            }
            keep
        });
    }
}

/// The memory kind of a buffer: tt-metal's numbers.
fn buffer(what: u8) -> Option<Memory> {
    Memory::from_u8(what).filter(|memory| *memory <= Memory::Trace)
}

fn record(kind: Kind, key: Key, block: &Block) -> Event {
    Event {
        id: block.number,
        address: key.1,
        size: block.size,
        flags: block.flags,
        ..Event::new(kind, block.memory, key.0)
    }
}

/// A free of something that nobody announced: no block has the number 0, so it is counted and changes nothing.
fn unknown(key: Key, memory: Memory) -> Event {
    Event { address: key.1, ..Event::new(Kind::Free, memory, key.0) }
}

/// Whether this record is such a free.
pub const fn is_unknown(event: &Event) -> bool {
    event.kind == Kind::Free as u8 && event.id == 0
}

#[cfg(test)]
mod tests;
