//! Who allocates and frees what.

use super::ground::{Ground, MOST};
use super::ids::{Ids, Random};
use crate::sample::Sample;
use shm_layout::event::{Event, Kind, Memory, flags};
use std::time::Duration;

/// Events told and drained between two looks at the clock.
const CHUNK: usize = 1 << 14;
/// Circular buffers of one program.
const CBS: usize = 100;

/// A number of allocations that stays the same: each round frees one at random and allocates another.
#[derive(Debug)]
pub struct Steady {
    ground: Ground,
    ids: Ids,
    live: Vec<u64>,
    next: u64,
    random: Random,
    events: Vec<Event>,
    /// Growth to the steady number: ns per event.
    pub growth: Sample,
    /// The longest turn of each chunk while it grew, ms.
    pub growth_turn: Sample,
    /// Steady state: ns per event.
    pub steady: Sample,
    /// The longest turn of each chunk, ms.
    pub steady_turn: Sample,
}

fn alloc(ids: Ids, id: u64) -> Event {
    let flags = if ids == Ids::One { flags::ID_IS_ADDRESS } else { 0 };
    Event {
        id,
        address: id,
        size: 4096,
        footprint: 4096,
        context: 1,
        flags,
        ..Event::new(Kind::Alloc, Memory::Dram, 0)
    }
}

fn free(id: u64) -> Event {
    Event { id, size: 4096, footprint: 4096, ..Event::new(Kind::Free, Memory::Dram, 0) }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ns_per(time: Duration, events: usize) -> f64 {
    time.as_nanos() as f64 / events as f64
}

impl Steady {
    /// Grows to `live` allocations.
    ///
    /// # Errors
    /// When there is no room.
    pub fn grow(name: &str, ids: Ids, live: usize) -> anyhow::Result<Self> {
        let mut steady = Self {
            ground: Ground::new(name)?,
            ids,
            live: Vec::with_capacity(live),
            next: 0,
            random: Random::new(live as u64),
            events: Vec::with_capacity(MOST),
            growth: Sample::default(),
            growth_turn: Sample::default(),
            steady: Sample::default(),
            steady_turn: Sample::default(),
        };
        while steady.live.len() < live {
            steady.events.clear();
            for _ in 0..CHUNK.min(live - steady.live.len()) {
                let id = steady.new_id();
                steady.live.push(id);
                steady.events.push(alloc(ids, id));
            }
            steady.ground.tell(&steady.events);
            let (all, longest) = steady.ground.drain();
            steady.growth.push(ns_per(all, steady.events.len()));
            steady.growth_turn.push(ms(longest));
        }
        Ok(steady)
    }

    fn new_id(&mut self) -> u64 {
        let id = self.ids.id(self.next);
        self.next += 1;
        id
    }

    /// One chunk of the steady state; counted if it is `timed`.
    pub fn round(&mut self, timed: bool) {
        self.events.clear();
        while self.events.len() < CHUNK {
            let at = self.random.below(self.live.len());
            self.events.push(free(self.live[at]));
            self.live[at] = self.new_id();
            self.events.push(alloc(self.ids, self.live[at]));
        }
        self.ground.tell(&self.events);
        let (all, longest) = self.ground.drain();
        if timed {
            self.steady.push(ns_per(all, self.events.len()));
            self.steady_turn.push(ms(longest));
        }
    }

    /// Lets a successor continue, several times. Milliseconds.
    ///
    /// # Errors
    /// When it could not.
    pub fn recovery(&mut self, times: usize) -> anyhow::Result<Sample> {
        (0..times).map(|_| self.ground.succeed().map(ms)).collect()
    }

    /// The device is closed: all ends at once. The longest turn, ms.
    pub fn close(&mut self) -> f64 {
        self.ground.tell(&[Event::new(Kind::DeviceClose, Memory::Dram, 0)]);
        self.live.clear();
        ms(self.ground.drain().1)
    }

    /// Whether the ledger has what it should.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let live = self.ground.check()?;
        anyhow::ensure!(live == self.live.len() as u64, "{live} live, not {}", self.live.len());
        Ok(())
    }

    /// Bytes of the ledger's file.
    pub fn ledger_bytes(&self) -> u64 {
        self.ground.ledger_bytes()
    }
}

/// Programs with a hundred circular buffers each: one program's are released in one event and announced anew.
#[derive(Debug)]
pub struct Programs {
    ground: Ground,
    programs: usize,
    next: u64,
    random: Random,
    events: Vec<Event>,
    /// ns per record (one release and a hundred allocations are 101).
    pub per_record: Sample,
    /// ns per block that entered or left.
    pub per_block: Sample,
}

impl Programs {
    /// As many programs, each with its buffers.
    ///
    /// # Errors
    /// When there is no room.
    pub fn new(name: &str, programs: usize) -> anyhow::Result<Self> {
        let mut all = Self {
            ground: Ground::new(name)?,
            programs,
            next: 0,
            random: Random::new(7),
            events: Vec::with_capacity(MOST),
            per_record: Sample::default(),
            per_block: Sample::default(),
        };
        for program in 0..programs {
            all.announce(program);
            if all.events.len() + CBS > CHUNK || program == programs - 1 {
                all.ground.tell(&all.events);
                all.ground.drain();
                all.events.clear();
            }
        }
        Ok(all)
    }

    fn announce(&mut self, program: usize) {
        for _ in 0..CBS {
            self.next += 1;
            let context = program as u32 + 1;
            self.events.push(Event { id: self.next, size: 2048, context, ..Event::new(Kind::Alloc, Memory::Cb, 0) });
        }
    }

    /// One chunk; counted if it is `timed`.
    pub fn round(&mut self, timed: bool) {
        self.events.clear();
        let mut rounds = 0;
        while self.events.len() + CBS < CHUNK {
            let program = self.random.below(self.programs);
            let release = Event::new(Kind::FreeAll, Memory::Cb, 0);
            self.events.push(Event { id: CBS as u64, size: 2048 * CBS as u64, context: program as u32 + 1, ..release });
            self.announce(program);
            rounds += 1;
        }
        self.ground.tell(&self.events);
        let (all, _) = self.ground.drain();
        if timed {
            self.per_record.push(ns_per(all, self.events.len()));
            self.per_block.push(ns_per(all, 2 * CBS * rounds));
        }
    }

    /// Whether the ledger has what it should.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let live = self.ground.check()?;
        anyhow::ensure!(live == (self.programs * CBS) as u64, "{live} live");
        Ok(())
    }
}
