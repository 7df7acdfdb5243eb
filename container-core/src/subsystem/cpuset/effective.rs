//! What of the requested values is in force, and is kept once for those who have the same.

use std::sync::Arc;

use super::{Cpuset, State};
use crate::core::Core;
use crate::group::GroupId;
use crate::subsystem::Context;
use crate::{CpuSet, IdSet, NodeSet};

impl Cpuset {
    /// Bring effective values up to date from a group down. Below a group whose effective values
    /// stay, nothing changes, unless the host itself did (`everywhere`).
    ///
    /// Returns the first group whose vCPUs no longer have a CPU each, though it is one-to-one.
    pub(super) fn refresh(
        &mut self,
        cx: &mut Context<'_>,
        top: GroupId,
        everywhere: bool,
    ) -> Option<GroupId> {
        let mut crowded = None;
        let mut pending = vec![top];
        while let Some(group) = pending.pop() {
            let (cpus, mems) = self.effective(cx.core, group);
            let state = self.state(group);
            let changed = state.effective_cpus != cpus || state.effective_mems != mems;
            if changed {
                self.touch(cx, group);
                let state = self.states.edit(group);
                (state.effective_cpus, state.effective_mems) = (cpus, mems);
                if !self.reseat(cx.core, group) {
                    crowded = crowded.or(Some(group));
                }
            }
            if changed || everywhere {
                pending.extend(cx.core.groups[group].children.values());
            }
        }
        crowded
    }

    /// What of the requested values is in force, the parent's being up to date.
    fn effective(&self, core: &Core, group: GroupId) -> (Arc<CpuSet>, NodeSet) {
        let (host, state) = (&core.host, self.state(group));
        let Some(parent) = core.groups[group].parent else {
            return (shared(host.allowed_cpus, [&state.cpus]), host.mems);
        };
        let parent = self.state(parent);
        let cpus = in_force(*state.cpus, host.allowed_cpus, *parent.effective_cpus);
        let mems = in_force(state.mems, host.mems, parent.effective_mems);
        (shared(cpus, [&parent.effective_cpus, &state.cpus]), mems)
    }

    /// Give a new group its parent's values, unless a sibling is exclusive and could not share them.
    pub(super) fn copy_parent(&mut self, cx: &mut Context<'_>, group: GroupId) {
        let Some(parent) = cx.core.groups[group].parent else {
            return;
        };
        let mut siblings = cx.core.groups[parent].children.values();
        if siblings.any(|child| self.state(*child).is_exclusive()) {
            return;
        }
        let State { cpus, mems, .. } = self.state(parent);
        let (cpus, mems) = (cpus.clone(), *mems);
        let state = self.states.edit(group);
        (state.cpus, state.mems) = (cpus, mems);
        self.refresh(cx, group, false);
    }
}

/// What of the requested is allowed; where that is nothing, what is in force above.
fn in_force<const WORDS: usize>(
    requested: IdSet<WORDS>,
    allowed: IdSet<WORDS>,
    above: IdSet<WORDS>,
) -> IdSet<WORDS> {
    let granted = requested & allowed;
    match granted.is_empty() && !requested.is_empty() {
        true => above,
        false => granted,
    }
}

/// The set, and the one of those at hand that is equal where there is one.
pub(super) fn shared<'a>(
    cpus: CpuSet,
    at_hand: impl IntoIterator<Item = &'a Arc<CpuSet>>,
) -> Arc<CpuSet> {
    let equal = at_hand.into_iter().find(|other| ***other == cpus);
    equal.map_or_else(|| Arc::new(cpus), Arc::clone)
}
