//! Groups made, removed, renamed and handed over; and the release of those that become empty.

use super::resolve::{Access, check_access};
use super::{Framework, MAX_DEPTH, MAX_GROUPS};
use crate::group::{Attributes, Group, GroupId};
use crate::name::check_component;
use crate::refusal::count;
use crate::subsystem::{SubsystemId, Subsystems};
use crate::transaction::{Transaction, Undo};
use crate::{Errno, Event, GroupPath, Refusal};

impl Framework {
    pub(super) fn mkdir(
        &mut self,
        transaction: &mut Transaction,
        path: &GroupPath,
    ) -> Result<(), Refusal> {
        let Some((parent, name)) = self.resolve_parent(path)? else {
            let rule = format!("{path} is a hierarchy's root, which is there already");
            return Err(Refusal::new(Errno::EEXIST, rule));
        };
        self.make_group(transaction, parent, name).map(drop)
    }

    /// A new child of `parent`, seen by the subsystems.
    pub(super) fn make_group(
        &mut self,
        transaction: &mut Transaction,
        parent: GroupId,
        name: &str,
    ) -> Result<GroupId, Refusal> {
        check_component(name)?;
        self.name_is_free(parent, name, Errno::EEXIST)?;
        check_access(&self.core, &transaction.by, parent, Access::Write)?;
        self.check_limits(parent)?;
        let above = &self.core.groups[parent];
        let group = Group::new(
            above.path.child(name)?,
            above.hierarchy,
            Some((parent, above)),
        );
        let group = self.core.groups.insert(group);
        let bound = self.bound_to(group);
        for id in bound.clone() {
            let (subsystems, mut cx) = self.context(transaction);
            subsystems
                .get_mut(id)
                .css_alloc(&mut cx, group, Some(parent));
        }
        self.link_group(group);
        transaction.change([group]);
        transaction.log.push(Undo::Made { group });
        for id in bound {
            let (subsystems, mut cx) = self.context(transaction);
            subsystems.get_mut(id).css_online(&mut cx, group);
        }
        self.tell(transaction, &[group], || Event::GroupCreated {
            group: self.core.groups[group].path.clone(),
        });
        Ok(group)
    }

    pub(super) fn rmdir(
        &mut self,
        transaction: &mut Transaction,
        path: &GroupPath,
    ) -> Result<(), Refusal> {
        let group = self.resolve(path)?;
        let busy = |why: &str| Err(Refusal::about(Errno::EBUSY, [path.into(), why.into()]));
        let Group {
            parent,
            children,
            tasks,
            ..
        } = &self.core.groups[group];
        let Some(parent) = *parent else {
            return busy(" is a hierarchy's root, which goes only by unmounting");
        };
        check_access(&self.core, &transaction.by, parent, Access::Write)?;
        if *tasks > 0 {
            let tasks = count(*tasks, "task", "tasks");
            return busy(&format!(" cannot be removed with {tasks} in it"));
        }
        if !children.is_empty() {
            let children = count(children.len() as u64, "child", "children");
            return busy(&format!(" cannot be removed with {children}"));
        }
        for id in self.bound_to(group) {
            self.subsystems.get_mut(id).css_offline(group, parent);
        }
        self.unlink_group(group);
        transaction.log.push(Undo::Removed { group });
        self.tell(transaction, &[group], || Event::GroupRemoved {
            group: path.clone(),
        });
        self.check_for_release(transaction, parent);
        Ok(())
    }

    pub(super) fn rename(
        &mut self,
        transaction: &mut Transaction,
        path: &GroupPath,
        to: &str,
    ) -> Result<(), Refusal> {
        let group = self.resolve(path)?;
        let Some(parent) = self.core.groups[group].parent else {
            let rule = format!("{path} is a hierarchy's root, which has no other name");
            return Err(Refusal::new(Errno::EBUSY, rule));
        };
        let name = self.core.groups[group].path.name().unwrap_or_default();
        if name == to {
            return Ok(());
        }
        let name = name.into();
        check_access(&self.core, &transaction.by, parent, Access::Write)?;
        if to.contains('/') {
            let rule = format!("{path} cannot move to {to}: a group stays with its parent");
            return Err(Refusal::new(Errno::EIO, rule));
        }
        check_component(to)?;
        // As rename(2) has it, a directory does not replace a file.
        self.name_is_free(parent, to, Errno::ENOTDIR)?;
        self.set_name(group, to);
        transaction.log.push(Undo::Renamed { group, name });
        let renamed = &self.core.groups[group].path;
        self.tell(transaction, &[group], || Event::GroupRenamed {
            from: path.clone(),
            to: renamed.clone(),
        });
        Ok(())
    }

    pub(super) fn chown(
        &mut self,
        transaction: &mut Transaction,
        path: &GroupPath,
        (uid, gid, mode): (u32, u32, u16),
    ) -> Result<(), Refusal> {
        let group = self.resolve(path)?;
        let before = self.core.groups[group].attributes;
        let by = transaction.by;
        if mode > 0o777 {
            let rule = format!("mode {mode:o} of {path} is past 777");
            return Err(Refusal::new(Errno::EINVAL, rule));
        }
        if by.uid != 0 && by.uid != before.uid {
            let owner = before.uid;
            let rule = format!(
                "only user 0 or the owner {owner} may hand over {path}, not {}",
                { by.uid }
            );
            return Err(Refusal::new(Errno::EPERM, rule));
        }
        if by.uid != 0 && (uid != before.uid || (gid != before.gid && gid != by.gid)) {
            let rule = format!(
                "only user 0 may give {path} to {uid}:{gid}, not user {}",
                by.uid
            );
            return Err(Refusal::new(Errno::EPERM, rule));
        }
        self.set_attributes(
            transaction,
            group,
            Attributes {
                uid,
                gid,
                mode,
                ..before
            },
        );
        Ok(())
    }

    pub(super) fn set_attributes(
        &mut self,
        transaction: &mut Transaction,
        group: GroupId,
        attributes: Attributes,
    ) {
        let before = std::mem::replace(&mut self.core.groups[group].attributes, attributes);
        transaction.log.push(Undo::Attributes { group, before });
    }

    /// A task has left the group, or a child of it was removed: if that made it empty, and it
    /// asked for that, tell. Not asked when the flag is set, so an empty group stays silent.
    ///
    /// A root is never released: it cannot be removed, which is all that a release is for.
    pub(super) fn check_for_release(&self, transaction: &mut Transaction, group: GroupId) {
        let this = &self.core.groups[group];
        if this.is_empty() && this.attributes.notify_on_release && this.parent.is_some() {
            let agent = &self.core.hierarchies[this.hierarchy].state.release_agent;
            self.tell(transaction, &[group], || Event::Released {
                group: this.path.clone(),
                agent: (!agent.is_empty()).then(|| agent.to_string()),
            });
        }
    }

    /// Put a group, made or removed before, into its tree.
    pub(super) fn link_group(&mut self, group: GroupId) {
        let this = &mut self.core.groups[group];
        this.offline = false;
        let (hierarchy, parent) = (this.hierarchy, this.parent);
        let name: Box<str> = this.path.name().unwrap_or_default().into();
        self.core.hierarchies[hierarchy].groups += 1;
        if let Some(parent) = parent {
            self.core.groups[parent].children.insert(name, group);
            self.core.list_path(group);
            self.count_descendant(parent, 1);
        }
    }

    /// Take a group out of its tree; it is freed when the batch is settled.
    pub(super) fn unlink_group(&mut self, group: GroupId) {
        let this = &mut self.core.groups[group];
        this.offline = true;
        let (hierarchy, parent) = (this.hierarchy, this.parent);
        let name: Box<str> = this.path.name().unwrap_or_default().into();
        self.core.hierarchies[hierarchy].groups -= 1;
        if let Some(parent) = parent {
            self.core.groups[parent].children.remove(&name);
            self.core.unlist_path(group);
            self.count_descendant(parent, -1);
        }
        self.leaving.groups.push(group);
    }

    /// Give a group, which is no root, another name. Every path below says it too.
    pub(super) fn set_name(&mut self, group: GroupId, to: &str) {
        let this = &self.core.groups[group];
        let Some(parent) = this.parent else { return };
        let from: Box<str> = this.path.name().unwrap_or_default().into();
        let children = &mut self.core.groups[parent].children;
        children.remove(&from);
        children.insert(to.into(), group);
        let subtree: Vec<GroupId> = self.core.subtree(group).collect();
        for below in subtree {
            let Group { path, parent, .. } = &self.core.groups[below];
            let name = if below == group {
                to
            } else {
                path.name().unwrap_or_default()
            };
            if let Some(parent) = parent {
                let path = self.core.groups[*parent].path.below(name);
                self.core.unlist_path(below);
                self.core.groups[below].path = path;
                self.core.list_path(below);
            }
        }
    }

    fn count_descendant(&mut self, parent: GroupId, by: i32) {
        let mut above = Some(parent);
        while let Some(group) = above {
            let group = &mut self.core.groups[group];
            group.descendants = group.descendants.wrapping_add_signed(by);
            above = group.parent;
        }
    }

    /// # Errors
    /// EEXIST where a child of the parent has the name, `of_file` where a control file has it.
    fn name_is_free(&self, parent: GroupId, name: &str, of_file: Errno) -> Result<(), Refusal> {
        let above = &self.core.groups[parent];
        let (errno, what) = if above.children.contains_key(name) {
            (Errno::EEXIST, "group")
        } else if self.control_file(parent, name).is_some() {
            (of_file, "control file")
        } else {
            return Ok(());
        };
        let has = format!(" has a {what} named {name} already");
        Err(Refusal::about(errno, [(&above.path).into(), has.into()]))
    }

    /// # Errors
    /// EAGAIN past a cgroup.max.depth or cgroup.max.descendants above, or past the built-in limits.
    fn check_limits(&self, parent: GroupId) -> Result<(), Refusal> {
        let again = |rule: String| Err(Refusal::new(Errno::EAGAIN, rule));
        for (level, above) in (1..).zip(self.core.lineage(parent)) {
            let Group {
                path,
                attributes,
                descendants,
                ..
            } = &self.core.groups[above];
            if let Some(max) = attributes.max_descendants.filter(|max| descendants >= max) {
                let one_more = format!("one more than {descendants} groups below ");
                let limit = format!(" is past its cgroup.max.descendants {max}");
                let parts = [one_more.into(), path.into(), limit.into()];
                return Err(Refusal::about(Errno::EAGAIN, parts));
            }
            if let Some(max) = attributes.max_depth.filter(|max| level > *max) {
                let level = format!("a group {level} levels below ");
                let limit = format!(" is past its cgroup.max.depth {max}");
                let parts = [level.into(), path.into(), limit.into()];
                return Err(Refusal::about(Errno::EAGAIN, parts));
            }
        }
        let Group {
            path,
            hierarchy,
            depth,
            ..
        } = &self.core.groups[parent];
        if *depth >= MAX_DEPTH {
            return again(format!(
                "a group below {path} is past the greatest depth {MAX_DEPTH}"
            ));
        }
        if self.core.hierarchies[*hierarchy].groups >= MAX_GROUPS {
            return again(format!(
                "{} has {MAX_GROUPS} groups, the most",
                path.hierarchy()
            ));
        }
        Ok(())
    }

    /// The subsystems whose callbacks a group's hierarchy gets.
    pub(crate) fn bound_to(
        &self,
        group: GroupId,
    ) -> impl DoubleEndedIterator<Item = SubsystemId> + Clone + use<> {
        let (bindings, hierarchy) = (self.core.bindings, self.core.groups[group].hierarchy);
        Subsystems::ids().filter(move |id| bindings[id.0] == hierarchy)
    }
}
