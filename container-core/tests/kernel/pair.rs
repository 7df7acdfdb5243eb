//! The kernel and the framework side by side: each operation is done to both, and both must say the same
//! and be the same afterwards.
//!
//! The framework has a group `h:/scratch` where the kernel has its scratch cpuset, both below a root and
//! with the same values, so that what is below stands under the same rules on both sides.

mod acts;
mod compare;
mod files;
mod moves;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use container_core::*;

use crate::asked::{Asked, Facts};
use crate::differences::{DIFFERENCES, between};
use crate::operation::{FLAGS, Place, Sequence, THREADS, Who};
use crate::rows::Coverage;
use crate::scratch::{Answer, Lock, Mount, Scratch};
use crate::threads::{Hand, OTHER_UID, Thread};

/// The machine whose tasks the threads are to the framework.
const MACHINE: &str = "diff";

/// Sequences that found another cpuset in the way, after which none tries any more.
const MOST_REFUSED: u64 = 3;

/// What the two sides do not agree on, or what went wrong besides.
pub struct Mismatch(pub String);

/// `?` on what must not fail.
impl<E: std::error::Error> From<E> for Mismatch {
    fn from(error: E) -> Mismatch {
        Mismatch(error.to_string())
    }
}

/// What all sequences share.
pub struct Rig {
    mount: Mount,
    hand: Hand,
    /// Threads in the root.
    idle: Vec<Thread>,
    pub coverage: Coverage,
    /// How often each deliberate difference was met.
    pub differences: Vec<u64>,
}

impl Rig {
    pub fn new(mount: Mount) -> Rig {
        Rig {
            coverage: Coverage::new(&mount.host),
            mount,
            hand: Hand::start(),
            idle: Vec::new(),
            differences: vec![0; DIFFERENCES.len()],
        }
    }

    /// Do a sequence to both sides.
    ///
    /// # Errors
    /// The first step at which the two are not the same, and how.
    pub fn run(&mut self, sequence: &Sequence) -> Result<(), Mismatch> {
        let mut pair = Pair::new(self, sequence.exclusive)?;
        let outcome = sequence
            .ops
            .iter()
            .enumerate()
            .try_for_each(|(number, op)| {
                pair.step(op)
                    .map_err(|Mismatch(why)| Mismatch(format!("step {number}, {op:?}: {why}")))
            });
        pair.framework.check_invariants();
        let mut threads = pair.end();
        for thread in threads.drain(THREADS.min(threads.len())..) {
            thread.end();
        }
        self.idle = threads;
        outcome
    }
}

/// One sequence under way.
struct Pair<'a> {
    framework: Framework,
    threads: Vec<Living>,
    /// Ids of threads that have ended.
    dead: Vec<u32>,
    /// What the framework has asked that tasks be confined to.
    pins: BTreeMap<TaskId, CpuSet>,
    open: Vec<Open>,
    vcpus: u16,
    hand: &'a Hand,
    coverage: &'a mut Coverage,
    differences: &'a mut Vec<u64>,
    scratch: Scratch,
    _lock: Lock,
}

/// A living thread, and the task that it is to the framework.
struct Living {
    thread: Thread,
    task: TaskId,
}

/// Files of one group kept open, and what the framework has like it: a view with its root there.
struct Open {
    files: Vec<(&'static str, File)>,
    tasks: File,
    view: ViewId,
}

impl<'a> Pair<'a> {
    fn new(rig: &'a mut Rig, exclusive: bool) -> Result<Pair<'a>, Mismatch> {
        let lock = rig.mount.lock();
        let scratch = rig.mount.scratch()?;
        let coverage = &mut rig.coverage;
        let mut is_exclusive = false;
        if exclusive && coverage.refused_exclusive < MOST_REFUSED {
            is_exclusive = scratch.make_exclusive();
            coverage.exclusive += u64::from(is_exclusive);
            coverage.refused_exclusive += u64::from(!is_exclusive);
        }
        let host = rig.mount.host.clone();
        let mut pair = Pair {
            framework: Framework::new(host.clone()),
            threads: Vec::new(),
            dead: Vec::new(),
            pins: BTreeMap::new(),
            open: Vec::new(),
            vcpus: 0,
            hand: &rig.hand,
            coverage,
            differences: &mut rig.differences,
            scratch,
            _lock: lock,
        };
        pair.change(&[Command::Mount {
            hierarchy: "h".parse().expect("a name"),
            subsystems: vec!["cpuset".into()],
        }])?;
        let top = framework_path("")?;
        pair.change(&[Command::Mkdir { group: top }])?;
        pair.set("", "cpuset.cpus", &host.allowed_cpus.to_string())?;
        pair.set("", "cpuset.mems", &host.mems.to_string())?;
        for flag in FLAGS.into_iter().filter(|_| is_exclusive) {
            pair.set("", flag, "1")?;
        }
        let idle = std::mem::take(&mut rig.idle);
        let started = std::iter::repeat_with(Thread::start);
        for thread in idle.into_iter().chain(started).take(THREADS) {
            pair.birth(thread, None)?;
        }
        pair.compare()?;
        Ok(pair)
    }

    /// Take the scratch cpuset away; the threads that are left stand in the root.
    fn end(self) -> Vec<Thread> {
        drop(self.scratch);
        self.threads
            .into_iter()
            .map(|living| living.thread)
            .collect()
    }

    /// A thread that both sides take for living in its parent's groups, or the root.
    fn birth(&mut self, thread: Thread, parent: Option<TaskId>) -> Result<(), Mismatch> {
        let task = self.framework.allocate_task();
        let name = format!("{MACHINE}/vcpu{}", self.vcpus)
            .parse()
            .expect("a name");
        self.vcpus += 1;
        let tid = Tid(thread.tid);
        self.threads.push(Living { thread, task });
        self.change(&[Command::Fork {
            task,
            name,
            tid,
            parent,
        }])?;
        Ok(())
    }

    /// The end of a thread, on both sides.
    fn death(&mut self, who: Who) -> Result<(), Mismatch> {
        let Living { thread, task } = self.threads.remove(who % self.threads.len());
        self.dead.push(thread.tid);
        thread.end();
        self.pins.remove(&task);
        self.change(&[Command::Exit { task }])?;
        Ok(())
    }

    /// Plan, note what would be done to the host, and commit.
    fn change(&mut self, commands: &[Command]) -> Result<(), Refusal> {
        self.change_as(Credentials::ROOT, commands)
    }

    fn change_as(&mut self, by: Credentials, commands: &[Command]) -> Result<(), Refusal> {
        let plan = self.framework.plan(&by, commands)?;
        for effect in plan.effects() {
            if let Effect::Pin { task, cpus, before } = effect {
                let known = self.pins.insert(*task, *cpus);
                assert_eq!(known, *before, "{task} was confined to what the pin says");
            }
        }
        self.framework.commit(plan).map(drop)
    }

    fn set(&mut self, group: &str, file: &str, value: &str) -> Result<(), Refusal> {
        let command = write_command(framework_path(group)?, file, value);
        self.change(&[command])
    }

    /// Hold the two answers against each other, and count what was met.
    fn judge(
        &mut self,
        asked: &Asked,
        kernel: Answer,
        framework: &Result<(), Refusal>,
    ) -> Result<(), Mismatch> {
        self.coverage.meet(asked, kernel);
        let difference = between(asked, kernel);
        let expected = difference.map_or(kernel, |index| DIFFERENCES[index].framework);
        if let Some(index) = difference {
            self.differences[index] += 1;
        }
        match framework.as_ref().copied().map_err(|refusal| refusal.errno) == expected {
            true => Ok(()),
            false => Err(Mismatch(format!(
                "the kernel says {kernel:?}, so the framework should say {expected:?}, \
                 and it says {framework:?}"
            ))),
        }
    }

    /// The groups below the scratch group, by their paths from there.
    fn groups(&self) -> Vec<String> {
        let hierarchy = "h".parse().expect("a name");
        let all = self
            .framework
            .walk(&hierarchy)
            .expect("the hierarchy is mounted");
        let below = all
            .iter()
            .filter_map(|info| info.path.path().strip_prefix("/scratch/"));
        below.map(String::from).collect()
    }

    /// A group by its path from the scratch group, which is the empty path.
    fn group(&self, place: &Place) -> String {
        match place {
            Place::Top => String::new(),
            Place::At(path) => (*path).into(),
            Place::Nth(number) => {
                let groups = self.groups();
                let nth = groups.get(number % groups.len().max(1));
                nth.cloned().unwrap_or_default()
            }
        }
    }

    /// The same, where the scratch group itself is to be left alone.
    fn group_below(&self, place: &Place) -> Option<String> {
        Some(self.group(place)).filter(|path| !path.is_empty())
    }

    fn kernel_path(&self, group: &str) -> PathBuf {
        self.scratch.path.join(group)
    }

    fn living(&self, who: Who) -> Option<&Living> {
        self.threads.get(who % self.threads.len().max(1))
    }

    /// What is true of a group now; nothing of one that is not there.
    fn facts(&self, group: &str) -> Facts {
        let Ok(info) = framework_path(group).and_then(|path| self.framework.group(&path)) else {
            return Facts::default();
        };
        let below = format!("{group}/");
        let is_empty = |file| {
            self.file(group, file)
                .is_ok_and(|text| text.trim().is_empty())
        };
        Facts {
            has_tasks: !info.tasks.is_empty(),
            has_children: self.groups().iter().any(|path| path.starts_with(&below)),
            has_no_cpus: is_empty("cpuset.cpus"),
            has_no_mems: is_empty("cpuset.mems"),
            ..Facts::default()
        }
    }

    /// A file's content on the framework's side.
    fn file(&self, group: &str, file: &str) -> Result<String, Refusal> {
        self.framework
            .read(&Credentials::ROOT, &framework_path(group)?, file)
    }
}

/// A group's name on the framework's side.
///
/// # Errors
/// Those of a name that no group can have.
fn framework_path(group: &str) -> Result<GroupPath, Refusal> {
    match group {
        "" => "h:/scratch".parse(),
        below => format!("h:/scratch/{below}").parse(),
    }
}

fn write_command(group: GroupPath, file: &str, value: &str) -> Command {
    Command::Write {
        group,
        file: file.into(),
        value: value.into(),
    }
}

/// The user of the [`Hand`], as the framework knows it.
fn other() -> Credentials {
    Credentials {
        uid: OTHER_UID,
        gid: 0,
        task: None,
    }
}
