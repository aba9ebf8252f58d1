//! What ends together: the allocations of one context (a program, an allocator) of one memory kind on one device, and
//! all of a device. Each group is a list through its members.
//!
//! An entry that is freed stays in its list, as a stale member, until it is used again: most often by the same group, and
//! then there was nothing to do, neither for the free nor for the allocation. Whoever walks a list takes the stale
//! members out, so each is met once.

use super::chunks::Chunks;
use super::hash::{Keyed, Mark};
use super::index::Index;
use super::links::{Link, NONE};
use super::processor::prefetch;
use shm_layout::event::{Event, Memory};

/// The group of an entry and its neighbours in the group's list, stale ones among them.
#[derive(Clone, Copy, Debug)]
struct Membership {
    /// [`NONE`]: in no list.
    group: u32,
    link: Link,
}

impl Default for Membership {
    fn default() -> Self {
        Self { group: NONE, link: Link::default() }
    }
}

/// What names a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupKey {
    /// The process's logical device number.
    pub device: u32,
    /// [`Memory`] number.
    pub memory: u8,
    /// Program, allocator; 0 none.
    pub context: u32,
}

impl GroupKey {
    /// The group of a record.
    #[inline(always)]
    pub const fn of(event: &Event) -> Self {
        Self { device: event.device, memory: event.memory, context: event.context }
    }
}

#[derive(Clone, Copy, Debug)]
struct Group {
    key: GroupKey,
    /// Its last member to come, the first of the list.
    first: u32,
    /// Neighbours among the groups of its device.
    link: Link,
    /// Footprint of its live members; for circular buffers only.
    bytes: u64,
}

impl Default for Group {
    fn default() -> Self {
        Self { key: GroupKey::default(), first: NONE, link: Link::default(), bytes: 0 }
    }
}

/// Every group.
#[derive(Debug)]
pub struct Groups {
    keyed: Keyed,
    index: Index,
    groups: Chunks<Group, 64>,
    vacant: Vec<u32>,
    /// Groups from this one on were never used.
    fresh: u32,
    /// First group of each device.
    devices: Vec<u32>,
    /// By entry.
    members: Chunks<Membership, 1024>,
    /// The group that was entered last: the next record often belongs there.
    recent: (GroupKey, u32),
}

impl Groups {
    /// None yet.
    pub fn new(keyed: Keyed) -> Self {
        Self {
            keyed,
            index: Index::default(),
            groups: Chunks::default(),
            vacant: Vec::new(),
            fresh: 0,
            devices: Vec::new(),
            members: Chunks::default(),
            recent: (GroupKey::default(), NONE),
        }
    }

    fn mark(&self, key: &GroupKey) -> Mark {
        self.keyed.mark(key.device, key.memory, u64::from(key.context))
    }

    fn key(&self, number: u32) -> GroupKey {
        self.groups.there(number).map_or(GroupKey::default(), |group| group.key)
    }

    /// The group with this key.
    pub fn find(&self, key: &GroupKey) -> Option<u32> {
        self.index.find(self.mark(key), |group| self.key(group) == *key).ok().map(|(_, group)| group)
    }

    /// Footprint of a group of circular buffers.
    pub fn bytes(&self, key: &GroupKey) -> u64 {
        self.find(key).map_or(0, |group| self.groups.get(group).bytes)
    }

    /// The entry joins the group of its record.
    #[inline(always)]
    pub fn enter(&mut self, at: u32, event: &Event) {
        let key = GroupKey::of(event);
        if self.recent.0 != key || self.recent.1 == NONE {
            self.recent = (key, self.find_or_add(&key));
        }
        let number = self.recent.1;
        if event.memory == Memory::Cb as u8
            && let Some(group) = self.groups.there_mut(number)
        {
            group.bytes = group.bytes.saturating_add(event.taken());
        }
        if self.members.get(at).group != number {
            self.move_to(at, number);
        }
    }

    /// The entry changes lists.
    #[inline(never)]
    fn move_to(&mut self, at: u32, number: u32) {
        self.unlink(at);
        let Some(group) = self.groups.there_mut(number) else { return };
        let next = core::mem::replace(&mut group.first, at);
        if let Some(after) = self.members.there_mut(next) {
            after.link.previous = at;
        }
        *self.members.get_mut(at) = Membership { group: number, link: Link { next, previous: NONE } };
    }

    #[cold]
    #[inline(never)]
    fn find_or_add(&mut self, key: &GroupKey) -> u32 {
        let mark = self.mark(key);
        let vacant = match self.index.find(mark, |group| self.key(group) == *key) {
            Ok((_, group)) => return group,
            Err(vacant) => vacant,
        };
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        });
        self.index.put(vacant, mark, number);
        let device = key.device as usize;
        if self.devices.len() <= device {
            self.devices.resize(device + 1, NONE);
        }
        let next = core::mem::replace(&mut self.devices[device], number);
        if next != NONE {
            self.groups.get_mut(next).link.previous = number;
        }
        let link = Link { next, previous: NONE };
        *self.groups.get_mut(number) = Group { key: *key, link, ..Group::default() };
        number
    }

    /// The entry is live no more: it stays in its group as a stale member.
    #[inline(always)]
    pub fn leave(&mut self, at: u32, event: &Event) {
        if event.memory == Memory::Cb as u8 {
            self.subtract(at, event.taken());
        }
    }

    #[inline(never)]
    fn subtract(&mut self, at: u32, taken: u64) {
        let number = self.members.get(at).group;
        if let Some(group) = self.groups.there_mut(number) {
            group.bytes = group.bytes.saturating_sub(taken);
        }
    }

    /// Takes an entry out of its list; a group without members is no more.
    pub fn unlink(&mut self, at: u32) {
        let Some(member) = self.members.there_mut(at) else { return };
        let Membership { group, link: Link { next, previous } } = core::mem::take(member);
        if group == NONE {
            return;
        }
        if let Some(after) = self.members.there_mut(next) {
            after.link.previous = previous;
        }
        match self.members.there_mut(previous) {
            Some(before) => before.link.next = next,
            None => self.groups.get_mut(group).first = next,
        }
        if next == NONE && previous == NONE {
            self.remove(group);
        }
    }

    #[inline(never)]
    fn remove(&mut self, number: u32) {
        let Group { key, link, .. } = core::mem::take(self.groups.get_mut(number));
        if let Ok((place, _)) = self.index.find(self.mark(&key), |group| group == number) {
            self.index.take(place);
        }
        if link.next != NONE {
            self.groups.get_mut(link.next).link.previous = link.previous;
        }
        if link.previous == NONE {
            self.devices[key.device as usize] = link.next;
        } else {
            self.groups.get_mut(link.previous).link.next = link.next;
        }
        self.vacant.push(number);
        if self.recent.1 == number {
            self.recent.1 = NONE;
        }
    }

    /// Some group of this device, if it has any.
    pub fn of_device(&self, device: u32) -> Option<u32> {
        self.devices.get(device as usize).copied().filter(|group| *group != NONE)
    }

    /// The groups of one memory kind of a device.
    pub fn of_account(&self, device: u32, memory: u8) -> Vec<u32> {
        let mut found = Vec::new();
        let mut number = self.of_device(device);
        while let Some(group) = number.and_then(|number| self.groups.there(number)) {
            found.extend(number.filter(|_| group.key.memory == memory));
            number = Some(group.link.next).filter(|next| *next != NONE);
        }
        found
    }

    /// The next members of a group, live and stale, as many as fit into `into`; how many. None of a group that is no more.
    pub fn members(&self, number: u32, into: &mut [u32]) -> usize {
        let mut at = self.groups.get(number).first;
        let mut count = 0;
        while at != NONE && count < into.len() {
            into[count] = at;
            count += 1;
            at = self.members.get(at).link.next;
        }
        count
    }

    /// Asks for the line that tells the entry's group.
    #[inline(always)]
    pub fn prefetch(&self, at: u32) {
        if let Some(member) = self.members.there(at) {
            prefetch(member);
        }
    }

    /// Groups that have members, stale ones among them.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.index.values().len()
    }
}
