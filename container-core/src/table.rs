//! The task table: the living by slot, the dead by what the ledger still needs of them.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use crate::css_set::CssSetId;
use crate::index::{Index, hash};
use crate::slab::{Id, Slab};
use crate::{Errno, GroupPath, MachineName, Refusal, TaskId, TaskKind, TaskName, Tid, Usage};

/// A task, as subsystems know it: good while the task lives.
pub type TaskSlot = Id<Task>;

/// A living task; also one that has died, or was never born after an undo, until the batch is settled.
///
/// A cache line, and on one: a task among many is in no CPU's cache, and so one miss.
#[derive(Clone)]
#[repr(align(64))]
pub struct Task {
    pub(crate) id: TaskId,
    pub(crate) name: TaskName,
    pub(crate) tid: Tid,
    pub(crate) css_set: CssSetId,
    /// Charged since its birth.
    pub(crate) usage: Usage,
    /// The CPU it was last seen on.
    pub(crate) cpu: u16,
    /// The part of its time that it was last seen to spend in the kernel, of [`ALL_SYSTEM`].
    pub(crate) system: u8,
    /// A vCPU that is out of its guest because it is frozen: a fact, which no batch changes.
    pub(crate) is_held: bool,
    /// None while it is not listed.
    pub(crate) machine: Option<Id<Machine>>,
}

const _: () = assert!(size_of::<Option<Task>>() == 64);

/// All of a task's time in the kernel.
pub(crate) const ALL_SYSTEM: u8 = u8::MAX;

/// The living tasks of one machine; gone with the last of them.
#[derive(Clone)]
pub(crate) struct Machine {
    name: MachineName,
    /// By kind.
    tasks: Vec<(TaskKind, TaskSlot)>,
}

/// What is kept of a dead task.
#[derive(Clone, Debug)]
pub(crate) struct Dead {
    pub id: TaskId,
    pub name: TaskName,
    pub tid: Tid,
    pub groups: Box<[GroupPath]>,
    pub usage: Usage,
}

/// All tasks.
#[derive(Clone)]
pub(crate) struct TaskTable {
    pub slots: Slab<Task>,
    by_id: Index<Task>,
    by_tid: Index<Task>,
    machines: Slab<Machine>,
    by_name: Index<Machine>,
    /// Names are chosen by whoever may create machines, and so their hashes are not to be foreseen.
    name_hasher: RandomState,
    dead: Slab<Dead>,
    dead_by_id: Index<Dead>,
    /// The dead in the order of their deaths.
    burials: VecDeque<Id<Dead>>,
    /// Used by dead tasks that are no longer in the table.
    pub retired: Usage,
    /// The next id to be allocated.
    pub next: u64,
    /// Whoever was ever born has an id below this: where births come in the order of allocation, an id
    /// is known to be new without a look at the dead.
    pub born_below: u64,
}

impl TaskTable {
    pub fn new() -> TaskTable {
        TaskTable {
            slots: Slab::new(),
            by_id: Index::new(),
            by_tid: Index::new(),
            machines: Slab::new(),
            by_name: Index::new(),
            name_hasher: RandomState::new(),
            dead: Slab::new(),
            dead_by_id: Index::new(),
            burials: VecDeque::new(),
            retired: Usage::ZERO,
            next: 1,
            born_below: 1,
        }
    }

    /// Number of living tasks.
    pub fn living(&self) -> usize {
        self.by_id.len()
    }

    pub fn get(&self, id: TaskId) -> Option<TaskSlot> {
        let is_it = |slot| self.slots[slot].id == id;
        self.by_id.find(hash(id.0), is_it)
    }

    pub fn with_tid(&self, tid: Tid) -> Option<TaskSlot> {
        let is_it = |slot| self.slots[slot].tid == tid;
        self.by_tid.find(hash(tid.0.into()), is_it)
    }

    pub fn with_name(&self, name: &TaskName) -> Option<TaskSlot> {
        let Machine { tasks, .. } = &self.machines[self.machine(&name.machine)?];
        let at = place_of(tasks, name.kind).ok()?;
        Some(tasks[at].1)
    }

    /// The living tasks of one machine, by kind: costs only those, however many others there are.
    pub fn of_machine(&self, machine: &MachineName) -> impl Iterator<Item = (TaskKind, TaskSlot)> {
        let machine = self.machine(machine).map(|machine| &self.machines[machine]);
        machine
            .into_iter()
            .flat_map(|machine| machine.tasks.iter().copied())
    }

    fn machine(&self, name: &MachineName) -> Option<Id<Machine>> {
        let is_it = |machine| self.machines[machine].name == *name;
        self.by_name.find(self.name_hash(name), is_it)
    }

    fn name_hash(&self, name: &MachineName) -> u32 {
        (self.name_hasher.hash_one(name) >> 32) as u32
    }

    /// A living task.
    ///
    /// # Errors
    /// ESRCH for one that is dead or was never born.
    pub fn living_task(&self, id: TaskId) -> Result<TaskSlot, Refusal> {
        self.get(id).ok_or_else(|| {
            let rule = match self.dead_task(id) {
                Some(dead) => format!("task {} ({id}) is dead", dead.name),
                None => format!("there is no living task with id {id}"),
            };
            Refusal::new(Errno::ESRCH, rule)
        })
    }

    /// Find the task under its id, tid and name from now on.
    pub fn list(&mut self, slot: TaskSlot) {
        let Task { id, tid, name, .. } = &self.slots[slot];
        self.by_id.insert(hash(id.0), slot);
        self.by_tid.insert(hash(tid.0.into()), slot);
        let kind = name.kind;
        let machine = match self.machine(&name.machine) {
            Some(machine) => machine,
            None => {
                let (hash, name) = (self.name_hash(&name.machine), name.machine.clone());
                let tasks = Vec::new();
                let machine = self.machines.insert(Machine { name, tasks });
                self.by_name.insert(hash, machine);
                machine
            }
        };
        self.slots[slot].machine = Some(machine);
        let tasks = &mut self.machines[machine].tasks;
        if let Err(at) = place_of(tasks, kind) {
            tasks.insert(at, (kind, slot));
        }
    }

    /// Find it no more.
    pub fn unlist(&mut self, slot: TaskSlot) {
        let task = &mut self.slots[slot];
        self.by_id.remove(hash(task.id.0), slot);
        self.by_tid.remove(hash(task.tid.0.into()), slot);
        let (kind, machine) = (task.name.kind, task.machine.take());
        if let Some(machine) = machine {
            let tasks = &mut self.machines[machine].tasks;
            if let Ok(at) = place_of(tasks, kind) {
                tasks.remove(at);
            }
            if tasks.is_empty() {
                let hash = self.name_hash(&self.machines[machine].name);
                self.by_name.remove(hash, machine);
                self.machines.remove(machine);
            }
        }
    }

    /// Whether the task in this slot is listed, and so neither dead nor unborn.
    pub fn is_listed(&self, slot: TaskSlot) -> bool {
        self.slots[slot].machine.is_some()
    }

    /// A dead task that is remembered.
    pub fn dead_task(&self, id: TaskId) -> Option<&Dead> {
        let slot = self
            .dead_by_id
            .find(hash(id.0), |slot| self.dead[slot].id == id)?;
        Some(&self.dead[slot])
    }

    /// The dead that are remembered, by their deaths.
    pub fn dead(&self) -> impl Iterator<Item = &Dead> {
        self.burials.iter().map(|slot| &self.dead[*slot])
    }

    /// Remember a task that has just died.
    pub fn bury(&mut self, dead: Dead) {
        let hash = hash(dead.id.0);
        let slot = self.dead.insert(dead);
        self.dead_by_id.insert(hash, slot);
        self.burials.push_back(slot);
    }

    /// The task that was buried last lives again.
    pub fn exhume(&mut self) {
        if let Some(slot) = self.burials.pop_back() {
            self.forget(slot);
        }
    }

    /// Keep so many of the dead one by one, those that died last; of the others the sum.
    pub fn retire(&mut self, most: usize) {
        while self.burials.len() > most
            && let Some(slot) = self.burials.pop_front()
        {
            let used = self.forget(slot);
            self.retired += used;
        }
    }

    /// Keep of a machine's dead only the sum, which is returned.
    pub fn retire_machine(&mut self, machine: &MachineName) -> Usage {
        let burials = std::mem::take(&mut self.burials);
        let (its, others): (Vec<_>, Vec<_>) = burials
            .into_iter()
            .partition(|slot| self.dead[*slot].name.machine == *machine);
        self.burials = others.into();
        let used = its.into_iter().map(|slot| self.forget(slot)).sum();
        self.retired += used;
        used
    }

    fn forget(&mut self, slot: Id<Dead>) -> Usage {
        let Some(dead) = self.dead.remove(slot) else {
            return Usage::ZERO;
        };
        self.dead_by_id.remove(hash(dead.id.0), slot);
        dead.usage
    }
}

/// Where a kind stands among a machine's tasks, or would.
fn place_of(tasks: &[(TaskKind, TaskSlot)], kind: TaskKind) -> Result<usize, usize> {
    tasks.binary_search_by_key(&kind, |(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cycles, Nanoseconds};

    fn dead(id: u64) -> Dead {
        Dead {
            id: TaskId(id),
            name: "web/io".parse().unwrap(),
            tid: Tid(7),
            groups: Box::new([]),
            usage: Usage {
                usage: Nanoseconds(1 << id),
                cycles: Cycles(0),
            },
        }
    }

    #[test]
    fn only_so_many_of_the_dead_are_kept_and_the_sum_of_the_others() {
        let mut tasks = TaskTable::new();
        (0..5).for_each(|id| tasks.bury(dead(id)));
        for (most, retired) in [(6, 0), (5, 0), (3, 0b11), (3, 0b11), (0, 0b11111)] {
            tasks.retire(most);
            assert_eq!(tasks.retired.usage.0, retired);
            let kept: Vec<u64> = tasks.dead().map(|dead| dead.id.0).collect();
            assert_eq!(kept, Vec::from_iter(5 - most.min(5) as u64..5));
            for id in 0..5 {
                let is_kept = kept.contains(&id);
                assert_eq!(tasks.dead_task(TaskId(id)).is_some(), is_kept);
            }
        }
    }

    #[test]
    fn the_hash_of_a_name_is_not_to_be_foreseen() {
        let (one, other) = (TaskTable::new(), TaskTable::new());
        let names = (0..8).map(|n| format!("m{n}").parse().unwrap());
        let differ = |name| one.name_hash(&name) != other.name_hash(&name);
        assert!(names.into_iter().any(differ));
    }
}
