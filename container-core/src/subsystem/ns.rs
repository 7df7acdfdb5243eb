//! ns: a group of its own for each machine whose process has namespaces of its own.
//!
//! It keeps no state and has no files. What it does is a rule of movement, that of
//! kernel/ns_cgroup.c (Linux 2.6.24): a task only ever goes down, into a direct child of its own group
//! that has no task yet; so it cannot leave what it was put into, nor join another's. Whoever owns the
//! framework makes such a group as the kernel does where a process unshares its namespaces: by
//! [`Command::Clone`](crate::Command::Clone), which makes the child and moves the task there.
//!
//! A birth is no movement. A task that is born in the batch under way has run nowhere yet, and the
//! attaches that follow its fork there say where it is born: they are a fork into that group, for which
//! the kernel does not ask either.

use crate::core::Core;
use crate::group::GroupId;
use crate::refusal::{Part, count};
use crate::subsystem::{Context, ControlFile, NS, Subsystem};
use crate::table::{Task, TaskSlot};
use crate::{Credentials, Errno, Refusal};

/// Keeps no state.
#[derive(Clone)]
pub(crate) struct Ns;

impl Subsystem for Ns {
    fn name(&self) -> &'static str {
        "ns"
    }

    fn files(&self) -> &'static [ControlFile] {
        &[]
    }

    /// # Errors
    /// EPERM for a group with tasks in it, and for one that is no child of the task's own; for root too.
    fn can_attach(
        &mut self,
        cx: &mut Context<'_>,
        task: TaskSlot,
        to: GroupId,
    ) -> Result<(), Refusal> {
        let Task { id, name, .. } = &cx.core.tasks.slots[task];
        if cx.touched.is_born(*id) {
            return Ok(());
        }
        let (target, from) = (&cx.core.groups[to], cx.core.group_for(NS, task));
        let why = if target.tasks > 0 {
            let tasks = count(target.tasks, "task", "tasks");
            format!(" cannot enter a group with {tasks} in it, ")
        } else if target.parent != Some(from) {
            " can only enter a child of the group it is in, not ".to_owned()
        } else {
            return Ok(());
        };
        Err(Refusal::about(
            Errno::EPERM,
            [
                Part::Task(name.clone()),
                Part::Words(why),
                Part::Group(target.path.clone()),
            ],
        ))
    }

    fn read(&self, _core: &Core, _by: &Credentials, _group: GroupId, file: &str) -> String {
        unreachable!("ns has no files, and so no {file}")
    }
}
