//! Which views see an event, and as what.

use super::registry::View;
use super::{ViewEvent, ViewId, ViewPath};
use crate::group::GroupId;
use crate::transaction::Transaction;
use crate::{Event, Framework, GroupPath};

/// One event as one view sees it.
#[derive(Clone)]
pub(crate) struct Sighting {
    /// Its index among the events of its commit.
    event: usize,
    view: ViewId,
    seen: ViewEvent,
}

impl Framework {
    /// Which views see the event at this index of what the last commit returned, by view, and as
    /// what. Decided when it happened: a path of then may be another group's name by now.
    pub fn views_of(&self, event: usize) -> impl Iterator<Item = (ViewId, &ViewEvent)> {
        let sightings = &self.views.sightings;
        let first = sightings.partition_point(|sighting| sighting.event < event);
        sightings[first..]
            .iter()
            .take_while(move |sighting| sighting.event == event)
            .map(|sighting| (sighting.view, &sighting.seen))
    }

    /// Something happened to groups of one hierarchy, which is mounted: an event, and who sees it.
    pub(crate) fn tell(
        &self,
        transaction: &mut Transaction,
        groups: &[GroupId],
        event: impl FnOnce() -> Event,
    ) {
        transaction.event(event);
        let Some((index, event)) = transaction.last_event() else {
            return;
        };
        let lineages = groups.iter().flat_map(|group| self.core.lineage(*group));
        let rooted = lineages.flat_map(|above| {
            let views = self.views.rooted_in(above);
            views.map(move |(id, view)| (id, view, above))
        });
        let mut rooted: Vec<(ViewId, &View, GroupId)> = rooted.collect();
        rooted.sort_unstable_by_key(|(id, _, _)| *id);
        rooted.dedup_by_key(|(id, _, _)| *id);
        let sightings = rooted.into_iter().filter_map(|(id, view, root)| {
            let seen = self.seen_by(view, root, groups, event)?;
            Some(Sighting {
                event: index,
                view: id,
                seen,
            })
        });
        let sightings: Vec<Sighting> = sightings.collect();
        transaction.sightings.extend(sightings);
    }

    /// The event as a view tells it whose root is one of the groups, or above one.
    fn seen_by(
        &self,
        view: &View,
        root: GroupId,
        groups: &[GroupId],
        event: &Event,
    ) -> Option<ViewEvent> {
        if !self.is_shown(root) {
            return None;
        }
        let root_path = &self.core.groups[root].path;
        let path = |group: &GroupPath| ViewPath::of(group, root_path);
        match event {
            Event::Released { group, .. } => Some(ViewEvent::Released {
                group: path(group)?,
            }),
            Event::GroupCreated { group } => Some(ViewEvent::GroupCreated {
                group: path(group)?,
            }),
            Event::GroupRemoved { group } => Some(ViewEvent::GroupRemoved {
                group: path(group)?,
            }),
            Event::GroupFrozen { group } => Some(ViewEvent::GroupFrozen {
                group: path(group)?,
            }),
            Event::GroupThawed { group } => Some(ViewEvent::GroupThawed {
                group: path(group)?,
            }),
            // The old name of the root itself is no path in the view, which is rooted in the new one
            // already: a root is `/` before and after, and nothing is seen.
            Event::GroupRenamed { from, to } => Some(ViewEvent::GroupRenamed {
                from: path(from)?,
                to: path(to)?,
            }),
            Event::TaskMoved { name, from, to, .. } if name.machine == view.machine => {
                let (from, to) = (path(from), path(to));
                (from.is_some() || to.is_some()).then_some(ViewEvent::TaskMoved {
                    task: name.kind,
                    from,
                    to,
                })
            }
            Event::FileWritten { group, file, value } => {
                self.shown_file(*groups.first()?, file)?;
                Some(ViewEvent::FileWritten {
                    group: path(group)?,
                    file: file.clone(),
                    value: value.clone(),
                })
            }
            Event::TaskMoved { .. }
            | Event::Mounted { .. }
            | Event::Unmounted { .. }
            | Event::Remounted { .. }
            | Event::TaskBorn { .. }
            | Event::TaskExited { .. } => None,
        }
    }
}
