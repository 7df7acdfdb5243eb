//! Who is billed.

use container_core::TaskId;

use super::{Model, Node};

impl Model {
    pub fn charge(&mut self, task: TaskId, nanoseconds: u64) {
        let task = self.tasks.get_mut(&task).unwrap();
        self.groups.get_mut(&task.groups["b"]).unwrap().own += nanoseconds;
        task.usage += nanoseconds;
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

    pub fn total(&self, node: Node) -> u64 {
        self.subtree(node)
            .iter()
            .map(|id| self.groups[id].own + self.groups[id].removed)
            .sum()
    }

    pub fn shown(&self, node: Node) -> u64 {
        self.total(node) - self.groups[&node].reset_at
    }

    pub(super) fn reset_bill(&mut self, node: Node) {
        let total = self.total(node);
        self.groups.get_mut(&node).unwrap().reset_at = total;
        let below = self.subtree(node).into_iter();
        let members: Vec<TaskId> = below.flat_map(|id| self.members(id)).collect();
        self.reset.extend(members);
    }
}
