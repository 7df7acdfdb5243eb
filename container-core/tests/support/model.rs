//! The framework once more, as plain maps and sets, everything recomputed where it is asked for.
//!
//! It knows the errno of a refusal, who is in which group, what is in force, who is billed and who
//! is released; it has no css_sets, no undo log and no running totals.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

use std::collections::{BTreeMap, BTreeSet};

use container_core::{Command, Errno, Errno::*, GroupPath, HostResources, TaskId, TaskName, Tid};

pub type Node = usize;

#[derive(Clone, Debug)]
pub struct Group {
    pub hierarchy: &'static str,
    pub parent: Option<Node>,
    pub name: String,
    pub notify: bool,
    clone_children: bool,
    pub cpus: BTreeSet<u32>,
    pub mems: BTreeSet<u32>,
    pub cpu_exclusive: bool,
    pub mem_exclusive: bool,
    pub one_to_one: bool,
    /// Shares, quota if any, period.
    pub cpu: (u64, Option<u64>, u64),
    pub asked_frozen: bool,
    pub own: u64,
    pub removed: u64,
    reset_at: u64,
    /// None where there is none.
    pub limit: Option<u64>,
    pub max_usage: u64,
    pub failcnt: u64,
}

#[derive(Clone, Debug)]
pub struct Task {
    pub name: TaskName,
    pub tid: Tid,
    pub alive: bool,
    pub groups: BTreeMap<&'static str, Node>,
    pub usage: u64,
    pub committed: u64,
    pub resident: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mounting {
    Gone,
    Mounted,
    Lingering,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub allowed: BTreeSet<u32>,
    present: BTreeSet<u32>,
    possible: u32,
    pub mounts: BTreeMap<&'static str, (Mounting, String)>,
    /// The hierarchy that has `debug`, which any can be mounted with.
    pub debug: Option<&'static str>,
    pub groups: BTreeMap<Node, Group>,
    next: Node,
    pub tasks: BTreeMap<TaskId, Task>,
    pub releases: Vec<(String, Option<String>)>,
    pub reset: BTreeSet<TaskId>,
    /// Those of this batch.
    pub born: BTreeSet<TaskId>,
    /// vCPUs that are out of their guests.
    pub held: BTreeSet<TaskId>,
    /// The group whose memory limit was last in the way.
    over_limit: Option<String>,
}

/// The hierarchies that commands speak of. cpuset is only ever in `p`, cpuacct and freezer in `b`, cpu in `x`, memory in `m`,
/// ns in `n`; debug is in any.
pub const HIERARCHIES: [&str; 5] = ["p", "b", "x", "m", "n"];

const NO_LIMIT: (u64, Option<u64>, u64) = (1024, None, 100_000);

impl Model {
    pub fn new(host: &HostResources) -> Model {
        let allowed: BTreeSet<u32> = host.allowed_cpus.iter().collect();
        let root = |hierarchy| Group {
            hierarchy,
            parent: None,
            name: String::new(),
            notify: false,
            clone_children: false,
            cpus: allowed.clone(),
            mems: host.mems.iter().collect(),
            cpu_exclusive: true,
            mem_exclusive: true,
            one_to_one: false,
            cpu: NO_LIMIT,
            asked_frozen: false,
            own: 0,
            removed: 0,
            reset_at: 0,
            limit: None,
            max_usage: 0,
            failcnt: 0,
        };
        Model {
            groups: HIERARCHIES.into_iter().map(root).enumerate().collect(),
            mounts: HIERARCHIES
                .map(|name| (name, (Mounting::Gone, String::new())))
                .into(),
            debug: None,
            present: host.present_cpus.iter().collect(),
            possible: host.possible_cpus,
            next: HIERARCHIES.len(),
            tasks: BTreeMap::new(),
            releases: Vec::new(),
            reset: BTreeSet::new(),
            born: BTreeSet::new(),
            held: BTreeSet::new(),
            over_limit: None,
            allowed,
        }
    }

    pub fn set_allowed(&mut self, allowed: BTreeSet<u32>) {
        self.groups.get_mut(&0).unwrap().cpus = allowed.clone();
        self.allowed = allowed;
    }

    pub fn charge(&mut self, task: TaskId, nanoseconds: u64) {
        let task = self.tasks.get_mut(&task).unwrap();
        self.groups.get_mut(&task.groups["b"]).unwrap().own += nanoseconds;
        task.usage += nanoseconds;
    }

    pub fn set_resident(&mut self, task: TaskId, bytes: u64) {
        self.tasks.get_mut(&task).unwrap().resident = bytes;
        self.note_usage();
    }

    /// The living tasks in and below a group.
    pub fn living_below(&self, node: Node) -> Vec<&Task> {
        let members = self
            .subtree(node)
            .into_iter()
            .flat_map(|id| self.members(id));
        members.map(|id| &self.tasks[&id]).collect()
    }

    pub fn committed(&self, node: Node) -> u64 {
        self.living_below(node)
            .iter()
            .map(|task| task.committed)
            .sum()
    }

    pub fn resident(&self, node: Node) -> u64 {
        self.living_below(node)
            .iter()
            .map(|task| task.resident)
            .sum()
    }

    fn note_usage(&mut self) {
        for node in self.subtree(3) {
            let usage = self.resident(node);
            let group = self.groups.get_mut(&node).unwrap();
            group.max_usage = group.max_usage.max(usage);
        }
    }

    /// A refusal by a memory limit is counted by the group that still is there.
    pub fn count_failure(&mut self, refused: &Model) {
        let Some(over) = &refused.over_limit else {
            return;
        };
        let nodes = self.subtree(3);
        if let Some(node) = nodes.into_iter().find(|node| self.path(*node) == *over) {
            self.groups.get_mut(&node).unwrap().failcnt += 1;
        }
    }

    /// All of `groups`, from the lowest up, grant so much more.
    fn grant(
        &mut self,
        mut node: Option<Node>,
        from: Option<Node>,
        more: u64,
    ) -> Result<(), Errno> {
        while let Some(group) = node {
            if from.is_some_and(|from| self.subtree(group).contains(&from)) {
                break;
            }
            let limit = self.groups[&group].limit;
            if limit.is_some_and(|limit| self.committed(group) + more > limit) {
                self.over_limit = Some(self.path(group));
                return Err(ENOMEM);
            }
            node = self.groups[&group].parent;
        }
        Ok(())
    }

    fn reserve(&mut self, id: TaskId, bytes: u64) -> Result<(), Errno> {
        let task = self.tasks.get(&id).filter(|task| task.alive).ok_or(ESRCH)?;
        let (node, more) = (task.groups["m"], bytes.saturating_sub(task.committed));
        self.grant(Some(node), None, more)?;
        self.tasks.get_mut(&id).unwrap().committed = bytes;
        Ok(())
    }

    /// What comes back: no more than the task used, and than its group was billed.
    pub fn credit(&mut self, task: TaskId, nanoseconds: u64) -> u64 {
        let task = self.tasks.get_mut(&task).unwrap();
        let node = task.groups["b"];
        let own = &mut self.groups.get_mut(&node).unwrap().own;
        let back = nanoseconds.min(task.usage).min(*own);
        *own -= back;
        task.usage -= back;
        let mut above = Some(node);
        while let Some(node) = above {
            let total = self.total(node);
            let group = self.groups.get_mut(&node).unwrap();
            group.reset_at = group.reset_at.min(total);
            above = group.parent;
        }
        back
    }

    pub fn path(&self, node: Node) -> String {
        let group = &self.groups[&node];
        match group.parent {
            None => format!("{}:/", group.hierarchy),
            Some(parent) => format!("{}/{}", self.path(parent).trim_end_matches('/'), group.name),
        }
    }

    pub fn children(&self, node: Node) -> Vec<Node> {
        let all = self.groups.iter();
        all.filter(|(_, group)| group.parent == Some(node))
            .map(|(id, _)| *id)
            .collect()
    }

    pub fn members(&self, node: Node) -> BTreeSet<TaskId> {
        let hierarchy = self.groups[&node].hierarchy;
        let living = self.tasks.iter().filter(|(_, task)| task.alive);
        living
            .filter(|(_, task)| task.groups[hierarchy] == node)
            .map(|(id, _)| *id)
            .collect()
    }

    pub fn subtree(&self, node: Node) -> Vec<Node> {
        let below = self
            .children(node)
            .into_iter()
            .flat_map(|child| self.subtree(child));
        std::iter::once(node).chain(below).collect()
    }

    pub fn total(&self, node: Node) -> u64 {
        self.subtree(node)
            .iter()
            .map(|id| self.groups[id].own + self.groups[id].removed)
            .sum()
    }

    pub fn shown(&self, node: Node) -> u64 {
        self.total(node) - self.groups[&node].reset_at
    }

    pub fn effective(&self, node: Node) -> BTreeSet<u32> {
        let group = &self.groups[&node];
        let Some(parent) = group.parent else {
            return self.allowed.clone();
        };
        let granted: BTreeSet<u32> = group.cpus.intersection(&self.allowed).copied().collect();
        match granted.is_empty() && !group.cpus.is_empty() {
            true => self.effective(parent),
            false => granted,
        }
    }

    fn is_freezing(&self, node: Node) -> bool {
        let group = &self.groups[&node];
        group.asked_frozen || group.parent.is_some_and(|above| self.is_freezing(above))
    }

    /// Whether a task is to be out of its guest.
    pub fn freezes(&self, id: TaskId) -> bool {
        let task = self
            .tasks
            .get(&id)
            .filter(|task| task.alive && task.name.kind.is_vcpu());
        task.is_some_and(|task| self.is_freezing(task.groups["b"]))
    }

    /// What `freezer.state` says, of each group that may have it.
    pub fn freezer_states(&self) -> BTreeMap<Node, &'static str> {
        let groups = self
            .groups
            .iter()
            .filter(|(_, group)| group.hierarchy == "b");
        let state = |node: Node| {
            let mut tasks = self
                .subtree(node)
                .into_iter()
                .flat_map(|id| self.members(id));
            let runs = |id| self.tasks[&id].name.kind.is_vcpu() && !self.held.contains(&id);
            match self.is_freezing(node) {
                false => "THAWED",
                true if tasks.any(runs) => "FREEZING",
                true => "FROZEN",
            }
        };
        groups.map(|(node, _)| (*node, state(*node))).collect()
    }

    pub fn vcpus(&self, node: Node) -> usize {
        self.members(node)
            .iter()
            .filter(|task| self.tasks[task].name.kind.is_vcpu())
            .count()
    }

    pub fn find(&self, path: &GroupPath) -> Result<Node, Errno> {
        let hierarchy = HIERARCHIES
            .iter()
            .position(|name| path.hierarchy().as_str() == *name);
        let mut node = hierarchy.ok_or(ENOENT)?;
        if self.mounts[HIERARCHIES[node]].0 != Mounting::Mounted {
            return Err(ENOENT);
        }
        for name in path.components() {
            let mut children = self.children(node).into_iter();
            node = children
                .find(|child| self.groups[child].name == name)
                .ok_or(ENOENT)?;
        }
        Ok(node)
    }

    pub fn apply(&mut self, command: &Command) -> Result<(), Errno> {
        self.over_limit = None;
        let outcome = self.apply_one(command);
        self.note_usage();
        outcome
    }

    fn apply_one(&mut self, command: &Command) -> Result<(), Errno> {
        match command {
            Command::Mount {
                hierarchy,
                subsystems,
            } => {
                let name = HIERARCHIES
                    .into_iter()
                    .find(|name| hierarchy.as_str() == *name)
                    .unwrap();
                let asked = subsystems.iter().any(|name| name == "debug");
                let is_new = self.mounts[name].0 == Mounting::Gone;
                match (self.debug == Some(name), asked) {
                    (has, asked) if has == asked => {}
                    (false, true) if is_new && self.debug.is_none() => self.debug = Some(name),
                    _ => return Err(EBUSY),
                }
                if self.mounts[name].0 == Mounting::Gone {
                    let root = HIERARCHIES.iter().position(|other| *other == name).unwrap();
                    let root = self.groups.get_mut(&root).unwrap();
                    (root.notify, root.clone_children) = (false, false);
                    self.mounts.insert(name, (Mounting::Mounted, String::new()));
                }
                self.mounts.get_mut(name).unwrap().0 = Mounting::Mounted;
                Ok(())
            }
            Command::Unmount { hierarchy } => {
                let root = self.find(&GroupPath::root(hierarchy))?;
                let lingers = !self.children(root).is_empty();
                let mount = self.mounts.get_mut(HIERARCHIES[root]).unwrap();
                mount.0 = if lingers {
                    Mounting::Lingering
                } else {
                    Mounting::Gone
                };
                if !lingers && self.debug == Some(HIERARCHIES[root]) {
                    self.debug = None;
                }
                Ok(())
            }
            Command::Remount {
                hierarchy,
                subsystems,
            } => {
                let root = self.find(&GroupPath::root(hierarchy))?;
                let (name, asked) = (
                    HIERARCHIES[root],
                    subsystems.iter().any(|name| name == "debug"),
                );
                if (self.debug == Some(name)) == asked {
                    return Ok(());
                }
                if !self.children(root).is_empty() || (asked && self.debug.is_some()) {
                    return Err(EBUSY);
                }
                self.debug = asked.then_some(name);
                Ok(())
            }
            Command::Mkdir { group } => {
                let Some(parent) = group.parent() else {
                    return self.find(group).and(Err(EEXIST));
                };
                let parent = self.find(&parent)?;
                self.mkdir(parent, group.name().unwrap()).map(drop)
            }
            Command::Rmdir { group } => self.rmdir(self.find(group)?),
            Command::Rename { group, to } => self.rename(self.find(group)?, to),
            Command::Write { group, file, value } => self.write(self.find(group)?, file, value),
            Command::Attach { group, task } => self.attach(self.find(group)?, *task),
            Command::Fork {
                task,
                name,
                tid,
                parent,
            } => self.fork(*task, name, *tid, *parent),
            Command::Reserve { task, bytes } => self.reserve(*task, bytes.0),
            Command::Exit { task } => self.exit(*task),
            Command::Clone { task, subsystem } => {
                let hierarchy = match &**subsystem {
                    "cpuset" => "p",
                    "cpuacct" | "freezer" => "b",
                    "cpu" => "x",
                    "memory" => "m",
                    _ => "n",
                };
                self.clone_group(*task, hierarchy)
            }
            Command::Chown { .. } => Ok(()),
        }
    }

    fn mkdir(&mut self, parent: Node, name: &str) -> Result<Node, Errno> {
        if self
            .children(parent)
            .iter()
            .any(|child| self.groups[child].name == name)
        {
            return Err(EEXIST);
        }
        let above = self.groups[&parent].clone();
        let group = Group {
            parent: Some(parent),
            name: name.into(),
            cpus: BTreeSet::new(),
            mems: BTreeSet::new(),
            cpu_exclusive: false,
            mem_exclusive: false,
            one_to_one: false,
            cpu: NO_LIMIT,
            asked_frozen: false,
            own: 0,
            removed: 0,
            reset_at: 0,
            limit: None,
            max_usage: 0,
            failcnt: 0,
            ..above.clone()
        };
        let node = self.next;
        self.next += 1;
        self.groups.insert(node, group);
        if above.clone_children {
            self.copy_parent(node);
        }
        Ok(node)
    }

    fn copy_parent(&mut self, node: Node) {
        let parent = self.groups[&node].parent.unwrap();
        let is_exclusive = |id| self.groups[id].cpu_exclusive || self.groups[id].mem_exclusive;
        if !self.children(parent).iter().any(is_exclusive) {
            let Group { cpus, mems, .. } = self.groups[&parent].clone();
            let group = self.groups.get_mut(&node).unwrap();
            (group.cpus, group.mems) = (cpus, mems);
        }
    }

    fn rmdir(&mut self, node: Node) -> Result<(), Errno> {
        let parent = self.groups[&node].parent.ok_or(EBUSY)?;
        if !self.children(node).is_empty() || !self.members(node).is_empty() {
            return Err(EBUSY);
        }
        let gone = self.groups.remove(&node).unwrap();
        self.groups.get_mut(&parent).unwrap().removed += gone.own + gone.removed;
        self.release_if_empty(parent);
        Ok(())
    }

    fn rename(&mut self, node: Node, to: &str) -> Result<(), Errno> {
        let parent = self.groups[&node].parent.ok_or(EBUSY)?;
        let mut siblings = self
            .children(parent)
            .into_iter()
            .filter(|child| *child != node);
        if siblings.any(|child| self.groups[&child].name == to) {
            return Err(EEXIST);
        }
        self.groups.get_mut(&node).unwrap().name = to.into();
        Ok(())
    }

    fn attach(&mut self, to: Node, id: TaskId) -> Result<(), Errno> {
        let task = self.tasks.get(&id).filter(|task| task.alive).ok_or(ESRCH)?;
        let hierarchy = self.groups[&to].hierarchy;
        let from = task.groups[hierarchy];
        if from == to {
            return Ok(());
        }
        let group = &self.groups[&to];
        if hierarchy == "p" && (group.cpus.is_empty() || group.mems.is_empty()) {
            return Err(ENOSPC);
        }
        self.has_seat(to, &task.name)?;
        let downward = self.groups[&to].parent == Some(from) && self.members(to).is_empty();
        if hierarchy == "n" && !downward && !self.born.contains(&id) {
            return Err(EPERM);
        }
        if hierarchy == "m" && task.committed > 0 {
            self.grant(Some(to), Some(from), task.committed)?;
        }
        self.tasks
            .get_mut(&id)
            .unwrap()
            .groups
            .insert(hierarchy, to);
        self.release_if_empty(from);
        Ok(())
    }

    fn has_seat(&self, node: Node, name: &TaskName) -> Result<(), Errno> {
        let is_wanted = self.groups[&node].one_to_one && name.kind.is_vcpu();
        match is_wanted && self.vcpus(node) >= self.effective(node).len() {
            true => Err(ENOSPC),
            false => Ok(()),
        }
    }

    fn fork(
        &mut self,
        id: TaskId,
        name: &TaskName,
        tid: Tid,
        parent: Option<TaskId>,
    ) -> Result<(), Errno> {
        if self.tasks.contains_key(&id) {
            return Err(EEXIST);
        }
        if self
            .tasks
            .values()
            .any(|task| task.alive && (task.name == *name || task.tid == tid))
        {
            return Err(EEXIST);
        }
        let groups = match parent {
            None => HIERARCHIES
                .iter()
                .enumerate()
                .map(|(node, name)| (*name, node))
                .collect(),
            Some(parent) => {
                let parent = self
                    .tasks
                    .get(&parent)
                    .filter(|task| task.alive)
                    .ok_or(ESRCH)?;
                parent.groups.clone()
            }
        };
        self.has_seat(groups["p"], name)?;
        self.born.insert(id);
        self.tasks.insert(
            id,
            Task {
                name: name.clone(),
                tid,
                alive: true,
                groups,
                usage: 0,
                committed: 0,
                resident: 0,
            },
        );
        Ok(())
    }

    fn exit(&mut self, id: TaskId) -> Result<(), Errno> {
        let task = self
            .tasks
            .get_mut(&id)
            .filter(|task| task.alive)
            .ok_or(ESRCH)?;
        task.alive = false;
        // In the order of their mounting, which the tests' prelude makes p, b, x, m, n.
        let groups = HIERARCHIES.map(|name| task.groups[name]);
        groups
            .into_iter()
            .for_each(|group| self.release_if_empty(group));
        Ok(())
    }

    fn clone_group(&mut self, id: TaskId, hierarchy: &'static str) -> Result<(), Errno> {
        let task = self.tasks.get(&id).filter(|task| task.alive).ok_or(ESRCH)?;
        if self.mounts[hierarchy].0 != Mounting::Mounted {
            return Ok(());
        }
        let name = format!("node_{}", task.tid);
        let node = self.mkdir(task.groups[hierarchy], &name)?;
        if hierarchy == "p" {
            self.copy_parent(node);
        }
        self.attach(node, id)
    }

    fn write(&mut self, node: Node, file: &str, value: &str) -> Result<(), Errno> {
        let before = self.clone();
        let (hierarchy, parent) = (self.groups[&node].hierarchy, self.groups[&node].parent);
        if file == "release_agent" {
            let agent = self.mounts.get_mut(hierarchy).unwrap();
            return parent
                .is_none()
                .then(|| agent.1 = value.into())
                .ok_or(ENOENT);
        }
        let group = self.groups.get_mut(&node).unwrap();
        match file {
            "notify_on_release" => group.notify = value == "1",
            "cgroup.clone_children" => group.clone_children = value == "1",
            "freezer.state" if hierarchy == "b" && parent.is_some() => match value {
                "FROZEN" => group.asked_frozen = true,
                "THAWED" => group.asked_frozen = false,
                _ => return Err(EINVAL),
            },
            "cpuacct.usage" if hierarchy == "b" => {
                group.reset_at = before.total(node);
                let members = before
                    .subtree(node)
                    .into_iter()
                    .flat_map(|id| before.members(id));
                self.reset.extend(members);
            }
            "memory.limit_in_bytes" if hierarchy == "m" && parent.is_none() => return Err(EINVAL),
            "memory.limit_in_bytes" if hierarchy == "m" => {
                let limit = value.parse().ok();
                if limit.is_some_and(|limit| limit < before.committed(node)) {
                    return Err(EBUSY);
                }
                group.limit = limit;
            }
            "memory.failcnt" if hierarchy == "m" => group.failcnt = 0,
            "memory.max_usage_in_bytes" if hierarchy == "m" => {
                group.max_usage = before.resident(node);
            }
            _ if file.starts_with("cpu.") && hierarchy == "x" => {
                return self.write_cpu(node, file, value.parse().unwrap());
            }
            _ if hierarchy != "p" => return Err(ENOENT),
            "cpuset.cpus" | "cpuset.mems" | "cpuset.placement" if parent.is_none() => {
                return Err(EACCES);
            }
            "cpuset.cpus" => {
                let cpus = self.parse_cpus(value)?;
                if cpus == self.groups[&node].cpus {
                    return Ok(());
                }
                if !cpus.is_subset(&self.allowed) {
                    return Err(EACCES);
                }
                self.groups.get_mut(&node).unwrap().cpus = cpus;
            }
            "cpuset.mems" if value == "1" => return Err(EINVAL),
            "cpuset.mems" => group.mems = (value == "0").then_some(0).into_iter().collect(),
            "cpuset.cpu_exclusive" => group.cpu_exclusive = value == "1",
            "cpuset.mem_exclusive" => group.mem_exclusive = value == "1",
            "cpuset.placement" => group.one_to_one = value == "one-to-one",
            _ => return Err(ENOENT),
        }
        let checked = self.validate(&before, node);
        if checked.is_err() {
            *self = before;
        }
        checked
    }

    fn write_cpu(&mut self, node: Node, file: &str, value: i64) -> Result<(), Errno> {
        let number = value.unsigned_abs();
        let mut cpu = self.groups[&node].cpu;
        match file {
            "cpu.shares" => cpu.0 = number.clamp(2, 262_144),
            "cpu.cfs_quota_us" if value < 0 => cpu.1 = None,
            "cpu.cfs_quota_us" if number >= 1000 => cpu.1 = Some(number),
            "cpu.cfs_period_us" if (1000..=1_000_000).contains(&number) => cpu.2 = number,
            _ => return Err(EINVAL),
        }
        let before = std::mem::replace(&mut self.groups.get_mut(&node).unwrap().cpu, cpu);
        match self.groups[&node].parent.is_some() && self.cpu_ratios_are_ordered() {
            true => Ok(()),
            false => {
                self.groups.get_mut(&node).unwrap().cpu = before;
                Err(EINVAL)
            }
        }
    }

    /// Whether every group has at most what each one above it has, where both have a quota.
    fn cpu_ratios_are_ordered(&self) -> bool {
        let ratio = |node: &Node| {
            let (_, quota, period) = self.groups[node].cpu;
            quota.map(|quota| (quota << 20) / period)
        };
        self.groups.keys().all(|node| {
            let mut above = self.groups[node].parent;
            std::iter::from_fn(|| {
                let this = above?;
                above = self.groups[&this].parent;
                Some(this)
            })
            .all(|above| match (ratio(node), ratio(&above)) {
                (Some(below), Some(above)) => below <= above,
                _ => true,
            })
        })
    }

    fn parse_cpus(&self, value: &str) -> Result<BTreeSet<u32>, Errno> {
        let list: container_core::CpuSet = value.parse().unwrap();
        let cpus: BTreeSet<u32> = list.iter().collect();
        match cpus.last() {
            Some(last) if *last >= self.possible => Err(ERANGE),
            _ if !cpus.is_subset(&self.present) => Err(EINVAL),
            _ => Ok(cpus),
        }
    }

    /// The rules of cpuset, of the state as it would be.
    fn validate(&self, before: &Model, node: Node) -> Result<(), Errno> {
        let group = &self.groups[&node];
        if group.hierarchy != "p" {
            return Ok(());
        }
        let holds = |above: &Group, below: &Group| {
            let values = below.cpus.is_subset(&above.cpus) && below.mems.is_subset(&above.mems);
            (above.parent.is_none() || values)
                && below.cpu_exclusive <= above.cpu_exclusive
                && below.mem_exclusive <= above.mem_exclusive
        };
        if !self
            .children(node)
            .iter()
            .all(|child| holds(group, &self.groups[child]))
        {
            return Err(EBUSY);
        }
        if let Some(parent) = group.parent {
            if !holds(&self.groups[&parent], group) {
                return Err(EACCES);
            }
            let old = &before.groups[&node];
            let cleared = (group.cpus.is_empty() && !old.cpus.is_empty())
                || (group.mems.is_empty() && !old.mems.is_empty());
            if cleared && !self.members(node).is_empty() {
                return Err(ENOSPC);
            }
            if old.cpu_exclusive && group.cpus.is_empty() && !old.cpus.is_empty() {
                return Err(EBUSY);
            }
            for sibling in self
                .children(parent)
                .into_iter()
                .filter(|child| *child != node)
            {
                let other = &self.groups[&sibling];
                if (group.cpu_exclusive || other.cpu_exclusive)
                    && !group.cpus.is_disjoint(&other.cpus)
                    || (group.mem_exclusive || other.mem_exclusive)
                        && !group.mems.is_disjoint(&other.mems)
                {
                    return Err(EINVAL);
                }
            }
        }
        let crowded = self.subtree(node).into_iter().any(|id| {
            let is_new = self.effective(id) != before.effective(id)
                || self.groups[&id].one_to_one != before.groups[&id].one_to_one;
            is_new && self.groups[&id].one_to_one && self.vcpus(id) > self.effective(id).len()
        });
        if crowded { Err(ENOSPC) } else { Ok(()) }
    }

    fn release_if_empty(&mut self, node: Node) {
        let group = &self.groups[&node];
        let is_empty = self.members(node).is_empty() && self.children(node).is_empty();
        if group.notify && is_empty && group.parent.is_some() {
            let agent = &self.mounts[group.hierarchy].1;
            self.releases
                .push((self.path(node), (!agent.is_empty()).then(|| agent.clone())));
        }
    }
}
