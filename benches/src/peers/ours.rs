//! Ours: a real ring in /dev/shm through the public API, and what an aggregator does at the other end of it.

use super::{Drain, Push, SLOTS, event};
use anyhow::Context;
use producer::environment::{Clock, Options};
use producer::{Ring, Writer};
use shm_layout::names::Prefix;
use shm_layout::ring::{Consumer, RECORDS_OFFSET, RingHeader, Slot};
use shm_layout::segment::{Access, Expect, Opened, open};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Records that a consumer reads before it gives their slots back: as the aggregator.
const BATCH: usize = 2048;

/// Makes a ring of this process with this many slots.
///
/// # Errors
/// When /dev/shm has no room.
pub fn make(slots: usize, clock: Clock) -> anyhow::Result<Ring> {
    let prefix = Prefix::new(&format!("tt_bench_peers_{}", std::process::id())).context("the prefix")?;
    Ring::create(&Options { prefix, slots: slots as u64, most_slots: slots as u64, clock }).context("the ring")
}

/// As [`make`], with as many slots as the peers.
///
/// # Errors
/// As [`make`].
pub fn ring(clock: Clock) -> anyhow::Result<Ring> {
    make(SLOTS, clock)
}

impl Push for Writer<'_> {
    #[inline(always)]
    fn push(&mut self, n: u64) -> bool {
        self.record(event(n));
        true
    }
}

/// The consumer's end of a ring.
#[derive(Debug)]
pub struct Reader {
    opened: Opened,
    slots: usize,
    next: u64,
    /// Whether it keeps the clock word, as an aggregator that runs.
    keeps_clock: bool,
}

impl Reader {
    /// Opens the ring with this name.
    ///
    /// # Errors
    /// When it cannot be opened, or is no ring.
    pub fn open(name: &str, keeps_clock: bool) -> anyhow::Result<Self> {
        let expect = Expect { owners: &[], least: RECORDS_OFFSET as u64, most: u64::MAX };
        let opened = open(name, Access::ReadWrite, expect).context("the ring's other end")?;
        let slots = (opened.mapping.len() - RECORDS_OFFSET) / 64;
        let reader = Self { opened, slots, next: 0, keeps_clock };
        reader.keep_clock();
        Ok(reader)
    }

    /// Opens it only to look at it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn look(name: &str) -> anyhow::Result<Self> {
        let expect = Expect { owners: &[], least: RECORDS_OFFSET as u64, most: u64::MAX };
        let opened = open(name, Access::Read, expect).context("the ring, to look at")?;
        Ok(Self { opened, slots: 0, next: 0, keeps_clock: false })
    }

    fn header(&self) -> &RingHeader<AtomicU64> {
        self.opened.mapping.one(0).unwrap_or_else(|| unreachable!("the ring has a header"))
    }

    fn keep_clock(&self) {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
            .map_or(0, |now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64);
        self.header().clock.store(if self.keeps_clock { now } else { 0 }, Relaxed);
    }

    /// Events that did not fit.
    pub fn dropped(&self) -> u64 {
        self.header().dropped.load(Relaxed)
    }

    /// Every event before this one was read and its slot given back.
    pub fn cursor(&self) -> u64 {
        self.header().cursor.load(Relaxed)
    }
}

impl Drain for Reader {
    fn drain(&mut self, mut each: impl FnMut(u64)) -> u64 {
        self.keep_clock();
        let from = self.next;
        let slots = self.opened.mapping.array::<Slot<AtomicU64>>(RECORDS_OFFSET, self.slots);
        let Some(consumer) = slots.and_then(Consumer::new) else { return 0 };
        // What is there now, and not what comes meanwhile: a reader at the writer's heels makes every line move twice.
        let end = self.header().sections[0].claim.load(Relaxed);
        while self.next < end {
            let most = BATCH.min((end - self.next) as usize);
            let to = consumer.read(self.next, most, |event| each(std::hint::black_box(event).id));
            if to == self.next {
                break;
            }
            consumer.release(self.next, to);
            self.next = to;
            self.header().cursor.store(to, Relaxed);
        }
        self.next - from
    }
}
