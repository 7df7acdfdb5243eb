//! cpu: how much of the CPUs the tasks of a group get.
//!
//! A limit is a *quota* of CPU time in each *period*, for all tasks of the group and of those below it;
//! *shares* say how siblings that want the same CPUs divide them. Both hold at every level. What a group may
//! have is decided here, and kept to by a back end of the owner's: the kernel's own controller or a throttle.
//! Either needs a name for a group that outlives a rename and is never another's: [`CpuGroup`]. What the back
//! end has counted is [noted](crate::Framework::note_cpu_stat) for `cpu.stat`.
//!
//! Files, ranges and errnos are those of cgroup v1 (kernel/sched/core.c, tg_set_cfs_bandwidth() and
//! sched_group_set_shares()). A root has no limit: it is the host's.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Add;

use crate::core::Core;
use crate::group::GroupId;
use crate::subsystem::{CPU, Context, ControlFile, CssTable, States, Subsystem, parse_u64};
use crate::table::TaskSlot;
use crate::{Credentials, Errno, Nanoseconds, Refusal};

/// Fewest and most shares; what is written beside is taken as the nearer of the two.
const SHARES: [u64; 2] = [2, 1 << 18];
/// Shortest and longest period.
const PERIOD_US: [u64; 2] = [1_000, 1_000_000];
/// Least and most quota (kernel: min_bw_quota_period, max_bw_quota).
const QUOTA_US: [u64; 2] = [1_000, (1 << 44) - 1];
/// Bits behind the point of a ratio (kernel: BW_SHIFT).
const RATIO_BITS: u32 = 20;

/// A group of the cpu hierarchy, under a number that no other group gets while this framework lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuGroup(u64);

impl CpuGroup {
    /// The root of whatever hierarchy has the subsystem.
    pub const ROOT: CpuGroup = CpuGroup(0);
}

impl fmt::Display for CpuGroup {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// What a group may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CpuLimits {
    /// Weight among siblings, 2 to 262144.
    pub shares: u64,
    /// CPU time in a period, microseconds; None for no limit.
    pub quota_us: Option<u64>,
    /// Length of a period, microseconds.
    pub period_us: u64,
}

impl CpuLimits {
    /// Those of a new group, and of every root.
    pub const DEFAULT: CpuLimits = CpuLimits {
        shares: 1024,
        quota_us: None,
        period_us: 100_000,
    };

    /// CPUs that the quota comes to, in units of 2^-20; None for no limit.
    pub fn ratio(&self) -> Option<u64> {
        let ratio = |quota: u64| (quota << RATIO_BITS) / self.period_us;
        self.quota_us.map(ratio)
    }
}

/// What a group's limit has come to, for `cpu.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// Periods that have passed with the group running in them.
    pub nr_periods: u64,
    /// Periods in which it was held.
    pub nr_throttled: u64,
    /// How long it was held.
    pub throttled: Nanoseconds,
}

impl Add for CpuStat {
    type Output = CpuStat;

    fn add(self, other: CpuStat) -> CpuStat {
        CpuStat {
            nr_periods: self.nr_periods + other.nr_periods,
            nr_throttled: self.nr_throttled + other.nr_throttled,
            throttled: Nanoseconds(self.throttled.0 + other.throttled.0),
        }
    }
}

/// One group's.
#[derive(Clone, Copy, Debug)]
struct State {
    id: CpuGroup,
    limits: CpuLimits,
    /// What the back end counts now.
    stat: CpuStat,
    /// What it had counted before it made the group again.
    carried: CpuStat,
}

static FILES: &[ControlFile] = &[
    ControlFile::writable("cpu.shares").shown_to_guests(),
    ControlFile::writable("cpu.cfs_period_us").shown_to_guests(),
    ControlFile::writable("cpu.cfs_quota_us").shown_to_guests(),
    ControlFile::read_only("cpu.stat").shown_to_guests(),
];

#[derive(Clone)]
pub(crate) struct Cpu {
    states: CssTable<State>,
    /// The last number given, and what it was before the batch under way. A commit gives the numbers that the trial
    /// gave, where the slots of groups may be others.
    last: u64,
    settled: u64,
}

impl Cpu {
    pub fn new() -> Cpu {
        Cpu {
            states: CssTable::new(),
            last: 0,
            settled: 0,
        }
    }

    pub fn id(&self, group: GroupId) -> CpuGroup {
        self.states.get(group).id
    }

    pub fn limits(&self, group: GroupId) -> CpuLimits {
        self.states.get(group).limits
    }

    /// Where a task stands; None where the subsystem is not mounted.
    pub fn group_of(&self, core: &Core, task: TaskSlot) -> Option<CpuGroup> {
        core.is_bound(CPU)
            .then(|| self.id(core.group_for(CPU, task)))
    }

    /// What has been counted of a group. Outside any batch: a fact.
    pub fn note(&mut self, group: GroupId, stat: CpuStat) {
        self.states.get_mut(group).stat = stat;
    }

    /// So much has been counted of these, and the back end begins at nothing again. A fact as well.
    pub fn carry(&mut self, counted: &BTreeMap<CpuGroup, Option<CpuStat>>) {
        if counted.is_empty() {
            return;
        }
        for state in self.states.all_mut() {
            if let Some(counted) = counted.get(&state.id) {
                let noted = std::mem::take(&mut state.stat);
                state.carried = state.carried + counted.unwrap_or(noted);
            }
        }
    }

    /// The group is about to be made, changed or removed.
    fn touch(&self, cx: &mut Context<'_>, group: GroupId, before: Option<CpuLimits>) {
        let parent = cx.core.groups[group].parent;
        let parent = parent.map(|parent| self.id(parent));
        cx.touched.limit((group, self.id(group)), parent, before);
    }

    fn write_limits(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        file: &str,
        limits: CpuLimits,
    ) -> Result<(), Refusal> {
        self.may_have(cx.core, group, file, limits)?;
        self.touch(cx, group, Some(self.limits(group)));
        self.states.edit(group).limits = limits;
        Ok(())
    }

    /// Nobody has more than a group above has: the kernel would refuse it too, and neither would be told
    /// where the CPU time went.
    ///
    /// # Errors
    /// EINVAL for more than an ancestor, or less than a group below.
    fn may_have(
        &self,
        core: &Core,
        group: GroupId,
        file: &str,
        limits: CpuLimits,
    ) -> Result<(), Refusal> {
        let Some(ratio) = limits.ratio() else {
            return Ok(());
        };
        let limit = |of: GroupId| self.limits(of).ratio();
        let above = core.lineage(group).skip(1);
        let less = |of: &GroupId| limit(*of).is_some_and(|limit| limit < ratio);
        let (other, than) = if let Some(above) = above.into_iter().find(less) {
            (above, "is more than the")
        } else {
            let more = |of: &GroupId| limit(*of).is_some_and(|limit| limit > ratio);
            match core.subtree(group).skip(1).find(more) {
                Some(below) => (below, "is less than the"),
                None => return Ok(()),
            }
        };
        let (this, that) = (in_words(limits), in_words(self.limits(other)));
        let rule = format!("{file}: {this} {than} {that} of ");
        let path = (&core.groups[other].path).into();
        Err(Refusal::about(Errno::EINVAL, [rule.into(), path]))
    }
}

/// `50000 us in 100000`.
fn in_words(limits: CpuLimits) -> String {
    let quota = limits.quota_us.map_or("all".into(), |us| us.to_string());
    format!("{quota} us in {}", limits.period_us)
}

/// A quota as the kernel's kstrtos64 with base 0 takes it; any number below zero is none.
///
/// # Errors
/// EINVAL for no number and for one out of [`QUOTA_US`], ERANGE past 64 bits with a sign.
fn parse_quota(file: &str, value: &str) -> Result<Option<u64>, Refusal> {
    let range = || {
        let rule = format!("{file} takes 64 bits with a sign, not {}", value.trim_end());
        Refusal::plain(Errno::ERANGE, rule)
    };
    if let Some(digits) = value.strip_prefix('-') {
        // A second sign is none of a number.
        let digits = if digits.starts_with('+') { "" } else { digits };
        return match parse_u64(file, digits)? {
            0 => within(file, "us", 0, QUOTA_US).map(Some),
            below if below <= 1 << 63 => Ok(None),
            _ => Err(range()),
        };
    }
    let quota = parse_u64(file, value)?;
    i64::try_from(quota).map_err(|_| range())?;
    within(file, "us", quota, QUOTA_US).map(Some)
}

/// # Errors
/// EINVAL outside.
fn within(file: &str, unit: &str, number: u64, [least, most]: [u64; 2]) -> Result<u64, Refusal> {
    match (least..=most).contains(&number) {
        true => Ok(number),
        false => {
            let rule = format!("{file} takes {least} to {most} {unit}, not {number}");
            Err(Refusal::plain(Errno::EINVAL, rule))
        }
    }
}

impl Subsystem for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn files(&self) -> &'static [ControlFile] {
        FILES
    }

    fn states(&self) -> Option<&dyn States> {
        Some(&self.states)
    }

    fn states_mut(&mut self) -> Option<&mut dyn States> {
        Some(&mut self.states)
    }

    fn css_alloc(&mut self, _cx: &mut Context<'_>, group: GroupId, parent: Option<GroupId>) {
        let id = match parent {
            None => CpuGroup::ROOT,
            Some(_) => {
                self.last += 1;
                CpuGroup(self.last)
            }
        };
        let (limits, stat) = (CpuLimits::DEFAULT, CpuStat::default());
        let state = State {
            id,
            limits,
            stat,
            carried: stat,
        };
        self.states.insert(group, state);
    }

    fn css_online(&mut self, cx: &mut Context<'_>, group: GroupId) {
        self.touch(cx, group, None);
    }

    fn css_offline(&mut self, cx: &mut Context<'_>, group: GroupId, _parent: GroupId) {
        self.touch(cx, group, Some(self.limits(group)));
    }

    fn attach(&mut self, cx: &mut Context<'_>, task: TaskSlot, from: GroupId, _to: GroupId) {
        let task = cx.core.tasks.slots[task].id;
        cx.touched.enroll(task, Some(self.id(from)));
    }

    fn fork(
        &mut self,
        cx: &mut Context<'_>,
        task: TaskSlot,
        _group: GroupId,
    ) -> Result<(), Refusal> {
        cx.touched.enroll(cx.core.tasks.slots[task].id, None);
        Ok(())
    }

    fn bind(&mut self, cx: &mut Context<'_>, from: GroupId, to: GroupId) {
        let was_bound = cx.core.is_bound(CPU);
        let root = if was_bound { from } else { to };
        let before = was_bound.then_some(CpuLimits::DEFAULT);
        cx.touched.limit((root, CpuGroup::ROOT), None, before);
        for task in cx.core.tasks_in(from) {
            let task = cx.core.tasks.slots[task].id;
            cx.touched.enroll(task, was_bound.then_some(CpuGroup::ROOT));
        }
        self.states.rebind(from, to);
    }

    fn read(&self, _core: &Core, _by: &Credentials, group: GroupId, file: &str) -> String {
        let state = self.states.get(group);
        let (limits, stat) = (state.limits, state.carried + state.stat);
        match file {
            "cpu.shares" => limits.shares.to_string(),
            "cpu.cfs_quota_us" => limits.quota_us.map_or("-1".into(), |us| us.to_string()),
            "cpu.cfs_period_us" => limits.period_us.to_string(),
            _ => format!(
                "nr_periods {}\nnr_throttled {}\nthrottled_time {}",
                stat.nr_periods, stat.nr_throttled, stat.throttled
            ),
        }
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        file: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        let mut limits = self.limits(group);
        match file {
            "cpu.cfs_quota_us" => limits.quota_us = parse_quota(file, value)?,
            "cpu.cfs_period_us" => {
                limits.period_us = within(file, "us", parse_u64(file, value)?, PERIOD_US)?;
            }
            _ => limits.shares = parse_u64(file, value)?.clamp(SHARES[0], SHARES[1]),
        }
        let this = &cx.core.groups[group];
        if this.parent.is_none() {
            let rule = format!("{file} of the root group {} is the host's", this.path);
            return Err(Refusal::new(Errno::EINVAL, rule));
        }
        self.write_limits(cx, group, file, limits)
    }

    fn undo(&mut self) {
        self.states.undo();
        self.last = self.settled;
    }

    fn settle(&mut self) {
        self.states.settle();
        self.settled = self.last;
    }

    fn dump(&self) -> String {
        format!("last {}\n{}", self.last, self.states.dump())
    }
}
