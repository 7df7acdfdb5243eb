//! How groups and hierarchies come, are called and go, and what is told of them.

mod support;

use container_core::*;
use support::*;

#[test]
fn a_hierarchy_with_groups_outlives_its_unmounting() {
    let mut bench = Bench::new();
    let task = bench.fork("web/vcpu0", None);
    bench.run(&[mkdir("b:/t"), attach("b:/t", task), unmount("b")]);
    assert_eq!(bench.refused(mkdir("b:/u")), Errno::ENOENT);
    let mounted: Vec<bool> = bench
        .framework
        .hierarchies()
        .iter()
        .map(|it| it.mounted)
        .collect();
    assert_eq!(mounted, [true, false]);
    assert_eq!(bench.framework.group(&group("b:/t")).unwrap().tasks, [task]);
    assert_eq!(bench.refused(mount("x", &["cpuacct"])), Errno::EBUSY);
    bench.run(&[
        mount("b", &["cpuacct"]),
        attach("b:/", task),
        rmdir("b:/t"),
        unmount("b"),
    ]);
    assert_eq!(bench.framework.hierarchies().len(), 1);
    bench.run(&[mount("x", &["cpuacct"])]);
}

#[test]
fn clone_makes_a_group_of_the_tasks_own() {
    let mut bench = Bench::new();
    bench.run(&mkcpuset("p:/gold", "0-1"));
    let task = bench.fork("web/control", None);
    bench.run(&[attach("p:/gold", task)]);
    bench.run(&[clone(task, "cpuset")]);
    let own = format!("p:/gold/node_{}", task.0);
    assert_eq!(bench.framework.group(&group(&own)).unwrap().tasks, [task]);
    assert_eq!(bench.read(&own, "cpuset.cpus"), "0-1");
    bench.run(&[attach("p:/gold", task)]);
    assert_eq!(bench.refused(clone(task, "cpuset")), Errno::EEXIST);
    bench.run(&[rmdir(&own), write("p:/gold", "cpuset.cpu_exclusive", "1")]);
    bench.run(&mkcpuset("p:/gold/x", "0"));
    bench.run(&[write("p:/gold/x", "cpuset.cpu_exclusive", "1")]);
    assert_eq!(
        bench.refused(clone(task, "cpuset")),
        Errno::ENOSPC,
        "an exclusive sibling"
    );
    bench.run(&[unmount("b")]);
    let (effects, events) = bench.run(&[clone(task, "cpuacct")]);
    assert_eq!(
        (effects.len(), events.len()),
        (0, 0),
        "not mounted: nothing done"
    );
}

#[test]
fn a_rename_carries_the_groups_below_along() {
    let mut bench = Bench::new();
    bench.run(&[
        mkdir("b:/a"),
        mkdir("b:/a/b"),
        mkdir("b:/a/b/c"),
        rename("b:/a", "z"),
    ]);
    let paths: Vec<String> = bench
        .framework
        .walk(&"b".parse().unwrap())
        .unwrap()
        .iter()
        .map(|group| group.path.to_string())
        .collect();
    assert_eq!(paths, ["b:/", "b:/z", "b:/z/b", "b:/z/b/c"]);
}

#[test]
fn a_copy_goes_its_own_way_and_says_whose_a_group_is() {
    let mut framework = Framework::new(host());
    let commands = [
        mount("p", &["cpuset"]),
        mkdir("p:/a"),
        Command::Chown {
            group: group("p:/a"),
            uid: 7,
            gid: 8,
            mode: 0o700,
        },
    ];
    let plan = framework.plan(&Credentials::ROOT, &commands).unwrap();
    framework.commit(plan).unwrap();
    let mut copy = framework.clone();
    assert_eq!(copy.generation(), framework.generation());
    let plan = copy.plan(&Credentials::ROOT, &[rmdir("p:/a")]).unwrap();
    copy.commit(plan).unwrap();
    assert!(copy.owner(&group("p:/a")).is_err());
    let owner = Owner {
        uid: 7,
        gid: 8,
        mode: 0o700,
    };
    assert_eq!(framework.owner(&group("p:/a")), Ok(owner));
}

#[test]
fn the_state_is_told_in_the_formats_of_proc() {
    let mut bench = Bench::new();
    bench.run(&mkcpuset("p:/a", "0"));
    let task = bench.fork("web/vcpu0", None);
    bench.run(&[attach("p:/a", task)]);
    let lines = bench.framework.task_group_lines(task).unwrap();
    assert_eq!(lines, "2:cpuacct,name=b:/\n1:cpuset,debug,name=p:/a\n");
    let header = "#subsystem\thierarchy\tnum_groups\tenabled\n";
    let rows = "cpuset\t1\t2\t1\ncpuacct\t2\t1\t1\ndebug\t1\t2\t1\n";
    // A subsystem that is not mounted has no hierarchy and one group.
    let unmounted = ["freezer", "memory", "ns", "cpu"].map(|name| format!("{name}\t0\t1\t1\n"));
    let table = bench.framework.proc_groups();
    assert!(table.starts_with(&format!("{header}{rows}")), "{table}");
    for row in unmounted {
        assert!(table.contains(&row), "{table}");
    }
}

#[test]
fn files_tell_of_the_groups_below() {
    let mut bench = Bench::new();
    bench.run(&[
        mkdir("p:/a"),
        write("p:/a", "cpuset.cpus", "0"),
        mkdir("p:/a/in"),
    ]);
    bench.run(&[
        write("p:/a", "cpuset.mems", "0"),
        write("p:/a/in", "cpuset.cpus", "0"),
    ]);
    bench.run(&[write("p:/a/in", "cpuset.mems", "0")]);
    assert_eq!(bench.read("p:/a", "cgroup.events"), "populated 0\nfrozen 0");
    assert_eq!(bench.read("p:/a", "debug.releasable"), "0");
    assert_eq!(bench.read("p:/a/in", "debug.releasable"), "1");
    let tasks: Vec<TaskId> = (0..12)
        .map(|n| bench.fork(&format!("m{n}/io"), None))
        .collect();
    for task in tasks.iter().rev() {
        bench.run(&[attach("p:/a/in", *task)]);
    }
    assert_eq!(bench.read("p:/a", "cgroup.events"), "populated 1\nfrozen 0");
    assert_eq!(bench.read("p:/a/in", "debug.taskcount"), "12");
    let sorted: Vec<String> = tasks.iter().map(TaskId::to_string).collect();
    assert_eq!(bench.read("p:/a/in", "tasks"), sorted.join("\n"));
    assert_eq!(
        bench
            .framework
            .read(&bench.by, &group("p:/a"), "tasks")
            .unwrap(),
        ""
    );
    bench.by.task = Some(tasks[0]);
    assert_eq!(bench.read("p:/", "debug.current_css_set_refcount"), "12");
    assert_eq!(
        bench.read("p:/", "debug.current_css_set_cg_links"),
        "Root 1 group /a/in\nRoot 2 group /"
    );
    assert!(
        bench
            .read("p:/a/in", "debug.cgroup_css_links")
            .contains("refs 12\n  task 1\n")
    );
    assert_eq!(
        bench.framework.files(&group("p:/a")).unwrap().len(),
        6 + 8 + 6
    );
    assert_eq!(bench.framework.files(&group("b:/")).unwrap().len(), 7 + 5);
}
