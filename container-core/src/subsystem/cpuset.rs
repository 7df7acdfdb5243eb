//! cpuset: which host CPUs the tasks of a group run on.
//!
//! Requested and effective values are apart. `cpuset.cpus` and `cpuset.mems` are what was asked for,
//! and only a write changes them; the effective values are what of that the host allows now, and
//! follow it. Where the host allows nothing of what was asked, the nearest ancestor's effective
//! values are in force, as in cgroup v2. What was never asked for (a new group) is empty, and a
//! group that has nothing takes no task.
//!
//! `cpuset.placement` is our own. `float` gives every task of the group all of its effective CPUs.
//! `one-to-one` gives each vCPU task a CPU of its own, its *seat*; the group's other tasks have what
//! is left. Where a shrinking host leaves fewer CPUs than vCPUs, the vCPUs without a seat float until
//! there are enough again.
//!
//! The rules and their errnos are those of validate_change() and friends in kernel/cgroup/cpuset.c
//! and cpuset-v1.c. "Exclusive" means among the groups of the framework.

mod effective;
mod reserving;
mod rules;
mod seats;
mod writes;

use seats::Seats;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::core::Core;
use crate::group::GroupId;
use crate::subsystem::{CPUSET, Context, ControlFile, CssTable, States, Subsystem};
use crate::table::TaskSlot;
use crate::{CpuSet, Credentials, MAX_CPUS, NodeSet, Refusal};

/// One group's cpuset. Sets of CPUs are large and mostly those of the group above, and then shared with it.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct State {
    pub cpus: Arc<CpuSet>,
    pub mems: NodeSet,
    pub effective_cpus: Arc<CpuSet>,
    effective_mems: NodeSet,
    pub cpu_exclusive: bool,
    pub mem_exclusive: bool,
    /// The CPU of each vCPU task of a one-to-one group; None for a floating one.
    seats: Option<Box<Seats>>,
    /// The children that forbid their siblings something: no more than there are CPUs and nodes, however many children
    /// there are, so that a change is not held against all of them. None for none, which is most groups.
    #[allow(
        clippy::box_collection,
        reason = "eight bytes where there are none, so that a state is a cache line"
    )]
    reserving: Option<Box<BTreeSet<GroupId>>>,
}

/// Bytes of a written list (kernel: max_write_len of cpuset.cpus).
const MAX_LIST_WRITE: Option<usize> = Some(100 + 6 * MAX_CPUS);

static FILES: &[ControlFile] = &[
    ControlFile {
        name: "cpuset.cpus",
        root_only: false,
        not_in_root: false,
        max_write: MAX_LIST_WRITE,
        shown_to_guests: true,
    },
    ControlFile {
        name: "cpuset.mems",
        root_only: false,
        not_in_root: false,
        max_write: MAX_LIST_WRITE,
        shown_to_guests: true,
    },
    ControlFile::read_only("cpuset.effective_cpus").shown_to_guests(),
    ControlFile::read_only("cpuset.effective_mems").shown_to_guests(),
    ControlFile::writable("cpuset.cpu_exclusive").shown_to_guests(),
    ControlFile::writable("cpuset.mem_exclusive").shown_to_guests(),
    ControlFile::writable("cpuset.sched_load_balance").shown_to_guests(),
    ControlFile::writable("cpuset.placement").shown_to_guests(),
];

#[derive(Clone)]
pub(crate) struct Cpuset {
    states: CssTable<State>,
    /// What new groups have.
    nothing: Arc<CpuSet>,
}

impl Cpuset {
    pub fn new() -> Cpuset {
        Cpuset {
            states: CssTable::new(),
            nothing: Arc::new(CpuSet::EMPTY),
        }
    }

    pub fn state(&self, group: GroupId) -> &State {
        self.states.get(group)
    }

    /// What a task is to be confined to; None where the subsystem is not mounted.
    pub fn cpus_of(&self, core: &Core, task: TaskSlot) -> Option<CpuSet> {
        let group = core
            .is_bound(CPUSET)
            .then(|| core.group_for(CPUSET, task))?;
        Some(self.state(group).cpus_for(&core.tasks.slots[task]))
    }

    /// Every task of the group may get other CPUs by what is done next.
    fn touch(&self, cx: &mut Context<'_>, group: GroupId) {
        for task in cx.core.tasks_in(group) {
            cx.touched
                .pin(cx.core.tasks.slots[task].id, || self.cpus_of(cx.core, task));
        }
    }
}

impl Subsystem for Cpuset {
    fn name(&self) -> &'static str {
        "cpuset"
    }

    fn files(&self) -> &'static [ControlFile] {
        FILES
    }

    fn states(&self) -> Option<&dyn States> {
        Some(&self.states)
    }

    fn states_mut(&mut self) -> Option<&mut dyn States> {
        Some(&mut self.states)
    }

    fn css_alloc(&mut self, cx: &mut Context<'_>, group: GroupId, parent: Option<GroupId>) {
        let is_root = parent.is_none();
        let host = &cx.core.host;
        let (cpus, mems) = match is_root {
            true => (Arc::new(host.allowed_cpus), host.mems),
            false => (self.nothing.clone(), NodeSet::EMPTY),
        };
        let state = State {
            cpus: cpus.clone(),
            mems,
            effective_cpus: cpus,
            effective_mems: mems,
            cpu_exclusive: is_root,
            mem_exclusive: is_root,
            seats: None,
            reserving: None,
        };
        self.states.insert(group, state);
    }

    fn css_online(&mut self, cx: &mut Context<'_>, group: GroupId) {
        if cx.core.groups[group].attributes.clone_children {
            self.copy_parent(cx, group);
        }
    }

    fn css_offline(&mut self, _cx: &mut Context<'_>, group: GroupId, parent: GroupId) {
        self.note_in_parent(parent, group, false);
    }

    fn can_attach(
        &mut self,
        cx: &mut Context<'_>,
        task: TaskSlot,
        to: GroupId,
    ) -> Result<(), Refusal> {
        self.takes_tasks(cx.core, task, to)?;
        self.has_seat_for(cx.core, task, to)?;
        cx.touched
            .pin(cx.core.tasks.slots[task].id, || self.cpus_of(cx.core, task));
        Ok(())
    }

    fn attach(&mut self, cx: &mut Context<'_>, _task: TaskSlot, from: GroupId, to: GroupId) {
        for group in [from, to] {
            self.members_changed(cx, group);
        }
    }

    /// # Errors
    /// ENOSPC for one more vCPU than a one-to-one group has CPUs.
    fn fork(
        &mut self,
        cx: &mut Context<'_>,
        task: TaskSlot,
        group: GroupId,
    ) -> Result<(), Refusal> {
        self.has_seat_for(cx.core, task, group)?;
        cx.touched.pin(cx.core.tasks.slots[task].id, || None);
        self.members_changed(cx, group);
        Ok(())
    }

    fn exit(&mut self, cx: &mut Context<'_>, _task: TaskSlot, group: GroupId) {
        self.members_changed(cx, group);
    }

    fn bind(&mut self, cx: &mut Context<'_>, from: GroupId, to: GroupId) {
        self.touch(cx, from);
        self.states.rebind(from, to);
    }

    fn post_clone(&mut self, cx: &mut Context<'_>, group: GroupId) {
        self.copy_parent(cx, group);
    }

    fn host_changed(&mut self, cx: &mut Context<'_>) {
        let root = cx.core.root_of(CPUSET);
        let state = self.states.edit(root);
        state.cpus = Arc::new(cx.core.host.allowed_cpus);
        state.mems = cx.core.host.mems;
        self.refresh(cx, root, true);
    }

    fn read(&self, _core: &Core, _by: &Credentials, group: GroupId, file: &str) -> String {
        let state = self.state(group);
        match file {
            "cpuset.cpus" => state.cpus.to_string(),
            "cpuset.mems" => state.mems.to_string(),
            "cpuset.effective_cpus" => state.effective_cpus.to_string(),
            "cpuset.effective_mems" => state.effective_mems.to_string(),
            "cpuset.cpu_exclusive" => u8::from(state.cpu_exclusive).to_string(),
            "cpuset.mem_exclusive" => u8::from(state.mem_exclusive).to_string(),
            "cpuset.sched_load_balance" => "1".into(),
            _ => state.placement().into(),
        }
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        file: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        self.write_file(cx, group, file, value)
    }

    fn within(
        &self,
        _core: &Core,
        root: GroupId,
        file: &str,
        value: &str,
    ) -> Result<String, Refusal> {
        let root = self.state(root);
        match file {
            "cpuset.cpus" => rules::list_within(file, value, *root.cpus),
            "cpuset.mems" => rules::list_within(file, value, root.mems),
            _ => Ok(value.into()),
        }
    }
}
