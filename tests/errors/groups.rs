//! Groups removed, and hierarchies that come and go.

use super::Answer::Refused;
use super::Op::*;
use super::*;
use Errno::*;

const ABOVE_ROOT: &str = "it has no name for what is above its root";

const GONE: Answer = Refused(ENODEV, &["the root of this view in b", "is gone"]);
const HANDLE: &str = "its root is a handle to a group, which is gone";
/// The host takes `b:/home` away.
const HOME_GONE: &[Op] = &[
    Attach("b:/", "web/vcpu0"),
    Attach("b:/", "web/vcpu1"),
    Rmdir("b:/home/t"),
    Rmdir("b:/home"),
];

pub const ROWS: &[Row] = &[
    refused(
        RMDIR_FILE_OR_ROOT,
        Rmdir("p:/home/a/tasks"),
        ENOTDIR,
        &["tasks in p:/home/a", "a control file"],
    ),
    refused(RMDIR_FILE_OR_ROOT, Rmdir("p:/"), EBUSY, &["p:/", "root"]).host_only(ABOVE_ROOT),
    refused(
        RMDIR_FILE_OR_ROOT,
        Rmdir("p:/home"),
        EBUSY,
        &["p:/home", "1 task"],
    )
    .guest(
        Refused(EBUSY, &["p:/home", "root of this view"]),
        "to the guest it is a root",
    ),
    refused(
        RMDIR_BUSY,
        Rmdir("p:/home/a/in"),
        EBUSY,
        &["p:/home/a/in", "1 task"],
    ),
    refused(
        RMDIR_BUSY,
        Rmdir("p:/home/a"),
        EBUSY,
        &["p:/home/a", "1 child"],
    ),
    refused(
        "rmdir",
        Rmdir("p:/home/none"),
        ENOENT,
        &["p:/home/none", "no child none"],
    ),
    refused("rmdir", Rmdir("none:/x"), ENOENT, &["none"]),
    refused(AFTER_RMDIR, Rmdir("p:/home/c"), ENOENT, &["p:/home/c"]).after(&[Rmdir("p:/home/c")]),
    refused(
        AFTER_RMDIR,
        Read("p:/home/c", "tasks"),
        ENOENT,
        &["p:/home/c"],
    )
    .after(&[Rmdir("p:/home/c")]),
    refused(
        AFTER_RMDIR,
        Write("p:/home/c", "tasks", ""),
        ENOENT,
        &["p:/home/c"],
    )
    .after(&[Rmdir("p:/home/c")]),
    refused(
        AFTER_RMDIR,
        Attach("p:/home/c", "web/vcpu0"),
        ENOENT,
        &["p:/home/c"],
    )
    .after(&[Rmdir("p:/home/c")]),
    refused(
        AFTER_RMDIR,
        Write("b:/home", "tasks", ""),
        ENOENT,
        &["b:/home"],
    )
    .after(HOME_GONE)
    .guest(GONE, HANDLE),
    refused(AFTER_RMDIR, Read("b:/home", "tasks"), ENOENT, &["b:/home"])
        .after(HOME_GONE)
        .guest(GONE, HANDLE),
    refused(
        "mount",
        Mount("x", &["nosuch"]),
        EINVAL,
        &[r#""nosuch""#, "cpuset"],
    ),
    refused(
        "mount",
        Mount("x", &["cpuset"]),
        EBUSY,
        &["cpuset", "p", "x"],
    ),
    refused(
        "mount",
        Mount("p", &["cpuset"]),
        EBUSY,
        &["p has", "cpuset,debug", "not cpuset"],
    ),
    refused(
        "mount",
        Mount("p", &[]),
        EBUSY,
        &["p has", "cpuset,debug", "not none"],
    ),
    refused(
        "mount",
        Mount("p", &["cpuset", "debug", "cpuacct"]),
        EBUSY,
        &["p has", "cpuset,debug", "cpuacct"],
    ),
    refused(
        "mount",
        Mount("x y", &[]),
        EINVAL,
        &[r#""x y""#, "[A-Za-z0-9._-]"],
    ),
    refused("mount", Mount("", &[]), EINVAL, &[r#""""#, "1 to 64"]),
    taken("mount", Mount("p", &["debug", "cpuset", "debug"]), ""),
    taken("mount", Mount("x", &[]), ""),
    refused("unmount", Unmount("x"), ENOENT, &["x"]),
    refused("unmount", Unmount("b"), ENOENT, &["b", "unmounted"]).after(&[Unmount("b")]),
    refused(
        "unmount",
        Mkdir("b:/home", "x"),
        ENOENT,
        &["b is unmounted"],
    )
    .after(&[Unmount("b")])
    .guest(GONE, HANDLE),
    refused(
        "remount",
        Remount("x", &["nosuch"]),
        EINVAL,
        &[r#""nosuch""#, "cpuset"],
    ),
    refused("remount", Remount("x", &[]), ENOENT, &["named x"]),
    refused(
        "remount",
        Remount("b", &["cpuacct"]),
        ENOENT,
        &["b is unmounted"],
    )
    .after(&[Unmount("b")]),
    refused(
        "remount",
        Remount("x y", &[]),
        EINVAL,
        &[r#""x y""#, "[A-Za-z0-9._-]"],
    ),
    refused(
        "remount",
        Remount("p", &["cpuset"]),
        EBUSY,
        &[
            "p has child groups",
            "2 below",
            "cpuset,debug",
            "cannot have cpuset",
        ],
    ),
    refused(
        "remount",
        Remount("b", &[]),
        EBUSY,
        &["b has child groups", "1 below", "cpuacct", "none"],
    ),
    refused(
        "remount",
        Remount("x", &["freezer", "cpuset"]),
        EBUSY,
        &["cpuset", "bound to p", "x"],
    )
    .after(&[Mount("x", &[])]),
    refused(
        "remount",
        Remount("x", &["memory"]),
        EBUSY,
        &["memory", "bound to y", "x"],
    )
    .after(&[Mount("x", &["freezer"]), Mount("y", &["memory"])]),
    taken("remount", Remount("p", &["debug", "cpuset", "debug"]), ""),
    taken("remount", Remount("x", &["memory", "freezer"]), "").after(&[Mount("x", &["freezer"])]),
    taken("remount", Remount("x", &["memory"]), "").after(&[Mount("x", &["freezer", "memory"])]),
    taken("remount", Remount("x", &[]), "").after(&[Mount("x", &["freezer"])]),
    taken("remount", Mount("y", &["freezer"]), "")
        .after(&[Mount("x", &["freezer"]), Remount("x", &["memory"])]),
    refused(
        "clone",
        Clone("web/vcpu0", "nosuch"),
        EINVAL,
        &[r#""nosuch""#, "cpuset"],
    ),
    refused("clone", Clone("web/vcpu2", "cpuset"), ESRCH, &["web/vcpu2"]),
    refused(
        "clone",
        Clone("web/vcpu0", "cpuset"),
        ENOSPC,
        &[
            "web/vcpu0",
            "p:/home/a/in/node_1001",
            "cpuset.cpus is empty",
        ],
    )
    .after(&[
        Mkdir("p:/home/a/in", "sole"),
        Write("p:/home", "cpuset.cpu_exclusive", "1"),
        Write("p:/home/a", "cpuset.cpu_exclusive", "1"),
        Write("p:/home/a/in", "cpuset.cpu_exclusive", "1"),
        Write("p:/home/a/in/sole", "cpuset.cpu_exclusive", "1"),
    ]),
    refused(
        "clone",
        Clone("web/vcpu0", "cpuset"),
        EEXIST,
        &["p:/home/a/in", "named node_1001"],
    )
    .after(&[Mkdir("p:/home/a/in", "node_1001")]),
];
