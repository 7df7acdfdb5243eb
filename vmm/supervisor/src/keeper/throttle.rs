//! Pinfold's own cpu controller: vCPUs of a group that has had its time are held out of their guests.
//!
//! ```text
//!  limit, enroll ──▶ what there is ──┐                        ┌──▶ the vCPUs to be held
//!                                    ├── tick(now, readings) ─┤
//!          cheap readings of tasks ──┘                        └──▶ when to look again
//! ```
//!
//! A tick reads what the tasks have used since the last one and asks two judges: [`quota`] of each group that has
//! one, [`shares`] of each group with more than one heir. Both go by what the kernel says was used, so a hold that comes
//! late is made good by the next: what a group overran is taken off its next period, and what it is ahead
//! of its siblings keeps it held until they have caught up. So the rate is right in the long run, and off by some
//! milliseconds at any moment.
//!
//! Only vCPUs can be held. What `io` and `control` of a machine use counts, and its vCPUs pay for it.
//!
//! Pure: no clock, no thread. Whoever owns it ticks it when it is [due](Throttle::due); with nothing limited and no
//! siblings it never is.

mod quota;
mod shares;
mod survey;

use std::collections::{BTreeMap, BTreeSet};

use container_core::{CpuGroup, CpuLimits, CpuSet, CpuStat, TaskId};

use quota::Account;
use shares::{Conduct, Heir, Level};
use survey::Survey;

/// From one look at siblings that want the same CPUs to the next.
const CONTENDED_NS: u64 = 10_000_000;
/// The same where no two want the same.
const PEACEFUL_NS: u64 = 50_000_000;
/// Least time from one tick to the next.
const LEAST_NS: u64 = 1_000_000;
/// And no less than this for each task that is read: a reading takes a microsecond, so that all of them take a
/// twentieth of one CPU at the very most.
const LEAST_NS_A_TASK: u64 = 20_000;
/// A held group that may leave some of its vCPUs running takes turns among them.
const TURN_NS: u64 = 100_000_000;

/// What a task has used since its birth, and where it may run.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// CPU time, nanoseconds.
    pub used: u64,
    /// Time it was ready and had no CPU, nanoseconds.
    pub waited: u64,
    /// Its affinity.
    pub cpus: CpuSet,
}

/// The groups, who is in them, and who is held.
#[derive(Debug, Default)]
pub struct Throttle {
    groups: BTreeMap<CpuGroup, Group>,
    members: BTreeMap<TaskId, Member>,
    held: BTreeSet<TaskId>,
    /// Something was limited or has moved since the last tick.
    changed: bool,
    survey: Survey,
    due: Option<u64>,
    /// When the shares were last looked at.
    shared: u64,
    /// Siblings wanted the same CPUs then.
    contended: bool,
}

#[derive(Debug)]
struct Group {
    parent: Option<CpuGroup>,
    limits: CpuLimits,
    account: Account,
    level: Level,
    /// Tasks in this very group.
    tasks: BTreeSet<TaskId>,
}

#[derive(Debug)]
struct Member {
    group: CpuGroup,
    is_vcpu: bool,
    /// At the last reading; None before the first.
    seen: Option<Observed>,
    /// Used and waited since the shares were last looked at.
    lately: (u64, u64),
}

impl Throttle {
    /// Make a group, limit it otherwise, or with None remove it.
    pub fn limit(&mut self, id: CpuGroup, parent: Option<CpuGroup>, limits: Option<CpuLimits>) {
        self.changed = true;
        match (limits, self.groups.get_mut(&id)) {
            (Some(limits), Some(group)) => {
                if (group.limits.quota_us, group.limits.period_us)
                    != (limits.quota_us, limits.period_us)
                {
                    group.account.restart();
                }
                group.limits = limits;
            }
            (Some(limits), None) => {
                let group = Group {
                    parent,
                    limits,
                    account: Account::default(),
                    level: Level::default(),
                    tasks: BTreeSet::new(),
                };
                self.groups.insert(id, group);
            }
            (None, _) => {
                self.groups.remove(&id);
                if let Some(above) = parent.and_then(|parent| self.groups.get_mut(&parent)) {
                    above.level.forget(Heir::Child(id));
                }
            }
        }
    }

    /// Have what a task uses count in a group; with None in none.
    pub fn enroll(&mut self, task: TaskId, is_vcpu: bool, group: Option<CpuGroup>) {
        self.changed = true;
        let before = self.members.remove(&task);
        if let Some(left) = before
            .as_ref()
            .and_then(|member| self.groups.get_mut(&member.group))
        {
            left.tasks.remove(&task);
        }
        let Some(id) = group else {
            return;
        };
        if let Some(entered) = self.groups.get_mut(&id) {
            entered.tasks.insert(task);
            let member = Member {
                group: id,
                is_vcpu,
                seen: before.and_then(|member| member.seen),
                lately: (0, 0),
            };
            self.members.insert(task, member);
        }
    }

    /// A task has ended.
    pub fn forget(&mut self, task: TaskId) {
        if self.members.contains_key(&task) {
            self.enroll(task, false, None);
        }
    }

    /// What a group's limit has come to.
    pub fn stat(&self, group: CpuGroup) -> CpuStat {
        let group = self.groups.get(&group);
        group.map(|group| group.account.stat()).unwrap_or_default()
    }

    /// When the next tick is due, in nanoseconds of the clock that ticks tell; 0 for now, None for never.
    pub fn due(&self) -> Option<u64> {
        match self.changed {
            true => Some(0),
            false => self.due,
        }
    }

    /// The vCPUs that are to be held.
    pub fn held(&self) -> &BTreeSet<TaskId> {
        &self.held
    }

    /// Look at what the tasks have used, and decide anew. `observe` is asked of those that matter; one that it does
    /// not know has ended.
    pub fn tick(&mut self, now: u64, observe: impl FnMut(TaskId) -> Option<Observed>) {
        if std::mem::take(&mut self.changed) {
            self.take_survey();
        }
        let (used, read) = self.read(observe);
        let (mut held, mut next) = (BTreeSet::new(), u64::MAX);
        for id in self.survey.limited.clone() {
            let may_run = self.may_run(id);
            let Some(group) = self.groups.get_mut(&id) else {
                continue;
            };
            let used = used.get(&id).copied().unwrap_or(0);
            let is_held = group.account.pass(now, used, &group.limits);
            next = next.min(group.account.next(now, may_run));
            if is_held {
                held.extend(self.vcpus_below(id));
            }
        }
        if !self.survey.levels.is_empty() {
            if now >= self.share_due() {
                self.look_at_shares(now, &held);
            }
            held.extend(self.held_by_shares(now));
            next = next.min(self.share_due());
        }
        self.held = held;
        let least = LEAST_NS.max(LEAST_NS_A_TASK * read);
        self.due = (next < u64::MAX).then(|| next.max(now + least));
    }

    fn take_survey(&mut self) {
        let survey = Survey::of(&self.groups, &self.members);
        for id in std::mem::replace(&mut self.survey, survey).levels {
            if let Some(group) = self.groups.get_mut(&id)
                && !self.survey.levels.contains(&id)
            {
                group.level = Level::default();
            }
        }
    }

    /// What was used in each group and below it since the last reading, and how many tasks were read.
    fn read(
        &mut self,
        mut observe: impl FnMut(TaskId) -> Option<Observed>,
    ) -> (BTreeMap<CpuGroup, u64>, u64) {
        let (mut own, mut read) = (BTreeMap::<CpuGroup, u64>::new(), 0);
        for (task, member) in &mut self.members {
            if !self.survey.matters.contains(&member.group) {
                // What it uses while nobody asks is nobody's debt later.
                member.seen = None;
                continue;
            }
            // One that has ended is taken out when its exit comes.
            let Some(observed) = observe(*task) else {
                continue;
            };
            read += 1;
            let before = member.seen.replace(observed).unwrap_or(observed);
            let used = observed.used.saturating_sub(before.used);
            member.lately.0 += used;
            member.lately.1 += observed.waited.saturating_sub(before.waited);
            *own.entry(member.group).or_default() += used;
        }
        let mut sums = BTreeMap::new();
        for (id, used) in own {
            let mut above = Some(id);
            while let Some(id) = above {
                *sums.entry(id).or_default() += used;
                above = self.parent(id);
            }
        }
        (sums, read)
    }

    fn share_due(&self) -> u64 {
        let interval = match self.contended {
            true => CONTENDED_NS,
            false => PEACEFUL_NS,
        };
        self.shared + interval
    }

    fn look_at_shares(&mut self, now: u64, held_by_quota: &BTreeSet<TaskId>) {
        let elapsed = now - self.shared;
        // After a pause nothing is known of the time in between.
        let is_fresh = self.shared > 0 && elapsed <= 10 * PEACEFUL_NS;
        (self.shared, self.contended) = (now, false);
        for id in self.survey.levels.clone() {
            let heirs: Vec<(Heir, Conduct)> = self.survey.heirs[&id]
                .iter()
                .map(|heir| (*heir, self.conduct(id, *heir, elapsed, held_by_quota)))
                .collect();
            if let Some(group) = self.groups.get_mut(&id).filter(|_| is_fresh) {
                self.contended |= group.level.look(now, elapsed, &heirs);
            }
        }
        for member in self.members.values_mut() {
            member.lately = (0, 0);
        }
    }

    /// What an heir of a group has done since the last look.
    fn conduct(
        &self,
        id: CpuGroup,
        heir: Heir,
        elapsed: u64,
        held_by_quota: &BTreeSet<TaskId>,
    ) -> Conduct {
        let mut conduct = Conduct::default();
        for task in self.tasks_of(id, heir) {
            let Some(member) = self.members.get(&task) else {
                continue;
            };
            let (used, waited) = member.lately;
            let is_held = self.held.contains(&task);
            let wants = used + waited >= elapsed / shares::WANTS;
            conduct.used += used;
            conduct.waited += waited;
            conduct.vcpus += u32::from(member.is_vcpu);
            conduct.wanting += u32::from(wants && !is_held);
            // Held by its quota, it is out of the race.
            conduct.waits_held |= is_held && !held_by_quota.contains(&task);
            if let Some(seen) = member.seen.filter(|_| wants || is_held) {
                conduct.cpus = conduct.cpus | seen.cpus;
            }
        }
        conduct.weight = match heir {
            Heir::Own => CpuLimits::DEFAULT.shares * u64::from(conduct.wanting.max(1)),
            Heir::Child(child) => {
                let group = self.groups.get(&child);
                group.map_or(CpuLimits::DEFAULT.shares, |group| group.limits.shares)
            }
        };
        conduct
    }

    fn held_by_shares(&self, now: u64) -> BTreeSet<TaskId> {
        let mut held = BTreeSet::new();
        for id in &self.survey.levels {
            let Some(group) = self.groups.get(id) else {
                continue;
            };
            for (heir, leave) in group.level.held() {
                let tasks = self.tasks_of(*id, heir);
                let vcpus: Vec<TaskId> = tasks.filter(|task| self.is_vcpu(*task)).collect();
                let turn = (now / TURN_NS) as usize % vcpus.len().max(1);
                let turns = vcpus.iter().cycle().skip(turn).take(vcpus.len());
                held.extend(turns.skip(leave as usize));
            }
        }
        held
    }

    fn parent(&self, id: CpuGroup) -> Option<CpuGroup> {
        self.groups.get(&id).and_then(|group| group.parent)
    }

    fn is_vcpu(&self, task: TaskId) -> bool {
        self.members.get(&task).is_some_and(|member| member.is_vcpu)
    }

    fn tasks_of(&self, id: CpuGroup, heir: Heir) -> impl Iterator<Item = TaskId> + '_ {
        let (own, below) = match heir {
            Heir::Own => (Some(id), None),
            Heir::Child(child) => (None, Some(child)),
        };
        let groups = own
            .into_iter()
            .chain(below.into_iter().flat_map(|child| self.survey.below(child)));
        let groups = groups.filter_map(|id| self.groups.get(&id));
        groups.flat_map(|group| group.tasks.iter().copied())
    }

    fn vcpus_below(&self, top: CpuGroup) -> impl Iterator<Item = TaskId> + '_ {
        let tasks = self.tasks_of(top, Heir::Child(top));
        tasks.filter(|task| self.is_vcpu(*task))
    }

    /// How many tasks here and below may run at once: no more than there are CPUs for them.
    fn may_run(&self, id: CpuGroup) -> u64 {
        let (mut tasks, mut cpus) = (0, CpuSet::EMPTY);
        for task in self.tasks_of(id, Heir::Child(id)) {
            if let Some(seen) = self.members.get(&task).and_then(|member| member.seen) {
                tasks += 1;
                cpus = cpus | seen.cpus;
            }
        }
        tasks.min(cpus.len() as u64)
    }
}

#[cfg(test)]
mod tests;
