//! Compaction: what came and went unread is taken out of a section, in place, by the producing process.
//!
//! Whoever reads late needs what is alive and the order of things, not every step. So pairs of allocation and free vanish, and
//! the records that are left are moved up, in their order, to just before the first that is not published yet:
//!
//! ```text
//!   before:   from                                        to        claim
//!             | a1  A2  a3  f1  A4  f3  a5  f5  A6  F0  | (7)  8  |          small: dead.  F0: frees what was read before
//!
//!   after:     free slots, for records a lap on  | A2 A4 A6 F0 | (7)  8 |
//!             moved_from                         start         to
//! ```
//!
//! Threads go on publishing from `to` on meanwhile: no record there is touched, and no slot before it is anybody else's, since the
//! section's lock keeps consumers out. A reader that was at `moved_from` goes on at `start`; the table tells what it missed
//! (sums and peaks). What a free, a release or a close may mean for records that were read before stays: see `history`.
//!
//! A kill leaves `compacting` set, and nobody reads the section any more: the process is dead, and what it held with it.

use super::drops::DropTable;
use super::section::{Section, VanishedTable};
use super::{Slot, published};
use crate::atomics::Word64;
use crate::event::{Event, Kind, MAX_DEVICE, MEMORY_KINDS, Memory, flags};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const DEVICES: usize = MAX_DEVICE as usize + 1;
const ROWS: usize = super::DROP_DEVICES;
/// Steps per record after which it is given up: only equal keys by the thousand come there.
const STEPS_EACH: usize = 8;

/// Words of scratch memory for a section with this many slots. They must be zero.
pub const fn scratch_words(slots: usize) -> usize {
    // Five arrays of u32 by record, three sets of records, the devices, the running sums.
    slots / 2 * 5 + slots.div_ceil(64) * 3 + DEVICES * DEVICE_WORDS / 2 + ROWS * MEMORY_KINDS * 3
}

/// What a compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Slots that are free now and were not.
    pub freed: u64,
    /// Records that are left.
    pub kept: u64,
}

/// A section, as the one that compacts it sees it.
#[derive(Debug)]
pub struct Compactor<'a, W> {
    /// Its header.
    pub section: &'a Section<W>,
    /// Its table.
    pub table: &'a VanishedTable<W>,
    /// Its records.
    pub slots: &'a [Slot<W>],
}

impl<W: Word64> Compactor<'_, W> {
    /// Takes out what can go. `read` is how far a consumer's ledger says that this section was read (local; 0 = not at all).
    /// Only under the section's lock. `None` when it cannot be done, with nothing changed.
    ///
    /// `history`: whether something that is not in this section may have announced what is freed here: records before `read`,
    /// sections before this one, or records that were *dropped*: the free of a dropped allocation has to reach the reader, or its
    /// total keeps the allocation for ever.
    ///
    /// With `history`, what is left comes to the same as all of it unless an id that is no address was alive before and is announced
    /// again here, or an address was alive more than [`TWINS`] times when the reader left off. The table's peaks are upper bounds then: a
    /// free without size, or a close, does not say how much of what was read before ends with it. With addresses as ids they may also be
    /// too low, at most by the difference of two blocks at one address. What stays for good then: of each address up to [`TWINS`]
    /// allocations and frees; frees that find nothing; of each group one release without a count.
    pub fn compact(&self, read: u64, history: bool, scratch: &mut [u64]) -> Option<Compacted> {
        let lap = self.slots.len() as u64;
        // Relaxed: only written under the lock, which the caller has.
        let (moved_from, start) = (self.section.moved_from.load(Relaxed), self.section.start.load(Relaxed));
        // Nobody has read what was moved: it goes on from there. Otherwise it begins anew where the reader was.
        let again = read == moved_from && read < start;
        if !again && read < start || read > self.section.claimed() {
            return None;
        }
        let from = if again { start } else { read };
        let to = self.published_until(from, self.section.claimed().min(from + lap));
        let mut marks = Marks::new(self.slots, from, (to - from) as usize, history, scratch)?;
        if again {
            for (sums, cell) in marks.sums.iter_mut().zip(self.table.cells.iter().flatten()) {
                // Relaxed: as above.
                sums.peak = cell.peak.load(Relaxed);
            }
        }
        let dead = marks.mark()?;
        if dead == 0 && again {
            for (cell, sums) in self.table.cells.iter().flatten().zip(&*marks.sums) {
                // Relaxed: read under the lock, which we have.
                cell.peak.store(sums.peak, Relaxed);
            }
            return Some(Compacted { freed: 0, kept: to - from });
        }
        // SYNC(section.compacting): before anything is moved; pairs with the Acquire in consumers' `is_compacting`. The
        // fence keeps the stores below behind this one.
        self.section.compacting.store(1, Relaxed);
        W::fence(Release);
        // Relaxed, all of these: published by the Release at the end, and by the lock.
        if !again {
            self.table.clear();
            self.section.unknown_frees.store(0, Relaxed);
            self.section.moved_from.store(from, Relaxed);
        }
        marks.settle_releases();
        let start = marks.slide();
        for (cell, sums) in self.table.cells.iter().flatten().zip(&*marks.sums) {
            // Relaxed: as above.
            cell.bytes.fetch_add(sums.gone, Relaxed);
            cell.peak.store(sums.peak, Relaxed);
        }
        // Relaxed: as above.
        self.section.unknown_frees.fetch_add(marks.unknown_frees, Relaxed);
        self.section.start.store(start, Relaxed);
        // Whatever a killed consumer had read and not handed back goes with the rest.
        let first = start.saturating_sub(lap).min(from);
        let mut freed = 0;
        for seq in first..start {
            let stamp = self.slots[(seq & (lap - 1)) as usize].stamp();
            // Relaxed: only whoever has the lock moves a slot on from `published`.
            if stamp.load(Relaxed) == published(seq) {
                // SYNC(ring.free): our reads of the slot happen before the producer writes it again; pairs with the Acquire
                // in producer.rs `push`.
                stamp.store(!published(seq), Release);
                freed += 1;
            }
        }
        // SYNC(section.compacting): everything is in its place; pairs with the Acquire in consumers' `is_compacting`.
        self.section.compacting.store(0, Release);
        Some(Compacted { freed, kept: to - start })
    }

    /// The first record from `from` on that is not published yet, at most `end`.
    fn published_until(&self, from: u64, end: u64) -> u64 {
        let mask = self.slots.len() as u64 - 1;
        // SYNC(ring.stamp): the records' words are visible; pairs with the Release in producer.rs `push`.
        let there = |seq: &u64| self.slots[(seq & mask) as usize].stamp().load(Acquire) == published(*seq);
        (from..end).find(|seq| !there(seq)).unwrap_or(end.max(from))
    }
}

/// What is known of one device of the process, by record (index + 1; 0 none).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct Device {
    info: u32,
    close: u32,
    resident: u32,
    /// The first record that ends what was read before: stays.
    first_end: u32,
    /// The youngest allocation since the last end.
    youngest: u32,
    /// An introduction that closes the device first if it was open when the reader left off: who knows.
    doubt: u32,
    /// 0 not known, 1 open, 2 closed.
    open: u32,
    /// Whether everything that was alive ended for certain once: nothing that was read before is alive any more.
    ended: u32,
    capacity: [u32; MEMORY_KINDS],
}

const DEVICE_WORDS: usize = 8 + MEMORY_KINDS;
const _: () = assert!(size_of::<Device>() == DEVICE_WORDS * 4);

/// Running sums of one device and memory kind.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct Sums {
    /// Live footprint, against what it was before the first record.
    live: i64,
    /// The highest of these.
    peak: u64,
    /// Footprint of the allocations that vanish.
    gone: u64,
}

/// So often an address that was read before may be alive at once: its next use is told before its free is, by another thread.
/// As many frees of it stay.
const TWINS: usize = 3;

fn has(set: &[u64], at: usize) -> bool {
    set[at / 64] & 1 << (at % 64) != 0
}

fn put(set: &mut [u64], at: usize) {
    set[at / 64] |= 1 << (at % 64);
}

/// What a free finds of its key.
#[derive(Default)]
struct Found {
    /// The oldest live allocation, and the oldest that no free that stays may have meant.
    oldest: Option<(usize, Event)>,
    uncovered: Option<(usize, Event)>,
    /// The oldest free that stays, and how many do.
    kept: Option<usize>,
    frees: usize,
    /// Nothing that was read before has this key any more.
    certain: bool,
    /// Something that ended with its device and was not freed since.
    late: Option<usize>,
}

/// Which records vanish. Indices count from the first record.
struct Marks<'a, W> {
    slots: &'a [Slot<W>],
    from: u64,
    count: usize,
    history: bool,
    /// By hash of the key: the youngest live allocation (or free that stays), index + 1.
    buckets: &'a mut [u32],
    /// The next older one in its bucket.
    next: &'a mut [u32],
    /// By hash of the group: the first release of it.
    group_buckets: &'a mut [u32],
    /// Of an allocation: the next older one of its group; once it is released, its release. Of the first release of a group: the
    /// youngest live member.
    link: &'a mut [u32],
    /// Of an allocation: the next older one on its device.
    older: &'a mut [u32],
    /// What vanishes.
    dead: &'a mut [u64],
    /// Allocations that no free finds any more. A dead one that is not among them ended with its device: its free may come late.
    /// Of releases: the first of a group, once a release was met that leaves nothing of the group alive.
    ended: &'a mut [u64],
    /// Allocations that a doubtful free has taken out of the running sums already.
    covered: &'a mut [u64],
    devices: &'a mut [Device],
    sums: &'a mut [Sums],
    releases: bool,
    unknown_frees: u64,
    steps: usize,
}

impl<'a, W: Word64> Marks<'a, W> {
    fn new(slots: &'a [Slot<W>], from: u64, count: usize, history: bool, scratch: &'a mut [u64]) -> Option<Self> {
        let n = slots.len();
        if !n.is_power_of_two() || !(2..=1 << 31).contains(&n) || count > n || scratch.len() < scratch_words(n) {
            return None;
        }
        let half = n / 2;
        let (buckets, rest) = scratch.split_at_mut(half);
        let (next, rest) = rest.split_at_mut(half);
        let (group_buckets, rest) = rest.split_at_mut(half);
        let (link, rest) = rest.split_at_mut(half);
        let (older, rest) = rest.split_at_mut(half);
        let (dead, rest) = rest.split_at_mut(n.div_ceil(64));
        let (ended, rest) = rest.split_at_mut(n.div_ceil(64));
        let (covered, rest) = rest.split_at_mut(n.div_ceil(64));
        let (devices, rest) = rest.split_at_mut(DEVICES * DEVICE_WORDS / 2);
        let (sums, _) = rest.split_at_mut(ROWS * MEMORY_KINDS * 3);
        Some(Self {
            slots,
            from,
            count,
            history,
            buckets: bytemuck::cast_slice_mut(buckets),
            next: bytemuck::cast_slice_mut(next),
            group_buckets: bytemuck::cast_slice_mut(group_buckets),
            link: bytemuck::cast_slice_mut(link),
            older: bytemuck::cast_slice_mut(older),
            dead,
            ended,
            covered,
            devices: bytemuck::cast_slice_mut(devices),
            sums: bytemuck::cast_slice_mut(sums),
            releases: false,
            unknown_frees: 0,
            steps: 0,
        })
    }

    fn slot(&self, at: usize) -> &'a Slot<W> {
        &self.slots[((self.from + at as u64) & (self.slots.len() as u64 - 1)) as usize]
    }

    fn event(&self, at: usize) -> Event {
        Event::from_words(self.slot(at).copy(0))
    }

    fn is_dead(&self, at: usize) -> bool {
        has(self.dead, at)
    }

    fn kill(&mut self, at: usize) {
        put(self.dead, at);
    }

    fn kill_noted(&mut self, note: u32) {
        if let Some(at) = (note as usize).checked_sub(1) {
            self.kill(at);
        }
    }

    fn bucket(&self, a: u64, b: u64) -> usize {
        let mixed = (a ^ b.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as usize >> 7 & (self.buckets.len() - 1)
    }

    fn key_bucket(&self, event: &Event) -> usize {
        self.bucket(event.id, u64::from(event.device) << 8 | u64::from(event.memory))
    }

    fn group_bucket(&self, event: &Event) -> usize {
        self.bucket(u64::from(event.context), u64::from(event.device) << 8 | u64::from(event.memory))
    }

    fn sums(&mut self, event: &Event) -> &mut Sums {
        let row = DropTable::<W>::row(event.device);
        &mut self.sums[row * MEMORY_KINDS + usize::from(event.memory) % MEMORY_KINDS]
    }

    /// Finds what vanishes. How many; `None` when it takes too long.
    fn mark(&mut self) -> Option<usize> {
        self.releases = (0..self.count).any(|at| self.event(at).kind == Kind::FreeAll as u8);
        if self.releases {
            self.note_groups();
        }
        for at in 0..self.count {
            let event = self.event(at);
            self.step(at, &event);
            if self.steps > STEPS_EACH * (self.count + 64) {
                return None;
            }
        }
        Some(self.dead.iter().map(|bits| bits.count_ones() as usize).sum())
    }

    fn step(&mut self, at: usize, event: &Event) {
        let valid = Memory::from_u8(event.memory).is_some() && event.device <= MAX_DEVICE;
        let Some(kind) = Kind::from_u8(event.kind).filter(|_| valid) else { return self.kill(at) };
        match kind {
            Kind::Alloc => self.alloc(at, event),
            Kind::Free => self.free(at, event),
            Kind::FreeAll => self.free_all(at, event),
            Kind::DeviceInfo => self.device_info(at, event.device as usize),
            Kind::DeviceClose => self.device_close(at, event.device as usize),
            Kind::Capacity => {
                let told = &mut self.devices[event.device as usize].capacity[usize::from(event.memory)];
                let before = core::mem::replace(told, at as u32 + 1);
                self.kill_noted(before);
            }
            Kind::ProgramResident => {
                let before = core::mem::replace(&mut self.devices[event.device as usize].resident, at as u32 + 1);
                self.kill_noted(before);
            }
            // Nothing is done with them yet.
            Kind::Tag => self.kill(at),
        }
    }

    fn alloc(&mut self, at: usize, event: &Event) {
        self.chain(at, event);
        let device = &mut self.devices[event.device as usize];
        self.older[at] = core::mem::replace(&mut device.youngest, at as u32 + 1);
        if self.releases
            && let Some(first) = self.group(event)
        {
            self.link[at] = core::mem::replace(&mut self.link[first], at as u32 + 1);
        }
        let taken = i64::try_from(event.taken()).unwrap_or(i64::MAX);
        let sums = self.sums(event);
        sums.live = sums.live.saturating_add(taken);
        sums.peak = sums.peak.max(u64::try_from(sums.live).unwrap_or(0));
    }

    fn chain(&mut self, at: usize, event: &Event) {
        let bucket = self.key_bucket(event);
        self.next[at] = core::mem::replace(&mut self.buckets[bucket], at as u32 + 1);
    }

    /// An allocation that is in this section ends in it, and vanishes.
    fn end(&mut self, at: usize, event: &Event) {
        put(self.ended, at);
        self.end_late(at, event);
    }

    /// As `end`; a free of it may come yet.
    fn end_late(&mut self, at: usize, event: &Event) {
        self.kill(at);
        let taken = event.taken();
        let sums = self.sums(event);
        sums.gone = sums.gone.saturating_add(taken);
        self.cover(at, event);
    }

    /// Takes an allocation out of the running sums, once.
    fn cover(&mut self, at: usize, event: &Event) {
        if !has(self.covered, at) {
            put(self.covered, at);
            let sums = self.sums(event);
            sums.live = sums.live.saturating_sub_unsigned(event.taken());
        }
    }

    /// Looks at a free's whole bucket: a free takes the oldest. What ended leaves the bucket on the way. Allocations before a
    /// doubtful introduction apart.
    fn find(&mut self, event: &Event) -> (Found, Option<(usize, Event)>) {
        let bucket = self.key_bucket(event);
        let device = self.devices[event.device as usize];
        let mut found = Found { certain: device.ended != 0, ..Found::default() };
        let mut before_doubt = None;
        let (mut before, mut link) = (None, self.buckets[bucket]);
        while let Some(at) = (link as usize).checked_sub(1) {
            self.steps += 1;
            link = self.next[at];
            let gone = has(self.ended, at);
            let other = self.event(at);
            let same = (other.id, other.device, other.memory) == (event.id, event.device, event.memory);
            let late = !gone && self.is_dead(at) && other.kind == Kind::Alloc as u8;
            if gone || self.is_dead(at) && !late || late && same && found.late.is_some() {
                match before {
                    Some(before) => self.next[before] = link,
                    None => self.buckets[bucket] = link,
                }
                continue;
            }
            before = Some(at);
            if !same {
                continue;
            }
            if late {
                found.late = Some(at);
            } else if other.kind == Kind::Alloc as u8 {
                if at + 1 < device.doubt as usize {
                    before_doubt = Some((at, other));
                } else {
                    found.oldest = Some((at, other));
                    if !has(self.covered, at) {
                        found.uncovered = found.oldest;
                    }
                }
            } else {
                found.kept = Some(at);
                found.frees += 1;
            }
        }
        (found, before_doubt)
    }

    fn free(&mut self, at: usize, event: &Event) {
        let (found, before_doubt) = self.find(event);
        let Some((oldest, alloc)) = found.oldest.or(before_doubt) else { return self.free_nothing(at, event, &found) };
        let by_address = (event.flags | alloc.flags) & flags::ID_IS_ADDRESS != 0;
        let two_sides = found.oldest.is_some() && before_doubt.is_some();
        if let Some((uncovered, event)) = found.uncovered {
            self.cover(uncovered, &event);
        }
        if !two_sides && (!self.history || !by_address || found.certain) {
            self.kill(at);
            return self.end(oldest, &alloc);
        }
        // What was read before (or came before an introduction that may be a close) may be alive, too, and then be what is freed.
        // Which of them, the reader knows: of `f` frees and `a` allocations the last `TWINS` frees stay, and all but the first
        // `f - TWINS` allocations. However many up to `TWINS` were alive before, the same ones are alive in the end.
        if let Some(kept) = found.kept.filter(|_| !two_sides && found.frees >= TWINS) {
            self.kill(kept);
            self.end(oldest, &alloc);
        }
        self.chain(at, event);
    }

    fn free_nothing(&mut self, at: usize, event: &Event, found: &Found) {
        if let Some(late) = found.late {
            put(self.ended, late);
        } else if self.history {
            // It frees what was read before.
            self.chain(at, event);
            if self.devices[event.device as usize].ended == 0 {
                let taken = event.taken();
                let sums = self.sums(event);
                sums.live = sums.live.saturating_sub_unsigned(taken);
            }
            return;
        }
        self.unknown_frees += 1;
        self.kill(at);
    }

    /// The first release of an event's group.
    fn group(&mut self, event: &Event) -> Option<usize> {
        let mut link = self.group_buckets[self.group_bucket(event)];
        while let Some(found) = (link as usize).checked_sub(1) {
            self.steps += 1;
            let other = self.event(found);
            if (other.context, other.device, other.memory) == (event.context, event.device, event.memory) {
                return Some(found);
            }
            link = self.next[found];
        }
        None
    }

    fn note_groups(&mut self) {
        for at in 0..self.count {
            let event = self.event(at);
            if event.kind == Kind::FreeAll as u8 && self.group(&event).is_none() {
                let bucket = self.group_bucket(&event);
                self.next[at] = core::mem::replace(&mut self.group_buckets[bucket], at as u32 + 1);
            }
        }
    }

    fn free_all(&mut self, at: usize, event: &Event) {
        let Some(first) = self.group(event) else { return };
        let device = self.devices[event.device as usize];
        let youngest = core::mem::take(&mut self.link[first]);
        // What it ends for certain. What a doubtful free may have freed, or a doubtful introduction closed, may be in its count or not.
        let sure = |marks: &Self, at: usize| !has(marks.covered, at) && at + 1 >= device.doubt as usize;
        let (mut blocks, mut bytes) = (0, 0_u64);
        let mut link = youngest;
        while let Some(found) = (link as usize).checked_sub(1) {
            self.steps += 1;
            link = self.link[found];
            if !has(self.ended, found) && !self.is_dead(found) && sure(self, found) {
                blocks += 1;
                bytes = bytes.saturating_add(self.event(found).taken());
            }
        }
        // It ends less than was announced: some was freed by records that were dropped, and only all of it together tells how much.
        let whole = self.history && event.id != 0 && event.id < blocks;
        let (mut left, mut unsure) = (event.taken().saturating_sub(bytes), false);
        let mut link = youngest;
        while let Some(found) = (link as usize).checked_sub(1) {
            link = core::mem::replace(&mut self.link[found], 0);
            if has(self.ended, found) || self.is_dead(found) {
                continue;
            }
            let member = self.event(found);
            let sure = sure(self, found);
            if whole || !sure {
                // An earlier free that stays may find it.
                unsure |= !sure;
                left = left.saturating_sub(member.taken());
                put(self.ended, found);
                self.cover(found, &member);
            } else {
                self.link[found] = at as u32 + 1;
                self.end(found, &member);
            }
        }
        // After the first one nothing of the group is left that was read before.
        let again = has(self.ended, first) || device.ended != 0;
        put(self.ended, first);
        if whole {
            return;
        }
        if !unsure && (!self.history || if event.id == 0 { again } else { event.id == blocks }) {
            self.kill(at);
        } else if !again {
            let sums = self.sums(event);
            sums.live = sums.live.saturating_sub_unsigned(left);
        }
    }

    /// Releases that stay say how much they free: without what vanishes now.
    fn settle_releases(&mut self) {
        if !self.releases {
            return;
        }
        for at in 0..self.count {
            let Some(release) = (self.link[at] as usize).checked_sub(1) else { continue };
            let member = self.event(at);
            if member.kind != Kind::Alloc as u8 || !self.is_dead(at) || self.is_dead(release) {
                continue;
            }
            let mut event = self.event(release);
            if event.kind != Kind::FreeAll as u8 || event.id == 0 {
                continue;
            }
            let left = event.taken().saturating_sub(member.taken());
            (event.id, event.size, event.footprint) = (event.id.saturating_sub(1), left, 0);
            self.slot(release).fill(&event.to_words());
        }
    }

    fn device_info(&mut self, at: usize, number: usize) {
        if self.devices[number].open == 1 {
            // Opened again: it was closed before.
            self.end_all_of(number);
        }
        let device = self.devices[number];
        for told in [device.info, device.close] {
            if told != device.first_end {
                self.kill_noted(told);
            }
        }
        self.kill_noted(device.resident);
        device.capacity.iter().for_each(|told| self.kill_noted(*told));
        let note = at as u32 + 1;
        let first_end = if self.history && device.first_end == 0 { note } else { device.first_end };
        let doubt = if self.history && device.open == 0 { note } else { device.doubt };
        let Device { youngest, ended, .. } = device;
        self.devices[number] = Device { info: note, first_end, youngest, doubt, open: 1, ended, ..Device::default() };
    }

    fn device_close(&mut self, at: usize, number: usize) {
        self.end_all_of(number);
        let device = self.devices[number];
        if device.close != device.first_end {
            self.kill_noted(device.close);
        }
        self.kill_noted(device.resident);
        let note = at as u32 + 1;
        let mut first_end = device.first_end;
        if let Some(first) = (first_end as usize).checked_sub(1)
            && self.event(first).kind == Kind::DeviceInfo as u8
        {
            // A close ends all that an introduction may have ended. And left alone, that would leave the device open, so that
            // the next one would end what comes after this close.
            if first_end != device.info {
                self.kill(first);
            }
            first_end = 0;
        }
        let first_end = if self.history && first_end == 0 { note } else { first_end };
        self.devices[number] = Device { close: note, resident: 0, first_end, open: 2, ..device };
    }

    /// Everything that is alive on a device ends.
    fn end_all_of(&mut self, number: usize) {
        let device = &mut self.devices[number];
        device.ended = 1;
        let mut link = core::mem::take(&mut device.youngest);
        while let Some(at) = (link as usize).checked_sub(1) {
            self.steps += 1;
            link = self.older[at];
            // What ended and is there still, too.
            if !self.is_dead(at) {
                let event = self.event(at);
                self.end_late(at, &event);
            }
        }
    }

    /// Moves what is left up to the end, in its order. The number of the first.
    fn slide(&mut self) -> u64 {
        let mut to = self.count;
        for at in (0..self.count).rev() {
            if self.is_dead(at) {
                continue;
            }
            to -= 1;
            if to != at {
                let words = self.slot(at).copy(0);
                let slot = self.slot(to);
                slot.fill(&words);
                // SYNC(ring.stamp): publishes what was moved here; pairs with the Acquire in consumer.rs `read_one`.
                slot.stamp().store(published(self.from + to as u64), Release);
            }
        }
        self.from + to as u64
    }
}
