//! The groups of machines that have namespaces of their own.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

use Errno::*;

/// `n` has ns and a group `n:/a`, with a release for whoever leaves something in it.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.run(&[
        mount("n", &["ns"]),
        mkdir("n:/a"),
        write("n:/a", "notify_on_release", "1"),
        mkdir("n:/a/in"),
        mkdir("n:/b"),
    ]);
    bench
}

/// A birth in a group, and what else is to happen in its batch.
fn born(bench: &mut Bench, name: &str, path: &str, more: &[Command]) -> TaskId {
    let (task, fork) = bench.fork_command(name, None);
    bench.run(&[&[fork, attach(path, task)], more].concat());
    task
}

#[test]
fn a_task_is_born_anywhere_and_then_goes_only_down_into_an_empty_child() {
    let mut bench = bench();
    let web = born(&mut bench, "web/control", "n:/a", &[]);
    let db = born(&mut bench, "db/control", "n:/a", &[]);
    for path in ["n:/", "n:/b"] {
        assert_eq!(bench.refused(attach(path, web)), EPERM, "{path}");
    }
    bench.run(&[attach("n:/a", web), attach("n:/a/in", web)]);
    // Its group has a task now; and up again is up.
    assert_eq!(bench.refused(attach("n:/a/in", db)), EPERM);
    assert_eq!(bench.refused(attach("n:/a", web)), EPERM);
    bench.run(&[mkdir("n:/a/in/x"), mkdir("n:/a/in/x/y")]);
    assert_eq!(
        bench.refused(attach("n:/a/in/x/y", web)),
        EPERM,
        "no grandchild"
    );
    bench.run(&[attach("n:/a/in/x", web)]);
    // An empty one, though others are below it.
    assert_eq!(bench.refused(attach("n:/a/in/x", db)), EPERM);
    bench.run(&[attach("n:/a/in", db)]);
    let refusal = bench.try_run(&[attach("n:/b", db)]).unwrap_err();
    assert!(
        refusal.rule.contains("db/control") && refusal.rule.contains("n:/b"),
        "{refusal}"
    );
}

#[test]
fn a_machine_is_cloned_at_its_birth_and_its_threads_are_born_beside_it() {
    let mut bench = bench();
    let (control, fork) = bench.fork_command("web/control", None);
    let (vcpu, other) = bench.fork_command("web/vcpu0", None);
    let node = format!("n:/a/node_{control}");
    bench.run(&[
        fork,
        attach("n:/a", control),
        clone(control, "ns"),
        other,
        attach(&node, vcpu),
    ]);
    assert_eq!(
        bench.framework.group(&group(&node)).unwrap().tasks,
        [control, vcpu]
    );
    let lines = bench.framework.task_group_lines(vcpu).unwrap();
    assert!(
        lines.contains(&format!(":ns,name=n:/a/node_{control}\n")),
        "{lines}"
    );
    // One that is found later is born where control is.
    let helper = bench.fork("web/kvm0", Some(control));
    assert_eq!(bench.refused(attach("n:/a", helper)), EPERM);
    // A second clone goes further down, where the others are not.
    bench.run(&[clone(control, "ns")]);
    let below = format!("{node}/node_{control}");
    assert_eq!(
        bench.framework.group(&group(&below)).unwrap().tasks,
        [control]
    );
}

#[test]
fn the_group_of_a_machine_is_released_with_its_last_task_if_its_parent_asks_for_that() {
    let mut bench = bench();
    let web = born(&mut bench, "web/control", "n:/a", &[]);
    bench.run(&[clone(web, "ns")]);
    let node = format!("n:/a/node_{web}");
    let (_, events) = bench.run(&[exit(web)]);
    let released = Event::Released {
        group: group(&node),
        agent: None,
    };
    assert!(events.contains(&released), "{events:?}");
    bench.run(&[rmdir(&node)]);
}

#[test]
fn where_ns_is_not_mounted_a_clone_does_nothing_and_no_rule_holds() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/a"), mkdir("b:/b")]);
    let web = bench.fork("web/control", None);
    bench.run(&[clone(web, "ns"), attach("b:/a", web), attach("b:/b", web)]);
}

/// The name of such a group is a thread id of the host, which no guest is to know.
#[test]
fn the_hierarchy_of_ns_is_in_no_view() {
    let mut bench = bench();
    bench.run(&[mkdir("b:/t")]);
    let roots = [group("n:/a"), group("b:/t")];
    let view = bench
        .framework
        .open_view("web".parse().unwrap(), ViewAccess::Delegate, &roots);
    let seen = bench.framework.view_roots(view.unwrap());
    let seen: Vec<String> = seen.iter().map(|root| root.hierarchy.to_string()).collect();
    assert_eq!(seen, ["b"]);
}

/// Nor where it becomes that only later, and again once it is not any more.
#[test]
fn a_hierarchy_that_is_remounted_with_ns_leaves_every_view() {
    let mut bench = Bench::new();
    bench.run(&[mount("x", &[])]);
    let (web, hierarchy) = ("web".parse().unwrap(), "x".parse().unwrap());
    let view = bench
        .framework
        .open_view(web, ViewAccess::Delegate, &[group("x:/")]);
    let view = view.unwrap();
    let tree = |bench: &Bench| bench.framework.view_tree(view, &hierarchy, None, 10);
    assert!(tree(&bench).is_ok());
    bench.run(&[remount("x", &["ns"])]);
    assert_eq!(tree(&bench).unwrap_err().errno, ENODEV);
    assert!(bench.framework.view_roots(view).is_empty());
    let web = bench.fork("web/control", None);
    let (_, events) = bench.run(&[clone(web, "ns")]);
    let seen = (0..events.len()).flat_map(|event| bench.framework.views_of(event));
    assert_eq!(seen.count(), 0);
    let child = format!("x:/node_{}", bench.framework.task(web).unwrap().tid);
    bench.run(&[exit(web), rmdir(&child), remount("x", &[])]);
    assert!(tree(&bench).is_ok());
}
