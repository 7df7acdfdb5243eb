//! Users without the right.

use super::Op::*;
use super::*;
use Errno::*;
use User::{Owner, Stranger};

const RIGHT: &str = "rights";

pub const ROWS: &[Row] = &[
    refused(
        RIGHT,
        Mkdir("p:", "x"),
        EACCES,
        &["user 1000", "p:/", "0:0 with mode 755"],
    )
    .by(Owner),
    refused(
        RIGHT,
        Mkdir("p:/home", "x"),
        EACCES,
        &["user 7", "p:/home", "1000:100 with mode 755"],
    )
    .by(Stranger),
    refused(
        RIGHT,
        Rmdir("p:/home"),
        EACCES,
        &["user 1000", "p:/", "0:0"],
    )
    .by(Owner),
    refused(
        RIGHT,
        Rmdir("p:/home/c"),
        EACCES,
        &["user 7", "p:/home", "1000:100"],
    )
    .by(Stranger),
    refused(
        RIGHT,
        Rename("p:/home", "house"),
        EACCES,
        &["user 1000", "p:/", "0:0"],
    )
    .by(Owner),
    refused(
        RIGHT,
        Rename("p:/home/c", "d"),
        EACCES,
        &["user 7", "p:/home", "1000:100"],
    )
    .by(Stranger),
    refused(
        RIGHT,
        Rename("p:/home/c", "tasks"),
        EACCES,
        &["user 7", "p:/home", "1000:100"],
    )
    .by(Stranger),
    refused(
        RIGHT,
        Rename("p:/home/c", "x\ny"),
        EACCES,
        &["user 7", "p:/home", "1000:100"],
    )
    .by(Stranger),
    refused(
        RIGHT,
        Write("p:/other", "notify_on_release", "1"),
        EACCES,
        &["user 1000", "p:/other", "0:0"],
    )
    .by(Owner),
    refused(
        RIGHT,
        Write("p:/home", "cpuset.cpus", "0"),
        EACCES,
        &["user 7", "p:/home", "1000:100"],
    )
    .by(Stranger),
    refused(
        RIGHT,
        Write("p:/home/c", "tasks", ""),
        EACCES,
        &["user 7", "p:/home/c", "1000:100"],
    )
    .by(Stranger),
    refused(
        RIGHT,
        Write("p:/", "release_agent", "/bin/true"),
        EACCES,
        &["user 1000", "p:/", "0:0"],
    )
    .by(Owner),
    refused(
        RIGHT,
        Write("p:/", "release_agent", "/bin/true"),
        EPERM,
        &["user 1000", "only user 0"],
    )
    .after(&[Chown("p:/", 1000, 100, 0o755)])
    .by(Owner),
    refused(
        RIGHT,
        Read("p:/home/c", "tasks"),
        EACCES,
        &["user 7", "read p:/home/c", "1000:100 with mode 700"],
    )
    .after(&[Chown("p:/home/c", 1000, 100, 0o700)])
    .by(Stranger),
    refused(RIGHT, Mount("x", &[]), EPERM, &["only user 0", "user 1000"]).by(Owner),
    refused(RIGHT, Unmount("b"), EPERM, &["only user 0", "user 1000"]).by(Owner),
    refused(
        RIGHT,
        Remount("p", &["debug", "cpuset"]),
        EPERM,
        &["only user 0", "user 1000"],
    )
    .by(Owner),
    refused(
        RIGHT,
        Chown("p:/other", 1000, 100, 0o755),
        EPERM,
        &["owner 0", "p:/other", "1000"],
    )
    .by(Owner),
    refused(
        RIGHT,
        Chown("p:/home", 1001, 100, 0o755),
        EPERM,
        &["p:/home", "1001:100", "user 1000"],
    )
    .by(Owner),
    refused(
        RIGHT,
        Chown("p:/home", 1000, 7, 0o755),
        EPERM,
        &["p:/home", "1000:7", "user 1000"],
    )
    .by(Owner),
    refused(
        RIGHT,
        Chown("p:/home", 1000, 100, 0o7777),
        EINVAL,
        &["7777", "p:/home", "777"],
    )
    .by(Owner),
    refused(
        RIGHT,
        Chown("p:/home", 7, 7, 0o777),
        EPERM,
        &["p:/home", "owner 1000", "7"],
    )
    .by(Stranger),
    refused(
        RIGHT,
        Chown("p:/home/none", 0, 0, 0o755),
        ENOENT,
        &["p:/home/none", "no child none"],
    ),
    // Who was handed a group does not lift its limits, and sets those of what it has made in there.
    refused(
        RIGHT,
        Write("p:/home", "cgroup.max.descendants", "max"),
        EACCES,
        &["cgroup.max.descendants", "p:/home", "user 1000", "p:/, "],
    )
    .by(Owner),
    refused(
        RIGHT,
        Write("p:/home", "cgroup.max.depth", "max"),
        EACCES,
        &["cgroup.max.depth", "p:/home", "user 1000", "p:/, "],
    )
    .by(Owner),
    taken(
        RIGHT,
        Write("p:/home/a", "cgroup.max.descendants", "9"),
        "9",
    )
    .by(Owner),
];
