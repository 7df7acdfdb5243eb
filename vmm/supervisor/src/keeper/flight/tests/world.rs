//! The real framework beside its host, and a change that is made to both or to neither.

use std::collections::BTreeMap;

use container_core::{
    Bytes, Command, CpuGroup, CpuSet, CpuStat, Credentials, Cycles, Effect, Framework, GroupPath,
    HostResources, Nanoseconds, Plan, Reading, TaskId, Tid,
};

use super::super::{Drifted, Flight, Hands, Step};
use super::cases::{Case, Op, Place};
use super::host::{ALL_CPUS, Call, FakeHost};

/// What the framework may give.
const ALLOWED_CPUS: &str = "0-3";

fn cpus(list: &str) -> CpuSet {
    list.parse().unwrap()
}

fn resources(allowed: &str) -> HostResources {
    HostResources {
        allowed_cpus: cpus(allowed),
        present_cpus: cpus(ALL_CPUS),
        possible_cpus: 8,
        mems: "0".parse().unwrap(),
    }
}

fn mount(hierarchy: &str, subsystems: &[&str]) -> Command {
    Command::Mount {
        hierarchy: hierarchy.parse().unwrap(),
        subsystems: subsystems.iter().map(|name| name.to_string()).collect(),
    }
}

fn write(group: GroupPath, file: &str, value: &str) -> Command {
    Command::Write {
        group,
        file: file.into(),
        value: value.into(),
    }
}

/// What is carried out.
#[derive(Clone, Debug)]
enum Change {
    Commands(Vec<Command>),
    Host(&'static str),
}

/// How a flight ended.
#[derive(Debug, PartialEq)]
pub enum Landing {
    Committed,
    RolledBack { failed: usize, drifted: Drifted },
}

/// The framework, its host, and a change that is about to be made.
pub struct World {
    pub framework: Framework,
    pub host: FakeHost,
    pub tasks: Vec<TaskId>,
    change: Change,
}

impl World {
    pub fn new(case: &Case) -> World {
        let mut world = World {
            framework: Framework::new(resources(ALLOWED_CPUS)),
            host: FakeHost::default(),
            tasks: Vec::new(),
            change: Change::Commands(vec![
                mount("b", &["cpuacct", "memory"]),
                mount("f", &["freezer"]),
                mount("n", &["ns"]),
                mount("c", &["cpu"]),
            ]),
        };
        world.succeed();
        if !case.mounted_late {
            world.change = Change::Commands(vec![mount("p", &["cpuset"])]);
            world.succeed();
        }
        for op in &case.before {
            world.choose(Vec::new(), std::slice::from_ref(op));
            world.succeed();
        }
        world.choose(vec![mount("p", &["cpuset"])], &case.change);
        if let Some(allowed) = case.hotplug {
            world.change = Change::Host(allowed);
        }
        world
    }

    /// Of the ops those that are not refused after the ones before them.
    fn choose(&mut self, mut chosen: Vec<Command>, ops: &[Op]) {
        for op in ops {
            let commands = self.commands(op);
            let trial = [&chosen[..], &commands[..]].concat();
            if self.framework.plan(&Credentials::ROOT, &trial).is_ok() {
                chosen = trial;
            }
        }
        let exits = chosen.iter().filter_map(|command| match command {
            Command::Exit { task } => Some(*task),
            _ => None,
        });
        self.host.exited.extend(exits);
        self.change = Change::Commands(chosen);
    }

    /// Where a place is, as things stand.
    fn group(&self, place: &Place) -> GroupPath {
        let (hierarchy, number) = match place {
            Place::Named(path) => return path.parse().unwrap(),
            Place::Leaf(hierarchy, number) => (hierarchy, number),
        };
        let groups = self.framework.walk(&hierarchy.parse().unwrap());
        let groups: Vec<GroupPath> = groups.into_iter().flatten().map(|it| it.path).collect();
        let is_leaf = |path: &&GroupPath| {
            let mut parents = groups.iter().filter_map(GroupPath::parent);
            path.parent().is_some() && !parents.any(|parent| parent == **path)
        };
        let leaves: Vec<&GroupPath> = groups.iter().filter(is_leaf).collect();
        match leaves.get(number % leaves.len().max(1)) {
            Some(leaf) => (*leaf).clone(),
            None => format!("{hierarchy}:/").parse().unwrap(),
        }
    }

    fn commands(&mut self, op: &Op) -> Vec<Command> {
        let task = |number: usize| match self.tasks.len() {
            0 => TaskId(u64::MAX),
            len => self.tasks[number % len],
        };
        match op {
            Op::Mkcpuset(group, cpus) => vec![
                Command::Mkdir {
                    group: group.parse().unwrap(),
                },
                write(group.parse().unwrap(), "cpuset.cpus", cpus),
                write(group.parse().unwrap(), "cpuset.mems", "0"),
            ],
            Op::Mkdir(group) => vec![Command::Mkdir {
                group: group.parse().unwrap(),
            }],
            Op::Rmdir(place) => vec![Command::Rmdir {
                group: self.group(place),
            }],
            Op::Write(place, file, value) => vec![write(self.group(place), file, value)],
            Op::Attach(place, number) => vec![Command::Attach {
                group: self.group(place),
                task: task(*number),
            }],
            Op::Exit(number) => vec![Command::Exit {
                task: task(*number),
            }],
            Op::Reserve(number, bytes) => vec![Command::Reserve {
                task: task(*number),
                bytes: Bytes(*bytes),
            }],
            Op::Clone(number, by) => vec![Command::Clone {
                task: task(*number),
                subsystem: (*by).into(),
            }],
            Op::Born(is_vcpu, parent) => {
                let parent = parent.map(task);
                vec![self.birth(*is_vcpu, parent)]
            }
        }
    }

    /// A thread that runs on all CPUs, and the command that takes it in.
    fn birth(&mut self, is_vcpu: bool, parent: Option<TaskId>) -> Command {
        let task = self.framework.allocate_task();
        self.tasks.push(task);
        self.host.masks.insert(task, cpus(ALL_CPUS));
        let kind = if is_vcpu { "vcpu0" } else { "io" };
        Command::Fork {
            task,
            name: format!("m{}/{kind}", task.0).parse().unwrap(),
            tid: Tid(1 + task.0 as u32),
            parent,
        }
    }

    pub fn plan(&mut self) -> Plan {
        match &self.change {
            Change::Commands(commands) => {
                self.framework.plan(&Credentials::ROOT, commands).unwrap()
            }
            Change::Host(allowed) => self.framework.plan_host_change(resources(allowed)),
        }
    }

    /// The task of each effect on the way to the commit that is about one, in order.
    pub fn effects(&mut self) -> Vec<Option<TaskId>> {
        let plan = self.plan();
        let thaws = plan.effects().iter().rev();
        let thaws = thaws.take_while(|effect| matches!(effect, Effect::Thaw { .. }));
        let on_the_way = plan.effects().len() - thaws.count();
        let of = |effect: &Effect| match effect {
            Effect::Pin { task, .. }
            | Effect::Sample { task }
            | Effect::Freeze { task }
            | Effect::Enroll { task, .. } => Some(*task),
            Effect::Limit { .. } => None,
            Effect::Thaw { .. } => panic!("a thaw before the last of the others"),
        };
        plan.effects()[..on_the_way].iter().map(of).collect()
    }

    /// Carry the change out in hands that do as they are told.
    pub fn succeed(&mut self) {
        let mut host = self.host.with_faults([]);
        assert_eq!(self.fly(&mut host, &[1]), Landing::Committed);
        self.host = host;
    }

    /// Carry the change out in steps of these sizes, over and over, to its commit or its undoing.
    pub fn fly(&mut self, host: &mut FakeHost, budgets: &[usize]) -> Landing {
        let mut flight = Flight::new(self.plan());
        let mut budgets = budgets.iter().cycle();
        loop {
            let budget = flight.budget(*budgets.next().unwrap());
            let removes = flight.removes(budget).into_iter();
            let counted = removes.map(|(number, group)| (number, (group, counted(host, group))));
            let counted: Vec<_> = counted.collect();
            let step = flight.step(host, budget);
            let carried = counted
                .into_iter()
                .filter(|(number, _)| step.has_done(*number));
            let carried = carried.map(|(_, counted)| counted).collect();
            self.framework.carry_cpu_stats(&carried);
            match step {
                Step::More => {}
                Step::Complete => {
                    self.charge_sampled(host);
                    let thaws = flight.thaws();
                    self.note_memory();
                    self.framework.commit(flight.into_plan()).unwrap();
                    thaws.into_iter().for_each(|task| host.thaw(task));
                    return Landing::Committed;
                }
                Step::Failed { effect: failed, .. } => {
                    let drifted = flight.roll_back(host);
                    return Landing::RolledBack { failed, drifted };
                }
            }
        }
    }

    /// The files tell of all that was counted, whichever groups have been made again.
    pub fn counts_agree_with(&mut self, host: &FakeHost) {
        let groups: Vec<_> = self.framework.cpu_groups().collect();
        for info in groups {
            self.framework
                .note_cpu_stat(&info.path, |group| counted(host, group));
            let text = self
                .framework
                .read(&Credentials::ROOT, &info.path, "cpu.stat");
            let counts = host.counts.as_ref().unwrap();
            let [_, all] = counts.get(&info.group).copied().unwrap_or_default();
            assert!(
                text.as_ref()
                    .unwrap()
                    .starts_with(&format!("nr_periods {all}\n")),
                "{text:?} of {all}: {}",
                info.path
            );
        }
    }

    /// What the readings of the flight bring to light; the plan stays good.
    fn charge_sampled(&mut self, host: &FakeHost) {
        for call in &host.calls {
            if let Call::Sample(task) = call {
                let billed = self.framework.task(*task).unwrap().usage.usage;
                let reading = Reading {
                    usage: Nanoseconds(billed.0 + 7),
                    cycles: Cycles(0),
                };
                self.framework.charge(*task, reading).unwrap();
            }
        }
    }

    /// What is looked at while a flight is under way; the plan stays good.
    fn note_memory(&mut self) {
        let living = self.framework.tasks().filter(|task| task.alive);
        for task in living.map(|task| task.id).collect::<Vec<_>>() {
            let held = self.framework.memory(task).committed.0 / 2;
            self.framework.charge_memory(task, Bytes(held)).unwrap();
        }
    }

    /// Every thread that has not ended is confined as the framework says, or not at all, and frozen if it
    /// says so.
    pub fn agrees_with(&self, host: &FakeHost) {
        self.framework.check_invariants();
        let mut limits = BTreeMap::new();
        let mut enrolled = BTreeMap::new();
        for info in self.framework.cpu_groups() {
            limits.insert(info.group, (info.parent, info.limits));
            enrolled.extend(info.tasks.into_iter().map(|task| (task, info.group)));
        }
        assert_eq!(host.limits, limits);
        let lives = |task: &TaskId| {
            let info = self.framework.task(*task);
            info.is_some_and(|info| info.alive) && !host.ended.contains(task)
        };
        for (task, group) in enrolled.into_iter().filter(|(task, _)| lives(task)) {
            assert_eq!(host.enrolled.get(&task), Some(&group), "{task}");
        }
        let living = self.framework.tasks().filter(|task| task.alive);
        for task in living.filter(|task| !host.ended.contains(&task.id)) {
            let expected = task.cpus.unwrap_or_else(|| cpus(ALL_CPUS));
            assert_eq!(host.masks[&task.id], expected, "{}", task.name);
            let is_frozen = self.framework.is_to_be_held(task.id);
            assert_eq!(host.frozen.contains(&task.id), is_frozen, "{}", task.name);
        }
    }
}

/// What the host has counted of a group since it was made there.
fn counted(host: &FakeHost, group: CpuGroup) -> Option<CpuStat> {
    let [nr_periods, _] = host
        .counts
        .as_ref()?
        .get(&group)
        .copied()
        .unwrap_or_default();
    Some(CpuStat {
        nr_periods,
        ..CpuStat::default()
    })
}
