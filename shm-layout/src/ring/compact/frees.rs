//! What compaction makes of frees: a free and what it frees vanish together, unless the free may be for something else.

use super::marks::{Marks, has, put};
use crate::atomics::Word64;
use crate::event::{Event, Kind, flags};

/// A free that stays, because it may be for something that was read before: what that says of later frees of its key.
const DOUBTFUL: u32 = 1;
const CERTAIN: u32 = 2;

/// What a free finds of its key.
#[derive(Default)]
struct Found {
    /// The oldest live allocation, and the one after it.
    oldest: Option<(usize, Event)>,
    second: Option<(usize, Event)>,
    /// The oldest free that may have been for something else.
    doubtful: Option<usize>,
    doubts: usize,
    /// Nothing that was read before has this key any more.
    certain: bool,
    /// Something that ended with its device and was not freed since.
    late: Option<usize>,
}

impl Found {
    fn add(&mut self, at: usize, event: Event) {
        self.second = self.oldest.replace((at, event));
    }
}

impl<W: Word64> Marks<'_, W> {
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
                    found.add(at, other);
                }
            } else if self.link[at] == CERTAIN {
                found.certain = true;
            } else {
                found.doubtful = Some(at);
                found.doubts += 1;
            }
        }
        (found, before_doubt)
    }

    pub(super) fn free(&mut self, at: usize, event: &Event) {
        let (found, before_doubt) = self.find(event);
        let Some((oldest, alloc)) = found.oldest.or(before_doubt) else { return self.free_nothing(at, event, &found) };
        let by_address = (event.flags | alloc.flags) & flags::ID_IS_ADDRESS != 0;
        let two_sides = found.oldest.is_some() && before_doubt.is_some();
        if !two_sides && (!self.history || !by_address || found.certain) {
            self.kill(at);
            if found.doubts == 1
                && let Some((second, event)) = found.second
            {
                self.cover(second, &event);
            }
            return self.end(oldest, &alloc);
        }
        // What was read before (or came before an introduction that may be a close) may be alive, too, and then be what is freed.
        // Which of them, the reader knows: the youngest allocation and one free stay.
        match (found.doubtful, found.second) {
            (None, _) => self.cover(oldest, &alloc),
            (Some(doubtful), Some((second, event))) => {
                if found.doubts == 1 {
                    self.cover(second, &event);
                }
                // A release in between may have ended what was read before: the later free cannot stand for the earlier one.
                if doubtful >= self.devices[alloc.device as usize].release as usize {
                    self.kill(doubtful);
                    self.end(oldest, &alloc);
                }
            }
            (Some(_), None) => {}
        }
        self.stay(at, event, DOUBTFUL);
    }

    fn free_nothing(&mut self, at: usize, event: &Event, found: &Found) {
        if let Some(late) = found.late {
            put(self.ended, late);
        } else if self.history {
            // It frees what was read before: from here on nothing older has this key.
            self.stay(at, event, CERTAIN);
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

    fn stay(&mut self, at: usize, event: &Event, says: u32) {
        self.link[at] = says;
        self.chain(at, event);
    }
}
