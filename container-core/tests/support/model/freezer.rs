//! Who is to be out of its guest, and what is said of it.

use std::collections::BTreeMap;

use container_core::{Errno, Errno::*, TaskId};

use super::{Model, Node};

impl Model {
    pub(super) fn write_freezer_state(&mut self, node: Node, value: &str) -> Result<(), Errno> {
        self.groups.get_mut(&node).unwrap().asked_frozen = match value {
            "FROZEN" => true,
            "THAWED" => false,
            _ => return Err(EINVAL),
        };
        Ok(())
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
}
