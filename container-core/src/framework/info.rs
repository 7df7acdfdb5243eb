//! The state as values, for listings and reports.

use super::Framework;
use crate::group::GroupId;
use crate::subsystem::{CPUACCT, CPUSET};
use crate::table::{Dead, TaskSlot};
use crate::{CpuSet, GroupPath, HierarchyName, Refusal, TaskId, TaskName, Tid, Usage};

/// A hierarchy as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HierarchyInfo {
    /// Its name.
    pub name: HierarchyName,
    /// The subsystems bound to it.
    pub subsystems: Vec<&'static str>,
    /// Number of its groups, the root included.
    pub groups: usize,
    /// False for one that was unmounted and lives on because it has child groups.
    pub mounted: bool,
}

/// A group as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub path: GroupPath,
    /// 0 for the root.
    pub depth: usize,
    /// Requested CPUs (`cpuset.cpus`); None where no cpuset is bound to the hierarchy.
    pub requested_cpus: Option<CpuSet>,
    /// Effective CPUs; None where no cpuset is bound to the hierarchy.
    pub effective_cpus: Option<CpuSet>,
    /// Tasks in this very group, by id.
    pub tasks: Vec<TaskId>,
    /// Whether becoming empty makes an event.
    pub notify_on_release: bool,
    /// Own usage: of tasks while they were in this very group, never reset; None where no cpuacct is bound.
    pub own: Option<Usage>,
    /// Own usage of groups since removed that were children of this one (folded in at rmdir, never reset).
    pub removed: Option<Usage>,
    /// What `cpuacct.usage`/`cpuacct.cycles` show: hierarchical and resettable.
    pub shown: Option<Usage>,
}

/// Who may do what with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group of users.
    pub gid: u32,
    /// Permission bits, as in 0o755.
    pub mode: u16,
}

/// A task, living or dead: the ledger keeps the dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: TaskName,
    /// Its thread on the host.
    pub tid: Tid,
    /// False from its Exit on.
    pub alive: bool,
    /// Its group in every hierarchy (of a dead task: where it last was).
    pub groups: Vec<GroupPath>,
    /// What it is to be confined to now; None where no cpuset is mounted.
    pub cpus: Option<CpuSet>,
    /// What it used since its birth.
    pub usage: Usage,
}

impl Framework {
    /// Every hierarchy, those included that were unmounted and live on.
    pub fn hierarchies(&self) -> Vec<HierarchyInfo> {
        let listed = self.core.listed().map(|(_, hierarchy)| HierarchyInfo {
            name: hierarchy.name.clone(),
            subsystems: self
                .bound_to(hierarchy.root)
                .map(|id| self.subsystems.get(id).name())
                .collect(),
            groups: hierarchy.groups,
            mounted: hierarchy.state.mounted,
        });
        listed.collect()
    }

    /// One group.
    ///
    /// # Errors
    /// ENOENT for a group that is not there.
    pub fn group(&self, path: &GroupPath) -> Result<GroupInfo, Refusal> {
        Ok(self.group_info(self.lookup(path)?))
    }

    /// Whose a group is.
    ///
    /// # Errors
    /// ENOENT for a group that is not there.
    pub fn owner(&self, path: &GroupPath) -> Result<Owner, Refusal> {
        let attributes = &self.core.groups[self.lookup(path)?].attributes;
        Ok(Owner {
            uid: attributes.uid,
            gid: attributes.gid,
            mode: attributes.mode,
        })
    }

    /// Depth first, parents before children, siblings by name.
    ///
    /// # Errors
    /// ENOENT for a hierarchy that is not there.
    pub fn walk(&self, hierarchy: &HierarchyName) -> Result<Vec<GroupInfo>, Refusal> {
        let root = self.core.hierarchies[self.hierarchy(hierarchy)?].root;
        Ok(self
            .core
            .subtree(root)
            .map(|group| self.group_info(group))
            .collect())
    }

    /// One task, living or dead.
    pub fn task(&self, id: TaskId) -> Option<TaskInfo> {
        match self.core.tasks.get(id) {
            Some(slot) => Some(self.living_info(slot)),
            None => self.core.tasks.dead_task(id).map(dead_info),
        }
    }

    /// The living task with this thread id.
    pub fn task_by_tid(&self, tid: Tid) -> Option<TaskId> {
        let slot = self.core.tasks.with_tid(tid)?;
        Some(self.core.tasks.slots[slot].id)
    }

    /// The living task of this name.
    pub fn task_by_name(&self, name: &TaskName) -> Option<TaskId> {
        let slot = self.core.tasks.with_name(name)?;
        Some(self.core.tasks.slots[slot].id)
    }

    /// All tasks, the dead included, by id.
    pub fn tasks(&self) -> impl Iterator<Item = TaskInfo> {
        let living = self.core.tasks.slots.iter().map(|(_, task)| task.id);
        let dead = self.core.tasks.dead().map(|dead| dead.id);
        let mut ids: Vec<TaskId> = living.chain(dead).collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.task(id))
    }

    fn group_info(&self, id: GroupId) -> GroupInfo {
        let group = &self.core.groups[id];
        let has = |subsystem: usize| self.core.bindings[subsystem] == group.hierarchy;
        let cpuset = has(CPUSET.0).then(|| self.subsystems.cpuset.state(id));
        let account = has(CPUACCT.0).then(|| self.subsystems.cpuacct.account(id));
        let tasks = self.core.tasks_in(id);
        let mut tasks: Vec<TaskId> = tasks.map(|task| self.core.tasks.slots[task].id).collect();
        tasks.sort_unstable();
        GroupInfo {
            path: group.path.clone(),
            depth: group.depth as usize,
            requested_cpus: cpuset.map(|state| *state.cpus),
            effective_cpus: cpuset.map(|state| *state.effective_cpus),
            tasks,
            notify_on_release: group.attributes.notify_on_release,
            own: account.map(|account| account.own),
            removed: account.map(|account| account.removed),
            shown: account.map(|account| account.shown()),
        }
    }

    fn living_info(&self, slot: TaskSlot) -> TaskInfo {
        let task = &self.core.tasks.slots[slot];
        let groups = self.groups_of(slot).into_iter();
        TaskInfo {
            id: task.id,
            name: task.name.clone(),
            tid: task.tid,
            alive: true,
            groups: groups
                .map(|group| self.core.groups[group].path.clone())
                .collect(),
            cpus: self.subsystems.cpuset.cpus_of(&self.core, slot),
            usage: task.usage,
        }
    }
}

fn dead_info(dead: &Dead) -> TaskInfo {
    TaskInfo {
        id: dead.id,
        name: dead.name.clone(),
        tid: dead.tid,
        alive: false,
        groups: dead.groups.to_vec(),
        cpus: None,
        usage: dead.usage,
    }
}
