//! The ledger, killed between any two stores and continued: it says what the records before its commit say.

mod support;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use proptest::collection::vec;
use proptest::prelude::*;
use shm_layout::event::{Event, Kind};
use shm_layout::ledger::{DYING, Entries, LedgerHeader};
use shm_layout::ring::{Push, Slot};
use std::collections::{HashMap, VecDeque};
use support::cases::{LONG, config};
use support::heap::Heap;
use support::ring::{Ring, slots};
use support::{record, which};

/// A ledger on the heap, its two state blocks (here: live count, sum of ids, and which ids
/// were taken out though nothing freed them) beside it.
struct File {
    header: Heap<LedgerHeader<AtomicU64>, AtomicU64>,
    slots: Vec<Slot<AtomicU64>>,
    blocks: [[AtomicU64; 3]; 2],
}

/// One aggregator's life; the table in `shm_layout::ledger` says what the steps are.
struct Life<'a> {
    file: &'a File,
    ring: &'a Ring,
    applied: u64,
    settled_block: usize,
    live: HashMap<u64, usize>,
    free: Vec<usize>,
    sums: [u64; 3],
    /// Stores left before the kill.
    left: u64,
}

struct Killed;

impl<'a> Life<'a> {
    /// Recovery by the table.
    fn begin(file: &'a File, ring: &'a Ring, left: u64) -> Result<Self, Killed> {
        let (applied, block) = file.header.committed();
        let committed = !file.header.is_settled();
        let sums = [0, 1, 2].map(|at: usize| file.blocks[block][at].load(Relaxed));
        let mut life =
            Self { file, ring, applied, settled_block: block, live: HashMap::new(), free: Vec::new(), sums, left };
        let entries = Entries(&file.slots);
        for at in 0..file.slots.len() {
            let Some(event) = entries.get(at) else {
                life.free.push(at);
                continue;
            };
            let dying = event.kind == DYING;
            if event.stamp > applied || dying && committed {
                life.step()?;
                entries.clear(at);
                life.free.push(at);
                continue;
            }
            if dying {
                life.step()?;
                entries.mark(at, false);
            }
            which(&Event { kind: Kind::Alloc as u8, ..event });
            assert!(life.live.insert(event.id, at).is_none(), "entered twice");
        }
        life.step()?;
        file.header.settle();
        life.step()?;
        ring.consumer().release_unreturned(applied);
        Ok(life)
    }

    /// The kill comes before the next store.
    fn step(&mut self) -> Result<(), Killed> {
        self.left = self.left.checked_sub(1).ok_or(Killed)?;
        Ok(())
    }

    fn insert(&mut self, event: &Event) -> Result<(), Killed> {
        let at = self.free.pop().expect("more entries than ids");
        let slot = &self.file.slots[at];
        for (to, word) in slot.0.iter().zip(event.to_words()).skip(1) {
            // As `insert` stores them, but killed in between.
            self.step()?;
            to.store(word, Relaxed);
        }
        self.step()?;
        Entries(&self.file.slots).insert(at, event);
        self.live.insert(event.id, at);
        Ok(())
    }

    /// Reads, applies, commits and returns one batch. Records in it.
    fn batch(&mut self, max: usize) -> Result<u64, Killed> {
        let mut events = Vec::new();
        let (from, file, ring) = (self.applied, self.file, self.ring);
        let to = ring.consumer().read(from, max, |event| events.push(event));
        let mut dying = Vec::new();
        for event in &events {
            let alloc = event.flags & 1 == 0;
            if self.sums[2] & bit(event.id) != 0 {
                // Taken out: its announcements count for nothing until it is freed.
                self.sums[2] &= !if alloc { 0 } else { bit(event.id) };
                continue;
            }
            match (alloc, self.live.get(&event.id).copied()) {
                (true, None) => {
                    self.insert(event)?;
                    self.sums = [self.sums[0] + 1, self.sums[1] + event.id, self.sums[2]];
                }
                (false, Some(at)) => {
                    self.step()?;
                    Entries(&file.slots).mark(at, true);
                    dying.push(at);
                    self.live.remove(&event.id);
                    self.sums = [self.sums[0] - 1, self.sums[1] - event.id, self.sums[2]];
                }
                // Double free, free of the unknown, a second announcement: changes nothing here.
                _ => {}
            }
        }
        self.commit(to, dying)?;
        for seq in from..to {
            self.step()?;
            ring.consumer().release(seq, seq + 1);
        }
        Ok(to - from)
    }

    /// Takes one out and reads nothing, as where drops are found to have ended what is listed.
    fn take_out(&mut self) -> Result<(), Killed> {
        let Some((id, at)) = self.live.iter().map(|(id, at)| (*id, *at)).min() else { return Ok(()) };
        let entries = Entries(&self.file.slots);
        self.step()?;
        entries.mark(at, true);
        self.live.remove(&id);
        self.sums = [self.sums[0] - 1, self.sums[1] - id, self.sums[2] | bit(id)];
        self.commit(self.applied, vec![at])
    }

    fn commit(&mut self, to: u64, dying: Vec<usize>) -> Result<(), Killed> {
        let (file, block) = (self.file, 1 - self.settled_block);
        for (to, sum) in file.blocks[block].iter().zip(self.sums) {
            self.step()?;
            to.store(sum, Relaxed);
        }
        self.step()?;
        file.header.commit(to, block);
        for at in &dying {
            self.step()?;
            Entries(&file.slots).clear(*at);
        }
        self.step()?;
        file.header.settle();
        self.free.extend(dying);
        (self.settled_block, self.applied) = (block, to);
        Ok(())
    }
}

/// Ids in use at once, at most.
const IDS: u64 = 6;

/// The bit of an id: which of them it is.
fn bit(id: u64) -> u64 {
    (0..IDS).find(|n| record(3, n * 2).id == id).map_or(0, |n| 1 << n)
}

proptest! {
    #![proptest_config(config(1500))]

    /// Batches of allocations and frees, an aggregator that is killed before any of its stores, again and again: in the
    /// end, and whenever one begins, the ledger says exactly what the records before its commit say.
    #[test]
    fn a_killed_ledger_continues_exactly(
        acts in vec((0..IDS, any::<bool>()), 0..LONG / 2),
        kills in vec(0..90_u64, 0..if cfg!(miri) { 4 } else { 12 }),
        batch in 1..7_usize,
    ) {
        // SAFETY: repr(C) and made of its words only.
        let header = unsafe { Heap::new(|_| AtomicU64::new(0)) };
        // Room for every id twice: an entry freed by a batch comes back only after it.
        let file = File { header, slots: slots(2 * IDS as usize + 8), blocks: Default::default() };
        let ring = Ring::new(8);
        // Even numbers, so that the lowest flag is free to tell that it is a free.
        let event = |id: u64, free: bool| {
            let mut event = record(3, id * 2);
            event.flags = (event.flags & !1) | u16::from(free);
            event
        };
        // Live ids after the first n records.
        let mut truth: Vec<Vec<u64>> = vec![Vec::new()];
        for (id, free) in &acts {
            let mut live = truth.last().cloned().unwrap_or_default();
            let id = event(*id, false).id;
            match (free, live.iter().position(|other| *other == id)) {
                (false, None) => live.push(id),
                (true, Some(at)) => {
                    live.remove(at);
                }
                _ => {}
            }
            truth.push(live);
        }
        let mut waiting: VecDeque<Event> = acts.iter().map(|(id, free)| event(*id, *free)).collect();
        let fill = |waiting: &mut VecDeque<Event>| {
            while waiting.front().is_some_and(|event| ring.producer().push(event) != Push::Full) {
                waiting.pop_front();
            }
        };
        let check = |life: &Life<'_>| {
            let mut ids: Vec<u64> = life.live.keys().copied().collect();
            let taken_out = life.sums[2];
            let mut expected = truth[life.applied as usize].clone();
            expected.retain(|id| taken_out & bit(*id) == 0);
            ids.sort_unstable();
            expected.sort_unstable();
            assert_eq!(ids, expected, "after {} records", life.applied);
            assert_eq!(life.sums, [expected.len() as u64, expected.iter().sum(), taken_out]);
            let file = life.file;
            let on_file = (0..file.slots.len()).filter_map(|at| Entries(&file.slots).get(at));
            assert_eq!(on_file.filter(|e| e.kind == Kind::Alloc as u8).count(), expected.len());
        };
        for left in kills.into_iter().chain([u64::MAX]) {
            fill(&mut waiting);
            let Ok(mut life) = Life::begin(&file, &ring, left) else { continue };
            check(&life);
            loop {
                fill(&mut waiting);
                match life.batch(batch) {
                    Ok(0) => break,
                    Ok(_) => check(&life),
                    Err(Killed) => break,
                }
                if life.applied.is_multiple_of(3) {
                    if life.take_out().is_err() {
                        break;
                    }
                    check(&life);
                }
            }
        }
        prop_assert_eq!(file.header.committed().0, acts.len() as u64, "nothing lost");
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(ring.slots.iter().filter(|slot| slot.0[0].load(Acquire) >> 63 == 0 && slot.0[0].load(Acquire) != 0).count(), 0, "every slot is back");
    }
}
