//! Where ids come from.

/// A small fast generator (splitmix64): the same numbers in every run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins here.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.any()) * end as u128) >> 64) as usize
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// A way to choose ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// 0, 1, 2, …: tt-metal's `Buffer::unique_id`.
    Sequential,
    /// Any 64 bits.
    Random,
    /// Addresses: multiples of 4096.
    Addresses,
    /// The low 32 bits are all the same: a table that takes its bucket from them has one.
    EqualLowBits,
    /// All fall into one bucket of a table that multiplies by a known constant and takes the top bits (the hash of
    /// rustc, called fx): multiples of the constant's inverse.
    AgainstFx,
    /// One id for everything: an address that is live many times, freed oldest first.
    One,
}

/// The constant of fx, and what undoes it.
const FX: u64 = 0xf135_7aea_2e62_a9c5;

/// The number that this odd number has to be multiplied with to give 1.
const fn inverse(odd: u64) -> u64 {
    // Newton: each round doubles the bits that are right; an odd number is its own inverse in three.
    let mut x = odd;
    let mut round = 0;
    while round < 5 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

impl Ids {
    /// All that differ.
    pub const DISTINCT: [Self; 5] =
        [Self::Sequential, Self::Random, Self::Addresses, Self::EqualLowBits, Self::AgainstFx];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential ids",
            Self::Random => "random ids",
            Self::Addresses => "addresses, multiples of 4096",
            Self::EqualLowBits => "hostile: equal low 32 bits",
            Self::AgainstFx => "hostile: against an unkeyed hash",
            Self::One => "hostile: one id for all",
        }
    }

    /// The id number `n`; different for every `n` but for [`Ids::One`].
    pub const fn id(self, n: u64) -> u64 {
        match self {
            Self::Sequential => n,
            Self::Random => {
                // Odd multiplications and shifts only: no two n have the same.
                let x = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                x ^ x >> 31
            }
            Self::Addresses => n << 12,
            Self::EqualLowBits => n << 32 | 0xdead_beef,
            Self::AgainstFx => n.wrapping_mul(inverse(FX)),
            Self::One => 0x1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_against_fx_have_equal_top_bits_there() {
        assert_eq!(FX.wrapping_mul(inverse(FX)), 1);
        assert!((0..1 << 20).all(|n| Ids::AgainstFx.id(n).wrapping_mul(FX) >> 32 == 0));
    }
}
