//! One-to-one placement: a CPU of its own for each vCPU of a group.

use std::collections::BTreeMap;

use super::{Cpuset, State};
use crate::core::Core;
use crate::group::GroupId;
use crate::subsystem::Context;
use crate::table::{Task, TaskSlot};
use crate::{CpuSet, Errno, Refusal, TaskId};

const FLOAT: &str = "float";
const ONE_TO_ONE: &str = "one-to-one";

/// The CPU of each seated vCPU; apart from the state of a group, of which few have any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seats(BTreeMap<TaskId, u32>);

impl State {
    pub(super) fn placement(&self) -> &'static str {
        if self.seats.is_some() {
            ONE_TO_ONE
        } else {
            FLOAT
        }
    }

    /// What one task of the group is confined to.
    pub(super) fn cpus_for(&self, task: &Task) -> CpuSet {
        let Some(seats) = &self.seats else {
            return *self.effective_cpus;
        };
        match seats.0.get(&task.id) {
            Some(cpu) => CpuSet::from_iter([*cpu]),
            // A vCPU too: it has no seat only where every CPU is another's.
            None => match self.unseated_cpus() {
                rest if rest.is_empty() => *self.effective_cpus,
                rest => rest,
            },
        }
    }

    /// Effective CPUs that are no vCPU's own.
    fn unseated_cpus(&self) -> CpuSet {
        let seats = self.seats.iter().flat_map(|seats| seats.0.values());
        *self.effective_cpus - seats.copied().collect()
    }
}

impl Cpuset {
    /// # Errors
    /// ENOSPC for a vCPU task where every CPU of a one-to-one group is another's.
    pub(super) fn has_seat_for(
        &self,
        core: &Core,
        task: TaskSlot,
        group: GroupId,
    ) -> Result<(), Refusal> {
        let (task, state) = (&core.tasks.slots[task], self.state(group));
        let is_wanted = state.seats.is_some() && task.name.kind.is_vcpu();
        if is_wanted && state.unseated_cpus().is_empty() {
            let (name, path) = (&task.name, &core.groups[group].path);
            let cpus = &state.effective_cpus;
            let full = format!(" is one-to-one and has no CPU of {cpus} left for ");
            let parts = [path.into(), full.into(), name.into()];
            return Err(Refusal::about(Errno::ENOSPC, parts));
        }
        Ok(())
    }

    /// A task came or went: seats are freed and taken, and who has no seat gets what is left.
    pub(super) fn members_changed(&mut self, cx: &mut Context<'_>, group: GroupId) {
        if self.state(group).seats.is_some() {
            self.touch(cx, group);
            self.reseat(cx.core, group);
        }
    }

    /// Seat the vCPUs of a group anew; who has a CPU that is still there keeps it. False where
    /// there are not enough.
    pub(super) fn reseat(&mut self, core: &Core, group: GroupId) -> bool {
        let state = self.state(group);
        let Some(before) = &state.seats else {
            return true;
        };
        let vcpus = vcpus_of(core, group);
        let mut free = *state.effective_cpus;
        let mut seats = Seats::default();
        for vcpu in &vcpus {
            if let Some(cpu) = before.0.get(vcpu).filter(|cpu| free.remove(**cpu)) {
                seats.0.insert(*vcpu, *cpu);
            }
        }
        for vcpu in &vcpus {
            if !seats.0.contains_key(vcpu)
                && let Some(cpu) = free.first()
            {
                free.remove(cpu);
                seats.0.insert(*vcpu, cpu);
            }
        }
        let is_enough = seats.0.len() == vcpus.len();
        if **before != seats {
            self.states.edit(group).seats = Some(Box::new(seats));
        }
        is_enough
    }

    pub(super) fn write_placement(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        value: &str,
    ) -> Result<(), Refusal> {
        let value = value.trim();
        if value != FLOAT && value != ONE_TO_ONE {
            let rule = format!("cpuset.placement is {FLOAT} or {ONE_TO_ONE}, not {value:?}");
            return Err(Refusal::plain(Errno::EINVAL, rule));
        }
        if value == self.state(group).placement() {
            return Ok(());
        }
        self.touch(cx, group);
        self.states.edit(group).seats = (value == ONE_TO_ONE).then(Box::default);
        match self.reseat(cx.core, group) {
            true => Ok(()),
            false => Err(self.too_few_cpus(cx.core, group)),
        }
    }

    pub(super) fn too_few_cpus(&self, core: &Core, group: GroupId) -> Refusal {
        let (vcpus, cpus) = (
            vcpus_of(core, group).len(),
            &self.state(group).effective_cpus,
        );
        let path = &core.groups[group].path;
        let crowd = format!(" is one-to-one, and its {vcpus} vCPUs are more than CPUs {cpus}");
        Refusal::about(Errno::ENOSPC, [path.into(), crowd.into()])
    }
}

/// The vCPU tasks of a group, in the order of their birth.
fn vcpus_of(core: &Core, group: GroupId) -> Vec<TaskId> {
    let tasks = core.tasks_in(group).map(|task| &core.tasks.slots[task]);
    let vcpus = tasks.filter(|task| task.name.kind.is_vcpu());
    let mut vcpus: Vec<TaskId> = vcpus.map(|task| task.id).collect();
    vcpus.sort_unstable();
    vcpus
}
