//! What the machine can do when it does nothing else.

use super::ids::{Ids, Random};
use crate::sample::Sample;
use foldhash::quality::RandomState;
use hashbrown::HashMap;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::ring::{Consumer, Producer, Push, Slot};
use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

const CHUNK: usize = 1 << 13;

/// A hash table with this many entries; each round removes one at random and inserts another.
#[derive(Debug)]
pub struct Table {
    map: HashMap<u64, u32, RandomState>,
    live: Vec<u64>,
    next: u64,
    random: Random,
    /// Half of an insertion and a removal, ns.
    pub half_pair: Sample,
}

impl Table {
    /// Filled.
    pub fn new(live: usize) -> Self {
        let mut map = HashMap::with_hasher(RandomState::default());
        let ids: Vec<u64> = (0..live as u64).map(|n| Ids::Random.id(n)).collect();
        map.extend(ids.iter().map(|id| (*id, 1)));
        Self { map, live: ids, next: live as u64, random: Random::new(3), half_pair: Sample::default() }
    }

    /// One chunk; counted if it is `timed`.
    pub fn round(&mut self, timed: bool) {
        let mut pairs = Vec::with_capacity(CHUNK);
        for _ in 0..CHUNK {
            let at = self.random.below(self.live.len());
            let new = Ids::Random.id(self.next);
            self.next += 1;
            pairs.push((self.live[at], new));
            self.live[at] = new;
        }
        let begin = Instant::now();
        for (old, new) in pairs {
            black_box(self.map.remove(&old));
            self.map.insert(new, 1);
        }
        if timed {
            self.half_pair.push(begin.elapsed().as_nanos() as f64 / (2 * CHUNK) as f64);
        }
    }
}

/// A ring on the heap, filled and read; nothing is done with what is read. ns per record.
pub fn bare_drain(rounds: usize) -> Sample {
    const SLOTS: usize = 1 << 14;
    let slots: Vec<Slot<AtomicU64>> = (0..SLOTS).map(|_| Slot(std::array::from_fn(|_| AtomicU64::new(0)))).collect();
    let claim = AtomicU64::new(0);
    let mut sample = Sample::default();
    let (Some(producer), Some(consumer)) = (Producer::new(&claim, &slots), Consumer::new(&slots)) else {
        return sample;
    };
    let event = Event { id: 1, size: 4096, ..Event::new(Kind::Alloc, Memory::Dram, 0) };
    let mut read = 0;
    for round in 0..=rounds {
        while !matches!(producer.push(&event), Push::Full) {}
        let begin = Instant::now();
        let to = consumer.read(read, SLOTS, |event| {
            black_box(event);
        });
        consumer.release(read, to);
        if round > 0 {
            sample.push(begin.elapsed().as_nanos() as f64 / (to - read) as f64);
        }
        read = to;
    }
    sample
}
