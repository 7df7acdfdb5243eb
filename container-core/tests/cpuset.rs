//! Which CPUs and nodes the tasks of a group get, told as short stories. The rules one by one are in the error table,
//! and the properties in `properties.rs`.

mod support;

use container_core::*;
use support::*;

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
fn mounting_a_cpuset_pins_the_tasks_that_are_there() {
    let mut bench = Bench::unmounted(host());
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
    let mut bench = Bench::unmounted(host);
    bench.run(&[mount("p", &["cpuset"]), mkdir("p:/a")]);
    assert_eq!(
        bench.refused(write("p:/a", "cpuset.mems", "0")),
        Errno::EINVAL
    );
    bench.run(&[write("p:/a", "cpuset.mems", "0-1")]);
}
