//! What a guest may look at: roots, groups, files.

use std::collections::HashMap;
use std::ops::Bound;

use super::registry::View;
use super::{MAX_VIEW_PAGE, ViewGroup, ViewId, ViewPath, ViewRoot};
use crate::group::GroupId;
use crate::subsystem::CPUSET;
use crate::{CpuGroup, CpuStat, Credentials, Errno, Framework, HierarchyName, Refusal, TaskKind};

/// The rest of a walk through a view: groups to be listed, the next one last.
struct Walk<'a> {
    framework: &'a Framework,
    root: GroupId,
    /// A group's children past these can be no part of the page.
    width: usize,
    pending: Vec<GroupId>,
}

impl Framework {
    /// The roots of a view that still stand, by hierarchy; none of a view that is closed.
    pub fn view_roots(&self, view: ViewId) -> Vec<ViewRoot> {
        let Ok(view) = self.views.get(view) else {
            return Vec::new();
        };
        let standing = view.roots.keys().filter_map(|hierarchy| {
            let root = self.view_root(view, hierarchy).ok()?;
            Some((hierarchy, root))
        });
        let roots = standing.map(|(hierarchy, root)| ViewRoot {
            hierarchy: hierarchy.clone(),
            subsystems: self
                .bound_to(root)
                .map(|id| self.subsystems.get(id).name())
                .collect(),
            access: self.access_now(view, root),
        });
        roots.collect()
    }

    /// A page of the groups of one hierarchy, at most `limit` and [`MAX_VIEW_PAGE`]: depth first,
    /// parents before children, siblings by name, from the first after `after` on, which need not be
    /// there any more; and whether more follow.
    ///
    /// # Errors
    /// ENOENT for a hierarchy that is not in the view, ENODEV where its root is gone or the view is
    /// closed, EINVAL for an `after` of another hierarchy.
    pub fn view_tree(
        &self,
        view: ViewId,
        hierarchy: &HierarchyName,
        after: Option<&ViewPath>,
        limit: usize,
    ) -> Result<(Vec<ViewGroup>, bool), Refusal> {
        let view = self.views.get(view)?;
        let root = self.view_root(view, hierarchy)?;
        if let Some(after) = after.filter(|after| after.hierarchy() != hierarchy) {
            let rule = format!("a page of {hierarchy} cannot begin after {after}");
            return Err(Refusal::plain(Errno::EINVAL, rule));
        }
        let limit = limit.min(MAX_VIEW_PAGE);
        let mut walk = Walk {
            framework: self,
            root,
            width: limit + 1,
            pending: Vec::new(),
        };
        walk.begin(after);
        let own = self.own_tasks(view, root);
        let mut page = Vec::new();
        while let Some(group) = walk.pending.pop() {
            if page.len() == limit {
                return Ok((page, true));
            }
            walk.push_children(group, Bound::Unbounded);
            page.extend(self.view_group(root, group, &own));
        }
        Ok((page, false))
    }

    /// Take what the back end has counted of the group that the guest calls so: see
    /// [`note_cpu_stat`](Framework::note_cpu_stat).
    pub fn view_note_cpu_stat(
        &mut self,
        view: ViewId,
        path: &ViewPath,
        counted: impl FnOnce(CpuGroup) -> Option<CpuStat>,
    ) {
        let views = self.views.get(view);
        let root = views.and_then(|view| self.view_root(view, path.hierarchy()));
        if let Ok(group) = root.and_then(|root| self.find_in_view(root, path)) {
            self.note_stat_of(group, counted);
        }
    }

    /// Read a control file, with the newline that ends each of its lines. `tasks` has the machine's
    /// own, by kind, one a line.
    ///
    /// # Errors
    /// ENOENT for what is not in the view or not for guests, ENOTDIR and EISDIR for a file in a
    /// group's place and the reverse, ENODEV where the root is gone or the view is closed.
    pub fn view_read(&self, view: ViewId, group: &ViewPath, file: &str) -> Result<String, Refusal> {
        let view = self.views.get(view)?;
        let root = self.view_root(view, group.hierarchy())?;
        let id = self.find_in_view(root, group)?;
        self.file_in_view(id, group, file)?;
        if file == "tasks" {
            let own = self.own_tasks(view, root).remove(&id).unwrap_or_default();
            return Ok(own.iter().map(|kind| format!("{kind}\n")).collect());
        }
        let (root, path) = (&self.core.groups[root].path, &self.core.groups[id].path);
        let text = self.read(&Credentials::ROOT, path, file);
        text.map_err(|refusal| view.retell(refusal, root))
    }

    /// The machine's own tasks by group, each group's by kind.
    fn own_tasks(&self, view: &View, root: GroupId) -> HashMap<GroupId, Vec<TaskKind>> {
        let hierarchy = self.core.groups[root].hierarchy;
        let mut own: HashMap<GroupId, Vec<TaskKind>> = HashMap::new();
        for (kind, task) in self.core.tasks.of_machine(&view.machine) {
            let group = self.core.group_of(task, hierarchy);
            own.entry(group).or_default().push(kind);
        }
        own
    }

    fn view_group(
        &self,
        root: GroupId,
        id: GroupId,
        own: &HashMap<GroupId, Vec<TaskKind>>,
    ) -> Option<ViewGroup> {
        let group = &self.core.groups[id];
        let has_cpuset = self.core.bindings[CPUSET.0] == group.hierarchy;
        Some(ViewGroup {
            path: ViewPath::of(&group.path, &self.core.groups[root].path)?,
            cpus: has_cpuset.then(|| *self.subsystems.cpuset.state(id).effective_cpus),
            tasks: group.tasks as usize,
            own: own.get(&id).cloned().unwrap_or_default(),
            notify_on_release: group.attributes.notify_on_release,
        })
    }
}

impl Walk<'_> {
    /// To the first group after this one in the order of the walk.
    fn begin(&mut self, after: Option<&ViewPath>) {
        let Some(after) = after else {
            self.pending.push(self.root);
            return;
        };
        let mut group = self.root;
        for name in after.components() {
            self.push_children(group, Bound::Excluded(name));
            let Some(child) = self.framework.core.groups[group].children.get(name) else {
                return;
            };
            group = *child;
        }
        self.push_children(group, Bound::Unbounded);
    }

    /// Children by name from a bound on, as many as a page may need: those that can be named.
    fn push_children(&mut self, group: GroupId, from: Bound<&str>) {
        let groups = &self.framework.core.groups;
        let root = &groups[self.root].path;
        let children = groups[group]
            .children
            .range::<str, _>((from, Bound::Unbounded));
        let named = children
            .map(|(_, child)| *child)
            .filter(|child| ViewPath::of(&groups[*child].path, root).is_some());
        let first = self.pending.len();
        self.pending.extend(named.take(self.width));
        self.pending[first..].reverse();
    }
}
