//! One tracked process: its ring, its ledger, its books.

mod dropped;
mod reading;

pub use reading::BATCH;

use self::dropped::Noticed;
use crate::attach::{AttachError, AttachedRing};
use crate::books::{Books, Removed};
use crate::boot::start_unix_ns;
use crate::chips::{ChipIndex, Chips};
use crate::clock::TickClock;
use crate::ledger::Ledger;
use crate::person::{Person, command_line_of, name_of};
use crate::sections::Jump;
use core::sync::atomic::AtomicU64;
use shm_layout::ledger::{self, Identity as LedgerIdentity, IdentityError as LedgerIdentityError};
use shm_layout::leftover;
use shm_layout::names::{Prefix, ProcessFile, Role};
use shm_layout::segment::SegmentError;
use shm_layout::stats::{Process, Reason, Source};
use shm_layout::text;
use std::time::Instant;

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
    /// It was killed while it was moving records: what was unread in that section is lost.
    pub half_moved: bool,
    /// It is dead, and so many records that it claims could not be read; why.
    pub unread: Option<(u64, Reason)>,
    /// Since when it has been tried to read on.
    tried_since: Option<Instant>,
    drops_seen: u64,
    /// Drops that were noticed: they come into the books once everything written before them is there.
    noticed: Option<Noticed>,
    /// Drops up to which accounts that they concern are marked.
    marked: u64,
    lost_controls_seen: u64,
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
    /// Continues or begins the ledger of an attached ring.
    ///
    /// # Errors
    /// When the ring is not to be read after all.
    pub fn meet(
        prefix: &Prefix,
        file: ProcessFile,
        mut ring: AttachedRing,
        chips: &mut Chips,
    ) -> Result<Met, AttachError> {
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
        let person = Person {
            pid: ring.pid,
            uid: ring.client_uid(),
            start_ticks: ring.identity.start_ticks,
            start_unix_ns: start_unix_ns(ring.identity.start_ticks),
            name: name_of(ring.pid).unwrap_or_else(|| text::load(&ring.identity.name)),
            command_line: command_line_of(ring.pid),
        };
        let source = if ring.is_proxy() { Source::Socket } else { Source::Ring };
        let row = Process { nonce: file.nonce, ring_pid: file.pid, ..person.row(source) };
        let mut tracked = Self {
            file,
            ticks: TickClock::of(&ring.identity),
            ring,
            books,
            ledger,
            applied,
            jump: None,
            half_moved: false,
            unread: None,
            tried_since: None,
            drops_seen: 0,
            noticed: None,
            marked: 0,
            lost_controls_seen: 0,
            name: person.name,
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

    /// The user whose process it is: of one that speaks to the socket not the user of its ring's file, which is the aggregator's.
    pub fn owner(&self) -> u32 {
        self.ring.client_uid()
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
    pub fn bury(mut self, prefix: &Prefix) {
        // First of all: what is left of a ring is seen to, by whoever comes next.
        leftover::remove_stacks(prefix, &self.file);
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
