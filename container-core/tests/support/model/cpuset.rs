//! What is in force of what was asked for, and who has a seat.

use std::collections::BTreeSet;

use container_core::{Errno, Errno::*, TaskName};

use super::{Group, Model, Node};

impl Model {
    pub fn set_allowed(&mut self, allowed: BTreeSet<u32>) {
        self.groups.get_mut(&0).unwrap().cpus = allowed.clone();
        self.allowed = allowed;
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

    pub fn vcpus(&self, node: Node) -> usize {
        self.members(node)
            .iter()
            .filter(|task| self.tasks[task].name.kind.is_vcpu())
            .count()
    }

    pub(super) fn has_seat(&self, node: Node, name: &TaskName) -> Result<(), Errno> {
        let is_wanted = self.groups[&node].one_to_one && name.kind.is_vcpu();
        match is_wanted && self.vcpus(node) >= self.effective(node).len() {
            true => Err(ENOSPC),
            false => Ok(()),
        }
    }

    pub(super) fn copy_parent(&mut self, node: Node) {
        let parent = self.groups[&node].parent.unwrap();
        let is_exclusive = |id| self.groups[id].cpu_exclusive || self.groups[id].mem_exclusive;
        if !self.children(parent).iter().any(is_exclusive) {
            let Group { cpus, mems, .. } = self.groups[&parent].clone();
            let group = self.groups.get_mut(&node).unwrap();
            (group.cpus, group.mems) = (cpus, mems);
        }
    }

    pub(super) fn write_cpuset(
        &mut self,
        node: Node,
        file: &str,
        value: &str,
    ) -> Result<(), Errno> {
        let before = self.clone();
        let group = self.groups.get_mut(&node).unwrap();
        match file {
            "cpuset.cpus" | "cpuset.mems" | "cpuset.placement" if group.parent.is_none() => {
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
}
