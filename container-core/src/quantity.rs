//! Quantities with their units.

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanoseconds(pub u64);

/// CPU cycles (hardware cycles or TSC ticks; whoever read them says which).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cycles(pub u64);

/// An absolute reading of a task's counters since its birth. Readings never go back: a lower one is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub usage: Nanoseconds,
    pub cycles: Cycles,
}

/// What was used, by a task or a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub usage: Nanoseconds,
    pub cycles: Cycles,
}
