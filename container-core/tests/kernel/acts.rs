//! How each operation is done to each side, and how groups are made, named and removed.

use std::fs::{self, OpenOptions};
use std::io;

use container_core::*;

use super::{Mismatch, Pair, framework_path};
use crate::asked::{Asked, Facts, Verb};
use crate::operation::{Op, Place};
use crate::scratch::{Answer, MOUNT, errno};

pub(super) type Outcome = Result<(), Mismatch>;

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

    fn below(&mut self, place: &Place, act: impl FnOnce(&mut Self, &str) -> Outcome) -> Outcome {
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
}

pub(super) fn asked(verb: Verb, file: &str, value: &str, facts: Facts) -> Asked {
    Asked {
        verb,
        file: file.into(),
        value: value.into(),
        facts,
    }
}

/// What the kernel said to a call.
pub(super) fn answer<T>(result: io::Result<T>) -> Answer {
    result.map(drop).map_err(|error| errno(&error))
}

/// The path above a path below the scratch group.
fn parent(group: &str) -> &str {
    group.rsplit_once('/').map_or("", |(parent, _)| parent)
}
