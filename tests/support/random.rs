//! Random choices of a test, from a seed that is printed.

/// xorshift: the tests need no better.
pub struct Random(u64);

impl Random {
    /// A new sequence. Its seed is printed, to be shown when the test fails.
    pub fn seeded() -> Random {
        let seed = u64::from(std::process::id()) * 0x9e37_79b9 + 1;
        println!("seed {seed}");
        Random(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
