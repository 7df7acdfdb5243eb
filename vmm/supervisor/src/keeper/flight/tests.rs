//! Law 3: the real framework's plans in hands that fail where they are told to, at every effect.
//!
//! A case is a random tree with tasks in it, grown by flights that succeed, and one change, random as
//! well. The host is a map from thread to mask, a set of threads that are frozen, and a map of cpu groups and who
//! counts in them. The change is planned anew for each way of failing:
//! until a commit the framework stays as it was, and that is part of what is tested.

use std::collections::{BTreeMap, BTreeSet};

use container_core::{
    Bytes, Command, CpuGroup, CpuLimits, Credentials, Cycles, Framework, HostResources,
    Nanoseconds, Reading, Tid,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// What a thread may use before it is first confined.
const ALL_CPUS: &str = "0-5";
/// What the framework may give.
const ALLOWED_CPUS: &str = "0-3";

/// How the hands fail.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Refused, and nothing done.
    Refuse,
    /// Half of the CPUs are in force, or all of a limit, and then it is refused.
    HalfWay,
    /// The thread has ended, and stays so.
    End,
}

/// What the hands were asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Pin(TaskId),
    Sample(TaskId),
    Freeze(TaskId),
    Restore(TaskId),
    Limit(CpuGroup),
    Enroll(TaskId),
}

/// A host that is what stands in these maps.
#[derive(Clone, Debug, Default)]
struct FakeHost {
    masks: BTreeMap<TaskId, CpuSet>,
    frozen: BTreeSet<TaskId>,
    limits: BTreeMap<CpuGroup, CpuLimits>,
    enrolled: BTreeMap<TaskId, CpuGroup>,
    calls: Vec<Call>,
    /// By the number of the effect, from 0.
    faults: BTreeMap<usize, Fault>,
    ended: BTreeSet<TaskId>,
    /// Threads that cannot be put back, once something has failed.
    stuck: BTreeSet<TaskId>,
    has_failed: bool,
}

/// What is in force: each thread's CPUs, who is frozen, each cpu group's limits, and who counts in which.
type InForce = (
    BTreeMap<TaskId, CpuSet>,
    BTreeSet<TaskId>,
    BTreeMap<CpuGroup, CpuLimits>,
    BTreeMap<TaskId, CpuGroup>,
);

impl FakeHost {
    /// The same threads, without a history.
    fn with_faults(&self, faults: impl IntoIterator<Item = (usize, Fault)>) -> FakeHost {
        FakeHost {
            masks: self.masks.clone(),
            frozen: self.frozen.clone(),
            limits: self.limits.clone(),
            enrolled: self.enrolled.clone(),
            faults: faults.into_iter().collect(),
            ..FakeHost::default()
        }
    }

    fn in_force(&self) -> InForce {
        (
            self.masks.clone(),
            self.frozen.clone(),
            self.limits.clone(),
            self.enrolled.clone(),
        )
    }

    /// All of that but what is of these threads.
    fn without(&self, tasks: &BTreeSet<TaskId>) -> InForce {
        let (mut masks, mut frozen, limits, mut enrolled) = self.in_force();
        masks.retain(|task, _| !tasks.contains(task));
        frozen.retain(|task| !tasks.contains(task));
        enrolled.retain(|task, _| !tasks.contains(task));
        (masks, frozen, limits, enrolled)
    }

    /// Note the call. What is to go wrong with it, unless its thread has ended or does so now.
    fn called(&mut self, call: Call, task: TaskId) -> Result<Option<Fault>, HandError> {
        let fault = self.fault_of(call);
        if fault == Some(Fault::End) {
            self.ended.insert(task);
        }
        match self.ended.contains(&task) {
            true => Err(HandError::Ended),
            false => Ok(fault),
        }
    }
}

impl FakeHost {
    fn fault_of(&mut self, call: Call) -> Option<Fault> {
        let fault = self.faults.remove(&self.calls.len());
        self.calls.push(call);
        self.has_failed |= fault.is_some_and(|fault| fault != Fault::End);
        fault
    }
}

fn refused() -> Result<(), HandError> {
    Err(HandError::Failed("told to fail".into()))
}

impl Hands for FakeHost {
    fn pin(&mut self, task: TaskId, cpus: &CpuSet) -> Result<(), HandError> {
        match self.called(Call::Pin(task), task)? {
            None => {
                self.masks.insert(task, *cpus);
                Ok(())
            }
            Some(Fault::HalfWay) => {
                self.masks.insert(task, cpus.iter().step_by(2).collect());
                refused()
            }
            Some(_) => refused(),
        }
    }

    fn restore(&mut self, task: TaskId, before: Option<&CpuSet>) -> Result<(), HandError> {
        self.called(Call::Restore(task), task)?;
        if self.stuck.contains(&task) {
            return refused();
        }
        let before = before.copied().unwrap_or_else(|| cpus(ALL_CPUS));
        self.masks.insert(task, before);
        Ok(())
    }

    fn sample(&mut self, task: TaskId) -> Result<(), HandError> {
        match self.called(Call::Sample(task), task)? {
            None => Ok(()),
            Some(_) => refused(),
        }
    }

    fn limit(
        &mut self,
        group: CpuGroup,
        parent: Option<CpuGroup>,
        limits: Option<&CpuLimits>,
    ) -> Result<(), HandError> {
        let fault = self.fault_of(Call::Limit(group));
        if fault == Some(Fault::Refuse) {
            return refused();
        }
        match limits {
            Some(limits) => {
                assert!(parent.is_none_or(|parent| self.limits.contains_key(&parent)));
                self.limits.insert(group, *limits);
            }
            None => drop(self.limits.remove(&group)),
        }
        if fault == Some(Fault::HalfWay) {
            return refused();
        }
        Ok(())
    }

    fn enroll(&mut self, task: TaskId, group: Option<CpuGroup>) -> Result<(), HandError> {
        // A thread that has ended counts where it did, for all that the effects can tell.
        let fault = self.called(Call::Enroll(task), task)?;
        if fault == Some(Fault::Refuse) || self.has_failed && self.stuck.contains(&task) {
            return refused();
        }
        match group {
            Some(group) => drop(self.enrolled.insert(task, group)),
            None => drop(self.enrolled.remove(&task)),
        }
        if fault.is_some() {
            return refused();
        }
        Ok(())
    }

    /// The real one refuses nothing; the way back is the same.
    fn freeze(&mut self, task: TaskId) -> Result<(), HandError> {
        let fault = self.called(Call::Freeze(task), task)?;
        if fault != Some(Fault::Refuse) {
            self.frozen.insert(task);
        }
        fault.map_or(Ok(()), |_| refused())
    }

    fn thaw(&mut self, task: TaskId) {
        self.frozen.remove(&task);
    }
}

/// A command in the making; a task is a number, modulo how many there ever were.
#[derive(Clone, Debug)]
enum Op {
    Mkcpuset(&'static str, &'static str),
    Mkdir(&'static str),
    Rmdir(&'static str),
    Write(&'static str, &'static str, &'static str),
    Attach(&'static str, usize),
    Born(bool, Option<usize>),
    Exit(usize),
    Reserve(usize, u64),
    Clone(usize),
}

/// What is carried out.
#[derive(Clone, Debug)]
enum Change {
    Commands(Vec<Command>),
    Host(&'static str),
}

/// A random case; what of its ops is refused, where it stands, is left out.
#[derive(Clone, Debug)]
struct Case {
    /// Whether the cpuset hierarchy comes only with the change: its tasks were never confined then.
    mounted_late: bool,
    before: Vec<Op>,
    change: Vec<Op>,
    /// CPUs that the host allows from now on, in place of the ops.
    hotplug: Option<&'static str>,
}

fn ops() -> impl Strategy<Value = Op> {
    let placed = || select(vec!["p:/", "p:/a", "p:/a/a", "p:/a/b", "p:/b", "p:/b/a"]);
    let billed = || select(vec!["b:/", "b:/x", "b:/x/y", "b:/z"]);
    let limited = || select(vec!["c:/", "c:/s", "c:/s/t", "c:/s/t/u", "c:/v"]);
    let quotas = || select(vec!["-1", "20000", "50000", "80000", "200000"]);
    let periods = || select(vec!["50000", "100000", "400000"]);
    let lists = || select(vec!["0", "1", "2", "3", "0-1", "1-2", "2-3", "1-3", "0-3"]);
    let placements = select(vec!["float", "one-to-one"]);
    let frozen = || select(vec!["f:/a", "f:/a/b", "f:/c"]);
    let states = select(vec!["FROZEN", "FROZEN", "THAWED"]);
    prop_oneof![
        4 => (frozen(), states).prop_map(|(group, to)| Op::Write(group, "freezer.state", to)),
        5 => (frozen(), 0..20usize).prop_map(|(group, task)| Op::Attach(group, task)),
        3 => (placed(), lists()).prop_map(|(group, cpus)| Op::Mkcpuset(group, cpus)),
        1 => billed().prop_map(Op::Mkdir),
        5 => (placed(), lists()).prop_map(|(group, cpus)| Op::Write(group, "cpuset.cpus", cpus)),
        2 => (placed(), placements).prop_map(|(group, to)| Op::Write(group, "cpuset.placement", to)),
        1 => billed().prop_map(|group| Op::Write(group, "cpuacct.usage", "0")),
        2 => limited().prop_map(Op::Mkdir),
        2 => limited().prop_map(Op::Rmdir),
        3 => (limited(), quotas()).prop_map(|(group, us)| Op::Write(group, "cpu.cfs_quota_us", us)),
        2 => (limited(), periods()).prop_map(|(group, us)| Op::Write(group, "cpu.cfs_period_us", us)),
        1 => limited().prop_map(|group| Op::Write(group, "cpu.shares", "512")),
        4 => (limited(), 0..20usize).prop_map(|(group, task)| Op::Attach(group, task)),
        9 => (placed(), 0..20usize).prop_map(|(group, task)| Op::Attach(group, task)),
        4 => (billed(), 0..20usize).prop_map(|(group, task)| Op::Attach(group, task)),
        3 => (any::<bool>(), proptest::option::of(0..20usize))
            .prop_map(|(is_vcpu, parent)| Op::Born(is_vcpu, parent)),
        1 => (0..20usize).prop_map(Op::Exit),
        3 => (0..20usize, 1..5u64).prop_map(|(task, pages)| Op::Reserve(task, pages * 4096)),
        2 => (billed(), select(vec!["0", "8192", "16384", "-1"]))
            .prop_map(|(group, limit)| Op::Write(group, "memory.limit_in_bytes", limit)),
        2 => (0..20usize).prop_map(Op::Clone),
    ]
}

/// Groups and tasks to begin with, so that few of the ops are refused.
fn beginnings() -> impl Strategy<Value = Vec<Op>> {
    let wide = || select(vec!["0-1", "0-2", "1-3", "0-3"]);
    let narrow = || select(vec!["0", "1", "1-2", "0-1", "2-3"]);
    let billed = ["b:/x", "b:/x/y", "b:/z"].map(Op::Mkdir);
    let others = ["c:/s", "c:/s/t", "f:/a", "f:/a/b", "f:/c"].map(Op::Mkdir);
    let born = [true, true, true, false, false, false].map(|is_vcpu| Op::Born(is_vcpu, None));
    (wide(), narrow(), wide(), narrow()).prop_map(move |(a, a_a, b, b_a)| {
        let placed = [("p:/a", a), ("p:/a/a", a_a), ("p:/b", b), ("p:/b/a", b_a)];
        let placed = placed.map(|(group, cpus)| Op::Mkcpuset(group, cpus));
        [&placed[..], &billed[..], &others[..], &born[..]].concat()
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let before = (beginnings(), proptest::collection::vec(ops(), 5..30))
        .prop_map(|(beginning, ops)| [beginning, ops].concat());
    let change = proptest::collection::vec(ops(), 1..15);
    let hotplug = prop_oneof![
        7 => Just(None),
        1 => select(vec!["0", "0-1", "2-3", "0-4"]).prop_map(Some),
    ];
    (proptest::bool::weighted(0.2), before, change, hotplug).prop_map(
        |(mounted_late, before, change, hotplug)| Case {
            mounted_late,
            before,
            change,
            hotplug,
        },
    )
}

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

fn write(group: &str, file: &str, value: &str) -> Command {
    Command::Write {
        group: group.parse().unwrap(),
        file: file.into(),
        value: value.into(),
    }
}

/// How a flight ended.
#[derive(Debug, PartialEq)]
enum Landing {
    Committed,
    RolledBack { failed: usize, drifted: Drifted },
}

/// The framework, its host, and a change that is about to be made.
struct World {
    framework: Framework,
    host: FakeHost,
    tasks: Vec<TaskId>,
    change: Change,
}

impl World {
    fn new(case: &Case) -> World {
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
        self.change = Change::Commands(chosen);
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
                write(group, "cpuset.cpus", cpus),
                write(group, "cpuset.mems", "0"),
            ],
            Op::Mkdir(group) => vec![Command::Mkdir {
                group: group.parse().unwrap(),
            }],
            Op::Rmdir(group) => vec![Command::Rmdir {
                group: group.parse().unwrap(),
            }],
            Op::Write(group, file, value) => vec![write(group, file, value)],
            Op::Attach(group, number) => vec![Command::Attach {
                group: group.parse().unwrap(),
                task: task(*number),
            }],
            Op::Exit(number) => vec![Command::Exit {
                task: task(*number),
            }],
            Op::Reserve(number, bytes) => vec![Command::Reserve {
                task: task(*number),
                bytes: Bytes(*bytes),
            }],
            Op::Clone(number) => vec![Command::Clone {
                task: task(*number),
                subsystem: "ns".into(),
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

    fn plan(&mut self) -> Plan {
        match &self.change {
            Change::Commands(commands) => {
                self.framework.plan(&Credentials::ROOT, commands).unwrap()
            }
            Change::Host(allowed) => self.framework.plan_host_change(resources(allowed)),
        }
    }

    /// The task of each effect on the way to the commit that is about one, in order.
    fn effects(&mut self) -> Vec<Option<TaskId>> {
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
    fn succeed(&mut self) {
        let mut host = self.host.with_faults([]);
        assert_eq!(self.fly(&mut host, &[1]), Landing::Committed);
        self.host = host;
    }

    /// Carry the change out in steps of these sizes, over and over, to its commit or its undoing.
    fn fly(&mut self, host: &mut FakeHost, budgets: &[usize]) -> Landing {
        let mut flight = Flight::new(self.plan());
        let mut budgets = budgets.iter().cycle();
        loop {
            match flight.step(host, *budgets.next().unwrap()) {
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
    fn agrees_with(&self, host: &FakeHost) {
        self.framework.check_invariants();
        let mut limits = BTreeMap::new();
        let mut enrolled = BTreeMap::new();
        for info in self.framework.cpu_groups() {
            limits.insert(info.group, info.limits);
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
            let mut expected = Drifted::default();
            for effect in plan.effects()[..=position].iter().rev() {
                match effect {
                    Effect::Pin { task, .. } if stuck.contains(task) => expected.pins.push(*task),
                    Effect::Enroll { task, .. } if stuck.contains(task) => {
                        expected.enrollments.push(*task);
                    }
                    _ => {}
                }
            }
            let tasks: BTreeSet<TaskId> = drifted.tasks().into_iter().collect();
            assert_eq!(drifted, expected);
            assert_eq!(host.without(&tasks), world.host.without(&tasks));
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
                let ended = host.ended.clone();
                assert_eq!(host.without(&ended), world.host.without(&ended));
                assert_eq!(world.framework.snapshot(), before);
            }
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
