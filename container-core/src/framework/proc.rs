//! The state as text, in the formats of /proc/cgroups and /proc/PID/cgroup.

use super::Framework;
use crate::{Refusal, TaskId};

impl Framework {
    /// One line a subsystem, under a header; hierarchy 0 is none.
    pub fn proc_groups(&self) -> String {
        let mut text = String::from("#subsystem\thierarchy\tnum_groups\tenabled\n");
        for id in self.subsystems.ids() {
            let hierarchy = self.core.bindings[id.0];
            let groups = self.core.hierarchies[hierarchy].groups;
            let name = self.subsystems.get(id).name();
            text += &format!("{name}\t{}\t{groups}\t1\n", hierarchy.index());
        }
        text
    }

    /// One line a hierarchy, `ID:subsystems,name=HIERARCHY:/path`, the latest first.
    ///
    /// # Errors
    /// ESRCH for a task that is dead or was never born.
    pub fn task_group_lines(&self, task: TaskId) -> Result<String, Refusal> {
        let task = self.core.tasks.living_task(task)?;
        let mut text = String::new();
        for (id, hierarchy) in self.core.listed().rev() {
            let path = &self.core.groups[self.core.group_of(task, id)].path;
            let subsystems = self
                .bound_to(hierarchy.root)
                .map(|id| self.subsystems.get(id).name());
            let mut controllers: Vec<String> = subsystems.map(String::from).collect();
            controllers.push(format!("name={}", hierarchy.name));
            text += &format!("{}:{}:{}\n", id.index(), controllers.join(","), path.path());
        }
        Ok(text)
    }
}
