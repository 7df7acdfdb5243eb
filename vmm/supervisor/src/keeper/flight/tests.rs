//! Law 3: the real framework's plans in hands that fail where they are told to, at every effect.
//!
//! A case is a random tree with tasks in it, grown by flights that succeed, and one change, random as
//! well. The host is a map from thread to mask, a set of threads that are frozen, and a map of cpu groups and who
//! counts in them. The change is planned anew for each way of failing:
//! until a commit the framework stays as it was, and that is part of what is tested.

mod cases;
mod host;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use container_core::{Effect, TaskId};
use proptest::prelude::*;

use super::Drifted;
use cases::{Op, Place, cases};
use host::Fault;
use world::{Landing, World};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_change_that_fails_at_any_effect_leaves_no_trace(case in cases()) {
        let mut world = World::new(&case);
        let before = world.framework.snapshot();
        for position in 0..world.effects().len() {
            for fault in [Fault::Refuse, Fault::HalfWay] {
                let mut host = world.host.with_faults([(position, fault)]);
                let landing = world.fly(&mut host, &[1]);
                let drifted = Drifted::default();
                assert_eq!(landing, Landing::RolledBack { failed: position, drifted });
                assert_eq!(host.in_force(), world.host.in_force(), "{fault:?} at {position}");
                assert_eq!(world.framework.snapshot(), before, "{fault:?} at {position}");
            }
        }
        world.succeed();
        world.agrees_with(&world.host);
    }

    #[test]
    fn a_change_that_succeeds_is_in_force_for_every_living_task(case in cases()) {
        let mut world = World::new(&case);
        world.agrees_with(&world.host);
        world.succeed();
        world.agrees_with(&world.host);
    }

    #[test]
    fn the_tasks_that_cannot_be_put_back_are_drifted_and_no_others(
        case in cases(),
        stuck in any::<u64>(),
    ) {
        let mut world = World::new(&case);
        let before = world.framework.snapshot();
        let plan = world.plan();
        let stuck: BTreeSet<TaskId> =
            world.tasks.iter().copied().filter(|task| stuck >> (task.0 % 64) & 1 == 1).collect();
        for position in 0..world.effects().len() {
            let mut host = world.host.with_faults([(position, Fault::HalfWay)]);
            host.stuck = stuck.clone();
            let Landing::RolledBack { drifted, .. } = world.fly(&mut host, &[1]) else {
                panic!("committed with a failure at {position}");
            };
            let (mut expected, mut occupied) = (Drifted::default(), BTreeSet::new());
            for effect in plan.effects()[..=position].iter().rev() {
                match effect {
                    Effect::Pin { task, .. } if stuck.contains(task) => expected.pins.push(*task),
                    Effect::Enroll { task, group, .. } if stuck.contains(task) => {
                        expected.enrollments.push(*task);
                        occupied.extend(*group);
                    }
                    // Nothing removes a group with a task in it or a child below it.
                    Effect::Limit { group, parent, before: None, .. } if occupied.contains(group) => {
                        expected.limits.push(*group);
                        occupied.extend(*parent);
                    }
                    _ => {}
                }
            }
            assert_eq!(drifted, expected);
            assert_eq!(host.without(&drifted), world.host.without(&drifted));
            assert_eq!(world.framework.snapshot(), before);
        }
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn a_task_that_ends_at_any_effect_fails_nothing(case in cases()) {
        let effects = World::new(&case).effects();
        for position in 0..effects.len() {
            let mut world = World::new(&case);
            let mut host = world.host.with_faults([(position, Fault::End)]);
            assert_eq!(world.fly(&mut host, &[1]), Landing::Committed);
            world.agrees_with(&host);
        }
    }

    #[test]
    fn a_task_that_ended_on_the_way_is_not_drifted_by_the_way_back(case in cases()) {
        let mut world = World::new(&case);
        let before = world.framework.snapshot();
        let effects = world.effects();
        for failing in 0..effects.len() {
            let others = |ending: &usize| {
                effects[*ending].is_some() && effects[*ending] != effects[failing]
            };
            for ending in (0..failing).filter(others) {
                let faults = [(ending, Fault::End), (failing, Fault::HalfWay)];
                let mut host = world.host.with_faults(faults);
                let landing = world.fly(&mut host, &[1]);
                let drifted = Drifted::default();
                assert_eq!(landing, Landing::RolledBack { failed: failing, drifted });
                let ended = Drifted {
                    pins: host.ended.iter().copied().collect(),
                    ..Drifted::default()
                };
                assert_eq!(host.without(&ended), world.host.without(&ended));
                assert_eq!(world.framework.snapshot(), before);
            }
        }
    }

    #[test]
    fn a_way_back_takes_nothing_from_what_was_counted_of_cpu_groups(
        mut case in cases(),
        budget in 1..6usize,
    ) {
        // Whoever is in a group that is to go leaves it first.
        case.hotplug = None;
        case.change.extend((0..20).map(|task| Op::Attach(Place::Named("c:/"), task)));
        case.change.extend((0..4).map(|number| Op::Rmdir(Place::Leaf("c", number))));
        let effects = World::new(&case).effects().len();
        for position in 0..effects {
            let mut world = World::new(&case);
            let mut host = world.host.with_faults([(position, Fault::Refuse)]);
            host.counts = Some(BTreeMap::new());
            let landing = world.fly(&mut host, &[budget]);
            assert_ne!(landing, Landing::Committed);
            world.counts_agree_with(&host);
        }
    }

    #[test]
    fn batches_of_any_size_make_the_same_flight(
        case in cases(),
        budgets in proptest::collection::vec(1..6usize, 1..5),
    ) {
        let budgets = [&budgets[..], &[1], &[usize::MAX]];
        let effects = World::new(&case).effects().len();
        // As many plans in each, since plans that were dropped decide which freed slots are used next.
        let mut worlds = [(); 3].map(|()| World::new(&case));
        // The position past the last is a flight without a failure.
        for position in 0..=effects {
            let outcomes = [0, 1, 2].map(|index| {
                let world = &mut worlds[index];
                let mut host = world.host.with_faults([(position, Fault::HalfWay)]);
                let landing = world.fly(&mut host, budgets[index]);
                (landing, host.in_force(), host.calls, world.framework.snapshot())
            });
            assert_eq!(outcomes[0], outcomes[1]);
            assert_eq!(outcomes[0], outcomes[2]);
            assert_eq!(outcomes[0].0 == Landing::Committed, position == effects);
        }
    }
}
