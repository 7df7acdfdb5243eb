//! When a group is released, and with which agent.

mod support;

use container_core::*;
use support::*;

fn released(events: &[Event]) -> Vec<(String, Option<&str>)> {
    let releases = events.iter().filter_map(|event| match event {
        Event::Released { group, agent } => Some((group.to_string(), agent.as_deref())),
        _ => None,
    });
    releases.collect()
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
