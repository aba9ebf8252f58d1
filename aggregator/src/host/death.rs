//! Processes that end: found dead, read to their end, taken out of the figures, and their files removed once that was published.

use super::{Host, Now};
use crate::attach::MOST_DROPS;
use crate::books::Removed;
use crate::lines::bytes_text;
use crate::seats::Ending;
use crate::sheet::add_anomalies;
use crate::wake::Token;
use shm_layout::event::Memory;
use shm_layout::stats::Severity;
use shm_layout::text as words;
use std::time::{Duration, Instant};

/// Of the rings whose pidfd is watched, one sweep looks at one part in this many, and at no fewer than the other.
const SWEEP_PARTS: usize = 32;
const SWEEP_LEAST: usize = 16;
/// Looking for the dead that no pidfd tells of takes no more than this at a time.
const SWEEP: Duration = Duration::from_millis(2);
/// How the line about a process begins to end that was found dead.
const DIED: &str = "died";

impl Host {
    /// These pidfds became readable: their processes are dead. Begins no further one after `at_most`; whoever is left has a
    /// pidfd that stays readable.
    pub fn died(&mut self, tokens: &[Token], at_most: Duration, now: Now) {
        let begin = Instant::now();
        for token in tokens {
            // Stale where the process was found dead by other means meanwhile.
            if let Some(seat) = self.seats.find(*token) {
                self.end(seat, now);
            }
            if begin.elapsed() > at_most {
                break;
            }
        }
    }

    fn end(&mut self, seat: usize, now: Now) -> bool {
        let Some((tracked, state)) = self.seats.get(seat) else { return false };
        if state.ending.is_some() {
            return false;
        }
        let clean = tracked.ring.closed();
        tracked.ring.close_pidfd();
        let ending = Ending { end: tracked.end_of_ring(), how: if clean { "exited" } else { DIED } };
        state.ending = Some(ending);
        // One batch at once: for nearly everybody that is all. A longer rest takes its turns.
        self.rouse(seat, now);
        self.read_to_end(seat, ending, now);
        true
    }

    pub(super) fn read_to_end(&mut self, seat: usize, ending: Ending, now: Now) {
        let Some((tracked, _)) = self.seats.get(seat) else { return };
        match tracked.drain_dead(ending.end, &mut self.chips, &mut self.scratch) {
            Some(torn) => self.finish(seat, ending.how, torn, now),
            None => self.note_change(seat),
        }
    }

    /// Looks for dead processes that no pidfd tells of, and for what else shows in no stamp. True if some were dead.
    pub fn sweep(&mut self, now: Now) -> bool {
        self.arrivals.sweep(&self.prefix);
        let (places, deadline) = (self.seats.places(), Instant::now() + SWEEP);
        let mut some = false;
        for _ in 0..places {
            let seat = self.sweep_unwatched_at % places;
            self.sweep_unwatched_at = seat + 1;
            some |= !self.seats.state(seat).watched && self.look_after(seat, now);
            if Instant::now() > deadline {
                break;
            }
        }
        for _ in 0..(places / SWEEP_PARTS).max(SWEEP_LEAST).min(places) {
            let seat = self.sweep_watched_at % places;
            self.sweep_watched_at = seat + 1;
            some |= self.seats.state(seat).watched && self.look_after(seat, now);
            if Instant::now() > deadline {
                break;
            }
        }
        some
    }

    /// True if the process in this seat was dead.
    fn look_after(&mut self, seat: usize, now: Now) -> bool {
        let Some((tracked, _)) = self.seats.get(seat) else { return false };
        if tracked.ring.owner_is_dead() {
            return self.end(seat, now);
        }
        if tracked.has_drops() || tracked.has_news() {
            // Counted after the last record was read, or sealed after it (by a process that was stopped between its look and the
            // seal): no stamp will tell.
            self.rouse(seat, now);
        }
        // Again, where there was no room for a new one.
        self.mend_ledger(seat, now);
        false
    }

    fn finish(&mut self, seat: usize, how: &str, torn: u64, now: Now) {
        self.lookout.leave(seat);
        let Some(mut tracked) = self.seats.leave(seat) else { return };
        self.turns.leave(tracked.owner(), seat);
        self.sheet.go(seat, &tracked);
        self.full_told = false;
        let (pid, who) = (tracked.ring.pid, format!("PID {} ({})", tracked.ring.pid, tracked.name));
        // From the next snapshot on it counts as gone.
        tracked.set_gone(now.monotonic_ns);
        self.gone.deaths += u64::from(how == DIED);
        let counters = tracked.books.counters;
        self.gone.events = self.gone.events.saturating_add(counters.events);
        self.gone.torn = self.gone.torn.saturating_add(counters.torn);
        // Not less than was shown: where its file was cut short, the ring says 0 now.
        let dropped = tracked.ring.dropped().max(tracked.row().dropped_events_total);
        self.gone.dropped = self.gone.dropped.saturating_add(dropped);
        add_anomalies(&mut self.gone.anomalies, &counters.anomalies);
        let command = words::load(&tracked.row().command_line);
        let (removed, half_moved, unread) = (tracked.end(&mut self.chips), tracked.half_moved, tracked.unread.take());
        self.graves.push_back(tracked);
        let mut text = format!("{who} {how}{}", removed_text(&removed));
        if torn > 0 {
            text += &format!("; {torn} torn records");
        }
        if half_moved {
            text += "; what was unread of its ring is lost: it was making room there";
        }
        let lost = half_moved || unread.is_some();
        if let Some((records, why)) = unread {
            self.gone.torn = self.gone.torn.saturating_add(records.min(MOST_DROPS));
            text += &format!("; {records} records of its ring could not be read");
            tracing::warn!(
                pid,
                records,
                why = why.name(),
                "a further part of a dead process's ring could not be read, and goes with it"
            );
        }
        let held = removed != Removed::default();
        if held && !command.is_empty() {
            // Which script has left that? `tt-alloc leaks` compares the runs of those that ended in good order.
            text += &format!("; command: {command}");
        }
        let severity = if lost || held && how != "exited" { Severity::Warning } else { Severity::Info };
        self.lines.add(now.unix_ns, severity, pid, &text);
    }

    /// Removes files of the dead whose end was published: until then a successor needs them. No further ones after this time.
    /// True if there are more.
    pub fn bury(&mut self, at_most: Duration) -> bool {
        let begin = Instant::now();
        while self.graves_shown > 0
            && let Some(tracked) = self.graves.pop_front()
        {
            self.graves_shown -= 1;
            tracked.bury(&self.prefix);
            if begin.elapsed() > at_most {
                break;
            }
        }
        self.graves_shown > 0
    }

    /// The last [`snapshot`](Self::snapshot) was published.
    pub fn was_shown(&mut self) {
        self.graves_shown = self.graves.len();
    }

    /// Dead processes whose files are still to be removed.
    pub fn graves(&self) -> usize {
        self.graves.len()
    }
}

/// ": removed 5 buffers (15.2 MiB), 8 CBs (2.40 MiB), 4 kernels (204 KiB)", or nothing.
fn removed_text(removed: &Removed) -> String {
    const NOUNS: [Memory; 3] = [Memory::Dram, Memory::Cb, Memory::Kernel];
    let parts: Vec<String> = removed
        .by_noun
        .iter()
        .zip(NOUNS)
        .filter(|((blocks, bytes), _)| *blocks > 0 || *bytes > 0)
        .map(|((blocks, bytes), memory)| {
            let noun = memory.noun();
            let noun = if *blocks == 1 { noun.trim_end_matches('s') } else { noun };
            format!("{blocks} {noun} ({})", bytes_text(*bytes))
        })
        .collect();
    if parts.is_empty() { String::new() } else { format!(": removed {}", parts.join(", ")) }
}
