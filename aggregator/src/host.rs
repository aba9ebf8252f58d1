//! The whole host: every tracked process, every chip, and what is told about them.
//!
//! A process in whose ring nothing happens *rests*: it has no clock word to be kept (its producer then uses its own clock),
//! and a look at it is one load in the [`Lookout`]. The others take turns, one batch each, within a bounded time.

use crate::arrivals::Arrivals;
use crate::attach::AttachError;
use crate::books::Removed;
use crate::chips::Chips;
use crate::descriptors::Places;
use crate::heritage::Heritage;
use crate::lines::{Lines, bytes_text};
use crate::lookout::Lookout;
use crate::refusals::{Refusals, Telling};
use crate::refused::Why;
use crate::seats::{Ending, Seats};
use crate::sheet::{Sheet, add_anomalies};
use crate::sigbus;
use crate::succession::Succession;
use crate::tracked::{BATCH, Met, Tracked};
use crate::turns::Turns;
use crate::wake::{Token, Wake};
use shm_layout::event::{Event, Memory};
use shm_layout::leftover::{self, Fate};
use shm_layout::names::{Prefix, ProcessFile};
use shm_layout::procfs;
use shm_layout::segment::{SegmentError, remove_if_same};
use shm_layout::stats::{Gone, Health, Parts, Reason, Severity};
use std::collections::VecDeque;
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
/// Of the rings whose pidfd is watched, one sweep looks at one part in this many, and at no fewer than the other.
const SWEEP_PARTS: usize = 32;
const SWEEP_LEAST: usize = 16;
/// Looking for the dead that no pidfd tells of takes no more than this at a time.
const SWEEP: Duration = Duration::from_millis(2);

/// Both clocks of one moment, ns.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// `CLOCK_MONOTONIC`.
    pub monotonic_ns: u64,
    /// `CLOCK_REALTIME`.
    pub unix_ns: u64,
}

impl Now {
    /// This moment.
    pub fn read() -> Self {
        let ns = |id| {
            let time = nix::time::clock_gettime(id).unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
            u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
        };
        Self { monotonic_ns: ns(nix::time::ClockId::CLOCK_MONOTONIC), unix_ns: ns(nix::time::ClockId::CLOCK_REALTIME) }
    }
}

/// How the line about a process begins to end that was found dead.
const DIED: &str = "died";
/// How the line about a predecessor begins.
const TAKEN_OVER: &str = "this aggregator continues ";

/// The host.
#[derive(Debug)]
pub struct Host {
    prefix: Prefix,
    /// The aggregator's own.
    uid: u32,
    places: Places,
    /// Resting rings' next stamps. Before `seats`: it is dropped first.
    lookout: Lookout<'static>,
    /// The seat that is looked at next, and when the last look was.
    look_at: usize,
    looked_ns: u64,
    found: Vec<usize>,
    seats: Seats,
    turns: Turns<usize>,
    sheet: Sheet,
    chips: Chips,
    lines: Lines,
    health: Health,
    arrivals: Arrivals,
    /// Dead processes that are in no figure any more, whose files are still to be removed.
    graves: VecDeque<Box<Tracked>>,
    /// Of these, so many are in no published figure, either: the first ones.
    graves_shown: usize,
    succession: Succession,
    scratch: Vec<Event>,
    /// Where the two sweeps go on.
    sweep_unwatched_at: usize,
    sweep_watched_at: usize,
    faults_seen: usize,
    /// The last round of turns was cut short.
    more: bool,
    /// That there is no room for more was told.
    full_told: bool,
    rejected_total: u64,
    refusals: Refusals,
    /// So that the host's counters never run backwards.
    gone: Gone,
}

impl Host {
    /// Nobody yet.
    pub fn new(prefix: Prefix, places: Places) -> Self {
        Self {
            prefix,
            uid: nix::unistd::geteuid().as_raw(),
            places,
            lookout: Lookout::default(),
            look_at: 0,
            looked_ns: 0,
            found: Vec::new(),
            seats: Seats::default(),
            turns: Turns::default(),
            sheet: Sheet::default(),
            chips: Chips::default(),
            lines: Lines::default(),
            health: Health::default(),
            arrivals: Arrivals::default(),
            graves: VecDeque::new(),
            graves_shown: 0,
            succession: Succession::default(),
            scratch: Vec::with_capacity(BATCH),
            sweep_unwatched_at: 0,
            sweep_watched_at: 0,
            faults_seen: sigbus::faults(),
            more: false,
            full_told: false,
            rejected_total: 0,
            refusals: Refusals::new(Instant::now()),
            gone: Gone::default(),
        }
    }

    /// Takes over what an earlier aggregator published, before anybody is met.
    pub fn inherit(&mut self, heritage: &Heritage, now: Now) {
        let Heritage { snapshot, gone, pid, ended, .. } = heritage;
        self.chips.inherit(&snapshot.chips);
        self.lines.inherit(&snapshot.lines);
        self.gone = *gone;
        self.rejected_total = snapshot.health.rejected_rings_total;
        self.succession = Succession::of(heritage);
        // Of those that were replaced one by one and had nothing else to say, the last is told.
        self.lines.retract(TAKEN_OVER);
        let how = if *ended { "ended in good order" } else { "was killed" };
        let text = format!("{TAKEN_OVER}the figures of process {pid}, which {how}");
        self.lines.add(now.unix_ns, Severity::Info, *pid, &text);
    }

    /// Of a predecessor's processes, those whose rings are gone: they ended while no aggregator ran.
    pub fn miss(&mut self, now: Now) {
        if self.succession.awaited().next().is_none() {
            return;
        }
        let there = procfs::process_files(&self.prefix);
        let missing: Vec<ProcessFile> = self.succession.awaited().filter(|file| !there.contains(file)).collect();
        for file in missing {
            self.give_up(&file, false, now, "ended while no aggregator ran");
        }
    }

    fn give_up(&mut self, file: &ProcessFile, ring_is_there: bool, now: Now, what: &str) {
        if let Some(missing) = self.succession.give_up(file, ring_is_there, &mut self.chips, &mut self.gone) {
            let text = format!("PID {} ({}) {what}", missing.pid, missing.name);
            self.lines.add(now.unix_ns, Severity::Info, missing.pid, &text);
        }
    }

    /// What a successor needs to know of those who are gone.
    pub const fn gone(&self) -> Gone {
        self.gone
    }

    /// These rings are there. Those that are not tracked yet will be met by [`welcome`](Self::welcome).
    pub fn announce(&mut self, files: impl IntoIterator<Item = ProcessFile>) {
        for file in files {
            // Root reads everybody's rings, others their own.
            let ours = self.uid == 0 || file.uid == self.uid;
            if ours && !self.seats.contains(&file) && !self.graves.iter().any(|grave| grave.file == file) {
                self.arrivals.announce(file);
            }
        }
    }

    /// Attaches to rings whose turn it is; no further one after this time. Rings attached.
    pub fn welcome(&mut self, wake: &Wake, at_most: Duration, now: Now) -> usize {
        let (begin, before) = (Instant::now(), self.seats.len());
        while let Some(file) = self.arrivals.next(begin) {
            match self.meet(file) {
                Ok(met) => self.take_in(met, wake, now),
                Err(error) => self.turn_away(file, &error, now),
            }
            if begin.elapsed() > at_most {
                break;
            }
        }
        self.seats.len().saturating_sub(before)
    }

    /// When the next ring is to be met; `None` if none waits.
    pub fn welcome_due(&self) -> Option<Instant> {
        self.arrivals.due()
    }

    fn meet(&mut self, file: ProcessFile) -> Result<Met, AttachError> {
        let limit = if self.uid == 0 && file.uid != 0 { self.places.of_one_user } else { self.places.all };
        if self.seats.len() + self.graves.len() >= self.places.all || self.seats.len_of(file.uid) >= limit {
            return Err(AttachError::Full { name: file.name(&self.prefix) });
        }
        Tracked::meet(&self.prefix, file, &mut self.chips)
    }

    fn turn_away(&mut self, file: ProcessFile, error: &AttachError, now: Now) {
        let moment = Instant::now();
        if matches!(error, AttachError::Segment(SegmentError::NotFound { .. })) {
            return self.arrivals.forget(&file);
        }
        if error.is_not_ready() {
            // Its process may have been killed while it made it: nobody else removes it while an aggregator runs.
            let fate = leftover::fate(&self.prefix, &file);
            if let Ok(Fate::Leftover { inode }) = fate
                && remove_if_same(&file.name(&self.prefix), inode)
            {
                return self.arrivals.forget(&file);
            }
            if self.arrivals.wait(file, moment) {
                return;
            }
        }
        let why = Why::of(error, &file.name(&self.prefix));
        if !self.arrivals.refuse(&self.prefix, file, why, moment, now.unix_ns) {
            // Told before.
            return;
        }
        let text = format!("ring refused: {error}");
        if self.lines.has(&text) {
            // By an earlier aggregator, which counted it.
            return;
        }
        self.rejected_total += 1;
        if matches!(error, AttachError::Full { .. }) {
            if !core::mem::replace(&mut self.full_told, true) {
                let Places { open_files, .. } = self.places;
                let text = format!(
                    "{} processes are tracked, and there is no room for more: raise the limit on open files (ulimit -n, now {open_files})",
                    self.seats.len()
                );
                self.lines.add(now.unix_ns, Severity::Error, file.pid, &text);
            }
            return;
        }
        let text = match self.refusals.tell(file.uid, moment) {
            Telling::Line => text,
            Telling::Last => "further refused rings are counted only, for a minute".to_owned(),
            Telling::Nothing => return,
        };
        self.lines.add(now.unix_ns, Severity::Warning, file.pid, &text);
    }

    fn take_in(&mut self, met: Met, wake: &Wake, now: Now) {
        let Met { mut tracked, continued, without_ledger, history_lost, unreadable } = met;
        let (file, pid) = (tracked.file, tracked.ring.pid);
        self.arrivals.forget(&file);
        let who = format!("PID {pid} ({})", tracked.name);
        if continued && self.succession.was_counted(tracked.gone_ns()) {
            // Its end was published, and whoever did it was killed before the files were removed.
            tracked.books.accounts.iter().for_each(|live| self.succession.forget(live, &mut self.chips));
            self.graves.push_front(Box::new(tracked));
            self.graves_shown += 1;
            return;
        }
        tracked.set_gone(0);
        let known =
            if continued { self.succession.meet(&file, &tracked.books.accounts, &mut self.chips) } else { None };
        tracked.last_event_unix_ns = known.unwrap_or(0);
        for live in &tracked.books.accounts {
            // So that the next allocation makes the right peak: what is live is summed up only when it is published.
            let Some(memory) = live.memory() else { continue };
            let figures = self.chips.figures(live.chip, memory);
            figures.footprint_bytes = figures.footprint_bytes.saturating_add(live.footprint());
            figures.peak_footprint_bytes = figures.peak_footprint_bytes.max(figures.footprint_bytes);
        }
        if known.is_none() {
            let what = if continued { "is tracked again: its ledger is continued" } else { "is tracked" };
            self.lines.add(now.unix_ns, Severity::Info, pid, &format!("{who} {what}"));
        }
        if !continued {
            self.give_up(&file, true, now, "is not continued: its ledger is lost");
        }
        if let Some(error) = unreadable {
            let text = format!("{who}: its ledger was begun anew, what it held before is not known: {error}");
            self.lines.add(now.unix_ns, Severity::Error, pid, &text);
        }
        if let Some(error) = without_ledger {
            let text = format!("{who} has no ledger, single allocations are not listed: {error}");
            self.lines.add(now.unix_ns, Severity::Error, pid, &text);
        }
        if history_lost > 0 {
            let text = format!("{who}: {history_lost} records were read by an aggregator that left no ledger");
            self.lines.add(now.unix_ns, Severity::Error, pid, &text);
        }
        let seat = self.seats.sit(Box::new(tracked), now.monotonic_ns);
        self.sheet.come();
        self.turns.join(file.uid, seat);
        self.note_change(seat);
        let token = self.seats.token(seat);
        if let Some((tracked, state)) = self.seats.get(seat)
            && let Some(pidfd) = tracked.ring.pidfd()
        {
            match wake.watch(token, pidfd) {
                Ok(()) => state.watched = true,
                Err(errno) => tracing::warn!(%errno, pid, "its death will be noticed by the sweep only"),
            }
        }
    }

    fn note_change(&mut self, seat: usize) {
        if let Some((_, state)) = self.seats.get(seat)
            && !core::mem::replace(&mut state.changed, true)
        {
            self.sheet.change(seat);
        }
    }

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

    fn rouse(&mut self, seat: usize, now: Now) {
        let Some((tracked, state)) = self.seats.get(seat) else { return };
        if core::mem::replace(&mut state.resting, false) {
            state.found_ns = now.monotonic_ns;
            let uid = tracked.file.uid;
            self.lookout.leave(seat);
            self.turns.join(uid, seat);
        }
    }

    fn rest(&mut self, seat: usize) {
        let Some((tracked, state)) = self.seats.get(seat) else { return };
        state.resting = true;
        // With no word to copy, its producer looks at its own clock, which is as right and costs only the rare event.
        tracked.ring.set_clock(0);
        // SAFETY: `finish` leaves the lookout before the ring goes to its grave, and the lookout is dropped before the seats.
        let (word, awaited) = unsafe { tracked.awaited() };
        self.lookout.watch(seat, word, awaited);
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
                    0 if still && !news => self.rest(seat),
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
    fn mend_ledger(&mut self, seat: usize, now: Now) {
        let Some((tracked, _)) = self.seats.get(seat) else { return };
        if let Some(text) = tracked.mend_ledger(&mut self.chips) {
            let text = format!("PID {} ({}) {text}", tracked.ring.pid, tracked.name);
            self.lines.add(now.unix_ns, Severity::Error, tracked.ring.pid, &text);
            self.note_change(seat);
        }
    }

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

    fn read_to_end(&mut self, seat: usize, ending: Ending, now: Now) {
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
            if !self.seats.state(seat).watched && self.look_after(seat, now) {
                some = true;
            } else if Instant::now() > deadline {
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
        self.turns.leave(tracked.file.uid, seat);
        self.sheet.go(seat, &tracked);
        self.full_told = false;
        let (pid, who) = (tracked.ring.pid, format!("PID {} ({})", tracked.ring.pid, tracked.name));
        // From the next snapshot on it counts as gone.
        tracked.set_gone(now.monotonic_ns);
        self.gone.deaths += u64::from(how == DIED);
        let counters = tracked.books.counters;
        self.gone.events = self.gone.events.saturating_add(counters.events);
        self.gone.torn = self.gone.torn.saturating_add(counters.torn);
        self.gone.dropped = self.gone.dropped.saturating_add(tracked.ring.dropped());
        add_anomalies(&mut self.gone.anomalies, &counters.anomalies);
        let removed = tracked.end(&mut self.chips);
        self.graves.push_back(tracked);
        let mut text = format!("{who} {how}{}", removed_text(&removed));
        if torn > 0 {
            text += &format!("; {torn} torn records");
        }
        let held = removed != Removed::default();
        let severity = if held && how != "exited" { Severity::Warning } else { Severity::Info };
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
            tracked.bury();
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

    /// Processes tracked.
    pub fn process_count(&self) -> usize {
        self.seats.len()
    }

    /// The chips as of the last [`snapshot`](Self::snapshot).
    pub fn chips(&self) -> &Chips {
        &self.chips
    }

    /// Whether something happened in some process since the last [`snapshot`](Self::snapshot).
    pub fn has_news(&self) -> bool {
        self.sheet.is_behind() || self.arrivals.refused.has_news()
    }

    /// This moment, for everybody to see.
    pub fn snapshot(&mut self, now: Now, cpu_ns: u64, generation: u64) -> Parts<'_> {
        self.sheet.bring_up(&mut self.seats, &self.chips);
        self.sheet.sum_chips(&mut self.chips);
        for (pid, text) in self.sheet.news(now.monotonic_ns) {
            // An earlier aggregator may have said it.
            if !self.lines.has(&text) {
                self.lines.add(now.unix_ns, Severity::Warning, pid, &text);
            }
        }
        self.health = Health {
            monotonic_ns: now.monotonic_ns,
            unix_ns: now.unix_ns,
            generation,
            rejected_rings_total: self.rejected_total,
            events_total: self.gone.events,
            dropped_events_total: self.gone.dropped,
            torn_events_total: self.gone.torn,
            cpu_ns,
            deaths_total: self.gone.deaths,
            places: self.places.all as u64,
            open_files_limit: self.places.open_files,
            refused_rings: self.arrivals.refused.len() as u64,
            hidden_refusals: (self.arrivals.refused.len() - self.arrivals.refused.rows().len()) as u64,
            anomalies: self.gone.anomalies,
            ..Health::default()
        };
        self.sheet.add_to(&mut self.health);
        let (events, dropped) = self.succession.owing();
        self.health.events_total = self.health.events_total.saturating_add(events);
        self.health.dropped_events_total = self.health.dropped_events_total.saturating_add(dropped);
        self.succession.lift(&mut self.health.torn_events_total, &mut self.health.anomalies);
        Parts {
            health: &self.health,
            chips: self.chips.all(),
            processes: self.sheet.processes(),
            rows: self.sheet.rows(),
            lines: self.lines.as_slices(),
            refusals: self.arrivals.refused.rows(),
        }
    }
}

/// Whoever is dead leaves nothing behind.
impl Drop for Host {
    fn drop(&mut self) {
        self.bury(Duration::MAX);
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
