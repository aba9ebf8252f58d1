//! What is written: allocations and frees, by how much is alive.

use shm_layout::event::{Event, Kind, Memory};
use std::collections::VecDeque;

/// Bytes of each allocation.
const SIZE: u64 = 4096;
/// CBs of a program.
const CBS: u64 = 20;

/// Events without end.
#[derive(Debug)]
pub enum Work {
    /// So much is alive; then one at random is freed, and another allocated.
    Steady(Steady),
    /// Programs of 20 CBs each, released at once.
    Programs(Programs),
}

impl Work {
    /// So many stay alive. Ids are this thread's own.
    pub fn steady(live: usize, thread: u64) -> Self {
        Self::Steady(Steady {
            live: Vec::with_capacity(live.min(1 << 21)),
            most: live,
            next: thread << 40,
            random: 88_172_645_463_325_252,
        })
    }

    /// So many programs stay alive.
    pub fn programs(programs: usize) -> Self {
        Self::Programs(Programs { programs: VecDeque::with_capacity(programs), most: programs, cbs: 0, next: 0 })
    }

    /// The next event.
    #[inline(always)]
    pub fn event(&mut self) -> Event {
        match self {
            Self::Steady(steady) => steady.next(),
            Self::Programs(programs) => programs.next(),
        }
    }
}

/// See [`Work::Steady`].
#[derive(Debug)]
pub struct Steady {
    live: Vec<u64>,
    most: usize,
    next: u64,
    random: u64,
}

impl Steady {
    #[inline(always)]
    fn next(&mut self) -> Event {
        if self.live.len() >= self.most {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let at = (self.random % self.live.len() as u64) as usize;
            let id = self.live.swap_remove(at);
            return Event { id, size: SIZE, ..Event::new(Kind::Free, Memory::L1, 0) };
        }
        let id = self.next;
        self.next += 1;
        // Where nothing is ever freed, nothing is remembered.
        if self.most != usize::MAX {
            self.live.push(id);
        }
        Event { id, size: SIZE, ..Event::new(Kind::Alloc, Memory::L1, 0) }
    }
}

/// See [`Work::Programs`].
#[derive(Debug)]
pub struct Programs {
    programs: VecDeque<u32>,
    most: usize,
    cbs: u64,
    next: u64,
}

impl Programs {
    #[inline(always)]
    fn next(&mut self) -> Event {
        if self.cbs == 0
            && self.programs.len() >= self.most
            && let Some(context) = self.programs.pop_front()
        {
            return Event { id: CBS, size: CBS * SIZE, context, ..Event::new(Kind::FreeAll, Memory::Cb, 0) };
        }
        let context = (self.next / CBS) as u32 + 1;
        let id = self.next;
        self.next += 1;
        self.cbs = (self.cbs + 1) % CBS;
        if self.cbs == 0 {
            self.programs.push_back(context);
        }
        Event { id, size: SIZE, context, ..Event::new(Kind::Alloc, Memory::Cb, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(mut work: Work, events: usize) -> i64 {
        let mut live = 0;
        for _ in 0..events {
            let event = work.event();
            live += match Kind::from_u8(event.kind) {
                Some(Kind::Alloc) => 1,
                Some(Kind::FreeAll) => -(event.id as i64),
                _ => -1,
            };
        }
        live
    }

    #[test]
    fn as_much_is_alive_as_was_asked_for() {
        assert_eq!(alive(Work::steady(10, 3), 10 + 2 * 500), 10);
        assert_eq!(alive(Work::programs(7), 7 * 20 + 21 * 50), 7 * 20);
        assert_eq!(alive(Work::steady(usize::MAX, 0), 5000), 5000);
    }
}
