//! Ours and its peers, all behind one face: something that one side pushes 64-byte events into and another side reads.
//!
//! | module | whose |
//! |---|---|
//! | [`ours`] | the ring in /dev/shm, with the clock that an aggregator keeps, and with the exact clock |
//! | [`bare`] | the limit: a 64-byte ring that does nothing else; the same with a compare-and-swap claim |
//! | [`queues`] | in-process queues: rtrb, crossbeam's ArrayQueue, a mutex around a VecDeque |
//! | [`socket`] | what the original's client does: a blocking send of 144 bytes to a Unix socket with a reader |
//! | [`foreign`] | tt-metal's own shared-memory counters and LTTng-UST, loaded where they are installed |
//! | [`rounds`] | the measures: warm, returned, paced, one way |
//! | [`crowd`] | many threads in one process |
//! | [`across`] | two processes |
//! | [`whole`] | the whole path of a tracked process: disabled, first event |

pub mod across;
pub mod bare;
pub mod crowd;
pub mod foreign;
pub mod ours;
pub mod queues;
pub mod rounds;
pub mod socket;
pub mod whole;

use shm_layout::event::{Event, Kind, Memory};

/// Slots of every ring and queue in [`rounds`]: few enough to stay in the caches, so that "returned" means out of the other
/// processor's cache and not out of one that both share.
pub const SLOTS: usize = 1 << 12;

/// The side that pushes.
pub trait Push: Send {
    /// Pushes event number `n`; false if it did not fit.
    fn push(&mut self, n: u64) -> bool;
}

/// The side that reads.
pub trait Drain: Send {
    /// Reads what is there and gives the slots back. Events read; their numbers go to `each`.
    fn drain(&mut self, each: impl FnMut(u64)) -> u64;
}

/// The event with this number: every field depends on it, so that nothing can be computed beforehand.
#[inline(always)]
pub fn event(n: u64) -> Event {
    Event {
        id: n,
        address: n << 12,
        size: n & 0xFFFF,
        footprint: n & 0xFFFF | 1,
        context: 3,
        ..Event::new(Kind::Alloc, Memory::Dram, (n & 3) as u32)
    }
}

/// The same as words, for peers that carry just bytes.
#[inline(always)]
pub fn words(n: u64) -> [u64; 8] {
    event(n).to_words()
}
