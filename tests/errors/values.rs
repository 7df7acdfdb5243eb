//! Flags, files that are read-only, not there, or take nothing.

use super::Answer::Refused;
use super::Op::*;
use super::*;
use Errno::*;

const FILE: &str = "files";

const fn exclusive(group: &'static str, value: &'static str) -> Op {
    Write(group, "cpuset.cpu_exclusive", value)
}

pub const ROWS: &[Row] = &[
    taken(
        FLAG,
        Write("p:/home/a", "cpuset.sched_load_balance", "1"),
        "1",
    ),
    refused(
        FLAG,
        Write("p:/home/a", "notify_on_release", "abc"),
        EINVAL,
        &["notify_on_release", r#""abc""#],
    ),
    refused(
        FLAG,
        Write("p:/home/a", "cgroup.clone_children", "abc"),
        EINVAL,
        &["cgroup.clone_children", r#""abc""#],
    ),
    refused(
        FLAG,
        exclusive("p:/home/a", "abc"),
        EINVAL,
        &["cpuset.cpu_exclusive", r#""abc""#],
    ),
    refused(
        FLAG,
        exclusive("p:/home/a", "18446744073709551616"),
        ERANGE,
        &[
            "cpuset.cpu_exclusive",
            "18446744073709551616",
            "18446744073709551615",
        ],
    ),
    refused(
        FLAG,
        Write("p:/home/a", "cpuset.sched_load_balance", "0"),
        EINVAL,
        &["cpuset.sched_load_balance 0", "only 1"],
    ),
    refused(
        FLAG,
        Write("p:/home/a", "cpuset.placement", "two-to-one"),
        EINVAL,
        &["float or one-to-one", r#""two-to-one""#],
    ),
    refused(
        READ_ONLY,
        Write("p:/home/a", "cpuset.effective_cpus", "0"),
        EINVAL,
        &["cpuset.effective_cpus in p:/home/a", "read-only"],
    )
    .guest(
        Refused(EACCES, &["cpuset.effective_cpus in p:/home/a", "read-only"]),
        "a guest is nobody's root",
    ),
    refused(
        READ_ONLY,
        Write("p:/home/a", "cgroup.events", "1"),
        EINVAL,
        &["cgroup.events in p:/home/a", "read-only"],
    )
    .guest(
        Refused(EACCES, &["cgroup.events in p:/home/a", "read-only"]),
        "a guest is nobody's root",
    ),
    refused(
        READ_ONLY,
        Write("p:/home/a", "debug.taskcount", "1"),
        EINVAL,
        &["debug.taskcount in p:/home/a", "read-only"],
    )
    .guest(
        Refused(EACCES, &["debug.taskcount in p:/home/a", "read-only"]),
        "a guest is nobody's root",
    ),
    refused(
        READ_ONLY,
        Write("p:/home/a", "cpuset.effective_cpus", "0"),
        EACCES,
        &["cpuset.effective_cpus in p:/home/a", "read-only"],
    )
    .by(User::Owner),
    taken(ZERO_BYTES, Write("p:/home/a", "cpuset.cpus", ""), "0-1"),
    taken(
        ZERO_BYTES,
        Write("p:/home/a", "cpuset.effective_cpus", ""),
        "0-1",
    )
    .guest(
        Refused(EACCES, &["cpuset.effective_cpus in p:/home/a", "read-only"]),
        "a guest is nobody's root",
    ),
    taken(ZERO_BYTES, Write("p:/home/a/in", "tasks", ""), "1001").guest(
        Answer::Taken("vcpu0"),
        "a guest reads its own names, not the host's thread ids",
    ),
    taken(ZERO_BYTES, Write("b:/home/t", "cpuacct.usage", ""), "0"),
    taken(ZERO_BYTES, Write("p:/home/a", "notify_on_release", ""), "0"),
    refused(
        FILE,
        Write("p:/home/a", "cpuset.none", "0"),
        ENOENT,
        &["p:/home/a", r#""cpuset.none""#],
    ),
    refused(
        FILE,
        Write("p:/home/a", "cpuacct.usage", "0"),
        ENOENT,
        &["p:/home/a", r#""cpuacct.usage""#],
    ),
    refused(
        FILE,
        Write("p:/home/a", "release_agent", "/bin/true"),
        ENOENT,
        &["p:/home/a", r#""release_agent""#],
    ),
    refused(
        FILE,
        Write("p:/home/a", "in", "0"),
        EISDIR,
        &["in in p:/home/a", "a group"],
    ),
    refused(
        FILE,
        Write("p:/home/none", "tasks", ""),
        ENOENT,
        &["p:/home/none", "no child none"],
    ),
    refused(
        FILE,
        Read("p:/home/a", "cpuset.none"),
        ENOENT,
        &["p:/home/a", r#""cpuset.none""#],
    ),
    refused(
        FILE,
        Read("p:/home/a", "in"),
        EISDIR,
        &["in in p:/home/a", "a group"],
    ),
    refused(
        FILE,
        Read("p:/home/a/tasks", "tasks"),
        ENOTDIR,
        &["tasks in p:/home/a", "a control file"],
    ),
    refused(FILE, Read("none:/", "tasks"), ENOENT, &["none"]),
    refused(
        FILE,
        Write("b:/home/t", "cpuacct.usage", "1"),
        EINVAL,
        &["cpuacct.usage", "only 0", "not 1"],
    ),
    refused(
        FILE,
        Write("b:/home/t", "cpuacct.usage", "abc"),
        EINVAL,
        &["cpuacct.usage", r#""abc""#],
    ),
    refused(
        FILE,
        Write("b:/home/t", "cpuacct.cycles", "1"),
        EINVAL,
        &["cpuacct.cycles", "only 0", "not 1"],
    ),
];
