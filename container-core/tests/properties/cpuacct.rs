//! What concerns cpuacct: who is billed, and whose counters are read for it.

use std::collections::BTreeSet;

use container_core::*;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::Model;
use crate::pair::Pair;
use crate::{Op, TASKS, places_in};

/// What concerns bills alone, most of it on the groups that the prelude makes.
pub fn cpuacct_ops() -> impl Strategy<Value = Op> {
    let places = || places_in("b", &["", "a", "a/a", "a/b", "b"]);
    let kinds = prop_oneof![(0..3u16).prop_map(TaskKind::Vcpu), Just(TaskKind::Io)];
    let names = select(vec!["a", "b"]);
    prop_oneof![
        8 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        3 => (kinds, proptest::option::of(0..TASKS))
            .prop_map(|(kind, parent)| Op::Fork { kind, parent }),
        2 => (0..TASKS).prop_map(Op::Exit),
        3 => (0..TASKS).prop_map(|task| Op::Clone(task, "cpuacct")),
        2 => places().prop_map(|place| Op::Write(place, "cpuacct.usage", "0")),
        1 => (places(), names).prop_map(|(place, name)| Op::Mkdir(place, name)),
        4 => places().prop_map(Op::Rmdir),
    ]
}

impl Pair {
    /// Charge what the task used since the last time; the dead and the unborn are refused.
    pub fn charge(&mut self, id: TaskId, used: u64) {
        let used = used * (id.0 % 3);
        let total = self.model.tasks.get(&id).map_or(0, |task| task.usage) + used;
        let reading = Reading {
            usage: Nanoseconds(total),
            cycles: Cycles(0),
        };
        let is_living = self.model.tasks.get(&id).is_some_and(|task| task.alive);
        // Wherever it is seen, and however it spends its time, the parts are the whole: that is one of
        // the invariants that are checked after each step.
        let seen = Observation {
            cpu: (used % 8) as u32,
            user: used % 5,
            system: used % 3,
        };
        assert_eq!(self.framework.observe(id, seen).is_ok(), is_living);
        assert_eq!(self.framework.charge(id, reading).is_ok(), is_living);
        if is_living {
            self.model.charge(id, used);
        }
    }

    /// Take back what a task was billed too much; the dead and the unborn are refused.
    pub fn credit(&mut self, id: TaskId, over: u64) {
        let usage = Nanoseconds(over);
        let credited = self.framework.credit(
            id,
            Usage {
                usage,
                ..Usage::ZERO
            },
        );
        if self.model.tasks.get(&id).is_some_and(|task| task.alive) {
            let usage = Nanoseconds(self.model.credit(id, over));
            assert_eq!(
                credited,
                Ok(Usage {
                    usage,
                    ..Usage::ZERO
                })
            );
        } else {
            assert_eq!(credited.unwrap_err().errno, Errno::ESRCH);
        }
    }

    /// One sample for each task that is billed elsewhere than before or whose bill is reset.
    pub fn check_samples(&self, old: &Model, batch: &[Command], effects: &[Effect]) {
        let is_due = |id: &TaskId| {
            let (before, after) = (old.tasks.get(id), &self.model.tasks[id]);
            let moved = before.is_some_and(|task| task.groups["b"] != after.groups["b"]);
            after.alive && before.is_some() && (moved || self.model.reset.contains(id))
        };
        let expected: BTreeSet<TaskId> = self.model.tasks.keys().copied().filter(is_due).collect();
        let samples: Vec<TaskId> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Sample { task } => Some(*task),
                _ => None,
            })
            .collect();
        let distinct: BTreeSet<TaskId> = samples.iter().copied().collect();
        assert_eq!(distinct.len(), samples.len(), "one sample a task");
        // A root that went and came back is a new group to those that left it and returned.
        if !batch
            .iter()
            .any(|command| matches!(command, Command::Unmount { .. }))
        {
            assert_eq!(distinct, expected, "{batch:?}");
        }
    }
}
