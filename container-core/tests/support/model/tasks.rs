//! What becomes of tasks.

use container_core::{Errno, Errno::*, TaskId, TaskName, Tid};

use super::{HIERARCHIES, Model, Mounting, Node, Task};

impl Model {
    pub(super) fn fork(
        &mut self,
        id: TaskId,
        name: &TaskName,
        tid: Tid,
        parent: Option<TaskId>,
    ) -> Result<(), Errno> {
        let mut living = self.tasks.values().filter(|task| task.alive);
        let is_taken = living.any(|task| task.name == *name || task.tid == tid);
        if is_taken || self.tasks.contains_key(&id) {
            return Err(EEXIST);
        }
        let groups = match parent {
            None => HIERARCHIES
                .iter()
                .enumerate()
                .map(|(node, name)| (*name, node))
                .collect(),
            Some(parent) => self.living(parent)?.groups.clone(),
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

    pub(super) fn attach(&mut self, to: Node, id: TaskId) -> Result<(), Errno> {
        let task = self.living(id)?;
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

    pub(super) fn exit(&mut self, id: TaskId) -> Result<(), Errno> {
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

    pub(super) fn clone_group(&mut self, id: TaskId, hierarchy: &'static str) -> Result<(), Errno> {
        let task = self.living(id)?;
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
}
