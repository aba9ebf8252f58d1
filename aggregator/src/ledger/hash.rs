//! The hash of the private indexes: keyed, so that nobody outside can choose ids that meet in one bucket.

use core::hash::BuildHasher;
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// The part of a hash that an index keeps beside each value; never 0, which is a vacant slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u32);

impl Mark {
    /// Any mark.
    #[cfg(test)]
    pub const fn chosen(mark: u32) -> Self {
        Self(mark)
    }

    /// That of nothing.
    pub const NONE: Self = Self(0);

    /// It as a number.
    #[inline(always)]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The key of one ledger's indexes.
#[derive(Clone, Debug)]
pub struct Keyed(SeedableRandomState);

impl Keyed {
    /// A new key, from the system's randomness (foldhash's own comes from addresses and clocks as well, which are
    /// poorer).
    pub fn random() -> Self {
        let seed = std::hash::RandomState::new().hash_one(0);
        Self(SeedableRandomState::with_seed(seed, SharedSeed::global_random()))
    }

    /// The mark of (device, memory kind, id or context).
    #[inline(always)]
    pub fn mark(&self, device: u32, memory: u8, number: u64) -> Mark {
        #[cfg(test)]
        if weak::IS.get() {
            return Mark(number as u32 % 3 + 1);
        }
        let hash = self.0.hash_one((number, u64::from(device) << 8 | u64::from(memory)));
        // Its upper half: folding leaves the two halves equally good.
        Mark(((hash >> 32) as u32).max(1))
    }
}

/// A hash that tells hardly anything apart, for tests of what happens then.
#[cfg(test)]
pub mod weak {
    use std::cell::Cell;

    thread_local! {
        /// Whether this thread's hash is the weak one.
        pub static IS: Cell<bool> = const { Cell::new(false) };
    }
}
