//! Control files: written by name, by another user, and through handles that outlive their group.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use container_core::*;

use super::acts::{Outcome, answer, asked};
use super::{MACHINE, Mismatch, Open, Pair, framework_path, other, write_command};
use crate::asked::{Facts, Verb};
use crate::operation::Value;
use crate::scratch::{MOUNT, write};

/// Files that are kept open to be read.
const OPENED: [&str; 3] = ["cpuset.cpus", "cpuset.cpu_exclusive", "notify_on_release"];

impl Pair<'_> {
    pub(super) fn write(&mut self, group: &str, file: &str, value: &Value) -> Outcome {
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

    pub(super) fn write_root(&mut self, file: &str) -> Outcome {
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

    pub(super) fn open(&mut self, group: &str) -> Outcome {
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

    pub(super) fn read_open(&mut self, number: usize) -> Outcome {
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

    pub(super) fn write_open(&mut self, number: usize, text: &str) -> Outcome {
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

    pub(super) fn write_as_other(&mut self, group: &str, file: &str, value: &str) -> Outcome {
        let kernel = self.hand.write(&self.kernel_path(group).join(file), value);
        let command = framework_path(group).map(|path| write_command(path, file, value));
        let written = command.and_then(|command| self.change_as(other(), &[command]));
        self.judge(
            &asked(Verb::WriteAsOther, file, value, Facts::default()),
            kernel,
            &written,
        )
    }
}
