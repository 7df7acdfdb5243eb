//! From a guest's names to groups, and what the guest may do with them.

use super::registry::View;
use super::{ViewAccess, ViewPath};
use crate::group::GroupId;
use crate::subsystem::{ControlFile, NS};
use crate::{Errno, Framework, HierarchyName, Refusal};

/// Bytes in a file's name that is looked for (kernel: NAME_MAX): longer ones are not even echoed.
const MAX_FILE_NAME: usize = 255;

impl Framework {
    /// The root of a view in a hierarchy.
    ///
    /// # Errors
    /// ENOENT for a hierarchy that the view was not opened with, whether there is one of that name
    /// or not; ENODEV for one where the root was removed, that is unmounted, or that was remounted with ns.
    pub(super) fn view_root(
        &self,
        view: &View,
        hierarchy: &HierarchyName,
    ) -> Result<GroupId, Refusal> {
        let Some(root) = view.roots.get(hierarchy) else {
            let rule = format!("there is no hierarchy named {hierarchy} in this view");
            return Err(Refusal::plain(Errno::ENOENT, rule));
        };
        root.filter(|root| self.is_shown(*root)).ok_or_else(|| {
            let rule = format!("the root of this view in {hierarchy} is gone");
            Refusal::plain(Errno::ENODEV, rule)
        })
    }

    /// Whether a group's hierarchy is mounted: while it is not, no command reaches the group. That of
    /// ns is in no view: its groups are named after threads of the host.
    pub(super) fn is_shown(&self, group: GroupId) -> bool {
        let hierarchy = self.core.groups[group].hierarchy;
        self.core.hierarchies[hierarchy].state.mounted && self.core.bindings[NS.0] != hierarchy
    }

    /// A group in a view, walked to from its root.
    ///
    /// # Errors
    /// ENOENT for a group that is not there, ENOTDIR for a control file in a group's place.
    pub(super) fn find_in_view(&self, root: GroupId, path: &ViewPath) -> Result<GroupId, Refusal> {
        let mut group = root;
        let mut above = ViewPath::root(path.hierarchy());
        for name in path.components() {
            let Some(child) = self.core.groups[group].children.get(name) else {
                let is_file = self.shown_file(group, name).is_some();
                return Err(match is_file {
                    true => {
                        let rule = format!("{name} in {above} is a control file, not a group");
                        Refusal::plain(Errno::ENOTDIR, rule)
                    }
                    false => {
                        let rule = format!("there is no group {path}: {above} has no child {name}");
                        Refusal::plain(Errno::ENOENT, rule)
                    }
                });
            };
            group = *child;
            above = above.child(name)?;
        }
        Ok(group)
    }

    /// A control file that guests may know of.
    ///
    /// # Errors
    /// ENOENT where there is none of that name, or it is not for guests; EISDIR for a group of that
    /// name; ENAMETOOLONG past 255 bytes.
    pub(super) fn file_in_view(
        &self,
        group: GroupId,
        path: &ViewPath,
        file: &str,
    ) -> Result<&'static ControlFile, Refusal> {
        if file.len() > MAX_FILE_NAME {
            let rule = format!(
                "a file name of {} bytes is past {MAX_FILE_NAME}",
                file.len()
            );
            return Err(Refusal::plain(Errno::ENAMETOOLONG, rule));
        }
        self.shown_file(group, file).ok_or_else(|| {
            let is_group = self.core.groups[group].children.contains_key(file);
            match is_group {
                true => {
                    let rule = format!("{file} in {path} is a group, not a control file");
                    Refusal::plain(Errno::EISDIR, rule)
                }
                false => {
                    let rule = format!("{path} has no control file named {file:?}");
                    Refusal::plain(Errno::ENOENT, rule)
                }
            }
        })
    }

    /// A control file of a group, if guests may know of it.
    pub(super) fn shown_file(&self, group: GroupId, name: &str) -> Option<&'static ControlFile> {
        let (_, file) = self.control_file(group, name)?;
        file.shown_to_guests.then_some(file)
    }

    /// What a view allows below a root now.
    pub(super) fn access_now(&self, view: &View, root: GroupId) -> ViewAccess {
        match view.access {
            ViewAccess::Delegate if !self.is_shared(view, root) => ViewAccess::Delegate,
            _ => ViewAccess::Read,
        }
    }

    /// Whether a task or a view of another machine is in a root's subtree. A machine's sessions
    /// have a view each and do not shut each other out.
    ///
    /// Tasks are counted, not looked at: so it costs the groups, until the first that tells, and
    /// the machine's own tasks.
    fn is_shared(&self, view: &View, root: GroupId) -> bool {
        let core = &self.core;
        let hierarchy = core.groups[root].hierarchy;
        let own = core.tasks.of_machine(&view.machine);
        let own = own.filter(|(_, task)| self.is_below(core.group_of(*task, hierarchy), root));
        let own = own.count();
        let mut tasks = 0;
        core.subtree(root).any(|group| {
            tasks += core.groups[group].tasks as usize;
            let mut views = self.views.rooted_in(group);
            tasks > own || views.any(|(_, other)| other.machine != view.machine)
        })
    }

    /// Whether a group is a root, or below it.
    pub(super) fn is_below(&self, group: GroupId, root: GroupId) -> bool {
        self.core.lineage(group).any(|above| above == root)
    }
}
