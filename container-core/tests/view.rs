//! What a guest is shown, what it may change, and what it hears of.

#[path = "support/guest.rs"]
mod guest;
mod support;

use container_core::Errno::*;
use container_core::ViewAccess::{Delegate, Read};
use container_core::*;
use guest::*;
use support::*;

#[test]
fn a_view_starts_at_its_root_and_names_own_tasks_only() {
    let house = House::new(Delegate);
    let lines: Vec<String> = house
        .tree("p")
        .iter()
        .map(|group| {
            let own: Vec<String> = group.own.iter().map(TaskKind::to_string).collect();
            let cpus = group.cpus.unwrap_or_default();
            format!("{} {cpus} {} {}", group.path, group.tasks, own.join(","))
        })
        .collect();
    assert_eq!(lines, ["p:/ 0-2 3 vcpu0,vcpu1,io", "p:/hot 0-1 0 "]);
    let everybody = &house.tree("x")[0];
    assert_eq!(
        (everybody.tasks, everybody.own.len(), everybody.cpus),
        (4, 3, None)
    );
    assert_eq!(house.read("p:/", "tasks").unwrap(), "vcpu0\nvcpu1\nio\n");
    assert_eq!(house.read("p:/hot", "tasks").unwrap(), "");
    assert_eq!(house.read("p:/hot", "cpuset.cpus").unwrap(), "0-1\n");
    assert_eq!(
        house.read("p:/", "cgroup.events").unwrap(),
        "populated 1\nfrozen 0\n"
    );
    assert_eq!(house.read("p:/", "debug.taskcount").unwrap(), "3\n");
    let roots = house.bench.framework.view_roots(house.web);
    assert_eq!(roots[0].subsystems, ["cpuacct"]);
    assert_eq!(roots[1].subsystems, ["cpuset", "debug"]);
}

#[test]
fn a_delegate_makes_groups_sets_them_and_moves_its_vcpus() {
    let mut house = House::new(Delegate);
    let seen = house
        .ask(&[
            make("p:/cold"),
            set("p:/cold", "cpuset.cpus", "2"),
            set("p:/cold", "cpuset.mems", "0"),
            set("p:/cold", "notify_on_release", "1"),
            make("p:/cold/in"),
            remove("p:/cold/in"),
            enter("p:/cold", "vcpu0"),
            set("p:/hot", "tasks", "vcpu1\n"),
            set("p:/", "tasks", "vcpu0"),
            set("p:/", "tasks", ""),
        ])
        .unwrap();
    let moved = |task: &str, from, to| ViewEvent::TaskMoved {
        task: task.parse().unwrap(),
        from: Some(path(from)),
        to: Some(path(to)),
    };
    let written = |file: &str, value: &str| ViewEvent::FileWritten {
        group: path("p:/cold"),
        file: file.into(),
        value: value.into(),
    };
    let expected = [
        ViewEvent::GroupCreated {
            group: path("p:/cold"),
        },
        written("cpuset.cpus", "2"),
        written("cpuset.mems", "0"),
        written("notify_on_release", "1"),
        ViewEvent::GroupCreated {
            group: path("p:/cold/in"),
        },
        ViewEvent::GroupRemoved {
            group: path("p:/cold/in"),
        },
        ViewEvent::Released {
            group: path("p:/cold"),
        },
        moved("vcpu0", "p:/", "p:/cold"),
        moved("vcpu1", "p:/", "p:/hot"),
        moved("vcpu0", "p:/cold", "p:/"),
        ViewEvent::Released {
            group: path("p:/cold"),
        },
    ];
    assert_eq!(seen, expected);
    assert_eq!(house.bench.read("p:/gold/web/cold", "cpuset.cpus"), "2");
    assert_eq!(house.read("p:/hot", "tasks").unwrap(), "vcpu1\n");
    house.ask(&[remove("p:/cold")]).unwrap();
    house
        .ask(&[enter("p:/", "vcpu1"), remove("p:/hot")])
        .unwrap();
    assert_eq!(house.tree("p").len(), 1);
}

#[test]
fn a_root_stays_the_root_under_another_name_and_is_gone_when_it_is_removed() {
    let mut house = House::new(Delegate);
    house.ask(&[make("b:/in")]).unwrap();
    let before = house.tree("b");
    assert_eq!(house.host(&[rename("b:/web", "tenant")]), []);
    assert_eq!(house.host(&[rename("p:/gold", "silver")]), []);
    assert_eq!(house.tree("b"), before);
    // Another group takes the old name in the same batch: it is not the root.
    let seen = house.host(&[
        mkdir("b:/tenant/one"),
        rename("b:/tenant", "other"),
        mkdir("b:/tenant"),
        mkdir("b:/tenant/one"),
        rename("b:/other/in", "out"),
        mkdir("b:/other/two"),
    ]);
    let expected = [
        ViewEvent::GroupCreated {
            group: path("b:/one"),
        },
        ViewEvent::GroupRenamed {
            from: path("b:/in"),
            to: path("b:/out"),
        },
        ViewEvent::GroupCreated {
            group: path("b:/two"),
        },
    ];
    assert_eq!(seen, expected);
    house
        .ask(&[remove("b:/one"), remove("b:/two"), remove("b:/out")])
        .unwrap();
    let tasks = house
        .bench
        .framework
        .group(&group("b:/other"))
        .unwrap()
        .tasks;
    for task in tasks {
        house.host(&[attach("b:/", task)]);
    }
    house.host(&[
        write("b:/other", "notify_on_release", "1"),
        mkdir("b:/other/x"),
    ]);
    let root = path("b:/");
    let seen = house.host(&[rmdir("b:/other/x"), rmdir("b:/other"), mkdir("b:/other")]);
    assert_eq!(
        seen,
        [
            ViewEvent::GroupRemoved {
                group: path("b:/x")
            },
            ViewEvent::Released {
                group: root.clone()
            },
            ViewEvent::GroupRemoved { group: root },
        ]
    );
    let gone = "the root of this view in b is gone";
    assert_refusals(&mut house, &[(make("b:/a"), ENODEV, gone)]);
    let refusal = house.read("b:/", "tasks").unwrap_err();
    assert_eq!((refusal.errno, refusal.rule.as_str()), (ENODEV, gone));
    assert_eq!(house.access().len(), 2);
    assert_eq!(house.host(&[mkdir("b:/a"), mkdir("b:/other/a")]), []);
}

#[test]
fn a_root_whose_hierarchy_is_unmounted_is_gone_until_it_is_mounted_again() {
    let mut house = House::new(Delegate);
    house.host(&[unmount("b")]);
    assert_refusals(
        &mut house,
        &[(make("b:/a"), ENODEV, "the root of this view in b is gone")],
    );
    assert_eq!(house.access().len(), 2);
    house.host(&[mount("b", &["cpuacct"])]);
    house.ask(&[make("b:/a")]).unwrap();
    house.host(&[unmount("x")]);
    house.host(&[mount("x", &[])]);
    let rule = house.read("x:/", "tasks").unwrap_err().rule;
    assert_eq!(
        rule, "the root of this view in x is gone",
        "it is another x"
    );
}

#[test]
fn pages_put_together_are_the_whole_tree_whatever_their_size() {
    let mut house = House::new(Delegate);
    for group in [
        "p:/a", "p:/a/b", "p:/a/b/c", "p:/a b", "p:/a/z", "p:/hot/a", "p:/z",
    ] {
        house.ask(&[make(group)]).unwrap();
    }
    let whole = house.tree("p");
    let hierarchy: HierarchyName = "p".parse().unwrap();
    let page = |after: Option<&ViewPath>, limit| {
        house
            .bench
            .framework
            .view_tree(house.web, &hierarchy, after, limit)
            .unwrap()
    };
    for limit in 1..=whole.len() + 1 {
        let mut groups: Vec<ViewGroup> = Vec::new();
        loop {
            let (next, more) = page(groups.last().map(|group| &group.path), limit);
            assert!(next.len() == limit || !more);
            groups.extend(next);
            if !more {
                break;
            }
        }
        assert_eq!(groups, whole, "{limit} a page");
    }
    assert_eq!(page(None, 0), (vec![], true));
    // A page begins after a group that is no longer there, and ends after the last.
    assert_eq!(page(Some(&path("p:/a/m/n")), 1).0[0].path, path("p:/a/z"));
    assert_eq!(page(Some(&path("p:/zz")), 1), (vec![], false));
    let other = path("b:/");
    let wrong = house
        .bench
        .framework
        .view_tree(house.web, &hierarchy, Some(&other), 1);
    assert_eq!(wrong.unwrap_err().errno, EINVAL);
}

#[test]
fn a_group_with_a_path_too_long_to_be_said_is_left_out() {
    let mut house = House::new(Delegate);
    let name = "n".repeat(255);
    let mut host_path = String::from("p:/gold/web");
    let mut seen = Vec::new();
    for _ in 0..6 {
        host_path = format!("{host_path}/{name}");
        seen.extend(house.host(&[mkdir(&host_path)]));
    }
    assert_eq!((seen.len(), house.tree("p").len()), (3, 5));
    let deepest = house.tree("p").remove(3).path;
    let rule = format!("{deepest} cannot be removed with 1 child");
    assert_refusals(&mut house, &[(remove(&deepest.to_string()), EBUSY, &rule)]);
}

#[test]
fn a_plan_of_a_view_is_stale_after_a_commit_like_any_other() {
    let mut house = House::new(Delegate);
    let plan = house
        .bench
        .framework
        .view_plan(house.web, &[make("p:/a")])
        .unwrap();
    house.host(&[rename("p:/gold", "silver")]);
    assert_eq!(
        house.bench.framework.commit(plan).unwrap_err().errno,
        ESTALE
    );
}

#[test]
fn files_written_by_the_host_are_seen_but_for_the_hidden_ones() {
    let mut house = House::new(Read);
    let seen = house.host(&[
        write("x:/", "release_agent", "/bin/secret"),
        write("x:/", "notify_on_release", "1"),
        write("p:/gold", "notify_on_release", "1"),
        write("p:/gold/web", "cgroup.max.depth", "7"),
    ]);
    let written = |group: &str, file: &str, value: &str| ViewEvent::FileWritten {
        group: path(group),
        file: file.into(),
        value: value.into(),
    };
    assert_eq!(
        seen,
        [
            written("x:/", "notify_on_release", "1"),
            written("p:/", "cgroup.max.depth", "7"),
        ]
    );
}
