//! A hierarchy gets another set of subsystems: what its groups meant goes on at the root of wherever it is.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

use Errno::*;

fn subsystems(bench: &Bench, name: &str) -> Vec<&'static str> {
    let all = bench.framework.hierarchies();
    let one = all.into_iter().find(|one| one.name.as_str() == name);
    one.unwrap().subsystems
}

fn refused(bench: &mut Bench, commands: &[Command]) -> Errno {
    let before = bench.framework.snapshot();
    let refusal = bench.try_run(commands).unwrap_err();
    assert_eq!(bench.framework.snapshot(), before, "{refusal}");
    refusal.errno
}

#[test]
fn a_hierarchy_has_exactly_the_set_of_its_last_remount() {
    let mut bench = Bench::unmounted(host());
    bench.run(&[mount("p", &["cpuset", "debug"])]);
    let sets: [&[&str]; 4] = [
        &["memory", "cpuset"],
        &[],
        &["cpuacct"],
        &["debug", "cpuset"],
    ];
    for set in sets {
        bench.run(&[remount("p", set)]);
        let (mut has, mut asked) = (subsystems(&bench, "p"), set.to_vec());
        has.sort_unstable();
        asked.sort_unstable();
        assert_eq!(has, asked);
    }
    // What it lost is free for another, and only that.
    assert_eq!(refused(&mut bench, &[mount("q", &["cpuset"])]), EBUSY);
    bench.run(&[mount("q", &["memory", "cpuacct"])]);
}

#[test]
fn the_subsystem_of_another_comes_only_after_that_one_gave_it_up() {
    let mut bench = Bench::unmounted(host());
    bench.run(&[mount("p", &["cpuset"]), mount("q", &[])]);
    assert_eq!(refused(&mut bench, &[remount("q", &["cpuset"])]), EBUSY);
    // In one batch, and taken back with it.
    let give = [remount("p", &[]), remount("q", &["cpuset"])];
    assert_eq!(
        refused(&mut bench, &[&give[..], &[mkdir("x:/a")]].concat()),
        ENOENT
    );
    assert_eq!(subsystems(&bench, "p"), ["cpuset"]);
    bench.run(&give);
    assert_eq!(
        (subsystems(&bench, "p"), subsystems(&bench, "q")),
        (vec![], vec!["cpuset"])
    );
}

#[test]
fn one_with_child_groups_keeps_its_set_and_the_same_set_is_no_event() {
    let mut bench = Bench::unmounted(host());
    bench.run(&[mount("p", &["cpuset"]), mkdir("p:/a")]);
    assert_eq!(
        refused(&mut bench, &[remount("p", &["cpuset", "memory"])]),
        EBUSY
    );
    assert_eq!(bench.run(&[remount("p", &["cpuset"])]).1, []);
    let (_, events) = bench.run(&[rmdir("p:/a"), remount("p", &["memory", "cpuset"])]);
    let remounted = Event::Remounted {
        hierarchy: "p".parse().unwrap(),
        subsystems: vec!["cpuset", "memory"],
    };
    assert_eq!(events.last(), Some(&remounted));
}

#[test]
fn bills_pins_and_reservations_go_with_their_subsystem() {
    let mut bench = Bench::unmounted(host());
    bench.run(&[
        mount("one", &["cpuacct", "memory"]),
        mount("two", &["cpuset"]),
    ]);
    let web = bench.fork("web/vcpu0", None);
    let (control, fork) = bench.fork_command("web/control", None);
    bench.run(&[fork, reserve(control, 4096)]);
    bench.charge(web, 70);
    let (effects, _) = bench.run(&[
        remount("one", &["debug"]),
        remount("two", &["cpuset", "cpuacct", "memory"]),
    ]);
    assert_eq!(effects, [], "all are at a root, before and after");
    assert_eq!(bench.read("two:/", "cpuacct.usage"), "70");
    assert_eq!(bench.read("two:/", "memory.committed_bytes"), "4096");
    bench.charge(web, 75);
    assert_eq!(bench.read("two:/", "cpuacct.usage"), "75");
    // Groups are of the new set, and mean it.
    let (effects, _) = bench.run(&[
        mkdir("two:/a"),
        write("two:/a", "cpuset.cpus", "1"),
        write("two:/a", "cpuset.mems", "0"),
        attach("two:/a", web),
    ]);
    let pinned = Effect::Pin {
        task: web,
        cpus: "1".parse().unwrap(),
        before: Some("0-3".parse().unwrap()),
    };
    assert_eq!(effects, [pinned, Effect::Sample { task: web }]);
    bench.charge(web, 78);
    assert_eq!(bench.read("two:/a", "cpuacct.usage"), "3");
    assert_eq!(bench.read("two:/", "cpuacct.usage"), "78");
    // And a free one bills, confines and holds on where nobody sees it.
    bench.run(&[attach("two:/", web), rmdir("two:/a"), remount("two", &[])]);
    bench.charge(web, 80);
    bench.run(&[remount("one", &["cpuacct"])]);
    assert_eq!(bench.read("one:/", "cpuacct.usage"), "80");
    bench.framework.check_invariants();
}
