//! What becomes of groups, and who is released.

use container_core::{Errno, Errno::*};

use super::{Group, Model, Node};

impl Model {
    pub(super) fn mkdir(&mut self, parent: Node, name: &str) -> Result<Node, Errno> {
        if self
            .children(parent)
            .iter()
            .any(|child| self.groups[child].name == name)
        {
            return Err(EEXIST);
        }
        let above = &self.groups[&parent];
        let clone_children = above.clone_children;
        let group = Group {
            notify: above.notify,
            clone_children,
            ..Group::empty(above.hierarchy, Some(parent), name)
        };
        let node = self.next;
        self.next += 1;
        self.groups.insert(node, group);
        if clone_children {
            self.copy_parent(node);
        }
        Ok(node)
    }

    pub(super) fn rmdir(&mut self, node: Node) -> Result<(), Errno> {
        let parent = self.groups[&node].parent.ok_or(EBUSY)?;
        if !self.children(node).is_empty() || !self.members(node).is_empty() {
            return Err(EBUSY);
        }
        let gone = self.groups.remove(&node).unwrap();
        self.groups.get_mut(&parent).unwrap().removed += gone.own + gone.removed;
        self.release_if_empty(parent);
        Ok(())
    }

    pub(super) fn rename(&mut self, node: Node, to: &str) -> Result<(), Errno> {
        let parent = self.groups[&node].parent.ok_or(EBUSY)?;
        let mut siblings = self
            .children(parent)
            .into_iter()
            .filter(|child| *child != node);
        if siblings.any(|child| self.groups[&child].name == to) {
            return Err(EEXIST);
        }
        self.groups.get_mut(&node).unwrap().name = to.into();
        Ok(())
    }

    pub(super) fn write(&mut self, node: Node, file: &str, value: &str) -> Result<(), Errno> {
        let group = self.groups.get_mut(&node).unwrap();
        let is_root = group.parent.is_none();
        match (group.hierarchy, file) {
            (_, "notify_on_release") => group.notify = value == "1",
            (_, "cgroup.clone_children") => group.clone_children = value == "1",
            (name, "release_agent") if is_root => {
                self.mounts.get_mut(name).unwrap().1 = value.into();
            }
            ("p", _) => return self.write_cpuset(node, file, value),
            ("b", "cpuacct.usage") => self.reset_bill(node),
            ("b", "freezer.state") if !is_root => return self.write_freezer_state(node, value),
            ("x", _) if file.starts_with("cpu.") => {
                return self.write_cpu(node, file, value.parse().unwrap());
            }
            ("m", _) => return self.write_memory(node, file, value),
            _ => return Err(ENOENT),
        }
        Ok(())
    }

    pub(super) fn release_if_empty(&mut self, node: Node) {
        let group = &self.groups[&node];
        let is_empty = self.members(node).is_empty() && self.children(node).is_empty();
        if group.notify && is_empty && group.parent.is_some() {
            let agent = &self.mounts[group.hierarchy].1;
            self.releases
                .push((self.path(node), (!agent.is_empty()).then(|| agent.clone())));
        }
    }
}
