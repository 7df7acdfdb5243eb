//! Both sides after a step: groups, files and the CPUs of every thread.

use std::collections::BTreeSet;
use std::fs;

use super::{Mismatch, Pair};
use crate::scratch::subdirectories;
use crate::threads::affinity;

/// The files that both have.
const FILES: [&str; 10] = [
    "tasks",
    "notify_on_release",
    "cgroup.clone_children",
    "cpuset.cpus",
    "cpuset.mems",
    "cpuset.effective_cpus",
    "cpuset.effective_mems",
    "cpuset.cpu_exclusive",
    "cpuset.mem_exclusive",
    "cpuset.sched_load_balance",
];

impl Pair<'_> {
    /// # Errors
    /// The first thing in which the two sides differ.
    pub(super) fn compare(&self) -> Result<(), Mismatch> {
        let groups = self.groups();
        for group in std::iter::once("").chain(groups.iter().map(String::as_str)) {
            self.compare_children(group, &groups)?;
            for file in FILES {
                let path = self.kernel_path(group).join(file);
                let kernel = fs::read_to_string(&path)?;
                let framework = self.file(group, file)?;
                if kernel != framework {
                    return Err(Mismatch(format!(
                        "{file} in /{group} is {kernel:?} in the kernel and {framework:?} in the framework"
                    )));
                }
            }
        }
        self.compare_affinities()
    }

    fn compare_children(&self, group: &str, groups: &[String]) -> Result<(), Mismatch> {
        let kernel = subdirectories(&self.kernel_path(group)).into_iter();
        let names =
            kernel.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let kernel: BTreeSet<String> = names.collect();
        let above = if group.is_empty() {
            String::new()
        } else {
            format!("{group}/")
        };
        let below = groups.iter().filter_map(|path| path.strip_prefix(&above));
        let names = below.filter(|name| !name.contains('/')).map(String::from);
        let framework: BTreeSet<String> = names.collect();
        match kernel == framework {
            true => Ok(()),
            false => Err(Mismatch(format!(
                "the children of /{group} are {kernel:?} in the kernel and {framework:?} in the framework"
            ))),
        }
    }

    /// What the kernel's cpuset made of a thread's mask, what the framework says that it is to be, and
    /// what the framework's pins have made of it.
    fn compare_affinities(&self) -> Result<(), Mismatch> {
        for living in &self.threads {
            let kernel = affinity(living.thread.tid).ok();
            let framework = self.framework.task(living.task).and_then(|task| task.cpus);
            let pinned = self.pins.get(&living.task).copied();
            if kernel != framework || kernel != pinned {
                return Err(Mismatch(format!(
                    "thread {} may run on {kernel:?} by the kernel, is to run on {framework:?} by the \
                     framework, and was pinned to {pinned:?}",
                    living.thread.tid
                )));
            }
        }
        Ok(())
    }
}
