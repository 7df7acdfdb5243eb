//! Would all of it be granted? Asked of the framework itself, so that there is one set of rules.

use container_core::{Command, Credentials, Event, Framework, Refusal, TaskName, Tid};

use super::{Change, Spec, SpecError};

impl Spec {
    /// Commit the hierarchies and groups into `framework` as one plan, then plan the birth of every
    /// task of every machine in its groups, without committing that. The events are of the commit.
    ///
    /// # Errors
    /// The first refusal, with the line that asked for what is refused. The framework is then not to
    /// be used for running: groups may have been committed.
    pub fn check(&self, framework: &mut Framework) -> Result<Vec<Event>, SpecError> {
        let commands: Vec<Command> = self.changes.iter().map(|c| c.command.clone()).collect();
        let events = framework
            .plan(&Credentials::ROOT, &commands)
            .and_then(|plan| framework.commit(plan))
            .map_err(|refusal| self.refuse_change(&refusal))?;
        self.try_births(framework)?;
        Ok(events)
    }

    fn try_births(&self, framework: &mut Framework) -> Result<(), SpecError> {
        let mut commands = Vec::new();
        let mut origins = Vec::new();
        for machine in &self.machines {
            for kind in machine.kinds() {
                let task = framework.allocate_task();
                let name = TaskName {
                    machine: machine.name.clone(),
                    kind,
                };
                origins.push((machine.line, name.clone()));
                commands.push(Command::Fork {
                    task,
                    name: name.clone(),
                    // No thread has it: the kernel's are below 2^22.
                    tid: Tid(u32::MAX - commands.len() as u32),
                    parent: None,
                });
                for place in machine.places_of(kind) {
                    origins.push((place.line, name.clone()));
                    commands.push(Command::Attach {
                        group: place.group.clone(),
                        task,
                    });
                }
            }
        }
        match framework.plan(&Credentials::ROOT, &commands) {
            Ok(_) => Ok(()),
            Err(refusal) => {
                let (line, name) = &origins[refusal.command];
                Err(self.refuse(*line, format!("task {name}: {refusal}")))
            }
        }
    }

    fn refuse_change(&self, refusal: &Refusal) -> SpecError {
        let Change {
            command,
            line,
            inherited,
        } = &self.changes[refusal.command];
        let message = match command {
            Command::Write { group, file, .. } if *inherited => {
                format!("group {group} has no {file} and inherits its parent's: {refusal}")
            }
            _ => refusal.to_string(),
        };
        self.refuse(*line, message)
    }

    fn refuse(&self, line: usize, message: String) -> SpecError {
        SpecError {
            file: self.file.clone(),
            line: Some(line),
            message,
        }
    }
}
