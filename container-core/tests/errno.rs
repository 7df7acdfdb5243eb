//! The errno of every refusal that the kernel has too, a row each.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

use Errno::*;

/// `p:/a` has CPUs 0-1 and a child `in` with 0; `p:/c` has 2-3; `p:/new` has nothing.
fn bench() -> (Bench, TaskId) {
    let mut bench = Bench::new();
    bench.run(&[
        mkdir("p:/a"),
        write("p:/a", "cpuset.cpus", "0-1"),
        write("p:/a", "cpuset.mems", "0"),
        mkdir("p:/a/in"),
        write("p:/a/in", "cpuset.cpus", "0"),
        write("p:/a/in", "cpuset.mems", "0"),
        mkdir("p:/c"),
        write("p:/c", "cpuset.cpus", "2-3"),
        write("p:/c", "cpuset.mems", "0"),
        mkdir("p:/new"),
        mkdir("b:/t"),
    ]);
    let task = bench.fork("web/control", None);
    bench.run(&[attach("p:/a/in", task)]);
    (bench, task)
}

#[test]
fn groups_are_made_removed_and_renamed_with_the_kernels_errnos() {
    let (mut bench, _) = bench();
    for (command, errno) in [
        (mkdir("p:/a"), EEXIST),
        (mkdir("p:/"), EEXIST),
        (mkdir("p:/tasks"), EEXIST),
        (mkdir("p:/a/cpuset.cpus"), EEXIST),
        (mkdir("p:/none/x"), ENOENT),
        (mkdir("none:/x"), ENOENT),
        (mkdir("p:/a/tasks/x"), ENOTDIR),
        (rmdir("p:/"), EBUSY),
        (rmdir("p:/a"), EBUSY),
        (rmdir("p:/a/in"), EBUSY),
        (rmdir("p:/a/tasks"), ENOTDIR),
        (rmdir("p:/none"), ENOENT),
        (rename("p:/a", "c"), EEXIST),
        (rename("p:/a", "tasks"), ENOTDIR),
        (rename("p:/a", "c/a"), EIO),
        (rename("p:/a", "x\ny"), EINVAL),
        (rename("p:/a", &"x".repeat(256)), ENAMETOOLONG),
        (rename("p:/a/tasks", "x"), ENOTDIR),
    ] {
        assert_eq!(bench.refused(command.clone()), errno, "{command:?}");
    }
    bench.run(&[
        mkdir("p:/release_agent_not"),
        mkdir("b:/cpuset.cpus"),
        rename("p:/a", "a"),
    ]);
}

#[test]
fn hierarchies_are_mounted_with_the_kernels_errnos() {
    let (mut bench, _) = bench();
    for (command, errno) in [
        (mount("x", &["nosuch"]), EINVAL),
        (mount("x", &["cpuset"]), EBUSY),
        (mount("p", &["cpuset"]), EBUSY),
        (mount("p", &[]), EBUSY),
        (unmount("x"), ENOENT),
        (clone(TaskId(1), "nosuch"), EINVAL),
    ] {
        assert_eq!(bench.refused(command.clone()), errno, "{command:?}");
    }
    bench.run(&[mount("p", &["debug", "cpuset", "debug"]), mount("x", &[])]);
}

#[test]
fn cpuset_values_are_refused_with_the_kernels_errnos() {
    let (mut bench, _) = bench();
    let oversized = "0,".repeat(4000);
    for (path, file, value, errno) in [
        ("p:/new", "cpuset.cpus", "8", ERANGE),
        ("p:/new", "cpuset.cpus", "0-9", ERANGE),
        ("p:/new", "cpuset.cpus", "7", EINVAL),
        ("p:/new", "cpuset.cpus", "4", EACCES),
        ("p:/new", "cpuset.cpus", "abc", EINVAL),
        ("p:/new", "cpuset.cpus", "1-0", EINVAL),
        ("p:/new", "cpuset.cpus", "-1", EINVAL),
        ("p:/new", "cpuset.cpus", "0x1", EINVAL),
        ("p:/new", "cpuset.cpus", &oversized, E2BIG),
        ("p:/new", "cpuset.mems", "1", EINVAL),
        ("p:/new", "cpuset.mems", "abc", EINVAL),
        ("p:/a/in", "cpuset.cpus", "1-2", EACCES),
        ("p:/a", "cpuset.cpus", "1", EBUSY),
        ("p:/a", "cpuset.cpus", "", EBUSY),
        ("p:/a/in", "cpuset.cpus", "\n", ENOSPC),
        ("p:/a/in", "cpuset.mems", "\n", ENOSPC),
        ("p:/", "cpuset.cpus", "0", EACCES),
        ("p:/", "cpuset.mems", "0", EACCES),
        ("p:/", "cpuset.placement", "one-to-one", EACCES),
        ("p:/a/in", "cpuset.cpu_exclusive", "1", EACCES),
        ("p:/a", "cpuset.cpu_exclusive", "abc", EINVAL),
        ("p:/a", "cpuset.sched_load_balance", "0", EINVAL),
        ("p:/a", "cpuset.placement", "two-to-one", EINVAL),
        ("p:/a", "cpuset.effective_cpus", "0", EINVAL),
        ("p:/a", "cpuset.effective_cpus", &oversized, E2BIG),
        ("p:/a", "cpuset.none", "0", ENOENT),
        ("p:/a", "in", "0", EISDIR),
        ("p:/a", "release_agent", "/bin/true", ENOENT),
        ("b:/t", "cpuacct.usage", "1", EINVAL),
        ("b:/t", "cpuacct.usage", "abc", EINVAL),
        ("b:/t", "notify_on_release", "abc", EINVAL),
        ("b:/t", "cgroup.max.depth", "-1", ERANGE),
        ("b:/t", "cgroup.max.depth", "abc", EINVAL),
        ("b:/t", "cgroup.max.descendants", "99999999999", ERANGE),
    ] {
        let value = if value.is_empty() { "\n" } else { value };
        assert_eq!(
            bench.refused(write(path, file, value)),
            errno,
            "{path} {file} {value:?}"
        );
    }
}

#[test]
fn values_that_the_kernel_takes_are_taken() {
    let (mut bench, _) = bench();
    for (file, value, shown) in [
        ("cpuset.cpus", "0,,1", "0-1"),
        ("cpuset.cpus", "0 1", "0-1"),
        ("cpuset.cpus", "0-1:1/2", "0"),
        ("cpuset.cpus", "", "0"),
        ("cpuset.cpus", "\n", ""),
        ("cpuset.mems", "all", ""),
        ("cpuset.cpu_exclusive", "2", "1"),
        ("cpuset.cpu_exclusive", "0x0\n", "0"),
        ("cpuset.sched_load_balance", "1", "1"),
        ("cpuset.effective_cpus", "", ""),
        ("notify_on_release", "2", "1"),
        ("cgroup.clone_children", "1", "1"),
        ("cgroup.max.depth", " 3 \n", "3"),
        ("cgroup.max.depth", "max", "max"),
        ("cgroup.max.descendants", "0", "0"),
    ] {
        // Absent nodes are in `all`: here there are 128 possible ones and one present.
        if value == "all" {
            assert_eq!(bench.refused(write("p:/new", file, value)), EINVAL);
        } else {
            bench.run(&[write("p:/new", file, value)]);
        }
        assert_eq!(bench.read("p:/new", file), shown, "{file} {value:?}");
    }
}

#[test]
fn exclusive_sets_are_refused_in_either_order() {
    let (mut bench, _) = bench();
    bench.run(&[write("p:/a", "cpuset.cpu_exclusive", "1")]);
    assert_eq!(bench.refused(write("p:/c", "cpuset.cpus", "1-2")), EINVAL);
    bench.run(&[write("p:/a/in", "cpuset.cpu_exclusive", "1")]);
    assert_eq!(
        bench.refused(write("p:/a", "cpuset.cpu_exclusive", "0")),
        EBUSY
    );
    bench.run(&[
        write("p:/a/in", "cpuset.cpu_exclusive", "0"),
        mkdir("p:/a/x"),
        write("p:/a/x", "cpuset.cpus", "1"),
        write("p:/a/x", "cpuset.cpu_exclusive", "1"),
    ]);
    assert_eq!(
        bench.refused(write("p:/a/x", "cpuset.cpus", "\n")),
        EBUSY,
        "an exclusive group keeps some CPU"
    );
    bench.run(&[write("p:/new", "cpuset.cpus", "2")]);
    assert_eq!(
        bench.refused(write("p:/new", "cpuset.cpu_exclusive", "1")),
        EINVAL
    );
    assert_eq!(
        bench.refused(write("p:/c", "cpuset.cpu_exclusive", "1")),
        EINVAL
    );
    bench.run(&[write("p:/a", "cpuset.mem_exclusive", "0")]);
    assert_eq!(
        bench.refused(write("p:/a", "cpuset.mem_exclusive", "1")),
        EINVAL
    );
}

#[test]
fn attaching_is_refused_with_the_kernels_errnos() {
    let (mut bench, task) = bench();
    let dead = bench.fork("web/io", None);
    bench.run(&[exit(dead)]);
    assert_eq!(bench.refused(attach("p:/new", task)), ENOSPC);
    bench.run(&[write("p:/new", "cpuset.cpus", "0")]);
    assert_eq!(
        bench.refused(attach("p:/new", task)),
        ENOSPC,
        "mems are still empty"
    );
    assert_eq!(bench.refused(attach("p:/c", dead)), ESRCH);
    assert_eq!(bench.refused(attach("p:/c", TaskId(999))), ESRCH);
    assert_eq!(bench.refused(attach("p:/none", task)), ENOENT);
    for garbage in ["abc", "1 2", "-1", "99999999999", "\n", "0x1", "1,2"] {
        assert_eq!(
            bench.refused(write("p:/c", "tasks", garbage)),
            EINVAL,
            "{garbage:?}"
        );
    }
    assert_eq!(bench.refused(write("p:/c", "tasks", "999")), ESRCH);
    assert_eq!(
        bench.refused(write("p:/c", "tasks", "0")),
        ESRCH,
        "the writer is no task"
    );
    bench.run(&[
        write("p:/c", "tasks", ""),
        write("p:/c", "tasks", &format!("{}\n", task.0)),
    ]);
    assert_eq!(bench.read("p:/c", "tasks"), task.0.to_string());
    bench.by.task = Some(task);
    bench.run(&[write("p:/a", "tasks", "0")]);
    assert_eq!(bench.framework.group(&group("p:/a")).unwrap().tasks, [task]);
}

#[test]
fn tasks_are_born_and_die_with_the_kernels_errnos() {
    let (mut bench, task) = bench();
    let fork = |task, name: &str, tid, parent| Command::Fork {
        task,
        name: name.parse().unwrap(),
        tid: Tid(tid),
        parent,
    };
    let id = bench.framework.allocate_task();
    for (command, errno) in [
        (fork(TaskId(99), "web/io", 50, None), EINVAL),
        (fork(task, "web/io", 50, None), EEXIST),
        (fork(id, "web/control", 50, None), EEXIST),
        (
            fork(id, "web/io", u32::try_from(task.0).unwrap(), None),
            EEXIST,
        ),
        (fork(id, "web/io", 50, Some(id)), ESRCH),
        (exit(id), ESRCH),
    ] {
        assert_eq!(bench.refused(command.clone()), errno, "{command:?}");
    }
    bench.run(&[exit(task)]);
    assert_eq!(
        bench.refused(fork(task, "web/io", 50, None)),
        EEXIST,
        "ids are not reused"
    );
    assert_eq!(bench.refused(exit(task)), ESRCH);
    assert_eq!(
        bench
            .framework
            .charge(task, Reading::default())
            .unwrap_err()
            .errno,
        ESRCH
    );
}

#[test]
fn who_has_no_right_is_refused() {
    let (mut bench, task) = bench();
    let chown = |path: &str, uid, gid, mode| Command::Chown {
        group: group(path),
        uid,
        gid,
        mode,
    };
    bench.run(&[
        mkdir("p:/u"),
        write("p:/u", "cpuset.cpus", "0-1"),
        write("p:/u", "cpuset.mems", "0"),
        chown("p:/u", 1000, 100, 0o750),
    ]);
    bench.by = Credentials {
        uid: 1000,
        gid: 100,
        task: None,
    };
    bench.run(&[
        mkdir("p:/u/one"),
        write("p:/u/one", "cpuset.cpus", "1"),
        write("p:/u/one", "cpuset.mems", "0"),
    ]);
    for (command, errno) in [
        (mkdir("p:/x"), EACCES),
        (rmdir("p:/new"), EACCES),
        (rename("p:/u", "v"), EACCES),
        (rename("p:/u", "tasks"), EACCES),
        (rename("p:/u", "x\ny"), EACCES),
        (write("p:/a", "notify_on_release", "1"), EACCES),
        (write("p:/u", "cpuset.effective_cpus", "1"), EACCES),
        (write("p:/", "release_agent", "/bin/true"), EACCES),
        (attach("p:/a", task), EACCES),
        (attach("p:/u", task), EACCES),
        (mount("x", &[]), EPERM),
        (unmount("b"), EPERM),
        (exit(task), EPERM),
        (chown("p:/a", 1000, 100, 0o755), EPERM),
        (chown("p:/u", 1001, 100, 0o750), EPERM),
        (chown("p:/u", 1000, 7, 0o750), EPERM),
        (chown("p:/u", 1000, 100, 0o7777), EINVAL),
    ] {
        assert_eq!(bench.refused(command.clone()), errno, "{command:?}");
    }
    bench.run(&[chown("p:/u/one", 1000, 100, 0o700)]);
    bench.by = Credentials {
        uid: 7,
        gid: 100,
        task: None,
    };
    assert_eq!(bench.read("p:/u", "cpuset.cpus"), "0-1");
    assert_eq!(bench.refused(write("p:/u", "cpuset.cpus", "0")), EACCES);
    let denied = bench
        .framework
        .read(&bench.by, &group("p:/u/one"), "cpuset.cpus")
        .unwrap_err();
    assert_eq!(denied.errno, EACCES);
    bench.by = Credentials::ROOT;
    bench.run(&[chown("p:/", 1000, 0, 0o755)]);
    bench.by = Credentials {
        uid: 1000,
        gid: 100,
        task: None,
    };
    assert_eq!(
        bench.refused(write("p:/", "release_agent", "/bin/true")),
        EPERM
    );
}

#[test]
fn groups_past_a_limit_are_refused_with_eagain() {
    let mut bench = Bench::new();
    bench.run(&[
        mkdir("b:/a"),
        write("b:/a", "cgroup.max.depth", "1"),
        write("b:/a", "cgroup.max.descendants", "2"),
        mkdir("b:/a/x"),
    ]);
    assert_eq!(bench.refused(mkdir("b:/a/x/y")), EAGAIN);
    bench.run(&[mkdir("b:/a/z")]);
    assert_eq!(bench.refused(mkdir("b:/a/w")), EAGAIN);
    bench.run(&[rmdir("b:/a/z"), mkdir("b:/a/w")]);
    let mut path = String::from("b:");
    for _ in 0..32 {
        path += "/d";
        bench.run(&[mkdir(&path)]);
    }
    assert_eq!(bench.refused(mkdir(&(path + "/d"))), EAGAIN);
}

#[test]
fn a_refusal_says_which_command_of_the_batch_and_which_rule() {
    let (mut bench, _) = bench();
    let refusal = bench
        .try_run(&[mkdir("p:/a/x"), write("p:/a/x", "cpuset.cpus", "0-2")])
        .expect_err("2 is not the parent's");
    let rule = "cpuset.cpus 0-2 is not a subset of the parent's 0-1 in p:/a";
    assert_eq!((refusal.command, refusal.rule.as_str()), (1, rule));
}
