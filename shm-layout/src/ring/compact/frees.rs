//! What compaction makes of frees: a free and what it frees vanish together, unless the free may be for something else.

use super::marks::{Marks, has, put};
use crate::atomics::Word64;
use crate::event::{Event, Kind, flags};

/// What a free finds of its key.
#[derive(Default)]
struct Found {
    /// The oldest live allocation that no free that stays may have meant.
    oldest: Option<(usize, Event)>,
    /// Nothing that was read before has this key any more.
    certain: bool,
    /// Something that ended with its device and was not freed since.
    late: Option<usize>,
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
            let meant = !late && has(self.covered, at);
            if gone || meant || self.is_dead(at) && !late || late && same && found.late.is_some() {
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
                }
            }
        }
        (found, before_doubt)
    }

    /// A free stays unless it is killed here.
    pub(super) fn free(&mut self, at: usize, event: &Event) {
        let (found, before_doubt) = self.find(event);
        let Some((oldest, alloc)) = found.oldest.or(before_doubt) else { return self.free_nothing(at, event, &found) };
        let by_address = (event.flags | alloc.flags) & flags::ID_IS_ADDRESS != 0;
        let two_sides = found.oldest.is_some() && before_doubt.is_some();
        if !two_sides && (!self.history || !by_address || found.certain) {
            self.kill(at);
            return self.end(oldest, &alloc);
        }
        // What was read before (or came before an introduction that may be a close) may be alive, too, and then be what is freed.
        // Which of them, only the reader knows: both stay.
        self.cover(oldest, &alloc);
    }

    fn free_nothing(&mut self, at: usize, event: &Event, found: &Found) {
        if let Some(late) = found.late {
            put(self.ended, late);
        } else if self.history {
            // It frees what was read before, and stays.
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
}
