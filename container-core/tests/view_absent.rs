//! What is not in a view is not there for its guest, whether the host has it or not.

#[path = "support/guest.rs"]
mod guest;
mod support;

use container_core::Errno::*;
use container_core::ViewAccess::Delegate;
use container_core::*;
use guest::*;
use support::*;

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
