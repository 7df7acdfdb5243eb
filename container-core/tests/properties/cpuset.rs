//! What concerns cpusets: which CPUs tasks are confined to, and what sets may stand beside each other.

use std::collections::BTreeMap;

use container_core::*;
use proptest::prelude::*;
use proptest::sample::select;

use crate::pair::Pair;
use crate::{Op, TASKS, model, places_in};

/// What concerns cpusets alone, most of it on the groups that the prelude makes.
pub fn cpuset_ops() -> impl Strategy<Value = Op> {
    let places = || places_in("p", &["a", "a/a", "a/b", "b"]);
    let cpus = select(vec!["0", "1", "2", "0-1", "1-2", "2-3", "0-3"]);
    let flags = select(vec!["0", "1", "1"]);
    let placements = select(vec!["float", "one-to-one", "one-to-one"]);
    let values = prop_oneof![
        6 => (Just("cpuset.cpus"), cpus),
        4 => (Just("cpuset.cpu_exclusive"), flags),
        2 => (Just("cpuset.placement"), placements),
    ];
    let vcpus = (0..3u16).prop_map(TaskKind::Vcpu);
    prop_oneof![
        12 => (places(), values).prop_map(|(place, (file, value))| Op::Write(place, file, value)),
        4 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        2 => (vcpus, 0..TASKS).prop_map(|(kind, task)| Op::Fork { kind, parent: Some(task) }),
        1 => (0..TASKS).prop_map(Op::Exit),
        2 => (0..TASKS).prop_map(|task| Op::Clone(task, "cpuset")),
        1 => places().prop_map(Op::Rmdir),
    ]
}

impl Pair {
    /// One pin for each task whose CPUs are others than before, and none for the rest.
    pub fn check_pins(&mut self, before: &BTreeMap<TaskId, CpuSet>, effects: &[Effect]) {
        let after = self.cpus();
        let changed = after
            .iter()
            .filter(|(task, cpus)| before.get(task) != Some(cpus));
        let expected: BTreeMap<TaskId, _> = changed
            .map(|(task, cpus)| (*task, (*cpus, before.get(task).copied())))
            .collect();
        let pins: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Pin { task, cpus, before } => Some((*task, (*cpus, *before))),
                _ => None,
            })
            .collect();
        assert_eq!(pins.len(), expected.len(), "{pins:?}");
        assert_eq!(pins.into_iter().collect::<BTreeMap<_, _>>(), expected);
        self.pins = after;
    }

    /// Children ask for no more than their parent, and exclusive siblings for nothing in common.
    pub fn apart_and_within(&self, node: model::Node) {
        let groups = &self.model.groups;
        let children = self.model.children(node);
        for (index, child) in children.iter().map(|child| &groups[child]).enumerate() {
            let parent = &groups[&node];
            assert!(parent.parent.is_none() || child.cpus.is_subset(&parent.cpus));
            assert!(child.cpu_exclusive <= parent.cpu_exclusive);
            for other in children[..index].iter().map(|child| &groups[child]) {
                let is_exclusive = child.cpu_exclusive || other.cpu_exclusive;
                assert!(!is_exclusive || child.cpus.is_disjoint(&other.cpus));
            }
        }
    }

    /// Floating tasks have all of the effective CPUs, seated vCPUs one each, the others the rest.
    pub fn placed(&self, node: model::Node, info: &GroupInfo) {
        let effective = info.effective_cpus.unwrap();
        let cpus = |task: &TaskId| self.framework.task(*task).unwrap().cpus.unwrap();
        let is_vcpu = |task: &&TaskId| self.model.tasks[task].name.kind.is_vcpu();
        if !self.model.groups[&node].one_to_one {
            assert!(info.tasks.iter().all(|task| cpus(task) == effective));
            return;
        }
        let vcpus: Vec<CpuSet> = info.tasks.iter().filter(is_vcpu).map(cpus).collect();
        let seats: CpuSet = vcpus
            .iter()
            .filter(|set| set.len() == 1)
            .filter_map(CpuSet::first)
            .collect();
        assert_eq!(
            seats.len(),
            vcpus.len().min(effective.len()),
            "each its own: {vcpus:?}"
        );
        assert!(seats.is_subset_of(&effective));
        let rest = effective - seats;
        let rest = if rest.is_empty() { effective } else { rest };
        assert!(
            info.tasks
                .iter()
                .filter(|task| !is_vcpu(task))
                .all(|task| cpus(task) == rest)
        );
    }
}
