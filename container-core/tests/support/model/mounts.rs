//! Which hierarchies are mounted, and which has `debug`.

use container_core::{Errno, Errno::*, GroupPath, HierarchyName};

use super::{HIERARCHIES, Model, Mounting, root_of};

impl Model {
    pub(super) fn mount(&mut self, hierarchy: &str, subsystems: &[String]) -> Result<(), Errno> {
        let root = root_of(hierarchy).unwrap();
        let name = HIERARCHIES[root];
        let is_new = self.mounts[name].0 == Mounting::Gone;
        match (self.debug == Some(name), has_debug(subsystems)) {
            (has, asked) if has == asked => {}
            (false, true) if is_new && self.debug.is_none() => self.debug = Some(name),
            _ => return Err(EBUSY),
        }
        if is_new {
            let root = self.groups.get_mut(&root).unwrap();
            (root.notify, root.clone_children) = (false, false);
            self.mounts.insert(name, (Mounting::Mounted, String::new()));
        }
        self.mounts.get_mut(name).unwrap().0 = Mounting::Mounted;
        Ok(())
    }

    pub(super) fn unmount(&mut self, hierarchy: &HierarchyName) -> Result<(), Errno> {
        let root = self.find(&GroupPath::root(hierarchy))?;
        let name = HIERARCHIES[root];
        let lingers = !self.children(root).is_empty();
        let mount = self.mounts.get_mut(name).unwrap();
        mount.0 = if lingers {
            Mounting::Lingering
        } else {
            Mounting::Gone
        };
        if !lingers && self.debug == Some(name) {
            self.debug = None;
        }
        Ok(())
    }

    pub(super) fn remount(
        &mut self,
        hierarchy: &HierarchyName,
        subsystems: &[String],
    ) -> Result<(), Errno> {
        let root = self.find(&GroupPath::root(hierarchy))?;
        let (name, asked) = (HIERARCHIES[root], has_debug(subsystems));
        if (self.debug == Some(name)) == asked {
            return Ok(());
        }
        if !self.children(root).is_empty() || (asked && self.debug.is_some()) {
            return Err(EBUSY);
        }
        self.debug = asked.then_some(name);
        Ok(())
    }
}

fn has_debug(subsystems: &[String]) -> bool {
    subsystems.iter().any(|name| name == "debug")
}
