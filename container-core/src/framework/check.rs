//! For tests and benches: the whole state as text, whether its parts agree with each other, and the
//! one lookup that nothing public does alone.

use std::collections::HashSet;
use std::fmt::Write;

use super::Framework;
use crate::css_set::INIT_CSS_SET;
use crate::group::DUMMY;
use crate::{GroupPath, Refusal, TaskId};

impl Framework {
    /// Everything there is as text: equal for equal states, and for no others.
    #[doc(hidden)]
    pub fn snapshot(&self) -> String {
        let mut text = String::new();
        let core = &self.core;
        let _ = writeln!(
            text,
            "{:?} {:?} {:?}",
            self.generation, core.host, core.bindings
        );
        for (id, hierarchy) in core.hierarchies.iter() {
            let state = &hierarchy.state;
            let _ = write!(
                text,
                "hierarchy {id:?} {} {:?}",
                hierarchy.name, hierarchy.root
            );
            let _ = write!(text, " {} {}", hierarchy.groups, state.mounted);
            let _ = writeln!(text, " {} {}", state.active, state.release_agent);
        }
        for (id, group) in core.groups.iter() {
            let _ = write!(text, "group {id:?} {} {:?}", group.path, group.parent);
            let _ = write!(text, " {:?} {}", group.children, group.descendants);
            let _ = writeln!(
                text,
                " {} {:?} {}",
                group.tasks, group.attributes, group.offline
            );
        }
        for (id, set) in core.css.sets.iter() {
            let _ = writeln!(text, "css_set {id:?} {:?} {:?}", set.key, set.tasks);
        }
        for (id, task) in core.tasks.slots.iter() {
            let _ = write!(text, "task {id:?} {} {} {}", task.id, task.name, task.tid);
            let _ = write!(text, " {:?} {:?}", task.css_set, task.usage);
            let _ = writeln!(text, " {}", task.is_held);
        }
        for dead in core.tasks.dead() {
            let _ = writeln!(text, "dead {dead:?}");
        }
        let _ = writeln!(
            text,
            "next {} retired {:?}",
            core.tasks.next, core.tasks.retired
        );
        for id in self.subsystems.ids() {
            let subsystem = self.subsystems.get(id);
            let _ = write!(text, "{}\n{}", subsystem.name(), subsystem.dump());
        }
        text
    }

    /// The number of the css_set that a task would have in a group, found by hash; None where there
    /// is none yet.
    ///
    /// # Errors
    /// ESRCH for a task that is dead, ENOENT for a group that is not there.
    #[doc(hidden)]
    pub fn css_set_for(&self, task: TaskId, group: &GroupPath) -> Result<Option<usize>, Refusal> {
        let group = self.resolve(group)?;
        let base = self.core.tasks.slots[self.core.tasks.living_task(task)?].css_set;
        let hierarchy = self.core.groups[group].hierarchy;
        Ok(self
            .core
            .find_css_set(base, hierarchy, group)
            .map(|set| set.index()))
    }

    /// # Panics
    /// Where two parts of the state contradict each other.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        self.check_css_sets();
        self.check_groups();
        self.check_tasks();
        self.check_states();
        self.check_freezing();
        let ledger = self.ledger();
        assert_eq!(
            ledger.groups,
            ledger.tasks + ledger.retired,
            "the ledger is balanced"
        );
        self.subsystems.cpuacct.check_parts();
        self.check_memory();
    }

    fn check_css_sets(&self) {
        let core = &self.core;
        let mut keys = HashSet::new();
        for (id, set) in core.css.sets.iter() {
            assert!(
                keys.insert(set.key.to_vec()),
                "{id:?} has the groups of another css_set"
            );
            assert_eq!(
                core.css.find(set.key.iter().copied()),
                Some(id),
                "{id:?} is in the hash"
            );
            assert!(
                id == INIT_CSS_SET || !set.tasks.is_empty(),
                "{id:?} has tasks"
            );
            assert_eq!(
                core.css.links_of(id).count(),
                set.key.iter().flatten().count(),
                "{id:?} is linked"
            );
            for (hierarchy, _) in core.hierarchies.iter() {
                let group = set.key[hierarchy.index()].expect("a group in every hierarchy");
                assert_eq!(core.groups[group].hierarchy, hierarchy);
            }
        }
        assert_eq!(
            core.css.hashed(),
            core.css.sets.len(),
            "nothing else is in the hash"
        );
        let links: usize = core
            .css
            .sets
            .iter()
            .map(|(id, _)| core.css.links_of(id).count())
            .sum();
        assert_eq!(core.css.links.len(), links, "every link is a css_set's");
    }

    fn check_groups(&self) {
        let core = &self.core;
        for (id, group) in core.groups.iter() {
            assert!(!group.offline, "{} is in its tree", group.path);
            assert_eq!(
                core.tasks_in(id).count(),
                group.tasks as usize,
                "{}",
                group.path
            );
            assert_eq!(core.subtree(id).count(), group.descendants as usize + 1);
            for link in group.css_sets.iter(&core.css.links) {
                let set = &core.css.sets[core.css.links[link].set];
                assert_eq!(
                    set.key[group.hierarchy.index()],
                    Some(id),
                    "links go both ways"
                );
            }
            for (name, child) in &group.children {
                assert_eq!(core.groups[*child].parent, Some(id));
                let path = group.path.below(name);
                assert_eq!(core.groups[*child].path, path);
                assert_eq!(core.group_at(group.hierarchy, path.path()), Some(*child));
            }
        }
        for (id, hierarchy) in core.hierarchies.iter() {
            assert!(hierarchy.state.active, "{} stands", hierarchy.name);
            assert_eq!(core.subtree(hierarchy.root).count(), hierarchy.groups);
            let tasks = core
                .subtree(hierarchy.root)
                .flat_map(|group| core.tasks_in(group));
            let distinct: HashSet<_> = tasks.collect();
            assert_eq!(distinct.len(), core.tasks.living(), "{id:?} has every task");
        }
        let trees: usize = core.hierarchies.iter().map(|(_, it)| it.groups).sum();
        assert_eq!(core.groups.len(), trees, "every group is in a tree");
        let below = trees - core.hierarchies.iter().count();
        assert_eq!(core.listed_paths(), below, "no other has a path");
        assert_eq!(core.groups[core.hierarchies[DUMMY].root].children.len(), 0);
    }

    fn check_tasks(&self) {
        let core = &self.core;
        assert_eq!(core.tasks.slots.len(), core.tasks.living());
        for (slot, task) in core.tasks.slots.iter() {
            assert!(
                core.tasks.is_listed(slot) && core.tasks.dead_task(task.id).is_none(),
                "{} lives",
                task.name
            );
            assert_eq!(core.tasks.get(task.id), Some(slot));
            assert_eq!(core.tasks.with_tid(task.tid), Some(slot));
            assert_eq!(core.tasks.with_name(&task.name), Some(slot));
            let mates = &core.css.sets[task.css_set].tasks;
            assert!(mates.contains(&task.tid), "{} is in its set", task.name);
        }
    }

    /// A subsystem that keeps a state by group has one for each of its hierarchy, and none for one that is gone.
    fn check_states(&self) {
        for id in self.subsystems.ids() {
            let subsystem = self.subsystems.get(id);
            if let Some(states) = subsystem.states() {
                let groups = self.core.subtree(self.core.root_of(id)).count();
                let name = subsystem.name();
                let known = states.known_groups();
                assert_eq!(known, groups, "groups that {name} has a state of");
            }
        }
    }
}

#[cfg(test)]
mod tests;
