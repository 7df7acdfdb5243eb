//! What a whole apply would come to, found out before the first of it happens.
//!
//! The live state is copied, and on the copy happens what would happen: machines end, the commands are in force, the new
//! machines are born. So every rule of the framework is asked in the state that it will be asked in, while nothing
//! has been stopped yet. What the host may refuse (a process, a pin) cannot be rehearsed.

use container_core::{Command, Credentials, Errno, Framework, MachineName, Refusal};

use super::lifecycle::may;
use super::{Keeper, PlannedBirth, Rehearsed, trial};
use crate::NewMachine;

/// What is to be rehearsed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Who asks.
    pub by: Credentials,
    /// Machines that will have ended by then, and whose names are free.
    pub gone: Vec<MachineName>,
    /// What then happens to the groups, as one plan.
    pub commands: Vec<Command>,
    /// Machines that are made after it.
    pub machines: Vec<NewMachine>,
}

impl Keeper {
    /// Play it on a copy.
    ///
    /// # Errors
    /// What the commands or the births would be refused for. EEXIST for a machine of a name that is taken, EPERM for
    /// another user.
    pub(super) fn rehearse(&self, rehearsal: &Rehearsal) -> Result<Rehearsed, Refusal> {
        let Rehearsal {
            by,
            gone,
            commands,
            machines,
        } = rehearsal;
        let is_gone = |name: &MachineName| gone.contains(name);
        for machine in machines {
            let name = &machine.name;
            may(by, "create", name)?;
            if let Some(state) = self.state_word(name).filter(|_| !is_gone(name)) {
                let rule = format!("machine {name} is there already, and {state}");
                return Err(Refusal::new(Errno::EEXIST, rule));
            }
            trial::is_possible(machine)?;
        }
        self.has_descriptors_for(machines, gone)?;
        let mut copy = self.framework.clone();
        let ends: Vec<Command> = copy
            .tasks()
            .filter(|task| task.alive && is_gone(&task.name.machine))
            .map(|task| Command::Exit { task: task.id })
            .collect();
        copy.rehearse(&Credentials::ROOT, &ends)?;
        let machines_gone = self.machines.iter().map(|(_, machine)| machine);
        let views = machines_gone.filter(|machine| is_gone(machine.name()));
        for sight in views.filter_map(|machine| machine.sight.as_ref()) {
            copy.close_view(sight.view);
        }
        let plan = copy.plan(by, commands)?;
        let effects = self.named(plan.effects());
        copy.commit(plan)?;
        let births = self.births(&mut copy, machines, gone)?;
        Ok(Rehearsed {
            generation: self.framework.groups_generation(),
            effects,
            births,
        })
    }

    fn births(
        &self,
        copy: &mut Framework,
        machines: &[NewMachine],
        gone: &[MachineName],
    ) -> Result<Vec<PlannedBirth>, Refusal> {
        for machine in machines {
            trial::open_view(copy, machine)?;
        }
        let mut unborn = trial::unborn(&self.machines, &self.launching);
        unborn.retain(|machine| !gone.contains(&machine.name));
        let machines: Vec<&NewMachine> = machines.iter().collect();
        trial::tried_beside(copy, &unborn, &machines)
    }
}
