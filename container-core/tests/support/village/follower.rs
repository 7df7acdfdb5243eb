//! A view beside the framework's own: what it sees of each event.

use std::collections::BTreeMap;

use container_core::*;

use crate::guest::path;

/// A view as a naive model knows it: root paths as text, followed through the events.
pub struct Follower {
    pub id: ViewId,
    pub machine: MachineName,
    /// By hierarchy; None for one that was removed.
    pub roots: BTreeMap<String, Option<String>>,
}

impl Follower {
    /// The group in the view's names, if it is in the view.
    pub fn sees(&self, group: &GroupPath) -> Option<ViewPath> {
        let root = self.roots.get(group.hierarchy().as_str())?.as_ref()?;
        let below = match root.as_str() {
            "/" => group.path(),
            root if group.path() == root => "/",
            root => group
                .path()
                .strip_prefix(&format!("{root}/"))
                .map(|_| &group.path()[root.len()..])?,
        };
        Some(path(&format!("{}:{below}", group.hierarchy())))
    }

    /// What the view sees of an event, all before it having been shown.
    pub fn hear(&mut self, event: &Event) -> Option<ViewEvent> {
        match event {
            Event::GroupCreated { group } => Some(ViewEvent::GroupCreated {
                group: self.sees(group)?,
            }),
            Event::Released { group, .. } => Some(ViewEvent::Released {
                group: self.sees(group)?,
            }),
            Event::GroupFrozen { group } => Some(ViewEvent::GroupFrozen {
                group: self.sees(group)?,
            }),
            Event::GroupThawed { group } => Some(ViewEvent::GroupThawed {
                group: self.sees(group)?,
            }),
            Event::GroupRemoved { group } => {
                let seen = self.sees(group)?;
                if seen.is_root() {
                    self.roots.insert(group.hierarchy().to_string(), None);
                }
                Some(ViewEvent::GroupRemoved { group: seen })
            }
            Event::GroupRenamed { from, to } => {
                let root = self.roots.get_mut(from.hierarchy().as_str())?.as_mut()?;
                let below = root.strip_prefix(from.path()).map(String::from);
                match below {
                    Some(below) if below.is_empty() || below.starts_with('/') => {
                        *root = format!("{}{below}", to.path());
                        None
                    }
                    _ => Some(ViewEvent::GroupRenamed {
                        from: self.sees(from)?,
                        to: self.sees(to)?,
                    }),
                }
            }
            Event::TaskMoved { name, from, to, .. } => {
                let (from, to) = (self.sees(from), self.sees(to));
                let is_seen = name.machine == self.machine && (from.is_some() || to.is_some());
                is_seen.then_some(ViewEvent::TaskMoved {
                    task: name.kind,
                    from,
                    to,
                })
            }
            Event::FileWritten { group, file, value } if file != "release_agent" => {
                Some(ViewEvent::FileWritten {
                    group: self.sees(group)?,
                    file: file.clone(),
                    value: value.clone(),
                })
            }
            _ => None,
        }
    }
}
