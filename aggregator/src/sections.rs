//! Finding one's way through the sections of a ring: which one is read, where it ends, what compaction has done to it.
//!
//! What the header says of sections is the word of another process: every figure is copied once, checked against the file, and
//! used from the copy.

use crate::attach::{AttachError, AttachedRing, MOST_DROPS, MOST_SLOTS};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use shm_layout::event::{Event, MEMORY_KINDS, Memory};
use shm_layout::locks::{self, Lock};
use shm_layout::ring::{
    Consumer, DROP_DEVICES, Drained, FIRST_SECTION_OFFSET, SECTIONS, Section, Slot, VanishedTable, records_offset,
    section_end,
};

/// Numbers of records that a ring may reach: what is above is no number but an attack or a fault.
const MOST_RECORDS: u64 = 1 << 61;

/// The section that is read.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    number: usize,
    /// Number in the ring of its record 0.
    base: u64,
    /// Where it begins in the file, bytes.
    offset: usize,
    slots: u64,
    /// Whether its lock is ours.
    locked: bool,
}

impl Place {
    /// The first section of a ring whose header says that it has so many slots.
    pub const fn first(slots: u64) -> Self {
        Self { number: 0, base: 0, offset: FIRST_SECTION_OFFSET, slots, locked: false }
    }
}

/// What the producer took out of a section unread, and where to go on.
#[derive(Clone, Debug, Default)]
pub struct Jump {
    /// Number in the ring of the next record.
    pub to: u64,
    /// Records that vanished.
    pub records: u64,
    /// Of these, frees of what nobody had announced.
    pub unknown_frees: u64,
    /// By device and memory kind: footprint that came and went, and the highest that stood above what was there before.
    pub cells: Vec<(u32, Memory, u64, u64)>,
    /// What was missed is not known: it was read up to somewhere else than where this begins, or records were being moved.
    pub history_lost: bool,
}

impl AttachedRing {
    fn section(&self, number: usize) -> &Section<AtomicU64> {
        &self.header().sections[number]
    }

    /// Sections that are there, says the header.
    fn section_count(&self) -> usize {
        // SYNC(ring.sections): their sizes are there; pairs with the Release in the producer's growth.rs `grow`.
        usize::try_from(self.header().section_count.load(Acquire)).unwrap_or(SECTIONS).clamp(1, SECTIONS)
    }

    /// Records claimed in a section, if that can be: at most a lap beyond `read`.
    fn claimed(&self, number: usize, read: u64, slots: u64) -> u64 {
        self.section(number).claimed().clamp(read, read.saturating_add(slots))
    }

    /// As [`after`](Self::after), once it is certain where that begins.
    fn after_seal(&self, place: &Place) -> Option<Place> {
        self.section(place.number).sealed_at().and_then(|_| self.after(place))
    }

    /// The place after this one, if there is one. Before this one is sealed, it may come to begin later.
    fn after(&self, place: &Place) -> Option<Place> {
        let number = place.number + 1;
        if number >= self.section_count() {
            return None;
        }
        let claimed = self.section(place.number).claimed();
        // Relaxed: ordered by the count.
        let slots = self.section(number).slots.load(Relaxed);
        // The sum too: each may be a number and all of them together none.
        let base = place.base.checked_add(claimed).filter(|base| *base < MOST_RECORDS)?;
        let sound = slots.is_power_of_two() && (64..=MOST_SLOTS).contains(&slots);
        let offset = section_end(place.offset, place.slots)?;
        sound.then_some(Place { number, base, offset, slots, locked: false })
    }

    /// Goes to the section in which record `applied` lies, and takes its lock.
    ///
    /// # Errors
    /// [`AttachError::Compacting`] when the producer is at work in it; others when the sections cannot be as they say.
    pub fn turn_to(&mut self, applied: u64) -> Result<(), AttachError> {
        let mut place = Place::first(self.identity.slots);
        while let Some(next) = self.after_seal(&place) {
            if applied < next.base {
                break;
            }
            place = next;
        }
        if place.number == self.place.number && self.place.locked {
            return Ok(());
        }
        if self.enter(place)? { Ok(()) } else { Err(AttachError::Compacting { name: self.name().to_owned() }) }
    }

    /// Goes on to the next section, if this one is sealed and `applied` is its end. True if it did.
    pub fn go_on(&mut self, applied: u64) -> bool {
        // What cannot be entered now is tried again at the next look, and shows as lag until then.
        self.is_at_seal(applied) && self.after(&self.place).is_some_and(|next| self.enter(next).unwrap_or(false))
    }

    /// As [`go_on`](Self::go_on) in the ring of a dead process, which may not have come to sealing it.
    ///
    /// # Errors
    /// When there is a next section, and it cannot be read.
    pub fn go_on_dead(&mut self) -> Result<bool, AttachError> {
        let Some(next) = self.after(&self.place) else { return Ok(false) };
        let number = next.number;
        if self.enter(next)? {
            return Ok(true);
        }
        let pid = locks::holder(self.file(), Lock::Section(number)).ok().flatten().unwrap_or(0);
        Err(AttachError::Busy { name: self.name().to_owned(), pid })
    }

    /// Whether everything in this section is read and the producer has gone on to the next.
    pub fn is_at_seal(&self, applied: u64) -> bool {
        let sealed = self.section(self.place.number).sealed_at();
        sealed.is_some_and(|end| applied.saturating_sub(self.place.base) >= end) && self.after(&self.place).is_some()
    }

    /// False when its lock is somebody else's.
    fn enter(&mut self, mut place: Place) -> Result<bool, AttachError> {
        let geometry = || AttachError::Sections { name: self.name().to_owned() };
        let end = section_end(place.offset, place.slots).ok_or_else(geometry)?;
        self.see_up_to(end)?;
        let taken = locks::try_take(self.file(), Lock::Section(place.number));
        place.locked = taken.map_err(|errno| self.system("take a section's lock", errno))?;
        if !place.locked {
            return Ok(false);
        }
        let before = core::mem::replace(&mut self.place, place);
        if before.locked && before.number != place.number {
            locks::give_back(self.file(), Lock::Section(before.number));
        }
        Ok(true)
    }

    fn local(&self, number: u64) -> u64 {
        number.saturating_sub(self.place.base)
    }

    /// The records of the section that is read.
    fn consumer(&self) -> Consumer<'_, AtomicU64> {
        // The geometry is that of the checked copy, never read again from the file.
        let at = records_offset(self.place.offset);
        let slots = self.mapping().array::<Slot<AtomicU64>>(at, self.place.slots as usize);
        slots.and_then(Consumer::new).unwrap_or_else(|| unreachable!("checked when it was entered"))
    }

    /// Whether the producer was at work in this section when it ended: nothing in it means anything then. While it lives, it has the
    /// section's lock meanwhile, and nobody comes here.
    pub fn was_being_compacted(&self) -> bool {
        self.section(self.place.number).is_compacting()
    }

    /// Where to go on in this section after `applied`, if it is not there.
    pub fn jump(&self, applied: u64) -> Option<Jump> {
        let section = self.section(self.place.number);
        let local = self.local(applied);
        // A ledger could not hold a number above that.
        let most = section.claimed().min(MOST_RECORDS - self.place.base);
        if self.was_being_compacted() {
            // Neither the records nor the figures beside them: on behind all of it, whether its end was noticed yet or not.
            let to = self.place.base + most;
            return (local < most).then(|| Jump { to, history_lost: true, ..Jump::default() });
        }
        // Relaxed, Relaxed: whoever stores them has had the section's lock, which is ours.
        let (moved_from, start) = (section.moved_from.load(Relaxed), section.start.load(Relaxed));
        if local >= start || start > most || moved_from > start {
            return None;
        }
        let mut jump = Jump { to: self.place.base + start, history_lost: local != moved_from, ..Jump::default() };
        if jump.history_lost {
            return Some(jump);
        }
        // It is only counted: what a lie can add to the host's sum is bounded as it is for drops.
        jump.records = (start - moved_from).min(MOST_DROPS);
        // Relaxed: as above.
        jump.unknown_frees = section.unknown_frees.load(Relaxed).min(jump.records);
        let Some(table) = self.mapping().one::<VanishedTable<AtomicU64>>(self.place.offset) else { return Some(jump) };
        for device in 0..DROP_DEVICES {
            for memory in 0..MEMORY_KINDS {
                let cell = &table.cells[device][memory];
                // Relaxed, Relaxed: as above.
                let (bytes, peak) = (cell.bytes.load(Relaxed), cell.peak.load(Relaxed));
                if let Some(memory) = Memory::from_u8(memory as u8).filter(|_| (bytes, peak) != (0, 0)) {
                    jump.cells.push((device as u32, memory, bytes, peak));
                }
            }
        }
        Some(jump)
    }

    /// Number of the record after the last that was claimed in this section; cut to what can be: not before `applied`, at most a
    /// lap on.
    pub fn claim(&self, applied: u64) -> u64 {
        self.place.base + self.claimed(self.place.number, self.local(applied), self.place.slots)
    }

    /// As [`claim`](Self::claim), over this section and those behind it.
    pub fn end(&self, applied: u64) -> u64 {
        let (mut end, mut place) = (self.claim(applied), self.place);
        while let Some(next) = self.after(&place) {
            // Relaxed: as the claim.
            let start = self.section(next.number).start.load(Relaxed).min(MOST_RECORDS);
            end = end.max(next.base).saturating_add(self.claimed(next.number, start, next.slots)).min(MOST_RECORDS);
            place = next;
        }
        end
    }

    /// Records written and not read. A claim of more than a lap is impossible, since a slot is only claimed once it was returned:
    /// whoever says so lags by nothing that could be known.
    pub fn lag(&self, next: u64) -> u64 {
        let possible = |ahead: u64, slots: u64| if ahead <= slots { ahead } else { 0 };
        let claimed = |place: &Place| self.section(place.number).claimed();
        let mut lag = possible(claimed(&self.place).saturating_sub(self.local(next)), self.place.slots);
        let mut place = self.place;
        while let Some(after) = self.after(&place) {
            // Relaxed: as the claim.
            let start = self.section(after.number).start.load(Relaxed);
            lag += possible(claimed(&after).saturating_sub(start), after.slots);
            place = after;
        }
        lag
    }

    /// Reads records from `from` on; the number after the last.
    pub fn read(&self, from: u64, max: usize, into: &mut Vec<Event>) -> u64 {
        let base = self.place.base;
        let to = self.consumer().read(self.local(from), max, |mut event| {
            event.stamp += base;
            into.push(event);
        });
        base + to
    }

    /// As [`read`](Self::read) in the ring of a dead process, up to `end`: slots that were never published are skipped and counted.
    pub fn read_dead(&self, from: u64, end: u64, into: &mut Vec<Event>) -> (u64, Drained) {
        let base = self.place.base;
        let (to, drained) = self.consumer().drain_dead(self.local(from), self.local(end), |mut event| {
            event.stamp += base;
            into.push(event);
        });
        (base + to, drained)
    }

    /// Hands the slots of these records back.
    pub fn release(&self, from: u64, to: u64) {
        self.consumer().release(self.local(from), self.local(to));
    }

    /// Hands back what an earlier consumer read and was killed before it handed back.
    pub fn release_unreturned(&self, applied: u64) {
        self.consumer().release_unreturned(self.local(applied));
    }

    /// The word in which record `number` will show, and what it holds then.
    pub fn awaited(&self, number: u64) -> (&AtomicU64, u64) {
        self.consumer().awaited(self.local(number))
    }

    /// Records before this one were read, says the header; 0 if what it says cannot be.
    pub fn believable_cursor(&self) -> u64 {
        // Relaxed: a claim of the other side, compared with others and then only used to find stamps.
        let cursor = self.header().cursor.load(Relaxed);
        let mut place = Place::first(self.identity.slots);
        while let Some(next) = self.after_seal(&place).filter(|next| next.base <= cursor) {
            place = next;
        }
        let section = self.section(place.number);
        let (local, claimed) = (cursor.saturating_sub(place.base), section.claimed());
        // Relaxed: as above.
        let moved = local == section.moved_from.load(Relaxed);
        let sound =
            claimed < MOST_RECORDS - place.base && local <= claimed && (moved || claimed - local <= place.slots);
        if sound { cursor } else { 0 }
    }
}
