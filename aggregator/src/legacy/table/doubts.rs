//! Frees of an address that several memory kinds have: what is guessed, and until when it is not known whether that was right.
//!
//! One guess is settled by the next allocation of one of these kinds there: an allocator gives out what is free. Where more was guessed, or
//! frees of earlier uses are still to come (threads overtake each other), such an allocation tells nothing: then only when everything at the
//! address has ended.

use super::{Block, Context, Event, Key, Kind, Memory, Message, Table};
use std::collections::hash_map::Entry;

/// Where it is not known which of several memory kinds was freed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    freed: Block,
    /// Unix time, ns.
    since: u64,
    by: u64,
    /// The memory kinds that it may have been: one bit each.
    kinds: u8,
    /// Nothing was guessed at this address before, of which it is not known either.
    first: bool,
}

impl Table {
    pub(super) fn doubt(&mut self, key: Key, freed: Block, context: Context, each: &mut dyn FnMut(Event)) {
        let of_buffers = self.of(key).iter().map(|block| block.memory).filter(|memory| *memory <= Memory::Trace);
        let kinds = of_buffers.chain([freed.memory]).fold(0, |kinds, memory| kinds | 1 << memory as u8);
        let earlier = self.doubts.get(&key).map_or(0, |doubt| doubt.kinds);
        let (since, by) = (context.unix_ns, context.connection);
        self.doubts.insert(key, Doubt { freed, since, by, kinds: kinds | earlier, first: earlier == 0 });
        for memory in of_bits(kinds & !earlier) {
            let count = self.doubtful.entry((key.0, memory)).or_default();
            *count += 1;
            if *count == 1 {
                each(Event { size: 1, ..Event::new(Kind::Doubt, memory, key.0) });
            }
        }
    }

    /// The records that mark the accounts of which it is not known.
    pub(super) fn marks(&self) -> impl Iterator<Item = Event> + '_ {
        self.doubtful.keys().map(|(device, memory)| Event { size: 1, ..Event::new(Kind::Doubt, *memory, *device) })
    }

    /// It is known what was freed, or does not matter any more.
    pub(super) fn settle(&mut self, key: Key, each: &mut dyn FnMut(Event)) {
        let Some(doubt) = self.doubts.remove(&key) else { return };
        for memory in of_bits(doubt.kinds) {
            let Entry::Occupied(mut count) = self.doubtful.entry((key.0, memory)) else { continue };
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
                each(Event::new(Kind::Doubt, memory, key.0));
            }
        }
    }

    /// An allocator gives an address out that is free: where two memory kinds had it and one was freed, this tells which.
    pub(super) fn look_at_doubt(
        &mut self,
        key: Key,
        memory: Memory,
        message: &Message,
        context: Context,
        each: &mut dyn FnMut(Event),
    ) {
        let Some(doubt) = self.doubts.get(&key).copied() else { return };
        // What was sent before the free says nothing, nor does another memory kind; of several guesses one answer settles none.
        let before = doubt.by != context.connection && message.time < doubt.since;
        if before || !doubt.first || doubt.kinds & 1 << memory as u8 == 0 {
            return;
        }
        // While more frees are to come than there are blocks, this kind may have been freed by one of those.
        if self.of(key).iter().any(|block| block.memory <= Memory::Trace && block.views > 1) {
            return;
        }
        let there = self.of(key).iter().position(|block| block.memory == memory);
        if let Some(at) = there.filter(|_| doubt.freed.memory != memory) {
            // The other one was guessed, and it was this one.
            self.end(key, at, each);
            let blocks = self.blocks.get_mut(&key);
            if let Some(block) = blocks.and_then(|all| all.iter_mut().find(|one| one.memory == doubt.freed.memory)) {
                // Told again meanwhile, as an older one: of each kind there is one.
                block.views = block.views.saturating_add(1);
            } else {
                self.last += 1;
                self.put(key, Block { number: self.last, views: 1, ..doubt.freed }, each);
            }
        }
        self.settle(key, each);
    }
}

fn of_bits(kinds: u8) -> impl Iterator<Item = Memory> {
    (0..8).filter(move |n| kinds & 1 << n != 0).filter_map(Memory::from_u8)
}
