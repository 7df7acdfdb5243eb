//! The framework and its model side by side: each step done to both, and both compared.

use std::collections::{BTreeMap, BTreeSet};

use container_core::*;

use crate::mirror::Mirror;
use crate::model::{HIERARCHIES, Model, Mounting};
use crate::support::*;
use crate::{Op, Place, Step, model, mounting, remounting};

/// The framework, its model, and a host that does what it is told.
pub struct Pair {
    pub framework: Framework,
    pub model: Model,
    pub pins: BTreeMap<TaskId, CpuSet>,
    /// What the host's cpu controller was told.
    pub mirror: Mirror,
    /// Whom it was told to keep out of their guests.
    pub frozen: BTreeSet<TaskId>,
    /// Every id that was ever given, most of them born.
    pub ids: Vec<TaskId>,
}

impl Pair {
    pub fn new() -> Pair {
        let framework = Framework::new(host());
        let model = Model::new(&host());
        let mut pair = Pair {
            framework,
            model,
            pins: BTreeMap::new(),
            mirror: Mirror::default(),
            frozen: BTreeSet::new(),
            ids: Vec::new(),
        };
        let mut prelude: Vec<Command> = HIERARCHIES.map(mounting).into();
        for root in ["p:/", "b:/", "m:/", "n:/"] {
            prelude.push(write(root, "notify_on_release", "1"));
            prelude.extend(["a", "a/a", "a/b", "b"].map(|path| mkdir(&format!("{root}{path}"))));
        }
        for (path, cpus) in [
            ("p:/a", "0-1"),
            ("p:/a/a", "0"),
            ("p:/a/b", "1"),
            ("p:/b", "2-3"),
        ] {
            prelude.push(write(path, "cpuset.cpus", cpus));
            prelude.push(write(path, "cpuset.mems", "0"));
        }
        pair.run(&prelude);
        for kind in [TaskKind::Vcpu(0), TaskKind::Vcpu(1), TaskKind::Io] {
            pair.step(&Step::Batch(vec![Op::Fork { kind, parent: None }]));
        }
        pair
    }

    pub fn pick(&self, number: usize) -> TaskId {
        let living = self.model.tasks.iter().filter(|(_, task)| task.alive);
        let living: Vec<TaskId> = living.map(|(id, _)| *id).collect();
        match number {
            0 => self.ids.last().copied().unwrap_or(TaskId(u64::MAX)),
            _ if living.is_empty() => TaskId(u64::MAX),
            _ => living[number % living.len()],
        }
    }

    pub fn path(&self, place: &Place) -> String {
        match place {
            Place::Named(path) => path.clone(),
            Place::Standing(number) => {
                let nodes: Vec<_> = self.model.groups.keys().collect();
                self.model.path(*nodes[number % nodes.len()])
            }
            Place::Leaf(number) => self.leaf(*number, |_| true),
            Place::LeafOf(hierarchy, number) => self.leaf(*number, |of| of == *hierarchy),
        }
    }

    fn leaf(&self, number: usize, is_in: impl Fn(&str) -> bool) -> String {
        let groups = self.model.groups.iter();
        let is_leaf =
            |node: model::Node| node >= HIERARCHIES.len() && self.model.children(node).is_empty();
        let leaves = groups.filter(|(node, group)| is_leaf(**node) && is_in(group.hierarchy));
        let leaves: Vec<model::Node> = leaves.map(|(node, _)| *node).collect();
        let leaf = leaves.get(number % leaves.len().max(1)).copied();
        self.model.path(leaf.unwrap_or_default())
    }

    pub fn command(&mut self, op: &Op) -> Command {
        match op {
            Op::Mount(hierarchy) => mounting(hierarchy),
            Op::Unmount(hierarchy) => unmount(hierarchy),
            Op::Remount(hierarchy, debug) => remounting(hierarchy, *debug),
            Op::Mkdir(place, name) => {
                let above = self.path(place);
                mkdir(&format!("{}/{name}", above.trim_end_matches('/')))
            }
            Op::Rmdir(place) => rmdir(&self.path(place)),
            Op::Rename(place, to) => rename(&self.path(place), to),
            Op::Write(place, file, value) => write(&self.path(place), file, value),
            Op::Attach(place, task) => attach(&self.path(place), self.pick(*task)),
            Op::Exit(task) => exit(self.pick(*task)),
            Op::Clone(task, subsystem) => clone(self.pick(*task), subsystem),
            Op::Reserve(task, bytes) => reserve(self.pick(*task), *bytes),
            Op::Fork { kind, parent } => {
                let parent = parent.map(|parent| self.pick(parent));
                let task = self.framework.allocate_task();
                self.ids.push(task);
                let machine = format!("m{}", task.0 % 20).parse().unwrap();
                let tid = Tid(u32::try_from(task.0).unwrap());
                let name = TaskName {
                    machine,
                    kind: *kind,
                };
                Command::Fork {
                    task,
                    name,
                    tid,
                    parent,
                }
            }
        }
    }

    pub fn step(&mut self, step: &Step) {
        match step {
            Step::Batch(ops) => {
                let batch: Vec<Command> = ops.iter().map(|op| self.command(op)).collect();
                self.run(&batch);
            }
            Step::Charge(used) => {
                for id in self.ids.clone() {
                    self.charge(id, *used);
                }
            }
            Step::Obey(number) => self.obey(self.pick(*number)),
            Step::Credit(task, over) => self.credit(self.pick(*task), *over),
            Step::Resident(task, bytes) => self.resident(self.pick(*task), *bytes),
            Step::Allow(allowed) => {
                let allowed: CpuSet = allowed.parse().unwrap();
                let changed = HostResources {
                    allowed_cpus: allowed,
                    ..host()
                };
                let before = self.framework.snapshot();
                let plan = self.framework.plan_host_change(changed);
                assert_eq!(before, self.framework.snapshot());
                self.fail_at_every_effect(plan.effects());
                let cpus = self.cpus();
                let effects = plan.effects().to_vec();
                self.framework.commit(plan).unwrap();
                self.model.set_allowed(allowed.iter().collect());
                self.check_pins(&cpus, &effects);
            }
        }
        self.agree();
    }

    pub fn run(&mut self, batch: &[Command]) {
        let before = self.framework.snapshot();
        let cpus = self.cpus();
        let old = self.model.clone();
        let states = old.freezer_states();
        (self.model.releases, self.model.reset, self.model.born) = Default::default();
        let mut outcomes = batch
            .iter()
            .map(|command| self.model.apply(command))
            .enumerate();
        let expected = outcomes.find_map(|(index, outcome)| Some((index, outcome.err()?)));
        let planned = self.framework.plan(&Credentials::ROOT, batch);
        assert_eq!(
            before,
            self.framework.snapshot(),
            "a plan leaves the state as it was"
        );
        let refused = planned
            .as_ref()
            .err()
            .map(|refusal| (refusal.command, refusal.errno));
        assert_eq!(refused, expected, "{batch:?}: {planned:?}");
        let twin = Twin::attempt(&self.framework, &Credentials::ROOT, batch);
        let plan = match planned {
            Ok(plan) => plan,
            Err(refusal) => {
                twin.refused(&refusal);
                self.framework.count_failure(&refusal);
                let refused = std::mem::replace(&mut self.model, old);
                return self.model.count_failure(&refused);
            }
        };
        self.fail_at_every_effect(plan.effects());
        assert_eq!(
            before,
            self.framework.snapshot(),
            "a plan in hand changes nothing"
        );
        let stale = self.framework.plan(&Credentials::ROOT, &[]).unwrap();
        let effects = plan.effects().to_vec();
        let events = self.framework.commit(plan).unwrap();
        twin.agrees(&effects, &events, &self.framework);
        assert_eq!(
            self.framework.commit(stale).unwrap_err().errno,
            Errno::ESTALE
        );
        self.check_pins(&cpus, &effects);
        self.check_mirror(&effects);
        self.check_samples(&old, batch, &effects);
        self.check_releases(&events);
        self.check_freezes(&old, &effects);
        let model = &mut self.model;
        model.held.retain(|task| model.tasks[task].alive);
        self.check_frozen(&states, &events);
        self.let_go(&effects);
    }

    pub fn cpus(&self) -> BTreeMap<TaskId, CpuSet> {
        self.framework
            .tasks()
            .filter_map(|task| Some((task.id, task.cpus?)))
            .collect()
    }

    /// Carry out the first effects only, take them back, and the host is as it was.
    pub fn fail_at_every_effect(&self, effects: &[Effect]) {
        let before = self.mirror_of_living();
        for failing in 0..effects.len() {
            let (mut pins, mut frozen) = (self.pins.clone(), self.frozen.clone());
            let mut mirror = before.clone();
            for effect in &effects[..failing] {
                mirror.carry_out(effect);
                match effect {
                    Effect::Pin { task, cpus, .. } => drop(pins.insert(*task, *cpus)),
                    Effect::Freeze { task } => assert!(frozen.insert(*task)),
                    // Who is thawed is let go after the commit.
                    _ => {}
                }
            }
            for effect in effects[..failing].iter().rev() {
                mirror.take_back(effect);
                match effect {
                    Effect::Pin {
                        task,
                        before: Some(before),
                        ..
                    } => drop(pins.insert(*task, *before)),
                    Effect::Pin {
                        task, before: None, ..
                    } => drop(pins.remove(task)),
                    Effect::Freeze { task } => drop(frozen.remove(task)),
                    _ => {}
                }
            }
            assert_eq!(pins, self.pins, "failing at {failing} of {effects:?}");
            assert_eq!(frozen, self.frozen, "failing at {failing} of {effects:?}");
            assert_eq!(mirror, before, "failing at {failing} of {effects:?}");
        }
    }

    pub fn check_releases(&self, events: &[Event]) {
        let releases = events.iter().filter_map(|event| match event {
            Event::Released { group, agent } => Some((group.to_string(), agent.clone())),
            _ => None,
        });
        // One exit releases in the order of hierarchies, which remounting may change.
        let mut releases: Vec<_> = releases.collect();
        let mut expected = self.model.releases.clone();
        let in_order = HIERARCHIES
            .iter()
            .zip(self.framework.hierarchies())
            .all(|(a, b)| *a == &*b.name);
        if !in_order {
            releases.sort();
            expected.sort();
        }
        assert_eq!(releases, expected);
    }

    /// The framework is what the model says, and consistent in itself.
    pub fn agree(&self) {
        self.framework.check_invariants();
        let (framework, model) = (&self.framework, &self.model);
        for (root, name) in HIERARCHIES.into_iter().enumerate() {
            let walked = framework.walk(&name.parse().unwrap());
            if model.mounts[name].0 == Mounting::Gone {
                assert_eq!(walked.unwrap_err().errno, Errno::ENOENT);
                continue;
            }
            let walked: BTreeMap<String, GroupInfo> = walked
                .unwrap()
                .into_iter()
                .map(|info| (info.path.to_string(), info))
                .collect();
            let nodes = model.subtree(root);
            assert_eq!(walked.len(), nodes.len());
            for node in nodes {
                self.same_group(node, &walked[&model.path(node)]);
            }
        }
        let with_debug: Vec<String> = framework
            .hierarchies()
            .into_iter()
            .filter(|hierarchy| hierarchy.subsystems.contains(&"debug"))
            .map(|hierarchy| hierarchy.name.to_string())
            .collect();
        assert_eq!(with_debug, Vec::from_iter(model.debug.map(String::from)));
        for (id, task) in &model.tasks {
            let info = framework.task(*id).unwrap();
            assert_eq!((info.alive, info.usage.usage.0), (task.alive, task.usage));
            let standing = |name: &&str| model.mounts[name].0 != Mounting::Gone;
            let groups: BTreeSet<String> = info.groups.iter().map(GroupPath::to_string).collect();
            assert_eq!(groups.len(), info.groups.len(), "one group a hierarchy");
            if task.alive {
                let expected = HIERARCHIES.iter().filter(|name| standing(name));
                assert_eq!(
                    groups,
                    expected.map(|name| model.path(task.groups[name])).collect()
                );
            }
        }
        assert_eq!(framework.tasks().count(), model.tasks.len());
        let used: u64 = model.tasks.values().map(|task| task.usage).sum();
        assert_eq!(
            framework.ledger().groups.usage,
            Nanoseconds(used),
            "not a nanosecond lost"
        );
    }

    pub fn same_group(&self, node: model::Node, info: &GroupInfo) {
        let (model, group) = (&self.model, &self.model.groups[&node]);
        assert_eq!(
            info.tasks.iter().copied().collect::<BTreeSet<_>>(),
            model.members(node)
        );
        assert_eq!(info.notify_on_release, group.notify);
        if group.hierarchy == "b" {
            let bills = [info.own, info.removed, info.shown].map(|usage| usage.unwrap().usage.0);
            assert_eq!(bills, [group.own, group.removed, model.shown(node)]);
            self.reads_frozen(node, info);
        }
        if group.hierarchy == "m" && model.mounts["m"].0 == Mounting::Mounted {
            self.reads_memory(node, info);
        }
        if group.hierarchy == "x" && model.mounts["x"].0 == Mounting::Mounted {
            self.reads_limits(node, info);
        }
        if group.hierarchy == "p" {
            let requested: BTreeSet<u32> = info.requested_cpus.unwrap().iter().collect();
            assert_eq!(requested, group.cpus, "{}", info.path);
            let effective: BTreeSet<u32> = info.effective_cpus.unwrap().iter().collect();
            assert_eq!(effective, model.effective(node), "{}", info.path);
            self.apart_and_within(node);
            self.placed(node, info);
        }
    }
}
