//! What tasks and groups used between two reports: a pure function of both and the time between them.

use std::collections::HashMap;
use std::fmt;
use std::ops::AddAssign;

use management::{Report, Task};

/// CPU time a second of wall time, in nanoseconds: 1,000,000,000 is one whole CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

impl Rate {
    /// One whole CPU.
    pub const CPU: Rate = Rate(1_000_000_000);

    fn over(ns: u64, interval_ns: u64) -> Rate {
        let scaled = u128::from(ns) * u128::from(Rate::CPU.0) / u128::from(interval_ns);
        Rate(u64::try_from(scaled).unwrap_or(u64::MAX))
    }
}

impl AddAssign for Rate {
    fn add_assign(&mut self, other: Rate) {
        self.0 = self.0.saturating_add(other.0);
    }
}

/// As a percentage of one CPU, cut to a tenth.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0 / 1_000_000;
        f.pad(&format!("{}.{}", tenths / 10, tenths % 10))
    }
}

/// How fast something uses CPUs, and how fast it waits for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Running, guest time included.
    pub usage: Rate,
    /// Ready to run, but without a CPU: what a guest sees as steal.
    pub wait: Rate,
}

impl AddAssign for Rates {
    fn add_assign(&mut self, other: Rates) {
        self.usage += other.usage;
        self.wait += other.wait;
    }
}

/// The rates of each task of `now`, in its order. A task that `before` does not have was born since; its
/// whole time counts. A count that went back counts as none. Without an interval, nothing is known.
pub fn of_tasks(before: &Report, now: &Report, interval_ns: u64) -> Option<Vec<Rates>> {
    if interval_ns == 0 {
        return None;
    }
    // A machine that is started again has tasks of the same names: only with the thread id they differ.
    let key = |task: &Task| (task.name.clone(), task.tid);
    let counts = |task: &Task| (task.usage_ns, task.wait_ns);
    let old: HashMap<_, _> = before.tasks.iter().map(|t| (key(t), counts(t))).collect();
    let rates = now.tasks.iter().map(|task| {
        let (usage, wait) = old.get(&key(task)).copied().unwrap_or_default();
        Rates {
            usage: Rate::over(task.usage_ns.saturating_sub(usage), interval_ns),
            wait: Rate::over(task.wait_ns.saturating_sub(wait), interval_ns),
        }
    });
    Some(rates.collect())
}

/// The rates of each group of `report`, children included, from those of its tasks.
///
/// Not from the groups' own bills: a hierarchy without cpuacct has none, and they can be reset. A task that
/// has moved counts where it stands now, one that has died where it stood last.
pub fn of_groups(report: &Report, tasks: &[Rates]) -> Vec<Rates> {
    let mut own: HashMap<&str, Rates> = HashMap::new();
    for (task, &rates) in report.tasks.iter().zip(tasks) {
        for group in &task.groups {
            *own.entry(group).or_default() += rates;
        }
    }
    let parents = parents(report);
    let groups = report.groups.iter();
    let mut sums: Vec<Rates> = groups
        .map(|group| own.get(group.group.as_str()).copied().unwrap_or_default())
        .collect();
    // Children stand after their parents, so that from the end each is complete when it is added.
    for at in (0..sums.len()).rev() {
        if let Some(parent) = parents[at] {
            let sum = sums[at];
            sums[parent] += sum;
        }
    }
    sums
}

/// The rates of each machine of `report`, from those of its tasks.
pub fn of_machines(report: &Report, tasks: &[Rates]) -> Vec<Rates> {
    let mut sums: HashMap<&str, Rates> = HashMap::new();
    for (task, &rates) in report.tasks.iter().zip(tasks) {
        *sums.entry(&task.machine).or_default() += rates;
    }
    let machines = report.machines.iter();
    machines
        .map(|machine| sums.get(machine.name.as_str()).copied().unwrap_or_default())
        .collect()
}

/// All together.
pub fn sum(rates: &[Rates]) -> Rates {
    let mut sum = Rates::default();
    for &one in rates {
        sum += one;
    }
    sum
}

/// The index of each group's parent: the nearest one above it of less depth.
pub fn parents(report: &Report) -> Vec<Option<usize>> {
    let mut open: Vec<usize> = Vec::new();
    let groups = &report.groups;
    let parent = |(at, group): (usize, &management::Group)| {
        while open
            .last()
            .is_some_and(|&up| groups[up].depth >= group.depth)
        {
            open.pop();
        }
        let parent = open.last().copied();
        open.push(at);
        parent
    };
    groups.iter().enumerate().map(parent).collect()
}
