//! Quantities with their units.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanoseconds(pub u64);

/// Memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

/// CPU cycles (hardware cycles or TSC ticks; whoever read them says which).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cycles(pub u64);

/// An absolute reading of a task's counters since its birth. Readings never go back: a lower one is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// CPU time since birth.
    pub usage: Nanoseconds,
    /// Cycles since birth.
    pub cycles: Cycles,
}

/// Where a task was found, and how it spent its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The host CPU that it runs on, or ran on last.
    pub cpu: u32,
    /// Its time in user mode since the last observation, in any unit.
    pub user: u64,
    /// Its time in the kernel since the last observation, in the same.
    pub system: u64,
}

/// What was used, by a task or a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time.
    pub usage: Nanoseconds,
    /// Cycles.
    pub cycles: Cycles,
}

impl Usage {
    /// Nothing used.
    pub const ZERO: Usage = Usage {
        usage: Nanoseconds(0),
        cycles: Cycles(0),
    };
}

impl fmt::Display for Nanoseconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Saturates.
impl Add for Bytes {
    type Output = Bytes;

    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        *self = *self + other;
    }
}

/// Never below zero.
impl Sub for Bytes {
    type Output = Bytes;

    fn sub(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Cycles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Saturates: five centuries of CPU time are a counter's fault, not a reason to stop.
impl Add for Usage {
    type Output = Usage;

    fn add(self, other: Usage) -> Usage {
        Usage {
            usage: Nanoseconds(self.usage.0.saturating_add(other.usage.0)),
            cycles: Cycles(self.cycles.0.saturating_add(other.cycles.0)),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        *self = *self + other;
    }
}

/// Never below zero.
impl Sub for Usage {
    type Output = Usage;

    fn sub(self, other: Usage) -> Usage {
        Usage {
            usage: Nanoseconds(self.usage.0.saturating_sub(other.usage.0)),
            cycles: Cycles(self.cycles.0.saturating_sub(other.cycles.0)),
        }
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Usage>>(usages: I) -> Usage {
        usages.fold(Usage::ZERO, Add::add)
    }
}
