//! A host's cpu controller as the effects leave it, with the kernel's own rules: who obeys them is never refused.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

use std::collections::BTreeMap;

use container_core::{CpuGroup, CpuLimits, Effect, Framework, TaskId};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mirror {
    /// By number, each with the number of the one above it.
    groups: BTreeMap<CpuGroup, (Option<CpuGroup>, CpuLimits)>,
    tasks: BTreeMap<TaskId, CpuGroup>,
}

impl Mirror {
    /// What a framework says there is.
    pub fn of(framework: &Framework) -> Mirror {
        let mut mirror = Mirror::default();
        for info in framework.cpu_groups() {
            mirror.groups.insert(info.group, (info.parent, info.limits));
            let tasks = info.tasks.into_iter().map(|task| (task, info.group));
            mirror.tasks.extend(tasks);
        }
        mirror
    }

    pub fn carry_out(&mut self, effect: &Effect) {
        match *effect {
            Effect::Limit {
                group,
                parent,
                limits,
                before,
                ..
            } => {
                assert_eq!(self.groups.get(&group).map(|it| it.1), before, "{effect:?}");
                self.limit(group, parent, limits);
            }
            Effect::Enroll {
                task,
                group,
                before,
                ..
            } => {
                assert_eq!(self.tasks.get(&task).copied(), before, "{effect:?}");
                self.enroll(task, group);
            }
            Effect::Pin { .. }
            | Effect::Sample { .. }
            | Effect::Freeze { .. }
            | Effect::Thaw { .. } => {}
        }
    }

    pub fn take_back(&mut self, effect: &Effect) {
        match *effect {
            Effect::Limit {
                group,
                parent,
                before,
                ..
            } => self.limit(group, parent, before),
            Effect::Enroll { task, before, .. } => self.enroll(task, before),
            Effect::Pin { .. }
            | Effect::Sample { .. }
            | Effect::Freeze { .. }
            | Effect::Thaw { .. } => {}
        }
    }

    /// The same without threads that have ended: they have left their cgroups by themselves.
    pub fn without(&self, ended: impl Fn(&TaskId) -> bool) -> Mirror {
        let mut mirror = self.clone();
        mirror.tasks.retain(|task, _| !ended(task));
        mirror
    }

    fn limit(&mut self, group: CpuGroup, parent: Option<CpuGroup>, limits: Option<CpuLimits>) {
        match limits {
            Some(limits) => {
                assert!(parent.is_none_or(|parent| self.groups.contains_key(&parent)));
                self.groups.insert(group, (parent, limits));
                self.nobody_has_more_than_one_above();
            }
            None => {
                self.groups.remove(&group).unwrap();
                let mut parents = self.groups.values().map(|it| it.0);
                assert!(parents.all(|parent| parent != Some(group)), "has children");
                assert!(
                    self.tasks.values().all(|in_it| *in_it != group),
                    "has tasks"
                );
            }
        }
    }

    fn enroll(&mut self, task: TaskId, group: Option<CpuGroup>) {
        match group {
            Some(group) => {
                assert!(self.groups.contains_key(&group), "{group} is there");
                self.tasks.insert(task, group);
            }
            None => drop(self.tasks.remove(&task)),
        }
    }

    fn nobody_has_more_than_one_above(&self) {
        for (group, (parent, limits)) in &self.groups {
            let mut above = *parent;
            while let Some(id) = above {
                let (next, theirs) = self.groups[&id];
                if let Some((ratio, most)) = limits.ratio().zip(theirs.ratio()) {
                    assert!(ratio <= most, "{group} has more than {id}: {self:?}");
                }
                above = next;
            }
        }
    }
}
