//! What holds exactly at a bound and on either side of it, and what becomes of one part of a state when only
//! the other changes.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

#[path = "support/guest.rs"]
mod guest;
mod support;

use container_core::*;
use support::*;

fn two_nodes() -> HostResources {
    HostResources {
        mems: "0-1".parse().unwrap(),
        ..host()
    }
}

#[test]
fn nodes_follow_the_host_though_the_cpus_stay() {
    let mut bench = Bench::unmounted(two_nodes());
    bench.run(&[mount("p", &["cpuset"]), mkdir("p:/a"), mkdir("p:/a/b")]);
    for path in ["p:/a", "p:/a/b"] {
        bench.run(&[write(path, "cpuset.cpus", "0-1")]);
    }
    for path in ["p:/a", "p:/a/b"] {
        assert_eq!(bench.read(path, "cpuset.effective_mems"), "");
        bench.run(&[write(path, "cpuset.mems", "0-1")]);
        assert_eq!(bench.read(path, "cpuset.effective_mems"), "0-1");
        assert_eq!(bench.read(path, "cpuset.effective_cpus"), "0-1");
    }
    for (host, nodes) in [(host(), "0"), (two_nodes(), "0-1")] {
        let plan = bench.framework.plan_host_change(host);
        bench.framework.commit(plan).unwrap();
        for path in ["p:/", "p:/a", "p:/a/b"] {
            assert_eq!(bench.read(path, "cpuset.effective_mems"), nodes, "{path}");
        }
        assert_eq!(bench.read("p:/a", "cpuset.mems"), "0-1");
        assert_eq!(bench.read("p:/a", "cpuset.effective_cpus"), "0-1");
    }
}

#[test]
fn each_exclusive_flag_of_a_child_holds_that_of_its_parent_and_no_other() {
    for (held, other) in [
        ("cpuset.cpu_exclusive", "cpuset.mem_exclusive"),
        ("cpuset.mem_exclusive", "cpuset.cpu_exclusive"),
    ] {
        let mut bench = Bench::new();
        bench.run(&[mkdir("p:/a"), mkdir("p:/a/b")]);
        bench.run(&[write("p:/a", held, "1"), write("p:/a", other, "1")]);
        bench.run(&[write("p:/a/b", held, "1")]);
        bench.run(&[write("p:/a", held, "1"), write("p:/a", other, "1")]);
        bench.run(&[write("p:/a", other, "0")]);
        assert_eq!(bench.refused(write("p:/a", held, "0")), Errno::EBUSY);
        bench.run(&[write("p:/a/b", held, "0"), write("p:/a", held, "0")]);
        assert_eq!(bench.refused(write("p:/a/b", held, "1")), Errno::EACCES);
    }
}

#[test]
fn a_placement_is_read_as_it_was_written_and_whoever_has_no_seat_left_has_all_cpus() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("p:/hot"), write("p:/hot", "cpuset.cpus", "1-2")]);
    bench.run(&[write("p:/hot", "cpuset.mems", "0")]);
    assert_eq!(bench.read("p:/hot", "cpuset.placement"), "float");
    bench.run(&[write("p:/hot", "cpuset.placement", "one-to-one\n")]);
    assert_eq!(bench.read("p:/hot", "cpuset.placement"), "one-to-one");
    let tasks = ["web/vcpu0", "web/vcpu1", "web/io"].map(|name| bench.fork(name, None));
    let attach = tasks.map(|task| attach("p:/hot", task));
    let (effects, _) = bench.run(&attach);
    let pins = effects.iter().map(|effect| match effect {
        Effect::Pin { cpus, .. } => cpus.to_string(),
        other => panic!("{other:?}"),
    });
    assert_eq!(pins.collect::<Vec<_>>(), ["1", "2", "1-2"]);
    bench.run(&[write("p:/hot", "cpuset.placement", "float")]);
    assert_eq!(bench.read("p:/hot", "cpuset.placement"), "float");
}

#[test]
fn debug_lists_25_tasks_of_a_css_set_and_counts_the_others() {
    let mut bench = Bench::new();
    let fork = |bench: &mut Bench, n| {
        bench.fork(&format!("m{n}/io"), None);
        bench.read("p:/", "debug.cgroup_css_links")
    };
    let texts: Vec<String> = (1..=27).map(|n| fork(&mut bench, n)).collect();
    for (count, last) in [(24, "  task 24"), (25, "  task 25")] {
        let text = &texts[count - 1];
        assert_eq!(text.lines().last(), Some(last));
        assert_eq!(text.lines().count(), count + 1);
    }
    for (count, last) in [(26, "  ... 1 more"), (27, "  ... 2 more")] {
        let text = &texts[count - 1];
        assert_eq!(text.lines().last(), Some(last));
        assert_eq!(text.lines().count(), 27);
    }
}

#[test]
fn a_mode_has_nine_bits() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("p:/a")]);
    let chown = |mode| Command::Chown {
        group: group("p:/a"),
        uid: 7,
        gid: 7,
        mode,
    };
    assert_eq!(bench.refused(chown(0o1000)), Errno::EINVAL);
    bench.run(&[chown(0o777)]);
    bench.run(&[chown(0)]);
}

#[test]
fn a_new_group_has_its_parents_owner_and_flags_and_no_limits_yet() {
    let mut bench = Bench::new();
    bench.run(&[
        mkdir("p:/a"),
        write("p:/a", "cgroup.max.depth", "3"),
        write("p:/a", "cgroup.max.descendants", "5"),
        write("p:/a", "notify_on_release", "1"),
        write("p:/a", "cgroup.clone_children", "1"),
        Command::Chown {
            group: group("p:/a"),
            uid: 7,
            gid: 9,
            mode: 0o750,
        },
        mkdir("p:/a/b"),
    ]);
    for (file, value) in [
        ("cgroup.max.depth", "max"),
        ("cgroup.max.descendants", "max"),
        ("notify_on_release", "1"),
        ("cgroup.clone_children", "1"),
    ] {
        assert_eq!(bench.read("p:/a/b", file), value, "{file}");
    }
    bench.by = Credentials {
        uid: 7,
        gid: 9,
        ..Credentials::ROOT
    };
    bench.run(&[mkdir("p:/a/b/c"), mkdir("p:/a/b/c/d")]);
    assert_eq!(bench.refused(mkdir("p:/a/b/c/d/e")), Errno::EAGAIN);
}

#[test]
fn what_was_folded_into_a_group_goes_up_with_its_own_bill_when_it_is_removed_too() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/a"), mkdir("b:/a/b")]);
    let task = bench.fork("web/io", None);
    let mut used = 0;
    for (path, usage) in [("b:/a/b", 5), ("b:/a", 3), ("b:/", 1)] {
        bench.run(&[attach(path, task)]);
        used += usage;
        bench.charge(task, used);
    }
    for (removed, above) in [("b:/a/b", "b:/a"), ("b:/a", "b:/")] {
        let before = bench.usage(above);
        bench.run(&[rmdir(removed)]);
        assert_eq!(bench.usage(above), before);
        let ledger = bench.framework.ledger();
        assert_eq!((ledger.groups.usage.0, ledger.tasks.usage.0), (9, 9));
    }
}

#[test]
fn a_limit_given_with_a_group_holds_below_it_and_that_of_users_does_not() {
    let mut bench = Bench::new();
    bench.run(&[
        mkdir("p:/a"),
        write("p:/a", "cgroup.max.descendants", "4099"),
        Command::Chown {
            group: group("p:/a"),
            uid: 7,
            gid: 7,
            mode: 0o755,
        },
    ]);
    bench.by.uid = 7;
    let below: Vec<Command> = (0..4098).map(|n| mkdir(&format!("p:/a/in/{n}"))).collect();
    bench.run(&[&[mkdir("p:/a/in")], &below[..]].concat());
    let refusal = bench.try_run(&[mkdir("p:/a/in/more")]).unwrap_err();
    assert_eq!(refusal.errno, Errno::EAGAIN);
    let told = "p:/a is past its cgroup.max.descendants 4099";
    assert!(refusal.rule.contains(told), "{refusal}");
}

#[test]
fn an_owner_keeps_a_group_or_gives_it_the_users_own_gid_and_no_other() {
    let mut bench = Bench::new();
    let chown = |uid, gid| Command::Chown {
        group: group("p:/a"),
        uid,
        gid,
        mode: 0o700,
    };
    bench.run(&[mkdir("p:/a"), chown(7, 9)]);
    bench.by = Credentials {
        uid: 7,
        gid: 8,
        ..Credentials::ROOT
    };
    bench.run(&[chown(7, 9)]);
    for (uid, gid) in [(7, 10), (6, 9), (6, 8), (0, 0)] {
        assert_eq!(bench.refused(chown(uid, gid)), Errno::EPERM, "{uid}:{gid}");
    }
    bench.run(&[chown(7, 8)]);
    assert_eq!(bench.refused(chown(7, 9)), Errno::EPERM, "given away");
    bench.by.uid = 6;
    assert_eq!(bench.refused(chown(7, 8)), Errno::EPERM, "not the owner");
}

#[test]
fn what_a_guest_writes_reaches_a_subsystem_that_has_no_range_of_its_own() {
    let mut bench = Bench::new();
    bench.run(&[
        mount("f", &["freezer"]),
        mkdir("f:/web"),
        mkdir("f:/web/hot"),
    ]);
    let vcpu0 = bench.fork("web/vcpu0", None);
    bench.run(&[attach("f:/web", vcpu0)]);
    let (machine, roots) = ("web".parse().unwrap(), [group("f:/web")]);
    let opened = bench
        .framework
        .open_view(machine, ViewAccess::Delegate, &roots);
    let mut house = guest::House {
        web: opened.unwrap(),
        db: vcpu0,
        bench,
        vcpu0,
    };
    for state in ["FROZEN", "THAWED"] {
        let write = guest::set("f:/hot", "freezer.state", state);
        house.ask(&[write]).unwrap();
        assert_eq!(house.bench.read("f:/web/hot", "freezer.state"), state);
    }
    let (errno, _) = house.refused(guest::set("f:/hot", "freezer.state", "FREEZING"));
    assert_eq!(errno, Errno::EINVAL);
}
