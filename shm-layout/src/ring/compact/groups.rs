//! What compaction makes of releases, which free a whole group (a program's buffers, say) at once.
//!
//! ```text
//!   group_buckets[hash] -> first release of the group --link--> youngest live member --link--> older member ...
//!   once released:                                              member --link--> its release
//! ```

use super::marks::{Marks, has, put};
use crate::atomics::Word64;
use crate::event::{Event, Kind};

impl<W: Word64> Marks<'_, W> {
    fn group_bucket(&self, event: &Event) -> usize {
        self.bucket(u64::from(event.context), u64::from(event.device) << 8 | u64::from(event.memory))
    }

    /// The first release of an event's group.
    pub(super) fn group(&mut self, event: &Event) -> Option<usize> {
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

    pub(super) fn note_groups(&mut self) {
        for at in 0..self.count {
            let event = self.event(at);
            if event.kind != Kind::FreeAll as u8 {
                continue;
            }
            self.releases = true;
            if self.group(&event).is_none() {
                let bucket = self.group_bucket(&event);
                self.next[at] = core::mem::replace(&mut self.group_buckets[bucket], at as u32 + 1);
            }
        }
    }

    pub(super) fn free_all(&mut self, at: usize, event: &Event) {
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
        let told = if event.id == 0 { again } else { event.id == blocks };
        if !whole && !unsure && (!self.history || told) {
            return self.kill(at);
        }
        if !whole && !again {
            let sums = self.sums(event);
            sums.live = sums.live.saturating_sub_unsigned(left);
        }
    }

    /// Releases that stay say how much they free: without what vanishes now.
    pub(super) fn settle_releases(&mut self) {
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
}
