//! Quotas, one at a time.

use super::*;

#[test]
fn half_a_cpu_is_half_a_cpu() {
    let mut world = World::new(1);
    world.mkdir("c:/half", &[(QUOTA, 50_000)]);
    let task = world.vcpu("c:/half", "0", 10);
    near(world.used_in(10_000, &[task])[0], 5_000.0, 0.02);
    let stat = world.stat("c:/half");
    near(stat.nr_periods as f64, 100.0, 0.02);
    near(stat.nr_throttled as f64, 100.0, 0.02);
    near(stat.throttled.0 as f64, 5_000.0 * MS as f64, 0.05);
}

#[test]
fn with_neither_limits_nor_siblings_it_never_ticks() {
    let mut world = World::new(2);
    world.mkdir("c:/a", &[]);
    let task = world.vcpu("c:/a", "0", 10);
    assert_eq!(world.used_in(1_000, &[task]), [1_000.0]);
    // One tick after a change finds that there is nothing to do.
    assert!(world.ticks <= 1, "{} ticks", world.ticks);
    assert_eq!(world.throttle.due(), None);
    // And none once what there was is gone.
    world.write("c:/a", QUOTA, 20_000);
    near(world.used_in(2_000, &[task])[0], 400.0, 0.1);
    world.write("c:/a", QUOTA, -1);
    world.pass(5);
    let ticks = world.ticks;
    assert_eq!(world.used_in(1_000, &[task]), [1_000.0]);
    assert_eq!((world.ticks, world.throttle.due()), (ticks, None));
}

#[test]
fn what_is_used_while_there_is_no_limit_is_no_debt_when_there_is_one() {
    let mut world = World::new(1);
    world.mkdir("c:/a", &[(QUOTA, 50_000)]);
    let task = world.vcpu("c:/a", "0", 10);
    world.pass(1_000);
    world.write("c:/a", QUOTA, -1);
    world.pass(3_000);
    let throttled = world.stat("c:/a").throttled;
    world.write("c:/a", QUOTA, 50_000);
    near(world.used_in(1_000, &[task])[0], 500.0, 0.1);
    let after = world.stat("c:/a").throttled;
    near((after.0 - throttled.0) as f64, 500.0 * MS as f64, 0.15);
}

#[test]
fn an_idle_group_is_not_held_and_its_periods_are_not_counted() {
    let mut world = World::new(1);
    world.mkdir("c:/a", &[(QUOTA, 50_000)]);
    let task = world.vcpu("c:/a", "0", 0);
    world.pass(5_000);
    assert_eq!(world.stat("c:/a"), CpuStat::default());
    world.threads.get_mut(&task).unwrap().wants = 3;
    near(world.used_in(2_000, &[task])[0], 600.0, 0.02);
    let stat = world.stat("c:/a");
    assert_eq!((stat.nr_throttled, stat.throttled.0), (0, 0));
    assert!(stat.nr_periods >= 19, "{stat:?}");
}

#[test]
fn a_quota_is_of_all_tasks_below_together_and_the_narrowest_counts() {
    let mut world = World::new(4);
    world.mkdir("c:/a", &[(QUOTA, 150_000)]);
    world.mkdir("c:/a/x", &[(QUOTA, 20_000)]);
    let narrow = world.vcpu("c:/a/x", "0", 10);
    let wide = [world.vcpu("c:/a", "1", 10), world.vcpu("c:/a", "2", 10)];
    let used = world.used_in(10_000, &[narrow, wide[0], wide[1]]);
    near(used[0], 2_000.0, 0.03);
    near(used.iter().sum(), 15_000.0, 0.03);
}

#[test]
fn who_leaves_a_held_group_or_ends_in_it_is_held_no_more() {
    let mut world = World::new(1);
    world.mkdir("c:/a", &[(QUOTA, 1_000), (PERIOD, 1_000_000)]);
    let tasks = [(); 2].map(|()| world.vcpu("c:/a", "0", 10));
    world.pass(100);
    assert_eq!(world.throttle.held().len(), 2);
    world.attach(tasks[0], "c:/");
    world.exit(tasks[1]);
    world.pass(2);
    assert!(world.throttle.held().is_empty());
    world.run(&[Command::Rmdir {
        group: "c:/a".parse().unwrap(),
    }]);
    assert_eq!(world.used_in(100, &tasks[..1]), [100.0]);
    assert_eq!(world.throttle.due(), None);
}

#[test]
fn reading_many_tasks_takes_no_more_than_a_twentieth_of_a_cpu() {
    let mut world = World::new(1);
    world.mkdir("c:/a", &[(QUOTA, 1_000), (PERIOD, 1_000)]);
    for _ in 0..500 {
        world.vcpu("c:/a", "0", 1);
    }
    world.pass(10);
    let ticks = world.ticks;
    world.pass(1_000);
    assert!(world.ticks - ticks <= 101, "{} ticks", world.ticks - ticks);
}
