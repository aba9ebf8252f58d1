//! Rings as a producer makes them, by the layout's own code; the one file here that knows the ring's words.

use crate::ground;
use shm_layout::event::{Event, MEMORY_KINDS};
use shm_layout::names::ProcessFile;
use shm_layout::ring::{
    CLOCK_MONOTONIC_NS, Compactor, DROP_DEVICES, DropTable, FIRST_SECTION_OFFSET, HEADER_BYTES, Identity, Producer,
    Push, RingHeader, SECTIONS, Section, Slot, VanishedTable, records_offset, ring_bytes, scratch_words, section_end,
};
use shm_layout::segment::{Created, Mapping, create};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Sections that a hostile ring really has at most; it may say that it has more.
const MOST_GROWN: usize = 4;
/// A claim, start or place above this is a lie that no code of a producer works on.
const HONEST_NUMBERS: u64 = 1 << 40;

/// The words of the header that [`Ring::word`] changes.
pub mod header {
    pub const CLAIM: u8 = 0;
    pub const CURSOR: u8 = 1;
    pub const CLOCK: u8 = 2;
    pub const CLOSED: u8 = 3;
    pub const DROPPED: u8 = 4;
    pub const LOST_CONTROLS: u8 = 5;
    pub const STALE_CLOCK: u8 = 6;
    pub const SECTION_COUNT: u8 = 7;
    pub const IDENTITY: u8 = 8;
}

/// The words of a section's header that [`Ring::section_word`] changes.
pub mod section {
    pub const CLAIM: u8 = 0;
    pub const SLOTS: u8 = 1;
    pub const MOVED_FROM: u8 = 2;
    pub const START: u8 = 3;
    pub const COMPACTING: u8 = 4;
    pub const UNKNOWN_FREES: u8 = 5;
}

/// The identity of a sound ring.
pub fn identity(file: ProcessFile, slots: u64, start_ticks: u64, name: &[u8]) -> Identity {
    let mut field = [0; 32];
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    Identity {
        pid: file.pid,
        uid: file.uid,
        start_ticks,
        clock: CLOCK_MONOTONIC_NS,
        nonce: file.nonce,
        name: field,
        ..Identity::with_slots(slots)
    }
}

/// A section that is there.
#[derive(Debug)]
struct Part {
    /// Its own view; the first section lies in the ring's.
    mapping: Option<Mapping>,
    offset: usize,
    slots: usize,
}

/// A ring of which its owner may change every word.
#[derive(Debug)]
pub struct Ring {
    created: Created,
    parts: Vec<Part>,
}

impl Ring {
    /// Makes it, announced, with `slots` slots.
    pub fn make(file: ProcessFile, slots: u64, start_ticks: u64, name: &[u8]) -> Self {
        ground::remove(file);
        let created = create(&file.name(ground::prefix()), ring_bytes(slots) as usize).expect("room in /dev/shm");
        let first = Part { mapping: None, offset: FIRST_SECTION_OFFSET, slots: slots as usize };
        let ring = Self { created, parts: vec![first] };
        ring.header().sections[0].slots.store(slots, Relaxed);
        ring.header().section_count.store(1, Relaxed);
        ring.header().announce(&identity(file, slots, start_ticks, name));
        ring
    }

    fn header(&self) -> &RingHeader<AtomicU64> {
        self.created.mapping.one(0).expect("the header")
    }

    fn mapping(&self, part: usize) -> &Mapping {
        self.parts[part].mapping.as_ref().unwrap_or(&self.created.mapping)
    }

    fn records(&self, part: usize) -> &[Slot<AtomicU64>] {
        let Part { offset, slots, .. } = &self.parts[part];
        self.mapping(part).array(records_offset(*offset), *slots).expect("the records")
    }

    fn table(&self, part: usize) -> &VanishedTable<AtomicU64> {
        self.mapping(part).one(self.parts[part].offset).expect("the vanished table")
    }

    fn drops(&self) -> &DropTable<AtomicU64> {
        self.created.mapping.one(HEADER_BYTES).expect("the drop table")
    }

    /// Tells a record in the newest section, as an honest producer does. False if it did not fit.
    pub fn push(&self, event: &Event) -> bool {
        let (header, newest) = (self.header(), self.parts.len() - 1);
        let producer = Producer::new(&header.sections[newest].claim, self.records(newest)).expect("a power of two");
        if matches!(producer.push(event), Push::Written(_)) {
            return true;
        }
        if !self.drops().count(event) {
            header.lost_controls.fetch_add(1, Relaxed);
        }
        header.dropped.fetch_add(1, Relaxed);
        false
    }

    /// Goes on in a further section, twice as large, as an honest producer does; unsealed if it `forgets` to.
    pub fn grow(&mut self, forgets: bool) {
        let (last, next) = (&self.parts[self.parts.len() - 1], self.parts.len());
        if next == MOST_GROWN {
            return;
        }
        let slots = (last.slots * 2).max(64);
        let offset = section_end(last.offset, last.slots as u64).expect("small numbers");
        let end = section_end(offset, slots as u64).expect("small numbers");
        let Ok(mapping) = self.created.extend(offset, end) else { return };
        self.parts.push(Part { mapping: Some(mapping), offset, slots });
        let header = self.header();
        header.sections[next].slots.store(slots as u64, Relaxed);
        header.section_count.store(next as u64 + 1, Relaxed);
        if !forgets {
            header.sections[next - 1].seal();
        }
    }

    /// Compacts a section, by the producer's own code and without its lock: `read` is where it says that the reader was.
    /// Records that it may have moved.
    pub fn compact(&self, which: u8, read: u64, history: bool) -> u64 {
        let part = usize::from(which) % self.parts.len();
        let section = &self.header().sections[part];
        let sound = |word: &AtomicU64| word.load(Relaxed) <= HONEST_NUMBERS;
        if section.claimed() > HONEST_NUMBERS || !sound(&section.moved_from) || !sound(&section.start) {
            return 0;
        }
        let slots = self.records(part);
        let mut scratch = vec![0; scratch_words(slots.len())];
        let _done =
            Compactor { section, table: &self.table(part).cells, slots }.compact(read, || history, &mut scratch);
        slots.len() as u64
    }

    /// Changes one of the words that producer and consumer share, or of the identity.
    pub fn word(&self, which: u8, value: u64) {
        let header = self.header();
        let word = match which % 9 {
            header::CLAIM => &header.sections[self.parts.len() - 1].claim,
            header::CURSOR => &header.cursor,
            header::CLOCK => &header.clock,
            header::CLOSED => &header.closed,
            header::DROPPED => &header.dropped,
            header::LOST_CONTROLS => &header.lost_controls,
            header::STALE_CLOCK => &header.stale_clock,
            header::SECTION_COUNT => &header.section_count,
            _ => &self.created.mapping.array::<AtomicU64>(0, 32).expect("the identity")[usize::from(which / 9)],
        };
        word.store(value, Relaxed);
    }

    /// Changes a word of a section's header, also of a section that is not there.
    pub fn section_word(&self, number: u8, which: u8, value: u64) {
        let section: &Section<AtomicU64> = &self.header().sections[usize::from(number) % SECTIONS];
        let word = match which % 6 {
            section::CLAIM => &section.claim,
            section::SLOTS => &section.slots,
            section::MOVED_FROM => &section.moved_from,
            section::START => &section.start,
            section::COMPACTING => &section.compacting,
            _ => &section.unknown_frees,
        };
        word.store(value, Relaxed);
    }

    /// Changes a figure of a section's vanished table: its bytes or its peak.
    pub fn vanished_cell(&self, number: u8, device: u8, memory: u8, peak: bool, value: u64) {
        let table = self.table(usize::from(number) % self.parts.len());
        let cell = &table.cells[usize::from(device) % DROP_DEVICES][usize::from(memory) % MEMORY_KINDS];
        if peak { &cell.peak } else { &cell.bytes }.store(value, Relaxed);
    }

    /// Changes a word of a record of the newest section; word 0 is its stamp.
    pub fn record_word(&self, at: u8, word: u8, value: u64) {
        let records = self.records(self.parts.len() - 1);
        records[usize::from(at) % records.len()].0[usize::from(word % 8)].store(value, Relaxed);
    }

    /// Changes a counter of the drop table.
    pub fn drop_cell(&self, device: u8, memory: u8, counter: u8, value: u64) {
        let cell = &self.drops().cells[usize::from(device) % DROP_DEVICES][usize::from(memory) % MEMORY_KINDS];
        let counter = match counter % 4 {
            0 => &cell.allocated_bytes,
            1 => &cell.allocated_blocks,
            2 => &cell.freed_bytes,
            _ => &cell.freed_blocks,
        };
        counter.store(value, Relaxed);
    }

    /// Makes the file this long, under whoever reads it.
    pub fn shrink(&self, bytes: u64) {
        let _ = nix::unistd::ftruncate(&self.created.file, bytes as libc::off_t);
    }
}
