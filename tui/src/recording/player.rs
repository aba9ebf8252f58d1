//! A recording while it is played: where one is in it, how fast it goes, and what was seen there.

mod moves;

use super::allocations;
use super::frame::{Header, VERSION, kind};
use super::look::Look;
use super::reader::{Mark, Reader};
use super::recorded_time::RecordedTime;
use super::session::Session;
use super::writer::RecordingError;
use crate::inventory::Inventory;
use crate::source::{Connection, Feed, SourceError};
pub use moves::Move;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Speeds, in quarters of the speed at which it was recorded.
const SPEEDS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// The speed at which it was recorded.
const AS_RECORDED: usize = 2;
/// Looks by their differences behind one whole look, at most: twice what is written at the shortest interval.
const MOST_DELTAS: u64 = 2400;
/// The look that is shown.
#[derive(Clone, Debug)]
struct Shown {
    offset: u64,
    at_ns: u64,
    header: Header,
    session: usize,
    /// What was seen, or why nothing was.
    what: Result<Look, String>,
}

/// A recording that is played.
#[derive(Debug)]
pub struct Player {
    reader: Reader,
    /// Of the recorded time, ns.
    position_ns: u64,
    speed: usize,
    shown: Option<Shown>,
    /// At the frame that was gone past last.
    time: RecordedTime,
    /// The key frame that what follows is based on, and how many deltas have followed it.
    key: Option<Mark>,
    number: u64,
    /// Where the next frame is looked for.
    next: u64,
    /// A frame was not what it should be: nothing is believed up to the next whole look.
    lost: bool,
    /// Frames that were left out for that.
    skipped: BTreeSet<u64>,
    full: Option<(u64, Arc<Inventory>)>,
    inventory: Option<(u64, Arc<Inventory>)>,
}

impl Player {
    /// Opens one, at its beginning.
    ///
    /// # Errors
    /// When it cannot be read, is no recording, or holds nothing.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let reader = Reader::open(path)?;
        let mut player = Self {
            reader,
            position_ns: 0,
            speed: AS_RECORDED,
            shown: None,
            time: RecordedTime::default(),
            key: None,
            number: 0,
            next: 0,
            lost: false,
            skipped: BTreeSet::new(),
            full: None,
            inventory: None,
        };
        player.seek(0).map_err(|error| RecordingError::system(path, error))?;
        Ok(player)
    }

    /// Where it is, of the recorded time, ns.
    pub const fn position_ns(&self) -> u64 {
        self.position_ns
    }

    /// How long it is, ns.
    pub const fn length_ns(&self) -> u64 {
        self.reader.length_ns
    }

    /// Whether nothing comes any more.
    pub const fn is_at_end(&self) -> bool {
        self.position_ns >= self.reader.length_ns
    }

    /// Quarters of the speed at which it was recorded.
    pub fn speed_quarters(&self) -> u64 {
        SPEEDS[self.speed]
    }

    /// Who recorded what is shown.
    pub fn session(&self) -> Option<&Session> {
        self.reader.sessions.get(self.shown.as_ref().map_or(1, |shown| shown.session).checked_sub(1)?)
    }

    /// What is wrong with the file, in words.
    pub fn damage(&self) -> Option<String> {
        let damage = self.reader.damage;
        let mut told = Vec::new();
        if damage.places > 0 {
            told.push(format!("damaged in {} places: {} bytes are left out", damage.places, damage.bytes));
        }
        if !self.skipped.is_empty() {
            let count = self.skipped.len();
            told.push(format!("{count} damaged frames are left out, and what follows each for up to a minute"));
        }
        if damage.torn > 0 {
            told.push(format!("it ends in the middle of a frame: its last {} bytes are left out", damage.torn));
        }
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// Time goes on: so much as it passes here. Whether something else is shown.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pass(&mut self, time: Duration) -> io::Result<bool> {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let ns = ns.saturating_mul(SPEEDS[self.speed]) / 4;
        self.go_on_to(self.position_ns.saturating_add(ns))
    }

    /// Goes to a moment of the recorded time, ns.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn seek(&mut self, to_ns: u64) -> io::Result<()> {
        let to_ns = to_ns.min(self.reader.length_ns);
        let behind = self.reader.looks.partition_point(|mark| mark.at_ns <= to_ns);
        self.begin_at(behind.saturating_sub(1));
        self.position_ns = to_ns;
        self.go_on_to(to_ns)?;
        // Before the first look, or in a damaged place: what comes next.
        while self.shown.is_none() && self.step()? {}
        Ok(())
    }

    /// Goes to the last look up to this Unix time in ns; false: it begins later.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn seek_unix(&mut self, unix_ns: u64) -> io::Result<bool> {
        // Clocks are set: the marks need not be in order.
        let Some(at) = self.reader.looks.iter().rposition(|mark| mark.header.unix_ns <= unix_ns) else {
            self.seek(0)?;
            return Ok(false);
        };
        self.begin_at(at);
        self.position_ns = self.reader.looks[at].at_ns;
        self.step()?;
        while let Some((offset, header, mark)) = self.peek()? {
            if header.unix_ns > unix_ns || mark.is_some() {
                break;
            }
            self.take(offset, header, mark)?;
        }
        self.position_ns = self.shown.as_ref().map_or(self.position_ns, |shown| shown.at_ns);
        Ok(true)
    }

    fn begin_at(&mut self, mark: usize) {
        let mark = self.reader.looks.get(mark);
        self.next = mark.map_or(u64::MAX, |mark| mark.offset);
        self.time = mark.map_or_else(RecordedTime::default, |mark| self.reader.time_at(mark));
        (self.shown, self.key, self.number, self.lost) = (None, None, 0, false);
    }

    fn go_on_to(&mut self, to_ns: u64) -> io::Result<bool> {
        let to_ns = to_ns.min(self.reader.length_ns);
        let mut changed = false;
        // What lies before the last whole look on the way is not shown.
        let behind = self.reader.looks.partition_point(|mark| mark.at_ns <= to_ns);
        let last = behind.checked_sub(1).map_or(0, |at| self.reader.looks[at].offset);
        if last > self.next {
            (self.next, self.lost) = (last, true);
        }
        while let Some((offset, header, mark)) = self.peek()? {
            if self.at_ns(&header, mark.as_ref()) > to_ns {
                break;
            }
            changed |= self.take(offset, header, mark)?;
        }
        self.position_ns = to_ns;
        Ok(changed)
    }

    /// The recorded time of a frame that may come next.
    fn at_ns(&self, header: &Header, mark: Option<&Mark>) -> u64 {
        mark.map_or_else(|| self.time.at_ns(header.monotonic_ns), |mark| mark.at_ns)
    }

    /// The next frame that may be a look, and its mark if it is a whole one.
    fn peek(&mut self) -> io::Result<Option<(u64, Header, Option<Mark>)>> {
        while let Some((offset, header)) = self.reader.next(self.next)? {
            let is_look = matches!(header.kind, kind::KEY | kind::DELTA | kind::ABSENCE);
            if is_look && header.version <= VERSION {
                let looks = &self.reader.looks;
                let mark = looks.binary_search_by_key(&offset, |mark| mark.offset).ok().map(|at| looks[at]);
                self.next = offset;
                return Ok(Some((offset, header, mark)));
            }
            if is_look {
                self.time.pass(header.monotonic_ns);
            }
            self.next = header.end(offset);
        }
        Ok(None)
    }

    /// Shows the next look that can be shown. False: there is none.
    fn step(&mut self) -> io::Result<bool> {
        while let Some((offset, header, mark)) = self.peek()? {
            if self.take(offset, header, mark)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes past this frame, and shows it if it can be shown.
    fn take(&mut self, offset: u64, header: Header, mark: Option<Mark>) -> io::Result<bool> {
        self.next = header.end(offset);
        let at_ns = self.at_ns(&header, mark.as_ref());
        self.time.pass(header.monotonic_ns);
        if let Some(mark) = &mark {
            self.time = self.reader.time_at(mark);
        }
        if self.lost && mark.is_none() {
            return Ok(false);
        }
        let session = mark.or(self.key).map_or(0, |mark| mark.session);
        let content = self.reader.content(offset, &header)?.filter(|_| mark.is_some() || self.number < MOST_DELTAS);
        let what = content.and_then(|content| self.look(&content, &header));
        let Some(what) = what else {
            self.lost = true;
            // Played twice it is no second one.
            self.skipped.insert(offset);
            return Ok(false);
        };
        self.lost = false;
        (self.key, self.number) = if mark.is_some() { (mark, 0) } else { (self.key, self.number + 1) };
        self.shown = Some(Shown { offset, at_ns, header, session, what });
        Ok(true)
    }

    /// What this frame shows; `None`: it is not what it should be.
    fn look(&mut self, content: &[u8], header: &Header) -> Option<Result<Look, String>> {
        let (now_ns, unix_ns) = (header.monotonic_ns, header.unix_ns);
        match header.kind {
            kind::KEY => Look::of_key(content, now_ns, unix_ns).ok().map(Ok),
            kind::DELTA => {
                let before = self.shown.as_ref()?.what.as_ref().ok()?.clone();
                before.of_delta(content, self.number + 1, now_ns, unix_ns).ok().map(Ok)
            }
            _ => Some(Err(shm_layout::text::clean(&content[..content.len().min(1024)]))),
        }
    }

    /// What was seen at the moment that is shown.
    pub fn feed(&self) -> Feed {
        match self.shown.as_ref().map(|shown| &shown.what) {
            Some(Ok(look)) => Feed { connection: look.connection(), seen: Some(look.seen.clone()) },
            Some(Err(why)) => nothing(format!("when this was recorded: {why}")),
            None => nothing("nothing of this recording is whole".to_owned()),
        }
    }

    /// The moment that is shown, Unix time in ns.
    pub fn unix_ns(&self) -> u64 {
        self.shown.as_ref().map_or(0, |shown| shown.header.unix_ns)
    }

    /// Names of the users whose processes are shown.
    pub fn names(&self) -> &[(u32, String)] {
        self.shown.as_ref().and_then(|shown| shown.what.as_ref().ok()).map_or(&[], |look| &look.names)
    }

    /// The single allocations that were recorded last before the moment that is shown; none of another session.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn inventory(&mut self) -> io::Result<Option<Arc<Inventory>>> {
        let Some(shown) = &self.shown else { return Ok(None) };
        let (session, at_ns) = (shown.session, shown.at_ns.max(self.position_ns));
        let marks = &self.reader.inventories;
        let behind = marks.partition_point(|mark| mark.at_ns <= at_ns);
        let Some(mark) = marks[..behind].last().copied().filter(|mark| mark.session == session) else {
            return Ok(None);
        };
        if self.inventory.as_ref().is_none_or(|(offset, _)| *offset != mark.offset) {
            let read = self.read_inventory(&mark, behind - 1)?;
            // One that is damaged is not tried again and again: the one before stays out, too.
            self.inventory = Some((mark.offset, read.unwrap_or_else(|| Arc::new(unreadable()))));
        }
        Ok(self.inventory.as_ref().map(|(_, inventory)| Arc::clone(inventory)))
    }

    fn read_inventory(&mut self, mark: &Mark, at: usize) -> io::Result<Option<Arc<Inventory>>> {
        let Some(content) = self.reader.content(mark.offset, &mark.header)? else { return Ok(None) };
        if mark.header.version > VERSION {
            return Ok(None);
        }
        let Ok(serial) = allocations::serial(&content) else { return Ok(None) };
        if mark.header.kind == kind::INVENTORY {
            let read = allocations::take(&content, None).ok().map(Arc::new);
            self.full = read.clone().map(|read| (serial, read));
            return Ok(read);
        }
        if self.full.as_ref().is_none_or(|(held, _)| *held != serial) {
            self.full = None;
            let before =
                self.reader.inventories[..at].iter().rfind(|mark| mark.header.kind == kind::INVENTORY).copied();
            let Some(before) = before else { return Ok(None) };
            let Some(full) = self.reader.content(before.offset, &before.header)? else { return Ok(None) };
            if allocations::serial(&full) != Ok(serial) {
                return Ok(None);
            }
            self.full = allocations::take(&full, None).ok().map(|full| (serial, Arc::new(full)));
        }
        let full = self.full.as_ref().map(|(_, full)| full);
        Ok(full.and_then(|full| allocations::take(&content, Some(full)).ok()).map(Arc::new))
    }
}

fn nothing(why: String) -> Feed {
    Feed { connection: Connection::Unavailable(SourceError::Recorded { why }), seen: None }
}

fn unreadable() -> Inventory {
    Inventory { missing: vec!["the single allocations of this moment are damaged".to_owned()], ..Inventory::default() }
}
