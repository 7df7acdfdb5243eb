//! What the cpu subsystem asks of its back end, and what it is told by it.

use std::collections::BTreeMap;

use super::Framework;
use crate::group::GroupId;
use crate::subsystem::CPU;
use crate::transaction::{Limited, Touched};
use crate::{CpuGroup, CpuLimits, CpuStat, Effect, GroupPath, TaskId};

/// A group of the cpu hierarchy as its back end has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuGroupInfo {
    /// Which.
    pub group: CpuGroup,
    /// The one above it; None for the root.
    pub parent: Option<CpuGroup>,
    /// Its name.
    pub path: GroupPath,
    /// What it may have.
    pub limits: CpuLimits,
    /// Tasks in this very group, by id.
    pub tasks: Vec<TaskId>,
}

impl Framework {
    /// The groups of the cpu hierarchy, parents before children; none where the subsystem is not mounted.
    pub fn cpu_groups(&self) -> impl Iterator<Item = CpuGroupInfo> + '_ {
        let root = self.core.is_bound(CPU).then(|| self.core.root_of(CPU));
        let groups = root.into_iter().flat_map(|root| self.core.subtree(root));
        groups.map(|group| self.cpu_group_info(group))
    }

    /// The group of the cpu hierarchy with this name.
    pub fn cpu_group(&self, path: &GroupPath) -> Option<CpuGroup> {
        let group = self.lookup(path).ok()?;
        self.cpu_group_of(group)
    }

    /// Take what the back end has counted of a group, since it was made there, for its `cpu.stat`, which is about to be
    /// read. Not a change of generation. Nobody is asked about a group that has no such file.
    pub fn note_cpu_stat(
        &mut self,
        path: &GroupPath,
        counted: impl FnOnce(CpuGroup) -> Option<CpuStat>,
    ) {
        if let Ok(group) = self.lookup(path) {
            self.note_stat_of(group, counted);
        }
    }

    pub(crate) fn note_stat_of(
        &mut self,
        group: GroupId,
        counted: impl FnOnce(CpuGroup) -> Option<CpuStat>,
    ) {
        if let Some(stat) = self.cpu_group_of(group).and_then(counted) {
            self.subsystems.cpu.note(group, stat);
        }
    }

    fn cpu_group_of(&self, group: GroupId) -> Option<CpuGroup> {
        let hierarchy = self.core.groups[group].hierarchy;
        (self.core.bindings[CPU.0] == hierarchy).then(|| self.subsystems.cpu.id(group))
    }

    /// The back end has removed groups that may stay, having counted so much of each, and counts from nothing when it
    /// makes one again: that is kept, and what is noted later comes on top of it. Of None it is what was noted last. Not
    /// a change of generation.
    pub fn carry_cpu_stats(&mut self, counted: &BTreeMap<CpuGroup, Option<CpuStat>>) {
        self.subsystems.cpu.carry(counted);
    }

    fn cpu_group_info(&self, group: GroupId) -> CpuGroupInfo {
        let cpu = &self.subsystems.cpu;
        let tasks = self.core.tasks_in(group);
        let mut tasks: Vec<TaskId> = tasks.map(|task| self.core.tasks.slots[task].id).collect();
        tasks.sort_unstable();
        CpuGroupInfo {
            group: cpu.id(group),
            parent: self.core.groups[group].parent.map(|parent| cpu.id(parent)),
            path: self.core.groups[group].path.clone(),
            limits: cpu.limits(group),
            tasks,
        }
    }

    /// What a touched group may have once the batch stands; None where it is there no more.
    fn limits_after(&self, limited: &Limited) -> Option<CpuLimits> {
        let cpu = &self.subsystems.cpu;
        match limited.id {
            // It goes with the subsystem from one hierarchy to the next, and has no limit in any.
            CpuGroup::ROOT => self.core.is_bound(CPU).then_some(CpuLimits::DEFAULT),
            _ => {
                let is_there = !self.core.groups[limited.group].offline;
                is_there.then(|| cpu.limits(limited.group))
            }
        }
    }

    /// Groups made, and those that may have more than before or as much: parents before children, which are
    /// younger.
    pub(super) fn growing_limits(&self, touched: &Touched) -> Vec<Effect> {
        self.limit_effects(touched, |before, after| match (before, after) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(before), Some(after)) => cpus(&before) <= cpus(&after),
        })
    }

    /// Groups removed, and those that may have less than before: children before parents.
    pub(super) fn shrinking_limits(&self, touched: &Touched) -> Vec<Effect> {
        let mut effects = self.limit_effects(touched, |before, after| match (before, after) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(before), Some(after)) => cpus(&before) > cpus(&after),
        });
        effects.reverse();
        effects
    }

    fn limit_effects(
        &self,
        touched: &Touched,
        of_these: impl Fn(Option<CpuLimits>, Option<CpuLimits>) -> bool,
    ) -> Vec<Effect> {
        let mut effects: Vec<(CpuGroup, Effect)> = Vec::new();
        for limited in &touched.limits {
            let (before, limits) = (limited.before, self.limits_after(limited));
            if before != limits && of_these(before, limits) {
                let (group, parent) = (limited.id, limited.parent);
                let path = self.core.groups[limited.group].path.clone();
                let effect = Effect::Limit {
                    group,
                    path,
                    parent,
                    limits,
                    before,
                };
                effects.push((group, effect));
            }
        }
        effects.sort_by_key(|(group, _)| *group);
        effects.into_iter().map(|(_, effect)| effect).collect()
    }

    /// Tasks that count elsewhere than before.
    pub(super) fn enrollments<'a>(
        &'a self,
        touched: &'a Touched,
    ) -> impl Iterator<Item = Effect> + 'a {
        touched.enrolled.iter().filter_map(|&(task, before)| {
            let slot = self.core.tasks.get(task)?;
            let group = self.subsystems.cpu.group_of(&self.core, slot);
            let stands_in = self.core.group_for(CPU, slot);
            let path = group.map(|_| self.core.groups[stands_in].path.clone());
            (group != before).then_some(Effect::Enroll {
                task,
                group,
                path,
                before,
            })
        })
    }
}

/// What a quota comes to, no limit being the most.
fn cpus(limits: &CpuLimits) -> u64 {
    limits.ratio().unwrap_or(u64::MAX)
}
