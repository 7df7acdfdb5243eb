//! Would all of it be granted? Asked of the framework itself, so that there is one set of rules.

use container_core::{Command, Credentials, Event, Framework, Refusal, TaskKind, TaskName, Tid};
use supervisor::Births;

use super::{Change, MachineSpec, Spec, SpecError};

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
            .rehearse(&Credentials::ROOT, &commands)
            .map_err(|refusal| self.refuse_change(&refusal))?;
        self.try_births(framework, &self.machines)?;
        Ok(events)
    }

    /// Is every machine started once, and no more?
    ///
    /// # Errors
    /// The first that is to be started anew: who asks does not do that.
    pub fn starts_once(&self) -> Result<(), SpecError> {
        let again = |machine: &&MachineSpec| machine.restart != supervisor::Restart::No;
        match self.machines.iter().find(again) {
            None => Ok(()),
            Some(MachineSpec {
                name,
                restart,
                line,
                ..
            }) => {
                let message = format!(
                    "machine {name} has restart {restart:?}, and `pinfold run` starts each machine \
                     once: leave it out, or use `pinfold serve`",
                    restart = restart.word(),
                );
                Err(self.refuse(*line, message))
            }
        }
    }

    /// Plan the birth of every task of these machines in its groups, and commit nothing.
    pub(super) fn try_births<'a>(
        &self,
        framework: &mut Framework,
        machines: impl IntoIterator<Item = &'a MachineSpec>,
    ) -> Result<(), SpecError> {
        let mut commands = Vec::new();
        let mut origins = Vec::new();
        // No thread has one of these: the kernel's are below 2^22.
        let mut unused = u32::MAX;
        let mut tid = || {
            unused -= 1;
            Tid(unused)
        };
        for machine in machines {
            let new = machine.to_new();
            let control = tid();
            let births = Births::new(framework, &new, control)
                .map_err(|refusal| self.refuse(machine.line, refusal.to_string()))?;
            let mut kinds = machine.kinds();
            births.sort(&mut kinds, |kind| *kind);
            for kind in kinds {
                let tid = match kind {
                    TaskKind::Control => control,
                    _ => tid(),
                };
                let task = framework.allocate_task();
                for command in births.of(kind, task, tid, None) {
                    let name = TaskName {
                        machine: machine.name.clone(),
                        kind,
                    };
                    let placed = machine.places_of(kind).iter().find(|place| match &command {
                        Command::Attach { group, .. } => *group == place.group,
                        _ => false,
                    });
                    origins.push((placed.map_or(machine.line, |place| place.line), name));
                    commands.push(command);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::{TREES, host, loaded};

    fn checked(text: &str) -> Result<Framework, String> {
        let mut framework = Framework::new(host());
        let spec = loaded(text).map_err(|error| error.to_string())?;
        let checked = spec.check(&mut framework);
        checked
            .map(|_| framework)
            .map_err(|error| error.to_string())
    }

    /// The sentence is the framework's, and tested there; the line and what stands before it are ours,
    /// and both operands have to be in it.
    fn refused(text: &str, start: &str, operands: &[&str]) {
        let message = checked(text)
            .err()
            .unwrap_or_else(|| panic!("granted: {text}"));
        assert!(
            message.starts_with(start),
            "{message:?} does not start with {start:?}"
        );
        for operand in operands {
            assert!(
                message.contains(operand),
                "{operand:?} is not in {message:?}"
            );
        }
    }

    /// One hierarchy with a cpuset and the groups that follow.
    fn cpuset(groups: &str) -> String {
        format!("[hierarchy.p]\nsubsystems = ['cpuset']\n{groups}")
    }

    #[test]
    fn what_is_granted_is_committed_and_no_task_is_born() {
        let groups = "groups = ['placement:/gold/web', 'billing:/a']";
        let framework = checked(&format!("{TREES}{groups}")).unwrap();
        let walk = framework.walk(&"placement".parse().unwrap()).unwrap();
        let shown = walk
            .iter()
            .map(|group| group.path.to_string())
            .collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                "placement:/",
                "placement:/gold",
                "placement:/gold/web",
                "placement:/gold/web/hot"
            ]
        );
        assert!(
            walk.iter()
                .all(|group| group.requested_cpus == Some((0..2).collect()))
        );
        assert_eq!(framework.tasks().count(), 0);
    }

    #[test]
    fn the_examples_are_granted_on_two_cpus() {
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
        let mut count = 0;
        for entry in std::fs::read_dir(examples).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                let spec = crate::spec::load(&path, &host()).unwrap();
                spec.check(&mut Framework::new(host())).unwrap();
                count += 1;
            }
        }
        assert!(count >= 3, "{count} examples");
    }

    #[test]
    fn cpus_that_the_host_or_the_parent_lacks_are_refused_at_their_line() {
        let cpus = |cpus: &str| {
            cpuset(&format!(
                "[group.'p:/a']\nfiles = {{\n'cpuset.cpus' = {cpus} }}"
            ))
        };
        refused(
            &cpus("3"),
            "a.toml:5: cpuset.cpus 3 ",
            &["the host's 0-1", "(EINVAL)"],
        );
        refused(
            &cpus("'0,9'"),
            "a.toml:5: ",
            &["9 in \"0,9\"", "past 3", "(ERANGE)"],
        );
        refused(&cpus("'abc'"), "a.toml:5: ", &["\"abc\"", "(EINVAL)"]);
        let parent = "[group.'p:/a']\nfiles = { 'cpuset.cpus' = 0 }\n";
        let child = "[group.'p:/a/b']\nfiles = { 'cpuset.cpus' = '0-1' }";
        let text = cpuset(&format!("{parent}{child}"));
        refused(
            &text,
            "a.toml:6: cpuset.cpus 0-1 ",
            &["the parent's 0", "(EACCES)"],
        );
    }

    #[test]
    fn exclusive_sets_that_overlap_are_refused_also_where_one_is_inherited() {
        let one = "[group.'p:/a']\nfiles = { 'cpuset.cpus' = 0, 'cpuset.cpu_exclusive' = 1 }\n";
        let overlap = ["cpuset.cpus 0-1 overlaps the 0 of", "p:/a", "(EINVAL)"];
        let two = format!("{one}[group.'p:/b']\nfiles = {{ 'cpuset.cpus' = '0-1' }}");
        refused(&cpuset(&two), "a.toml:6: cpuset.cpus 0-1 ", &overlap);
        let two = format!("{one}[group.'p:/b']");
        let start =
            "a.toml:5: group p:/b has no cpuset.cpus and inherits its parent's: cpuset.cpus 0-1 ";
        refused(&cpuset(&two), start, &overlap);
    }

    #[test]
    fn what_no_subsystem_knows_is_refused_at_its_line() {
        refused(
            "[hierarchy.p]\nsubsystems = [\n'blkio']",
            "a.toml:3: ",
            &["\"blkio\"", "cpuset", "(EINVAL)"],
        );
        let file = |file: &str| cpuset(&format!("[group.'p:/a']\nfiles = {{ {file} }}"));
        refused(
            &file("'cpuset.cpu' = 3"),
            "a.toml:4: ",
            &["p:/a", "\"cpuset.cpu\""],
        );
        let balance = file("'cpuset.sched_load_balance' = 0");
        refused(
            &balance,
            "a.toml:4: ",
            &["cpuset.sched_load_balance 0", "only 1", "(EINVAL)"],
        );
        let root = cpuset("[group.'p:/']\nfiles = { 'cpuset.cpus' = 0 }");
        refused(&root, "a.toml:4: cpuset.cpus ", &["p:/", "(EACCES)"]);
    }

    #[test]
    fn a_task_that_its_group_would_not_take_is_refused_where_it_is_placed() {
        let gold = |files: &str| {
            let group = "[group.'placement:/gold']";
            let text = TREES.replace(group, &format!("{group}\nfiles = {{ {files} }}"));
            format!("{text}groups = [\n'placement:/gold']")
        };
        let seats = gold("'cpuset.cpus' = 1, 'cpuset.placement' = 'one-to-one'");
        refused(
            &seats,
            "a.toml:15: task web/vcpu1: ",
            &["placement:/gold", "one-to-one", "CPU of 1", "(ENOSPC)"],
        );
        refused(
            &gold("'cpuset.cpus' = ''"),
            "a.toml:15: task web/vcpu0: ",
            &["placement:/gold", "(ENOSPC)"],
        );
    }
}
