//! One tracked process: its ring, its ledger, its books.

use crate::attach::{AttachError, AttachedRing, MOST_DROPS};
use crate::books::{Books, Removed};
use crate::chips::{ChipIndex, Chips};
use crate::clock::TickClock;
use crate::ledger::Ledger;
use crate::sections::Jump;
use crate::sigbus::Fault;
use core::cell::Cell;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::event::{Event, MEMORY_KINDS, Memory};
use shm_layout::ledger::{self, Identity as LedgerIdentity, IdentityError as LedgerIdentityError};
use shm_layout::names::{Prefix, ProcessFile, Role};
use shm_layout::procfs;
use shm_layout::ring::{DROP_DEVICES, DropTable};
use shm_layout::segment::SegmentError;
use shm_layout::stats::{Anomalies, Process, Source, State, incomplete};
use shm_layout::text;

/// Records read, applied and committed together.
pub const BATCH: usize = 1024;
/// Records looked at ahead at a time: enough for a line to come from memory meanwhile, few enough that it is still in the
/// first cache then. Three such blocks are known to the ledger at once.
const AHEAD: usize = 6;

/// A process and all that is known of it.
#[derive(Debug)]
pub struct Tracked {
    /// The ring's name, taken apart.
    pub file: ProcessFile,
    /// Its ring.
    pub ring: AttachedRing,
    /// What it holds.
    pub books: Books,
    ledger: Option<Ledger>,
    /// How its times are converted, if they are ticks.
    ticks: Option<TickClock>,
    /// Every record before this one is in the books.
    applied: u64,
    /// What the producer took out of the ring unread, until it is in the books: with the next commit.
    jump: Option<Jump>,
    drops_seen: u64,
    /// Drops are brought into the books once everything written before them is.
    absorb_at: Option<u64>,
    lost_controls_seen: u64,
    /// Some of these were, for good: a device's close may be among them.
    controls_lost: bool,
    /// comm, for event lines.
    pub name: String,
    /// When its last event was read, Unix time in ns; 0 none.
    pub last_event_unix_ns: u64,
    /// Its row as of the last [`refresh`](Self::refresh).
    row: Process,
    /// `drops_seen` as of then.
    drops_shown: u64,
    /// The chips that it had open as of then.
    pub open_chips: Vec<ChipIndex>,
}

/// A process that was attached, and what is to be said about it.
#[derive(Debug)]
pub struct Met {
    /// The process.
    pub tracked: Tracked,
    /// Whether an earlier aggregator's ledger was continued.
    pub continued: bool,
    /// Why there is no ledger file, if there is none.
    pub without_ledger: Option<SegmentError>,
    /// Records that an earlier aggregator read and left no ledger of.
    pub history_lost: u64,
    /// The ledger that was there and is of another version.
    pub unreadable: Option<LedgerIdentityError>,
}

impl Tracked {
    /// Attaches to a ring and continues or begins its ledger.
    ///
    /// # Errors
    /// When the ring is not to be read.
    pub fn meet(prefix: &Prefix, file: ProcessFile, chips: &mut Chips) -> Result<Met, AttachError> {
        let mut ring = AttachedRing::attach(prefix, &file)?;
        let identity = LedgerIdentity {
            magic: 0,
            version: 0,
            endian: 0,
            pid: ring.pid,
            uid: file.uid,
            start_ticks: ring.identity.start_ticks,
            nonce: file.nonce,
            ring_pid: file.pid,
            entry_bytes: 0,
            reserved: [0; 10],
        };
        // Where an earlier consumer was, if the header may be believed: its slots are returned up to there.
        let told = ring.believable_cursor();
        // Not before the producer is kept out: it takes records out of what no ledger has.
        let (name, me) = (file.of_role(Role::Ledger).name(prefix), nix::unistd::geteuid().as_raw());
        ring.turn_to(ledger::applied(&name, &[me, file.uid], file.nonce).ok().flatten().unwrap_or(told))?;
        let (ledger, applied, books, continued, unreadable, without_ledger) =
            match Ledger::open_or_create(prefix, file, identity, told) {
                Ok(found) => {
                    let books = Books::recover(found.state, &found.ledger, chips);
                    (Some(found.ledger), found.applied, books, found.continued, found.unreadable, None)
                }
                Err(error) => (None, told, Books::default(), false, None, Some(error)),
            };
        // The same section, unless the ledger is not fit to be continued.
        ring.turn_to(applied)?;
        ring.release_unreturned(applied);
        ring.set_cursor(applied);
        let pid = ring.pid.to_string();
        let name = procfs::read_bounded(&format!("/proc/{pid}/comm"), 64)
            .map(|comm| text::clean(comm.trim_ascii_end()))
            .unwrap_or_else(|_| text::load(&ring.identity.name));
        let mut command_line = procfs::read_bounded(&format!("/proc/{pid}/cmdline"), 512).unwrap_or_default();
        command_line.iter_mut().filter(|b| **b == 0).for_each(|b| *b = b' ');
        let row = Process {
            pid: ring.pid,
            uid: file.uid,
            state: State::Running as u32,
            source: Source::Ring as u32,
            start_ticks: ring.identity.start_ticks,
            start_unix_ns: start_unix_ns(ring.identity.start_ticks),
            last_event_unix_ns: 0,
            events_total: 0,
            dropped_events_total: 0,
            lag_events: 0,
            nonce: file.nonce,
            ring_pid: file.pid,
            incomplete: 0,
            torn_events_total: 0,
            anomalies: Anomalies::default(),
            name: text::store(name.as_bytes()),
            command_line: text::store(command_line.trim_ascii_end()),
        };
        let mut tracked = Self {
            file,
            ticks: TickClock::of(&ring.identity),
            ring,
            books,
            ledger,
            applied,
            jump: None,
            drops_seen: 0,
            absorb_at: None,
            lost_controls_seen: 0,
            controls_lost: false,
            name,
            last_event_unix_ns: 0,
            row,
            drops_shown: 0,
            open_chips: Vec::new(),
        };
        // One that has ended in good order takes its ledger away itself, when nobody seems to read it.
        let history_lost = if continued || tracked.ring.closed() { 0 } else { told };
        tracked.books.history_lost = history_lost > 0;
        tracked.prepare_jump();
        Ok(Met { tracked, continued, without_ledger, history_lost, unreadable })
    }

    /// Looks whether the producer took something out of the section that is read.
    fn prepare_jump(&mut self) {
        self.jump = self.ring.jump(self.applied);
        if let Some(jump) = &mut self.jump {
            // Peaks are told against what was there before.
            for (device, memory, _, peak) in &mut jump.cells {
                *peak = peak.saturating_add(self.books.footprint(*device, *memory));
            }
            if jump.history_lost {
                self.books.history_lost = true;
                self.books.accounts.iter_mut().for_each(|live| live.lose_detail(incomplete::HISTORY_LOST));
            }
        }
    }

    /// Where the next record is.
    fn next(&self) -> u64 {
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

    fn commit(&mut self, applied: u64) {
        self.applied = applied;
        if let Some(ledger) = &mut self.ledger {
            ledger.commit(applied, |words| self.books.encode(words));
        }
    }

    /// Brings new drops into the books, once `applied` has reached what was written before they were noticed: a device's
    /// close that came before a dropped allocation must not end it. True if the books have changed.
    fn look_at_drops(&mut self, applied: u64, chips: &mut Chips) -> bool {
        if self.absorb_at.is_none() && self.ring.dropped() != self.drops_seen {
            self.absorb_at = Some(self.ring.end(applied));
            self.mark_incomplete();
        }
        if self.absorb_at.is_some_and(|at| applied < at) {
            return false;
        }
        let absorbed = self.absorb_at.is_some();
        if absorbed {
            self.absorb_all(chips);
        }
        let again = !self.controls_lost && self.books.find_complete_again(self.ledger.as_mut(), chips);
        absorbed || again
    }

    /// Accounts of which something was dropped do not wait for its turn to say so.
    fn mark_incomplete(&mut self) {
        let table = self.ring.drops();
        for live in &mut self.books.accounts {
            let Some(memory) = live.memory() else { continue };
            let cell = &table.cells[DropTable::<AtomicU64>::row(live.account.device)][memory as usize];
            // Relaxed: counters that only grow.
            let counted = cell.allocated_blocks.load(Relaxed).saturating_add(cell.freed_blocks.load(Relaxed));
            if counted > live.account.drops_seen[1].saturating_add(live.account.drops_seen[3]) {
                live.lose_detail(incomplete::DROPPED);
            }
        }
    }

    fn absorb_all(&mut self, chips: &mut Chips) {
        self.absorb_at = None;
        let before = core::mem::replace(&mut self.drops_seen, self.ring.dropped());
        if before < MOST_DROPS && self.drops_seen == MOST_DROPS {
            self.books.counters.anomalies.overflow += 1;
        }
        absorb(&self.ring, &mut self.books, chips);
        let lost = self.ring.lost_controls();
        if lost != self.lost_controls_seen {
            // A device's open or close was among them: single allocations can no longer be trusted to be all.
            self.lost_controls_seen = lost;
            self.controls_lost = true;
            self.books.accounts.iter_mut().for_each(|live| live.lose_detail(incomplete::CONTROLS_LOST));
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
        // What it was moving when it died cannot be told from what it had moved, and goes with it.
        if self.ring.was_being_compacted() {
            to = here;
        } else if until > from {
            let (read, found) = self.ring.read_dead(from, until, scratch);
            to = read;
            self.tell_times(scratch);
            self.apply_batch(scratch, chips);
            self.books.counters.torn += found.torn;
        }
        self.land(chips);
        let last = to >= end || to >= here && !self.ring.go_on_dead();
        if last {
            self.absorb_all(chips);
        }
        self.commit(to);
        if !last && to >= here {
            self.prepare_jump();
        }
        last.then_some(self.books.counters.torn)
    }

    /// Begins the ledger anew if its file lost pages: what was listed goes on without entries. What is to be told; nothing while
    /// there is no room for a new one, which is to be tried again.
    pub fn mend_ledger(&mut self, chips: &mut Chips) -> Option<String> {
        let ledger = self.ledger.as_mut().filter(|ledger| ledger.fault().happened())?;
        self.books.lose_list(chips);
        ledger.begin_anew(self.applied, |words| self.books.encode(words)).ok()?;
        Some("lost its ledger, whose file was cut short: what it holds stays in the totals and is not listed; a new one lists what comes".to_owned())
    }

    /// What is to be told of its ledger, once.
    pub fn take_notice(&mut self) -> Option<String> {
        self.ledger.as_mut()?.take_notice()
    }

    /// The end of its books: everything that it held is gone from the chips.
    pub fn end(&mut self, chips: &mut Chips) -> Removed {
        self.books.end(chips)
    }

    /// The end of its files, which takes longer than that of its books: freeing pages is the kernel's work.
    pub fn bury(mut self) {
        // In this order: a ledger without a ring is known for what it is, a ring without its ledger is not.
        self.ring.remove();
        if let Some(ledger) = self.ledger.take() {
            ledger.delete();
        }
    }

    /// When an earlier aggregator took it out of the figures; 0 if none did.
    pub fn gone_ns(&self) -> u64 {
        self.ledger.as_ref().map_or(0, Ledger::gone_ns)
    }

    /// It is taken out of the figures at this moment, for a successor that finds its files; 0: it is not.
    pub fn set_gone(&self, monotonic_ns: u64) {
        if let Some(ledger) = &self.ledger {
            ledger.set_gone(monotonic_ns);
        }
    }

    /// Live allocations with an entry.
    pub fn live_allocations(&self) -> u64 {
        self.ledger.as_ref().map_or(0, |ledger| ledger.len() as u64)
    }

    /// The word in which its next record will show, and what it holds then.
    ///
    /// # Safety
    /// The word is not used after this process's ring was dropped.
    pub unsafe fn awaited(&self) -> (&'static AtomicU64, u64) {
        let (word, holds) = self.ring.awaited(self.next());
        // SAFETY: the word lies in the ring's mapping, which is never moved and lives as long as the ring; that it is not
        // used for longer, the caller promises.
        (unsafe { &*core::ptr::from_ref(word) }, holds)
    }

    /// Whether its row is out of date for another reason than records read: drops, also those that cannot come into the books
    /// yet because a slot before them was claimed and never published.
    pub fn has_news(&self) -> bool {
        self.drops_seen != self.drops_shown
            || self.ring.dropped() != self.row.dropped_events_total
            || self.lag() != self.row.lag_events
            || self.is_at_seal()
    }

    /// Whether everything in its section is read and the next one is there.
    pub fn is_at_seal(&self) -> bool {
        self.ring.is_at_seal(self.next())
    }

    /// Whether the ring has counted drops that are not in the books.
    pub fn has_drops(&self) -> bool {
        self.ring.dropped() != self.drops_seen
    }

    /// Brings its row up to date.
    pub fn refresh(&mut self) {
        self.drops_shown = self.drops_seen;
        self.row.last_event_unix_ns = self.last_event_unix_ns;
        self.row.events_total = self.books.counters.events;
        self.row.dropped_events_total = self.ring.dropped();
        self.row.lag_events = self.lag();
        self.row.torn_events_total = self.books.counters.torn;
        self.row.anomalies = self.books.counters.anomalies;
        self.row.incomplete = self.books.why_incomplete();
    }

    /// Records claimed and not read.
    fn lag(&self) -> u64 {
        self.ring.lag(self.next())
    }

    /// Its row in the snapshot, as of the last [`refresh`](Self::refresh).
    pub fn row(&self) -> &Process {
        &self.row
    }
}

/// Brings every cell of the ring's drop table into the books.
fn absorb(ring: &AttachedRing, books: &mut Books, chips: &mut Chips) {
    let table = ring.drops();
    for device in 0..DROP_DEVICES {
        for memory in 0..MEMORY_KINDS {
            let cell = &table.cells[device][memory];
            // Relaxed: counters that only grow; what is missed now is seen at the next look.
            let now = [
                cell.allocated_bytes.load(Relaxed),
                cell.allocated_blocks.load(Relaxed),
                cell.freed_bytes.load(Relaxed),
                cell.freed_blocks.load(Relaxed),
            ];
            if now != [0; 4]
                && let Some(memory) = Memory::from_u8(memory as u8)
            {
                books.absorb_drops(device as u32, memory, now, chips);
            }
        }
    }
}

/// When a process that started this many clock ticks after boot started, Unix time in ns; 0 if it cannot be told.
fn start_unix_ns(start_ticks: u64) -> u64 {
    let clock = |id| nix::time::clock_gettime(id).ok();
    let (Some(unix), Some(boot)) =
        (clock(nix::time::ClockId::CLOCK_REALTIME), clock(nix::time::ClockId::CLOCK_BOOTTIME))
    else {
        return 0;
    };
    let ns = |t: nix::sys::time::TimeSpec| t.tv_sec() as i128 * 1_000_000_000 + i128::from(t.tv_nsec());
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let start = ns(unix) - ns(boot) + i128::from(start_ticks) * 1_000_000_000 / i128::from(per_second.max(1));
    u64::try_from(start).unwrap_or(0)
}
