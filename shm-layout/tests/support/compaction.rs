//! A section that is compacted, and what its readers make of it, compared with what everything would come to.

use super::heap::Heap;
use super::ring::slots;
use super::state::State;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};
use shm_layout::event::{Event, Kind, MEMORY_KINDS, flags};
use shm_layout::ring::{
    Compacted, Compactor, Consumer, DROP_DEVICES, Producer, Push, Section, Slot, VanishedCell, VanishedTable,
    scratch_words,
};
use std::collections::BTreeMap;

/// Rows of the table that the devices reach.
const ROWS: usize = if cfg!(miri) { 10 } else { DROP_DEVICES };

fn in_short(events: &[Event]) -> String {
    let one = |e: &Event| {
        let kind = ["?", "A", "F", "R", "I", "C", "X", "P", "T"].get(usize::from(e.kind)).unwrap_or(&"?");
        let address = if e.flags & flags::ID_IS_ADDRESS == 0 { "" } else { "@" };
        format!("{kind}{address}{}.{}.{}/{}({})t{}", e.device, e.memory, e.id, e.context, e.size, e.time)
    };
    events.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A section, its producer and its readers.
pub struct World {
    pub section: Heap<Section<AtomicU64>, AtomicU64>,
    pub table: Heap<VanishedTable<AtomicU64>, AtomicU64>,
    pub slots: Vec<Slot<AtomicU64>>,
    read: u64,
    /// What was read, and what everything published (and claimed) comes to.
    pub reader: State,
    pub all: State,
    pub claimed: State,
    /// A claimed record that is not published yet, and what came after it.
    hole: Option<(u64, Vec<Event>)>,
    /// What this epoch began with, and all that was published since.
    pending: Option<Vec<Event>>,
    /// Something was read of what lay before.
    prior: bool,
    /// There are readers, and so sources that keep to the rules of ids.
    pub strict: bool,
    /// Frees may tell sizes.
    pub tell: bool,
    /// Ids may be addresses.
    pub addresses: bool,
    pub time: u64,
}

impl World {
    pub fn new(count: usize, strict: bool, prior: bool, tell: bool, addresses: bool) -> Self {
        // SAFETY: repr(C) and made of its words only.
        let section = unsafe { Heap::<Section<AtomicU64>, AtomicU64>::new(|_| AtomicU64::new(0)) };
        // SAFETY: as above.
        let table = unsafe { Heap::<VanishedTable<AtomicU64>, AtomicU64>::new(|_| AtomicU64::new(0)) };
        let (state, all, claimed) = (State::default(), State::default(), State::default());
        Self {
            section,
            table,
            slots: slots(count),
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
        }
    }

    fn consumer(&self) -> Consumer<'_, AtomicU64> {
        Consumer::new(&self.slots).expect("a power of two")
    }

    pub fn rows(&self) -> &[[VanishedCell<AtomicU64>; MEMORY_KINDS]] {
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

    pub fn left(&self) -> Vec<Event> {
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

    pub fn push(&mut self, event: &Event) -> bool {
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

    pub fn open_hole(&mut self, event: &Event) {
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

    pub fn fill_hole(&mut self) {
        let Some((seq, events)) = self.hole.take() else { return };
        let slot = &self.slots[(seq % self.slots.len() as u64) as usize];
        slot.0[0].store(seq + 1, Release);
        events.iter().for_each(|event| self.published(event));
    }

    /// A reader of its own takes the lock, reads and goes. Without `hand_back` it is killed before it hands back.
    pub fn look(&mut self, most: usize, hand_back: bool) {
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
    pub fn bits(&self) -> Vec<u64> {
        let words = self.slots.iter().flat_map(|slot| slot.0.iter());
        let table = self.rows().iter().flatten().flat_map(|cell| [&cell.bytes, &cell.peak]);
        words.chain(self.section.words()).chain(table).map(|word| word.load(Relaxed)).collect()
    }

    pub fn compact(&mut self) -> Option<Compacted> {
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
        for (of, allocated) in self.all.allocated.iter().filter(|(of, _)| of.0 >= self.rows().len()) {
            let told = self.reader.allocated.get(of).unwrap_or(&0) + plain.allocated.get(of).unwrap_or(&0);
            assert_eq!(told, *allocated, "nothing vanishes of a device without a row, {of:?}");
        }
        if !history {
            let mut alone = State::default();
            before.iter().for_each(|event| alone.apply(event));
            assert_eq!(unknown + plain.unknown_frees, alone.unknown_frees, "frees of what nobody announced");
        }
    }
}
