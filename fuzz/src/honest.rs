//! A process in good order, by the producer's own code: what it has told is known to the byte.

use crate::ground;
use crate::script::alloc;
use producer::Ring;
use producer::environment::Options;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::ProcessFile;
use shm_layout::stats::Figures;

/// Records of its first section.
const SLOTS: u64 = 64;
/// In all sections: three of them.
const MOST_SLOTS: u64 = 64 + 128 + 256;
/// What it tells at most while it is read. A record lock is the process's, not the descriptor's: were its ring full, it would take
/// the section that the host reads in the same process.
const AT_ONCE: usize = 32;

/// The process and the truth about it.
#[derive(Debug)]
pub struct Honest {
    ring: Ring,
    /// Its name, taken apart.
    pub file: ProcessFile,
    live: Vec<Event>,
    told: u64,
    peak: u64,
    allocated: u64,
    freed: u64,
}

impl Honest {
    /// It holds one buffer, which it never frees.
    pub fn begin() -> Self {
        let prefix = ground::prefix().clone();
        let options = Options { prefix, slots: SLOTS, most_slots: MOST_SLOTS, ..Options::default() };
        let ring = Ring::create(&options).expect("room in /dev/shm");
        let file = ProcessFile::parse(ring.name(), ground::prefix()).expect("its own name");
        let mut honest = Self { ring, file, live: Vec::new(), told: 0, peak: 0, allocated: 0, freed: 0 };
        honest.allocate(5000);
        honest
    }

    fn allocate(&mut self, size: u64) {
        self.told += 1;
        let event = alloc(Memory::Dram, 7, self.told, size);
        self.ring.record(event);
        self.live.push(event);
        self.allocated += size;
        self.peak = self.peak.max(self.footprint());
    }

    /// Allocates and frees, `count` times. `read`: by a host of this same process.
    pub fn live(&mut self, count: usize, seed: u8, read: bool) {
        let mut draw = u64::from(seed) | 1 << 20;
        for _ in 0..if read { count.min(AT_ONCE) } else { count } {
            // A linear congruential generator is chance enough.
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let drawn = (draw >> 33) as usize;
            // The larger the seed, the more stays alive.
            if self.live.len() > 1 && drawn % 256 >= usize::from(seed) / 2 {
                let event = self.live.swap_remove(1 + drawn / 256 % (self.live.len() - 1));
                self.ring.record(Event { kind: Kind::Free as u8, ..event });
                self.freed += event.size;
            } else {
                self.allocate(64 + (drawn as u64 & 0xFFF));
            }
        }
    }

    /// Bytes that it holds.
    pub fn footprint(&self) -> u64 {
        self.live.iter().map(|event| event.size).sum()
    }

    /// Allocations that it holds.
    pub fn blocks(&self) -> u64 {
        self.live.len() as u64
    }

    /// Records that did not fit.
    pub fn dropped(&self) -> u64 {
        self.ring.dropped()
    }

    /// Its rows must say what is true.
    pub fn check(&self, rows: &[Figures]) {
        let [row] = rows else { panic!("one row and not {rows:?}") };
        let told = [row.footprint_bytes, row.live_bytes, row.blocks, row.allocated_bytes_total, row.freed_bytes_total];
        let true_ones = [self.footprint(), self.footprint(), self.blocks(), self.allocated, self.freed];
        assert_eq!(told, true_ones, "somebody's lies, or an aggregator's absence, changed another's row");
        if self.dropped() == 0 {
            assert_eq!(row.peak_footprint_bytes, self.peak, "the peak");
            assert_eq!(row.detail_incomplete, 0, "nothing was dropped");
        }
    }
}
