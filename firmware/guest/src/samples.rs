//! Measured times, and what is said of them.

use alloc::vec::Vec;

/// Times in ticks of the counter. Its room is made before the first is taken, so that none of them
/// contains an allocation.
pub struct Samples {
    ticks: Vec<u64>,
}

impl Samples {
    /// Room for so many.
    pub fn of(count: u64) -> Self {
        Self {
            ticks: Vec::with_capacity(usize::try_from(count).unwrap_or(usize::MAX)),
        }
    }

    /// One more.
    pub fn push(&mut self, ticks: u64) {
        self.ticks.push(ticks);
    }

    /// The time that half of them do not exceed, and the one that 99 of 100 do not; 0 without any.
    pub fn p50_p99(mut self) -> (u64, u64) {
        self.ticks.sort_unstable();
        let at = |percent: usize| {
            let rank = (self.ticks.len() * percent).div_ceil(100);
            self.ticks.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        (at(50), at(99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_samples_do_not_exceed_the_median() {
        let of = |ticks: &[u64]| {
            let mut samples = Samples::of(ticks.len() as u64);
            ticks.iter().for_each(|&tick| samples.push(tick));
            samples.p50_p99()
        };
        assert_eq!(of(&[]), (0, 0));
        assert_eq!(of(&[7]), (7, 7));
        assert_eq!(of(&[3, 1, 2]), (2, 3));
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(of(&hundred), (50, 99));
    }
}
