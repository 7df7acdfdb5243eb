//! Tasks that move, or may not.

use super::Answer::Refused;
use super::Op::*;
use super::*;
use Errno::*;

const TASK: &str = "tasks";
const OWN_NAMES: &str = "a guest names tasks by vcpuN, of its own machine, and knows no thread ids";

const fn tasks(value: &'static str) -> Op {
    Write("p:/home/c", "tasks", value)
}

/// What a guest is told that writes anything else than a vCPU.
const fn not_a_vcpu(text: &'static [&'static str]) -> Answer {
    Refused(EINVAL, text)
}

const CONFINED: &str = "a move where ns is, but into an empty child";
const WITH_NS: &[Op] = &[Mount("n", &["ns"]), Mkdir("n:", "a"), Mkdir("n:/a", "b")];

pub const ROWS: &[Row] = &[
    refused(
        ATTACH_EMPTY,
        Attach("p:/home/new", "web/vcpu0"),
        ENOSPC,
        &["vcpu0", "p:/home/new", "cpuset.cpus is empty"],
    ),
    refused(
        ATTACH_EMPTY,
        Attach("p:/home/new", "web/vcpu0"),
        ENOSPC,
        &["vcpu0", "p:/home/new", "cpuset.mems is empty"],
    )
    .after(&[Write("p:/home/new", "cpuset.cpus", "0")]),
    refused(
        ATTACH_EMPTY,
        Write("p:/home/new", "tasks", "1001"),
        ENOSPC,
        &["web/vcpu0", "p:/home/new", "cpuset.cpus is empty"],
    )
    .guest(not_a_vcpu(&["one vcpuN", r#""1001""#]), OWN_NAMES),
    refused(
        ATTACH_DEAD,
        Attach("p:/home/c", "web/vcpu2"),
        ESRCH,
        &["vcpu2"],
    ),
    refused(ATTACH_DEAD, tasks("1003"), ESRCH, &["1003"])
        .guest(not_a_vcpu(&["one vcpuN", r#""1003""#]), OWN_NAMES),
    refused(ATTACH_DEAD, tasks("999"), ESRCH, &["999"])
        .guest(not_a_vcpu(&["one vcpuN", r#""999""#]), OWN_NAMES),
    refused(ATTACH_DEAD, tasks("0"), ESRCH, &["0", "the writer"])
        .guest(not_a_vcpu(&["one vcpuN", r#""0""#]), OWN_NAMES),
    refused(
        ATTACH_GARBAGE,
        tasks("abc"),
        EINVAL,
        &["tasks takes one", r#""abc""#],
    ),
    refused(
        ATTACH_GARBAGE,
        tasks("1001 1002"),
        EINVAL,
        &["tasks takes one", r#""1001 1002""#],
    ),
    refused(
        ATTACH_GARBAGE,
        tasks("1001\n1002"),
        EINVAL,
        &["tasks takes one", r#""1001\n1002""#],
    ),
    refused(
        ATTACH_GARBAGE,
        tasks("1001,1002"),
        EINVAL,
        &["tasks takes one", r#""1001,1002""#],
    ),
    refused(
        ATTACH_GARBAGE,
        tasks("-1"),
        EINVAL,
        &["tasks takes one", r#""-1""#],
    ),
    refused(
        ATTACH_GARBAGE,
        tasks("99999999999"),
        EINVAL,
        &["tasks takes one", r#""99999999999""#],
    ),
    refused(
        ATTACH_GARBAGE,
        tasks("\n"),
        EINVAL,
        &["tasks takes one", r#""""#],
    ),
    // The kernel reads it as process 1.
    refused(
        ATTACH_GARBAGE,
        tasks("0x1"),
        EINVAL,
        &["tasks takes one", r#""0x1""#],
    ),
    refused(
        ATTACH_GARBAGE,
        Attach("p:/home/c", "abc"),
        EINVAL,
        &[r#""abc""#],
    ),
    refused(
        ATTACH_GARBAGE,
        Attach("p:/home/c", "web/vcpu1 web/vcpu0"),
        EINVAL,
        &["vcpu1 web/vcpu0"],
    ),
    refused(
        ATTACH_GARBAGE,
        Attach("p:/home/c", "-1"),
        EINVAL,
        &[r#""-1""#],
    ),
    refused(
        ATTACH_GARBAGE,
        Attach("p:/home/c", "99999999999"),
        EINVAL,
        &[r#""99999999999""#],
    ),
    refused(
        ATTACH_GARBAGE,
        Attach("p:/home/c", "web/vcpu99999"),
        EINVAL,
        &["vcpu99999"],
    ),
    refused(
        ATTACH_GARBAGE,
        Attach("p:/home/c", "web/nothing"),
        EINVAL,
        &["nothing", "vcpuN"],
    ),
    refused(
        TASK,
        Attach("p:/home/none", "web/vcpu0"),
        ENOENT,
        &["p:/home/none", "no child none"],
    ),
    refused(
        TASK,
        Attach("p:/home/c/tasks", "web/vcpu0"),
        ENOTDIR,
        &["tasks in p:/home/c", "a control file"],
    ),
    refused(TASK, Attach("none:/", "web/vcpu0"), ENOENT, &["none"]),
    refused(
        TASK,
        Attach("p:/home/c", "web/vcpu1"),
        ENOSPC,
        &["p:/home/c", "one-to-one", "2", "vcpu1"],
    )
    .after(&[
        Attach("p:/home/c", "web/vcpu0"),
        Write("p:/home/c", "cpuset.placement", "one-to-one"),
    ]),
    refused(
        TASK,
        Write("p:/home/c", "cpuset.placement", "one-to-one"),
        ENOSPC,
        &["p:/home/c", "2 vCPUs", "CPUs 2"],
    )
    .after(&[
        Attach("p:/home/c", "web/vcpu0"),
        Attach("p:/home/c", "web/vcpu1"),
    ]),
    refused(
        ATTACH_RIGHT,
        Attach("p:/home/c", "db/vcpu0"),
        EACCES,
        &["db/vcpu0", "p:/other", "user 1000"],
    )
    .by(User::Owner),
    refused(
        ATTACH_RIGHT,
        tasks("1004"),
        EACCES,
        &["db/vcpu0", "p:/other", "user 1000"],
    )
    .by(User::Owner),
    refused(
        ATTACH_RIGHT,
        Attach("p:/other", "web/vcpu0"),
        EACCES,
        &["p:/other", "user 1000"],
    )
    .by(User::Owner),
    refused(
        ATTACH_RIGHT,
        Attach("p:/home/c", "web/vcpu0"),
        EACCES,
        &["p:/home/c", "user 7"],
    )
    .by(User::Stranger),
    refused(
        ATTACH_RIGHT,
        Clone("db/vcpu0", "cpuset"),
        EACCES,
        &["p:/other", "user 1000"],
    )
    .by(User::Owner),
    refused(
        CONFINED,
        Attach("n:/a/b", "db/vcpu0"),
        EPERM,
        &["db/vcpu0", "n:/a/b"],
    )
    .after(WITH_NS)
    .host_only("the hierarchy of ns is in no view"),
];
