//! Where there is something to be done: found anew after each change, from the groups that have tasks.

use std::collections::{BTreeMap, BTreeSet};

use container_core::{CpuGroup, TaskId};

use super::shares::Heir;
use super::{Group, Member};

/// What a tick looks at. It costs what there are tasks, however many groups are empty.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Groups with tasks here or below, and who has a part in each.
    pub heirs: BTreeMap<CpuGroup, BTreeSet<Heir>>,
    /// Those of them that have a quota.
    pub limited: Vec<CpuGroup>,
    /// Those with more than one heir.
    pub levels: Vec<CpuGroup>,
    /// Those below one of either, or one themselves.
    pub matters: BTreeSet<CpuGroup>,
}

impl Survey {
    pub fn of(groups: &BTreeMap<CpuGroup, Group>, members: &BTreeMap<TaskId, Member>) -> Survey {
        let parent = |id: &CpuGroup| groups.get(id).and_then(|group| group.parent);
        let mut survey = Survey::default();
        let with_tasks: BTreeSet<CpuGroup> = members.values().map(|it| it.group).collect();
        for &id in &with_tasks {
            survey.heirs.entry(id).or_default().insert(Heir::Own);
            let (mut below, mut above) = (id, parent(&id));
            while let Some(id) = above {
                let heirs = survey.heirs.entry(id).or_default();
                if !heirs.insert(Heir::Child(below)) {
                    break;
                }
                (below, above) = (id, parent(&id));
            }
        }
        // Parents come before their children, which are younger.
        for (id, heirs) in &survey.heirs {
            let quota = groups.get(id).and_then(|group| group.limits.quota_us);
            if quota.is_some() {
                survey.limited.push(*id);
            }
            if heirs.len() > 1 {
                survey.levels.push(*id);
            }
            let is_below = parent(id).is_some_and(|above| survey.matters.contains(&above));
            if is_below || quota.is_some() || heirs.len() > 1 {
                survey.matters.insert(*id);
            }
        }
        survey
    }

    /// Of the groups that have tasks, this one and those below it.
    pub fn below(&self, top: CpuGroup) -> impl Iterator<Item = CpuGroup> + '_ {
        let mut pending = vec![top];
        std::iter::from_fn(move || {
            let id = pending.pop()?;
            let heirs = self.heirs.get(&id).into_iter().flatten();
            pending.extend(heirs.filter_map(|heir| match heir {
                Heir::Own => None,
                Heir::Child(child) => Some(*child),
            }));
            Some(id)
        })
    }
}
