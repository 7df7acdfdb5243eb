//! What a guest is told when it may not, errno and sentence.

#[path = "support/guest.rs"]
mod guest;
mod support;

use container_core::Errno::*;
use container_core::ViewAccess::Delegate;
use container_core::*;
use guest::*;
use support::*;

const ABOVE: &str = "a limit above the root of this view refuses it";

#[test]
fn refusals_speak_of_the_view_in_its_own_names() {
    let mut house = House::new(Delegate);
    house.ask(&[make("p:/new"), make("p:/hot/in")]).unwrap();
    house.ask(&[set("p:/hot/in", "cpuset.cpus", "1")]).unwrap();
    house.ask(&[enter("p:/hot", "vcpu1")]).unwrap();
    assert_refusals(
        &mut house,
        &[
            (
                make("p:/"),
                EEXIST,
                "p:/ is the root of this view, which is there already",
            ),
            (make("p:/hot"), EEXIST, "p:/ has a group named hot already"),
            (
                make("p:/tasks"),
                EEXIST,
                "p:/ has a control file named tasks already",
            ),
            (
                make("p:/cpuset.cpus"),
                EEXIST,
                "p:/ has a control file named cpuset.cpus already",
            ),
            // The root is not the hierarchy's, and has no such file; a guest cannot tell.
            (
                make("p:/release_agent"),
                EEXIST,
                "p:/ has a control file named release_agent already",
            ),
            (
                make("p:/a/b"),
                ENOENT,
                "there is no group p:/a: p:/ has no child a",
            ),
            (
                make("p:/\u{1b}[2J"),
                EINVAL,
                "group name \"\\u{1b}[2J\" has a control character in it",
            ),
            (
                remove("p:/"),
                EBUSY,
                "p:/ is the root of this view, which only the host removes",
            ),
            (
                remove("p:/hot"),
                EBUSY,
                "p:/hot cannot be removed with 1 task in it",
            ),
            (
                remove("p:/none"),
                ENOENT,
                "there is no group p:/none: p:/ has no child none",
            ),
            (
                set("p:/", "cpuset.cpus", "0"),
                EACCES,
                "cpuset.cpus in p:/, the root of this view, is set by the host: \
             write it in a group below",
            ),
            (
                set("p:/hot", "cpuset.effective_cpus", "0"),
                EACCES,
                "cpuset.effective_cpus in p:/hot is read-only",
            ),
            (
                set("p:/hot", "nothing", "0"),
                ENOENT,
                "p:/hot has no control file named \"nothing\"",
            ),
            (
                set("p:/hot", "cpuset.cpus", "0,3"),
                EACCES,
                "cpuset.cpus 0,3 is not a subset of the 0-2 of the root of this view",
            ),
            (
                set("p:/hot", "cpuset.cpus", "0,5"),
                EACCES,
                "cpuset.cpus 0,5 is not a subset of the 0-2 of the root of this view",
            ),
            (
                set("p:/hot", "cpuset.cpus", "0,99999"),
                EACCES,
                "cpuset.cpus 0,99999 is not a subset of the 0-2 of the root of this view",
            ),
            (
                set("p:/hot", "cpuset.mems", "1"),
                EACCES,
                "cpuset.mems 1 is not a subset of the 0 of the root of this view",
            ),
            (
                set("p:/hot", "cpuset.cpus", "p:/gold/web"),
                EINVAL,
                "cpuset.cpus: \"p:/gold/web\" is not a list of numbers and ranges such as 0-3,7",
            ),
            (
                set("p:/hot", "cpuset.cpus", "0"),
                EBUSY,
                "cpuset.cpus 0 does not hold the 1 of the child p:/hot/in",
            ),
            (
                set("p:/hot/in", "cpuset.cpus", "2"),
                EACCES,
                "cpuset.cpus 2 is not a subset of the parent's 0-1 in p:/hot",
            ),
            (
                set("p:/hot/in", "cpuset.cpu_exclusive", "1"),
                EACCES,
                "cpuset.cpu_exclusive cannot be 1 while that of the parent p:/hot is 0",
            ),
            (
                set("p:/hot", "cpuset.cpu_exclusive", "1"),
                EACCES,
                "cpuset.cpu_exclusive cannot be 1 while that of the parent p:/ is 0",
            ),
            (
                set("p:/hot", "cpuset.mems", "\n"),
                ENOSPC,
                "cpuset.mems cannot be empty while 1 task is in p:/hot",
            ),
            (
                set("p:/hot", "cpuset.placement", "both"),
                EINVAL,
                "cpuset.placement is float or one-to-one, not \"both\"",
            ),
            (
                set("p:/hot", "notify_on_release", "p:/gold"),
                EINVAL,
                "notify_on_release takes a number, and \"p:/gold\" is none",
            ),
            (
                set("p:/hot", "cpuset.sched_load_balance", "0"),
                EINVAL,
                "cpuset.sched_load_balance 0 would not be enforced: only 1 is accepted",
            ),
            (
                set("p:/hot", "cgroup.max.depth", "-1"),
                ERANGE,
                "cgroup.max.depth takes max or 0 to 2147483647, not -1",
            ),
            (
                set("p:/hot", "tasks", "1"),
                EINVAL,
                "tasks takes one vcpuN in a view, not \"1\"",
            ),
            (
                set("p:/hot", "tasks", "0"),
                EINVAL,
                "tasks takes one vcpuN in a view, not \"0\"",
            ),
            (
                set("p:/hot", "tasks", "db/vcpu0"),
                EINVAL,
                "tasks takes one vcpuN in a view, not \"db/vcpu0\"",
            ),
            (
                set("p:/hot", "tasks", "io"),
                EPERM,
                "io is the host's to place: a guest moves its vCPUs only",
            ),
            (
                enter("p:/hot", "control"),
                EPERM,
                "control is the host's to place: a guest moves its vCPUs only",
            ),
            (
                enter("p:/hot", "vcpu7"),
                ESRCH,
                "there is no vcpu7 in this view of p",
            ),
            (
                enter("p:/none", "vcpu0"),
                ENOENT,
                "there is no group p:/none: p:/ has no child none",
            ),
            (
                enter("p:/new", "vcpu0"),
                ENOSPC,
                "task vcpu0 cannot enter p:/new, whose cpuset.cpus is empty",
            ),
            (
                make("y:/a"),
                ENOENT,
                "there is no hierarchy named y in this view",
            ),
        ],
    );
}

#[test]
fn crowding_and_overlap_inside_the_view_are_told_as_they_are() {
    let mut house = House::new(Delegate);
    house.host(&[write("p:/gold", "cgroup.clone_children", "0")]);
    house
        .ask(&[
            set("p:/hot", "cpuset.cpus", "1"),
            set("p:/hot", "cpuset.placement", "one-to-one"),
            enter("p:/hot", "vcpu0"),
        ])
        .unwrap();
    assert_refusals(
        &mut house,
        &[(
            enter("p:/hot", "vcpu1"),
            ENOSPC,
            "p:/hot is one-to-one and has no CPU of 1 left for vcpu1",
        )],
    );
    house
        .ask(&[
            set("p:/hot", "cpuset.placement", "float"),
            enter("p:/hot", "vcpu1"),
        ])
        .unwrap();
    assert_refusals(
        &mut house,
        &[(
            set("p:/hot", "cpuset.placement", "one-to-one"),
            ENOSPC,
            "p:/hot is one-to-one, and its 2 vCPUs are more than CPUs 1",
        )],
    );
    // Every group up to the host's root has to be exclusive before the guest's can be.
    let db = house.db;
    house.host(&[
        attach("p:/", db),
        write("p:/gold/db", "cpuset.cpus", "\n"),
        write("p:/gold", "cpuset.cpu_exclusive", "1"),
        write("p:/gold/web", "cpuset.cpu_exclusive", "1"),
    ]);
    house
        .ask(&[set("p:/hot", "cpuset.cpu_exclusive", "1"), make("p:/cold")])
        .unwrap();
    assert_refusals(
        &mut house,
        &[(
            set("p:/cold", "cpuset.cpus", "0-1"),
            EINVAL,
            "cpuset.cpus 0-1 overlaps the 1 of the sibling p:/hot, \
             and one of the two is exclusive",
        )],
    );
}

#[test]
fn a_limit_above_the_root_is_not_described() {
    let mut house = House::new(Delegate);
    for (file, limit) in [("cgroup.max.descendants", "3"), ("cgroup.max.depth", "2")] {
        for root in ["p:/", "p:/gold"] {
            house.host(&[write(root, file, limit)]);
            assert_refusals(&mut house, &[(make("p:/hot/in"), EAGAIN, ABOVE)]);
            house.host(&[write(root, file, "max")]);
        }
    }
    // The root's own limit is in the view.
    house.host(&[write("p:/gold/web", "cgroup.max.depth", "1")]);
    let rule = "a group 2 levels below p:/ is past its cgroup.max.depth 1";
    assert_refusals(&mut house, &[(make("p:/hot/in"), EAGAIN, rule)]);
    assert_eq!(house.read("p:/", "cgroup.max.depth").unwrap(), "1\n");
    house.host(&[write("p:/gold/web", "cgroup.max.depth", "max")]);
    // Asked for and in force are apart: what the host has withdrawn is not to be had.
    let shrunken = HostResources {
        allowed_cpus: "0".parse().unwrap(),
        ..host()
    };
    let plan = house.bench.framework.plan_host_change(shrunken);
    house.bench.framework.commit(plan).unwrap();
    assert_refusals(
        &mut house,
        &[(set("p:/hot", "cpuset.cpus", "1"), EACCES, ABOVE)],
    );
}

#[test]
fn lists_mean_the_roots_cpus_and_not_the_hosts() {
    let mut house = House::new(Delegate);
    for (text, cpus) in [
        ("0-2:1/2", "0,2"),
        ("0-5:1/N", "0"),
        ("", "0"),
        (" 1,,2 \n", "1-2"),
        ("\n", ""),
    ] {
        house.ask(&[set("p:/hot", "cpuset.cpus", text)]).unwrap();
        assert_eq!(
            house.read("p:/hot", "cpuset.cpus").unwrap(),
            format!("{cpus}\n"),
            "{text:?}"
        );
    }
    for text in ["all", "N", "0-N"] {
        assert_eq!(house.refused(set("p:/hot", "cpuset.cpus", text)).0, EACCES);
    }
}

#[test]
fn a_refused_command_of_a_batch_is_told_by_its_place() {
    let mut house = House::new(Delegate);
    let refusal = house
        .ask(&[make("p:/a"), make("p:/a/b"), make("p:/b/c")])
        .unwrap_err();
    assert_eq!((refusal.command, refusal.errno), (2, ENOENT));
    let refusal = house.ask(&[make("p:/a"), remove("p:/hot"), enter("p:/a", "vcpu0")]);
    assert_eq!(refusal.unwrap_err().command, 2);
    assert_eq!(house.tree("p").len(), 2, "none of it happened");
}
