//! From names to groups, and the one check of rights that serves every door.

use super::Framework;
use crate::core::Core;
use crate::group::{Attributes, Group, GroupId, HierarchyId};
use crate::{Credentials, Errno, GroupPath, HierarchyName, Refusal};

/// What an asker wants of a group.
#[derive(Clone, Copy)]
pub(super) enum Access {
    Read,
    Write,
}

impl Framework {
    /// A group that commands may reach.
    ///
    /// # Errors
    /// ENOENT for a name that nobody has, and in a hierarchy that is unmounted; ENOTDIR for a
    /// control file's.
    pub(crate) fn resolve(&self, path: &GroupPath) -> Result<GroupId, Refusal> {
        let hierarchy = self.mounted(path.hierarchy())?;
        self.find(hierarchy, path, path.path())
    }

    /// A group, mounted or not.
    ///
    /// # Errors
    /// ENOENT for a name that nobody has; ENOTDIR for a control file's.
    pub(crate) fn lookup(&self, path: &GroupPath) -> Result<GroupId, Refusal> {
        let hierarchy = self.hierarchy(path.hierarchy())?;
        self.find(hierarchy, path, path.path())
    }

    /// The parent of the group that a path names, and the name in it; None for a root.
    ///
    /// # Errors
    /// Those of [`resolve`](Self::resolve), for the parent.
    pub(super) fn resolve_parent<'a>(
        &self,
        path: &'a GroupPath,
    ) -> Result<Option<(GroupId, &'a str)>, Refusal> {
        let hierarchy = self.mounted(path.hierarchy())?;
        match path.path().rsplit_once('/') {
            Some((above, name)) if !name.is_empty() => {
                Ok(Some((self.find(hierarchy, path, above)?, name)))
            }
            _ => Ok(None),
        }
    }

    /// A hierarchy that stands, mounted or not.
    ///
    /// # Errors
    /// ENOENT where there is none of that name.
    pub(super) fn hierarchy(&self, name: &HierarchyName) -> Result<HierarchyId, Refusal> {
        let mut listed = self.core.listed();
        let found = listed.find(|(_, hierarchy)| hierarchy.name == *name);
        found.map(|(id, _)| id).ok_or_else(|| {
            Refusal::new(Errno::ENOENT, format!("there is no hierarchy named {name}"))
        })
    }

    /// A hierarchy that commands may reach.
    ///
    /// # Errors
    /// ENOENT where there is none of that name, or it is unmounted.
    pub(super) fn mounted(&self, name: &HierarchyName) -> Result<HierarchyId, Refusal> {
        let id = self.hierarchy(name)?;
        match self.core.hierarchies[id].state.mounted {
            true => Ok(id),
            false => {
                let rule =
                    format!("{name} is unmounted and lives on for its groups: mount it again");
                Err(Refusal::new(Errno::ENOENT, rule))
            }
        }
    }

    /// The group at `text`, which is `path` or above it, by one lookup however deep it is.
    fn find(
        &self,
        hierarchy: HierarchyId,
        path: &GroupPath,
        text: &str,
    ) -> Result<GroupId, Refusal> {
        if text.is_empty() || text == "/" {
            return Ok(self.core.hierarchies[hierarchy].root);
        }
        let found = self.core.group_at(hierarchy, text);
        found.ok_or_else(|| self.missing(hierarchy, path))
    }

    /// What of a path is not there.
    #[cold]
    fn missing(&self, hierarchy: HierarchyId, path: &GroupPath) -> Refusal {
        let mut group = self.core.hierarchies[hierarchy].root;
        for name in path.components() {
            let this = &self.core.groups[group];
            if let Some(child) = this.children.get(name) {
                group = *child;
                continue;
            }
            let above = &this.path;
            if self.control_file(group, name).is_some() {
                let rule = format!("{name} in {above} is a control file, not a group");
                return Refusal::new(Errno::ENOTDIR, rule);
            }
            let rule = format!("there is no group {path}: {above} has no child {name}");
            return Refusal::new(Errno::ENOENT, rule);
        }
        Refusal::new(Errno::ENOENT, format!("there is no group {path}"))
    }
}

/// May the asker? uid 0 passes; others by the permission bits of their class, as with a file.
///
/// # Errors
/// EACCES where the bits say no.
pub(super) fn check_access(
    core: &Core,
    by: &Credentials,
    group: GroupId,
    access: Access,
) -> Result<(), Refusal> {
    if by.uid == 0 {
        return Ok(());
    }
    let Group {
        path,
        attributes: Attributes { uid, gid, mode, .. },
        ..
    } = &core.groups[group];
    let class = match by {
        _ if by.uid == *uid => mode >> 6,
        _ if by.gid == *gid => mode >> 3,
        _ => *mode,
    };
    let (bit, verb) = match access {
        Access::Read => (0o4, "read"),
        Access::Write => (0o2, "write"),
    };
    if class & bit != 0 {
        return Ok(());
    }
    let asker = format!("user {} of group {}", by.uid, by.gid);
    let rule = format!("{asker} may not {verb} {path}, which is {uid}:{gid} with mode {mode:03o}");
    Err(Refusal::new(Errno::EACCES, rule))
}

/// # Errors
/// EPERM for anyone but uid 0.
pub(crate) fn check_root(by: &Credentials, what: &str) -> Result<(), Refusal> {
    match by.uid {
        0 => Ok(()),
        uid => Err(Refusal::new(
            Errno::EPERM,
            format!("only user 0 may {what}, not user {uid}"),
        )),
    }
}
