//! Numbers that look random, the same for the same seed.

/// Its state, which must not be 0: xorshift.
pub struct Dice(pub u64);

impl Dice {
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn roll(&mut self, below: u64) -> u64 {
        self.number() % below
    }
}
