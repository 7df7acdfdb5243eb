//! Which views there may be, and which of them are only to be read.

#[path = "support/guest.rs"]
mod guest;
mod support;

use container_core::Errno::*;
use container_core::ViewAccess::{Delegate, Read};
use container_core::*;
use guest::*;
use support::*;

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
