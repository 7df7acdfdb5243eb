//! The table of errors, row by row, and how often each was met.

use std::fmt;

use container_core::{Errno, HostResources};

use crate::asked::{Asked, Verb};
use crate::operation::{READ_ONLY, absent_node, long_name};
use crate::scratch::Answer;

use Errno::*;

/// One row: what is asked, and what the kernel says to it.
struct Row {
    what: &'static str,
    kernel: Answer,
    asked: fn(&Asked, &HostResources) -> bool,
    needs: Need,
}

/// What a host must have for a row to be met on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// A CPU number that is possible and not present.
    AbsentCpu,
    /// All possible CPUs present.
    EveryCpu,
    /// No other cpuset beside the scratch one.
    Alone,
}

const fn row(what: &'static str, kernel: Answer, asked: fn(&Asked, &HostResources) -> bool) -> Row {
    Row {
        what,
        kernel,
        asked,
        needs: Need::Nothing,
    }
}

const fn needing(needs: Need, row: Row) -> Row {
    Row { needs, ..row }
}

fn is_mkdir(asked: &Asked, name: &str) -> bool {
    asked.verb == Verb::Mkdir && asked.value == name
}

fn is_garbage_id(asked: &Asked, id: &str) -> bool {
    asked.verb == Verb::AttachGarbage && asked.value == id
}

fn sets_cpus(asked: &Asked, list: &str) -> bool {
    asked.is(Verb::Write, "cpuset.cpus", list)
}

/// A list of what this host has.
fn sets_present(asked: &Asked, host: &HostResources) -> bool {
    let is_cpus = asked.sets("cpuset.cpus") && ["0", "1", "0-1"].contains(&&*asked.value);
    is_cpus || asked.is(Verb::Write, "cpuset.mems", &host.mems.to_string())
}

fn is_flag(asked: &Asked) -> bool {
    asked.verb == Verb::Write && asked.file.ends_with("_exclusive")
}

static ROWS: &[Row] = &[
    row("mkdir existing", Err(EEXIST), |it, _| {
        it.verb == Verb::Mkdir && ["a", "b", "c"].contains(&&*it.value)
    }),
    row("mkdir named like a control file", Err(EEXIST), |it, _| {
        is_mkdir(it, "tasks") || is_mkdir(it, "cpuset.cpus")
    }),
    row("mkdir name with newline", Err(EINVAL), |it, _| {
        is_mkdir(it, "a\nb")
    }),
    row("mkdir name of 256 characters", Ok(()), |it, _| {
        is_mkdir(it, &long_name())
    }),
    row("create a file", Err(EACCES), |it, _| {
        it.verb == Verb::Create
    }),
    row("unlink a control file", Err(EPERM), |it, _| {
        it.verb == Verb::Unlink
    }),
    row("rmdir a control file", Err(ENOTDIR), |it, _| {
        it.is(Verb::Rmdir, "tasks", "")
    }),
    row("rmdir root", Err(EBUSY), |it, _| it.verb == Verb::RmdirRoot),
    row("rmdir with tasks", Err(EBUSY), |it, _| {
        it.verb == Verb::Rmdir && it.facts.has_tasks && !it.facts.has_children
    }),
    row("rmdir with children", Err(EBUSY), |it, _| {
        it.verb == Verb::Rmdir && it.facts.has_children && !it.facts.has_tasks
    }),
    row("read through a handle after rmdir", Err(ENODEV), |it, _| {
        it.verb == Verb::ReadOpen && it.facts.is_gone
    }),
    row(
        "write through a handle after rmdir",
        Err(ENODEV),
        |it, _| it.verb == Verb::WriteOpen && it.facts.is_gone,
    ),
    row("rename onto existing", Err(EEXIST), |it, _| {
        it.verb == Verb::Rename
    }),
    row("rename onto a control file", Err(ENOTDIR), |it, _| {
        it.is(Verb::Rename, "", "tasks")
    }),
    row("rename to another parent", Err(EIO), |it, _| {
        it.verb == Verb::RenameAway
    }),
    row("attach with empty cpus", Err(ENOSPC), |it, _| {
        it.verb == Verb::Attach && it.facts.has_no_cpus && !it.facts.has_no_mems
    }),
    row("attach with empty mems", Err(ENOSPC), |it, _| {
        it.verb == Verb::Attach && it.facts.has_no_mems && !it.facts.has_no_cpus
    }),
    row("attach a dead task", Err(ESRCH), |it, _| {
        it.verb == Verb::AttachDead
    }),
    row("attach garbage", Err(EINVAL), |it, _| {
        is_garbage_id(it, "abc")
    }),
    row("attach two ids", Err(EINVAL), |it, _| {
        is_garbage_id(it, "{} {}")
    }),
    row("attach -1", Err(EINVAL), |it, _| is_garbage_id(it, "-1")),
    row("attach overflow", Err(EINVAL), |it, _| {
        is_garbage_id(it, "99999999999999999999")
    }),
    row("attach empty line", Err(EINVAL), |it, _| {
        is_garbage_id(it, "\n")
    }),
    row("zero-byte write", Ok(()), |it, _| {
        it.verb == Verb::Write && it.value.is_empty()
    }),
    row(
        "attach without the right over that task",
        Err(EACCES),
        |it, _| it.verb == Verb::AttachAsOther,
    ),
    row("cpus not a subset of the parent's", Err(EACCES), |it, _| {
        it.sets("cpuset.cpus")
    }),
    row("mems not a subset of the parent's", Err(EACCES), |it, _| {
        it.sets("cpuset.mems")
    }),
    row("shrink cpus below a child", Err(EBUSY), |it, _| {
        it.sets("cpuset.cpus") && it.facts.has_children
    }),
    row("shrink mems below a child", Err(EBUSY), |it, _| {
        it.sets("cpuset.mems")
    }),
    needing(
        Need::Alone,
        row(
            "clear the cpus of an exclusive group",
            Err(EBUSY),
            |it, _| it.is(Verb::Write, "cpuset.cpus", "\n") && !it.facts.has_children,
        ),
    ),
    row("clear cpus while tasks are in it", Err(ENOSPC), |it, _| {
        it.sets("cpuset.cpus")
    }),
    row("clear mems while tasks are in it", Err(ENOSPC), |it, _| {
        it.sets("cpuset.mems")
    }),
    needing(
        Need::Alone,
        row(
            "exclusive overlap, the value last",
            Err(EINVAL),
            sets_present,
        ),
    ),
    needing(
        Need::Alone,
        row("exclusive overlap, the flag last", Err(EINVAL), |it, _| {
            is_flag(it) && it.value == "1"
        }),
    ),
    row(
        "child exclusive while the parent is not",
        Err(EACCES),
        |it, _| is_flag(it),
    ),
    needing(
        Need::Alone,
        row(
            "clear the parent's exclusive while a child's is",
            Err(EBUSY),
            |it, _| is_flag(it) && it.value == "0",
        ),
    ),
    row("cpus at or past nr_cpu_ids", Err(ERANGE), |it, host| {
        sets_cpus(it, &host.possible_cpus.to_string())
    }),
    needing(
        Need::AbsentCpu,
        row(
            "cpus below nr_cpu_ids but not present",
            Err(EINVAL),
            |it, host| {
                let cpu = it.value.parse().unwrap_or(u32::MAX);
                it.sets("cpuset.cpus")
                    && cpu < host.possible_cpus
                    && !host.present_cpus.contains(cpu)
            },
        ),
    ),
    row("absent memory node", Err(EINVAL), |it, host| {
        it.is(Verb::Write, "cpuset.mems", &absent_node(host))
    }),
    row("cpus abc", Err(EINVAL), |it, _| sets_cpus(it, "abc")),
    row("cpus 1-0", Err(EINVAL), |it, _| sets_cpus(it, "1-0")),
    row("cpus -1", Err(EINVAL), |it, _| sets_cpus(it, "-1")),
    row("cpus 0x1", Err(EINVAL), |it, _| sets_cpus(it, "0x1")),
    row("cpus 0,,1", Ok(()), |it, _| sets_cpus(it, "0,,1")),
    row("cpus 0 1", Ok(()), |it, _| sets_cpus(it, "0 1")),
    needing(
        Need::EveryCpu,
        row("cpus all", Ok(()), |it, _| sets_cpus(it, "all")),
    ),
    row("cpus 0-1:1/2", Ok(()), |it, _| sets_cpus(it, "0-1:1/2")),
    row("write root cpus", Err(EACCES), |it, _| {
        it.is(Verb::WriteRoot, "cpuset.cpus", "")
    }),
    row("write root mems", Err(EACCES), |it, _| {
        it.is(Verb::WriteRoot, "cpuset.mems", "")
    }),
    row("flag = 2", Ok(()), |it, _| {
        is_flag(it) && it.value == "2" || it.is(Verb::Write, "notify_on_release", "2")
    }),
    row("flag = abc", Err(EINVAL), |it, _| {
        is_flag(it) && it.value == "abc"
    }),
    row(
        "write a read-only file, privileged",
        Err(EINVAL),
        |it, _| it.verb == Verb::Write && READ_ONLY.contains(&&*it.file),
    ),
    row(
        "write a read-only file, unprivileged",
        Err(EACCES),
        |it, _| it.verb == Verb::WriteAsOther && READ_ONLY.contains(&&*it.file),
    ),
    row("oversized write: a list", Err(E2BIG), |it, _| {
        it.sets("cpuset.cpus") || it.sets("cpuset.mems")
    }),
    row("oversized write: another file", Err(E2BIG), |it, _| {
        it.verb == Verb::Write && !it.sets("cpuset.cpus") && !it.sets("cpuset.mems")
    }),
    row(
        "sched_setaffinity outside the cpuset",
        Err(EINVAL),
        |it, _| it.verb == Verb::Confine,
    ),
    row(
        "sched_setaffinity partly outside: intersected",
        Ok(()),
        |it, _| it.verb == Verb::Confine && it.facts.is_partial,
    ),
];

/// How often each row was met.
pub struct Coverage {
    host: HostResources,
    hits: Vec<u64>,
    /// Steps in all, and sequences with an exclusive scratch group, had and not had.
    pub steps: u64,
    pub exclusive: u64,
    pub refused_exclusive: u64,
}

impl Coverage {
    pub fn new(host: &HostResources) -> Coverage {
        Coverage {
            host: host.clone(),
            hits: vec![0; ROWS.len()],
            steps: 0,
            exclusive: 0,
            refused_exclusive: 0,
        }
    }

    /// Count what the kernel answered.
    pub fn meet(&mut self, asked: &Asked, kernel: Answer) {
        for (row, hits) in ROWS.iter().zip(&mut self.hits) {
            *hits += u64::from(row.kernel == kernel && (row.asked)(asked, &self.host));
        }
    }

    /// Rows that this host could have met and did not.
    pub fn missing(&self) -> Vec<&'static str> {
        let rows = ROWS.iter().zip(&self.hits);
        let missing = rows.filter(|(row, hits)| **hits == 0 && self.lacks(row).is_none());
        missing.map(|(row, _)| row.what).collect()
    }

    /// Why a row cannot be met on this host.
    fn lacks(&self, row: &Row) -> Option<&'static str> {
        let has_absent_cpu =
            (0..self.host.possible_cpus).any(|cpu| !self.host.present_cpus.contains(cpu));
        match row.needs {
            Need::AbsentCpu if !has_absent_cpu => Some("every possible CPU is present"),
            Need::EveryCpu if has_absent_cpu => Some("not every possible CPU is present"),
            Need::Alone if self.refused_exclusive > 0 => Some("another cpuset stands beside"),
            _ => None,
        }
    }
}

/// The table, a row a line.
impl fmt::Display for Coverage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (row, hits) in ROWS.iter().zip(&self.hits) {
            let answer = row
                .kernel
                .map_or_else(|errno| format!("{errno:?}"), |()| "accepted".into());
            write!(out, "{:>9}  {answer:<8}  {}", hits, row.what)?;
            match self.lacks(row) {
                Some(why) if *hits == 0 => writeln!(out, " (cannot be met here: {why})")?,
                _ => writeln!(out)?,
            }
        }
        let Coverage {
            steps,
            exclusive,
            refused_exclusive,
            ..
        } = self;
        write!(
            out,
            "{steps} steps, {exclusive} sequences in an exclusive scratch group"
        )?;
        write!(
            out,
            " ({refused_exclusive} times another cpuset stood in the way)"
        )
    }
}
