//! The framework once more, as plain maps and sets, everything recomputed where it is asked for.
//!
//! It knows the errno of a refusal, who is in which group, what is in force, who is billed and who
//! is released; it has no css_sets, no undo log and no running totals.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

#[path = "model/cpu.rs"]
mod cpu;
#[path = "model/cpuacct.rs"]
mod cpuacct;
#[path = "model/cpuset.rs"]
mod cpuset;
#[path = "model/freezer.rs"]
mod freezer;
#[path = "model/groups.rs"]
mod groups;
#[path = "model/memory.rs"]
mod memory;
#[path = "model/mounts.rs"]
mod mounts;
#[path = "model/tasks.rs"]
mod tasks;

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

fn root_of(hierarchy: &str) -> Option<Node> {
    HIERARCHIES.iter().position(|name| *name == hierarchy)
}

impl Group {
    /// What `mkdir` makes below a group that hands nothing down.
    fn empty(hierarchy: &'static str, parent: Option<Node>, name: &str) -> Group {
        Group {
            hierarchy,
            parent,
            name: name.into(),
            notify: false,
            clone_children: false,
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
        }
    }
}

impl Model {
    pub fn new(host: &HostResources) -> Model {
        let allowed: BTreeSet<u32> = host.allowed_cpus.iter().collect();
        let root = |hierarchy| Group {
            cpus: allowed.clone(),
            mems: host.mems.iter().collect(),
            cpu_exclusive: true,
            mem_exclusive: true,
            ..Group::empty(hierarchy, None, "")
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

    pub fn path(&self, node: Node) -> String {
        let group = &self.groups[&node];
        match group.parent {
            None => format!("{}:/", group.hierarchy),
            Some(parent) => format!("{}/{}", self.path(parent).trim_end_matches('/'), group.name),
        }
    }

    pub fn find(&self, path: &GroupPath) -> Result<Node, Errno> {
        let mut node = root_of(path.hierarchy().as_str()).ok_or(ENOENT)?;
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

    fn living(&self, id: TaskId) -> Result<&Task, Errno> {
        let task = self.tasks.get(&id).filter(|task| task.alive);
        task.ok_or(ESRCH)
    }

    pub fn subtree(&self, node: Node) -> Vec<Node> {
        let below = self
            .children(node)
            .into_iter()
            .flat_map(|child| self.subtree(child));
        std::iter::once(node).chain(below).collect()
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
            } => self.mount(hierarchy.as_str(), subsystems),
            Command::Unmount { hierarchy } => self.unmount(hierarchy),
            Command::Remount {
                hierarchy,
                subsystems,
            } => self.remount(hierarchy, subsystems),
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
}
