//! Random commands against the framework and against a naive model of it.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

#[path = "support/model.rs"]
mod model;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use container_core::*;
use model::{HIERARCHIES, Model, Mounting};
use proptest::prelude::*;
use proptest::sample::select;
use support::*;

/// A group as a generated command names it: mostly one that is there.
#[derive(Clone, Debug)]
enum Place {
    /// One of those in the model, modulo their number.
    Standing(usize),
    /// One of those that have no children and are no roots.
    Leaf(usize),
    Named(String),
}

/// A command in the making. Tasks are numbers: 0 is the id allocated last, dead or unborn as it
/// may be, the others stand for living ones.
#[derive(Clone, Debug)]
enum Op {
    Mount(&'static str),
    Unmount(&'static str),
    Mkdir(Place, &'static str),
    Rmdir(Place),
    Rename(Place, &'static str),
    Write(Place, &'static str, &'static str),
    Attach(Place, usize),
    Fork {
        kind: TaskKind,
        parent: Option<usize>,
    },
    Exit(usize),
    Clone(usize, &'static str),
    Reserve(usize, u64),
}

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<Op>),
    Charge(u64),
    Credit(usize, u64),
    Resident(usize, u64),
    Allow(&'static str),
}

const TASKS: usize = 20;

fn places() -> impl Strategy<Value = Place> {
    let paths = (
        select(HIERARCHIES.to_vec()),
        select(vec!["", "a", "b", "a/b", "b/a"]),
    );
    prop_oneof![
        9 => (0..60usize).prop_map(Place::Standing),
        9 => (0..60usize).prop_map(Place::Leaf),
        1 => paths.prop_map(|(hierarchy, path)| Place::Named(format!("{hierarchy}:/{path}"))),
    ]
}

fn writes() -> impl Strategy<Value = (&'static str, &'static str)> {
    let flags = select(vec![
        "notify_on_release",
        "cgroup.clone_children",
        "cpuset.cpu_exclusive",
        "cpuset.mem_exclusive",
    ]);
    let cpus = vec![
        "0", "1", "2", "3", "0-1", "2-3", "0-3", "1-2", "0-3", "\n", "4", "7", "8",
    ];
    prop_oneof![
        6 => (Just("cpuset.cpus"), select(cpus)),
        3 => (Just("cpuset.mems"), select(vec!["0", "0", "0", "\n", "1"])),
        6 => (flags, select(vec!["0", "1"])),
        3 => (Just("cpuset.placement"), select(vec!["float", "one-to-one"])),
        1 => (Just("cpuacct.usage"), Just("0")),
        1 => (Just("release_agent"), select(vec!["/one", "/two"])),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let kinds = prop_oneof![2 => (0..4u16).prop_map(TaskKind::Vcpu), 1 => Just(TaskKind::Io)];
    let names = || select(vec!["a", "b"]);
    prop_oneof![
        2 => select(HIERARCHIES.to_vec()).prop_map(Op::Mount),
        1 => select(HIERARCHIES.to_vec()).prop_map(Op::Unmount),
        8 => (places(), names()).prop_map(|(place, name)| Op::Mkdir(place, name)),
        12 => places().prop_map(Op::Rmdir),
        1 => (places(), names()).prop_map(|(place, to)| Op::Rename(place, to)),
        16 => (places(), writes()).prop_map(|(place, (file, value))| Op::Write(place, file, value)),
        20 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        8 => (kinds, proptest::option::of(0..TASKS))
            .prop_map(|(kind, parent)| Op::Fork { kind, parent }),
        4 => (0..TASKS).prop_map(Op::Exit),
        2 => (0..TASKS, select(vec!["cpuset", "ns"])).prop_map(|(task, by)| Op::Clone(task, by)),
    ]
}

/// What concerns cpusets alone, most of it on the groups that the prelude makes.
fn cpuset_ops() -> impl Strategy<Value = Op> {
    let places = || {
        let paths = select(vec!["p:/a", "p:/a/a", "p:/a/b", "p:/b"]);
        paths.prop_map(|path| Place::Named(path.into()))
    };
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
    ]
}

/// What concerns memory alone, most of it on the groups that the prelude makes.
fn memory_ops() -> impl Strategy<Value = Op> {
    let places = || {
        let paths = select(vec!["m:/", "m:/a", "m:/a/a", "m:/a/b", "m:/b"]);
        paths.prop_map(|path| Place::Named(path.into()))
    };
    let limits = select(vec![
        "0", "4096", "8192", "8192", "16384", "16384", "32768", "-1",
    ]);
    let values = prop_oneof![
        8 => (Just("memory.limit_in_bytes"), limits),
        1 => (Just("memory.failcnt"), Just("0")),
        1 => (Just("memory.max_usage_in_bytes"), Just("0")),
    ];
    let sizes = select(vec![0, 1, 4096, 5000, 8192, 16384]);
    let names = select(vec!["a", "b"]);
    prop_oneof![
        6 => (places(), values).prop_map(|(place, (file, value))| Op::Write(place, file, value)),
        6 => (0..TASKS, sizes).prop_map(|(task, size)| Op::Reserve(task, size)),
        8 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        3 => (0..TASKS).prop_map(|task| Op::Fork { kind: TaskKind::Control, parent: Some(task) }),
        2 => (0..TASKS).prop_map(Op::Exit),
        1 => (0..TASKS).prop_map(|task| Op::Clone(task, "cpuset")),
        1 => (places(), names).prop_map(|(place, name)| Op::Mkdir(place, name)),
        1 => places().prop_map(Op::Rmdir),
        1 => select(vec![Op::Unmount("m"), Op::Mount("m"), Op::Mount("m")]),
    ]
}

/// Births, each in a batch of its own or with what follows, clones, and moves that the rule of ns mostly forbids.
fn namespace_ops() -> impl Strategy<Value = Op> {
    let places = || {
        let paths = vec!["n:/", "n:/a", "n:/a/a", "n:/a/b", "n:/b"];
        prop_oneof![
            2 => select(paths).prop_map(|path| Place::Named(path.into())),
            1 => (0..60usize).prop_map(Place::Leaf),
        ]
    };
    prop_oneof![
        6 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        6 => (places(), Just(0)).prop_map(|(place, task)| Op::Attach(place, task)),
        4 => Just(Op::Fork { kind: TaskKind::Control, parent: None }),
        2 => (0..TASKS).prop_map(|task| Op::Fork { kind: TaskKind::Io, parent: Some(task) }),
        6 => (0..TASKS).prop_map(|task| Op::Clone(task, "ns")),
        4 => (0..TASKS).prop_map(Op::Exit),
        4 => places().prop_map(Op::Rmdir),
    ]
}

fn steps<S: Strategy<Value = Op>>(ops: fn() -> S) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => ops().prop_map(|op| Step::Batch(vec![op])),
        4 => proptest::collection::vec(ops(), 2..5).prop_map(Step::Batch),
        2 => (1..1000u64).prop_map(Step::Charge),
        2 => (0..TASKS, 0..2000u64).prop_map(|(task, over)| Step::Credit(task, over)),
        2 => (0..TASKS, 0..9000u64).prop_map(|(task, bytes)| Step::Resident(task, bytes)),
        1 => select(vec!["0-3", "0-3", "0-1", "1-3", "2"]).prop_map(Step::Allow),
    ];
    proptest::collection::vec(step, 20..80)
}

fn mounting(hierarchy: &str) -> Command {
    match hierarchy {
        "p" => mount("p", &["cpuset", "debug"]),
        "b" => mount("b", &["cpuacct"]),
        "m" => mount("m", &["memory"]),
        "n" => mount("n", &["ns"]),
        _ => mount("x", &[]),
    }
}

/// The framework, its model, and a host that does what it is told.
struct Pair {
    framework: Framework,
    model: Model,
    pins: BTreeMap<TaskId, CpuSet>,
    /// Every id that was ever given, most of them born.
    ids: Vec<TaskId>,
}

impl Pair {
    fn new() -> Pair {
        let framework = Framework::new(host());
        let model = Model::new(&host());
        let mut pair = Pair {
            framework,
            model,
            pins: BTreeMap::new(),
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

    fn pick(&self, number: usize) -> TaskId {
        let living = self.model.tasks.iter().filter(|(_, task)| task.alive);
        let living: Vec<TaskId> = living.map(|(id, _)| *id).collect();
        match number {
            0 => self.ids.last().copied().unwrap_or(TaskId(u64::MAX)),
            _ if living.is_empty() => TaskId(u64::MAX),
            _ => living[number % living.len()],
        }
    }

    fn path(&self, place: &Place) -> String {
        match place {
            Place::Named(path) => path.clone(),
            Place::Standing(number) => {
                let nodes: Vec<_> = self.model.groups.keys().collect();
                self.model.path(*nodes[number % nodes.len()])
            }
            Place::Leaf(number) => {
                let is_leaf = |node: &model::Node| {
                    *node >= HIERARCHIES.len() && self.model.children(*node).is_empty()
                };
                let nodes: Vec<_> = self.model.groups.keys().copied().filter(is_leaf).collect();
                let node = nodes.get(number % nodes.len().max(1)).copied();
                self.model.path(node.unwrap_or_default())
            }
        }
    }

    fn command(&mut self, op: &Op) -> Command {
        match op {
            Op::Mount(hierarchy) => mounting(hierarchy),
            Op::Unmount(hierarchy) => unmount(hierarchy),
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

    fn step(&mut self, step: &Step) {
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
            Step::Credit(task, over) => self.credit(self.pick(*task), *over),
            Step::Resident(task, bytes) => {
                let task = self.pick(*task);
                let noted = self.framework.charge_memory(task, Bytes(*bytes));
                let lives = self.model.tasks.get(&task).is_some_and(|task| task.alive);
                assert_eq!(
                    noted.map_err(|refusal| refusal.errno),
                    lives.then_some(()).ok_or(Errno::ESRCH)
                );
                if lives {
                    self.model.set_resident(task, *bytes);
                }
            }
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

    /// Charge what the task used since the last time; the dead and the unborn are refused.
    fn charge(&mut self, id: TaskId, used: u64) {
        let used = used * (id.0 % 3);
        let total = self.model.tasks.get(&id).map_or(0, |task| task.usage) + used;
        let reading = Reading {
            usage: Nanoseconds(total),
            cycles: Cycles(0),
        };
        let is_living = self.model.tasks.get(&id).is_some_and(|task| task.alive);
        assert_eq!(self.framework.charge(id, reading).is_ok(), is_living);
        if is_living {
            self.model.charge(id, used);
        }
    }

    /// Take back what a task was billed too much; the dead and the unborn are refused.
    fn credit(&mut self, id: TaskId, over: u64) {
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

    fn run(&mut self, batch: &[Command]) {
        let before = self.framework.snapshot();
        let cpus = self.cpus();
        let old = self.model.clone();
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
        let plan = match planned {
            Ok(plan) => plan,
            Err(refusal) => {
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
        assert_eq!(
            self.framework.commit(stale).unwrap_err().errno,
            Errno::ESTALE
        );
        self.check_pins(&cpus, &effects);
        self.check_samples(&old, batch, &effects);
        self.check_releases(&events);
    }

    fn cpus(&self) -> BTreeMap<TaskId, CpuSet> {
        self.framework
            .tasks()
            .filter_map(|task| Some((task.id, task.cpus?)))
            .collect()
    }

    /// Carry out the first effects only, take them back, and the host is as it was.
    fn fail_at_every_effect(&self, effects: &[Effect]) {
        for failing in 0..effects.len() {
            let mut pins = self.pins.clone();
            for effect in &effects[..failing] {
                if let Effect::Pin { task, cpus, .. } = effect {
                    pins.insert(*task, *cpus);
                }
            }
            for effect in effects[..failing].iter().rev() {
                match effect {
                    Effect::Pin {
                        task,
                        before: Some(before),
                        ..
                    } => pins.insert(*task, *before),
                    Effect::Pin {
                        task, before: None, ..
                    } => pins.remove(task),
                    Effect::Sample { .. } => None,
                };
            }
            assert_eq!(pins, self.pins, "failing at {failing} of {effects:?}");
        }
    }

    /// One pin for each task whose CPUs are others than before, and none for the rest.
    fn check_pins(&mut self, before: &BTreeMap<TaskId, CpuSet>, effects: &[Effect]) {
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
                Effect::Sample { .. } => None,
            })
            .collect();
        assert_eq!(pins.len(), expected.len(), "{pins:?}");
        assert_eq!(pins.into_iter().collect::<BTreeMap<_, _>>(), expected);
        self.pins = after;
    }

    /// One sample for each task that is billed elsewhere than before or whose bill is reset.
    fn check_samples(&self, old: &Model, batch: &[Command], effects: &[Effect]) {
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
                Effect::Pin { .. } => None,
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

    fn check_releases(&self, events: &[Event]) {
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
    fn agree(&self) {
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

    fn same_group(&self, node: model::Node, info: &GroupInfo) {
        let (model, group) = (&self.model, &self.model.groups[&node]);
        assert_eq!(
            info.tasks.iter().copied().collect::<BTreeSet<_>>(),
            model.members(node)
        );
        assert_eq!(info.notify_on_release, group.notify);
        if group.hierarchy == "b" {
            let bills = [info.own, info.removed, info.shown].map(|usage| usage.unwrap().usage.0);
            assert_eq!(bills, [group.own, group.removed, model.shown(node)]);
        }
        if group.hierarchy == "m" && model.mounts["m"].0 == Mounting::Mounted {
            let read = |file: &str| {
                let file = format!("memory.{file}");
                let text = self.framework.read(&Credentials::ROOT, &info.path, &file);
                text.unwrap().trim_end().parse::<u64>().unwrap()
            };
            let shown = [
                "usage_in_bytes",
                "max_usage_in_bytes",
                "limit_in_bytes",
                "failcnt",
            ]
            .map(read);
            let limit = group.limit.unwrap_or(9_223_372_036_854_771_712);
            let usage = model.resident(node);
            assert_eq!(
                shown,
                [usage, group.max_usage, limit, group.failcnt],
                "{}",
                info.path
            );
            assert_eq!(
                read("committed_bytes"),
                model.committed(node),
                "{}",
                info.path
            );
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

    /// Children ask for no more than their parent, and exclusive siblings for nothing in common.
    fn apart_and_within(&self, node: model::Node) {
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
    fn placed(&self, node: model::Node, info: &GroupInfo) {
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

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..Default::default()
    }
}

fn replay(steps: &[Step]) {
    let mut pair = Pair::new();
    for step in steps {
        pair.step(step);
    }
}

proptest! {
    #![proptest_config(cases(100))]

    /// Conservation with credits among the charges, one group a task and hierarchy, css_sets unique and counted, one release a
    /// transition, plans that leave no trace, and every errno.
    #[test]
    fn the_framework_is_what_its_naive_model_is(steps in steps(ops)) {
        replay(&steps);
    }

    /// No group past its limit; every byte with its machine, through moves, exits, clones and unmounts; each refusal by a limit
    /// counted, and only those.
    #[test]
    fn memory_stays_with_its_machine_and_within_limits(steps in steps(memory_ops)) {
        replay(&steps);
    }

    /// Nobody moves but down into an empty child of its group, and by birth; each that becomes empty is released.
    #[test]
    fn a_task_with_namespaces_stays_where_it_was_born_or_below(steps in steps(namespace_ops)) {
        replay(&steps);
    }

    /// Children within their parents, exclusive siblings apart, vCPUs one to one.
    #[test]
    fn cpusets_stay_within_and_apart(steps in steps(cpuset_ops)) {
        replay(&steps);
    }
}
