//! Compaction against a reference: what a reader makes of its past and of what is left is what it would have made of everything.

mod support;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};
use proptest::collection::vec;
use proptest::prelude::*;
use shm_layout::event::{Event, Kind, MEMORY_KINDS, Memory, flags};
use shm_layout::ring::{
    Compacted, Compactor, Consumer, DROP_DEVICES, DropTable, Producer, Push, Section, Slot, VanishedCell,
    VanishedTable, scratch_words,
};
use shm_layout::tag::Name;
use std::collections::BTreeMap;
use support::Heap;

type Device = (bool, u64, u32, [u64; 8]);
type Key = (u32, u8, u64);

/// Devices of the records; under miri few and low ones, since each row of the table takes seconds there.
const NUMBERS: [u32; 4] = if cfg!(miri) { [0, 1, 2, 3] } else { [0, 1, 70, 1023] };
/// Steps of a case, at most.
const OPS: usize = if cfg!(miri) { 60 } else { 200 };
/// Rows of the table that the devices reach.
const ROWS: usize = if cfg!(miri) { 10 } else { DROP_DEVICES };

fn key(event: &Event) -> Key {
    (event.device, event.memory, event.id)
}

fn in_short(events: &[Event]) -> String {
    let one = |e: &Event| {
        let kind = ["?", "A", "F", "R", "I", "C", "X", "P", "T"].get(usize::from(e.kind)).unwrap_or(&"?");
        let address = if e.flags & flags::ID_IS_ADDRESS == 0 { "" } else { "@" };
        format!("{kind}{address}{}.{}.{}/{}({})t{}", e.device, e.memory, e.id, e.context, e.size, e.time)
    };
    events.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What records mean, said as simply as possible.
#[derive(Clone, Debug, Default)]
struct State {
    live: Vec<Event>,
    /// Open, chip, resident program, capacities.
    devices: BTreeMap<u32, Device>,
    tags: BTreeMap<u8, Name>,
    allocated: BTreeMap<(usize, u8), u64>,
    footprint: BTreeMap<(usize, u8), u64>,
    peak: BTreeMap<(usize, u8), u64>,
    unknown_frees: u64,
}

impl State {
    fn end(&mut self, which: impl Fn(&Event) -> bool) {
        let (gone, left) = self.live.iter().partition(|event| which(event));
        self.live = left;
        let gone: Vec<Event> = gone;
        for event in gone {
            *self.footprint.entry((DropTable::<AtomicU64>::row(event.device), event.memory)).or_default() -=
                event.taken();
        }
    }

    fn apply(&mut self, event: &Event) {
        let (Some(kind), Some(_), true) =
            (Kind::from_u8(event.kind), Memory::from_u8(event.memory), event.device <= 1023)
        else {
            return;
        };
        let cell = (DropTable::<AtomicU64>::row(event.device), event.memory);
        match kind {
            Kind::Alloc => {
                self.live.push(Event { stamp: 0, ..*event });
                *self.allocated.entry(cell).or_default() += event.taken();
                let now = self.footprint.entry(cell).or_default();
                *now += event.taken();
                let peak = self.peak.entry(cell).or_default();
                *peak = (*peak).max(*now);
            }
            Kind::Free => match self.live.iter().position(|other| key(other) == key(event)) {
                Some(at) => {
                    let entry = self.live.remove(at);
                    *self.footprint.entry(cell).or_default() -= entry.taken();
                }
                None => self.unknown_frees += 1,
            },
            Kind::FreeAll => self.end(|other| {
                (other.device, other.memory, other.context) == (event.device, event.memory, event.context)
            }),
            Kind::DeviceInfo => {
                if self.devices.get(&event.device).is_some_and(|device| device.0) {
                    self.end(|other| other.device == event.device);
                }
                self.devices.insert(event.device, (true, event.id, 0, [u64::MAX; 8]));
            }
            Kind::DeviceClose => {
                self.end(|other| other.device == event.device);
                if let Some(device) = self.devices.get_mut(&event.device) {
                    (device.0, device.2) = (false, 0);
                }
            }
            Kind::Capacity => {
                if let Some(device) = self.devices.get_mut(&event.device) {
                    device.3[event.memory as usize] = event.size;
                }
            }
            Kind::ProgramResident => {
                if let Some(device) = self.devices.get_mut(&event.device) {
                    device.2 = event.context;
                }
            }
            Kind::Tag => self.tags.extend(event.told_tag()),
            Kind::Doubt => {}
        }
    }

    fn count(&self, of: Key) -> usize {
        self.live.iter().filter(|event| key(event) == of).count()
    }

    /// The live records, of each key the oldest first.
    fn sorted(&self) -> Vec<Event> {
        let mut live = self.live.clone();
        live.sort_by_key(key);
        live
    }
}

/// A section, its producer and its readers.
struct World {
    section: Heap<Section<AtomicU64>, AtomicU64>,
    table: Heap<VanishedTable<AtomicU64>, AtomicU64>,
    slots: Vec<Slot<AtomicU64>>,
    read: u64,
    /// What was read, and what everything published (and claimed) comes to.
    reader: State,
    all: State,
    claimed: State,
    /// A claimed record that is not published yet, and what came after it.
    hole: Option<(u64, Vec<Event>)>,
    /// What this epoch began with, and all that was published since.
    pending: Option<Vec<Event>>,
    /// Something was read of what lay before.
    prior: bool,
    /// There are readers, and so sources that keep to the rules of ids.
    strict: bool,
    tell: bool,
    addresses: bool,
    time: u64,
    compactions: u64,
    freed: u64,
}

impl World {
    fn new(slots: usize, strict: bool, prior: bool, tell: bool, addresses: bool) -> Self {
        // SAFETY: repr(C) and made of its words only.
        let section = unsafe { Heap::<Section<AtomicU64>, AtomicU64>::new(|_| AtomicU64::new(0)) };
        // SAFETY: as above.
        let table = unsafe { Heap::<VanishedTable<AtomicU64>, AtomicU64>::new(|_| AtomicU64::new(0)) };
        let slots = (0..slots).map(|_| Slot(core::array::from_fn(|_| AtomicU64::new(0)))).collect();
        let (state, all, claimed) = (State::default(), State::default(), State::default());
        Self {
            section,
            table,
            slots,
            read: 0,
            reader: state,
            all,
            claimed,
            hole: None,
            pending: None,
            prior,
            strict,
            tell,
            addresses,
            time: 0,
            compactions: 0,
            freed: 0,
        }
    }

    fn consumer(&self) -> Consumer<'_, AtomicU64> {
        Consumer::new(&self.slots).expect("a power of two")
    }

    fn rows(&self) -> &[[VanishedCell<AtomicU64>; MEMORY_KINDS]] {
        &self.table.cells[..ROWS]
    }

    fn history(&self) -> bool {
        self.prior || self.read > 0
    }

    /// Where a reader goes on.
    fn position(&self) -> u64 {
        let (moved_from, start) = (self.section.moved_from.load(Relaxed), self.section.start.load(Relaxed));
        if self.read == moved_from { start } else { self.read }
    }

    fn left(&self) -> Vec<Event> {
        let mut left = Vec::new();
        self.consumer().read(self.position(), self.slots.len(), |event| left.push(event));
        left
    }

    fn published(&mut self, event: &Event) {
        self.all.apply(event);
        if let Some(pending) = &mut self.pending {
            pending.push(Event { stamp: 0, ..*event });
        }
    }

    fn push(&mut self, event: &Event) -> bool {
        let producer = Producer::new(&self.section.claim, &self.slots).expect("a power of two");
        if producer.push(event) == Push::Full {
            return false;
        }
        self.claimed.apply(event);
        match &mut self.hole {
            Some((_, after)) => after.push(*event),
            None => self.published(event),
        }
        true
    }

    fn open_hole(&mut self, event: &Event) {
        let (lap, seq) = (self.slots.len() as u64, self.section.claim.load(Relaxed));
        let free = if seq < lap { 0 } else { !(seq + 1 - lap) };
        let slot = &self.slots[(seq % lap) as usize];
        if self.hole.is_none() && slot.0[0].load(Relaxed) == free {
            self.section.claim.store(seq + 1, Relaxed);
            for (word, value) in slot.0.iter().zip(event.to_words()).skip(1) {
                word.store(value, Relaxed);
            }
            self.claimed.apply(event);
            self.hole = Some((seq, vec![*event]));
        }
    }

    fn fill_hole(&mut self) {
        let Some((seq, events)) = self.hole.take() else { return };
        let slot = &self.slots[(seq % self.slots.len() as u64) as usize];
        slot.0[0].store(seq + 1, Release);
        events.iter().for_each(|event| self.published(event));
    }

    /// A reader of its own takes the lock, reads and goes. Without `hand_back` it is killed before it hands back.
    fn look(&mut self, most: usize, hand_back: bool) {
        let from = self.position();
        let mut to = from;
        while let Some(event) = self.consumer().read_one(to) {
            if to - from >= most as u64 {
                break;
            }
            if to == from {
                for (at, row) in self.table.cells[..ROWS].iter().enumerate() {
                    for (memory, cell) in row.iter().enumerate().filter(|_| self.read != from) {
                        *self.reader.allocated.entry((at, memory as u8)).or_default() += cell.bytes.load(Relaxed);
                    }
                }
            }
            self.reader.apply(&event);
            to += 1;
        }
        if to == from {
            return;
        }
        self.read = to;
        self.strict = true;
        self.pending = None;
        if hand_back {
            self.consumer().release(from, to);
        }
    }

    /// Bits of everything, to see that nothing changes.
    fn bits(&self) -> Vec<u64> {
        let words = self.slots.iter().flat_map(|slot| slot.0.iter());
        let table = self.rows().iter().flatten().flat_map(|cell| [&cell.bytes, &cell.peak]);
        words.chain(self.section.words()).chain(table).map(|word| word.load(Relaxed)).collect()
    }

    fn compact(&mut self) -> Option<Compacted> {
        let history = self.history();
        let before = self.left();
        let (bits, from) = (self.bits(), self.position());
        let again = self.read == self.section.moved_from.load(Relaxed) && self.read < self.section.start.load(Relaxed);
        let unknown_before = if again { self.section.unknown_frees.load(Relaxed) } else { 0 };
        let free = |world: &Self| {
            let (claim, lap) = (world.section.claimed(), world.slots.len() as u64);
            let is = |seq: &u64| {
                let stamp = world.slots[(seq % lap) as usize].0[0].load(Relaxed);
                stamp == if *seq < lap { 0 } else { !(seq + 1 - lap) }
            };
            (claim..claim + lap).filter(is).count() as u64
        };
        let free_before = free(self);
        let mut scratch = vec![0; scratch_words(self.slots.len())];
        let compactor = Compactor { section: &*self.section, table: self.rows(), slots: &self.slots };
        let Some(done) = compactor.compact(self.read, || history, &mut scratch) else {
            assert_eq!(self.bits(), bits, "given up, and something changed");
            return None;
        };
        self.compactions += 1;
        self.freed += done.freed;
        if !again {
            self.pending = Some(before.iter().map(|event| Event { stamp: 0, ..*event }).collect());
        }
        assert!(!self.section.is_compacting());
        let left = self.left();
        assert_eq!((left.len() as u64, free(self) - free_before), (done.kept, done.freed), "figures");
        assert_eq!(self.position() + done.kept, from + before.len() as u64, "moved up to the end");
        for (event, at) in left.iter().zip(self.position()..) {
            assert_eq!(event.stamp, at + 1);
        }
        // Nothing new and nothing reordered: what is left is a subsequence, but for the hints of releases.
        let mut rest = before.iter();
        for event in &left {
            let same = |other: &&Event| {
                let told = Event { stamp: event.stamp, ..**other };
                told == *event
                    || event.kind == Kind::FreeAll as u8
                        && Event { id: event.id, size: event.size, footprint: event.footprint, ..told } == *event
            };
            assert!(rest.any(|other| same(&other)), "not in order: {event:?}");
        }
        let unknown = self.section.unknown_frees.load(Relaxed) - unknown_before;
        self.check(&left, unknown, &before, history);
        Some(done)
    }

    fn check(&self, left: &[Event], unknown: u64, before: &[Event], history: bool) {
        let mut late = self.reader.clone();
        left.iter().for_each(|event| late.apply(event));
        if late.sorted() != self.all.sorted() {
            let [read, before, left, got, truth] =
                [&self.reader.live, before, left, &late.live, &self.all.live].map(in_short);
            panic!("live\n read:   {read}\n before: {before}\n left:   {left}\n got:    {got}\n truth:  {truth}");
        }
        assert_eq!((late.devices, late.tags), (self.all.devices.clone(), self.all.tags.clone()));
        let (mut model, mut plain) = (self.reader.clone(), State::default());
        let base = model.footprint.clone();
        model.peak.clear();
        self.pending.iter().flatten().for_each(|event| model.apply(event));
        left.iter().for_each(|event| plain.apply(event));
        for (at, row) in self.rows().iter().enumerate() {
            for (memory, cell) in row.iter().enumerate() {
                let of = (at, memory as u8);
                let value = |of_all: &BTreeMap<(usize, u8), u64>| of_all.get(&of).copied().unwrap_or(0);
                let gone = cell.bytes.load(Relaxed);
                let told = value(&self.reader.allocated) + gone + value(&plain.allocated);
                assert_eq!(told, value(&self.all.allocated), "allocated in all, {of:?}");
                let (peak, truth) = (cell.peak.load(Relaxed), value(&model.peak).saturating_sub(value(&base)));
                // With a history it is an estimate.
                if !history {
                    assert_eq!(peak, truth, "peak {of:?}");
                }
            }
        }
        if !history {
            let mut alone = State::default();
            before.iter().for_each(|event| alone.apply(event));
            assert_eq!(unknown, alone.unknown_frees, "frees of what nobody announced");
        }
    }

    /// A record, made of random bits so that it contradicts nothing but what may be contradicted.
    fn event(&mut self, bits: u64) -> Option<Event> {
        let pick = |shift: u32, of: u64| bits >> shift & 0xff_u64 & (of - 1);
        self.time += 1;
        let device = NUMBERS[pick(0, 4) as usize];
        let memory = [Memory::Dram, Memory::Cb][pick(8, 2) as usize];
        let id = 1 + pick(16, 4);
        let context = pick(24, 4) as u32;
        let size = [0, 64, 100, 1 << 33][pick(32, 4) as usize];
        let address = if pick(16, 4) < 2 && self.addresses { flags::ID_IS_ADDRESS } else { 0 };
        let new = |kind| Event { time: self.time, id, context, flags: address, ..Event::new(kind, memory, device) };
        let live = self.claimed.count((device, memory as u8, id));
        Some(match bits >> 56 & 31 {
            0..=10 => {
                // The rules of ids hold once there is a history; without one, anything goes.
                if live > 2 || live > 0 && address == 0 && (self.strict || pick(40, 4) != 0) {
                    return None;
                }
                let footprint = if pick(40, 2) == 0 { 0 } else { size * 2 };
                let global = if pick(48, 8) == 0 { flags::GLOBALLY_ALLOCATED } else { 0 };
                let tag = (pick(52, 4) as u16) << flags::TAG_SHIFT;
                Event { address: self.time * 64, size, footprint, flags: address | global | tag, ..new(Kind::Alloc) }
            }
            11..=22 => {
                let oldest = self.claimed.live.iter().find(|event| key(event) == (device, memory as u8, id));
                let told = oldest.filter(|_| self.tell && pick(40, 2) == 0);
                let (size, footprint) = told.map_or((0, 0), |told| (told.size, told.footprint));
                let global = told.map_or(0, |told| told.flags & flags::GLOBALLY_ALLOCATED);
                Event { size, footprint, flags: address | global, ..new(Kind::Free) }
            }
            23..=25 => {
                let group =
                    |event: &&Event| (event.device, event.memory, event.context) == (device, memory as u8, context);
                let members: Vec<Event> = self.claimed.live.iter().filter(group).copied().collect();
                let (id, size) = if pick(40, 2) == 0 {
                    (0, 0)
                } else {
                    (members.len() as u64, members.iter().map(Event::taken).sum())
                };
                Event { id, size, flags: 0, ..new(Kind::FreeAll) }
            }
            26 => Event { size: 12, ..new(Kind::DeviceInfo) },
            27 => new(Kind::DeviceClose),
            28 => Event { size: self.time, ..new(Kind::Capacity) },
            29 => new(Kind::ProgramResident),
            30 => Event { address: self.time % 5, ..new(Kind::Tag) },
            _ => match pick(40, 4) {
                0 => Event { kind: 99, ..new(Kind::Alloc) },
                1 => Event { memory: 7, ..new(Kind::Alloc) },
                2 => Event { device: 1024, ..new(Kind::Alloc) },
                _ => Event { kind: 0, ..new(Kind::Free) },
            },
        })
    }

    fn step(&mut self, op: u8, bits: u64) {
        let Some(event) = self.event(bits) else { return };
        match op {
            0..=1 => {
                self.compact();
            }
            2 => self.look(bits as usize % 9, bits & 16 != 0),
            3 => self.open_hole(&event),
            4..=6 => self.fill_hole(),
            _ => {
                if !self.push(&event) {
                    self.compact();
                    if self.event(bits).is_some_and(|event| !self.push(&event)) {
                        self.fill_hole();
                        self.look(usize::MAX, true);
                    }
                }
            }
        }
    }

    /// Something that was read long ago.
    fn prior(&mut self, bits: &[u64]) {
        for bits in bits {
            if let Some(event) = self.event(*bits)
                && self.claimed.count(key(&event)) == 0
            {
                [&mut self.reader, &mut self.all, &mut self.claimed].into_iter().for_each(|state| state.apply(&event));
            }
        }
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases: if cfg!(miri) { 3 } else { cases }, failure_persistence: None, ..ProptestConfig::default() }
}

fn run(slots: usize, tell: bool, addresses: bool, prior: Option<Vec<u64>>, ops: Vec<(u8, u64)>) {
    let read = prior.as_ref().is_some_and(|prior| !prior.is_empty());
    let mut world = World::new(slots, prior.is_some(), read, tell, addresses);
    world.prior(&prior.unwrap_or_default());
    for (op, bits) in ops {
        // Without a history there never is one.
        if op != 2 || world.strict {
            world.step(op, bits);
        }
    }
    world.fill_hole();
    world.compact();
}

proptest! {
    #![proptest_config(config(if cfg!(debug_assertions) { 300 } else { 2000 }))]

    #[test]
    fn nothing_read_before(shift in 1..6_u32, tell: bool, ops in vec((0..40_u8, any::<u64>()), 1..OPS)) {
        run(1 << shift, tell, true, None, ops);
    }

    #[test]
    fn something_read_before(
        shift in 1..6_u32, prior in vec(any::<u64>(), 0..12), ops in vec((0..40_u8, any::<u64>()), 1..OPS),
    ) {
        run(1 << shift, false, true, Some(prior), ops);
    }

    #[test]
    fn something_read_before_and_frees_that_tell_sizes(
        shift in 1..6_u32, prior in vec(any::<u64>(), 0..12), ops in vec((0..40_u8, any::<u64>()), 1..OPS),
    ) {
        run(1 << shift, true, true, Some(prior), ops);
    }

    #[test]
    fn something_read_before_and_no_addresses(
        shift in 1..6_u32, tell: bool, prior in vec(any::<u64>(), 0..12), ops in vec((0..40_u8, any::<u64>()), 1..OPS),
    ) {
        run(1 << shift, tell, false, Some(prior), ops);
    }
}

/// Pushes, compacts where it is full; the most that was left.
fn churn(world: &World, history: bool, events: impl Iterator<Item = Event>) -> u64 {
    let producer = Producer::new(&world.section.claim, &world.slots).expect("a power of two");
    let mut scratch = vec![0; scratch_words(world.slots.len())];
    let mut most = 0;
    for event in events {
        if producer.push(&event) == Push::Full {
            scratch.fill(0);
            let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
            most = most.max(compactor.compact(0, || history, &mut scratch).expect("within its steps").kept);
            assert!(matches!(producer.push(&event), Push::Written(_)), "no room was made");
        }
    }
    most
}

/// Whatever comes and goes, what is left is what is alive and little else.
#[test]
fn churn_leaves_only_what_is_alive() {
    let count = if cfg!(miri) {
        600
    } else if cfg!(debug_assertions) {
        300_000
    } else {
        10_000_000_u64
    };
    for history in [false, true] {
        let world = World::new(if cfg!(miri) { 128 } else { 1024 }, false, false, false, false);
        let events = |n: u64| {
            // A hundred are alive at a time; now and then a device without any is opened, described and closed.
            let freed = n.checked_sub(100);
            let alloc = Event { id: n + 1, size: 64, ..Event::new(Kind::Alloc, Memory::Dram, n as u32 % 4) };
            let free = freed.map(|n| Event { id: n + 1, ..Event::new(Kind::Free, Memory::Dram, n as u32 % 4) });
            let door = [Kind::DeviceInfo, Kind::Capacity, Kind::ProgramResident, Kind::FreeAll, Kind::DeviceClose];
            let door =
                door.map(|kind| Event::new(kind, Memory::Cb, 9)).into_iter().filter(move |_| n.is_multiple_of(500));
            [Some(alloc), free].into_iter().flatten().chain(door)
        };
        let most = churn(&world, history, (0..count / 2).flat_map(events));
        eprintln!("history {history}: at most {most} left of {count}");
        assert!(most <= 101 + 6, "{most}");
    }
}

/// A world in which these were pushed, and what is left of them after a compaction.
fn compacted(history: bool, events: &[Event]) -> (Vec<Event>, u64) {
    let world = World::new(16, true, history, false, true);
    assert_eq!(churn_fill(&world, &|n| events[n as usize], events.len() as u64), events.len() as u64);
    let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
    compactor.compact(0, || history, &mut vec![0; scratch_words(16)]).expect("it can be done");
    (world.left(), world.section.unknown_frees.load(Relaxed))
}

/// What was dropped was in no section: its free has to reach the reader, though nobody has read anything.
#[test]
fn frees_of_what_was_dropped_stay() {
    let dropped = Event { id: 7, size: 64, ..Event::new(Kind::Free, Memory::Dram, 0) };
    let (left, unknown) = compacted(true, &[dropped]);
    assert_eq!((left.len(), unknown), (1, 0));
    assert_eq!((left[0].id, left[0].kind), (7, Kind::Free as u8));
    assert_eq!(compacted(false, &[dropped]), (vec![], 1));
}

/// It was dropped when nothing else had been, after the compaction asked, and its free found room at once: that is no record of this compaction.
#[test]
fn what_is_freed_after_it_was_asked_for_drops_stays() {
    let world = World::new(16, true, false, false, true);
    let pair = |n: u64| Event { id: 1, size: 64, ..Event::new([Kind::Alloc, Kind::Free][n as usize], Memory::Dram, 0) };
    assert_eq!(churn_fill(&world, &pair, 2), 2);
    let dropped = Event { id: 7, size: 64, ..Event::new(Kind::Free, Memory::Dram, 0) };
    let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
    let none_yet = || {
        assert_eq!(churn_fill(&world, &|_| dropped, 1), 1);
        false
    };
    let done = compactor.compact(0, none_yet, &mut vec![0; scratch_words(16)]);
    assert_eq!(done.map(|done| done.freed), Some(2));
    let left = world.left();
    assert_eq!(left.iter().map(|event| (event.id, event.kind)).collect::<Vec<_>>(), [(7, Kind::Free as u8)]);
    assert_eq!(world.section.unknown_frees.load(Relaxed), 0);
}

/// Of each number the last name, wherever it stands, and nothing of records that name no number.
#[test]
#[cfg_attr(miri, ignore = "takes many minutes there; the models have such records, too")]
fn every_tag_keeps_one_name() {
    let world = World::new(1024, false, false, false, false);
    let name = |n: u64| Name([n + 1, 0, 0, 7]);
    let told = |n: u64| Event { context: (n % 300) as u32, ..Event::tag(0, name(n)) };
    assert_eq!(churn_fill(&world, &told, 1000), 1000);
    let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
    let mut scratch = vec![0; scratch_words(1024)];
    let done = compactor.compact(0, || false, &mut scratch).expect("it can be done");
    assert_eq!((done.kept, done.freed), (255, 745));
    let left: BTreeMap<u8, Name> = world.left().iter().filter_map(Event::told_tag).collect();
    let last = |number: u64| if number < 100 { 900 + number } else { 600 + number };
    assert!(left.into_iter().eq((1..=255).map(|number| (number as u8, name(last(number))))));
}

/// Of five, three were freed by records that were dropped: the release says two. Only all six together tell what is alive.
#[test]
fn a_release_of_fewer_than_are_there_stays_with_its_members() {
    let member = |id| Event { id, size: 64, context: 3, ..Event::new(Kind::Alloc, Memory::Cb, 0) };
    let release = Event { id: 2, size: 128, context: 3, ..Event::new(Kind::FreeAll, Memory::Cb, 0) };
    let events: Vec<Event> = (1..6).map(member).chain([release]).collect();
    let (left, _) = compacted(true, &events);
    assert_eq!(left.iter().map(|event| Event { stamp: 0, ..*event }).collect::<Vec<_>>(), events);
}

/// A number that a broken ledger may say: nothing is moved by it.
#[test]
fn nothing_is_done_for_a_reader_that_is_ahead_of_what_was_claimed() {
    let mut world = World::new(8, true, false, false, true);
    for id in 1..4 {
        assert!(world.push(&Event { id, size: 64, ..Event::new(Kind::Alloc, Memory::Dram, 0) }));
        assert!(world.push(&Event { id, ..Event::new(Kind::Free, Memory::Dram, 0) }));
    }
    let bits = world.bits();
    let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
    for read in [7, 8, 100, u64::MAX] {
        assert_eq!(compactor.compact(read, || true, &mut vec![0; scratch_words(8)]), None);
        assert_eq!(world.bits(), bits, "something changed");
    }
    assert!(compactor.compact(6, || true, &mut vec![0; scratch_words(8)]).is_some());
}

/// The device was open when the reader left off, or it was not: the introduction ends the first block, or the free does.
#[test]
fn an_introduction_that_may_be_a_close_leaves_frees_in_doubt() {
    let new = |kind, id, address| Event { id, address, size: 64, ..Event::new(kind, Memory::Dram, 0) };
    let info = Event { id: 0, ..Event::new(Kind::DeviceInfo, Memory::Dram, 0) };
    let events = [new(Kind::Alloc, 5, 64), info, new(Kind::Alloc, 5, 128), new(Kind::Free, 5, 0)];
    let (left, _) = compacted(true, &events);
    for open in [false, true] {
        let mut before = State::default();
        if open {
            before.apply(&info);
        }
        let mut late = before.clone();
        events.iter().for_each(|event| before.apply(event));
        left.iter().for_each(|event| late.apply(event));
        assert_eq!(late.sorted(), before.sorted(), "open {open}");
    }
}

/// What was read before was freed, then its group released: a later free of its address is for a block of this section.
#[test]
fn a_free_does_not_stand_for_one_before_a_release() {
    let new = |kind, id, context| {
        let flags = flags::ID_IS_ADDRESS;
        Event { id, context, flags, ..Event::new(kind, Memory::Dram, 0) }
    };
    let (old, release) = (new(Kind::Alloc, 2, 1), Event { flags: 0, ..new(Kind::FreeAll, 0, 1) });
    let alloc = |context| Event { address: u64::from(context) * 64, size: 64, ..new(Kind::Alloc, 2, context) };
    let events = [alloc(3), new(Kind::Free, 2, 0), alloc(4), release, new(Kind::Free, 2, 3)];
    let (left, _) = compacted(true, &events);
    for was_alive in [false, true] {
        let mut all = State::default();
        if was_alive {
            all.apply(&old);
        }
        let mut late = all.clone();
        events.iter().for_each(|event| all.apply(event));
        left.iter().for_each(|event| late.apply(event));
        assert_eq!(late.sorted(), all.sorted(), "alive before: {was_alive}");
    }
}

/// How long it takes: `cargo test --release --test compact_model -- --ignored --nocapture`.
#[test]
#[ignore = "a measure, no test"]
fn pause() {
    const N: u64 = 32_768;
    let alloc = |id| Event { id, size: 64, context: (id / 20) as u32, ..Event::new(Kind::Alloc, Memory::Cb, 0) };
    let free = |id| Event { id, ..Event::new(Kind::Free, Memory::Cb, 0) };
    let churn = |n: u64| if n.is_multiple_of(2) { alloc(n) } else { free(n - 1) };
    let half = |n: u64| if n % 4 == 3 { free(n - 1) } else { alloc(n) };
    let groups = |n: u64| {
        let release = Event { context: (n / 21) as u32, ..Event::new(Kind::FreeAll, Memory::Cb, 0) };
        if n % 21 == 20 { release } else { Event { context: (n / 21) as u32, ..alloc(n) } }
    };
    let equal = |n: u64| if n < 30_000 { alloc(1) } else { free(1) };
    let storm = |n: u64| Event { context: n as u32, ..Event::new(Kind::FreeAll, Memory::Cb, 0) };
    let doors = |n: u64| {
        Event::new(
            if n.is_multiple_of(2) { Kind::DeviceInfo } else { Kind::DeviceClose },
            Memory::Dram,
            (n / 2 % 1024) as u32,
        )
    };
    let cases: [(&str, &dyn Fn(u64) -> Event); 6] = [
        ("churn", &churn),
        ("half", &half),
        ("groups", &groups),
        ("equal", &equal),
        ("storm", &storm),
        ("doors", &doors),
    ];
    for (name, event) in cases {
        for history in [false, true] {
            let mut times = Vec::new();
            let mut done = None;
            for _ in 0..9 {
                let world = World::new(N as usize, false, false, false, false);
                assert_eq!(churn_fill(&world, event, N), N);
                let mut scratch = vec![0; scratch_words(N as usize)];
                let compactor = Compactor { section: &*world.section, table: world.rows(), slots: &world.slots };
                let begin = std::time::Instant::now();
                done = compactor.compact(0, || history, &mut scratch);
                times.push(begin.elapsed());
            }
            times.sort();
            eprintln!("{name:8} history {history:5}: median {:?}, worst {:?}, {done:?}", times[4], times[8]);
        }
    }
}

fn churn_fill(world: &World, event: &dyn Fn(u64) -> Event, count: u64) -> u64 {
    let producer = Producer::new(&world.section.claim, &world.slots).expect("a power of two");
    (0..count).filter(|n| matches!(producer.push(&event(*n)), Push::Written(_))).count() as u64
}
