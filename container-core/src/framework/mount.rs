//! Hierarchies come and go, and subsystems are bound to them.
//!
//! Every css_set has a group in every hierarchy, so a hierarchy that comes adds its root to all of
//! them, and one that goes takes it away. A subsystem that no hierarchy has sits on the dummy's
//! root, and goes on billing there.

use std::collections::BTreeSet;

use super::resolve::check_root;
use super::{Framework, MAX_HIERARCHIES};
use crate::css_set::{CssSetId, Key};
use crate::group::{DUMMY, GroupId, HierarchyId, HierarchyState};
use crate::subsystem::SubsystemId;
use crate::transaction::{Transaction, Undo};
use crate::{Errno, Event, HierarchyName, Refusal};

impl Framework {
    /// # Errors
    /// EPERM for who is not root, EINVAL for an unknown subsystem, EBUSY for a hierarchy of that
    /// name with other subsystems or a subsystem that another hierarchy has, EAGAIN for too many.
    pub(super) fn mount(
        &mut self,
        transaction: &mut Transaction,
        name: &HierarchyName,
        subsystems: &[String],
    ) -> Result<(), Refusal> {
        check_root(&transaction.by, "mount a hierarchy")?;
        let asked = self.named(subsystems)?;
        if let Ok(hierarchy) = self.hierarchy(name) {
            return self.mount_again(transaction, hierarchy, &asked);
        }
        self.are_free(&asked, name)?;
        if self.core.listed().count() >= MAX_HIERARCHIES {
            let rule =
                format!("{name} would be one more than {MAX_HIERARCHIES} hierarchies, the most");
            return Err(Refusal::new(Errno::EAGAIN, rule));
        }
        let hierarchy = self.core.new_hierarchy(name.clone());
        let root = self.core.hierarchies[hierarchy].root;
        let state = self.core.hierarchies[hierarchy].state.clone();
        let before = HierarchyState {
            active: false,
            ..state
        };
        transaction.log.push(Undo::Hierarchy { hierarchy, before });
        self.rekey_all(transaction, hierarchy, Some(root));
        transaction.change([root]);
        for id in asked {
            self.bind(transaction, id, hierarchy);
        }
        transaction.event(|| Event::Mounted {
            hierarchy: name.clone(),
        });
        Ok(())
    }

    /// # Errors
    /// EPERM for who is not root, ENOENT for a hierarchy that is not mounted.
    pub(super) fn unmount(
        &mut self,
        transaction: &mut Transaction,
        name: &HierarchyName,
    ) -> Result<(), Refusal> {
        check_root(&transaction.by, "unmount a hierarchy")?;
        let hierarchy = self.mounted(name)?;
        let root = self.core.hierarchies[hierarchy].root;
        let goes = self.core.groups[root].children.is_empty();
        if goes {
            for id in self.bound_to(root) {
                self.bind(transaction, id, DUMMY);
            }
            self.rekey_all(transaction, hierarchy, None);
            self.leaving.hierarchies.push(hierarchy);
        }
        let state = self.core.hierarchies[hierarchy].state.clone();
        let state = HierarchyState {
            mounted: false,
            active: !goes,
            ..state
        };
        self.set_hierarchy_state(transaction, hierarchy, state);
        transaction.event(|| Event::Unmounted {
            hierarchy: name.clone(),
        });
        Ok(())
    }

    /// Kernel: `cgroup1_reconfigure`, which refuses a hierarchy with child groups even where nothing
    /// would change.
    ///
    /// # Errors
    /// EPERM for who is not root, EINVAL for an unknown subsystem, ENOENT for a hierarchy that is not
    /// mounted, EBUSY for another set where there are child groups, and for a subsystem that another
    /// hierarchy has.
    pub(super) fn remount(
        &mut self,
        transaction: &mut Transaction,
        name: &HierarchyName,
        subsystems: &[String],
    ) -> Result<(), Refusal> {
        check_root(&transaction.by, "remount a hierarchy")?;
        let asked = self.named(subsystems)?;
        let hierarchy = self.mounted(name)?;
        let root = self.core.hierarchies[hierarchy].root;
        let bound: BTreeSet<SubsystemId> = self.bound_to(root).collect();
        if bound == asked {
            return Ok(());
        }
        let children = self.core.groups[root].children.len();
        if children > 0 {
            let rule = format!(
                "{name} has child groups ({children} below its root): it keeps the subsystems {}, and \
                 cannot have {}",
                self.list(&bound),
                self.list(&asked)
            );
            return Err(Refusal::new(Errno::EBUSY, rule));
        }
        let gained: BTreeSet<SubsystemId> = asked.difference(&bound).copied().collect();
        self.are_free(&gained, name)?;
        for id in gained {
            self.bind(transaction, id, hierarchy);
        }
        for id in bound.difference(&asked) {
            self.bind(transaction, *id, DUMMY);
        }
        let subsystems = asked.iter().map(|id| self.subsystems.get(*id).name());
        transaction.event(|| Event::Remounted {
            hierarchy: name.clone(),
            subsystems: subsystems.collect(),
        });
        Ok(())
    }

    pub(super) fn set_hierarchy_state(
        &mut self,
        transaction: &mut Transaction,
        hierarchy: HierarchyId,
        state: HierarchyState,
    ) {
        let before = std::mem::replace(&mut self.core.hierarchies[hierarchy].state, state);
        transaction.log.push(Undo::Hierarchy { hierarchy, before });
    }

    /// The same set of subsystems is the same tree.
    fn mount_again(
        &mut self,
        transaction: &mut Transaction,
        hierarchy: HierarchyId,
        asked: &BTreeSet<SubsystemId>,
    ) -> Result<(), Refusal> {
        let this = &self.core.hierarchies[hierarchy];
        let bound: BTreeSet<SubsystemId> = self.bound_to(this.root).collect();
        let name = this.name.clone();
        if bound != *asked {
            let rule = format!(
                "{name} has the subsystems {}, not {}",
                self.list(&bound),
                self.list(asked)
            );
            return Err(Refusal::new(Errno::EBUSY, rule));
        }
        if !this.state.mounted {
            let state = HierarchyState {
                mounted: true,
                ..this.state.clone()
            };
            self.set_hierarchy_state(transaction, hierarchy, state);
            transaction.event(|| Event::Mounted { hierarchy: name });
        }
        Ok(())
    }

    /// # Errors
    /// EINVAL for an unknown one.
    fn named(&self, subsystems: &[String]) -> Result<BTreeSet<SubsystemId>, Refusal> {
        let named = subsystems.iter().map(|name| self.subsystems.named(name));
        named.collect()
    }

    /// Whether a hierarchy can have these, which it has not.
    ///
    /// # Errors
    /// EBUSY for one that another hierarchy has.
    fn are_free(&self, asked: &BTreeSet<SubsystemId>, name: &HierarchyName) -> Result<(), Refusal> {
        let Some(id) = asked.iter().find(|id| self.core.is_bound(**id)) else {
            return Ok(());
        };
        let rule = format!(
            "{} is bound to {} and cannot go to {name}",
            self.subsystems.get(*id).name(),
            self.core.hierarchies[self.core.bindings[id.0]].name
        );
        Err(Refusal::new(Errno::EBUSY, rule))
    }

    /// Subsystems in words.
    fn list(&self, ids: &BTreeSet<SubsystemId>) -> String {
        let names: Vec<_> = ids
            .iter()
            .map(|id| self.subsystems.get(*id).name())
            .collect();
        match names.is_empty() {
            true => "none".into(),
            false => names.join(","),
        }
    }

    /// Carry a subsystem from the root that it is on to another; neither has children.
    fn bind(&mut self, transaction: &mut Transaction, id: SubsystemId, to: HierarchyId) {
        let from = self.core.bindings[id.0];
        let (from_root, to_root) = (
            self.core.hierarchies[from].root,
            self.core.hierarchies[to].root,
        );
        let (subsystems, mut cx) = self.context(transaction);
        subsystems.get_mut(id).bind(&mut cx, from_root, to_root);
        self.core.bindings[id.0] = to;
        transaction.log.push(Undo::Bound {
            subsystem: id,
            from,
        });
    }

    /// Every css_set gets this group in one hierarchy; all had the same one there before.
    fn rekey_all(
        &mut self,
        transaction: &mut Transaction,
        hierarchy: HierarchyId,
        group: Option<GroupId>,
    ) {
        let before: Vec<(CssSetId, Key)> = self
            .core
            .css
            .sets
            .iter()
            .map(|(id, set)| (id, set.key.clone()))
            .collect();
        let after = before.iter().map(|(id, key)| {
            let mut key = key.to_vec();
            if key.len() <= hierarchy.index() {
                key.resize(hierarchy.index() + 1, None);
            }
            key[hierarchy.index()] = group;
            (*id, key.into_iter().collect())
        });
        let after = after.collect();
        self.core.rekey(after);
        transaction.log.push(Undo::Rekeyed { keys: before });
    }
}
