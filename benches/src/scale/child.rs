//! A tracked process: this very program, started again, with one real ring that it writes as it is told.
//!
//! | line | what it does | answer |
//! |---|---|---|
//! | | makes its ring and introduces its devices | `<time> <events>` |
//! | `hold N` | allocates until N allocations are live | `<time> <events>` |
//! | `turn N` | N times: frees one at random, allocates another | `<time> <events>` |
//! | `say` | | `<dropped>`, then `<blocks>:<bytes asked>:<bytes taken>` for each device |
//!
//! `<time>` is the moment after its last event, `CLOCK_MONOTONIC` ns; `<events>` is how many it has written so far. It ends with
//! its input.

use super::monotonic_ns;
use anyhow::{Context, bail};
use producer::Ring;
use producer::environment::Options;
use shm_layout::event::{Arch, Event, Kind, Memory};
use shm_layout::names::Prefix;
use shm_layout::ring::{Consumer, RECORDS_OFFSET, Slot};
use shm_layout::segment::{self, Access, Expect, Opened};
use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// First argument of its command line; prefix, slots, devices and a number of its own follow.
pub const ARGUMENT: &str = "--tracked-process";
/// Events between two looks at whether the ring has room.
const BURST: u64 = 256;
/// A ring that is full is looked at again after this long.
const PAUSE: Duration = Duration::from_millis(1);
/// What each device has of DRAM, bytes.
const CAPACITY: u64 = 32 << 30;

/// What the first logical device's chip is called; the others follow.
pub const FIRST_CHIP: u64 = 0x7700;

/// What a process holds on one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Live allocations.
    pub blocks: u64,
    /// Bytes asked for.
    pub asked: u64,
    /// Bytes that these take from the allocator.
    pub taken: u64,
}

impl Held {
    /// As the process says it.
    ///
    /// # Errors
    /// When it says something else.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut figures = text.split(':').map(str::parse);
        let mut next = || figures.next().context("too few figures")?.context("not a figure");
        Ok(Self { blocks: next()?, asked: next()?, taken: next()? })
    }

    fn add(&mut self, block: &Block) {
        self.blocks += 1;
        self.asked += u64::from(block.size);
        self.taken += block.taken();
    }

    fn subtract(&mut self, block: &Block) {
        self.blocks -= 1;
        self.asked -= u64::from(block.size);
        self.taken -= block.taken();
    }
}

#[derive(Clone, Copy)]
struct Block {
    id: u64,
    size: u32,
    device: u32,
}

impl Block {
    /// Whole pages, so that asked and taken differ.
    const fn taken(&self) -> u64 {
        (self.size as u64).next_multiple_of(2048)
    }

    fn event(&self, kind: Kind) -> Event {
        let told = Event { id: self.id, ..Event::new(kind, Memory::Dram, self.device) };
        match kind {
            Kind::Alloc => {
                Event { address: self.id << 11, size: u64::from(self.size), footprint: self.taken(), ..told }
            }
            _ => told,
        }
    }
}

/// The ring, written no faster than it is read: what is lost in a full ring is not what is measured here.
struct Patient {
    ring: Ring,
    opened: Opened,
    slots: u64,
    written: u64,
}

impl Patient {
    fn create(prefix: &str, slots: u64) -> anyhow::Result<Self> {
        let ring = Ring::create(&Options { prefix: Prefix::new(prefix)?, slots, ..Options::default() })?;
        let expect = Expect { owners: &[], least: 1, most: u64::MAX };
        let opened = segment::open(ring.name(), Access::Read, expect)?;
        Ok(Self { ring, opened, slots, written: 0 })
    }

    fn record(&mut self, event: Event) {
        if self.written.is_multiple_of(BURST) {
            self.wait();
        }
        self.ring.record(event);
        self.written += 1;
    }

    /// Waits until the next [`BURST`] events fit: until the slot of the last of them was returned.
    fn wait(&self) {
        let Some(before) = (self.written + BURST - 1).checked_sub(self.slots) else { return };
        let slots = self.opened.mapping.array::<Slot<AtomicU64>>(RECORDS_OFFSET, self.slots as usize);
        let Some(consumer) = slots.and_then(Consumer::new) else { return };
        while consumer.read_one(before).is_some() {
            std::thread::sleep(PAUSE);
        }
    }
}

struct Work {
    out: Patient,
    held: Vec<Held>,
    live: Vec<Block>,
    next_id: u64,
    seed: u64,
}

impl Work {
    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn introduce(&mut self) {
        for device in 0..self.held.len() as u32 {
            let told = |kind| Event::new(kind, Memory::Dram, device);
            let info = told(Kind::DeviceInfo);
            self.out.record(Event {
                id: FIRST_CHIP + u64::from(device),
                context: Arch::Blackhole as u32,
                size: 130,
                ..info
            });
            self.out.record(Event { size: CAPACITY, footprint: 8, ..told(Kind::Capacity) });
        }
    }

    fn allocate(&mut self) {
        let random = self.random();
        let device = (random >> 40) as usize % self.held.len();
        self.next_id += 1;
        let block = Block { id: self.next_id, size: 1 + (random as u32 & 0xF_FFFF), device: device as u32 };
        self.out.record(block.event(Kind::Alloc));
        self.held[device].add(&block);
        self.live.push(block);
    }

    fn free_one(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let at = self.random() as usize % self.live.len();
        let block = self.live.swap_remove(at);
        self.out.record(block.event(Kind::Free));
        self.held[block.device as usize].subtract(&block);
    }

    fn obey(&mut self, line: &str) -> anyhow::Result<String> {
        let (word, count) = line.split_once(' ').unwrap_or((line, "0"));
        let count: usize = count.parse()?;
        match word {
            "hold" => {
                while self.live.len() < count {
                    self.allocate();
                }
            }
            "turn" => {
                for _ in 0..count {
                    self.free_one();
                    self.allocate();
                }
            }
            "say" => return self.say(),
            other => bail!("{other}: not known"),
        }
        Ok(format!("{} {}", monotonic_ns(), self.out.written))
    }

    fn say(&self) -> anyhow::Result<String> {
        let mut text = self.out.ring.dropped().to_string();
        for Held { blocks, asked, taken } in &self.held {
            write!(text, " {blocks}:{asked}:{taken}")?;
        }
        Ok(text)
    }
}

/// The child's side; `words` is what follows [`ARGUMENT`].
///
/// # Errors
/// When there can be no ring, or it is told something that it does not know.
pub fn play(words: &[String]) -> anyhow::Result<()> {
    let [prefix, slots, devices, number] = words else { bail!("prefix, slots, devices, number") };
    let out = Patient::create(prefix, slots.parse()?)?;
    let seed = (number.parse::<u64>()? + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let held = vec![Held::default(); devices.parse()?];
    let mut work = Work { out, held, live: Vec::new(), next_id: 0, seed };
    work.introduce();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{} {}", monotonic_ns(), work.out.written)?;
    stdout.flush()?;
    for line in std::io::stdin().lock().lines() {
        writeln!(stdout, "{}", work.obey(&line?)?)?;
        stdout.flush()?;
    }
    Ok(())
}
