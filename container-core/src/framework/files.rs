//! Control files by name: the framework's own, and the way to those of the subsystems.

use std::fmt::Write;

use super::Framework;
use super::resolve::{Access, check_access, check_root};
use crate::group::{Attributes, GroupId, HierarchyState};
use crate::subsystem::{ControlFile, MAX_WRITE, SubsystemId, Subsystems, parse_flag};
use crate::transaction::Transaction;
use crate::{Credentials, Errno, Event, GroupPath, Refusal, TaskId, Tid};

/// Bytes of a release_agent (kernel: PATH_MAX - 1).
const MAX_AGENT_WRITE: Option<usize> = Some(4095);

static FILES: &[ControlFile] = &[
    ControlFile::writable("tasks").shown_to_guests(),
    ControlFile::writable("notify_on_release").shown_to_guests(),
    ControlFile {
        name: "release_agent",
        root_only: true,
        not_in_root: false,
        max_write: MAX_AGENT_WRITE,
        shown_to_guests: false,
    },
    ControlFile::read_only("cgroup.events").shown_to_guests(),
    ControlFile::writable("cgroup.clone_children").shown_to_guests(),
    ControlFile::writable("cgroup.max.depth").shown_to_guests(),
    ControlFile::writable("cgroup.max.descendants").shown_to_guests(),
];

/// Whose a control file is.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    Framework,
    Subsystem(SubsystemId),
}

impl Framework {
    /// A control file's name out of all that there are, of every subsystem: for who may not keep whatever a client calls
    /// a file.
    pub fn known_file(name: &str) -> Option<&'static str> {
        let subsystems = Subsystems::new(Vec::new());
        let theirs = subsystems.ids().flat_map(|id| subsystems.get(id).files());
        let mut all = FILES.iter().chain(theirs);
        all.find(|file| file.name == name).map(|file| file.name)
    }

    /// The control files of a group: the framework's, then those of each subsystem bound there.
    ///
    /// # Errors
    /// ENOENT for a group that is not there.
    pub fn files(&self, group: &GroupPath) -> Result<Vec<&'static str>, Refusal> {
        let group = self.resolve(group)?;
        Ok(self
            .control_files(group)
            .map(|(_, file)| file.name)
            .collect())
    }

    /// Read a control file, with the newline that ends each of its lines.
    ///
    /// # Errors
    /// ENOENT for a group or file that is not there, EISDIR for a group in a file's place, EACCES
    /// without the right to read the group.
    pub fn read(&self, by: &Credentials, group: &GroupPath, file: &str) -> Result<String, Refusal> {
        let group = self.resolve(group)?;
        let (whose, _) = self.existing_file(group, file)?;
        check_access(&self.core, by, group, Access::Read)?;
        let text = match whose {
            Whose::Framework => self.read_own(group, file),
            Whose::Subsystem(id) => self.subsystems.get(id).read(&self.core, by, group, file),
        };
        // A list of nothing has no line at all; every other value is one line at least.
        Ok(if text.is_empty() && file == "tasks" {
            text
        } else {
            text + "\n"
        })
    }

    pub(super) fn write(
        &mut self,
        transaction: &mut Transaction,
        path: &GroupPath,
        file: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        let group = self.resolve(path)?;
        let (whose, row) = self.existing_file(group, file)?;
        check_access(&self.core, &transaction.by, group, Access::Write)?;
        if matches!(file, "cgroup.max.depth" | "cgroup.max.descendants") {
            self.may_limit(&transaction.by, group, file)?;
        }
        let is_read_only = row.max_write.is_none();
        let read_only = |errno| {
            Err(Refusal::new(
                errno,
                format!("{file} in {path} is read-only"),
            ))
        };
        if is_read_only && transaction.by.uid != 0 {
            return read_only(Errno::EACCES);
        }
        // A privileged writer gets past the file's mode, and past its bounds, before it finds that
        // nobody takes the value.
        let max_write = row.max_write.unwrap_or(MAX_WRITE);
        if value.len() > max_write {
            let length = value.len();
            let rule = format!("{length} bytes to {file} in {path} are past {max_write}");
            return Err(Refusal::new(Errno::E2BIG, rule));
        }
        if value.is_empty() {
            return Ok(());
        }
        if is_read_only {
            return read_only(Errno::EINVAL);
        }
        match whose {
            Whose::Framework if file == "tasks" => {
                let task = self.written_task(&transaction.by, value)?;
                return self.attach(transaction, group, task);
            }
            Whose::Framework => self.write_own(transaction, group, file, value)?,
            Whose::Subsystem(id) => {
                let (subsystems, mut cx) = self.context(transaction);
                subsystems.get_mut(id).write(&mut cx, group, file, value)?;
            }
        }
        self.tell(transaction, &[group], || Event::FileWritten {
            group: path.clone(),
            file: file.into(),
            value: value.into(),
        });
        Ok(())
    }

    /// What limits a group is not for who was handed it, as the kernel has it for the root of a delegation.
    ///
    /// # Errors
    /// EACCES for who may not write the group above.
    fn may_limit(&self, by: &Credentials, group: GroupId, file: &str) -> Result<(), Refusal> {
        let this = &self.core.groups[group];
        let Some(parent) = this.parent else {
            return Ok(());
        };
        check_access(&self.core, by, parent, Access::Write).map_err(|refusal| {
            let path = &this.path;
            let rule = format!("{file} limits who has {path}: {}", refusal.rule);
            Refusal::new(Errno::EACCES, rule)
        })
    }

    /// A control file of a group by name.
    pub(crate) fn control_file(
        &self,
        group: GroupId,
        name: &str,
    ) -> Option<(Whose, &'static ControlFile)> {
        self.control_files(group)
            .find(|(_, file)| file.name == name)
    }

    fn control_files(&self, group: GroupId) -> impl Iterator<Item = (Whose, &'static ControlFile)> {
        let is_root = self.core.groups[group].parent.is_none();
        self.control_files_of_tree(group)
            .filter(move |(_, file)| match is_root {
                true => !file.not_in_root,
                false => !file.root_only,
            })
    }

    /// Those of a group's whole hierarchy: the root's among them.
    pub(crate) fn control_files_of_tree(
        &self,
        group: GroupId,
    ) -> impl Iterator<Item = (Whose, &'static ControlFile)> {
        let own = FILES.iter().map(|file| (Whose::Framework, file));
        let theirs = self.bound_to(group).flat_map(|id| {
            self.subsystems
                .get(id)
                .files()
                .iter()
                .map(move |file| (Whose::Subsystem(id), file))
        });
        own.chain(theirs)
    }

    fn existing_file(
        &self,
        group: GroupId,
        name: &str,
    ) -> Result<(Whose, &'static ControlFile), Refusal> {
        self.control_file(group, name).ok_or_else(|| {
            let group = &self.core.groups[group];
            match group.children.contains_key(name) {
                true => {
                    let rule = format!("{name} in {} is a group, not a control file", group.path);
                    Refusal::new(Errno::EISDIR, rule)
                }
                false => {
                    let rule = format!("{} has no control file named {name:?}", group.path);
                    Refusal::new(Errno::ENOENT, rule)
                }
            }
        })
    }

    fn read_own(&self, group: GroupId, file: &str) -> String {
        let this = &self.core.groups[group];
        let attributes = &this.attributes;
        match file {
            "tasks" => self.tids(group),
            "notify_on_release" => u8::from(attributes.notify_on_release).to_string(),
            "release_agent" => self.core.hierarchies[this.hierarchy]
                .state
                .release_agent
                .to_string(),
            "cgroup.events" => {
                let mut subtree = self.core.subtree(group);
                let populated = subtree.any(|group| self.core.groups[group].tasks > 0);
                let frozen = self.is_frozen(group);
                format!(
                    "populated {}\nfrozen {}",
                    u8::from(populated),
                    u8::from(frozen)
                )
            }
            "cgroup.clone_children" => u8::from(attributes.clone_children).to_string(),
            "cgroup.max.depth" => limit_text(attributes.max_depth),
            _ => limit_text(attributes.max_descendants),
        }
    }

    fn write_own(
        &mut self,
        transaction: &mut Transaction,
        group: GroupId,
        file: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        let before = self.core.groups[group].attributes;
        let attributes = match file {
            "release_agent" => return self.write_release_agent(transaction, group, value),
            "notify_on_release" => Attributes {
                notify_on_release: parse_flag(file, value)?,
                ..before
            },
            "cgroup.clone_children" => Attributes {
                clone_children: parse_flag(file, value)?,
                ..before
            },
            "cgroup.max.depth" => Attributes {
                max_depth: parse_limit(file, value)?,
                ..before
            },
            _ => Attributes {
                max_descendants: parse_limit(file, value)?,
                ..before
            },
        };
        self.set_attributes(transaction, group, attributes);
        Ok(())
    }

    /// The agent runs with the supervisor's rights, so only root may name it.
    fn write_release_agent(
        &mut self,
        transaction: &mut Transaction,
        group: GroupId,
        value: &str,
    ) -> Result<(), Refusal> {
        check_root(&transaction.by, "set a release_agent")?;
        let hierarchy = self.core.groups[group].hierarchy;
        let state = self.core.hierarchies[hierarchy].state.clone();
        let release_agent = value.trim().into();
        self.set_hierarchy_state(
            transaction,
            hierarchy,
            HierarchyState {
                release_agent,
                ..state
            },
        );
        Ok(())
    }

    fn tids(&self, group: GroupId) -> String {
        let tids = self.core.css_sets_of(group).flat_map(|set| &set.tasks);
        let mut tids: Vec<Tid> = tids.copied().collect();
        tids.sort_unstable();
        let mut text = String::new();
        for (index, tid) in tids.into_iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let _ = write!(text, "{separator}{tid}");
        }
        text
    }

    /// The task that a write to `tasks` names: one decimal tid, or 0 for the writer's own.
    fn written_task(&self, by: &Credentials, value: &str) -> Result<TaskId, Refusal> {
        let text = value.trim();
        let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let tid = text
            .parse::<i32>()
            .ok()
            .filter(|_| is_decimal)
            .ok_or_else(|| {
                let rule = format!("tasks takes one decimal thread id, not {text:?}");
                Refusal::new(Errno::EINVAL, rule)
            })?;
        if tid == 0 {
            return by.task.ok_or_else(|| {
                let rule = "0 written to tasks is the writer's own task, and the writer is none";
                Refusal::new(Errno::ESRCH, rule)
            });
        }
        self.task_by_tid(Tid(tid.unsigned_abs())).ok_or_else(|| {
            Refusal::new(
                Errno::ESRCH,
                format!("there is no living task with thread id {tid}"),
            )
        })
    }
}

fn limit_text(limit: Option<u32>) -> String {
    limit.map_or_else(|| "max".into(), |limit| limit.to_string())
}

/// `max` or a number that fits an int, as for the kernel's cgroup.max files.
fn parse_limit(file: &str, value: &str) -> Result<Option<u32>, Refusal> {
    let text = value.trim();
    if text == "max" {
        return Ok(None);
    }
    let range = || {
        let rule = format!("{file} takes max or 0 to {}, not {text}", i32::MAX);
        Refusal::plain(Errno::ERANGE, rule)
    };
    match text.strip_prefix('-') {
        Some(digits) => {
            crate::subsystem::parse_u64(file, digits)?;
            Err(range())
        }
        None => {
            let number = crate::subsystem::parse_u64(file, text)?;
            let number = i32::try_from(number).map_err(|_| range())?;
            Ok(Some(number.unsigned_abs()))
        }
    }
}
