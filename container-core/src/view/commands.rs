//! What a guest may change, and how it becomes the framework's own commands.
//!
//! The rules of views come first, in the guest's words: whatever reaches the framework names a group
//! that was found in the view, a file that is for guests, and a vCPU of the view's machine.

use std::collections::HashMap;

use super::registry::View;
use super::{
    MAX_VIEW_COMMANDS, MAX_VIEW_DEPTH, MAX_VIEW_GROUPS, MAX_VIEW_VALUE, ViewAccess, ViewCommand,
    ViewId, ViewPath,
};
use crate::framework::Whose;
use crate::group::GroupId;
use crate::transaction::Transaction;
use crate::{Command, Credentials, Errno, Framework, Plan, Refusal, TaskId, TaskKind, TaskName};

/// What a view allows below each root that a batch spoke of. A batch brings nobody else in, so it is
/// looked at once.
type Allowed = HashMap<GroupId, ViewAccess>;

impl Framework {
    /// Check a batch of a guest's, each command against the state that the ones before it would
    /// leave. The plan is carried out and committed like any other; the host alone may read it.
    ///
    /// # Errors
    /// What the first refused command breaks, in the guest's names; its index is in
    /// [`Refusal::command`]. E2BIG past [`MAX_VIEW_COMMANDS`], ENODEV for a view that is closed.
    pub fn view_plan(&mut self, view: ViewId, commands: &[ViewCommand]) -> Result<Plan, Refusal> {
        self.views.get(view)?;
        if commands.len() > MAX_VIEW_COMMANDS {
            let rule = format!(
                "{} commands in one plan are past {MAX_VIEW_COMMANDS}, the most for a view",
                commands.len()
            );
            return Err(Refusal {
                command: MAX_VIEW_COMMANDS,
                ..Refusal::plain(Errno::E2BIG, rule)
            });
        }
        self.try_out(Credentials::ROOT, |framework, transaction| {
            let mut allowed = Allowed::new();
            let applied = commands.iter().enumerate().map(|(index, command)| {
                let outcome = framework.apply_in_view(transaction, view, command, &mut allowed);
                outcome.map_err(|refusal| Refusal {
                    command: index,
                    ..refusal
                })
            });
            applied.collect()
        })
    }

    fn apply_in_view(
        &mut self,
        transaction: &mut Transaction,
        view: ViewId,
        command: &ViewCommand,
        allowed: &mut Allowed,
    ) -> Result<Command, Refusal> {
        let this = self.views.get(view)?;
        let root = self.view_root(this, command.group().hierarchy())?;
        let access = allowed
            .entry(root)
            .or_insert_with(|| self.access_now(this, root));
        may_change(this, *access, command.group())?;
        let asked = self.host_command(this, root, command)?;
        self.apply(transaction, &asked).map_err(|refusal| {
            let root = &self.core.groups[root].path;
            match self.views.get(view) {
                Ok(this) => this.retell(refusal, root),
                Err(closed) => closed,
            }
        })?;
        Ok(asked)
    }

    /// The framework's command, where no rule of views stands against it.
    fn host_command(
        &self,
        view: &View,
        root: GroupId,
        command: &ViewCommand,
    ) -> Result<Command, Refusal> {
        let on_host = |path: &ViewPath| path.on_host(&self.core.groups[root].path);
        match command {
            ViewCommand::Mkdir { group } => {
                self.may_make(root, group)?;
                Ok(Command::Mkdir {
                    group: on_host(group),
                })
            }
            ViewCommand::Rmdir { group } => {
                if group.is_root() {
                    let rule =
                        format!("{group} is the root of this view, which only the host removes");
                    return Err(Refusal::plain(Errno::EBUSY, rule));
                }
                self.find_in_view(root, group)?;
                Ok(Command::Rmdir {
                    group: on_host(group),
                })
            }
            ViewCommand::Write { group, file, value } => {
                let value = self.may_write(view, root, group, (file, value))?;
                Ok(match value {
                    Written::Value(value) => Command::Write {
                        group: on_host(group),
                        file: file.clone(),
                        value,
                    },
                    Written::Task(task) => Command::Attach {
                        group: on_host(group),
                        task,
                    },
                })
            }
            ViewCommand::Attach { group, task } => {
                let task = self.own_vcpu(view, root, *task)?;
                self.find_in_view(root, group)?;
                Ok(Command::Attach {
                    group: on_host(group),
                    task,
                })
            }
        }
    }

    /// # Errors
    /// EEXIST for a name that a group or a control file of the hierarchy has, those of its root
    /// included, since a guest is not told whether its root is that; EINVAL for control characters,
    /// since names are shown on the host's terminals; EAGAIN past the limits of a view.
    fn may_make(&self, root: GroupId, path: &ViewPath) -> Result<(), Refusal> {
        let Some((above, name)) = path.parent_and_name() else {
            let rule = format!("{path} is the root of this view, which is there already");
            return Err(Refusal::plain(Errno::EEXIST, rule));
        };
        let parent = self.find_in_view(root, &above)?;
        if name.contains(char::is_control) {
            let rule = format!("group name {name:?} has a control character in it");
            return Err(Refusal::plain(Errno::EINVAL, rule));
        }
        let mut files = self.control_files_of_tree(parent);
        let what = if self.core.groups[parent].children.contains_key(name) {
            Some("group")
        } else {
            files
                .any(|(_, file)| file.name == name)
                .then_some("control file")
        };
        if let Some(what) = what {
            let rule = format!("{above} has a {what} named {name} already");
            return Err(Refusal::plain(Errno::EEXIST, rule));
        }
        let groups = self.core.groups[root].descendants;
        if groups >= MAX_VIEW_GROUPS || path.depth() > MAX_VIEW_DEPTH {
            let rule = format!(
                "{path} is past the limits of a view: {MAX_VIEW_GROUPS} groups and \
                 {MAX_VIEW_DEPTH} levels below its root"
            );
            return Err(Refusal::plain(Errno::EAGAIN, rule));
        }
        Ok(())
    }

    /// What a write is to the framework.
    ///
    /// # Errors
    /// E2BIG for a long value, ENOENT for what is not there, EACCES for a file of the root or one
    /// that is read-only, EINVAL for what a subsystem does not take from this view.
    fn may_write(
        &self,
        view: &View,
        root: GroupId,
        path: &ViewPath,
        (file, value): (&str, &str),
    ) -> Result<Written, Refusal> {
        if value.len() > MAX_VIEW_VALUE {
            let rule = format!("a value of {} bytes is past {MAX_VIEW_VALUE}", value.len());
            return Err(Refusal::plain(Errno::E2BIG, rule));
        }
        let group = self.find_in_view(root, path)?;
        let row = self.file_in_view(group, path, file)?;
        if row.max_write.is_none() {
            let rule = format!("{file} in {path} is read-only");
            return Err(Refusal::plain(Errno::EACCES, rule));
        }
        // Who is in the root is the guest's to say, also through this file; all else there the host's.
        if file == "tasks" && !value.is_empty() {
            let kind = written_kind(value)?;
            return Ok(Written::Task(self.own_vcpu(view, root, kind)?));
        }
        if path.is_root() && file != "tasks" {
            let rule = format!(
                "{file} in {path}, the root of this view, is set by the host: write it in a group below"
            );
            return Err(Refusal::plain(Errno::EACCES, rule));
        }
        // A zero-byte write is accepted everywhere, and does nothing.
        let value = match self.control_file(group, file) {
            Some((Whose::Subsystem(id), _)) if !value.is_empty() => {
                let subsystem = self.subsystems.get(id);
                subsystem.within(&self.core, root, file, value)?
            }
            _ => value.into(),
        };
        Ok(Written::Value(value))
    }

    /// A vCPU of the machine that is in the view now.
    ///
    /// # Errors
    /// EPERM for a task of another kind, ESRCH for one that is not in the view, wherever it is.
    fn own_vcpu(&self, view: &View, root: GroupId, kind: TaskKind) -> Result<TaskId, Refusal> {
        if !kind.is_vcpu() {
            let rule = format!("{kind} is the host's to place: a guest moves its vCPUs only");
            return Err(Refusal::plain(Errno::EPERM, rule));
        }
        let name = TaskName {
            machine: view.machine.clone(),
            kind,
        };
        let hierarchy = self.core.groups[root].hierarchy;
        let task = self.core.tasks.with_name(&name);
        task.filter(|task| self.is_below(self.core.group_of(*task, hierarchy), root))
            .map(|task| self.core.tasks.slots[task].id)
            .ok_or_else(|| {
                let hierarchy = &self.core.hierarchies[hierarchy].name;
                let rule = format!("there is no {kind} in this view of {hierarchy}");
                Refusal::plain(Errno::ESRCH, rule)
            })
    }
}

/// What a guest's write to a control file is.
enum Written {
    Value(String),
    /// A task attached through `tasks`.
    Task(TaskId),
}

/// # Errors
/// EACCES where the view is only to be looked at.
fn may_change(view: &View, access: ViewAccess, path: &ViewPath) -> Result<(), Refusal> {
    let rule = match (access, view.access) {
        (ViewAccess::Delegate, _) => return Ok(()),
        (ViewAccess::Read, ViewAccess::Read) => {
            "this view was opened to be read, and changes nothing".into()
        }
        (ViewAccess::Read, ViewAccess::Delegate) => {
            let root = ViewPath::root(path.hierarchy());
            format!(
                "{root}, the root of this view, is shared with others, and so is only to be read"
            )
        }
    };
    Err(Refusal::plain(Errno::EACCES, rule))
}

/// The task that a guest writes to `tasks`: by kind, since it knows no thread of the host.
///
/// # Errors
/// EINVAL for anything else.
fn written_kind(value: &str) -> Result<TaskKind, Refusal> {
    let text = value.trim();
    text.parse().map_err(|_| {
        let rule = format!("tasks takes one vcpuN in a view, not {text:?}");
        Refusal::plain(Errno::EINVAL, rule)
    })
}

impl ViewCommand {
    /// The group that it is about.
    pub fn group(&self) -> &ViewPath {
        let (ViewCommand::Mkdir { group }
        | ViewCommand::Rmdir { group }
        | ViewCommand::Write { group, .. }
        | ViewCommand::Attach { group, .. }) = self;
        group
    }
}
