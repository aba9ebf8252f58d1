//! The table of stacks: each is there once, however many allocations have it.

use super::{MOST_ADDRESSES, StacksHeader};
use crate::atomics::Word64;
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Slots that are looked at for one stack: no event costs more, also where the table is full.
const PROBES: usize = 128;

/// [`StackSlot::state`] is the stack's hash, but for its last two bits, which are one of these; or all is 0: free.
const CLAIMED: u64 = 1;
const THERE: u64 = 2;
const STATES: u64 = 3;

/// The bit of [`StackSlot::about`] that says that the stack goes on.
const CUT: u64 = 1 << 40;

/// A place for one stack.
#[repr(C)]
#[derive(Debug)]
pub struct StackSlot<W> {
    /// 0: free. Else the stack's hash, with 1 (being written) or 2 (there) as its last two bits.
    pub state: W,
    /// Thread id in bits 0 to 31, addresses in bits 32 to 39; bit 40: the stack goes on beyond them.
    pub about: W,
    /// Return addresses, the innermost first; 0 behind the last.
    pub addresses: [W; MOST_ADDRESSES],
}

const _: () = assert!(size_of::<StackSlot<AtomicU64>>() == 272);
const _: () = assert!(offset_of!(StackSlot<AtomicU64>, about) == 8);
const _: () = assert!(offset_of!(StackSlot<AtomicU64>, addresses) == 16);

/// A stack, copied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stack {
    /// Of this thread; 0 = not told.
    pub thread: u32,
    /// Return addresses, the innermost first.
    pub addresses: Vec<u64>,
    /// Whether it goes on beyond them.
    pub cut: bool,
}

/// The stacks of a process.
#[derive(Debug)]
pub struct Table<'a, W> {
    header: &'a StacksHeader<W>,
    slots: &'a [StackSlot<W>],
}

impl<W> Clone for Table<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Table<'_, W> {}

impl<'a, W: Word64> Table<'a, W> {
    /// Over these slots; `None` where there are none.
    pub fn new(header: &'a StacksHeader<W>, slots: &'a [StackSlot<W>]) -> Option<Self> {
        (!slots.is_empty()).then_some(Self { header, slots })
    }

    /// The number of this stack (of its first [`MOST_ADDRESSES`]), which is told if it was not; 0 if there is no place for it, which is
    /// counted. `before` is done before a new one is there for others. Waits for nobody: what another thread is just writing is
    /// passed by, so that a stack may be there twice.
    pub fn intern(&self, thread: u32, addresses: &[u64], cut: bool, before: impl FnOnce()) -> u32 {
        let addresses = &addresses[..addresses.len().min(MOST_ADDRESSES)];
        let about = u64::from(thread) | (addresses.len() as u64) << 32 | if cut { CUT } else { 0 };
        let hash = hash(about, addresses);
        let (there, claimed) = (hash & !STATES | THERE, hash & !STATES | CLAIMED);
        let count = self.slots.len();
        let start = (hash >> 32) as usize % count;
        for at in (0..count.min(PROBES)).map(|step| (start + step) % count) {
            let slot = &self.slots[at];
            // SYNC(stacks.stack): the stack is there; pairs with the Release below.
            let mut state = slot.state.load(Acquire);
            while state == 0 {
                // Relaxed: whoever wins writes alone; publishes below. SYNC(stacks.stack): as above, of whoever was quicker.
                match slot.state.compare_exchange_weak(0, claimed, Relaxed, Acquire) {
                    Ok(_) => {
                        // Relaxed: published below.
                        slot.about.store(about, Relaxed);
                        for (to, address) in slot.addresses.iter().zip(addresses) {
                            to.store(*address, Relaxed);
                        }
                        before();
                        // SYNC(stacks.stack): publishes the stack; pairs with the Acquire above and in `stack`.
                        slot.state.store(there, Release);
                        // Relaxed: a counter.
                        self.header.told.fetch_add(1, Relaxed);
                        return at as u32 + 1;
                    }
                    Err(found) => state = found,
                }
            }
            if state == there && slot.is(about, addresses) {
                return at as u32 + 1;
            }
        }
        // Relaxed: a counter.
        self.header.untold.fetch_add(1, Relaxed);
        0
    }

    /// The stack with this number, if it is there and can be one.
    pub fn stack(&self, number: u32) -> Option<Stack> {
        let slot = self.slots.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        // SYNC(stacks.stack): the stack is there; pairs with the Release in `intern`.
        if slot.state.load(Acquire) & STATES != THERE {
            return None;
        }
        // Relaxed: behind the state; of a file of somebody else's, whatever is there.
        let about = slot.about.load(Relaxed);
        let count = (about >> 32) as u8 as usize;
        let addresses = slot.addresses.get(..count)?.iter().map(|word| word.load(Relaxed)).collect();
        Some(Stack { thread: about as u32, addresses, cut: about & CUT != 0 })
    }
}

impl<W: Word64> StackSlot<W> {
    fn is(&self, about: u64, addresses: &[u64]) -> bool {
        // Relaxed: behind the state, which was acquired.
        self.about.load(Relaxed) == about
            && self.addresses.iter().zip(addresses).all(|(word, address)| word.load(Relaxed) == *address)
    }
}

/// The process hashes what is its own: nobody else chooses these numbers.
fn hash(about: u64, addresses: &[u64]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = addresses
        .iter()
        .fold(about.wrapping_mul(FACTOR), |hash, address| (hash.rotate_left(5) ^ address).wrapping_mul(FACTOR));
    (mixed ^ mixed >> 29).wrapping_mul(FACTOR)
}
