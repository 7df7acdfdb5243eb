//! The name of a group in a view.

use std::fmt;
use std::str::FromStr;

use crate::{Errno, GroupPath, HierarchyName, Refusal};

/// A group as a guest names it: `placement:/hot` is below the *root of its view* in `placement`.
///
/// A type of its own, so that it is never taken for a host's [`GroupPath`]: only the view that it
/// was said to can tell which group it means. At most [`MAX_BYTES`](Self::MAX_BYTES). Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewPath(GroupPath);

impl ViewPath {
    /// Most bytes in a path, hierarchy included: guests may send many, and a page of a listing with
    /// paths of this size still fits a frame of the channel several times over.
    pub const MAX_BYTES: usize = 1024;

    /// The root of a view in one hierarchy.
    pub fn root(hierarchy: &HierarchyName) -> ViewPath {
        ViewPath(GroupPath::root(hierarchy))
    }

    /// The group `name` below this one.
    ///
    /// # Errors
    /// EINVAL or ENAMETOOLONG for a name that no group can have, ENAMETOOLONG for a path that is
    /// too long then.
    pub fn child(&self, name: &str) -> Result<ViewPath, Refusal> {
        let child = self.0.child(name)?;
        check_length(child.hierarchy().as_str().len() + 1 + child.path().len())?;
        Ok(ViewPath(child))
    }

    /// The hierarchy that the group is in.
    pub fn hierarchy(&self) -> &HierarchyName {
        self.0.hierarchy()
    }

    /// The path below the root of the view: `/` or `/hot`.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The components from the root of the view down; none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> + '_ {
        self.0.components()
    }

    /// Levels below the root of the view; 0 for the root.
    pub fn depth(&self) -> usize {
        self.0.depth()
    }

    /// Whether this is the root of the view.
    pub fn is_root(&self) -> bool {
        self.0.is_root()
    }

    /// The group above and the name in it; None for the root of the view.
    pub(super) fn parent_and_name(&self) -> Option<(ViewPath, &str)> {
        Some((ViewPath(self.0.parent()?), self.0.name()?))
    }

    /// A host's group as a view names it whose root has the path `root`. None for one that is not
    /// in the view, or whose path is too long for one.
    pub(super) fn of(group: &GroupPath, root: &GroupPath) -> Option<ViewPath> {
        if group.hierarchy() != root.hierarchy() {
            return None;
        }
        let below = match root.is_root() {
            true => group.path(),
            false => group.path().strip_prefix(root.path())?,
        };
        let path = match below {
            "" => ViewPath::root(group.hierarchy()),
            _ => ViewPath(GroupPath::new(group.hierarchy(), below).ok()?),
        };
        let bytes = path.hierarchy().as_str().len() + 1 + path.path().len();
        (bytes <= Self::MAX_BYTES).then_some(path)
    }

    /// The host's path of it, in a view whose root has the path `root`; perhaps longer than any
    /// group's can be.
    pub(super) fn on_host(&self, root: &GroupPath) -> GroupPath {
        let components = self.components();
        components.fold(root.clone(), |above, name| above.below(name))
    }
}

/// # Errors
/// ENAMETOOLONG past [`ViewPath::MAX_BYTES`].
fn check_length(bytes: usize) -> Result<(), Refusal> {
    if bytes > ViewPath::MAX_BYTES {
        let rule = format!("a path of {bytes} bytes is past {}", ViewPath::MAX_BYTES);
        return Err(Refusal::new(Errno::ENAMETOOLONG, rule));
    }
    Ok(())
}

impl FromStr for ViewPath {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        check_length(text.len())?;
        Ok(ViewPath(text.parse()?))
    }
}

impl fmt::Display for ViewPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

impl fmt::Debug for ViewPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}
