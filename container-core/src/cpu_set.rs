//! Sets of host CPUs and of memory nodes: fixed-size bitmaps with the kernel's list syntax.
//!
//! One machinery, two widths, so that a CPU set can never be passed for a node set. The syntax is
//! that of `bitmap_parselist` in the kernel's lib/bitmap-str.c, oddities included; what the sets
//! mean to a group is the cpuset subsystem's business.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};
use std::str::FromStr;

use crate::{Errno, Refusal};

/// CPUs are numbered from 0 to one less than this.
pub const MAX_CPUS: usize = CPU_WORDS * 64;

const CPU_WORDS: usize = 16;
const NODE_WORDS: usize = 2;

/// A set of host CPUs.
pub type CpuSet = IdSet<CPU_WORDS>;

/// A set of the host's memory nodes.
pub type NodeSet = IdSet<NODE_WORDS>;

/// A set of small numbers, `WORDS * 64` of them at most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdSet<const WORDS: usize> {
    words: [u64; WORDS],
}

impl<const WORDS: usize> IdSet<WORDS> {
    /// The empty set.
    pub const EMPTY: Self = IdSet { words: [0; WORDS] };

    /// Numbers at or above this do not fit.
    pub const CAPACITY: u32 = (WORDS * 64) as u32;

    /// The empty set.
    pub const fn new() -> Self {
        Self::EMPTY
    }

    /// Add a number; false where it does not fit, and then nothing is added.
    pub fn insert(&mut self, id: u32) -> bool {
        match self.words.get_mut(id as usize / 64) {
            Some(word) => {
                *word |= 1 << (id % 64);
                true
            }
            None => false,
        }
    }

    /// Take a number out; true where it was in.
    pub fn remove(&mut self, id: u32) -> bool {
        let was_in = self.contains(id);
        if let Some(word) = self.words.get_mut(id as usize / 64) {
            *word &= !(1 << (id % 64));
        }
        was_in
    }

    /// Whether the number is in the set.
    pub fn contains(&self, id: u32) -> bool {
        self.words
            .get(id as usize / 64)
            .is_some_and(|word| word & (1 << (id % 64)) != 0)
    }

    /// Whether every member is also in `other`.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.words
            .iter()
            .zip(&other.words)
            .all(|(mine, theirs)| mine & !theirs == 0)
    }

    /// Whether the two share a member.
    pub fn intersects(&self, other: &Self) -> bool {
        self.words
            .iter()
            .zip(&other.words)
            .any(|(mine, theirs)| mine & theirs != 0)
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The lowest member.
    pub fn first(&self) -> Option<u32> {
        self.iter().next()
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(index as u32 * 64 + bit)
            })
        })
    }

    /// Parse a list as the kernel would on a host where numbers run from 0 to `limit - 1`.
    ///
    /// Accepted beside `0-3,7`: empty text (the empty set), blanks and repeated commas between
    /// regions, `all`, `N` for the highest number, and `0-7:2/4` (the first 2 of every 4).
    ///
    /// # Errors
    /// EINVAL for what is no list or runs backwards, ERANGE for a number at or above `limit`,
    /// EOVERFLOW for one past 32 bits.
    pub fn parse(text: &str, limit: u32) -> Result<Self, Refusal> {
        let limit = limit.clamp(1, Self::CAPACITY);
        let mut set = Self::EMPTY;
        for region in text.split([',', ' ', '\t', '\n', '\r', '\x0b', '\x0c']) {
            if !region.is_empty() {
                Region::parse(region, limit, text)?.mark(&mut set);
            }
        }
        Ok(set)
    }
}

/// One `start-end:used/period` of a list.
struct Region {
    start: u32,
    end: u32,
    used: u32,
    period: u32,
}

impl Region {
    fn parse(region: &str, limit: u32, whole: &str) -> Result<Region, Refusal> {
        let last = limit - 1;
        let garbage = || {
            let rule = format!("{whole:?} is not a list of numbers and ranges such as 0-3,7");
            Refusal::new(Errno::EINVAL, rule)
        };
        let (range, pattern) = match region.split_once(':') {
            Some((range, pattern)) => (range, Some(pattern)),
            None => (region, None),
        };
        let is_all = range.eq_ignore_ascii_case("all");
        let (start, end) = if is_all {
            (0, last)
        } else if let Some((start, end)) = range.split_once('-') {
            (number(start, last, whole)?, number(end, last, whole)?)
        } else if pattern.is_some() {
            return Err(garbage());
        } else {
            let only = number(range, last, whole)?;
            (only, only)
        };
        let (used, period) = match pattern {
            Some(pattern) => {
                let (used, period) = pattern.split_once('/').ok_or_else(garbage)?;
                (number(used, last, whole)?, number(period, last, whole)?)
            }
            None => (u32::MAX, u32::MAX),
        };
        if start > end {
            let rule = format!("the range {start}-{end} in {whole:?} runs backwards");
            return Err(Refusal::new(Errno::EINVAL, rule));
        }
        if period == 0 || used > period {
            let rule = format!("{used} of every {period} in {whole:?} cannot be taken");
            return Err(Refusal::new(Errno::EINVAL, rule));
        }
        if end >= limit {
            let rule = format!("{end} in {whole:?} is past {last}, the highest this host can have");
            return Err(Refusal::new(Errno::ERANGE, rule));
        }
        Ok(Region {
            start,
            end,
            used,
            period,
        })
    }

    fn mark<const WORDS: usize>(&self, set: &mut IdSet<WORDS>) {
        for id in self.start..=self.end {
            if (id - self.start) % self.period < self.used {
                set.insert(id);
            }
        }
    }
}

fn number(text: &str, last: u32, whole: &str) -> Result<u32, Refusal> {
    if text == "N" {
        return Ok(last);
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let rule = format!("{text:?} in {whole:?} is not a decimal number");
        return Err(Refusal::new(Errno::EINVAL, rule));
    }
    text.parse().map_err(|_| {
        Refusal::new(
            Errno::EOVERFLOW,
            format!("{text} in {whole:?} is past {}", u32::MAX),
        )
    })
}

impl<const WORDS: usize> Default for IdSet<WORDS> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Parses with the set's whole capacity as the limit; see [`IdSet::parse`].
impl<const WORDS: usize> FromStr for IdSet<WORDS> {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::parse(text, Self::CAPACITY)
    }
}

/// Numbers that do not fit are left out.
impl<const WORDS: usize> FromIterator<u32> for IdSet<WORDS> {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let mut set = Self::EMPTY;
        for id in ids {
            set.insert(id);
        }
        set
    }
}

/// The canonical list, `0-3,7`; nothing for the empty set.
impl<const WORDS: usize> fmt::Display for IdSet<WORDS> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut members = self.iter().peekable();
        let mut separator = "";
        while let Some(start) = members.next() {
            let mut end = start;
            while members.next_if_eq(&(end + 1)).is_some() {
                end += 1;
            }
            match end == start {
                true => write!(out, "{separator}{start}")?,
                false => write!(out, "{separator}{start}-{end}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

impl<const WORDS: usize> fmt::Debug for IdSet<WORDS> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{{{self}}}")
    }
}

impl<const WORDS: usize> BitAnd for IdSet<WORDS> {
    type Output = Self;

    fn bitand(mut self, other: Self) -> Self {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(mine, theirs)| *mine &= theirs);
        self
    }
}

impl<const WORDS: usize> BitOr for IdSet<WORDS> {
    type Output = Self;

    fn bitor(mut self, other: Self) -> Self {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(mine, theirs)| *mine |= theirs);
        self
    }
}

impl<const WORDS: usize> Sub for IdSet<WORDS> {
    type Output = Self;

    fn sub(mut self, other: Self) -> Self {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(mine, theirs)| *mine &= !theirs);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_accepts_what_the_kernel_accepts() {
        for (text, canonical) in [
            ("", ""),
            ("\n", ""),
            ("0-3,7", "0-3,7"),
            ("7,0-3", "0-3,7"),
            ("0,,1", "0-1"),
            ("0 1", "0-1"),
            (",0\n", "0"),
            ("all", "0-7"),
            ("ALL", "0-7"),
            ("N", "7"),
            ("5-N", "5-7"),
            ("0-1:1/2", "0"),
            ("0-7:2/4", "0-1,4-5"),
            ("all:1/4", "0,4"),
            ("1-7:1/3", "1,4,7"),
            ("000001", "1"),
        ] {
            let set = CpuSet::parse(text, 8).unwrap();
            assert_eq!(set.to_string(), canonical, "{text:?}");
            assert_eq!(format!("{set:?}"), format!("{{{canonical}}}"));
        }
    }

    #[test]
    fn parse_refuses_what_the_kernel_refuses() {
        for (text, errno) in [
            ("abc", Errno::EINVAL),
            ("1-0", Errno::EINVAL),
            ("-1", Errno::EINVAL),
            ("0x1", Errno::EINVAL),
            ("1-", Errno::EINVAL),
            ("0:1/2", Errno::EINVAL),
            ("0-3:1", Errno::EINVAL),
            ("0-3:1/0", Errno::EINVAL),
            ("0-3:3/2", Errno::EINVAL),
            ("8", Errno::ERANGE),
            ("0-8", Errno::ERANGE),
            ("99999999999", Errno::EOVERFLOW),
        ] {
            assert_eq!(CpuSet::parse(text, 8).unwrap_err().errno, errno, "{text:?}");
        }
    }

    #[test]
    fn set_operations_are_those_of_sets() {
        let low: CpuSet = "0-3".parse().unwrap();
        let odd: CpuSet = [1, 3, 5, 1023].into_iter().collect();
        assert_eq!((low & odd).to_string(), "1,3");
        assert_eq!((low | odd).to_string(), "0-3,5,1023");
        assert_eq!((low - odd).to_string(), "0,2");
        assert!(low.intersects(&odd) && !low.is_subset_of(&odd) && (low & odd).is_subset_of(&low));
        assert_eq!(
            (odd.len(), odd.first(), odd.contains(1024)),
            (4, Some(1), false)
        );
        let mut set = odd;
        assert!(set.remove(1023) && !set.remove(1023) && !set.insert(1024));
        assert_eq!(CpuSet::from_iter([1024]), CpuSet::EMPTY);
    }
}
