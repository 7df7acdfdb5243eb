//! The throttle beside a host in which a millisecond is a step: a scheduler that is fair by thread and knows no group,
//! readings that are a tick behind, and holds that come a step late.

use container_core::{
    Command, Credentials, Framework, HostResources, MachineName, TaskKind, TaskName, Tid,
};
use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
/// The scheduler writes down what a running task has used so often.
const TICK_MS: u64 = 4;

/// A task's thread.
#[derive(Clone, Debug)]
struct Thread {
    cpus: CpuSet,
    /// Of every ten milliseconds it wants so many.
    wants: u64,
    used: u64,
    waited: u64,
    /// What the kernel has written down, and of a wait only its end.
    written: (u64, u64),
    /// What is left to do of the present ten milliseconds.
    left: u64,
    is_out: bool,
    /// Its place in the scheduler's queue: what it has used, but never behind those it comes back to.
    turn: u64,
    was_ready: bool,
}

/// Groups by a real framework, threads, and the throttle under test.
struct World {
    framework: Framework,
    throttle: Throttle,
    threads: BTreeMap<TaskId, Thread>,
    cpus: u32,
    now: u64,
    ticks: u64,
}

impl World {
    fn new(cpus: u32) -> World {
        let all: CpuSet = (0..cpus).collect();
        let framework = Framework::new(HostResources {
            allowed_cpus: all,
            present_cpus: all,
            possible_cpus: cpus,
            mems: "0".parse().unwrap(),
        });
        let mut world = World {
            framework,
            throttle: Throttle::default(),
            threads: BTreeMap::new(),
            cpus,
            now: MS,
            ticks: 0,
        };
        world.run(&[Command::Mount {
            hierarchy: "c".parse().unwrap(),
            subsystems: vec!["cpu".into()],
        }]);
        world
    }

    /// Carry a change out as the keeper does.
    fn run(&mut self, commands: &[Command]) {
        let plan = self.framework.plan(&Credentials::ROOT, commands).unwrap();
        for effect in plan.effects() {
            match effect {
                container_core::Effect::Limit {
                    group,
                    parent,
                    limits,
                    ..
                } => self.throttle.limit(*group, *parent, *limits),
                container_core::Effect::Enroll { task, group, .. } => {
                    self.throttle.enroll(*task, true, *group);
                }
                _ => {}
            }
        }
        self.framework.commit(plan).unwrap();
    }

    fn mkdir(&mut self, path: &str, files: &[(&str, u64)]) {
        let group = path.parse().unwrap();
        self.run(&[Command::Mkdir { group }]);
        for (file, value) in files {
            self.write(path, file, *value as i64);
        }
    }

    fn write(&mut self, path: &str, file: &str, value: i64) {
        self.run(&[Command::Write {
            group: path.parse().unwrap(),
            file: file.into(),
            value: value.to_string(),
        }]);
    }

    fn attach(&mut self, task: TaskId, path: &str) {
        let group = path.parse().unwrap();
        self.run(&[Command::Attach { group, task }]);
    }

    /// A vCPU in a group, on these CPUs, that wants so many of ten milliseconds.
    fn vcpu(&mut self, path: &str, cpus: &str, wants: u64) -> TaskId {
        let task = self.framework.allocate_task();
        let name = TaskName {
            machine: format!("m{task}").parse::<MachineName>().unwrap(),
            kind: TaskKind::Vcpu(0),
        };
        let birth = Command::Fork {
            task,
            name,
            tid: Tid(task.0 as u32),
            parent: None,
        };
        let group = path.parse().unwrap();
        self.run(&[birth, Command::Attach { group, task }]);
        let thread = Thread {
            cpus: cpus.parse().unwrap(),
            wants,
            used: 0,
            waited: 0,
            written: (0, 0),
            left: wants,
            is_out: false,
            turn: 0,
            was_ready: false,
        };
        self.threads.insert(task, thread);
        task
    }

    fn exit(&mut self, task: TaskId) {
        self.run(&[Command::Exit { task }]);
        self.throttle.forget(task);
        self.threads.remove(&task);
    }

    /// Let so many milliseconds pass. Returns for how many of them a CPU stood idle that somebody wanted who was held.
    fn pass(&mut self, milliseconds: u64) -> u64 {
        (0..milliseconds).map(|_| self.step()).sum()
    }

    fn step(&mut self) -> u64 {
        let held = self.throttle.held().clone();
        if self.throttle.due().is_some_and(|due| self.now >= due) {
            let threads = &self.threads;
            self.throttle.tick(self.now, |task| {
                let thread = threads.get(&task)?;
                Some(Observed {
                    used: thread.written.0,
                    waited: thread.written.1,
                    cpus: thread.cpus,
                })
            });
            self.ticks += 1;
        }
        let step = self.now / MS;
        let mut ready: Vec<TaskId> = Vec::new();
        for (id, thread) in &mut self.threads {
            if step.is_multiple_of(10) {
                thread.left = thread.wants;
            }
            // What was decided now takes until the next step to arrive.
            thread.is_out = held.contains(id);
            if thread.left > 0 && !thread.is_out {
                ready.push(*id);
            } else {
                thread.was_ready = false;
            }
        }
        let in_queue = ready
            .iter()
            .map(|id| &self.threads[id])
            .filter(|it| it.was_ready);
        let least = in_queue.map(|it| it.turn).min().unwrap_or(0);
        for id in &ready {
            let thread = self.threads.get_mut(id).unwrap();
            if !std::mem::replace(&mut thread.was_ready, true) {
                thread.turn = thread.turn.max(least);
            }
        }
        // In slices of some milliseconds.
        ready.sort_by_key(|id| self.threads[id].turn / (3 * MS));
        let mut free: BTreeSet<u32> = (0..self.cpus).collect();
        for id in ready {
            let thread = self.threads.get_mut(&id).unwrap();
            let cpu = free.iter().copied().find(|cpu| thread.cpus.contains(*cpu));
            match cpu {
                Some(cpu) => {
                    free.remove(&cpu);
                    thread.used += MS;
                    thread.turn += MS;
                    thread.left -= 1;
                    thread.written.1 = thread.waited;
                }
                None => {
                    thread.waited += MS;
                    thread.written.0 = thread.used;
                }
            }
            if step.is_multiple_of(TICK_MS) || thread.left == 0 {
                thread.written.0 = thread.used;
            }
        }
        self.now += MS;
        let wasted = |thread: &&Thread| {
            let has_room = thread.cpus.iter().any(|cpu| free.contains(&cpu));
            thread.is_out && thread.left > 0 && has_room
        };
        self.threads.values().filter(wasted).count().min(free.len()) as u64
    }

    /// What the tasks used in so many milliseconds.
    fn used_in(&mut self, milliseconds: u64, tasks: &[TaskId]) -> Vec<f64> {
        let before: Vec<u64> = tasks.iter().map(|task| self.threads[task].used).collect();
        self.pass(milliseconds);
        let used = tasks.iter().map(|task| self.threads[task].used);
        used.zip(before)
            .map(|(after, before)| (after - before) as f64 / MS as f64)
            .collect()
    }

    fn stat(&self, path: &str) -> CpuStat {
        let group = self.framework.cpu_group(&path.parse().unwrap());
        self.throttle.stat(group.unwrap())
    }
}

const QUOTA: &str = "cpu.cfs_quota_us";
const PERIOD: &str = "cpu.cfs_period_us";
const SHARES: &str = "cpu.shares";

#[track_caller]
fn near(value: f64, expected: f64, tolerance: f64) {
    let off = (value - expected).abs() / expected;
    assert!(
        off <= tolerance,
        "{value} is not {expected} within {tolerance}"
    );
}

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

/// What may happen to groups and tasks.
#[derive(Clone, Debug)]
enum Event {
    Quota(usize, u64, u64),
    NoQuota(usize),
    Shares(usize, u64),
    Move(usize, usize),
    Born(usize, u64),
    Exit(usize),
    Wants(usize, u64),
    Pass(u64),
}

const PATHS: [&str; 4] = ["c:/", "c:/a", "c:/a/x", "c:/b"];

fn events() -> impl Strategy<Value = Event> {
    let group = || 0..PATHS.len();
    prop_oneof![
        2 => (group(), 5..200u64, prop_oneof![Just(50u64), Just(100), Just(200)])
            .prop_map(|(group, percent, ms)| Event::Quota(group, percent, ms)),
        1 => group().prop_map(Event::NoQuota),
        1 => (group(), 2..5000u64).prop_map(|(group, shares)| Event::Shares(group, shares)),
        3 => (0..8usize, group()).prop_map(|(task, group)| Event::Move(task, group)),
        3 => (group(), 0..11u64).prop_map(|(group, wants)| Event::Born(group, wants)),
        1 => (0..8usize).prop_map(Event::Exit),
        2 => (0..8usize, 0..11u64).prop_map(|(task, wants)| Event::Wants(task, wants)),
        6 => (1..400u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    /// Whatever has happened before: no group uses more than its quota in the long run, tasks that are not in a
    /// limited group or beside others are not held, and only living tasks are.
    #[test]
    fn quotas_hold_through_moves_exits_and_births(events in proptest::collection::vec(events(), 1..40)) {
        let mut world = World::new(2);
        for path in &PATHS[1..] {
            world.mkdir(path, &[]);
        }
        let mut places: BTreeMap<TaskId, usize> = BTreeMap::new();
        let pick = |places: &BTreeMap<TaskId, usize>, number: usize| {
            places.keys().copied().nth(number % places.len().max(1))
        };
        for event in events {
            match event {
                // Refused where it is more than above or less than below; roots have none.
                Event::Quota(group, percent, ms) => {
                    let period = ms * 1_000;
                    let path = PATHS[group].parse::<container_core::GroupPath>().unwrap();
                    let write = |file: &str, value: u64| Command::Write {
                        group: path.clone(),
                        file: file.into(),
                        value: value.to_string(),
                    };
                    let commands = [write(PERIOD, period), write(QUOTA, period * percent / 100)];
                    if world.framework.plan(&Credentials::ROOT, &commands).is_ok() {
                        world.run(&commands);
                    }
                }
                Event::NoQuota(group) if group > 0 => world.write(PATHS[group], QUOTA, -1),
                Event::Shares(group, shares) if group > 0 => {
                    world.write(PATHS[group], SHARES, shares as i64);
                }
                Event::NoQuota(_) | Event::Shares(..) => {}
                Event::Move(number, group) => {
                    if let Some(task) = pick(&places, number) {
                        world.attach(task, PATHS[group]);
                        places.insert(task, group);
                    }
                }
                Event::Born(group, wants) => {
                    let task = world.vcpu(PATHS[group], "0-1", wants);
                    places.insert(task, group);
                }
                Event::Exit(number) => {
                    if let Some(task) = pick(&places, number) {
                        world.exit(task);
                        places.remove(&task);
                    }
                }
                Event::Wants(number, wants) => {
                    if let Some(task) = pick(&places, number) {
                        world.threads.get_mut(&task).unwrap().wants = wants;
                    }
                }
                Event::Pass(milliseconds) => drop(world.pass(milliseconds)),
            }
            prop_assert!(world.throttle.due().is_none() || world.throttle.due() >= Some(0));
        }
        // Old debts are paid off first.
        world.pass(5_000);
        let before = world.threads.clone();
        world.pass(10_000);
        let held = world.throttle.held();
        prop_assert!(held.iter().all(|task| places.contains_key(task)), "{held:?}");
        for info in world.framework.cpu_groups().collect::<Vec<_>>() {
            let Some(ratio) = info.limits.ratio() else {
                continue;
            };
            let is_below = |path: &str| {
                let (own, above) = (path, info.path.to_string());
                own == above || own.starts_with(&format!("{above}/"))
            };
            let inside = places.iter().filter(|(_, place)| is_below(PATHS[**place]));
            let used: u64 = inside.map(|(task, _)| world.threads[task].used - before[task].used).sum();
            let most = (ratio as f64 / f64::from(1 << 20)) * 10_000.0;
            let used = used as f64 / MS as f64;
            // A period more at either end, and what comes late.
            prop_assert!(used <= most * 1.05 + 20.0, "{} used {used} of {most}", info.path);
        }
    }
}
