//! What a write to each of the files does.

use super::effective::shared;
use super::{Cpuset, State, rules};
use crate::group::GroupId;
use crate::subsystem::{Context, parse_flag, parse_u64};
use crate::{CpuSet, Errno, NodeSet, Refusal};

impl Cpuset {
    /// What [`write`](crate::subsystem::Subsystem::write) does.
    pub(super) fn write_file(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        file: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        let is_root = cx.core.groups[group].parent.is_none();
        match file {
            "cpuset.cpus" | "cpuset.mems" | "cpuset.placement" if is_root => {
                let rule = format!("{file} of the root group {} is the host's", {
                    &cx.core.groups[group].path
                });
                Err(Refusal::new(Errno::EACCES, rule))
            }
            "cpuset.cpus" => self.write_cpus(cx, group, value),
            "cpuset.mems" => self.write_mems(cx, group, value),
            "cpuset.placement" => self.write_placement(cx, group, value),
            "cpuset.sched_load_balance" => match parse_u64(file, value)? {
                0 => {
                    let rule = format!("{file} 0 would not be enforced: only 1 is accepted");
                    Err(Refusal::plain(Errno::EINVAL, rule))
                }
                _ => Ok(()),
            },
            _ => self.write_flag(cx, group, file, value),
        }
    }

    fn write_cpus(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        value: &str,
    ) -> Result<(), Refusal> {
        let cpus = CpuSet::parse(value, cx.core.host.possible_cpus)
            .map_err(|refusal| rules::not_taken("cpuset.cpus", refusal))?;
        rules::cpus_are_present(&cx.core.host, cpus)?;
        let state = self.state(group);
        if *state.cpus == cpus {
            return Ok(());
        }
        rules::cpus_are_allowed(&cx.core.host, cpus)?;
        let above = cx.core.groups[group]
            .parent
            .map(|above| &self.state(above).cpus);
        let cpus = shared(cpus, above);
        let trial = State {
            cpus: cpus.clone(),
            ..state.clone()
        };
        self.validate_change(cx.core, group, &trial)?;
        self.states.edit(group).cpus = cpus;
        self.note_reserving(cx.core, group);
        match self.refresh(cx, group, false) {
            Some(crowded) => Err(self.too_few_cpus(cx.core, crowded)),
            None => Ok(()),
        }
    }

    fn write_mems(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        value: &str,
    ) -> Result<(), Refusal> {
        let mems = NodeSet::parse(value, NodeSet::CAPACITY)
            .map_err(|refusal| rules::not_taken("cpuset.mems", refusal))?;
        rules::mems_are_enforced(&cx.core.host, mems)?;
        let state = self.state(group);
        if state.mems != mems {
            let trial = State {
                mems,
                ..state.clone()
            };
            self.validate_change(cx.core, group, &trial)?;
            self.states.edit(group).mems = mems;
            self.note_reserving(cx.core, group);
            self.refresh(cx, group, false);
        }
        Ok(())
    }

    fn write_flag(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        file: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        let flag = parse_flag(file, value)?;
        let mut trial = self.state(group).clone();
        match file {
            "cpuset.cpu_exclusive" => trial.cpu_exclusive = flag,
            _ => trial.mem_exclusive = flag,
        }
        self.validate_change(cx.core, group, &trial)?;
        *self.states.edit(group) = trial;
        self.note_reserving(cx.core, group);
        Ok(())
    }
}
