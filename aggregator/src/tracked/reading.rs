//! Reading a ring into the books, batch by batch, while its process lives and to its end when it is dead.

use super::Tracked;
use super::dropped::absorb;
use crate::books::Books;
use crate::chips::Chips;
use crate::ledger::Ledger;
use crate::sigbus::Fault;
use core::cell::Cell;
use shm_layout::event::Event;
use shm_layout::stats::{Reason, incomplete};
use std::time::{Duration, Instant};

/// Records read, applied and committed together.
pub const BATCH: usize = 1024;
/// How long it is tried to go on in a further section of a dead process's ring, where what is in the way may pass.
const PATIENCE: Duration = Duration::from_millis(200);
/// Records looked at ahead at a time: enough for a line to come from memory meanwhile, few enough that it is still in the
/// first cache then. Three such blocks are known to the ledger at once.
const AHEAD: usize = 6;

impl Tracked {
    /// Looks whether the producer took something out of the section that is read.
    pub(super) fn prepare_jump(&mut self) {
        self.jump = self.ring.jump(self.applied);
        // Also when an earlier aggregator has gone past it.
        self.half_moved |= self.ring.was_being_compacted();
        if self.half_moved || self.jump.as_ref().is_some_and(|jump| jump.history_lost) {
            self.books.history_lost = true;
            self.books.accounts.iter_mut().for_each(|live| live.lose_detail(incomplete::HISTORY_LOST));
        }
        // Peaks are told against what was there before.
        for (device, memory, _, peak) in self.jump.iter_mut().flat_map(|jump| &mut jump.cells) {
            *peak = peak.saturating_add(self.books.footprint(*device, *memory));
        }
    }

    /// Where the next record is.
    pub(super) fn next(&self) -> u64 {
        self.jump.as_ref().map_or(self.applied, |jump| jump.to)
    }

    /// Brings into the books what vanished unread: with the records after it, which introduce its devices.
    fn land(&mut self, chips: &mut Chips) -> bool {
        let Some(jump) = self.jump.take() else { return false };
        self.books.absorb_vanished(&jump, chips);
        true
    }

    /// Reads and applies at most one batch, by way of `scratch`. Records read.
    pub fn drain(&mut self, chips: &mut Chips, now_unix_ns: u64, scratch: &mut Vec<Event>) -> usize {
        let from = self.next();
        scratch.clear();
        // What is there now, and not what comes meanwhile: at the writer's heels every line would move twice.
        let there = usize::try_from(self.ring.claim(from) - from).unwrap_or(BATCH);
        let to = self.ring.read(from, there.clamp(1, BATCH), scratch);
        if to == from {
            if self.ring.go_on(from) {
                // Nothing was read, so nothing waits to be committed but the jump, which belongs to the section before.
                self.land(chips);
                self.commit(from);
                self.prepare_jump();
                self.ring.set_cursor(from);
                return self.drain(chips, now_unix_ns, scratch);
            }
            let landed = self.land(chips);
            if self.look_at_drops(from, chips) || landed {
                self.commit(from);
            }
            return 0;
        }
        self.tell_times(scratch);
        self.apply_batch(scratch, chips);
        self.land(chips);
        self.last_event_unix_ns = now_unix_ns;
        self.look_at_drops(to, chips);
        self.commit(to);
        // Returned only after the commit: until then a killed aggregator's successor reads them again.
        self.ring.release(from, to);
        self.ring.set_cursor(to);
        scratch.len()
    }

    /// Makes nanoseconds of the times of a ring that stamps with ticks.
    fn tell_times(&mut self, batch: &mut [Event]) {
        if let Some(ticks) = &mut self.ticks {
            ticks.convert(batch);
        }
    }

    /// Applies what was read. The lines of memory that a record will need are asked for some records ahead: first the
    /// index's, and with its help the entry's.
    fn apply_batch(&mut self, batch: &[Event], chips: &mut Chips) {
        let ring = &self.ring;
        let absorbed = Cell::new(self.drops_seen);
        let fault = self.ledger.as_ref().map(Ledger::fault);
        let drops = |books: &mut Books, chips: &mut Chips| {
            if fault.is_some_and(Fault::happened) {
                books.lose_list(chips);
            }
            let dropped = ring.dropped();
            if absorbed.replace(dropped) != dropped {
                absorb(ring, books, chips);
            }
        };
        let small = self.ledger.as_ref().is_none_or(Ledger::is_small);
        let mut ledger = self.ledger.as_mut().map(|ledger| ledger.begin(batch));
        // Block by block: while one is applied, the two behind it are on their way.
        let block = |number: Option<usize>| {
            let from = number.map_or(usize::MAX, |number| number * AHEAD).min(batch.len());
            &batch[from..(from + AHEAD).min(batch.len())]
        };
        for step in 0..batch.len().div_ceil(AHEAD) + 2 {
            if let Some(ledger) = ledger.as_mut().filter(|_| !small) {
                block(Some(step)).iter().for_each(|event| ledger.expect(event));
                block(step.checked_sub(1)).iter().for_each(|event| ledger.expect_entry(event));
            }
            for event in block(step.checked_sub(2)) {
                self.books.apply(event, ledger.as_mut(), chips, &drops);
            }
        }
        self.books.settle(chips);
        if let Some(ledger) = &self.ledger {
            self.books.look_at_residents(ledger);
        }
    }

    /// Writes the books into the ledger as they are now, after somebody has changed them by hand.
    pub fn keep(&mut self) {
        self.commit(self.applied);
    }

    fn commit(&mut self, applied: u64) {
        self.applied = applied;
        if let Some(ledger) = &mut self.ledger {
            ledger.commit(applied, |words| self.books.encode(words));
        }
    }

    /// Where the ring of a process that is dead ends: what was claimed, at most a lap on in each section.
    pub fn end_of_ring(&self) -> u64 {
        self.ring.end(self.next())
    }

    /// Reads on in a dead process's ring, at most one batch, not beyond `end`. Slots that were claimed and never published
    /// are counted. The count if that was all, `None` if there is more.
    pub fn drain_dead(&mut self, end: u64, chips: &mut Chips, scratch: &mut Vec<Event>) -> Option<u64> {
        let from = self.next();
        scratch.clear();
        let here = self.ring.claim(from);
        let until = end.min(here).min(from.saturating_add(BATCH as u64));
        let mut to = from;
        if until > from {
            let (read, found) = self.ring.read_dead(from, until, scratch);
            to = read;
            self.tell_times(scratch);
            self.apply_batch(scratch, chips);
            self.books.counters.torn += found.torn;
        }
        self.land(chips);
        let mut entered = false;
        let mut last = to >= end;
        if !last && to >= here {
            match self.ring.go_on_dead() {
                Ok(true) => entered = true,
                // It claims less than it did when its end was seen.
                Ok(false) => (last, self.unread) = (true, Some((end - to, Reason::Geometry))),
                Err(why)
                    if why.may_pass() && self.tried_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE => {}
                Err(why) => (last, self.unread) = (true, Some((end - to, why.reason()))),
            }
        }
        if last {
            self.absorb_all(chips);
        }
        self.commit(to);
        if entered {
            self.prepare_jump();
        }
        last.then_some(self.books.counters.torn)
    }
}
