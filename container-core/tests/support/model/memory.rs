//! What machines hold and may need, and whose limit is in the way.

use container_core::{Errno, Errno::*, TaskId};

use super::{Model, Node, Task};

impl Model {
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

    pub(super) fn note_usage(&mut self) {
        for node in self.subtree(3) {
            let usage = self.resident(node);
            let group = self.groups.get_mut(&node).unwrap();
            group.max_usage = group.max_usage.max(usage);
        }
    }

    pub(super) fn reserve(&mut self, id: TaskId, bytes: u64) -> Result<(), Errno> {
        let task = self.living(id)?;
        let (node, more) = (task.groups["m"], bytes.saturating_sub(task.committed));
        self.grant(Some(node), None, more)?;
        self.tasks.get_mut(&id).unwrap().committed = bytes;
        Ok(())
    }

    /// Every group from `node` up grants so much more, but those that hold `from` already.
    pub(super) fn grant(
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

    pub(super) fn write_memory(
        &mut self,
        node: Node,
        file: &str,
        value: &str,
    ) -> Result<(), Errno> {
        let (committed, resident) = (self.committed(node), self.resident(node));
        let group = self.groups.get_mut(&node).unwrap();
        match file {
            "memory.limit_in_bytes" if group.parent.is_none() => return Err(EINVAL),
            "memory.limit_in_bytes" => {
                let limit = value.parse().ok();
                if limit.is_some_and(|limit| limit < committed) {
                    return Err(EBUSY);
                }
                group.limit = limit;
            }
            "memory.failcnt" => group.failcnt = 0,
            "memory.max_usage_in_bytes" => group.max_usage = resident,
            _ => return Err(ENOENT),
        }
        Ok(())
    }
}
