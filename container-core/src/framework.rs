//! The framework's surface.

use crate::*;

/// Counts commits; a plan made against an older one is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// What the host's kernel allows the owner of the framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostResources {
    /// CPUs the kernel allows us (affinity and cpuset of the supervisor), the root's effective CPUs.
    pub allowed_cpus: CpuSet,
    /// CPUs present on the host.
    pub present_cpus: CpuSet,
    /// Highest possible CPU number plus one: at or above it ERANGE, below it but absent EINVAL.
    pub possible_cpus: u32,
    /// Memory nodes of the host.
    pub mems: NodeSet,
}

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

/// The groups, hierarchies and tasks.
pub struct Framework {
    next: u64,
}

#[allow(unused_variables, missing_docs)]
impl Framework {
    pub fn new(host: HostResources) -> Framework {
        Framework { next: 0 }
    }
    pub fn generation(&self) -> Generation {
        todo!()
    }
    pub fn allocate_task(&mut self) -> TaskId {
        todo!()
    }
    pub fn plan(&mut self, by: &Credentials, commands: &[Command]) -> Result<Plan, Refusal> {
        todo!()
    }
    pub fn commit(&mut self, plan: Plan) -> Result<Vec<Event>, Refusal> {
        todo!()
    }
    pub fn charge(&mut self, task: TaskId, reading: Reading) -> Result<(), Refusal> {
        todo!()
    }
    pub fn plan_host_change(&mut self, host: HostResources) -> Plan {
        todo!()
    }
    pub fn forget_machine(&mut self, machine: &MachineName) -> Usage {
        todo!()
    }
    pub fn read(&self, by: &Credentials, group: &GroupPath, file: &str) -> Result<String, Refusal> {
        todo!()
    }
    pub fn hierarchies(&self) -> Vec<HierarchyInfo> {
        todo!()
    }
    pub fn group(&self, path: &GroupPath) -> Result<GroupInfo, Refusal> {
        todo!()
    }
    pub fn walk(&self, hierarchy: &HierarchyName) -> Result<Vec<GroupInfo>, Refusal> {
        todo!()
    }
    pub fn task(&self, id: TaskId) -> Option<TaskInfo> {
        todo!()
    }
    pub fn task_by_tid(&self, tid: Tid) -> Option<TaskId> {
        todo!()
    }
    pub fn task_by_name(&self, name: &TaskName) -> Option<TaskId> {
        todo!()
    }
    pub fn tasks(&self) -> impl Iterator<Item = TaskInfo> {
        std::iter::empty()
    }
    pub fn proc_groups(&self) -> String {
        todo!()
    }
    pub fn task_group_lines(&self, task: TaskId) -> Result<String, Refusal> {
        todo!()
    }
    pub fn files(&self, group: &GroupPath) -> Result<Vec<&'static str>, Refusal> {
        todo!()
    }
}
