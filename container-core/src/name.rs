//! Names of hierarchies, groups and machines, checked once at the door.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Errno, Refusal};

/// Bytes in one component of a group's path: NAME_MAX of Linux.
const MAX_COMPONENT_BYTES: usize = 255;

/// Bytes in a group's whole path: PATH_MAX of Linux.
const MAX_PATH_BYTES: usize = 4095;

/// A hierarchy's name: 1 to 64 of `[A-Za-z0-9._-]`, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HierarchyName(Arc<str>);

/// A machine's name: 1 to 32 of `[A-Za-z0-9._-]`, not starting with `.` or `-`; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineName(Arc<str>);

/// A group by name: `placement:/gold/web`; `placement:/` is the root. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupPath {
    hierarchy: HierarchyName,
    /// `/`, or components each with a slash before it.
    path: Arc<str>,
}

impl HierarchyName {
    /// Most bytes in a name: MAX_CGROUP_ROOT_NAMELEN of the kernel.
    pub const MAX_BYTES: usize = 64;

    /// The name of the hierarchy that is never listed; no name from outside can be the same.
    pub(crate) fn dummy() -> HierarchyName {
        HierarchyName("(unmounted)".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MachineName {
    /// Most bytes in a name; socket paths are made of it.
    pub const MAX_BYTES: usize = 32;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl GroupPath {
    /// The root group of a hierarchy.
    pub fn root(hierarchy: impl Borrow<HierarchyName>) -> GroupPath {
        GroupPath {
            hierarchy: hierarchy.borrow().clone(),
            path: "/".into(),
        }
    }

    /// A group by hierarchy and path, `/gold/web`.
    ///
    /// # Errors
    /// EINVAL for a path that does not start with `/` or has a component that no group can have
    /// (empty, `.`, `..`, with a newline or NUL), ENAMETOOLONG past 255 bytes a component.
    pub fn new(hierarchy: impl Borrow<HierarchyName>, path: &str) -> Result<GroupPath, Refusal> {
        let Some(below) = path.strip_prefix('/') else {
            let rule = format!("group path {path:?} does not start with \"/\"");
            return Err(Refusal::new(Errno::EINVAL, rule));
        };
        if path.len() > MAX_PATH_BYTES {
            let rule = format!(
                "a group path of {} bytes is past {MAX_PATH_BYTES}",
                path.len()
            );
            return Err(Refusal::new(Errno::ENAMETOOLONG, rule));
        }
        if !below.is_empty() {
            below.split('/').try_for_each(check_component)?;
        }
        Ok(GroupPath {
            hierarchy: hierarchy.borrow().clone(),
            path: path.into(),
        })
    }

    /// The hierarchy that the group is in.
    pub fn hierarchy(&self) -> &HierarchyName {
        &self.hierarchy
    }

    /// The path inside the hierarchy: `/` or `/gold/web`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The components from the root down; none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> + '_ {
        self.path
            .split('/')
            .filter(|component| !component.is_empty())
    }

    /// Number of components; 0 for the root.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// Whether this is the hierarchy's root.
    pub fn is_root(&self) -> bool {
        &*self.path == "/"
    }

    /// The last component; None for the root.
    pub fn name(&self) -> Option<&str> {
        self.components().next_back()
    }

    /// The group above; None for the root.
    pub fn parent(&self) -> Option<GroupPath> {
        if self.is_root() {
            return None;
        }
        let (above, _) = self.path.rsplit_once('/')?;
        let path = if above.is_empty() { "/" } else { above };
        Some(GroupPath {
            hierarchy: self.hierarchy.clone(),
            path: path.into(),
        })
    }

    /// The group `name` below this one.
    ///
    /// # Errors
    /// EINVAL or ENAMETOOLONG for a name that no group can have.
    pub fn child(&self, name: &str) -> Result<GroupPath, Refusal> {
        check_component(name)?;
        let above = if self.is_root() { "" } else { &self.path };
        GroupPath::new(&self.hierarchy, &format!("{above}/{name}"))
    }

    /// Where this group is once group `from` is called `to`: elsewhere only if it is that group or stands below it.
    pub fn after_rename(&self, from: &GroupPath, to: &GroupPath) -> GroupPath {
        let rest = self.path.strip_prefix(from.path());
        match rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            Some(rest) if self.hierarchy == from.hierarchy => GroupPath {
                hierarchy: to.hierarchy.clone(),
                path: format!("{}{rest}", to.path).into(),
            },
            _ => self.clone(),
        }
    }
}

impl GroupPath {
    /// The group `name` below this one; the name was checked before.
    pub(crate) fn below(&self, name: &str) -> GroupPath {
        let above = if self.is_root() { "" } else { &self.path };
        GroupPath {
            hierarchy: self.hierarchy.clone(),
            path: format!("{above}/{name}").into(),
        }
    }
}

/// Whether a group may have this name (a control file of the same name is another question).
///
/// # Errors
/// EINVAL for an empty name, `.`, `..`, or one with a slash, newline or NUL in it; ENAMETOOLONG
/// past 255 bytes.
pub(crate) fn check_component(name: &str) -> Result<(), Refusal> {
    let invalid = |why: &str| {
        Err(Refusal::new(
            Errno::EINVAL,
            format!("group name {name:?} {why}, and no group's may"),
        ))
    };
    match name {
        "" => invalid("is empty"),
        "." | ".." => invalid("stands for another directory"),
        _ if name.contains(['/', '\n', '\0']) => invalid("has a slash, newline or NUL in it"),
        _ if name.len() > MAX_COMPONENT_BYTES => {
            let length = name.len();
            let rule = format!("a group name of {length} bytes is past {MAX_COMPONENT_BYTES}");
            Err(Refusal::new(Errno::ENAMETOOLONG, rule))
        }
        _ => Ok(()),
    }
}

fn check_word(kind: &str, text: &str, max_bytes: usize) -> Result<(), Refusal> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() || text.len() > max_bytes || !text.bytes().all(is_allowed) {
        let rule = format!("{kind} name {text:?} is not 1 to {max_bytes} of [A-Za-z0-9._-]");
        return Err(Refusal::new(Errno::EINVAL, rule));
    }
    Ok(())
}

impl FromStr for HierarchyName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        check_word("hierarchy", text, Self::MAX_BYTES)?;
        Ok(HierarchyName(text.into()))
    }
}

impl FromStr for MachineName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        check_word("machine", text, Self::MAX_BYTES)?;
        if text.starts_with(['.', '-']) {
            let rule = format!("machine name {text:?} starts with \".\" or \"-\"");
            return Err(Refusal::new(Errno::EINVAL, rule));
        }
        Ok(MachineName(text.into()))
    }
}

impl FromStr for GroupPath {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let Some((hierarchy, path)) = text.split_once(':') else {
            let rule = format!("group {text:?} is not of the form HIERARCHY:/path");
            return Err(Refusal::new(Errno::EINVAL, rule));
        };
        GroupPath::new(hierarchy.parse::<HierarchyName>()?, path)
    }
}

impl fmt::Display for GroupPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.hierarchy, self.path)
    }
}

impl fmt::Debug for GroupPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The conversions that the two one-word names share.
macro_rules! word_impls {
    ($name:ident) => {
        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

word_impls!(HierarchyName);
word_impls!(MachineName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_paths_take_apart_and_put_together() {
        let web: GroupPath = "placement:/gold/web".parse().unwrap();
        assert_eq!(web.to_string(), "placement:/gold/web");
        assert_eq!(
            (web.hierarchy().as_str(), web.path()),
            ("placement", "/gold/web")
        );
        assert_eq!(
            (web.name(), web.depth(), web.is_root()),
            (Some("web"), 2, false)
        );
        assert_eq!(web.components().collect::<Vec<_>>(), ["gold", "web"]);
        let gold = web.parent().unwrap();
        assert_eq!(gold.child("web").unwrap(), web);
        let root = gold.parent().unwrap();
        assert_eq!(root, GroupPath::root(web.hierarchy()));
        assert_eq!((root.path(), root.name(), root.parent()), ("/", None, None));
        assert_eq!(root.child("gold").unwrap(), gold);
    }

    #[test]
    fn bad_names_are_refused_with_the_kernels_errno() {
        let long = "x".repeat(256);
        for name in ["", ".", "..", "a/b", "a\nb", "a\0b"] {
            assert_eq!(
                check_component(name).unwrap_err().errno,
                Errno::EINVAL,
                "{name:?}"
            );
        }
        assert_eq!(
            check_component(&long).unwrap_err().errno,
            Errno::ENAMETOOLONG
        );
        check_component(&long[1..]).unwrap();
        for text in [
            "gold",
            "p:gold",
            "p:",
            ":/gold",
            "p q:/gold",
            "p:/a//b",
            "p:/a/",
        ] {
            assert_eq!(
                text.parse::<GroupPath>().unwrap_err().errno,
                Errno::EINVAL,
                "{text:?}"
            );
        }
        for text in ["", "-web", ".web", "w/b", &long[..33]] {
            assert!(text.parse::<MachineName>().is_err(), "{text:?}");
        }
        assert!(long[..64].parse::<HierarchyName>().is_ok());
        assert!(long[..65].parse::<HierarchyName>().is_err());
    }

    #[test]
    fn a_rename_takes_a_group_and_those_below_it_along_and_no_namesake() {
        let group = |text: &str| text.parse::<GroupPath>().unwrap();
        let (from, to) = (group("p:/a/b"), group("p:/a/c"));
        for (was, is) in [
            ("p:/a/b", "p:/a/c"),
            ("p:/a/b/x/y", "p:/a/c/x/y"),
            ("p:/a/bb", "p:/a/bb"),
            ("p:/a", "p:/a"),
            ("p:/", "p:/"),
            ("q:/a/b", "q:/a/b"),
        ] {
            assert_eq!(group(was).after_rename(&from, &to), group(is), "{was}");
        }
    }
}
