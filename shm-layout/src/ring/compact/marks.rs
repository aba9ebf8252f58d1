//! Which records vanish: one walk over the section's records, from the oldest to the newest.

use super::devices::{DEVICE_WORDS, Device};
use super::{DEVICES, ROWS, STEPS_EACH, scratch_words};
use crate::atomics::Word64;
use crate::event::{Event, Kind, MAX_DEVICE, MEMORY_KINDS, Memory};
use crate::ring::Slot;
use crate::tag::TAGS;

/// Running sums of one device and memory kind.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Sums {
    /// Live footprint, against what it was before the first record.
    pub(super) live: i64,
    /// The highest of these.
    pub(super) peak: u64,
    /// Footprint of the allocations that vanish.
    pub(super) gone: u64,
}

pub(super) fn has(set: &[u64], at: usize) -> bool {
    set[at / 64] & 1 << (at % 64) != 0
}

pub(super) fn put(set: &mut [u64], at: usize) {
    set[at / 64] |= 1 << (at % 64);
}

/// Which records vanish. Indices count from the first record.
pub(super) struct Marks<'a, W> {
    pub(super) slots: &'a [Slot<W>],
    pub(super) from: u64,
    pub(super) count: usize,
    pub(super) history: bool,
    /// By hash of the key: the youngest live allocation (or free that stays), index + 1.
    pub(super) buckets: &'a mut [u32],
    /// The next older one in its bucket.
    pub(super) next: &'a mut [u32],
    /// By hash of the group: the first release of it.
    pub(super) group_buckets: &'a mut [u32],
    /// Of an allocation: the next older one of its group; once it is released, its release. Of the first release of a group: the
    /// youngest live member.
    pub(super) link: &'a mut [u32],
    /// Of an allocation: the next older one on its device.
    pub(super) older: &'a mut [u32],
    /// What vanishes.
    pub(super) dead: &'a mut [u64],
    /// Allocations that no free finds any more. A dead one that is not among them ended with its device: its free may come late.
    /// Of releases: the first of a group, once a release was met that leaves nothing of the group alive.
    pub(super) ended: &'a mut [u64],
    /// Allocations that a doubtful free has taken out of the running sums already.
    pub(super) covered: &'a mut [u64],
    pub(super) devices: &'a mut [Device],
    pub(super) sums: &'a mut [Sums],
    /// By number: the record that names the tag, index + 1.
    pub(super) tags: &'a mut [u32],
    pub(super) releases: bool,
    pub(super) unknown_frees: u64,
    pub(super) steps: usize,
}

impl<'a, W: Word64> Marks<'a, W> {
    pub(super) fn new(
        slots: &'a [Slot<W>],
        from: u64,
        count: usize,
        history: bool,
        scratch: &'a mut [u64],
    ) -> Option<Self> {
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
        let (sums, rest) = rest.split_at_mut(ROWS * MEMORY_KINDS * 3);
        let (tags, _) = rest.split_at_mut(TAGS / 2);
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
            tags: bytemuck::cast_slice_mut(tags),
            releases: false,
            unknown_frees: 0,
            steps: 0,
        })
    }

    pub(super) fn slot(&self, at: usize) -> &'a Slot<W> {
        &self.slots[((self.from + at as u64) & (self.slots.len() as u64 - 1)) as usize]
    }

    pub(super) fn event(&self, at: usize) -> Event {
        Event::from_words(self.slot(at).copy(0))
    }

    pub(super) fn is_dead(&self, at: usize) -> bool {
        has(self.dead, at)
    }

    pub(super) fn kill(&mut self, at: usize) {
        put(self.dead, at);
    }

    pub(super) fn kill_noted(&mut self, note: u32) {
        if let Some(at) = (note as usize).checked_sub(1) {
            self.kill(at);
        }
    }

    pub(super) fn bucket(&self, a: u64, b: u64) -> usize {
        let mixed = (a ^ b.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as usize >> 7 & (self.buckets.len() - 1)
    }

    pub(super) fn key_bucket(&self, event: &Event) -> usize {
        self.bucket(event.id, u64::from(event.device) << 8 | u64::from(event.memory))
    }

    pub(super) fn sums(&mut self, event: &Event) -> &mut Sums {
        &mut self.sums[event.device as usize * MEMORY_KINDS + usize::from(event.memory) % MEMORY_KINDS]
    }

    /// Finds what vanishes. How many; `None` when it takes too long.
    pub(super) fn mark(&mut self) -> Option<usize> {
        self.note_groups();
        for at in 0..self.count {
            let event = self.event(at);
            self.step(at, &event);
            if self.steps > STEPS_EACH * (self.count + 64) {
                return None;
            }
        }
        Some(self.dead.iter().map(|bits| bits.count_ones() as usize).sum())
    }

    pub(super) fn step(&mut self, at: usize, event: &Event) {
        let valid = Memory::from_u8(event.memory).is_some() && event.device <= MAX_DEVICE;
        let Some(kind) = Kind::from_u8(event.kind).filter(|_| valid) else { return self.kill(at) };
        // There is no row for the sums of such a device: what is of it stays.
        if event.device as usize >= ROWS {
            return;
        }
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
            Kind::Tag => match event.told_tag() {
                Some((number, _)) => {
                    let before = core::mem::replace(&mut self.tags[usize::from(number)], at as u32 + 1);
                    self.kill_noted(before);
                }
                None => self.kill(at),
            },
            // No ring that is compacted has one.
            Kind::Doubt => self.kill(at),
        }
    }

    pub(super) fn alloc(&mut self, at: usize, event: &Event) {
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

    pub(super) fn chain(&mut self, at: usize, event: &Event) {
        let bucket = self.key_bucket(event);
        self.next[at] = core::mem::replace(&mut self.buckets[bucket], at as u32 + 1);
    }

    /// An allocation that is in this section ends in it, and vanishes.
    pub(super) fn end(&mut self, at: usize, event: &Event) {
        put(self.ended, at);
        self.end_late(at, event);
    }

    /// As `end`; a free of it may come yet.
    pub(super) fn end_late(&mut self, at: usize, event: &Event) {
        self.kill(at);
        let taken = event.taken();
        let sums = self.sums(event);
        sums.gone = sums.gone.saturating_add(taken);
        self.cover(at, event);
    }

    /// Takes an allocation out of the running sums, once.
    pub(super) fn cover(&mut self, at: usize, event: &Event) {
        if !has(self.covered, at) {
            put(self.covered, at);
            let sums = self.sums(event);
            sums.live = sums.live.saturating_sub_unsigned(event.taken());
        }
    }

    /// Moves what is left up to the end, in its order. The number of the first.
    pub(super) fn slide(&mut self) -> u64 {
        let mut to = self.count;
        for at in (0..self.count).rev() {
            if self.is_dead(at) {
                continue;
            }
            to -= 1;
            if to != at {
                let words = self.slot(at).copy(0);
                // Its stamp is right: it is the number's, not the record's. Consumers are kept out by the section's lock, which
                // publishes what was moved.
                self.slot(to).fill(&words);
            }
        }
        self.from + to as u64
    }
}
