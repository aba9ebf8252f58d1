//! One round of reading: those in whose rings something happens take turns, the others rest and are looked at.

use super::{Host, Now};
use crate::refused::Why;
use crate::seats::Ending;
use crate::sigbus;
use crate::tracked::BATCH;
use shm_layout::stats::{Reason, Severity};
use std::time::{Duration, Instant};

/// Reading in one round begins no further batch after this time: what is read is to be seen soon. While somebody floods, an
/// event waits for the rest of one round, and then for a whole one before it is published.
const ROUND: Duration = Duration::from_micros(500);
/// A ring's turn begins no further batch after this time: long enough for its ledger to come into the caches and be used.
const TURN: Duration = Duration::from_micros(200);
/// While the aggregator is awake, every resting ring is looked at within this time for each of them, ...
const LOOK_EVERY_NS_EACH: u64 = 2000;
/// ... but within no less than this: a thousand loads are nothing beside a round with events, ...
const LOOK_EVERY_LEAST_NS: u64 = 2_000_000;
/// ... and within no more than this, however many somebody makes.
const LOOK_EVERY_MOST_NS: u64 = 20_000_000;
/// A ring rests when nothing was found in it for so long: two of the sleeps between looks at rings that do not rest.
const REST_AFTER_NS: u64 = 50_000_000;

impl Host {
    /// Looks at the resting rings whose turn it is; those with something to read rest no more.
    pub fn look_around(&mut self, now: Now) {
        let seats = self.lookout.len();
        let period = (seats as u64 * LOOK_EVERY_NS_EACH).clamp(LOOK_EVERY_LEAST_NS, LOOK_EVERY_MOST_NS);
        let passed = now.monotonic_ns.saturating_sub(self.looked_ns).min(period);
        let due = (seats as u64 * passed / period) as usize;
        if due == 0 && seats > 0 {
            return;
        }
        // What was rounded down is due next time.
        self.looked_ns =
            if passed < period { self.looked_ns + due as u64 * period / seats.max(1) as u64 } else { now.monotonic_ns };
        let mut found = core::mem::take(&mut self.found);
        let start = if self.look_at < seats { self.look_at } else { 0 };
        let end = start + due;
        self.lookout.look(start..end, &mut found);
        self.lookout.look(0..end.saturating_sub(seats), &mut found);
        self.look_at = if end < seats { end } else { end - seats };
        found.drain(..).for_each(|seat| self.rouse(seat, now));
        self.found = found;
    }

    pub(super) fn rouse(&mut self, seat: usize, now: Now) {
        let Some((tracked, state)) = self.seats.get(seat) else { return };
        if core::mem::replace(&mut state.resting, false) {
            state.found_ns = now.monotonic_ns;
            let uid = tracked.owner();
            self.lookout.leave(seat);
            self.turns.join(uid, seat);
        }
    }

    fn rest(&mut self, seat: usize, now: Now) {
        let Some((tracked, state)) = self.seats.get(seat) else { return };
        let changed = tracked.books.rest(now.unix_ns);
        if changed {
            tracked.keep();
        }
        state.resting = true;
        // With no word to copy, its producer looks at its own clock, which is as right and costs only the rare event.
        tracked.ring.set_clock(0);
        // SAFETY: `finish` leaves the lookout before the ring goes to its grave, and the lookout is dropped before the seats.
        let (word, awaited) = unsafe { tracked.awaited() };
        self.lookout.watch(seat, word, awaited);
        if changed {
            self.note_change(seat);
        }
    }

    /// Reads what is there, in turns, for a bounded time. Records read.
    pub fn drain(&mut self, now: Now) -> usize {
        for seat in self.turns.iter() {
            if let Some((tracked, _)) = self.seats.get(seat) {
                tracked.ring.set_clock(now.monotonic_ns);
            }
        }
        let begin = Instant::now();
        let (mut total, mut turn_began) = (0, Duration::ZERO);
        while let Some((uid, seat)) = self.turns.next() {
            let Some((tracked, state)) = self.seats.get(seat) else { continue };
            if let Some(ending) = state.ending {
                self.turns.again(uid, seat);
                self.read_to_end(seat, ending, now);
            } else {
                let mut last = tracked.drain(&mut self.chips, now.unix_ns, &mut self.scratch);
                let mut read = last;
                while last == BATCH && begin.elapsed() < (turn_began + TURN).min(ROUND) {
                    last = tracked.drain(&mut self.chips, now.unix_ns, &mut self.scratch);
                    read += last;
                }
                total += read;
                if read > 0 {
                    state.found_ns = now.monotonic_ns;
                }
                let still = now.monotonic_ns.saturating_sub(state.found_ns) > REST_AFTER_NS;
                if let Some(text) = tracked.take_notice() {
                    let text = format!("PID {} ({}) {text}", tracked.ring.pid, tracked.name);
                    self.lines.add(now.unix_ns, Severity::Warning, tracked.ring.pid, &text);
                }
                let news = read > 0 || tracked.has_news();
                if news {
                    self.note_change(seat);
                }
                match last {
                    BATCH => self.turns.again(uid, seat),
                    0 if still && !news => self.rest(seat, now),
                    _ => self.turns.served(uid, seat),
                }
            }
            turn_began = begin.elapsed();
            if turn_began > ROUND {
                break;
            }
        }
        self.more = self.turns.is_waiting();
        self.turns.end_round();
        self.detach_shrunk(now);
        total
    }

    /// Whether the last [`drain`](Self::drain) left something to read for want of time.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// Whether nothing has happened in any ring for a while.
    pub fn everybody_rests(&self) -> bool {
        self.turns.is_empty()
    }

    fn detach_shrunk(&mut self, now: Now) {
        let faults = sigbus::faults();
        if core::mem::replace(&mut self.faults_seen, faults) == faults {
            return;
        }
        (0..self.seats.places()).for_each(|seat| self.mend_ledger(seat, now));
        let seats = self.seats.iter_mut();
        let shrunk: Vec<_> = seats.filter(|(_, tracked)| tracked.ring.was_shrunk()).map(|(seat, _)| seat).collect();
        for seat in shrunk {
            let Some((tracked, state)) = self.seats.get(seat) else { continue };
            // Zeros are there now: nothing more can be read.
            let ending = Ending { end: 0, how: "shrank its ring under the reader; detached" };
            state.ending = Some(ending);
            self.rejected_total += 1;
            let words = "it was cut short while it was read".to_owned();
            let why = Why { reason: Reason::Shrunk, passing: false, words };
            self.arrivals.refuse(&self.prefix, tracked.file, why, Instant::now(), now.unix_ns);
            self.read_to_end(seat, ending, now);
        }
    }

    /// A ledger whose file was cut short is begun anew.
    pub(super) fn mend_ledger(&mut self, seat: usize, now: Now) {
        let Some((tracked, _)) = self.seats.get(seat) else { return };
        if let Some(text) = tracked.mend_ledger(&mut self.chips) {
            let text = format!("PID {} ({}) {text}", tracked.ring.pid, tracked.name);
            self.lines.add(now.unix_ns, Severity::Error, tracked.ring.pid, &text);
            self.note_change(seat);
        }
    }
}
