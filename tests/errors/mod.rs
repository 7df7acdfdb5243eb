//! The error table as data: what is asked of groups, and what every door answers.
//!
//! A row is a setting, an operation in words that belong to no door, and the answer. The same rows go through the library
//! (`container-core/tests/errno.rs`), the management API by each route that has the operation
//! (`vmm/supervisor/src/api/tests/doors.rs`) and the guest channel (`vmm/supervisor/src/keeper/views/tests/doors.rs`), each
//! of which takes this folder in by its path. Where a door answers otherwise on purpose, or has no such operation, the
//! row says so and why.
//!
//! Paths are the host's. The guest of `web` has `p:/home` and `b:/home` for roots, and calls a group in there by what
//! follows ([`in_view`]).

#![allow(dead_code, reason = "each door uses its part")]

mod cpu;
mod cpuset;
mod groups;
mod limits;
mod names;
mod rights;
mod tasks;
mod values;
pub mod world;

use container_core::{Credentials, Errno};

/// An operation. Groups are `HIERARCHY:/path`, tasks `MACHINE/KIND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Mount(&'static str, &'static [&'static str]),
    Unmount(&'static str),
    Remount(&'static str, &'static [&'static str]),
    /// In this group, one of this name.
    Mkdir(&'static str, &'static str),
    Rmdir(&'static str),
    Rename(&'static str, &'static str),
    /// To uid, gid and mode.
    Chown(&'static str, u32, u32, u16),
    /// Group, file and value.
    Write(&'static str, &'static str, &'static str),
    Read(&'static str, &'static str),
    Attach(&'static str, &'static str),
    /// The task, in the hierarchy of this subsystem.
    Clone(&'static str, &'static str),
}

/// Who asks. A guest acts with the delegation's right, not as a user: it has the rows of root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    Root,
    /// Of `p:/home` and `b:/home`, and what is below.
    Owner,
    Stranger,
}

impl User {
    pub fn credentials(self) -> Credentials {
        let (uid, gid) = match self {
            User::Root => (0, 0),
            User::Owner => (1000, 100),
            User::Stranger => (7, 7),
        };
        Credentials {
            uid,
            gid,
            task: None,
        }
    }
}

/// What is answered.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The errno, and what has to stand in the sentence: both operands of the rule.
    Refused(Errno, &'static [&'static str]),
    /// It is in force; what a file that was written holds then, without its last newline.
    Taken(&'static str),
}

/// How one door's answer goes with the row's.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    Same,
    /// On purpose, and why.
    Differs(Answer, &'static str),
    /// It cannot be asked there, and why.
    Lacks(&'static str),
}

impl Door {
    /// The answer that is not the row's.
    pub fn other(self) -> Option<Answer> {
        match self {
            Door::Differs(answer, _) => Some(answer),
            Door::Same | Door::Lacks(_) => None,
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which line of the oracle's error table, or other heading, it is of.
    pub of: &'static str,
    /// What root does before, in [the world](world).
    pub setting: &'static [Op],
    pub by: User,
    pub op: Op,
    pub answer: Answer,
    pub guest: Door,
}

impl Row {
    const fn new(of: &'static str, op: Op, answer: Answer) -> Row {
        let guest = match op {
            Op::Mount(..) | Op::Unmount(_) | Op::Remount(..) => {
                Door::Lacks("hierarchies are the host's")
            }
            Op::Rename(..) => Door::Lacks("the channel has no rename"),
            Op::Chown(..) => Door::Lacks("a view has no owners"),
            Op::Clone(..) => Door::Lacks("the channel has no clone"),
            _ => Door::Same,
        };
        Row {
            of,
            setting: &[],
            by: User::Root,
            op,
            answer,
            guest,
        }
    }

    /// Whether it can be asked after [`HALF`], in one batch.
    pub fn can_follow(&self) -> bool {
        let goes = [Op::Unmount("b"), Op::Rmdir("b:/home")];
        let is_there = !goes.iter().any(|op| self.setting.contains(op));
        is_there && self.by != User::Stranger && !matches!(self.op, Op::Read(..))
    }

    const fn after(self, setting: &'static [Op]) -> Row {
        Row { setting, ..self }
    }

    const fn by(self, by: User) -> Row {
        let guest = Door::Lacks("a guest acts with the delegation's right, not as a user");
        Row { by, guest, ..self }
    }

    /// Only the host can ask.
    const fn host_only(self, why: &'static str) -> Row {
        let guest = Door::Lacks(why);
        Row { guest, ..self }
    }

    /// The guest is answered otherwise.
    const fn guest(self, answer: Answer, why: &'static str) -> Row {
        let guest = Door::Differs(answer, why);
        Row { guest, ..self }
    }
}

const fn refused(of: &'static str, op: Op, errno: Errno, operands: &'static [&'static str]) -> Row {
    Row::new(of, op, Answer::Refused(errno, operands))
}

const fn taken(of: &'static str, op: Op, then: &'static str) -> Row {
    Row::new(of, op, Answer::Taken(then))
}

/// What is done before a row in the same batch, to see it taken back where the row is refused.
pub const HALF: Op = Op::Mkdir("b:/home", "half");

/// Every row.
pub fn table() -> impl Iterator<Item = &'static Row> {
    let parts = [
        names::ROWS,
        groups::ROWS,
        limits::ROWS,
        cpuset::ROWS,
        cpu::ROWS,
        values::ROWS,
        tasks::ROWS,
        rights::ROWS,
    ];
    parts.into_iter().flatten()
}

/// What the oracle's table has and no door can ask, and why.
pub const UNASKABLE: &[(&str, &str)] = &[
    (
        "create a file / unlink a control file",
        "control files are no directory entries: no door creates or unlinks one, a write to one that is not there is ENOENT",
    ),
    (
        "sched_setaffinity outside the cpuset",
        "a system call of the thread's own, which no door has: the watch sees it as drift",
    ),
];

/// The lines of the oracle's error table, each of which has rows or is unaskable.
pub const LINES: &[&str] = &[
    MKDIR_EXISTING,
    MKDIR_NAME,
    "create a file / unlink a control file",
    RMDIR_FILE_OR_ROOT,
    RMDIR_BUSY,
    AFTER_RMDIR,
    RENAME,
    ATTACH_EMPTY,
    ATTACH_DEAD,
    ATTACH_GARBAGE,
    ZERO_BYTES,
    ATTACH_RIGHT,
    CPUS_SUBSET,
    SHRINK,
    CLEAR,
    EXCLUSIVE_OVERLAP,
    EXCLUSIVE_CHILD,
    EXCLUSIVE_PARENT,
    ABSENT_CPU,
    CPUS_GARBAGE,
    CPUS_ODD,
    ROOT_CPUS,
    FLAG,
    READ_ONLY,
    OVERSIZED,
    "sched_setaffinity outside the cpuset",
];

const MKDIR_EXISTING: &str = "mkdir existing, or named like a control file";
const MKDIR_NAME: &str = "mkdir name with newline / of 256 characters";
const RMDIR_FILE_OR_ROOT: &str = "rmdir a control file / rmdir root";
const RMDIR_BUSY: &str = "rmdir with tasks or children";
/// Doors of the host have no handles: each request names its group, which is ENOENT by then.
const AFTER_RMDIR: &str = "read or write through a handle after rmdir";
const RENAME: &str = "rename onto existing / to another parent";
const ATTACH_EMPTY: &str = "attach with empty cpus or mems";
const ATTACH_DEAD: &str = "attach a dead task";
const ATTACH_GARBAGE: &str = "attach garbage, two ids, -1, overflow, empty line";
const ZERO_BYTES: &str = "zero-byte write";
const ATTACH_RIGHT: &str = "attach without the right over that task";
const CPUS_SUBSET: &str = "cpus not a subset of the parent's";
const SHRINK: &str = "shrink below a child";
const CLEAR: &str = "clear cpus/mems while tasks are in it";
const EXCLUSIVE_OVERLAP: &str = "exclusive overlap with a sibling (either order)";
const EXCLUSIVE_CHILD: &str = "child exclusive while the parent is not";
const EXCLUSIVE_PARENT: &str = "clear the parent's exclusive while a child is exclusive";
const ABSENT_CPU: &str = "absent CPU, absent memory node";
const CPUS_GARBAGE: &str = "cpus abc, 1-0, -1, 0x1";
const CPUS_ODD: &str = "cpus 0,,1, 0 1, all, 0-1:1/2";
const ROOT_CPUS: &str = "write root cpus/mems";
const FLAG: &str = "flag = 2 / flag = abc";
const READ_ONLY: &str = "write a read-only file (mode 0444)";
const OVERSIZED: &str = "oversized write";

/// A group, or a sentence with groups in it, in the words of the guest of `web`.
pub fn in_view(text: &str) -> String {
    ["p:", "b:"].iter().fold(text.into(), |text, hierarchy| {
        let home = format!("{hierarchy}/home");
        let below = format!("{hierarchy}/");
        text.replace(&format!("{home}/"), &below)
            .replace(&home, &below)
    })
}

/// A constant of one-byte characters.
const fn ascii(bytes: &'static [u8]) -> &'static str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("not UTF-8"),
    }
}
