//! One thread's share of a producer: what it has allocated, and what it does next.

use crate::truth::Wildness;
use fastrand::Rng;
use shm_layout::event::{Event, Kind, Memory, flags};
use std::collections::VecDeque;

/// Events that one step writes, at most.
pub const STEP: u64 = 10;
/// Live allocations above which it rather frees.
const PLENTY: usize = 3000;
/// Places of address ids.
const ADDRESSES: u64 = 48;
/// Ids remembered as freed.
const FREED: usize = 64;

const BUFFERS: [Memory; 6] =
    [Memory::Dram, Memory::L1, Memory::L1Small, Memory::Trace, Memory::SystemMemory, Memory::Kernel];

/// What ends together: the circular buffers of one program, mostly.
#[derive(Debug)]
struct Program {
    device: u32,
    memory: Memory,
    context: u32,
    blocks: Vec<Event>,
}

/// An address of one memory of one device, and what is live there, the oldest first. More than one for a moment, where an
/// allocation overtakes the free before it.
#[derive(Debug)]
struct Address {
    device: u32,
    memory: Memory,
    id: u64,
    live: VecDeque<Event>,
}

/// A thread's share.
#[derive(Debug)]
pub struct Worker {
    rng: Rng,
    number: u64,
    devices: u32,
    /// Whether it does what totals do not survive once records are dropped.
    wild: bool,
    /// Whether its releases do not always say what they free.
    blind: bool,
    next: u64,
    live: Vec<Event>,
    programs: Vec<Program>,
    addresses: Vec<Address>,
    freed: VecDeque<Event>,
    /// Events written.
    pub events: u64,
    /// Footprint of every allocation, by device and memory.
    pub allocated: Vec<[u64; 8]>,
    /// What it has done so far.
    pub wildness: Wildness,
}

impl Worker {
    /// One that holds nothing. `wild` and `blind` are told at the fields.
    pub fn new(number: u64, seed: u64, devices: u32, (wild, blind): (bool, bool)) -> Self {
        let address = |n: u64| {
            // The same address in two memories of two devices.
            let memory = if n.is_multiple_of(2) { Memory::Dram } else { Memory::L1 };
            Address {
                device: (n / 2 % 2) as u32 % devices,
                memory,
                id: (number + 1) << 40 | (n / 4) << 12,
                live: VecDeque::new(),
            }
        };
        let mut addresses: Vec<_> = (0..ADDRESSES).map(address).collect();
        addresses.sort_by_key(|a| (a.id, a.device, a.memory as u8));
        addresses.dedup_by_key(|a| (a.device, a.memory, a.id));
        Self {
            rng: Rng::with_seed(seed),
            number,
            devices,
            wild,
            blind,
            next: 0,
            live: Vec::new(),
            programs: Vec::new(),
            addresses,
            freed: VecDeque::new(),
            events: 0,
            allocated: vec![[0; 8]; devices as usize],
            wildness: Wildness::default(),
        }
    }

    /// Everything that is live.
    pub fn blocks(&self) -> impl Iterator<Item = &Event> {
        let programs = self.programs.iter().flat_map(|program| &program.blocks);
        let addresses = self.addresses.iter().flat_map(|address| &address.live);
        self.live.iter().chain(programs).chain(addresses)
    }

    /// A device was closed: what was live on it has ended.
    pub fn forget(&mut self, device: u32) {
        self.live.retain(|event| event.device != device);
        self.programs.retain(|program| program.device != device);
        self.addresses.iter_mut().filter(|a| a.device == device).for_each(|a| a.live.clear());
        self.freed.retain(|event| event.device != device);
    }

    /// So many steps, or as many as this many events allow.
    pub fn steps(&mut self, steps: u64, events: u64) {
        let end = self.events.saturating_add(events.saturating_sub(STEP));
        for _ in 0..steps {
            if self.events >= end {
                return;
            }
            self.step();
        }
    }

    /// Allocations and frees in pairs, as fast as can be; some stay.
    pub fn flood(&mut self, pairs: u64, events: u64) {
        let end = self.events.saturating_add(events.saturating_sub(STEP));
        for _ in 0..pairs {
            if self.events >= end {
                return;
            }
            self.allocate();
            if self.live.len() > PLENTY || self.rng.u8(..) > 8 {
                self.free_one();
            }
        }
    }

    fn step(&mut self) {
        let most = if self.live.len() > PLENTY { 30 } else { 50 };
        match self.rng.u8(0..100) {
            n if n < most => self.allocate(),
            50..70 => self.program(),
            70..80 if self.wild => self.address(),
            80..84 if self.wild => self.false_free(),
            _ => self.free_one(),
        }
    }

    fn emit(&mut self, event: Event) {
        producer::process::record(event);
        self.events += 1;
    }

    fn allocation(&mut self, device: u32, memory: Memory) -> Event {
        self.next += 1;
        let id = (self.number + 1) << 32 | self.next;
        let size = match self.rng.u8(0..20) {
            0 => 0,
            1 => self.rng.u64(1..1 << 36),
            _ => self.rng.u64(1..1 << 20),
        };
        let footprint = if self.rng.bool() { size.next_multiple_of(2048) } else { 0 };
        let mark = match (memory, self.rng.u8(0..8)) {
            (Memory::Kernel, 0) => flags::FABRIC,
            (Memory::Kernel, 1) => flags::DISPATCH,
            (Memory::Cb, 0) => flags::GLOBALLY_ALLOCATED,
            (_, 2) => flags::SYSTEM,
            _ => 0,
        };
        Event { id, address: id << 5, size, footprint, flags: mark, ..Event::new(Kind::Alloc, memory, device) }
    }

    fn write_allocation(&mut self, event: Event) {
        self.emit(event);
        self.allocated[event.device as usize][usize::from(event.memory)] += event.taken();
    }

    fn allocate(&mut self) {
        let (device, memory) = (self.rng.u32(0..self.devices), BUFFERS[self.rng.usize(..BUFFERS.len())]);
        let event = self.allocation(device, memory);
        self.write_allocation(event);
        self.live.push(event);
    }

    /// A free of this; the size is told, or it is not, or it is wrong.
    fn write_free(&mut self, of: &Event) {
        let mut free = Event { kind: Kind::Free as u8, address: 0, context: 0, ..*of };
        match self.rng.u8(0..16) {
            0..6 if self.wild => {
                (free.size, free.footprint) = (0, 0);
                self.wildness.sizeless = true;
            }
            6 if self.wild => {
                free.size += 1;
                free.footprint = 0;
                self.wildness.false_frees = true;
            }
            _ => {}
        }
        self.emit(free);
    }

    fn free_one(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let event = self.live.swap_remove(self.rng.usize(..self.live.len()));
        self.write_free(&event);
        self.freed.push_back(event);
        if self.freed.len() > FREED {
            self.freed.pop_front();
        }
    }

    /// A program's circular buffers come, one by one, or go all at once.
    fn program(&mut self) {
        if self.programs.len() < 4 || self.programs.len() < 24 && self.rng.bool() {
            let memory = match self.rng.u8(0..8) {
                0 => Memory::Dram,
                1 => Memory::Kernel,
                _ => Memory::Cb,
            };
            self.next += 1;
            let context = ((self.number + 1) << 24 | (self.next & 0xFF_FFFF)) as u32;
            let device = self.rng.u32(0..self.devices);
            let mut program = Program { device, memory, context, blocks: Vec::new() };
            for _ in 0..self.rng.u64(1..STEP - 1) {
                let event = Event { context, ..self.allocation(device, memory) };
                self.write_allocation(event);
                program.blocks.push(event);
            }
            if memory == Memory::Cb && self.wild {
                // A control record.
                self.wildness.controls = true;
                self.emit(Event { context, ..Event::new(Kind::ProgramResident, memory, device) });
            }
            self.programs.push(program);
            return;
        }
        let at = self.rng.usize(..self.programs.len());
        if self.rng.u8(0..4) == 0 {
            let count = self.programs[at].blocks.len();
            if count > 1 {
                let event = self.programs[at].blocks.swap_remove(self.rng.usize(..count));
                self.write_free(&event);
                return;
            }
        }
        let Program { device, memory, context, blocks } = self.programs.swap_remove(at);
        let mut release = Event { context, ..Event::new(Kind::FreeAll, memory, device) };
        if self.blind && self.rng.bool() {
            self.wildness.sizeless = true;
        } else {
            release.size = blocks.iter().map(Event::taken).sum();
            release.id = blocks.len() as u64;
        }
        self.emit(release);
    }

    /// An address is taken, or given back, or taken by the next before the free of the one before it is told.
    fn address(&mut self) {
        self.wildness.addresses = true;
        let at = self.rng.usize(..self.addresses.len());
        let Address { device, memory, id, ref mut live } = self.addresses[at];
        let take = match live.len() {
            0 => true,
            1 => self.rng.u8(0..3) == 0,
            _ => false,
        };
        if take {
            let event = Event { id, address: id, flags: flags::ID_IS_ADDRESS, ..self.allocation(device, memory) };
            self.write_allocation(event);
            self.addresses[at].live.push_back(event);
        } else if let Some(oldest) = live.pop_front() {
            self.write_free(&oldest);
        }
    }

    /// A free of what was freed, or of what never was.
    fn false_free(&mut self) {
        self.wildness.false_frees = true;
        let event = match self.freed.len() {
            0 => Event { id: u64::MAX - self.rng.u64(0..1000), ..Event::new(Kind::Free, Memory::Dram, 0) },
            count => self.freed[self.rng.usize(..count)],
        };
        self.emit(Event { kind: Kind::Free as u8, address: 0, ..event });
    }
}
