//! What concerns the freezer: who is to be frozen, who is by the machines' word, and what is told of it.

use std::collections::{BTreeMap, BTreeSet};

use container_core::*;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::{Model, Mounting};
use crate::pair::Pair;
use crate::{Op, TASKS, model, places_in};

/// What concerns freezing alone, most of it on the groups that the prelude makes.
pub fn freezer_ops() -> impl Strategy<Value = Op> {
    let places = || places_in("b", &["", "a", "a/a", "a/b", "b"]);
    let states = select(vec!["FROZEN", "FROZEN", "THAWED"]);
    let kinds = prop_oneof![3 => (0..3u16).prop_map(TaskKind::Vcpu), 1 => Just(TaskKind::Io)];
    prop_oneof![
        6 => (places(), states).prop_map(|(place, to)| Op::Write(place, "freezer.state", to)),
        8 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        3 => (kinds, proptest::option::of(0..TASKS))
            .prop_map(|(kind, parent)| Op::Fork { kind, parent }),
        2 => (0..TASKS).prop_map(Op::Exit),
        2 => (0..TASKS).prop_map(|task| Op::Clone(task, "freezer")),
        1 => places().prop_map(Op::Rmdir),
        1 => (places(), select(vec!["a", "b"])).prop_map(|(place, name)| Op::Mkdir(place, name)),
        1 => Just(Op::Unmount("b")),
        1 => Just(Op::Mount("b")),
    ]
}

impl Pair {
    /// The machine does with a vCPU what it was told, and says so.
    pub fn obey(&mut self, id: TaskId) {
        let (before, frozen) = (self.model.freezer_states(), self.frozen.contains(&id));
        let told = self.framework.note_held(id, frozen);
        let Some(task) = self.model.tasks.get(&id).filter(|task| task.alive) else {
            assert_eq!(told.unwrap_err().errno, Errno::ESRCH);
            return;
        };
        if task.name.kind.is_vcpu() && frozen {
            self.model.held.insert(id);
        }
        self.check_frozen(&before, &told.unwrap());
        assert_eq!(
            self.framework.note_held(id, frozen),
            Ok(Vec::new()),
            "said twice"
        );
    }

    /// One freeze or thaw for each vCPU of which it is asked and was not, thaws last.
    pub fn check_freezes(&self, old: &Model, effects: &[Effect]) {
        let changed = |is: bool| {
            let changed = self.model.tasks.iter().filter(move |(id, task)| {
                task.alive && self.model.freezes(**id) == is && old.freezes(**id) != is
            });
            changed.map(|(id, _)| *id).collect::<BTreeSet<TaskId>>()
        };
        let of = |effects: &[Effect], is_thaw| {
            let tasks = effects.iter().filter_map(|effect| match effect {
                Effect::Thaw { task } if is_thaw => Some(*task),
                Effect::Freeze { task } if !is_thaw => Some(*task),
                _ => None,
            });
            tasks.collect::<Vec<TaskId>>()
        };
        let (freezes, thaws) = (of(effects, false), of(effects, true));
        assert_eq!(freezes.len(), changed(true).len(), "{effects:?}");
        assert_eq!(
            freezes.iter().copied().collect::<BTreeSet<_>>(),
            changed(true)
        );
        assert_eq!(
            thaws.iter().copied().collect::<BTreeSet<_>>(),
            changed(false)
        );
        assert_eq!(
            of(&effects[..freezes.len()], false),
            freezes,
            "first of all"
        );
        let rest = &effects[effects.len() - thaws.len()..];
        assert_eq!(of(rest, true), thaws, "last of all");
    }

    /// Just those groups are told of that were there before and stand elsewhere now; of those that the batch made
    /// it depends on the order in it.
    pub fn check_frozen(&self, before: &BTreeMap<model::Node, &str>, events: &[Event]) {
        let after = self.model.freezer_states();
        let was = |path: &GroupPath| {
            let mut nodes = after.keys();
            let node = nodes.find(|node| self.model.path(**node) == path.to_string());
            node.is_some_and(|node| before.contains_key(node))
        };
        let mut told = BTreeSet::new();
        for event in events {
            let (group, state) = match event {
                Event::GroupFrozen { group } => (group, "FROZEN"),
                Event::GroupThawed { group } => (group, "THAWED"),
                _ => continue,
            };
            assert!(
                !was(group) || told.insert((group.to_string(), state)),
                "twice"
            );
        }
        let expected = after.iter().filter(|(node, state)| {
            let changed = before.get(node).is_some_and(|before| before != *state);
            changed && **state != "FREEZING"
        });
        let expected = expected.map(|(node, state)| (self.model.path(*node), *state));
        assert_eq!(told, expected.collect());
    }

    /// What follows a commit: who is thawed is let go at once.
    pub fn let_go(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Freeze { task } => assert!(self.frozen.insert(*task)),
                Effect::Thaw { task } => {
                    assert!(self.frozen.remove(task));
                    self.model.held.remove(task);
                    assert_eq!(self.framework.note_held(*task, false), Ok(Vec::new()));
                }
                _ => {}
            }
        }
        let model = &self.model;
        self.frozen.retain(|task| model.tasks[task].alive);
        let expected = model
            .tasks
            .keys()
            .copied()
            .filter(|task| model.freezes(*task));
        assert_eq!(self.frozen, expected.collect());
    }

    /// The files of the freezer, where a group has them and commands reach it.
    pub fn reads_frozen(&self, node: model::Node, info: &GroupInfo) {
        if self.model.mounts["b"].0 != Mounting::Mounted {
            return;
        }
        let read = |file: &str| {
            let read = self.framework.read(&Credentials::ROOT, &info.path, file);
            read.map(|text| text.trim_end().to_owned())
        };
        let Some(parent) = self.model.groups[&node].parent else {
            assert_eq!(read("freezer.state").unwrap_err().errno, Errno::ENOENT);
            return;
        };
        let states = self.model.freezer_states();
        let flag = |flag: bool| Ok(u8::from(flag).to_string());
        assert_eq!(read("freezer.state").as_deref(), Ok(states[&node]));
        let asked = self.model.groups[&node].asked_frozen;
        assert_eq!(read("freezer.self_freezing"), flag(asked));
        assert_eq!(
            read("freezer.parent_freezing"),
            flag(states[&parent] != "THAWED")
        );
        let events = read("cgroup.events").unwrap();
        let frozen = u8::from(states[&node] == "FROZEN");
        assert!(events.ends_with(&format!("\nfrozen {frozen}")), "{events}");
    }
}
