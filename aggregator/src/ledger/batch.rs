//! What an aggregator keeps in its own memory about a ledger's entries, and how one record changes both.

use super::groups::{GroupKey, Groups};
use super::hash::{Keyed, Mark};
use super::index::{Index, Place};
use super::links::{NONE, Twins};
use super::processor::prefetch;
use super::tags::Tags;
use super::{Key, Slots};
use crate::sigbus::Fault;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::ledger::{DYING, Entries, TagNames};
use shm_layout::tag::Name;

/// In a value of the index: the entry has twins; the rest is its number.
const TWINS: u32 = 1 << 31;
/// Members of a group that are taken out at a time, so that their lines are asked for together.
const AT_A_TIME: usize = 32;
/// Records for which something was asked ahead, at most.
pub const AHEAD: usize = 64;

/// What became of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Whether it has an entry: there was room for it.
    pub listed: bool,
    /// Whether something with the same key was live already.
    pub again: bool,
}

/// What is known of a record before its turn.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    /// The record's; never used twice in a ring.
    stamp: u64,
    mark: Mark,
    /// Of a free: where the index most likely has the entry that it frees.
    place: Place,
}

/// What this aggregator keeps in its own memory about the entries.
#[derive(Debug)]
pub struct Held {
    keyed: Keyed,
    /// The oldest entry of each key.
    index: Index,
    twins: Twins,
    groups: Groups,
    /// Entries that were used and are free again.
    free: Vec<u32>,
    /// Entries from this one on were never used.
    fresh: u32,
    /// Entries marked dying by the batch in flight.
    dying: Vec<u32>,
    live: usize,
    /// Allocations that were looked at ahead and are to come.
    awaited: usize,
    pub tags: Tags,
    /// By stamp.
    ahead: Box<[Ahead; AHEAD]>,
}

/// The ledger while a batch of records is applied.
#[derive(Debug)]
pub struct Batch<'a> {
    slots: &'a Slots,
    held: &'a mut Held,
    tags: &'a TagNames<AtomicU64>,
    /// The file lost pages: nothing more is entered, and nothing found. Asked right after each access that may be the first to
    /// notice, so that no record is half in the list and half in the sums.
    fault: Fault,
}

impl Default for Held {
    fn default() -> Self {
        let keyed = Keyed::random();
        Self {
            groups: Groups::new(keyed.clone()),
            keyed,
            index: Index::default(),
            twins: Twins::default(),
            free: Vec::new(),
            fresh: 0,
            dying: Vec::new(),
            live: 0,
            awaited: 0,
            tags: Tags::default(),
            ahead: Box::new([Ahead { stamp: u64::MAX, mark: Mark::NONE, place: Place::NONE }; AHEAD]),
        }
    }
}

impl Held {
    /// Live allocations.
    pub const fn len(&self) -> usize {
        self.live
    }

    /// Allocations for which there are entries in a file of this many.
    pub const fn room(&self, capacity: usize) -> usize {
        self.free.len() + capacity - self.fresh as usize
    }

    /// Footprint of a program's circular buffers on a device.
    pub fn program_bytes(&self, device: u32, program: u32) -> u64 {
        self.groups.bytes(&GroupKey { device, memory: Memory::Cb as u8, context: program })
    }

    /// After a commit: clears the entries that it has made free.
    pub fn bury(&self, slots: &Slots) {
        self.dying.iter().for_each(|at| Entries(slots).clear(*at as usize));
    }

    /// After that is settled: they may be used again.
    pub fn reuse(&mut self) {
        self.free.append(&mut self.dying);
    }

    /// Learns what is live, in the order of the file.
    pub fn recover(&mut self, slots: &Slots, live: impl Iterator<Item = (u32, Event)>) {
        let mut twins = Vec::new();
        // Entries and their index lines are far apart: some are on their way while others are entered.
        let mut waiting: Vec<(u32, Event, Mark)> = Vec::with_capacity(AT_A_TIME);
        for (at, event) in live {
            let mark = self.keyed.mark(event.device, event.memory, event.id);
            self.index.prefetch(mark);
            self.free.extend(self.fresh..at);
            self.fresh = at + 1;
            waiting.push((at, event, mark));
            if waiting.len() == AT_A_TIME {
                waiting.drain(..).for_each(|(at, event, mark)| self.enter(slots, at, &event, mark, &mut twins));
            }
        }
        waiting.drain(..).for_each(|(at, event, mark)| self.enter(slots, at, &event, mark, &mut twins));
        self.queue_twins(slots, twins);
    }

    /// As [`Batch::insert`] of an entry that is there, in the order of the file: twins are put aside, they need that of
    /// their stamps.
    fn enter(&mut self, slots: &Slots, at: u32, event: &Event, mark: Mark, twins: &mut Vec<(Key, u64, u32)>) {
        let key = Key::of(event);
        match self.index.find(mark, |value| has_key(slots, value, &key)) {
            Ok((place, first)) => {
                if first & TWINS == 0 {
                    twins.push((key, Entries(slots).own(first as usize).stamp, first));
                    self.index.set(place, first | TWINS);
                }
                twins.push((key, event.stamp, at));
            }
            Err(vacant) => self.index.put(vacant, mark, at),
        }
        self.groups.enter(at, event);
        self.live += 1;
    }

    /// Values of the index for which there was no room where they belong.
    #[cfg(test)]
    pub fn spilled(&self) -> usize {
        self.index.spilled()
    }

    /// Groups that have members, stale ones among them.
    #[cfg(test)]
    pub fn groups(&self) -> usize {
        self.groups.count()
    }

    fn queue_twins(&mut self, slots: &Slots, mut twins: Vec<(Key, u64, u32)>) {
        twins.sort_unstable_by_key(|(key, stamp, _)| (key.id, key.device, key.memory, *stamp));
        for queue in twins.chunk_by(|(key, ..), (next, ..)| key == next) {
            let (key, _, oldest) = queue[0];
            let mark = self.keyed.mark(key.device, key.memory, key.id);
            if let Ok((place, _)) = self.index.find(mark, |value| has_key(slots, value, &key)) {
                self.index.set(place, oldest | TWINS);
            }
            self.twins.begin(oldest);
            queue[1..].iter().for_each(|(_, _, at)| self.twins.append(oldest, *at));
        }
    }

    #[inline(always)]
    fn mark_of(&self, event: &Event) -> Mark {
        let ahead = &self.ahead[event.stamp as usize % AHEAD];
        if ahead.stamp == event.stamp {
            return ahead.mark;
        }
        self.keyed.mark(event.device, event.memory, event.id)
    }

    #[inline(always)]
    fn left(&mut self, at: u32, entry: &Event) {
        self.groups.leave(at, entry);
        self.dying.push(at);
        self.live -= 1;
    }

    /// The next entry with this key takes the place of one that left the queue.
    #[cold]
    #[inline(never)]
    fn leave_twins(&mut self, place: Place, oldest: u32, at: u32) {
        let (next, alone) = self.twins.leave(at);
        let oldest = if oldest == at { next } else { oldest };
        self.index.set(place, if alone { next } else { oldest | TWINS });
    }

    #[cold]
    #[inline(never)]
    fn join_twins(&mut self, place: Place, oldest: u32, at: u32) {
        if oldest & TWINS == 0 {
            self.twins.begin(oldest);
            self.index.set(place, oldest | TWINS);
        }
        self.twins.append(oldest & !TWINS, at);
    }
}

impl<'a> Batch<'a> {
    /// Begins.
    pub fn new(slots: &'a Slots, tags: &'a TagNames<AtomicU64>, held: &'a mut Held, fault: Fault) -> Self {
        held.awaited = 0;
        Self { slots, held, tags, fault }
    }

    /// Gives a tag its name.
    pub fn name_tag(&mut self, number: u8, name: Name) {
        self.held.tags.name(self.tags, number, name);
    }

    /// Looks at a record that will be applied soon: asks for the lines of the index.
    #[inline(always)]
    pub fn expect(&mut self, event: &Event) {
        if event.kind != Kind::Alloc as u8 && event.kind != Kind::Free as u8 {
            return;
        }
        let held = &mut *self.held;
        let mark = held.keyed.mark(event.device, event.memory, event.id);
        held.index.prefetch(mark);
        let ahead = &mut held.ahead[event.stamp as usize % AHEAD];
        (ahead.stamp, ahead.mark) = (event.stamp, mark);
    }

    /// Looks again, a little later: asks for the entry that it frees or takes.
    #[inline(always)]
    pub fn expect_entry(&mut self, event: &Event) {
        let held = &mut *self.held;
        if event.kind == Kind::Free as u8 {
            let ahead = &mut held.ahead[event.stamp as usize % AHEAD];
            let (place, value) = held.index.likely(ahead.mark).unwrap_or((Place::NONE, NONE));
            ahead.place = place;
            if let Some(slot) = self.slots.get((value & !TWINS) as usize) {
                prefetch(slot);
            }
        } else if event.kind == Kind::Alloc as u8 {
            held.awaited += 1;
            if let Some(at) = held.free.len().checked_sub(held.awaited).and_then(|at| held.free.get(at)) {
                prefetch(&self.slots[*at as usize]);
                held.groups.prefetch(*at);
            }
        }
    }

    /// Enters an allocation.
    #[inline(always)]
    pub fn insert(&mut self, event: &Event) -> Entered {
        let (key, held) = (Key::of(event), &mut *self.held);
        let mark = held.mark_of(event);
        let found = held.index.find(mark, |value| has_key(self.slots, value, &key));
        let again = found.is_ok();
        held.awaited = held.awaited.saturating_sub(1);
        let at = match held.free.pop() {
            Some(at) => at,
            None if (held.fresh as usize) < self.slots.len() => {
                held.fresh += 1;
                held.fresh - 1
            }
            None => return Entered { listed: false, again },
        };
        Entries(self.slots).insert(at as usize, event);
        if self.fault.happened() {
            Entries(self.slots).clear(at as usize);
            return Entered { listed: false, again: false };
        }
        match found {
            Err(vacant) => held.index.put(vacant, mark, at),
            Ok((place, oldest)) => held.join_twins(place, oldest, at),
        }
        held.groups.enter(at, event);
        held.live += 1;
        Entered { listed: true, again }
    }

    /// Takes out the oldest live allocation with the key of this record.
    #[inline(always)]
    pub fn remove(&mut self, event: &Event) -> Option<Event> {
        let (key, held) = (Key::of(event), &mut *self.held);
        let same = |value: u32| has_key(self.slots, value, &key);
        let Ahead { stamp, mark, place, .. } = held.ahead[event.stamp as usize % AHEAD];
        // Where it was a moment ago it most likely still is; whatever has its mark and its key is it.
        let (place, value) = match held.index.still(place, mark) {
            Some(value) if stamp == event.stamp && same(value) => (place, value),
            _ => match held.index.find(held.mark_of(event), same) {
                Ok(found) => found,
                Err(_) => {
                    self.touch_end();
                    return None;
                }
            },
        };
        let at = value & !TWINS;
        let entry = Entries(self.slots).own(at as usize);
        if self.fault.happened() || entry.kind != Kind::Alloc as u8 {
            self.touch_end();
            return None;
        }
        Entries(self.slots).mark(at as usize, true);
        if value & TWINS == 0 {
            held.index.take(place);
        } else {
            held.leave_twins(place, at, at);
        }
        held.left(at, &entry);
        Some(entry)
    }

    /// Takes out everything of a context on one device: a program's circular buffers, an allocator's buffers.
    pub fn remove_group(&mut self, device: u32, memory: Memory, context: u32, each: impl FnMut(&Event)) {
        if let Some(group) = self.held.groups.find(&GroupKey { device, memory: memory as u8, context }) {
            self.remove_members(group, each);
        }
    }

    /// Takes out everything on one device.
    pub fn remove_device(&mut self, device: u32, mut each: impl FnMut(&Event)) {
        while let Some(group) = self.held.groups.of_device(device)
            && !self.fault.happened()
        {
            self.remove_members(group, &mut each);
        }
    }

    /// Takes out everything of one memory kind on one device.
    pub fn remove_account(&mut self, device: u32, memory: Memory, mut each: impl FnMut(&Event)) {
        for group in self.held.groups.of_account(device, memory as u8) {
            self.remove_members(group, &mut each);
        }
    }

    /// Where something is missed: notices that the file was cut short, whose last page then is gone. What lay behind the cut in the
    /// page of the cut itself reads as zeros without a fault.
    #[cold]
    fn touch_end(&self) {
        if let Some(last) = self.slots.last() {
            // Relaxed: for the fault that this load is then.
            let _word = last.0[0].load(Relaxed);
        }
    }

    fn remove_members(&mut self, group: u32, mut each: impl FnMut(&Event)) {
        self.touch_end();
        let entries = Entries(self.slots);
        let mut members = [0; AT_A_TIME];
        let mut marks = [Mark::NONE; AT_A_TIME];
        loop {
            let count = self.held.groups.members(group, &mut members);
            if count == 0 {
                return;
            }
            let members = &members[..count];
            members.iter().for_each(|at| prefetch(&self.slots[*at as usize]));
            for (at, mark) in members.iter().zip(&mut marks) {
                // A stale member has no stamp any more, or is one of this batch's dying.
                let entry = entries.own(*at as usize);
                *mark = Mark::NONE;
                if entry.stamp != 0 && entry.kind != DYING {
                    *mark = self.held.keyed.mark(entry.device, entry.memory, entry.id);
                    self.held.index.prefetch(*mark);
                }
            }
            for (at, mark) in members.iter().zip(&marks) {
                if *mark != Mark::NONE {
                    let entry = entries.own(*at as usize);
                    if self.fault.happened() {
                        return;
                    }
                    self.take_out(*at, &entry, *mark);
                    each(&entry);
                }
                self.held.groups.unlink(*at);
            }
        }
    }

    /// Takes out this entry, wherever it stands among its twins.
    fn take_out(&mut self, at: u32, entry: &Event, mark: Mark) {
        let key = Key::of(entry);
        let same = |value: u32| value == at || value & TWINS != 0 && has_key(self.slots, value, &key);
        if let Ok((place, value)) = self.held.index.find(mark, same) {
            if value & TWINS == 0 {
                self.held.index.take(place);
            } else {
                self.held.leave_twins(place, value & !TWINS, at);
            }
        }
        Entries(self.slots).mark(at as usize, true);
        self.held.left(at, entry);
    }
}

#[inline(always)]
fn has_key(slots: &Slots, value: u32, key: &Key) -> bool {
    Entries(slots).is_about((value & !TWINS) as usize, key.device, key.memory, key.id)
}
