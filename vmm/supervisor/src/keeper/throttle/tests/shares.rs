//! Shares, one situation at a time.

use super::*;

#[test]
fn shares_of_one_to_three_are_one_to_three() {
    let mut world = World::new(1);
    world.mkdir("c:/one", &[(SHARES, 1024)]);
    world.mkdir("c:/three", &[(SHARES, 3072)]);
    let tasks = [
        world.vcpu("c:/one", "0", 10),
        world.vcpu("c:/three", "0", 10),
    ];
    world.pass(200);
    let used = world.used_in(10_000, &tasks);
    near(used[1] / used[0], 3.0, 0.03);
    near(used.iter().sum(), 10_000.0, 0.03);
}

#[test]
fn shares_are_of_groups_and_not_of_their_tasks() {
    let mut world = World::new(1);
    world.mkdir("c:/one", &[]);
    world.mkdir("c:/many", &[]);
    let one = world.vcpu("c:/one", "0", 10);
    let many: Vec<TaskId> = (0..4).map(|_| world.vcpu("c:/many", "0", 10)).collect();
    world.pass(500);
    let used = world.used_in(10_000, &[&[one][..], &many].concat());
    near(used[0], 5_000.0, 0.05);
    near(used[1..].iter().sum(), 5_000.0, 0.05);
}

#[test]
fn three_siblings_divide_two_cpus_by_their_shares() {
    let mut world = World::new(2);
    let mut tasks = Vec::new();
    for (path, shares) in [("c:/one", 1024), ("c:/two", 2048), ("c:/three", 3072)] {
        world.mkdir(path, &[(SHARES, shares)]);
        tasks.extend([(); 2].map(|()| world.vcpu(path, "0-1", 10)));
    }
    world.pass(3_000);
    let used = world.used_in(20_000, &tasks);
    for (pair, times) in used.chunks(2).zip(1..) {
        near(pair.iter().sum(), f64::from(times) * 40_000.0 / 6.0, 0.02);
    }
}

#[test]
fn shares_divide_what_the_group_above_gets() {
    let mut world = World::new(1);
    world.mkdir("c:/a", &[(SHARES, 3072)]);
    world.mkdir("c:/a/x", &[(SHARES, 512)]);
    world.mkdir("c:/a/y", &[(SHARES, 1024)]);
    world.mkdir("c:/b", &[]);
    let paths = ["c:/a/x", "c:/a/y", "c:/b"];
    let tasks = paths.map(|path| world.vcpu(path, "0", 10));
    world.pass(500);
    let used = world.used_in(20_000, &tasks);
    near(used[0] + used[1], 15_000.0, 0.05);
    near(used[1] / used[0], 2.0, 0.1);
}

#[test]
fn nobody_is_held_for_a_sibling_on_other_cpus_or_one_that_is_idle() {
    let mut world = World::new(2);
    world.mkdir("c:/one", &[(SHARES, 2)]);
    world.mkdir("c:/apart", &[(SHARES, 262_144)]);
    world.mkdir("c:/idle", &[(SHARES, 262_144)]);
    let tasks = [
        world.vcpu("c:/one", "0", 10),
        world.vcpu("c:/apart", "1", 10),
    ];
    world.vcpu("c:/idle", "0-1", 0);
    assert_eq!(world.pass(5_000), 0);
    assert_eq!(world.used_in(1_000, &tasks), [1_000.0, 1_000.0]);
}

#[test]
fn nobody_is_held_for_a_sibling_that_has_all_the_cpus_that_it_can_use() {
    let mut world = World::new(2);
    world.mkdir("c:/one", &[(SHARES, 1024)]);
    world.mkdir("c:/three", &[(SHARES, 3072)]);
    // Three tasks on two CPUs: the group that is behind has one task, and so one CPU at most.
    let one = [
        world.vcpu("c:/one", "0-1", 10),
        world.vcpu("c:/one", "0-1", 10),
    ];
    let three = world.vcpu("c:/three", "0-1", 10);
    world.pass(500);
    let used = world.used_in(10_000, &[one[0], one[1], three]);
    near(used.iter().sum(), 20_000.0, 0.02);
    near(used[2], 10_000.0, 0.05);
}

#[test]
fn for_a_sibling_that_wants_a_part_of_the_time_little_is_wasted() {
    for wants in [1, 2, 4, 6] {
        let mut world = World::new(1);
        world.mkdir("c:/one", &[(SHARES, 1024)]);
        world.mkdir("c:/three", &[(SHARES, 3072)]);
        world.vcpu("c:/one", "0", 10);
        let part = world.vcpu("c:/three", "0", wants);
        world.pass(3_000);
        let before = world.threads[&part].used;
        let wasted = world.pass(10_000);
        assert!(
            wasted <= 600,
            "{wasted} of 10000 ms for one that wants {wants} of 10"
        );
        let used = (world.threads[&part].used - before) / MS;
        // Less than three quarters of a CPU is what the host's scheduler makes of it: half, where there are two.
        let least = wants.min(5);
        assert!(
            used >= least * 900,
            "{used} for one that wants {wants} of 10"
        );
    }
}

#[test]
fn who_wants_all_has_its_due_beside_one_that_wants_less_than_its_own() {
    for wants in [7, 8, 9] {
        let mut world = World::new(1);
        world.mkdir("c:/one", &[(SHARES, 1024)]);
        world.mkdir("c:/three", &[(SHARES, 3072)]);
        let all = world.vcpu("c:/one", "0", 10);
        let part = world.vcpu("c:/three", "0", wants);
        world.pass(3_000);
        let used = world.used_in(20_000, &[all, part]);
        assert!(used[0] >= 4_700.0, "{used:?} beside {wants} of 10");
        // And that is not taken from what the holds are for: beside an equal it would be half.
        assert!(used[1] >= 11_500.0, "{used:?} for {wants} of 10");
    }
}

#[test]
fn who_comes_back_after_a_rest_has_no_claim_from_it() {
    let mut world = World::new(1);
    world.mkdir("c:/a", &[]);
    world.mkdir("c:/b", &[]);
    let tasks = [world.vcpu("c:/a", "0", 10), world.vcpu("c:/b", "0", 0)];
    world.pass(5_000);
    world.threads.get_mut(&tasks[1]).unwrap().wants = 10;
    let used = world.used_in(1_000, &tasks);
    near(used[0], 500.0, 0.1);
    near(used[1], 500.0, 0.1);
}
