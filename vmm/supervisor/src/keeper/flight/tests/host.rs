//! A host of maps, and hands that do to it what they are asked for, or fail where they are told to.

use std::collections::{BTreeMap, BTreeSet};

use container_core::{CpuGroup, CpuLimits, CpuSet, TaskId};

use super::super::{Drifted, HandError, Hands};

/// What a thread may use before it is first confined.
pub const ALL_CPUS: &str = "0-5";

/// How the hands fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Refused, and nothing done.
    Refuse,
    /// Half of the CPUs are in force, or all of a limit, and then it is refused.
    HalfWay,
    /// The thread has ended, and stays so.
    End,
}

/// What the hands were asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    Pin(TaskId),
    Sample(TaskId),
    Freeze(TaskId),
    Restore(TaskId),
    Limit(CpuGroup),
    Enroll(TaskId),
}

/// A host that is what stands in these maps.
#[derive(Clone, Debug, Default)]
pub struct FakeHost {
    pub masks: BTreeMap<TaskId, CpuSet>,
    pub frozen: BTreeSet<TaskId>,
    /// Each with the one above it, as the kernel has them.
    pub limits: BTreeMap<CpuGroup, (Option<CpuGroup>, CpuLimits)>,
    pub enrolled: BTreeMap<TaskId, CpuGroup>,
    pub calls: Vec<Call>,
    /// By the number of the effect, from 0.
    pub faults: BTreeMap<usize, Fault>,
    pub ended: BTreeSet<TaskId>,
    /// Threads that cannot be put back, once something has failed.
    pub stuck: BTreeSet<TaskId>,
    pub has_failed: bool,
    /// Threads that have left their cpu groups by themselves, since they are no more.
    pub exited: BTreeSet<TaskId>,
    /// What each group has come to since it was made last, and in all. Nothing where nobody asks.
    pub counts: Option<BTreeMap<CpuGroup, [u64; 2]>>,
}

/// What is in force: each thread's CPUs, who is frozen, each cpu group's limits, and who counts in which.
pub type InForce = (
    BTreeMap<TaskId, CpuSet>,
    BTreeSet<TaskId>,
    BTreeMap<CpuGroup, (Option<CpuGroup>, CpuLimits)>,
    BTreeMap<TaskId, CpuGroup>,
);

impl FakeHost {
    /// The same threads, without a history.
    pub fn with_faults(&self, faults: impl IntoIterator<Item = (usize, Fault)>) -> FakeHost {
        FakeHost {
            masks: self.masks.clone(),
            frozen: self.frozen.clone(),
            limits: self.limits.clone(),
            enrolled: self.enrolled.clone(),
            exited: self.exited.clone(),
            faults: faults.into_iter().collect(),
            ..FakeHost::default()
        }
    }

    pub fn in_force(&self) -> InForce {
        (
            self.masks.clone(),
            self.frozen.clone(),
            self.limits.clone(),
            self.enrolled.clone(),
        )
    }

    /// All of that but what is of these threads and groups.
    pub fn without(&self, drifted: &Drifted) -> InForce {
        let tasks = drifted.tasks();
        let (mut masks, mut frozen, mut limits, mut enrolled) = self.in_force();
        limits.retain(|group, _| !drifted.limits.contains(group));
        masks.retain(|task, _| !tasks.contains(task));
        frozen.retain(|task| !tasks.contains(task));
        enrolled.retain(|task, _| !tasks.contains(task));
        (masks, frozen, limits, enrolled)
    }

    /// Note the call. What is to go wrong with it, unless its thread has ended or does so now.
    fn called(&mut self, call: Call, task: TaskId) -> Result<Option<Fault>, HandError> {
        let fault = self.fault_of(call);
        if fault == Some(Fault::End) {
            self.ended.insert(task);
        }
        match self.ended.contains(&task) {
            true => Err(HandError::Ended),
            false => Ok(fault),
        }
    }
}

impl FakeHost {
    fn fault_of(&mut self, call: Call) -> Option<Fault> {
        let fault = self.faults.remove(&self.calls.len());
        self.calls.push(call);
        self.count();
        self.has_failed |= fault.is_some_and(|fault| fault != Fault::End);
        fault
    }

    /// Time has passed for the groups that somebody is in, and for those above them.
    fn count(&mut self) {
        let Some(counts) = &mut self.counts else {
            return;
        };
        let mut running = BTreeSet::new();
        let lives = |task: &TaskId| !self.exited.contains(task);
        for (_, group) in self.enrolled.iter().filter(|(task, _)| lives(task)) {
            let mut above = Some(*group);
            while let Some(group) = above.filter(|group| running.insert(*group)) {
                above = self.limits.get(&group).and_then(|(above, _)| *above);
            }
        }
        for group in running {
            let count = counts.entry(group).or_default();
            *count = count.map(|it| it + 1);
        }
    }

    /// A child below the group, or a living thread in it: what the kernel would not remove it for. Only what cannot be
    /// put back may be in the way.
    fn is_occupied(&self, group: CpuGroup) -> bool {
        let is_gone = |task: &TaskId| self.ended.contains(task) || self.exited.contains(task);
        let members = self
            .enrolled
            .iter()
            .filter(|(task, of)| **of == group && !is_gone(task));
        let mut children = self
            .limits
            .values()
            .filter(|(above, _)| *above == Some(group));
        let is_occupied = members.count() > 0 || children.next().is_some();
        let is_excused = self.has_failed && !self.stuck.is_empty();
        assert!(
            !is_occupied || is_excused,
            "{group} is removed before what is in it"
        );
        is_occupied
    }
}

fn refused() -> Result<(), HandError> {
    Err(HandError::Failed("told to fail".into()))
}

impl Hands for FakeHost {
    fn pin(&mut self, task: TaskId, cpus: &CpuSet) -> Result<(), HandError> {
        match self.called(Call::Pin(task), task)? {
            None => {
                self.masks.insert(task, *cpus);
                Ok(())
            }
            Some(Fault::HalfWay) => {
                self.masks.insert(task, cpus.iter().step_by(2).collect());
                refused()
            }
            Some(_) => refused(),
        }
    }

    fn restore(&mut self, task: TaskId, before: Option<&CpuSet>) -> Result<(), HandError> {
        self.called(Call::Restore(task), task)?;
        if self.stuck.contains(&task) {
            return refused();
        }
        let all = || ALL_CPUS.parse().expect("a list");
        let before = before.copied().unwrap_or_else(all);
        self.masks.insert(task, before);
        Ok(())
    }

    fn sample(&mut self, task: TaskId) -> Result<(), HandError> {
        match self.called(Call::Sample(task), task)? {
            None => Ok(()),
            Some(_) => refused(),
        }
    }

    fn limit(
        &mut self,
        group: CpuGroup,
        parent: Option<CpuGroup>,
        limits: Option<&CpuLimits>,
    ) -> Result<(), HandError> {
        let fault = self.fault_of(Call::Limit(group));
        if fault == Some(Fault::Refuse) {
            return refused();
        }
        match limits {
            Some(limits) => {
                assert!(parent.is_none_or(|parent| self.limits.contains_key(&parent)));
                let is_new = self.limits.insert(group, (parent, *limits)).is_none();
                if let Some(counts) = self.counts.as_mut().filter(|_| is_new) {
                    counts.entry(group).or_default()[0] = 0;
                }
            }
            None if self.is_occupied(group) => return refused(),
            None => drop(self.limits.remove(&group)),
        }
        if fault == Some(Fault::HalfWay) {
            return refused();
        }
        Ok(())
    }

    fn enroll(&mut self, task: TaskId, group: Option<CpuGroup>) -> Result<(), HandError> {
        // A thread that has ended counts where it did, for all that the effects can tell.
        let is_way_back = self.has_failed;
        let fault = self.called(Call::Enroll(task), task)?;
        if fault == Some(Fault::Refuse) || is_way_back && self.stuck.contains(&task) {
            return refused();
        }
        match group {
            Some(group) => {
                assert!(self.limits.contains_key(&group), "{group} is not there yet");
                self.enrolled.insert(task, group);
            }
            None => {
                self.enrolled.remove(&task);
            }
        }
        if fault.is_some() {
            return refused();
        }
        Ok(())
    }

    /// The real one refuses nothing; the way back is the same.
    fn freeze(&mut self, task: TaskId) -> Result<(), HandError> {
        let fault = self.called(Call::Freeze(task), task)?;
        if fault != Some(Fault::Refuse) {
            self.frozen.insert(task);
        }
        fault.map_or(Ok(()), |_| refused())
    }

    fn thaw(&mut self, task: TaskId) {
        self.frozen.remove(&task);
    }
}
