//! Who keeps the cpu subsystem's word: the kernel's own controller, or Pinfold's [throttle](super::throttle).
//!
//! One of the two, chosen once. Nothing is made, and nothing ticks, before the subsystem is mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use container_core::{
    CpuGroup, CpuGroupInfo, CpuLimits, CpuStat, Framework, TaskId, TaskKind, Tid,
};
use host::{HostError, Thread};

use super::Keeper;
use super::flight::{Drifted, HandError};
use super::hold::{Reason, VcpuSet, bit};
use super::machines::MachineId;
use super::tasks::Task;
use super::throttle::Throttle;

/// Groups of which the limits are read back in one look, 22 to 31 us of CPU time each. So up to twice as many are seen within
/// two seconds, and however many there are, a look takes four milliseconds.
const LOOKS: usize = 128;

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
    /// Groups whose limits may be other than the framework's, because something could not be undone or somebody
    /// else wrote to them.
    unsettled: BTreeSet<CpuGroup>,
    /// Tasks that could not be put back into their groups, of which there was an event.
    adrift: BTreeSet<TaskId>,
    /// Which group the next look at limits begins with, by its place among all.
    next_look: usize,
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
            adrift: BTreeSet::new(),
            next_look: 0,
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
        self.adrift.remove(&task);
        if let State::Own(throttle) = &mut self.state {
            throttle.forget(task);
        }
    }

    /// Groups, of all or of those whose turn it is, that the kernel has otherwise than they were left, by their
    /// place, and what was found. They are unsettled from then on.
    fn look(&mut self, groups: &[CpuGroupInfo], at_all: bool) -> Vec<(usize, String)> {
        let State::Kernel(controller) = &mut self.state else {
            return Vec::new();
        };
        let count = groups.len();
        let looks = if at_all { count } else { count.min(LOOKS) };
        let mut found = Vec::new();
        for place in (0..looks).map(|step| (self.next_look + step) % count) {
            let group = groups[place].group;
            if let Some(strayed) = controller.strayed(group) {
                self.unsettled.insert(group);
                found.push((place, strayed));
            }
        }
        self.next_look = (self.next_look + looks) % count.max(1);
        found
    }

    /// Have what is unsettled be as the framework says, as far as the kernel lets us.
    fn settle(&mut self, groups: &[CpuGroupInfo]) {
        let is_known = |group: &CpuGroup| groups.iter().any(|info| info.group == *group);
        let gone = self.unsettled.iter().copied();
        let gone: Vec<CpuGroup> = gone.filter(|group| !is_known(group)).collect();
        let gone = gone.into_iter().rev().map(|group| (group, None, None));
        // A directory stands in that of its parent. But where somebody gave both more, version 1 takes the lower
        // limit of the child first.
        let both_ways = groups.iter().chain(groups.iter().rev());
        let known = both_ways.map(|info| (info.group, info.parent, Some(&info.limits)));
        for (group, parent, limits) in gone.chain(known) {
            if self.unsettled.contains(&group) && self.put(group, parent, limits).is_ok() {
                self.unsettled.remove(&group);
            }
        }
    }

    /// What a group's limit has come to until now.
    pub fn stat(&self, group: CpuGroup) -> Option<CpuStat> {
        match &self.state {
            State::Undecided => None,
            State::Kernel(controller) => controller.stat(group).ok(),
            State::Own(throttle) => Some(throttle.stat(group)),
        }
    }
}

impl Keeper {
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

    /// Whether the kernel's groups are what the framework says, and if not, set them right: limits that somebody wrote,
    /// directories that were removed, threads that were moved elsewhere, and what could not be undone.
    pub(super) fn look_at_cpu_groups(&mut self) {
        if self.under_way.is_some() {
            return;
        }
        let State::Kernel(controller) = &self.cpu.state else {
            return;
        };
        let groups: Vec<CpuGroupInfo> = self.framework.cpu_groups().collect();
        let members = groups.iter().filter(|info| !info.tasks.is_empty());
        let members: Vec<_> = members
            .map(|info| (info, controller.tids(info.group)))
            .collect();
        // Where a directory is gone, those above and below it may be, too.
        let is_gone = members.iter().any(|(_, there)| there.is_err());
        let strayed = self.cpu.look(&groups, is_gone);
        if !self.cpu.unsettled.is_empty() {
            self.cpu.settle(&groups);
        }
        for (place, found) in strayed {
            let info = &groups[place];
            let outcome = match self.cpu.unsettled.contains(&info.group) {
                false => "put right",
                true => "could not be put right, retried",
            };
            let name = info.path.to_string();
            let text = format!("{name}: {found}: {outcome}");
            self.append("drift", text, |event| event.group = Some(name));
        }
        for (info, there) in members {
            self.look_at_members(info, &there.unwrap_or_default());
        }
    }

    fn look_at_members(&mut self, info: &CpuGroupInfo, there: &[Tid]) {
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
                Ok(()) => {
                    self.cpu.adrift.remove(&id);
                    "put back"
                }
                Err(HandError::Ended) => continue,
                Err(HandError::Failed(_)) if !self.cpu.adrift.insert(id) => continue,
                Err(HandError::Failed(_)) => "cannot be put back, retried",
            };
            let group = &info.path;
            let text = format!("{name} was not in the kernel's cpu group of {group}: {outcome}");
            self.append("drift", text, |event| event.task = Some(name));
        }
    }
}
