//! Names of hierarchies, groups and machines, checked once at the door.

/// A hierarchy's name: 1 to 64 of `[A-Za-z0-9._-]`, cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HierarchyName(std::sync::Arc<str>);

/// A machine's name: 1 to 32 of `[A-Za-z0-9._-]`, not starting with `.` or `-`; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineName(std::sync::Arc<str>);

/// A group by name: `placement:/gold/web`. Components are held apart; `components().is_empty()` is the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupPath {
    hierarchy: HierarchyName,
    path: std::sync::Arc<str>,
}
// All three: FromStr<Err = Refusal>, Display, Deref/AsRef<str> where sensible.
