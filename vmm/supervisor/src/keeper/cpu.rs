//! Who keeps the cpu subsystem's word: the kernel's own controller, or Pinfold's [throttle](super::throttle).
//!
//! One of the two, chosen once. Nothing is made, and nothing ticks, before the subsystem is mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use container_core::{CpuGroup, CpuGroupInfo, CpuLimits, CpuStat, Framework, TaskId, TaskKind};
use host::{HostError, Thread};

use super::Keeper;
use super::flight::{Drifted, HandError};
use super::hold::{Reason, VcpuSet, bit};
use super::machines::MachineId;
use super::tasks::Task;
use super::throttle::Throttle;

/// Who is to limit the CPU time of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CpuController {
    /// The kernel where its controller can be written to, and else Pinfold.
    #[default]
    Auto,
    /// The kernel. Where it cannot, there is no supervisor.
    Kernel,
    /// Pinfold, whatever the kernel could.
    Own,
}

/// Who does it.
pub struct BackEnd {
    state: State,
    /// Groups whose limits may be other than the framework's, because something could not be undone.
    unsettled: BTreeSet<CpuGroup>,
}

enum State {
    /// The kernel or Pinfold, as it turns out when the first group is made.
    Undecided,
    Kernel(host::CpuController),
    Own(Throttle),
}

impl BackEnd {
    /// With the groups of a framework that no task is in yet.
    ///
    /// # Errors
    /// The host's, where the kernel is asked for and cannot, or will not take these groups.
    pub fn new(who: CpuController, framework: &Framework) -> Result<BackEnd, HostError> {
        let state = match who {
            CpuController::Auto => State::Undecided,
            CpuController::Kernel => State::Kernel(host::CpuController::find()?),
            CpuController::Own => State::Own(Throttle::default()),
        };
        let mut back_end = BackEnd {
            state,
            unsettled: BTreeSet::new(),
        };
        for info in framework.cpu_groups() {
            back_end.put(info.group, info.parent, Some(&info.limits))?;
        }
        Ok(back_end)
    }

    /// Have a group be there with these limits, or not be there.
    pub fn limit(
        &mut self,
        group: CpuGroup,
        parent: Option<CpuGroup>,
        limits: Option<&CpuLimits>,
    ) -> Result<(), HandError> {
        self.put(group, parent, limits)
            .map_err(|error| HandError::Failed(error.to_string()))
    }

    fn put(
        &mut self,
        group: CpuGroup,
        parent: Option<CpuGroup>,
        limits: Option<&CpuLimits>,
    ) -> Result<(), HostError> {
        if matches!(self.state, State::Undecided) {
            // What the kernel's would say of the first group, the root, shows only when it is made.
            let found = host::CpuController::find().and_then(|mut controller| {
                controller.limit(group, parent, limits)?;
                Ok(controller)
            });
            self.state = match found {
                Ok(controller) => State::Kernel(controller),
                Err(_) => State::Own(Throttle::default()),
            };
        }
        match &mut self.state {
            State::Undecided => Ok(()),
            State::Kernel(controller) => controller.limit(group, parent, limits),
            State::Own(throttle) => {
                throttle.limit(group, parent, limits.copied());
                Ok(())
            }
        }
    }

    /// Have what a task uses count in a group, or in none.
    pub fn enroll(
        &mut self,
        id: TaskId,
        task: &Task,
        group: Option<CpuGroup>,
    ) -> Result<(), HandError> {
        let thread = task.thread().ok_or(HandError::Ended)?;
        match &mut self.state {
            State::Undecided => Ok(()),
            State::Kernel(controller) => match controller.enroll(thread, group) {
                Ok(()) => Ok(()),
                Err(error) if error.is_ended() => Err(HandError::Ended),
                Err(error) => Err(HandError::Failed(format!("{}: {error}", task.name))),
            },
            State::Own(throttle) => {
                throttle.enroll(id, task.name.kind.is_vcpu(), group);
                Ok(())
            }
        }
    }

    /// A task has exited.
    pub fn forget(&mut self, task: TaskId) {
        if let State::Own(throttle) = &mut self.state {
            throttle.forget(task);
        }
    }

    fn stat(&self, group: CpuGroup) -> Option<CpuStat> {
        match &self.state {
            State::Undecided => None,
            State::Kernel(controller) => controller.stat(group).ok(),
            State::Own(throttle) => Some(throttle.stat(group)),
        }
    }
}

impl Keeper {
    /// Take down what a group's limit has come to until now, before it is read.
    pub(super) fn note_cpu_stat(&mut self, group: Option<CpuGroup>) {
        if let Some(group) = group
            && let Some(stat) = self.cpu.stat(group)
        {
            self.framework.note_cpu_stat(group, stat);
        }
    }

    /// When the throttle has to look again.
    pub(super) fn throttle_at(&self) -> Option<Instant> {
        let State::Own(throttle) = &self.cpu.state else {
            return None;
        };
        let due = throttle.due()?;
        let wait = due.saturating_sub(host::monotonic_ns());
        Some(Instant::now() + Duration::from_nanos(wait))
    }

    /// Let the throttle look, if it is due, and hold the vCPUs that it wants held.
    pub(super) fn throttle(&mut self) {
        let now = host::monotonic_ns();
        let State::Own(throttle) = &mut self.cpu.state else {
            return;
        };
        if throttle.due().is_none_or(|due| now < due) {
            return;
        }
        throttle.tick(now, |task| self.tasks.observe(task));
        let mut wanted: BTreeMap<MachineId, VcpuSet> = BTreeMap::new();
        for task in throttle.held() {
            if let Some(task) = self.tasks.get(*task)
                && let TaskKind::Vcpu(index) = task.name.kind
            {
                *wanted.entry(task.machine).or_default() |= bit(index);
            }
        }
        let held = |id: &MachineId| wanted.get(id).copied().unwrap_or(0);
        let machines = self.machines.iter();
        let changed: Vec<(MachineId, VcpuSet)> = machines
            .filter(|(id, machine)| machine.hold.of(Reason::Throttled) != held(id))
            .map(|(id, _)| (id, held(&id)))
            .collect();
        for (machine, vcpus) in changed {
            self.hold(machine, Reason::Throttled, vcpus);
        }
    }

    /// What could not be undone in the kernel's controller is set right by the next rounds.
    pub(super) fn mark_cpu_drifted(&mut self, drifted: &Drifted) {
        for &group in &drifted.limits {
            self.cpu.unsettled.insert(group);
            let name = self.name_of(group);
            let text = format!("{name} could not be given its former limits back: retried");
            self.append("drift", text, |event| event.group = Some(name));
        }
        for &id in &drifted.enrollments {
            let Some(task) = self.tasks.get(id) else {
                continue;
            };
            let name = task.name.to_string();
            let text = format!("{name} could not be put back into its former cpu group: retried");
            self.append("drift", text, |event| event.task = Some(name));
        }
    }

    fn name_of(&self, group: CpuGroup) -> String {
        let mut groups = self.framework.cpu_groups();
        let info = groups.find(|info| info.group == group);
        info.map_or_else(
            || format!("cpu group {group}"),
            |info| info.path.to_string(),
        )
    }

    /// Whether the kernel's groups are what the framework says, and if not, set them right: threads that somebody
    /// moved elsewhere, and what could not be undone.
    pub(super) fn look_at_cpu_groups(&mut self) {
        if self.under_way.is_some() || !matches!(self.cpu.state, State::Kernel(_)) {
            return;
        }
        let groups: Vec<CpuGroupInfo> = self.framework.cpu_groups().collect();
        for group in std::mem::take(&mut self.cpu.unsettled) {
            let info = groups.iter().find(|info| info.group == group);
            let (parent, limits) = (
                info.and_then(|info| info.parent),
                info.map(|info| &info.limits),
            );
            if self.cpu.limit(group, parent, limits).is_err() {
                self.cpu.unsettled.insert(group);
            }
        }
        for info in groups.iter().filter(|info| !info.tasks.is_empty()) {
            self.look_at_members(info);
        }
    }

    fn look_at_members(&mut self, info: &CpuGroupInfo) {
        let State::Kernel(controller) = &self.cpu.state else {
            return;
        };
        let there = controller.tids(info.group).unwrap_or_default();
        for &id in &info.tasks {
            let Some(task) = self.tasks.get(id) else {
                continue;
            };
            let is_there = |thread: &Thread| there.contains(&thread.tid());
            // A thread that has ended is listed no more; its exit is on its way.
            let strayed = |thread: &Thread| !is_there(thread) && thread.is_alive();
            if !task.thread().is_some_and(strayed) {
                continue;
            }
            let name = task.name.to_string();
            let outcome = match self.cpu.enroll(id, task, Some(info.group)) {
                Ok(()) => "put back",
                Err(HandError::Ended) => continue,
                Err(HandError::Failed(_)) => "cannot be put back",
            };
            let group = &info.path;
            let text = format!("{name} was not in the kernel's cpu group of {group}: {outcome}");
            self.append("drift", text, |event| event.task = Some(name));
        }
    }
}
