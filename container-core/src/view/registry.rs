//! The open views, and which of them have their root in a group.

use std::collections::{BTreeMap, HashMap};

use super::{MAX_VIEWS, Sighting, ViewAccess, ViewId};
use crate::group::GroupId;
use crate::subsystem::NS;
use crate::{Errno, Framework, GroupPath, HierarchyName, MachineName, Refusal};

/// All views of a framework.
#[derive(Clone)]
pub(crate) struct Views {
    /// The next id to be given.
    next: u64,
    open: BTreeMap<ViewId, View>,
    by_root: HashMap<GroupId, Vec<ViewId>>,
    /// Who sees what of the last commit's events, in their order.
    pub sightings: Vec<Sighting>,
}

/// One guest's view.
#[derive(Clone)]
pub(super) struct View {
    pub machine: MachineName,
    /// What it was opened with; sharing takes away from it.
    pub access: ViewAccess,
    /// The root in each hierarchy that it was opened with; None for one that was removed.
    pub roots: BTreeMap<HierarchyName, Option<GroupId>>,
}

impl Views {
    pub fn new() -> Views {
        Views {
            next: 1,
            open: BTreeMap::new(),
            by_root: HashMap::new(),
            sightings: Vec::new(),
        }
    }

    /// An open view.
    ///
    /// # Errors
    /// ENODEV for one that is closed.
    pub(super) fn get(&self, view: ViewId) -> Result<&View, Refusal> {
        let closed = || Refusal::plain(Errno::ENODEV, "this view is closed");
        self.open.get(&view).ok_or_else(closed)
    }

    /// The views that have their root in this very group, by id.
    pub(super) fn rooted_in(&self, group: GroupId) -> impl Iterator<Item = (ViewId, &View)> {
        let ids = self.by_root.get(&group).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.open.get(id)?)))
    }

    /// A group is freed, and its id will be another's: views with their root there have lost it.
    pub fn root_is_gone(&mut self, group: GroupId) {
        for id in self.by_root.remove(&group).unwrap_or_default() {
            let roots = self.open.get_mut(&id).map(|view| view.roots.values_mut());
            for root in roots.into_iter().flatten() {
                *root = root.filter(|root| *root != group);
            }
        }
    }
}

impl Framework {
    /// Open a view for a machine: one root a hierarchy, each a group that is there. No commit and no
    /// generation: nothing that the framework keeps of groups changes.
    ///
    /// The hierarchy of ns is in no view: its groups are named after threads of the host.
    ///
    /// # Errors
    /// ENOENT for a root that is not there, EINVAL for two in one hierarchy, EAGAIN past
    /// [`MAX_VIEWS`](crate::MAX_VIEWS).
    pub fn open_view(
        &mut self,
        machine: MachineName,
        access: ViewAccess,
        roots: &[GroupPath],
    ) -> Result<ViewId, Refusal> {
        if self.views.open.len() >= MAX_VIEWS {
            let rule = format!("a view of {machine} would be one more than {MAX_VIEWS}, the most");
            return Err(Refusal::new(Errno::EAGAIN, rule));
        }
        let mut found = BTreeMap::new();
        for path in roots {
            let root = self.resolve(path)?;
            if self.core.bindings[NS.0] == self.core.groups[root].hierarchy {
                continue;
            }
            if found.insert(path.hierarchy().clone(), Some(root)).is_some() {
                let rule = format!(
                    "{path} would be a second root of a view of {machine} in {}",
                    path.hierarchy()
                );
                return Err(Refusal::new(Errno::EINVAL, rule));
            }
        }
        let views = &mut self.views;
        let id = ViewId(views.next);
        views.next += 1;
        for root in found.values().flatten() {
            views.by_root.entry(*root).or_default().push(id);
        }
        let view = View {
            machine,
            access,
            roots: found,
        };
        views.open.insert(id, view);
        Ok(id)
    }

    /// Close a view; one that is closed already stays so.
    pub fn close_view(&mut self, view: ViewId) {
        let views = &mut self.views;
        let Some(closed) = views.open.remove(&view) else {
            return;
        };
        for root in closed.roots.values().flatten() {
            if let Some(ids) = views.by_root.get_mut(root) {
                ids.retain(|id| *id != view);
                if ids.is_empty() {
                    views.by_root.remove(root);
                }
            }
        }
    }
}
