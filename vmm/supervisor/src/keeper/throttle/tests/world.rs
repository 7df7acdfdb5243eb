//! A host in which a millisecond is a step, and groups by a real framework.

use std::collections::{BTreeMap, BTreeSet};

use container_core::{
    Command, CpuSet, CpuStat, Credentials, Effect, Framework, HostResources, MachineName, TaskId,
    TaskKind, TaskName, Tid,
};

use super::super::{Observed, Throttle};

pub const MS: u64 = 1_000_000;
/// The scheduler writes down what a running task has used so often.
const TICK_MS: u64 = 4;

/// A task's thread.
#[derive(Clone, Debug)]
pub struct Thread {
    cpus: CpuSet,
    /// Of every ten milliseconds it wants so many.
    pub wants: u64,
    pub used: u64,
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
pub struct World {
    pub framework: Framework,
    pub throttle: Throttle,
    pub threads: BTreeMap<TaskId, Thread>,
    cpus: u32,
    now: u64,
    pub ticks: u64,
}

impl World {
    pub fn new(cpus: u32) -> World {
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
    pub fn run(&mut self, commands: &[Command]) {
        let plan = self.framework.plan(&Credentials::ROOT, commands).unwrap();
        for effect in plan.effects() {
            match effect {
                Effect::Limit {
                    group,
                    parent,
                    limits,
                    ..
                } => self.throttle.limit(*group, *parent, *limits),
                Effect::Enroll { task, group, .. } => {
                    self.throttle.enroll(*task, true, *group);
                }
                _ => {}
            }
        }
        self.framework.commit(plan).unwrap();
    }

    pub fn mkdir(&mut self, path: &str, files: &[(&str, u64)]) {
        let group = path.parse().unwrap();
        self.run(&[Command::Mkdir { group }]);
        for (file, value) in files {
            self.write(path, file, *value as i64);
        }
    }

    pub fn write(&mut self, path: &str, file: &str, value: i64) {
        self.run(&[Command::Write {
            group: path.parse().unwrap(),
            file: file.into(),
            value: value.to_string(),
        }]);
    }

    pub fn attach(&mut self, task: TaskId, path: &str) {
        let group = path.parse().unwrap();
        self.run(&[Command::Attach { group, task }]);
    }

    /// A vCPU in a group, on these CPUs, that wants so many of ten milliseconds.
    pub fn vcpu(&mut self, path: &str, cpus: &str, wants: u64) -> TaskId {
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

    pub fn exit(&mut self, task: TaskId) {
        self.run(&[Command::Exit { task }]);
        self.throttle.forget(task);
        self.threads.remove(&task);
    }

    /// Let so many milliseconds pass. Returns for how many of them a CPU stood idle that somebody wanted who was held.
    pub fn pass(&mut self, milliseconds: u64) -> u64 {
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
    pub fn used_in(&mut self, milliseconds: u64, tasks: &[TaskId]) -> Vec<f64> {
        let before: Vec<u64> = tasks.iter().map(|task| self.threads[task].used).collect();
        self.pass(milliseconds);
        let used = tasks.iter().map(|task| self.threads[task].used);
        used.zip(before)
            .map(|(after, before)| (after - before) as f64 / MS as f64)
            .collect()
    }

    pub fn stat(&self, path: &str) -> CpuStat {
        let group = self.framework.cpu_group(&path.parse().unwrap());
        self.throttle.stat(group.unwrap())
    }
}
