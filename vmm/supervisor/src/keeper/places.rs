//! Where a machine's tasks go when it is started again: where a host last put them.
//!
//! A machine is asked for with a placement, and a host may move its tasks afterwards: one by one, or by a whole spec. Started
//! again, by order or by its policy, it returns to where it was moved, not to where it was first. What a guest moves
//! within its view is its own affair and lasts for its life.

use container_core::{Credentials, Event, GroupPath, TaskId};

use super::lifecycle::may;
use super::restart::wants_restart;
use super::{Amendment, ChangeError, Keeper};
use crate::births::hierarchy_of_ns;

impl Keeper {
    /// Note what a commit has moved, where a host asked for it, and the groups that have another name, whoever gave it.
    pub(super) fn keep_places(&mut self, events: &[Event], by_host: bool) {
        for event in events {
            match event {
                Event::TaskMoved { task, to, .. } if by_host => self.keep_place(*task, to),
                Event::GroupRenamed { from, to } => self.keep_name(from, to),
                _ => {}
            }
        }
    }

    fn keep_place(&mut self, task: TaskId, to: &GroupPath) {
        let Some(task) = self.tasks.get(task) else {
            return;
        };
        let kind = task.name.kind;
        let Some(machine) = self.machines.get_mut(task.machine) else {
            return;
        };
        // The group that its namespaces gave it goes with this life of it, and so does all that is below.
        let has_home = !machine.asked.namespaces.is_empty();
        if has_home && hierarchy_of_ns(&self.framework).as_ref() == Some(to.hierarchy()) {
            return;
        }
        machine.asked.placement.put(kind, to.clone());
    }

    fn keep_name(&mut self, from: &GroupPath, to: &GroupPath) {
        let launching = self.launching.values_mut().map(|one| &mut one.machine);
        let machines = self.machines.iter_mut().map(|machine| &mut machine.asked);
        for asked in launching.chain(machines) {
            asked.placement.rename(from, to);
            for root in asked.agent.iter_mut().flat_map(|agent| &mut agent.roots) {
                *root = root.after_rename(from, to);
            }
        }
    }

    /// Change what machines are asked to be.
    ///
    /// # Errors
    /// Those of [`Request::Amend`](super::Request::Amend); then nothing is changed.
    pub(super) fn amend(
        &mut self,
        by: &Credentials,
        amendments: Vec<Amendment>,
    ) -> Result<(), ChangeError> {
        for Amendment { machine, .. } in &amendments {
            may(by, "change", machine)?;
            if !self.launching.contains_key(machine) {
                self.known(machine)?;
            }
        }
        for amendment in amendments {
            if let Some(launching) = self.launching.get_mut(&amendment.machine) {
                launching.machine.placement = amendment.placement.clone();
                launching.machine.restart = amendment.restart;
            }
            let id = self.machines.by_name(&amendment.machine);
            let Some((id, machine)) = id.and_then(|id| Some((id, self.machines.get_mut(id)?)))
            else {
                continue;
            };
            machine.asked.placement = amendment.placement;
            machine.asked.restart = amendment.restart;
            let end = machine.verdict.as_deref().unwrap_or_default();
            if machine.restart_at.is_some() && !wants_restart(amendment.restart, end) {
                machine.restart_at = None;
                self.tell_of(
                    id,
                    "machine_stays_ended",
                    "is not started again, by its policy",
                );
            }
        }
        self.tell_if_all_ended();
        Ok(())
    }
}
