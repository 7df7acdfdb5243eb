//! What groups do to their tasks, told as short stories.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

fn cpus(list: &str) -> CpuSet {
    list.parse().unwrap()
}

fn pin(task: TaskId, to: &str, before: Option<&str>) -> Effect {
    Effect::Pin {
        task,
        cpus: cpus(to),
        before: before.map(cpus),
    }
}

fn sample(task: TaskId) -> Effect {
    Effect::Sample { task }
}

/// Makes a group with these CPUs and all memory nodes.
fn mkcpuset(path: &str, list: &str) -> Vec<Command> {
    vec![
        mkdir(path),
        write(path, "cpuset.cpus", list),
        write(path, "cpuset.mems", "0"),
    ]
}

fn released(events: &[Event]) -> Vec<(String, Option<&str>)> {
    let releases = events.iter().filter_map(|event| match event {
        Event::Released { group, agent } => Some((group.to_string(), agent.as_deref())),
        _ => None,
    });
    releases.collect()
}

#[test]
fn a_birth_and_its_placement_are_one_pin_and_no_sample() {
    let mut bench = Bench::new();
    bench.run(&[mkcpuset("p:/gold", "0-1"), mkcpuset("p:/gold/web", "1")].concat());
    bench.run(&[mkdir("b:/tenant")]);
    let (control, fork_control) = bench.fork_command("web/control", None);
    let (vcpu, fork_vcpu) = bench.fork_command("web/vcpu0", Some(control));
    let batch = [
        fork_control,
        attach("p:/gold", control),
        attach("b:/tenant", control),
        fork_vcpu,
        attach("p:/gold/web", vcpu),
    ];
    let (effects, events) = bench.run(&batch);
    assert_eq!(effects, [pin(control, "0-1", None), pin(vcpu, "1", None)]);
    let kinds: Vec<bool> = events
        .iter()
        .map(|event| matches!(event, Event::TaskBorn { .. }))
        .collect();
    assert_eq!(kinds, [true, false, false, true, false]);
    let info = bench.framework.task(vcpu).unwrap();
    assert_eq!(info.groups, [group("p:/gold/web"), group("b:/tenant")]);
    assert_eq!(info.cpus, Some(cpus("1")));
}

#[test]
fn effects_are_coalesced_to_what_changes_in_the_end() {
    let mut bench = Bench::new();
    bench.run(
        &[
            mkcpuset("p:/a", "0"),
            mkcpuset("p:/b", "1"),
            mkcpuset("p:/c", "1"),
        ]
        .concat(),
    );
    bench.run(&[mkdir("b:/x"), mkdir("b:/y")]);
    let task = bench.fork("web/control", None);
    let (effects, _) = bench.run(&[attach("p:/a", task), attach("p:/b", task)]);
    assert_eq!(effects, [pin(task, "1", Some("0-3"))]);
    let (effects, events) = bench.run(&[attach("p:/c", task)]);
    assert_eq!(
        (effects.len(), events.len()),
        (0, 1),
        "the same CPUs in another group"
    );
    let (effects, _) = bench.run(&[attach("p:/a", task), attach("p:/c", task)]);
    assert_eq!(effects, []);
    let (effects, _) = bench.run(&[attach("b:/x", task), attach("b:/y", task)]);
    assert_eq!(effects, [sample(task)]);
    let (effects, _) = bench.run(&[attach("b:/x", task), attach("b:/y", task)]);
    assert_eq!(effects, [], "billed where it was");
    let reset = write("b:/y", "cpuacct.usage", "0");
    let (effects, _) = bench.run(&[attach("b:/x", task), attach("b:/y", task), reset]);
    assert_eq!(effects, [sample(task)], "moved and reset is one reading");
}

#[test]
fn a_parents_change_pins_nothing_below_unless_effective_cpus_change() {
    let mut bench = Bench::new();
    bench.run(&[mkcpuset("p:/gold", "0-1"), mkcpuset("p:/gold/web", "1")].concat());
    let task = bench.fork("web/control", None);
    bench.run(&[attach("p:/gold/web", task)]);
    let (effects, _) = bench.run(&[write("p:/gold", "cpuset.cpus", "0-2")]);
    assert_eq!(effects, []);
    let (effects, _) = bench.run(&[write("p:/gold/web", "cpuset.cpus", "1-2")]);
    assert_eq!(effects, [pin(task, "1-2", Some("1"))]);
}

#[test]
fn requested_cpus_survive_the_host_and_come_back() {
    let mut bench = Bench::new();
    bench.run(&[mkcpuset("p:/gold", "2-3"), mkcpuset("p:/gold/web", "3")].concat());
    let task = bench.fork("web/control", None);
    bench.run(&[attach("p:/gold/web", task)]);
    for (allowed, before, now) in [("0-2", "3", "2"), ("0-1", "2", "0-1"), ("0-3", "0-1", "3")] {
        let plan = bench.framework.plan_host_change(HostResources {
            allowed_cpus: cpus(allowed),
            ..host()
        });
        assert_eq!(
            plan.effects(),
            [pin(task, now, Some(before))],
            "allowed {allowed}"
        );
        bench.framework.commit(plan).unwrap();
        bench.framework.check_invariants();
        assert_eq!(bench.read("p:/gold/web", "cpuset.cpus"), "3");
        assert_eq!(bench.read("p:/gold/web", "cpuset.effective_cpus"), now);
        assert_eq!(bench.read("p:/", "cpuset.effective_cpus"), allowed);
        assert_eq!(bench.framework.task(task).unwrap().cpus, Some(cpus(now)));
    }
}

#[test]
fn one_to_one_gives_each_vcpu_a_cpu_and_refuses_one_more() {
    let mut bench = Bench::new();
    bench.run(&mkcpuset("p:/hot", "1-3"));
    bench.run(&[write("p:/hot", "cpuset.placement", "one-to-one")]);
    let [io, one, two, three, four] = ["io", "vcpu0", "vcpu1", "vcpu2", "vcpu3"]
        .map(|kind| bench.fork(&format!("web/{kind}"), None));
    let (effects, _) = bench.run(&[attach("p:/hot", io)]);
    assert_eq!(effects, [pin(io, "1-3", Some("0-3"))]);
    let (effects, _) = bench.run(&[attach("p:/hot", one)]);
    assert_eq!(
        effects,
        [pin(one, "1", Some("0-3")), pin(io, "2-3", Some("1-3"))]
    );
    bench.run(&[attach("p:/hot", two)]);
    let (effects, _) = bench.run(&[attach("p:/hot", three)]);
    assert_eq!(
        effects,
        [pin(three, "3", Some("0-3")), pin(io, "1-3", Some("3"))],
        "none left"
    );
    assert_eq!(bench.refused(attach("p:/hot", four)), Errno::ENOSPC);
    let (_, fork) = bench.fork_command("web/vcpu4", Some(one));
    assert_eq!(bench.refused(fork), Errno::ENOSPC);
    assert_eq!(
        bench.refused(write("p:/hot", "cpuset.cpus", "1-2")),
        Errno::ENOSPC
    );
    let (effects, _) = bench.run(&[exit(one)]);
    assert_eq!(effects, [pin(io, "1", Some("1-3"))]);
    let (effects, _) = bench.run(&[attach("p:/hot", four)]);
    assert_eq!(
        effects,
        [pin(four, "1", Some("0-3")), pin(io, "1-3", Some("1"))]
    );
    let (effects, _) = bench.run(&[write("p:/hot", "cpuset.placement", "float")]);
    assert_eq!(
        effects.len(),
        3,
        "the vCPUs float again, io did already: {effects:?}"
    );
    let five = bench.fork("web/vcpu5", None);
    bench.run(&[attach("p:/hot", five)]);
    let refused = bench.refused(write("p:/hot", "cpuset.placement", "one-to-one"));
    assert_eq!(refused, Errno::ENOSPC);
}

#[test]
fn vcpus_whose_cpu_goes_away_float_until_there_are_enough_again() {
    let mut bench = Bench::new();
    bench.run(&mkcpuset("p:/hot", "0-1"));
    bench.run(&[write("p:/hot", "cpuset.placement", "one-to-one")]);
    let [one, two] = ["web/vcpu0", "web/vcpu1"].map(|name| bench.fork(name, None));
    bench.run(&[attach("p:/hot", one), attach("p:/hot", two)]);
    let shrunken = HostResources {
        allowed_cpus: cpus("1-3"),
        ..host()
    };
    for (host, pins) in [
        (shrunken, vec![pin(one, "1", Some("0"))]),
        (host(), vec![pin(one, "0", Some("1"))]),
    ] {
        let plan = bench.framework.plan_host_change(host);
        // Both share CPU 1: two has its seat there, and one is left with all that there is.
        assert_eq!(plan.effects(), pins);
        bench.framework.commit(plan).unwrap();
    }
}

#[test]
fn new_groups_are_empty_unless_the_parent_clones_into_its_children() {
    let mut bench = Bench::new();
    bench.run(&mkcpuset("p:/gold", "0-1"));
    bench.run(&[
        mkdir("p:/gold/a"),
        write("p:/gold", "cgroup.clone_children", "1"),
    ]);
    bench.run(&[mkdir("p:/gold/b"), mkdir("p:/gold/b/c")]);
    assert_eq!(bench.read("p:/gold/a", "cpuset.cpus"), "");
    assert_eq!(bench.read("p:/gold/b/c", "cpuset.cpus"), "0-1");
    assert_eq!(bench.read("p:/gold/b/c", "cpuset.effective_mems"), "0");
    bench.run(&[
        write("p:/gold/b", "cpuset.cpus", "0-1"),
        write("p:/gold", "cpuset.cpus", "0-2"),
    ]);
    bench.run(&[write("p:/gold", "cpuset.cpu_exclusive", "1")]);
    bench.run(&[
        write("p:/gold/b", "cpuset.cpu_exclusive", "1"),
        mkdir("p:/gold/d"),
    ]);
    assert_eq!(
        bench.read("p:/gold/d", "cpuset.cpus"),
        "",
        "a sibling is exclusive"
    );
}

#[test]
fn some_nodes_of_several_would_not_be_enforced() {
    let host = HostResources {
        mems: "0-1".parse().unwrap(),
        ..host()
    };
    let mut bench = Bench {
        framework: Framework::new(host),
        by: Credentials::ROOT,
    };
    bench.run(&[mount("p", &["cpuset"]), mkdir("p:/a")]);
    assert_eq!(
        bench.refused(write("p:/a", "cpuset.mems", "0")),
        Errno::EINVAL
    );
    bench.run(&[write("p:/a", "cpuset.mems", "0-1")]);
}

#[test]
fn a_group_is_released_once_for_each_time_it_becomes_empty() {
    let mut bench = Bench::new();
    bench.run(&[write("b:/", "release_agent", "/sbin/old\n"), mkdir("b:/a")]);
    let (_, events) = bench.run(&[write("b:/a", "notify_on_release", "1")]);
    assert_eq!(
        released(&events),
        [],
        "set on a group that is empty already"
    );
    let one = bench.fork("web/vcpu0", None);
    let two = bench.fork("web/vcpu1", None);
    let (_, events) = bench.run(&[attach("b:/a", one), attach("b:/a", two), exit(one)]);
    assert_eq!(released(&events), [], "one is left");
    let agent = Some("/sbin/old");
    let (_, events) = bench.run(&[attach("b:/", two), attach("b:/a", two)]);
    assert_eq!(released(&events), [("b:/a".into(), agent)]);
    let (_, events) = bench.run(&[mkdir("b:/a/in"), exit(two)]);
    assert_eq!(released(&events), [], "a child is left");
    bench.run(&[write("b:/", "release_agent", "\n")]);
    let (_, events) = bench.run(&[rmdir("b:/a/in")]);
    assert_eq!(released(&events), [("b:/a".into(), None)]);
}

#[test]
fn all_groups_that_a_task_leaves_empty_are_released() {
    let mut bench = Bench::new();
    bench.run(&mkcpuset("p:/a", "0"));
    bench.run(&[mkdir("b:/t"), write("b:/t", "notify_on_release", "1")]);
    bench.run(&[
        write("p:/a", "notify_on_release", "1"),
        write("p:/", "notify_on_release", "1"),
    ]);
    let task = bench.fork("web/io", None);
    bench.run(&[attach("p:/a", task), attach("b:/t", task)]);
    let (_, events) = bench.run(&[exit(task)]);
    assert!(matches!(&events[0], Event::TaskExited { task: dead, .. } if *dead == task));
    assert_eq!(
        released(&events),
        [("p:/a".into(), None), ("b:/t".into(), None)]
    );
    bench.run(&[mkdir("b:/t/in")]);
    let (_, events) = bench.run(&[rmdir("b:/t/in"), rmdir("b:/t")]);
    assert_eq!(
        released(&events),
        [("b:/t".into(), None)],
        "the root is never released"
    );
}

#[test]
fn the_bill_stays_where_the_time_was_spent() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/a"), mkdir("b:/a/in"), mkdir("b:/c")]);
    let task = bench.fork("web/vcpu0", None);
    bench.charge(task, 5);
    bench.run(&[attach("b:/a/in", task)]);
    bench.charge(task, 105);
    bench.charge(task, 100);
    bench.run(&[attach("b:/c", task)]);
    bench.charge(task, 1105);
    let used = ["b:/", "b:/a", "b:/a/in", "b:/c"].map(|path| bench.usage(path));
    assert_eq!(used, [1105, 100, 100, 1000]);
    assert_eq!(bench.read("b:/c", "cpuacct.cycles"), "3000");
    let (effects, _) = bench.run(&[write("b:/", "cpuacct.usage", "0")]);
    assert_eq!(effects, [sample(task)]);
    bench.run(&[rmdir("b:/a/in"), exit(task)]);
    let used = ["b:/", "b:/a", "b:/c"].map(|path| bench.usage(path));
    assert_eq!(
        used,
        [0, 100, 1000],
        "a reset is of one file; a removed child's stays"
    );
    let info = bench.framework.group(&group("b:/a")).unwrap();
    assert_eq!(info.removed.unwrap().usage, Nanoseconds(100));
    assert_eq!(
        bench.framework.task(task).unwrap().usage.usage,
        Nanoseconds(1105)
    );
    let forgotten = bench.framework.forget_machine(&"web".parse().unwrap());
    assert_eq!(forgotten.usage, Nanoseconds(1105));
    assert_eq!(bench.framework.task(task), None);
    assert_eq!(bench.framework.ledger().retired, forgotten);
    bench.framework.check_invariants();
}

#[test]
fn a_credit_takes_back_from_the_task_and_its_present_group_alike() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/a"), mkdir("b:/a/in"), mkdir("b:/c")]);
    let task = bench.fork("web/vcpu0", None);
    bench.run(&[attach("b:/c", task)]);
    bench.charge(task, 100);
    bench.run(&[attach("b:/a/in", task)]);
    bench.charge(task, 400);
    let over = |nanoseconds, cycles| Usage {
        usage: Nanoseconds(nanoseconds),
        cycles: Cycles(cycles),
    };
    let used = |bench: &Bench| ["b:/", "b:/a", "b:/a/in", "b:/c"].map(|path| bench.usage(path));

    assert_eq!(bench.framework.credit(task, over(50, 30)), Ok(over(50, 30)));
    assert_eq!(used(&bench), [350, 250, 250, 100]);
    assert_eq!(bench.read("b:/a", "cpuacct.cycles"), "870");
    bench.framework.check_invariants();

    let all = bench.framework.credit(task, over(u64::MAX, 0));
    assert_eq!(all, Ok(over(250, 0)), "what it used in b:/c stays there");
    assert_eq!(used(&bench), [100, 0, 0, 100]);
    let usage = bench.framework.task(task).unwrap().usage;
    assert_eq!(usage, over(100, 1170), "cycles are credited for themselves");
    bench.framework.check_invariants();
}

#[test]
fn a_credit_after_a_reset_shows_nothing_below_zero_and_hides_nothing_later() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/a")]);
    let task = bench.fork("web/vcpu0", None);
    bench.run(&[attach("b:/a", task)]);
    bench.charge(task, 100);
    bench.run(&[write("b:/a", "cpuacct.usage", "0")]);
    let over = |nanoseconds| Usage {
        usage: Nanoseconds(nanoseconds),
        cycles: Cycles(0),
    };
    assert_eq!(bench.framework.credit(task, over(10)), Ok(over(10)));
    assert_eq!([bench.usage("b:/a"), bench.usage("b:/")], [0, 90]);
    bench.charge(task, 120);
    assert_eq!([bench.usage("b:/a"), bench.usage("b:/")], [30, 120]);
}

#[test]
fn a_closed_bill_takes_no_credit() {
    let mut bench = Bench::new();
    let task = bench.fork("web/vcpu0", None);
    bench.charge(task, 100);
    bench.run(&[exit(task)]);
    let over = Usage {
        usage: Nanoseconds(10),
        cycles: Cycles(0),
    };
    let before = bench.framework.snapshot();
    for id in [task, TaskId(u64::MAX)] {
        let refusal = bench.framework.credit(id, over).unwrap_err();
        assert_eq!(refusal.errno, Errno::ESRCH);
    }
    assert_eq!(before, bench.framework.snapshot());
}

#[test]
fn the_ledger_is_kept_without_a_mount() {
    let mut bench = Bench {
        framework: Framework::new(host()),
        by: Credentials::ROOT,
    };
    let task = bench.fork("web/vcpu0", None);
    bench.charge(task, 7);
    bench.run(&[mount("b", &["cpuacct"])]);
    assert_eq!(bench.usage("b:/"), 7);
    bench.charge(task, 9);
    bench.run(&[unmount("b")]);
    bench.charge(task, 11);
    assert_eq!(bench.framework.ledger().groups.usage, Nanoseconds(11));
    bench.framework.check_invariants();
}

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
fn mounting_a_cpuset_pins_the_tasks_that_are_there() {
    let mut bench = Bench {
        framework: Framework::new(host()),
        by: Credentials::ROOT,
    };
    let task = bench.fork("web/vcpu0", None);
    assert_eq!(bench.framework.task(task).unwrap().cpus, None);
    let (effects, events) = bench.run(&[mount("p", &["cpuset"])]);
    assert_eq!(effects, [pin(task, "0-3", None)]);
    assert_eq!(
        events,
        [Event::Mounted {
            hierarchy: "p".parse().unwrap()
        }]
    );
    let (effects, _) = bench.run(&[unmount("p")]);
    assert_eq!(effects, []);
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
fn a_plan_is_good_for_one_generation() {
    let mut bench = Bench::new();
    let stale = bench
        .framework
        .plan(&Credentials::ROOT, &[mkdir("b:/x")])
        .unwrap();
    let task = bench.fork("web/vcpu0", None);
    let refusal = bench.framework.commit(stale).unwrap_err();
    assert_eq!(refusal.errno, Errno::ESTALE);
    assert_eq!(
        refusal.rule,
        "the plan is of generation 1 and the framework of 2"
    );
    let plan = bench
        .framework
        .plan(&Credentials::ROOT, &[mkdir("b:/x")])
        .unwrap();
    bench.charge(task, 5);
    bench
        .framework
        .commit(plan)
        .expect("a charge is not a commit");
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
fn births_and_ends_are_no_change_of_the_groups_and_moves_are() {
    let mut bench = Bench::new();
    bench.run(&mkcpuset("p:/gold", "0"));
    let changes = |bench: &mut Bench, commands: &[Command]| {
        let count = |framework: &Framework| {
            let commits = framework.generation().0;
            (commits, framework.groups_generation().0)
        };
        let before = count(&bench.framework);
        bench.run(commands);
        let after = count(&bench.framework);
        (after.0 - before.0, after.1 - before.1)
    };
    let (task, fork) = bench.fork_command("web/vcpu0", None);
    let birth = [fork, attach("p:/gold", task), reserve(task, 4096)];
    assert_eq!(changes(&mut bench, &birth), (1, 0));
    for change in [
        attach("p:/", task),
        write("p:/gold", "notify_on_release", "1"),
        reserve(task, 8192),
        rename("p:/gold", "gilt"),
        mkdir("p:/new"),
        rmdir("p:/new"),
        clone(task, "cpuset"),
    ] {
        let counted = changes(&mut bench, std::slice::from_ref(&change));
        assert_eq!(counted, (1, 1), "{change:?}");
    }
    assert_eq!(changes(&mut bench, &[exit(task)]), (1, 0));
}
