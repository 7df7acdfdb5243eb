//! How each operation is done to each side.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, chown};
use std::path::Path;

use container_core::*;

use super::{MACHINE, Mismatch, Open, Pair, framework_path, write_command};
use crate::asked::{Asked, Facts, Verb};
use crate::operation::{Op, Value, Who};
use crate::scratch::{Answer, MOUNT, errno, write};
use crate::threads::{OTHER_UID, affinity, confine, is_gone};

/// Files that are kept open to be read.
const OPENED: [&str; 3] = ["cpuset.cpus", "cpuset.cpu_exclusive", "notify_on_release"];

type Outcome = Result<(), Mismatch>;

fn asked(verb: Verb, file: &str, value: &str, facts: Facts) -> Asked {
    Asked {
        verb,
        file: file.into(),
        value: value.into(),
        facts,
    }
}

/// What the kernel said to a call.
fn answer<T>(result: io::Result<T>) -> Answer {
    result.map(drop).map_err(|error| errno(&error))
}

impl Pair<'_> {
    /// Do one operation to both sides. One that has nothing to be done to is left out.
    ///
    /// # Errors
    /// Where the answers differ, or anything else afterwards.
    pub(super) fn step(&mut self, op: &Op) -> Outcome {
        self.coverage.steps += 1;
        self.act(op)?;
        self.compare()
    }

    fn act(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Mkdir(above, name) => self.mkdir(self.group(above), name),
            Op::Rmdir(place) => self.below(place, Self::rmdir),
            Op::RmdirFile(place) => self.below(place, Self::rmdir_file),
            Op::RmdirRoot => self.rmdir_root(),
            Op::Rename(place, to) => self.below(place, |pair, group| pair.rename(group, to)),
            Op::RenameAway(place, to) => {
                let to = self.group(to);
                self.below(place, |pair, group| pair.rename_away(group, &to))
            }
            Op::RenameFile(place) => self.below(place, Self::rename_file),
            Op::Write(place, file, value) => self.write(&self.group(place), file, value),
            Op::WriteRoot(file) => self.write_root(file),
            Op::Attach(to, who, end) => self.attach(self.group(to), *who, end),
            Op::AttachDead(to) => self.attach_dead(self.group(to)),
            Op::AttachGarbage(to, text) => self.attach_garbage(self.group(to), text),
            Op::Enter(to, who) => self.enter(self.group(to), *who),
            Op::Leave(who) => self.leave(*who),
            Op::Exit(_) | Op::Fork(_) | Op::Confine(..) if self.threads.is_empty() => Ok(()),
            Op::Exit(who) => self.death(*who),
            Op::Fork(who) => self.fork(*who),
            Op::Confine(who, mask) => self.confine(*who, *mask),
            Op::Create(place) => self.create(self.group(place)),
            Op::Unlink(place) => self.unlink(self.group(place)),
            Op::Open(place) => self.below(place, Self::open),
            Op::ReadOpen(number) => self.read_open(*number),
            Op::WriteOpen(number, text) => self.write_open(*number, text),
            Op::WriteAsOther(place, file, value) => {
                self.below(place, |pair, group| pair.write_as_other(group, file, value))
            }
            Op::AttachAsOther(place, who) => {
                self.below(place, |pair, group| pair.attach_as_other(group, *who))
            }
        }
    }

    fn below(
        &mut self,
        place: &crate::operation::Place,
        act: impl FnOnce(&mut Self, &str) -> Outcome,
    ) -> Outcome {
        match self.group_below(place) {
            Some(group) => act(self, &group),
            None => Ok(()),
        }
    }

    fn mkdir(&mut self, above: String, name: &str) -> Outcome {
        let is_there = self.kernel_path(&above).exists();
        // Where the parent is not there either, the two look at name and parent in another order.
        let name = if is_there { name } else { "a" };
        let path = self.kernel_path(&above).join(name);
        let kernel = answer(fs::create_dir(&path));
        let group = framework_path(&above).and_then(|above| above.child(name));
        let made = group
            .clone()
            .and_then(|group| self.change(&[Command::Mkdir { group }]));
        self.judge(
            &asked(Verb::Mkdir, "", name, self.facts(&above)),
            kernel,
            &made,
        )?;
        match (kernel, made, group) {
            (Ok(()), Err(_), _) => Ok(fs::remove_dir(path)?),
            (Err(_), Ok(()), Ok(group)) => Ok(self.change(&[Command::Rmdir { group }])?),
            _ => Ok(()),
        }
    }

    fn rmdir(&mut self, group: &str) -> Outcome {
        let asked = asked(Verb::Rmdir, "", "", self.facts(group));
        let kernel = answer(fs::remove_dir(self.kernel_path(group)));
        let removed =
            framework_path(group).and_then(|group| self.change(&[Command::Rmdir { group }]));
        self.judge(&asked, kernel, &removed)
    }

    fn rmdir_file(&mut self, group: &str) -> Outcome {
        let asked = asked(Verb::Rmdir, "tasks", "", self.facts(group));
        let kernel = answer(fs::remove_dir(self.kernel_path(group).join("tasks")));
        let removed = self.rmdir_tasks(group);
        self.judge(&asked, kernel, &removed)
    }

    fn rmdir_tasks(&mut self, group: &str) -> Result<(), Refusal> {
        let group = framework_path(group)?.child("tasks")?;
        self.change(&[Command::Rmdir { group }])
    }

    fn rmdir_root(&mut self) -> Outcome {
        let kernel = answer(fs::remove_dir(MOUNT));
        let group = GroupPath::root(framework_path("")?.hierarchy());
        let removed = self.change(&[Command::Rmdir { group }]);
        self.judge(
            &asked(Verb::RmdirRoot, "", "", Facts::default()),
            kernel,
            &removed,
        )
    }

    fn rename(&mut self, group: &str, to: &str) -> Outcome {
        let (from, path) = (self.kernel_path(group), framework_path(group)?);
        let onto = self.kernel_path(parent(group)).join(to);
        let kernel = answer(fs::rename(&from, &onto));
        let command = Command::Rename {
            group: path.clone(),
            to: to.into(),
        };
        let renamed = self.change(&[command]);
        self.judge(
            &asked(Verb::Rename, "", to, self.facts(group)),
            kernel,
            &renamed,
        )?;
        match (kernel, renamed) {
            (Ok(()), Err(_)) => Ok(fs::rename(onto, from)?),
            (Err(_), Ok(())) => {
                let (Some(above), Some(name)) = (path.parent(), path.name()) else {
                    return Ok(());
                };
                let command = Command::Rename {
                    group: above.child(to)?,
                    to: name.into(),
                };
                Ok(self.change(&[command])?)
            }
            _ => Ok(()),
        }
    }

    fn rename_away(&mut self, group: &str, to: &str) -> Outcome {
        let is_below = to == group || to.starts_with(&format!("{group}/"));
        if to == parent(group) || is_below {
            return Ok(());
        }
        let onto = self.kernel_path(to).join("moved");
        let kernel = answer(fs::rename(self.kernel_path(group), onto));
        let command = Command::Rename {
            group: framework_path(group)?,
            to: format!("{to}/moved"),
        };
        let renamed = self.change(&[command]);
        self.judge(
            &asked(Verb::RenameAway, "", "", Facts::default()),
            kernel,
            &renamed,
        )
    }

    fn rename_file(&mut self, group: &str) -> Outcome {
        let above = self.kernel_path(group);
        let kernel = answer(fs::rename(above.join("tasks"), above.join("x")));
        let command = Command::Rename {
            group: framework_path(group)?.child("tasks")?,
            to: "x".into(),
        };
        let renamed = self.change(&[command]);
        self.judge(
            &asked(Verb::Rename, "tasks", "x", Facts::default()),
            kernel,
            &renamed,
        )
    }

    fn write(&mut self, group: &str, file: &str, value: &Value) -> Outcome {
        if group.is_empty() && file.starts_with("cpuset.") && !file.contains("effective") {
            return Ok(());
        }
        let value = match value {
            Value::Text(text) => text.clone(),
            Value::Padded(bytes) => {
                let present = self.file(group, file).unwrap_or_default();
                format!("{:bytes$}", present.trim_end())
            }
        };
        let asked = asked(Verb::Write, file, &value, self.facts(group));
        let path = self.kernel_path(group).join(file);
        let kernel = write(&path, value.as_bytes());
        let written = self.set(group, file, &value);
        self.judge(&asked, kernel, &written)?;
        match (kernel, written) {
            (Ok(()), Err(_)) => {
                write(&path, b"1").map_err(|errno| Mismatch(format!("{errno:?} to 1 in {file}")))
            }
            _ => Ok(()),
        }
    }

    fn write_root(&mut self, file: &str) -> Outcome {
        let path = Path::new(MOUNT).join(file);
        let present = fs::read_to_string(&path)?;
        let kernel = write(&path, present.as_bytes());
        let root = GroupPath::root(framework_path("")?.hierarchy());
        let written = self.change(&[write_command(root, file, &present)]);
        self.judge(
            &asked(Verb::WriteRoot, file, "", Facts::default()),
            kernel,
            &written,
        )
    }

    fn attach(&mut self, group: String, who: Who, end: &str) -> Outcome {
        let Some(living) = self.living(who) else {
            return Ok(());
        };
        let text = format!("{}{end}", living.thread.tid);
        self.write_tasks(Verb::Attach, &group, &text, &text)
    }

    fn attach_dead(&mut self, group: String) -> Outcome {
        match self.dead.last() {
            Some(tid) if is_gone(*tid) => {
                let text = tid.to_string();
                self.write_tasks(Verb::AttachDead, &group, &text, &text)
            }
            _ => Ok(()),
        }
    }

    fn attach_garbage(&mut self, group: String, garbage: &str) -> Outcome {
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

    fn enter(&mut self, group: String, who: Who) -> Outcome {
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

    fn leave(&mut self, who: Who) -> Outcome {
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

    fn fork(&mut self, who: Who) -> Outcome {
        let parent = &self.threads[who % self.threads.len()];
        let (child, parent) = (parent.thread.fork(), parent.task);
        self.birth(child, Some(parent))
    }

    /// The framework takes no such call: what it says that the thread is to be confined to foretells the
    /// kernel's answer. The mask that was asked for would outlive the next move, so the thread ends.
    fn confine(&mut self, who: Who, mask: u32) -> Outcome {
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

    fn create(&mut self, group: String) -> Outcome {
        let path = self.kernel_path(&group).join("new");
        let kernel = answer(
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path),
        );
        let written = self.set(&group, "new", "0");
        self.judge(
            &asked(Verb::Create, "new", "", Facts::default()),
            kernel,
            &written,
        )
    }

    fn unlink(&mut self, group: String) -> Outcome {
        let kernel = answer(fs::remove_file(self.kernel_path(&group).join("tasks")));
        let removed = self.rmdir_tasks(&group);
        self.judge(
            &asked(Verb::Unlink, "tasks", "", Facts::default()),
            kernel,
            &removed,
        )
    }

    fn open(&mut self, group: &str) -> Outcome {
        let path = self.kernel_path(group);
        let files = OPENED.map(|file| Ok((file, File::open(path.join(file))?)));
        let Ok(files) = files.into_iter().collect::<io::Result<Vec<_>>>() else {
            return Ok(());
        };
        let tasks = OpenOptions::new().write(true).open(path.join("tasks"));
        let tasks = tasks?;
        let machine = MACHINE.parse()?;
        let roots = [framework_path(group)?];
        let view = self
            .framework
            .open_view(machine, ViewAccess::Delegate, &roots)?;
        self.open.push(Open { files, tasks, view });
        Ok(())
    }

    fn read_open(&mut self, number: usize) -> Outcome {
        if self.open.is_empty() {
            return Ok(());
        }
        let number = number % self.open.len();
        for index in 0..OPENED.len() {
            let Open { files, view, .. } = &self.open[number];
            let (file, opened) = &files[index];
            let mut bytes = [0; 100];
            let kernel = opened.read_at(&mut bytes, 0);
            let path = ViewPath::root(framework_path("")?.hierarchy());
            let read = self.framework.view_read(*view, &path, file);
            if let (Ok(length), Ok(text)) = (&kernel, &read)
                && &bytes[..*length] != text.as_bytes()
            {
                return Err(Mismatch(format!(
                    "{file} kept open reads {bytes:?} and {text:?}"
                )));
            }
            let facts = Facts {
                is_gone: kernel.is_err(),
                ..Facts::default()
            };
            let asked = asked(Verb::ReadOpen, file, "", facts);
            self.judge(&asked, answer(kernel), &read.map(drop))?;
        }
        Ok(())
    }

    fn write_open(&mut self, number: usize, text: &str) -> Outcome {
        if self.open.is_empty() {
            return Ok(());
        }
        let Open { tasks, view, .. } = &self.open[number % self.open.len()];
        let kernel = answer((&*tasks).write(text.as_bytes()));
        let command = ViewCommand::Write {
            group: ViewPath::root(framework_path("")?.hierarchy()),
            file: "tasks".into(),
            value: text.into(),
        };
        let plan = self.framework.view_plan(*view, &[command]);
        let written = plan.and_then(|plan| self.framework.commit(plan).map(drop));
        let facts = Facts {
            is_gone: kernel == Err(Errno::ENODEV),
            ..Facts::default()
        };
        self.judge(
            &asked(Verb::WriteOpen, "tasks", text, facts),
            kernel,
            &written,
        )
    }

    fn write_as_other(&mut self, group: &str, file: &str, value: &str) -> Outcome {
        let kernel = self.hand.write(&self.kernel_path(group).join(file), value);
        let command = framework_path(group).map(|path| write_command(path, file, value));
        let written = command.and_then(|command| self.change_as(other(), &[command]));
        self.judge(
            &asked(Verb::WriteAsOther, file, value, Facts::default()),
            kernel,
            &written,
        )
    }

    /// The other user is given the group, and so may write its `tasks`, but has no right over a thread
    /// that is in another group.
    fn attach_as_other(&mut self, group: &str, who: Who) -> Outcome {
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

fn other() -> Credentials {
    Credentials {
        uid: OTHER_UID,
        gid: 0,
        task: None,
    }
}

/// The path above a path below the scratch group.
fn parent(group: &str) -> &str {
    group.rsplit_once('/').map_or("", |(parent, _)| parent)
}
