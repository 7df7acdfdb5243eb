//! Views: what one machine's guest may see and do of the groups. (Skeleton: the names stand, the
//! functions are not filled in yet.)

mod path;
mod types;

pub use path::ViewPath;
pub use types::{ViewAccess, ViewCommand, ViewEvent, ViewGroup, ViewId, ViewRoot};

use crate::{Framework, GroupPath, HierarchyName, MachineName, Plan, Refusal};

/// Most commands in one plan of a view.
pub const MAX_VIEW_COMMANDS: usize = 32;

/// Most groups in one answer of [`Framework::view_tree`].
pub const MAX_VIEW_PAGE: usize = 256;

impl Framework {
    /// Open a view for a machine: one root a hierarchy, each a group that is there.
    ///
    /// # Errors
    /// ENOENT for a root that is not there, EINVAL for two in one hierarchy, EAGAIN for too many views.
    pub fn open_view(
        &mut self,
        machine: MachineName,
        access: ViewAccess,
        roots: &[GroupPath],
    ) -> Result<ViewId, Refusal> {
        let _ = (machine, access, roots);
        Ok(ViewId(0))
    }

    /// Close a view.
    pub fn close_view(&mut self, _view: ViewId) {}

    /// The roots of a view that still stand, by hierarchy.
    pub fn view_roots(&self, _view: ViewId) -> Vec<ViewRoot> {
        Vec::new()
    }

    /// A page of the groups of one hierarchy: depth first, parents before children, siblings by
    /// name, beginning after `after` (which need not be there any more); and whether more follow.
    ///
    /// # Errors
    /// ENOENT for a hierarchy that is not in the view, ENODEV where its root is gone.
    pub fn view_tree(
        &self,
        _view: ViewId,
        _hierarchy: &HierarchyName,
        _after: Option<&ViewPath>,
        _limit: usize,
    ) -> Result<(Vec<ViewGroup>, bool), Refusal> {
        Ok((Vec::new(), false))
    }

    /// Read a control file, with the newline that ends each of its lines.
    ///
    /// # Errors
    /// ENOENT for what is not in the view or not for guests, ENODEV where the root is gone.
    pub fn view_read(
        &self,
        _view: ViewId,
        _group: &ViewPath,
        _file: &str,
    ) -> Result<String, Refusal> {
        Ok(String::new())
    }

    /// Check a batch of a guest's; the plan is carried out and committed like any other.
    ///
    /// # Errors
    /// What the first refused command breaks, in the guest's names; its index is in
    /// [`Refusal::command`].
    pub fn view_plan(&mut self, _view: ViewId, _commands: &[ViewCommand]) -> Result<Plan, Refusal> {
        self.plan(&crate::Credentials::ROOT, &[])
    }

    /// Which views see the event at this index of what the last commit returned, by view, and as
    /// what. Decided when it happened: a path of then may be another group's name by now.
    pub fn views_of(&self, _event: usize) -> impl Iterator<Item = (ViewId, &ViewEvent)> {
        std::iter::empty()
    }
}
