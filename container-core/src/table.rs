//! The task table: the living by slot, the dead by what the ledger still needs of them.

use std::collections::{BTreeMap, HashMap};

use crate::css_set::CssSetId;
use crate::slab::{Id, Linked, Node, Slab};
use crate::{Errno, GroupPath, MachineName, Refusal, TaskId, TaskKind, TaskName, Tid, Usage};

pub(crate) type TaskSlot = Id<Task>;

/// A living task.
#[derive(Clone)]
pub(crate) struct Task {
    pub id: TaskId,
    pub name: TaskName,
    pub tid: Tid,
    pub css_set: CssSetId,
    /// Charged since its birth.
    pub usage: Usage,
    /// A vCPU that is out of its guest because it is frozen: a fact, which no batch changes.
    pub is_held: bool,
    /// False once dead (or never born, after an undo); freed when the batch is settled.
    pub alive: bool,
    pub node: Node<Task>,
}

impl Linked for Task {
    fn node(&self) -> &Node<Task> {
        &self.node
    }

    fn node_mut(&mut self) -> &mut Node<Task> {
        &mut self.node
    }
}

/// What is kept of a dead task.
#[derive(Clone, Debug)]
pub(crate) struct Dead {
    pub name: TaskName,
    pub tid: Tid,
    pub groups: Box<[GroupPath]>,
    pub usage: Usage,
}

/// All tasks.
#[derive(Clone)]
pub(crate) struct TaskTable {
    pub slots: Slab<Task>,
    by_id: HashMap<TaskId, TaskSlot>,
    by_tid: HashMap<Tid, TaskSlot>,
    /// In order, so that a machine's tasks stand together.
    by_name: BTreeMap<TaskName, TaskSlot>,
    pub dead: BTreeMap<TaskId, Dead>,
    /// Used by dead tasks that are no longer in the table.
    pub retired: Usage,
    /// The next id to be allocated.
    pub next: u64,
}

impl TaskTable {
    pub fn new() -> TaskTable {
        TaskTable {
            slots: Slab::new(),
            by_id: HashMap::new(),
            by_tid: HashMap::new(),
            by_name: BTreeMap::new(),
            dead: BTreeMap::new(),
            retired: Usage::ZERO,
            next: 1,
        }
    }

    /// Number of living tasks.
    pub fn living(&self) -> usize {
        self.by_id.len()
    }

    pub fn get(&self, id: TaskId) -> Option<TaskSlot> {
        self.by_id.get(&id).copied()
    }

    pub fn with_tid(&self, tid: Tid) -> Option<TaskSlot> {
        self.by_tid.get(&tid).copied()
    }

    pub fn with_name(&self, name: &TaskName) -> Option<TaskSlot> {
        self.by_name.get(name).copied()
    }

    /// The living tasks of one machine, by kind: costs only those, however many others there are.
    pub fn of_machine<'a>(
        &'a self,
        machine: &'a MachineName,
    ) -> impl Iterator<Item = (TaskKind, TaskSlot)> + 'a {
        let first = TaskName {
            machine: machine.clone(),
            kind: TaskKind::Vcpu(0),
        };
        self.by_name
            .range(first..)
            .take_while(|(name, _)| name.machine == *machine)
            .map(|(name, slot)| (name.kind, *slot))
    }

    /// A living task.
    ///
    /// # Errors
    /// ESRCH for one that is dead or was never born.
    pub fn living_task(&self, id: TaskId) -> Result<TaskSlot, Refusal> {
        self.get(id).ok_or_else(|| {
            let rule = match self.dead.get(&id) {
                Some(dead) => format!("task {} ({id}) is dead", dead.name),
                None => format!("there is no living task with id {id}"),
            };
            Refusal::new(Errno::ESRCH, rule)
        })
    }

    /// Find the task under its id, tid and name from now on.
    pub fn list(&mut self, slot: TaskSlot) {
        let task = &mut self.slots[slot];
        task.alive = true;
        self.by_id.insert(task.id, slot);
        self.by_tid.insert(task.tid, slot);
        self.by_name.insert(task.name.clone(), slot);
    }

    /// Find it no more.
    pub fn unlist(&mut self, slot: TaskSlot) {
        let task = &mut self.slots[slot];
        task.alive = false;
        self.by_id.remove(&task.id);
        self.by_tid.remove(&task.tid);
        self.by_name.remove(&task.name);
    }
}
