//! CPUs and memory nodes that a group can have.

use super::Answer::Refused;
use super::Op::*;
use super::*;
use Errno::*;

const NOT_TOLD: &str =
    "a CPU or node that its root has not is to a guest the same, absent or another's";
const ROOTS: &str = "its root's own files are the host's to write";
const SET_BY_HOST: Answer = Refused(EACCES, &["p:/home", "set by the host"]);

const fn cpus(group: &'static str, value: &'static str) -> Op {
    Write(group, "cpuset.cpus", value)
}

const fn mems(group: &'static str, value: &'static str) -> Op {
    Write(group, "cpuset.mems", value)
}

const fn exclusive(group: &'static str, value: &'static str) -> Op {
    Write(group, "cpuset.cpu_exclusive", value)
}

pub const ROWS: &[Row] = &[
    refused(
        CPUS_SUBSET,
        cpus("p:/home/a/in", "1-2"),
        EACCES,
        &["cpuset.cpus 1-2", "0-1 in p:/home/a"],
    ),
    refused(
        CPUS_SUBSET,
        cpus("p:/home/new", "3"),
        EACCES,
        &["cpuset.cpus 3", "0-2 in p:/home"],
    )
    .guest(
        Refused(EACCES, &["cpuset.cpus 3", "0-2 of the root of this view"]),
        NOT_TOLD,
    ),
    refused(
        CPUS_SUBSET,
        cpus("p:/home/new", "4"),
        EACCES,
        &["cpuset.cpus 4", "0-3, which the host allows"],
    )
    .guest(
        Refused(EACCES, &["cpuset.cpus 4", "0-2 of the root of this view"]),
        NOT_TOLD,
    ),
    refused(
        CPUS_SUBSET,
        mems("p:/home/new/x", "0"),
        EACCES,
        &["cpuset.mems 0", "nothing in p:/home/new"],
    )
    .after(&[Mkdir("p:/home/new", "x")]),
    refused(
        SHRINK,
        cpus("p:/home/a", "1"),
        EBUSY,
        &["cpuset.cpus 1", "the 0 of the child p:/home/a/in"],
    ),
    refused(
        SHRINK,
        cpus("p:/home/a", "\n"),
        EBUSY,
        &["cpuset.cpus nothing", "the 0 of the child p:/home/a/in"],
    ),
    refused(
        SHRINK,
        mems("p:/home/a", "\n"),
        EBUSY,
        &["cpuset.mems nothing", "the 0 of the child p:/home/a/in"],
    ),
    refused(
        CLEAR,
        cpus("p:/home/a/in", "\n"),
        ENOSPC,
        &["cpuset.cpus", "1 task", "p:/home/a/in"],
    ),
    refused(
        CLEAR,
        mems("p:/home/a/in", "\n"),
        ENOSPC,
        &["cpuset.mems", "1 task", "p:/home/a/in"],
    ),
    refused(
        EXCLUSIVE_OVERLAP,
        cpus("p:/home/c", "1-2"),
        EINVAL,
        &["cpuset.cpus 1-2", "the 0-1 of the sibling p:/home/a"],
    )
    .after(&[exclusive("p:/home", "1"), exclusive("p:/home/a", "1")]),
    refused(
        EXCLUSIVE_OVERLAP,
        exclusive("p:/home/a", "1"),
        EINVAL,
        &["cpuset.cpus 0-1", "the 1-2 of the sibling p:/home/c"],
    )
    .after(&[exclusive("p:/home", "1"), cpus("p:/home/c", "1-2")]),
    refused(
        EXCLUSIVE_OVERLAP,
        Write("p:/home/a", "cpuset.mem_exclusive", "1"),
        EINVAL,
        &["cpuset.mems 0", "the 0 of the sibling p:/home/c"],
    )
    .after(&[
        Attach("p:/", "db/vcpu0"),
        mems("p:/other", "\n"),
        Write("p:/home", "cpuset.mem_exclusive", "1"),
    ]),
    refused(
        EXCLUSIVE_CHILD,
        exclusive("p:/home/a/in", "1"),
        EACCES,
        &["cpuset.cpu_exclusive", "the parent p:/home/a is 0"],
    ),
    refused(
        EXCLUSIVE_CHILD,
        Write("p:/home/a/in", "cpuset.mem_exclusive", "1"),
        EACCES,
        &["cpuset.mem_exclusive", "the parent p:/home/a is 0"],
    ),
    refused(
        EXCLUSIVE_PARENT,
        exclusive("p:/home/a", "0"),
        EBUSY,
        &["cpuset.cpu_exclusive", "the child p:/home/a/in is 1"],
    )
    .after(&[
        exclusive("p:/home", "1"),
        exclusive("p:/home/a", "1"),
        exclusive("p:/home/a/in", "1"),
    ]),
    refused(
        CLEAR,
        cpus("p:/home/c", "\n"),
        EBUSY,
        &[
            "cpuset.cpus cannot be empty",
            "cpuset.cpu_exclusive",
            "p:/home/c",
        ],
    )
    .after(&[exclusive("p:/home", "1"), exclusive("p:/home/c", "1")]),
    refused(
        ABSENT_CPU,
        cpus("p:/home/new", "8"),
        ERANGE,
        &["cpuset.cpus", r#"8 in "8""#, "past 7"],
    )
    .guest(
        Refused(EACCES, &["cpuset.cpus 8", "0-2 of the root of this view"]),
        NOT_TOLD,
    ),
    refused(
        ABSENT_CPU,
        cpus("p:/home/new", "0-9"),
        ERANGE,
        &["cpuset.cpus", r#"9 in "0-9""#, "past 7"],
    )
    .guest(
        Refused(EACCES, &["cpuset.cpus 0-9", "0-2 of the root of this view"]),
        NOT_TOLD,
    ),
    refused(
        ABSENT_CPU,
        cpus("p:/home/new", "99999999999"),
        EOVERFLOW,
        &["cpuset.cpus", "99999999999", "4294967295"],
    )
    .guest(
        Refused(
            EACCES,
            &["cpuset.cpus 99999999999", "0-2 of the root of this view"],
        ),
        NOT_TOLD,
    ),
    refused(
        ABSENT_CPU,
        cpus("p:/home/new", "7"),
        EINVAL,
        &["cpuset.cpus 7", "the host's 0-5"],
    )
    .guest(
        Refused(EACCES, &["cpuset.cpus 7", "0-2 of the root of this view"]),
        NOT_TOLD,
    ),
    refused(
        ABSENT_CPU,
        mems("p:/home/new", "1"),
        EINVAL,
        &["cpuset.mems 1", "the host's 0"],
    )
    .guest(
        Refused(EACCES, &["cpuset.mems 1", "the 0 of the root of this view"]),
        NOT_TOLD,
    ),
    refused(
        ABSENT_CPU,
        mems("p:/home/new", "all"),
        EINVAL,
        &["cpuset.mems 0-127", "the host's 0"],
    )
    .guest(
        Refused(
            EACCES,
            &["cpuset.mems 0-127", "the 0 of the root of this view"],
        ),
        NOT_TOLD,
    ),
    refused(
        CPUS_GARBAGE,
        cpus("p:/home/new", "abc"),
        EINVAL,
        &["cpuset.cpus", r#""abc""#, "decimal"],
    ),
    refused(
        CPUS_GARBAGE,
        cpus("p:/home/new", "1-0"),
        EINVAL,
        &["cpuset.cpus", r#"1-0 in "1-0""#, "backwards"],
    ),
    refused(
        CPUS_GARBAGE,
        cpus("p:/home/new", "-1"),
        EINVAL,
        &["cpuset.cpus", r#""-1""#, "decimal"],
    ),
    refused(
        CPUS_GARBAGE,
        cpus("p:/home/new", "0x1"),
        EINVAL,
        &["cpuset.cpus", r#""0x1""#, "decimal"],
    ),
    refused(
        CPUS_GARBAGE,
        cpus("p:/home/new", "0-1:2/1"),
        EINVAL,
        &["cpuset.cpus", "2 of every 1"],
    ),
    refused(
        CPUS_GARBAGE,
        cpus("p:/home/new", "0:1/2"),
        EINVAL,
        &["cpuset.cpus", r#""0:1/2""#],
    ),
    refused(
        CPUS_GARBAGE,
        mems("p:/home/new", "abc"),
        EINVAL,
        &["cpuset.mems", r#""abc""#, "decimal"],
    ),
    taken(CPUS_ODD, cpus("p:/home/new", "0,,1"), "0-1"),
    taken(CPUS_ODD, cpus("p:/home/new", "0 1"), "0-1"),
    taken(CPUS_ODD, cpus("p:/home/new", "0-1:1/2"), "0"),
    // All that this host can have is more than it has, as on the kernel's hosts with empty sockets.
    refused(
        CPUS_ODD,
        cpus("p:/home/new", "all"),
        EINVAL,
        &["cpuset.cpus 0-7", "the host's 0-5"],
    )
    .guest(
        Refused(
            EACCES,
            &["cpuset.cpus 0-1023", "0-2 of the root of this view"],
        ),
        NOT_TOLD,
    ),
    refused(
        ROOT_CPUS,
        cpus("p:/", "0"),
        EACCES,
        &["cpuset.cpus", "root group p:/", "the host's"],
    )
    .host_only("it has no name for what is above its root"),
    refused(
        ROOT_CPUS,
        mems("p:/", "0"),
        EACCES,
        &["cpuset.mems", "root group p:/", "the host's"],
    )
    .host_only("it has no name for what is above its root"),
    refused(
        ROOT_CPUS,
        Write("p:/", "cpuset.placement", "one-to-one"),
        EACCES,
        &["cpuset.placement", "p:/"],
    )
    .host_only("it has no name for what is above its root"),
    taken(ROOT_CPUS, cpus("p:/home", "0-3"), "0-3").guest(SET_BY_HOST, ROOTS),
    taken(ROOT_CPUS, Write("p:/home", "notify_on_release", "1"), "1").guest(SET_BY_HOST, ROOTS),
    taken(ROOT_CPUS, Write("p:/home", "cgroup.max.depth", "9"), "9").guest(SET_BY_HOST, ROOTS),
    taken(FLAG, Write("p:/home/a", "notify_on_release", "2"), "1"),
    taken(FLAG, exclusive("p:/home/new", "0x0\n"), "0"),
    taken(FLAG, Write("p:/home/a", "cgroup.clone_children", "1"), "1"),
];
