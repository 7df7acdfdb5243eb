//! Where the framework answers otherwise on purpose. What is not here must be as in the kernel.

use container_core::Errno;

use crate::asked::{Asked, Verb};
use crate::operation::{MOST_LIST_BYTES, long_name};
use crate::scratch::Answer;

use Errno::*;

/// One deliberate difference.
pub struct Difference {
    pub what: &'static str,
    asked: fn(&Asked) -> bool,
    kernel: Answer,
    pub framework: Answer,
    /// Words of docs/semantics.md that give the reason.
    pub told: &'static str,
}

fn names(asked: &Asked, name: &str) -> bool {
    matches!(asked.verb, Verb::Mkdir | Verb::Rename) && asked.value == name
}

fn is_list(asked: &Asked) -> bool {
    asked.sets("cpuset.cpus") || asked.sets("cpuset.mems")
}

pub static DIFFERENCES: &[Difference] = &[
    Difference {
        what: "a name of 256 characters",
        asked: |it| names(it, &long_name()),
        kernel: Ok(()),
        framework: Err(ENAMETOOLONG),
        told: "over 255 bytes is ENAMETOOLONG",
    },
    Difference {
        what: "mkdir . and ..",
        asked: |it| it.is(Verb::Mkdir, "", ".") || it.is(Verb::Mkdir, "", ".."),
        kernel: Err(EEXIST),
        framework: Err(EINVAL),
        told: "`..` and `.` are EINVAL",
    },
    Difference {
        what: "rename to . and ..",
        asked: |it| it.is(Verb::Rename, "", ".") || it.is(Verb::Rename, "", ".."),
        kernel: Err(EBUSY),
        framework: Err(EINVAL),
        told: "`..` and `.` are EINVAL",
    },
    Difference {
        what: "mkdir named like a file that only the framework has",
        asked: |it| it.is(Verb::Mkdir, "", "cpuset.placement"),
        kernel: Ok(()),
        framework: Err(EEXIST),
        told: "a name is taken by the files that Pinfold has",
    },
    Difference {
        what: "mkdir named like a file that only the kernel has",
        asked: |it| it.is(Verb::Mkdir, "", "cpuset.mem_hardwall"),
        kernel: Err(EEXIST),
        framework: Ok(()),
        told: "a name is taken by the files that Pinfold has",
    },
    Difference {
        what: "rename to the name of a file that only the framework has",
        asked: |it| it.is(Verb::Rename, "", "cpuset.placement"),
        kernel: Ok(()),
        framework: Err(ENOTDIR),
        told: "a name is taken by the files that Pinfold has",
    },
    Difference {
        what: "rename to the name of a file that only the kernel has",
        asked: |it| it.is(Verb::Rename, "", "cpuset.mem_hardwall"),
        kernel: Err(ENOTDIR),
        framework: Ok(()),
        told: "a name is taken by the files that Pinfold has",
    },
    Difference {
        what: "create a file",
        asked: |it| it.verb == Verb::Create,
        kernel: Err(EACCES),
        framework: Err(ENOENT),
        told: "Writing a file that is not there is ENOENT",
    },
    Difference {
        what: "unlink a control file",
        asked: |it| it.verb == Verb::Unlink,
        kernel: Err(EPERM),
        framework: Err(ENOTDIR),
        told: "the one verb that removes is for groups",
    },
    Difference {
        what: "cpuset.sched_load_balance 0",
        asked: |it| it.sets("cpuset.sched_load_balance") && ["0", "0x0"].contains(&&*it.value),
        kernel: Ok(()),
        framework: Err(EINVAL),
        told: "`cpuset.sched_load_balance` takes only 1",
    },
    Difference {
        what: "a list longer than the host's kernel was built for",
        asked: |it| is_list(it) && it.value.len() <= MOST_LIST_BYTES,
        kernel: Err(E2BIG),
        framework: Ok(()),
        told: "those of a kernel built for 1024 CPUs and 128 nodes",
    },
    Difference {
        what: "a node from 128 on",
        asked: |it| it.is(Verb::Write, "cpuset.mems", "300"),
        kernel: Err(EINVAL),
        framework: Err(ERANGE),
        told: "those of a kernel built for 1024 CPUs and 128 nodes",
    },
];

/// The difference that is about this.
pub fn between(asked: &Asked, kernel: Answer) -> Option<usize> {
    DIFFERENCES
        .iter()
        .position(|difference| difference.kernel == kernel && (difference.asked)(asked))
}
