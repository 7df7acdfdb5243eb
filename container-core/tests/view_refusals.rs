//! What a guest is told when it may not, errno and sentence.

#[path = "support/guest.rs"]
mod guest;
mod support;

use container_core::Errno::*;
use container_core::ViewAccess::{Delegate, Read};
use container_core::*;
use guest::*;
use support::*;

const ABOVE: &str = "a limit above the root of this view refuses it";

#[test]
fn what_is_not_in_the_view_is_not_there_whether_the_host_has_it_or_not() {
    let house = House::new(Delegate);
    for (group, file, errno, rule) in [
        (
            "p:/gold",
            "tasks",
            ENOENT,
            "there is no group p:/gold: p:/ has no child gold",
        ),
        (
            "p:/none",
            "tasks",
            ENOENT,
            "there is no group p:/none: p:/ has no child none",
        ),
        (
            "p:/db",
            "tasks",
            ENOENT,
            "there is no group p:/db: p:/ has no child db",
        ),
        (
            "p:/hot/x",
            "tasks",
            ENOENT,
            "there is no group p:/hot/x: p:/hot has no child x",
        ),
        (
            "y:/",
            "tasks",
            ENOENT,
            "there is no hierarchy named y in this view",
        ),
        (
            "p:/tasks",
            "tasks",
            ENOTDIR,
            "tasks in p:/ is a control file, not a group",
        ),
        (
            "p:/",
            "hot",
            EISDIR,
            "hot in p:/ is a group, not a control file",
        ),
        (
            "p:/",
            "none",
            ENOENT,
            "p:/ has no control file named \"none\"",
        ),
        (
            "p:/",
            "cpuacct.usage",
            ENOENT,
            "p:/ has no control file named \"cpuacct.usage\"",
        ),
        (
            "x:/",
            "release_agent",
            ENOENT,
            "x:/ has no control file named \"release_agent\"",
        ),
        (
            "x:/release_agent",
            "a",
            ENOENT,
            "there is no group x:/release_agent: x:/ has no child release_agent",
        ),
        (
            "p:/",
            "debug.cgroup_css_links",
            ENOENT,
            "p:/ has no control file named \"debug.cgroup_css_links\"",
        ),
        (
            "p:/",
            "debug.current_css_set",
            ENOENT,
            "p:/ has no control file named \"debug.current_css_set\"",
        ),
    ] {
        let refusal = house.read(group, file).unwrap_err();
        assert_eq!((refusal.errno, refusal.rule.as_str()), (errno, rule));
    }
    let long = house.read("p:/", &"x".repeat(256)).unwrap_err();
    assert_eq!(long.errno, ENAMETOOLONG);
    let mut house = House::new(Delegate);
    house.host(&[mount("y", &[])]);
    let rule = "there is no hierarchy named y in this view";
    assert_eq!(house.read("y:/", "tasks").unwrap_err().rule, rule);
    let tree = house
        .bench
        .framework
        .view_tree(house.web, &"y".parse().unwrap(), None, 9);
    assert_eq!(tree.unwrap_err().rule, rule);
}

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
                "\"p:/gold/web\" is not a list of numbers and ranges such as 0-3,7",
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
fn a_view_to_be_read_changes_nothing() {
    let mut house = House::new(Read);
    let rule = "this view was opened to be read, and changes nothing";
    for command in [
        make("p:/new"),
        remove("p:/hot"),
        remove("p:/none"),
        set("p:/hot", "cpuset.cpus", "0"),
        set("p:/hot", "tasks", ""),
        enter("p:/hot", "vcpu0"),
        enter("p:/hot", "io"),
    ] {
        assert_refusals(&mut house, &[(command, EACCES, rule)]);
    }
    assert_eq!(
        house
            .access()
            .into_iter()
            .map(|(_, access)| access)
            .collect::<Vec<_>>(),
        [Read; 3]
    );
    assert_eq!(house.ask(&[]), Ok(vec![]));
}

#[test]
fn a_group_shared_with_another_machine_is_to_be_read_as_long_as_it_is_shared() {
    let mut house = House::new(Delegate);
    let access = |p, b| {
        vec![
            ("b".to_string(), b),
            ("p".to_string(), p),
            ("x".to_string(), Read),
        ]
    };
    let rule = |root: &str| {
        format!("{root}, the root of this view, is shared with others, and so is only to be read")
    };
    assert_eq!(house.access(), access(Delegate, Delegate));
    assert_refusals(&mut house, &[(make("x:/a"), EACCES, &rule("x:/"))]);
    let db = house.db;
    // A task of a neighbour, in the root or below it.
    for group in ["p:/gold/web", "p:/gold/web/hot"] {
        house.host(&[attach(group, db)]);
        assert_eq!(house.access(), access(Read, Delegate));
        assert_refusals(&mut house, &[(make("p:/new"), EACCES, &rule("p:/"))]);
        house.host(&[attach("p:/gold/db", db)]);
        assert_eq!(house.access(), access(Delegate, Delegate));
    }
    // A view of a neighbour with its root there; one of the same machine, or above, takes nothing.
    let open = |house: &mut House, machine: &str, root: &str| {
        let machine = machine.parse().unwrap();
        house
            .bench
            .framework
            .open_view(machine, Read, &[group(root)])
            .unwrap()
    };
    for root in ["p:/gold/web", "p:/gold/web/hot"] {
        let other = open(&mut house, "db", root);
        assert_eq!(house.access(), access(Read, Delegate));
        assert_refusals(
            &mut house,
            &[(enter("p:/hot", "vcpu0"), EACCES, &rule("p:/"))],
        );
        house.bench.framework.close_view(other);
        assert_eq!(house.access(), access(Delegate, Delegate));
    }
    open(&mut house, "web", "p:/gold/web");
    open(&mut house, "db", "p:/gold");
    assert_eq!(house.access(), access(Delegate, Delegate));
    house.ask(&[make("p:/new")]).unwrap();
}

#[test]
fn a_vcpu_that_the_host_placed_outside_is_not_there() {
    let mut house = House::new(Delegate);
    let vcpu0 = house.vcpu0;
    let seen = house.host(&[attach("p:/gold/db", vcpu0)]);
    let task = TaskKind::Vcpu(0);
    let gone = ViewEvent::TaskMoved {
        task,
        from: Some(path("p:/")),
        to: None,
    };
    assert_eq!(seen, [gone]);
    let rule = "there is no vcpu0 in this view of p";
    assert_refusals(
        &mut house,
        &[
            (enter("p:/hot", "vcpu0"), ESRCH, rule),
            (set("p:/hot", "tasks", "vcpu0"), ESRCH, rule),
        ],
    );
    assert_eq!(house.host(&[attach("p:/gold", vcpu0)]), []);
    let back = ViewEvent::TaskMoved {
        task,
        from: None,
        to: Some(path("p:/hot")),
    };
    assert_eq!(house.host(&[attach("p:/gold/web/hot", vcpu0)]), [back]);
    house.ask(&[enter("p:/", "vcpu0")]).unwrap();
}

#[test]
fn sizes_that_a_guest_can_cause_are_bounded() {
    let mut house = House::new(Delegate);
    let long = "1".repeat(MAX_VIEW_VALUE + 1);
    assert_refusals(
        &mut house,
        &[
            (
                set("p:/hot", "cpuset.cpus", &long),
                E2BIG,
                "a value of 4097 bytes is past 4096",
            ),
            (
                set("p:/hot", "tasks", &long),
                E2BIG,
                "a value of 4097 bytes is past 4096",
            ),
        ],
    );
    // The longest echo there is still fits a frame of the agent's channel, which is 64 KiB.
    let garbage = "\u{1}".repeat(MAX_VIEW_VALUE);
    for file in [
        "cpuset.cpus",
        "cpuset.placement",
        "notify_on_release",
        "cgroup.max.depth",
        "tasks",
    ] {
        let (errno, rule) = house.refused(set("p:/hot", file, &garbage));
        assert_eq!((errno, rule.len() < 48 * 1024), (EINVAL, true), "{file}");
    }
    let many = vec![set("p:/hot", "notify_on_release", "1"); MAX_VIEW_COMMANDS + 1];
    let refusal = house.ask(&many).unwrap_err();
    assert_eq!((refusal.errno, refusal.command), (E2BIG, MAX_VIEW_COMMANDS));
    house.ask(&many[1..]).unwrap();
    let mut deep = String::from("p:");
    for _ in 0..MAX_VIEW_DEPTH {
        deep += "/d";
        house.ask(&[make(&deep)]).unwrap();
    }
    let past = "is past the limits of a view: 256 groups and 8 levels below its root";
    let deeper = deep + "/d";
    assert_refusals(
        &mut house,
        &[(make(&deeper), EAGAIN, &format!("{deeper} {past}"))],
    );
}

#[test]
fn a_guest_that_makes_groups_without_end_comes_to_an_end() {
    let mut house = House::new(Delegate);
    let mut made = 0;
    for round in 0..20 {
        let batch: Vec<ViewCommand> = (0..MAX_VIEW_COMMANDS)
            .map(|number| make(&format!("p:/{round}-{number}")))
            .collect();
        match house.ask(&batch) {
            Ok(_) => made += MAX_VIEW_COMMANDS,
            Err(refusal) => {
                // `hot` counts too.
                assert_eq!(refusal.errno, EAGAIN);
                let left = MAX_VIEW_GROUPS as usize - 1 - made;
                assert_eq!(refusal.command, left.min(MAX_VIEW_COMMANDS));
                house.ask(&batch[..left]).unwrap();
                made += left;
            }
        }
    }
    assert_eq!(
        house
            .bench
            .framework
            .walk(&"p".parse().unwrap())
            .unwrap()
            .len(),
        3 + 1 + 256
    );
    house.ask(&[remove("p:/0-0"), make("p:/again")]).unwrap();
    // Reading a full view takes several pages, each bounded whatever is asked for.
    let hierarchy = "p".parse().unwrap();
    let page = house
        .bench
        .framework
        .view_tree(house.web, &hierarchy, None, usize::MAX);
    let (page, more) = page.unwrap();
    assert_eq!((page.len(), more), (MAX_VIEW_PAGE, true));
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

#[test]
fn a_view_is_opened_on_groups_that_are_there_one_a_hierarchy() {
    let mut house = House::new(Delegate);
    let framework = &mut house.bench.framework;
    let generation = framework.generation();
    let mut open = |roots: &[&str]| {
        let roots: Vec<GroupPath> = roots.iter().map(|root| group(root)).collect();
        framework.open_view("new".parse().unwrap(), Delegate, &roots)
    };
    assert_eq!(open(&["p:/none"]).unwrap_err().errno, ENOENT);
    assert_eq!(open(&["y:/"]).unwrap_err().errno, ENOENT);
    assert_eq!(
        open(&["p:/gold", "b:/", "p:/gold/db"]).unwrap_err().errno,
        EINVAL
    );
    let first = open(&["p:/gold"]).unwrap();
    let second = open(&[]).unwrap();
    framework.close_view(first);
    framework.close_view(first);
    assert_eq!(framework.view_roots(second), []);
    let third = framework
        .open_view("new".parse().unwrap(), Read, &[])
        .unwrap();
    assert!(third > second && second > first, "ids are not reused");
    assert_eq!(framework.generation(), generation);
    let closed = framework.view_plan(first, &[]).unwrap_err();
    assert_eq!(
        (closed.errno, closed.rule.as_str()),
        (ENODEV, "this view is closed")
    );
    assert_eq!(
        framework
            .view_read(first, &path("p:/"), "tasks")
            .unwrap_err()
            .errno,
        ENODEV
    );
    assert_eq!(framework.view_roots(first), []);
}
