//! The address space of one memory kind of one chip: what lies where, what is free.
//!
//! tt-metal's allocator takes the same stretch in every bank for a buffer, so one bank's address space is that of them all. A record
//! tells where a buffer begins in its bank, and what it takes of all banks together: without their number its length is not known.
//!
//! | module | what lies there |
//! |---|---|
//! | [`banks`] | what is known of the banks |
//! | [`caveats`] | what a space does not tell |
//! | [`report`] | the spaces of a host as figures: a table, JSON |

pub mod banks;
pub mod caveats;
pub mod report;

use crate::inventory::{Holder, Inventory};
use crate::ledger::Allocation;
use banks::Banks;
use shm_layout::event::{Memory, flags};
use std::cmp::Reverse;

/// One allocation in it.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its first address.
    pub begin: u64,
    /// What it takes of a bank, bytes; `None`: not known.
    pub bytes: Option<u64>,
    /// Whose it is: a place in [`Space::who`].
    pub who: usize,
    /// The record.
    pub allocation: Allocation,
}

impl Block {
    /// The first address beyond it; where its length is not known, the one after its first.
    pub fn end(&self) -> u64 {
        self.begin.saturating_add(self.bytes.unwrap_or(1).max(1))
    }
}

/// One process that holds something here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// In the name of its ring.
    pub ring_pid: u32,
    /// In the name of its ring.
    pub nonce: u64,
    /// Its name; empty once it is gone.
    pub name: String,
    /// What it takes of all banks together, bytes.
    pub bytes: u64,
}

/// What one block has, without those parts that another had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// First address.
    pub begin: u64,
    /// First address beyond.
    pub end: u64,
    /// Whose.
    pub who: usize,
    /// Every second one, so that neighbours can be told apart.
    pub odd: bool,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Space {
    /// What is live, by address.
    pub blocks: Vec<Block>,
    /// Who has it, the largest first.
    pub who: Vec<Who>,
    /// The banks, where all who hold something on the open device told the same of them.
    pub banks: Option<Banks>,
    /// What is occupied: disjoint, by address.
    pub occupied: Vec<Stretch>,
    /// Where two processes have the same addresses: disjoint, by address.
    pub shared: Vec<(u64, u64)>,
    /// The first address beyond all blocks.
    pub reach: u64,
    /// Occupied bytes of a bank; each address counts once.
    pub taken: u64,
    /// Free bytes of a bank, where its bounds are known.
    pub free: Option<u64>,
    /// The longest stretch that is free.
    pub largest: Option<(u64, u64)>,
    /// Blocks whose length is not known: what is free may be less.
    pub unmeasured: usize,
    /// Those of them whose allocator may have fewer banks than the device: a sub-device's.
    pub of_fewer_banks: usize,
    /// Blocks that lie outside of the bank that was told.
    pub outside: usize,
}

impl Space {
    /// What these ledgers tell of it.
    pub fn of(inventory: &Inventory, chip: (u64, u32), memory: Memory) -> Self {
        let mut space = Self::default();
        // Who has nothing here has no say about it, unless nobody has: then who has it open.
        let mut told: Vec<((bool, bool), Option<Banks>)> = Vec::new();
        for holder in &inventory.holders {
            let who = space.who.len();
            let before = space.blocks.len();
            for device in holder.devices.iter().filter(|device| (device.chip_id, device.id_is_logical) == chip) {
                let banks = Banks::of(device, memory);
                let of_device = holder.on_device(device.device, memory);
                told.push(((!of_device.is_empty(), device.open != 0), banks));
                let whole = WholeAllocators::of(holder, device.device, memory);
                for allocation in of_device {
                    let banks = banks.filter(|_| whole.has(allocation));
                    space.of_fewer_banks += usize::from(!whole.has(allocation));
                    space.blocks.push(block(allocation, banks, who));
                }
            }
            if space.blocks.len() > before {
                space.who.push(named(holder, &space.blocks[before..]));
            }
        }
        let weight = told.iter().map(|(weight, _)| *weight).max();
        told.retain(|(of, _)| Some(*of) == weight);
        told.dedup();
        space.banks = told.first().and_then(|(_, banks)| *banks).filter(|_| told.len() == 1);
        space.rank();
        // By address already, of each device.
        space.blocks.sort_by_key(|block| (block.begin, block.allocation.event.id));
        space.unite();
        space.measure();
        space
    }

    /// Those who hold most come first.
    fn rank(&mut self) {
        let mut order: Vec<usize> = (0..self.who.len()).collect();
        order.sort_by_key(|at| (Reverse(self.who[*at].bytes), self.who[*at].pid));
        let mut place = vec![0; order.len()];
        for (to, from) in order.iter().enumerate() {
            place[*from] = to;
        }
        self.blocks.iter_mut().for_each(|block| block.who = place[block.who]);
        self.who.sort_by_key(|who| (Reverse(who.bytes), who.pid));
    }

    /// Which addresses are taken: each once, whoever else has them.
    fn unite(&mut self) {
        let mut end = 0;
        for block in &self.blocks {
            self.reach = self.reach.max(block.end());
            if block.bytes.is_none() {
                self.unmeasured += 1;
                continue;
            }
            let (from, to) = (block.begin, block.end());
            let last = self.occupied.last();
            if last.is_some_and(|last| last.who != block.who) && from < end {
                let until = to.min(end);
                match self.shared.last_mut() {
                    Some(last) if from <= last.1 => last.1 = last.1.max(until),
                    _ => self.shared.push((from, until)),
                }
            }
            let begin = from.max(end);
            if begin < to {
                let odd = last.is_some_and(|last| !last.odd);
                self.occupied.push(Stretch { begin, end: to, who: block.who, odd });
            }
            end = end.max(to);
        }
        self.taken = self.occupied.iter().fold(0, |sum: u64, one| sum.saturating_add(one.end - one.begin));
    }

    fn measure(&mut self) {
        let Some((first, last)) = self.banks.and_then(|banks| banks.bounds()) else { return };
        self.outside = self.blocks.iter().filter(|block| block.begin < first || block.end() > last).count();
        let (mut free, mut at) = (0, first);
        let beyond = Stretch { begin: last, end: last, who: 0, odd: false };
        for stretch in self.occupied.iter().chain([&beyond]) {
            let to = stretch.begin.clamp(first, last);
            if to > at {
                free += to - at;
                if self.largest.is_none_or(|(from, until)| until - from < to - at) {
                    self.largest = Some((at, to));
                }
            }
            at = at.max(stretch.end.clamp(first, last));
        }
        self.free = Some(free);
    }

    /// Whether every block's length is known.
    pub const fn is_exact(&self) -> bool {
        self.unmeasured == 0 && self.outside == 0
    }

    /// The first address and the first beyond that are worth drawing: of the bank, else of what is known to lie in it.
    pub fn bounds(&self) -> Option<(u64, u64)> {
        self.banks.and_then(|banks| banks.bounds()).or_else(|| self.used())
    }

    /// From the first to the last block.
    pub fn used(&self) -> Option<(u64, u64)> {
        let begin = self.blocks.first()?.begin;
        Some((begin, self.reach))
    }

    /// 1 - largest free run / all that is free, in percent; `None` where that is not known or nothing is free.
    pub fn fragmentation(&self) -> Option<u64> {
        let free = self.free.filter(|free| *free > 0)?;
        let largest = self.largest.map_or(0, |(from, to)| to - from);
        Some((u128::from(free - largest.min(free)) * 100 / u128::from(free)) as u64)
    }
}

/// Those of a process's allocators on a device that have all banks of it. A sub-device's hands out L1 of its own cores only, so that a
/// footprint, which is of all banks of the allocator, tells nothing about one bank; no record tells whose an allocator is.
enum WholeAllocators {
    /// There is one only.
    All,
    /// By their numbers, in order.
    Some(Vec<u32>),
}

impl WholeAllocators {
    fn of(holder: &Holder, device: u32, memory: Memory) -> Self {
        let contexts = |memory| {
            let mut all: Vec<u32> =
                holder.on_device(device, memory).iter().map(|allocation| allocation.event.context).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let of_l1 = if memory == Memory::L1 { contexts(memory) } else { Vec::new() };
        if of_l1.len() < 2 {
            return Self::All;
        }
        // A sub-device has no memory of another kind; where nobody has any, the device's own comes first.
        let mut whole: Vec<u32> =
            [Memory::Dram, Memory::L1Small, Memory::Trace].into_iter().flat_map(contexts).collect();
        whole.sort_unstable();
        Self::Some(if whole.is_empty() { vec![of_l1[0]] } else { whole })
    }

    fn has(&self, allocation: &Allocation) -> bool {
        match self {
            Self::All => true,
            Self::Some(whole) => whole.binary_search(&allocation.event.context).is_ok(),
        }
    }
}

fn block(allocation: &Allocation, banks: Option<Banks>, who: usize) -> Block {
    let event = &allocation.event;
    // Without a footprint the record tells what was asked for, which is not what was taken. A circular buffer has no banks: its bytes
    // are those of as many cores as it has.
    let per_bank = |banks: Banks| {
        (event.footprint != 0 && event.footprint.is_multiple_of(banks.count)).then(|| event.footprint / banks.count)
    };
    let measured = !allocation.has(flags::SIZE_UNKNOWN) && !allocation.has(flags::GLOBALLY_ALLOCATED);
    let bytes = banks.filter(|_| measured).and_then(per_bank);
    Block { begin: event.address, bytes, who, allocation: allocation.clone() }
}

fn named(holder: &Holder, blocks: &[Block]) -> Who {
    let bytes = blocks.iter().fold(0, |sum: u64, block| sum.saturating_add(block.allocation.event.taken()));
    Who { pid: holder.pid, ring_pid: holder.ring_pid, nonce: holder.nonce, name: holder.name.clone(), bytes }
}
