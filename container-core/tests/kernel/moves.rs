//! Threads moved from group to group, born and ended.

use std::os::unix::fs::chown;
use std::path::Path;

use container_core::*;

use super::acts::{Outcome, asked};
use super::{Mismatch, Pair, framework_path, other, write_command};
use crate::asked::{Facts, Verb};
use crate::operation::Who;
use crate::scratch::{MOUNT, write};
use crate::threads::{OTHER_UID, affinity, confine, is_gone};

impl Pair<'_> {
    pub(super) fn attach(&mut self, group: String, who: Who, end: &str) -> Outcome {
        let Some(living) = self.living(who) else {
            return Ok(());
        };
        let text = format!("{}{end}", living.thread.tid);
        self.write_tasks(Verb::Attach, &group, &text, &text)
    }

    pub(super) fn attach_dead(&mut self, group: String) -> Outcome {
        match self.dead.last() {
            Some(tid) if is_gone(*tid) => {
                let text = tid.to_string();
                self.write_tasks(Verb::AttachDead, &group, &text, &text)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn attach_garbage(&mut self, group: String, garbage: &str) -> Outcome {
        let Some(living) = self.living(0) else {
            return Ok(());
        };
        let text = garbage.replace("{}", &living.thread.tid.to_string());
        self.write_tasks(Verb::AttachGarbage, &group, &text, garbage)
    }

    fn write_tasks(&mut self, verb: Verb, group: &str, text: &str, shown: &str) -> Outcome {
        let asked = asked(verb, "tasks", shown, self.facts(group));
        let kernel = write(&self.kernel_path(group).join("tasks"), text.as_bytes());
        let written = self.set(group, "tasks", text);
        self.judge(&asked, kernel, &written)
    }

    pub(super) fn enter(&mut self, group: String, who: Who) -> Outcome {
        let Some(living) = self.living(who) else {
            return Ok(());
        };
        let by = Credentials {
            task: Some(living.task),
            ..Credentials::ROOT
        };
        let asked = asked(Verb::Attach, "tasks", "0", self.facts(&group));
        let kernel = living.thread.enter(self.kernel_path(&group).join("tasks"));
        let command = framework_path(&group).map(|path| write_command(path, "tasks", "0"));
        let written = command.and_then(|command| self.change_as(by, &[command]));
        self.judge(&asked, kernel, &written)
    }

    pub(super) fn leave(&mut self, who: Who) -> Outcome {
        let Some(living) = self.living(who) else {
            return Ok(());
        };
        let text = living.thread.tid.to_string();
        let kernel = write(&Path::new(MOUNT).join("tasks"), text.as_bytes());
        let root = GroupPath::root(framework_path("")?.hierarchy());
        let written = self.change(&[write_command(root, "tasks", &text)]);
        self.judge(
            &asked(Verb::Leave, "tasks", &text, Facts::default()),
            kernel,
            &written,
        )
    }

    pub(super) fn fork(&mut self, who: Who) -> Outcome {
        let parent = &self.threads[who % self.threads.len()];
        let (child, parent) = (parent.thread.fork(), parent.task);
        self.birth(child, Some(parent))
    }

    /// The framework takes no such call: what it says that the thread is to be confined to foretells the
    /// kernel's answer. The mask that was asked for would outlive the next move, so the thread ends.
    pub(super) fn confine(&mut self, who: Who, mask: u32) -> Outcome {
        let living = &self.threads[who % self.threads.len()];
        let tid = living.thread.tid;
        let wanted: CpuSet = (0..32).filter(|cpu| mask & (1 << cpu) != 0).collect();
        let task = self.framework.task(living.task).and_then(|task| task.cpus);
        let granted = wanted & task.unwrap_or_default();
        let facts = Facts {
            is_partial: !granted.is_empty() && granted != wanted,
            ..Facts::default()
        };
        let foretold = match granted.is_empty() {
            true => Err(Refusal::new(Errno::EINVAL, "no CPU of those is the task's")),
            false => Ok(()),
        };
        let kernel = confine(tid, wanted);
        self.judge(&asked(Verb::Confine, "", "", facts), kernel, &foretold)?;
        let mask = affinity(tid);
        if kernel.is_ok() && mask != Ok(granted) {
            return Err(Mismatch(format!(
                "{wanted:?} became {mask:?}, and {granted:?} was foretold"
            )));
        }
        self.death(who)
    }

    /// The other user is given the group, and so may write its `tasks`, but has no right over a thread
    /// that is in another group.
    pub(super) fn attach_as_other(&mut self, group: &str, who: Who) -> Outcome {
        let (path, tasks) = (
            framework_path(group)?,
            self.kernel_path(group).join("tasks"),
        );
        let Some(living) = self.living(who) else {
            return Ok(());
        };
        let tid = living.thread.tid.to_string();
        let inside = self.file(group, "tasks")?;
        if inside.lines().any(|line| line == tid) {
            return Ok(());
        }
        let give = |uid| Command::Chown {
            group: path.clone(),
            uid,
            gid: 0,
            mode: 0o755,
        };
        chown(&tasks, Some(OTHER_UID), None)?;
        let kernel = self.hand.write(&tasks, &tid);
        chown(&tasks, Some(0), None)?;
        self.change(&[give(OTHER_UID)])?;
        let written = self.change_as(other(), &[write_command(path.clone(), "tasks", &tid)]);
        self.change(&[give(0)])?;
        self.judge(
            &asked(Verb::AttachAsOther, "tasks", &tid, Facts::default()),
            kernel,
            &written,
        )
    }
}
