//! A way from what there is to what a spec says, and how it is told.

use container_core::{Command, MachineName};
use management::api::{self, Amended, Applied, Replaced};

use crate::NewMachine;
use crate::api::{Known, Wanted, words};
use crate::keeper::{Amendment, Rehearsed};

/// A way, and what it was found against.
pub(super) struct Found {
    pub known: Known,
    pub wanted: Wanted,
    pub rehearsed: Rehearsed,
}

impl Found {
    /// Machines that have to end, as they are.
    pub fn ending(&self) -> Vec<NewMachine> {
        let replaced = self.wanted.replace.iter();
        let names = self
            .wanted
            .gone
            .iter()
            .chain(replaced.map(|one| &one.machine.name));
        let living = self.known.machines.iter().filter(|machine| machine.alive);
        living
            .filter(|machine| names.clone().any(|name| *name == machine.asked.name))
            .map(|machine| machine.asked.clone())
            .collect()
    }

    /// In the words of the answer.
    pub fn applied(&self, committed: bool) -> Applied {
        let Wanted {
            commands,
            start,
            replace,
            gone,
            amend,
            ..
        } = &self.wanted;
        let name = |name: &MachineName| name.to_string();
        let made = start.iter().chain(replace.iter().map(|one| &one.machine));
        Applied {
            commands: commands
                .iter()
                .map(|command| words::command(command, &self.known.framework))
                .collect(),
            plan: api::Plan {
                generation: self.rehearsed.generation.0,
                effects: self.rehearsed.effects.iter().map(words::effect).collect(),
                committed,
                took_ns: None,
            },
            stopped: self
                .ending()
                .iter()
                .map(|machine| name(&machine.name))
                .collect(),
            removed: gone.iter().map(name).collect(),
            replaced: replace
                .iter()
                .map(|one| Replaced {
                    machine: name(&one.machine.name),
                    why: one.why.clone(),
                })
                .collect(),
            started: made.map(|machine| name(&machine.name)).collect(),
            births: self.rehearsed.births.iter().map(words::birth).collect(),
            amended: amend
                .iter()
                .filter_map(|change| self.amended(change))
                .collect(),
        }
    }

    /// What of a change the commands do not say already.
    fn amended(&self, change: &Amendment) -> Option<Amended> {
        let mut machines = self.known.machines.iter();
        let was = machines.find(|machine| machine.asked.name == change.machine)?;
        let is_its = |task| {
            let task = self.known.framework.task(task);
            task.is_some_and(|task| task.name.machine == change.machine)
        };
        let mut commands = self.wanted.commands.iter();
        let is_moved = commands
            .any(|command| matches!(command, Command::Attach { task, .. } if is_its(*task)));
        let restart = (was.asked.restart != change.restart).then(|| change.restart.word().into());
        let groups = !is_moved && was.asked.placement.by_kind != change.placement.by_kind;
        (restart.is_some() || groups).then(|| Amended {
            machine: change.machine.to_string(),
            restart,
            groups,
        })
    }
}
