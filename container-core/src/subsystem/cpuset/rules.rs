//! Which values a cpuset may take beside those of its parent, children and siblings.
//!
//! All of it is asked of a trial copy before the live state is touched. The order of the checks is
//! the kernel's, since it decides which errno a value gets that breaks two rules.

use super::{Cpuset, State};
use crate::core::Core;
use crate::group::GroupId;
use crate::refusal::count;
use crate::table::TaskSlot;
use crate::{CpuSet, Errno, GroupPath, HostResources, IdSet, NodeSet, Refusal};

/// # Errors
/// EINVAL for a CPU that the host does not have.
pub(super) fn cpus_are_present(host: &HostResources, cpus: CpuSet) -> Result<(), Refusal> {
    if !cpus.is_subset_of(&host.present_cpus) {
        let present = host.present_cpus;
        let rule = format!("cpuset.cpus {cpus} is not a subset of the host's {present}");
        return Err(Refusal::new(Errno::EINVAL, rule));
    }
    Ok(())
}

/// # Errors
/// EACCES for a CPU that is there but not for us: it could not be enforced.
pub(super) fn cpus_are_allowed(host: &HostResources, cpus: CpuSet) -> Result<(), Refusal> {
    if !cpus.is_subset_of(&host.allowed_cpus) {
        let allowed = host.allowed_cpus;
        let rule =
            format!("cpuset.cpus {cpus} is not a subset of {allowed}, which the host allows");
        return Err(Refusal::new(Errno::EACCES, rule));
    }
    Ok(())
}

/// # Errors
/// EINVAL for a node that the host does not have, and for some nodes of several: guest RAM is not
/// bound to nodes yet, so nothing but all of them is in force.
pub(super) fn mems_are_enforced(host: &HostResources, mems: NodeSet) -> Result<(), Refusal> {
    let all = host.mems;
    if !mems.is_subset_of(&all) {
        let rule = format!("cpuset.mems {mems} is not a subset of the host's {all}");
        return Err(Refusal::new(Errno::EINVAL, rule));
    }
    if !mems.is_empty() && mems != all {
        let rule = format!("cpuset.mems {mems} of the host's {all} would not be enforced");
        return Err(Refusal::new(Errno::EINVAL, rule));
    }
    Ok(())
}

/// A list that a guest wrote, spelled out: `all` and `N` would mean the host's to who reads it next.
///
/// What the host has beyond `whole`, which the root of the guest's view has, is to the guest none at
/// all: whether a CPU is absent or another's makes no difference.
///
/// # Errors
/// EINVAL for what is no list, EACCES for a number that the root of the view does not have.
pub(super) fn list_within<const WORDS: usize>(
    file: &str,
    value: &str,
    whole: IdSet<WORDS>,
) -> Result<String, Refusal> {
    let refused = |text: &str| {
        let whole = list(whole);
        let rule = format!("{file} {text} is not a subset of the {whole} of the root of this view");
        Err(Refusal::plain(Errno::EACCES, rule))
    };
    match value.parse::<IdSet<WORDS>>() {
        Ok(asked) if asked.is_subset_of(&whole) && asked.is_empty() => Ok("\n".into()),
        Ok(asked) if asked.is_subset_of(&whole) => Ok(asked.to_string()),
        Ok(asked) => refused(&list(asked)),
        Err(refusal) if refusal.errno == Errno::EINVAL => {
            Err(Refusal::plain(Errno::EINVAL, refusal.rule))
        }
        Err(_) => refused(value.trim()),
    }
}

impl State {
    pub(super) fn is_exclusive(&self) -> bool {
        self.cpu_exclusive || self.mem_exclusive
    }

    /// Whether it has something that its siblings may not have.
    pub(super) fn reserves(&self) -> bool {
        self.cpu_exclusive && !self.cpus.is_empty() || self.mem_exclusive && !self.mems.is_empty()
    }
}

impl Cpuset {
    /// # Errors
    /// ENOSPC where the group has no CPUs or no memory nodes to give to the task.
    pub(super) fn takes_tasks(
        &self,
        core: &Core,
        task: TaskSlot,
        to: GroupId,
    ) -> Result<(), Refusal> {
        let (group, state) = (&core.groups[to], self.state(to));
        let name = &core.tasks.slots[task].name;
        for (file, is_empty) in [
            ("cpuset.cpus", state.cpus.is_empty()),
            ("cpuset.mems", state.mems.is_empty()),
        ] {
            if is_empty {
                let (enter, why) = (" cannot enter ", format!(", whose {file} is empty"));
                let path = (&group.path).into();
                let parts = ["task ".into(), name.into(), enter.into(), path, why.into()];
                return Err(Refusal::about(Errno::ENOSPC, parts));
            }
        }
        Ok(())
    }

    /// May the group have these values?
    ///
    /// Below a root only the flags are compared: its values are the host's, which may shrink under
    /// values asked for before, and what is asked for now is held against the host itself.
    ///
    /// # Errors
    /// EBUSY where a child has more, EACCES where the parent has less, ENOSPC for nothing at all
    /// while tasks are in the group, EBUSY for no CPUs in an exclusive one, EINVAL for an overlap
    /// where one of two siblings is exclusive.
    pub(super) fn validate_change(
        &self,
        core: &Core,
        group: GroupId,
        trial: &State,
    ) -> Result<(), Refusal> {
        let this = &core.groups[group];
        for child in this.children.values() {
            let path = &core.groups[*child].path;
            let child = self.state(*child);
            self.holds_flags_of_child(trial, child, path)?;
            if this.parent.is_some() {
                self.holds_values_of_child(trial, child, path)?;
            }
        }
        let Some(parent) = this.parent else {
            return Ok(());
        };
        let above = &core.groups[parent];
        self.flags_are_held_by_parent(trial, self.state(parent), &above.path)?;
        if above.parent.is_some() {
            self.values_are_held_by_parent(trial, self.state(parent), &above.path)?;
        }
        let before = self.state(group);
        for (file, cleared) in [
            (
                "cpuset.cpus",
                trial.cpus.is_empty() && !before.cpus.is_empty(),
            ),
            (
                "cpuset.mems",
                trial.mems.is_empty() && !before.mems.is_empty(),
            ),
        ] {
            if cleared && this.tasks > 0 {
                let (tasks, path) = (count(this.tasks, "task is", "tasks are"), &this.path);
                let rule = format!("{file} cannot be empty while {tasks} in ");
                return Err(Refusal::about(Errno::ENOSPC, [rule.into(), path.into()]));
            }
        }
        // The kernel's reason is its deadline scheduler, which keeps a share on every exclusive CPU.
        if before.cpu_exclusive && trial.cpus.is_empty() && !before.cpus.is_empty() {
            let rule = "cpuset.cpus cannot be empty while cpuset.cpu_exclusive is 1 in ";
            return Err(Refusal::about(
                Errno::EBUSY,
                [rule.into(), (&this.path).into()],
            ));
        }
        self.is_apart_from_siblings(core, group, parent, trial)
    }

    /// A group that reserves nothing is held against those siblings that do, one that does against all of them.
    fn is_apart_from_siblings(
        &self,
        core: &Core,
        group: GroupId,
        parent: GroupId,
        trial: &State,
    ) -> Result<(), Refusal> {
        let is_apart = |sibling: &GroupId| {
            let path = &core.groups[*sibling].path;
            self.is_apart_from(trial, self.state(*sibling), path)
        };
        let others = |sibling: &&GroupId| **sibling != group;
        let mut reserving = self.state(parent).reserving().filter(others);
        if !trial.reserves() && reserving.all(|sibling| is_apart(sibling).is_ok()) {
            return Ok(());
        }
        let mut siblings = core.groups[parent].children.values().filter(others);
        siblings.try_for_each(is_apart)
    }

    fn holds_values_of_child(
        &self,
        trial: &State,
        child: &State,
        path: &GroupPath,
    ) -> Result<(), Refusal> {
        let rule = if !child.cpus.is_subset_of(&trial.cpus) {
            let (cpus, held) = (list(*trial.cpus), list(*child.cpus));
            format!("cpuset.cpus {cpus} does not hold the {held} of the child ")
        } else if !child.mems.is_subset_of(&trial.mems) {
            let (mems, held) = (list(trial.mems), list(child.mems));
            format!("cpuset.mems {mems} does not hold the {held} of the child ")
        } else {
            return Ok(());
        };
        Err(Refusal::about(Errno::EBUSY, [rule.into(), path.into()]))
    }

    fn holds_flags_of_child(
        &self,
        trial: &State,
        child: &State,
        path: &GroupPath,
    ) -> Result<(), Refusal> {
        let rule = if child.cpu_exclusive && !trial.cpu_exclusive {
            "cpuset.cpu_exclusive cannot be 0 while that of the child "
        } else if child.mem_exclusive && !trial.mem_exclusive {
            "cpuset.mem_exclusive cannot be 0 while that of the child "
        } else {
            return Ok(());
        };
        let parts = [rule.into(), path.into(), " is 1".into()];
        Err(Refusal::about(Errno::EBUSY, parts))
    }

    fn values_are_held_by_parent(
        &self,
        trial: &State,
        parent: &State,
        path: &GroupPath,
    ) -> Result<(), Refusal> {
        let rule = if !trial.cpus.is_subset_of(&parent.cpus) {
            let (cpus, held) = (list(*trial.cpus), list(*parent.cpus));
            format!("cpuset.cpus {cpus} is not a subset of the parent's {held} in ")
        } else if !trial.mems.is_subset_of(&parent.mems) {
            let (mems, held) = (list(trial.mems), list(parent.mems));
            format!("cpuset.mems {mems} is not a subset of the parent's {held} in ")
        } else {
            return Ok(());
        };
        Err(Refusal::about(Errno::EACCES, [rule.into(), path.into()]))
    }

    fn flags_are_held_by_parent(
        &self,
        trial: &State,
        parent: &State,
        path: &GroupPath,
    ) -> Result<(), Refusal> {
        let rule = if trial.cpu_exclusive && !parent.cpu_exclusive {
            "cpuset.cpu_exclusive cannot be 1 while that of the parent "
        } else if trial.mem_exclusive && !parent.mem_exclusive {
            "cpuset.mem_exclusive cannot be 1 while that of the parent "
        } else {
            return Ok(());
        };
        let parts = [rule.into(), path.into(), " is 0".into()];
        Err(Refusal::about(Errno::EACCES, parts))
    }

    fn is_apart_from(
        &self,
        trial: &State,
        sibling: &State,
        path: &GroupPath,
    ) -> Result<(), Refusal> {
        #[cfg(test)]
        tests::COMPARED.with(|count| count.set(count.get() + 1));
        let cpu_exclusive = trial.cpu_exclusive || sibling.cpu_exclusive;
        let mem_exclusive = trial.mem_exclusive || sibling.mem_exclusive;
        let (file, ours, theirs) = if cpu_exclusive && trial.cpus.intersects(&sibling.cpus) {
            (
                "cpuset.cpus",
                trial.cpus.to_string(),
                sibling.cpus.to_string(),
            )
        } else if mem_exclusive && trial.mems.intersects(&sibling.mems) {
            (
                "cpuset.mems",
                trial.mems.to_string(),
                sibling.mems.to_string(),
            )
        } else {
            return Ok(());
        };
        let overlap = format!("{file} {ours} overlaps the {theirs} of the sibling ");
        let why = ", and one of the two is exclusive";
        Err(Refusal::about(
            Errno::EINVAL,
            [overlap.into(), path.into(), why.into()],
        ))
    }
}

/// A set inside a sentence.
fn list<const WORDS: usize>(set: IdSet<WORDS>) -> String {
    if set.is_empty() {
        "nothing".into()
    } else {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::{Command, CpuSet, Credentials, Framework, HostResources};

    thread_local! {
        /// Pairs of siblings that were held against each other.
        pub(super) static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    fn write(group: &str, file: &str, value: &str) -> Command {
        Command::Write {
            group: group.parse().unwrap(),
            file: file.into(),
            value: value.into(),
        }
    }

    #[test]
    fn a_change_is_held_against_the_siblings_that_reserve_something_and_not_against_all() {
        const SIBLINGS: usize = 2000;
        let cpus: CpuSet = (0..4).collect();
        let mut framework = Framework::new(HostResources {
            allowed_cpus: cpus,
            present_cpus: cpus,
            possible_cpus: 4,
            mems: (0..1).collect(),
        });
        let mut commands = vec![Command::Mount {
            hierarchy: "p".parse().unwrap(),
            subsystems: vec!["cpuset".into()],
        }];
        for number in 0..SIBLINGS {
            let group = format!("p:/{number}");
            let mkdir = Command::Mkdir {
                group: group.parse().unwrap(),
            };
            let cpus = if number == 0 { "0" } else { "1-3" };
            commands.extend([
                mkdir,
                write(&group, "cpuset.cpus", cpus),
                write(&group, "cpuset.mems", "0"),
            ]);
            if number == 0 {
                commands.push(write(&group, "cpuset.cpu_exclusive", "1"));
            }
        }
        let plan = framework.plan(&Credentials::ROOT, &commands).unwrap();
        let compared = COMPARED.with(Cell::take);
        assert!(
            compared <= 3 * SIBLINGS,
            "{compared} pairs of {SIBLINGS} siblings"
        );
        framework.commit(plan).unwrap();
        // Those that are held against each other are the right ones.
        for (group, cpus) in [("p:/7", "0-1"), ("p:/0", "0-1")] {
            let refused = framework.plan(&Credentials::ROOT, &[write(group, "cpuset.cpus", cpus)]);
            let rule = refused.unwrap_err().rule;
            assert!(rule.contains("one of the two is exclusive"), "{rule}");
        }
        let rmdir = Command::Rmdir {
            group: "p:/0".parse().unwrap(),
        };
        let plan = framework.plan(
            &Credentials::ROOT,
            &[rmdir, write("p:/7", "cpuset.cpus", "0-1")],
        );
        framework.commit(plan.unwrap()).unwrap();
        let flag = [write("p:/7", "cpuset.cpu_exclusive", "1")];
        assert!(framework.plan(&Credentials::ROOT, &flag).is_err());
    }
}
