//! Rings as a producer makes them, by the layout's own code; the one file here that knows the ring's words.

use crate::ground;
use shm_layout::event::{Event, MEMORY_KINDS};
use shm_layout::names::ProcessFile;
use shm_layout::ring::{
    CLOCK_MONOTONIC_NS, DROP_DEVICES, DropTable, ENDIAN_MARK, HEADER_BYTES, Identity, MAGIC, Producer, Push,
    RECORDS_OFFSET, RingHeader, Slot, VERSION, ring_bytes,
};
use shm_layout::segment::{Created, create};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The identity of a sound ring.
pub fn identity(file: ProcessFile, slots: u64, start_ticks: u64, name: &[u8]) -> Identity {
    let mut field = [0; 32];
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    Identity {
        magic: MAGIC,
        version: VERSION,
        endian: ENDIAN_MARK,
        header_bytes: HEADER_BYTES as u32,
        record_bytes: 64,
        slots,
        records_offset: RECORDS_OFFSET as u64,
        total_bytes: ring_bytes(slots),
        pid: file.pid,
        uid: file.uid,
        start_ticks,
        clock: CLOCK_MONOTONIC_NS,
        nonce: file.nonce,
        name: field,
        ..bytemuck::Zeroable::zeroed()
    }
}

/// A ring of which its owner may change every word.
#[derive(Debug)]
pub struct Ring {
    created: Created,
    slots: usize,
}

impl Ring {
    /// Makes it, announced, with `slots` slots.
    pub fn make(file: ProcessFile, slots: u64, start_ticks: u64, name: &[u8]) -> Self {
        ground::remove(file);
        let created = create(&file.name(ground::prefix()), ring_bytes(slots) as usize).expect("room in /dev/shm");
        let ring = Self { created, slots: slots as usize };
        ring.header().announce(&identity(file, slots, start_ticks, name));
        ring
    }

    fn header(&self) -> &RingHeader<AtomicU64> {
        self.created.mapping.one(0).expect("the header")
    }

    fn records(&self) -> &[Slot<AtomicU64>] {
        self.created.mapping.array(RECORDS_OFFSET, self.slots).expect("the records")
    }

    /// Tells a record, as an honest producer does. False if it did not fit.
    pub fn push(&self, event: &Event) -> bool {
        let header = self.header();
        // Nobody who lies about his claim like this goes on in good order: its successor would be no number.
        if header.claim.load(Relaxed) >= 1 << 62 {
            return false;
        }
        let Some(producer) = Producer::new(&header.claim, self.records()) else { return false };
        if matches!(producer.push(event), Push::Written(_)) {
            return true;
        }
        let table: &DropTable<AtomicU64> = self.created.mapping.one(HEADER_BYTES).expect("the drop table");
        if !table.count(event) {
            header.lost_controls.fetch_add(1, Relaxed);
        }
        header.dropped.fetch_add(1, Relaxed);
        false
    }

    /// Changes one of the words that producer and consumer share, or of the identity.
    pub fn word(&self, which: u8, value: u64) {
        let header = self.header();
        let word = match which % 8 {
            0 => &header.claim,
            1 => &header.cursor,
            2 => &header.clock,
            3 => &header.closed,
            4 => &header.dropped,
            5 => &header.lost_controls,
            6 => &header.stale_clock,
            _ => &self.created.mapping.array::<AtomicU64>(0, 32).expect("the identity")[usize::from(which / 8)],
        };
        word.store(value, Relaxed);
    }

    /// Changes a word of a record; word 0 is its stamp.
    pub fn record_word(&self, at: u8, word: u8, value: u64) {
        self.records()[usize::from(at) % self.slots].0[usize::from(word % 8)].store(value, Relaxed);
    }

    /// Changes a counter of the drop table.
    pub fn drop_cell(&self, device: u8, memory: u8, counter: u8, value: u64) {
        let table: &DropTable<AtomicU64> = self.created.mapping.one(HEADER_BYTES).expect("the drop table");
        let cell = &table.cells[usize::from(device) % DROP_DEVICES][usize::from(memory) % MEMORY_KINDS];
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
