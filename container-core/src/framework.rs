//! The framework's surface (to be split as it grows).

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
    pub mems: NodeSet,
}

pub struct HierarchyInfo { pub name: HierarchyName, pub subsystems: Vec<&'static str>, pub groups: usize }

/// A group as it stands.
pub struct GroupInfo {
    pub path: GroupPath,
    pub depth: usize,
    /// Requested CPUs (`cpuset.cpus`) and effective ones; None where no cpuset is bound to the hierarchy.
    pub requested_cpus: Option<CpuSet>,
    pub effective_cpus: Option<CpuSet>,
    /// Tasks in this very group.
    pub tasks: Vec<TaskId>,
    pub notify_on_release: bool,
    /// Own usage: of tasks while they were in this very group, never reset; None where no cpuacct is bound.
    pub own: Option<Usage>,
    /// Own usage of groups since removed that were children of this one (folded in at rmdir, never reset).
    pub removed: Option<Usage>,
    /// What `cpuacct.usage`/`cpuacct.cycles` show: hierarchical and resettable.
    pub shown: Option<Usage>,
}

/// A task, living or dead: the ledger keeps the dead.
pub struct TaskInfo {
    pub id: TaskId, pub name: TaskName, pub tid: Tid, pub alive: bool,
    /// Its group in every hierarchy (of a dead task: where it last was).
    pub groups: Vec<GroupPath>,
    /// What it is to be confined to now; None where no cpuset is mounted.
    pub cpus: Option<CpuSet>,
    pub usage: Usage,
}

pub struct Framework { /* … */ }

impl Framework {
    pub fn new(host: HostResources) -> Framework;
    pub fn generation(&self) -> Generation;
    /// A task id for a later Fork; never given twice.
    pub fn allocate_task(&mut self) -> TaskId;
    /// Check a batch, each command against the state the ones before it would leave. State is as before on return.
    pub fn plan(&mut self, by: &Credentials, commands: &[Command]) -> Result<Plan, Refusal>;
    /// Make a plan real. ESTALE if anything was committed since it was made.
    pub fn commit(&mut self, plan: Plan) -> Result<Vec<Event>, Refusal>;
    /// plan + commit for changes whose effects are none or carried out elsewhere (tests, spec roots).
    /// Charge an absolute reading: the difference to the last goes to the task's present cpuacct group. Not a
    /// change of generation. ESRCH for an unknown or dead task.
    pub fn charge(&mut self, task: TaskId, reading: Reading) -> Result<(), Refusal>;
    /// The host's allowed CPUs changed (hotplug, a shrunken host cpuset): the pins that follow from it.
    pub fn plan_host_change(&mut self, host: HostResources) -> …Plan;
    pub fn read(&self, by: &Credentials, group: &GroupPath, file: &str) -> Result<String, Refusal>;
    pub fn hierarchies(&self) -> Vec<HierarchyInfo>;
    pub fn group(&self, path: &GroupPath) -> Result<GroupInfo, Refusal>;
    /// Depth first, parents before children, siblings by name.
    pub fn walk(&self, hierarchy: &HierarchyName) -> Result<Vec<GroupInfo>, Refusal>;
    pub fn task(&self, id: TaskId) -> Option<TaskInfo>;
    pub fn task_by_tid(&self, tid: Tid) -> Option<TaskId>;
    pub fn task_by_name(&self, name: &TaskName) -> Option<TaskId>;
    /// All tasks, the dead included, by id.
    pub fn tasks(&self) -> impl Iterator<Item = TaskInfo>;
}
