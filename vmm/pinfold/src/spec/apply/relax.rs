//! What is in the way of a change, lifted for the time of it.
//!
//! The rules are asked of each command against the state that the ones before it leave, and a flag or
//! limit that both ends of the way respect may forbid every way between them: two exclusive sets cannot
//! change places one at a time. Only what would be in the way is lifted, since lifting one-to-one and
//! setting it again may give a vCPU another seat.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use container_core::{
    Bytes, CpuSet, Framework, GroupInfo, GroupPath, HierarchyName, NodeSet, Refusal,
};

use super::groups::by_parent;
use super::{Moves, Way, read};

pub(super) const PLACEMENT: &str = "cpuset.placement";
pub(super) const ONE_TO_ONE: &str = "one-to-one";
pub(super) const FLOAT: &str = "float";

pub(super) const QUOTA: &str = "cpu.cfs_quota_us";
pub(super) const PERIOD: &str = "cpu.cfs_period_us";
pub(super) const SHARES: &str = "cpu.shares";
const NO_QUOTA: &str = "-1";
pub(super) const MEMORY_LIMIT: &str = "memory.limit_in_bytes";
/// As it reads where there is none.
const NO_LIMIT: &str = "9223372036854771712";

const FLAGS: [&str; 2] = ["cpuset.cpu_exclusive", "cpuset.mem_exclusive"];
const MAX_DEPTH: &str = "cgroup.max.depth";
const MAX_DESCENDANTS: &str = "cgroup.max.descendants";

/// Lift the limits that forbid the groups which are missing: they are made before others are removed.
pub(super) fn limits(
    way: &mut Way<'_>,
    name: &HierarchyName,
    wanted: &[GroupPath],
) -> Result<(), Refusal> {
    let there = way.scratch.walk(name)?;
    let paths: BTreeSet<&GroupPath> = there.iter().map(|group| &group.path).collect();
    // Of each group: how many are below it, and the lowest level of one that is to come.
    let mut below: HashMap<GroupPath, (usize, usize)> = HashMap::new();
    let missing = wanted.iter().filter(|group| !paths.contains(group));
    let all = paths.iter().map(|group| (*group, false));
    for (group, is_new) in all.chain(missing.map(|group| (group, true))) {
        let mut above = group.parent();
        while let Some(path) = above {
            above = path.parent();
            let levels = if is_new {
                group.depth() - path.depth()
            } else {
                0
            };
            let (count, deepest) = below.entry(path).or_default();
            *count += 1;
            *deepest = levels.max(*deepest);
        }
    }
    for GroupInfo { path, .. } in &there {
        // Where nothing is to come, what is there is there.
        let Some((count, deepest)) = below.get(path).filter(|(_, deepest)| *deepest > 0) else {
            continue;
        };
        for (file, needs) in [(MAX_DEPTH, *deepest), (MAX_DESCENDANTS, *count)] {
            let limit = read(&way.scratch, path, file)?;
            if limit.parse::<usize>().is_ok_and(|limit| limit < needs) {
                way.set(path, file, "max")?;
            }
        }
    }
    Ok(())
}

/// Lift exclusive flags, deepest first, since a group's is held by its parent's.
///
/// A flag is in the way where it is not wanted, where its parent's is lifted, where it keeps CPUs in a
/// group that is to have none, and where a sibling's set and its own have a member in common at any time:
/// of what they have now and of what they are to have.
pub(super) fn flags(
    way: &mut Way<'_>,
    name: &HierarchyName,
    wanted: &BTreeSet<GroupPath>,
) -> Result<(), Refusal> {
    let there: Vec<GroupPath> = way
        .scratch
        .walk(name)?
        .into_iter()
        .map(|group| group.path)
        .collect();
    let known: BTreeSet<&GroupPath> = there.iter().collect();
    let missing = wanted.iter().filter(|group| !known.contains(group));
    let all: Vec<GroupPath> = there.iter().chain(missing).cloned().collect();
    let mut reach = HashMap::new();
    for group in &all {
        let (now, then) = (sets(&way.scratch, group)?, sets(way.target, group)?);
        reach.insert(group, (now.0 | then.0, now.1 | then.1));
    }
    let siblings = by_parent(&all);
    for file in FLAGS {
        let mut lifted: BTreeSet<&GroupPath> = BTreeSet::new();
        for group in &there {
            if read(&way.scratch, group, file)? != "1" {
                continue;
            }
            let parent = group.parent();
            let siblings = parent.as_ref().and_then(|parent| siblings.get(parent));
            let mut others = siblings
                .into_iter()
                .flatten()
                .filter(|other| *other != group);
            let (cpus, mems) = reach[group];
            // Of an exclusive group that has nothing there may be any number; of others, as many as CPUs and nodes.
            let overlaps = match file {
                "cpuset.cpu_exclusive" => {
                    !cpus.is_empty() && others.any(|other| reach[other].0.intersects(&cpus))
                }
                _ => !mems.is_empty() && others.any(|other| reach[other].1.intersects(&mems)),
            };
            let is_wanted = wanted.contains(group);
            let is_unwanted = is_wanted && read(way.target, group, file)? != "1";
            let is_to_be_empty = is_wanted
                && file == "cpuset.cpu_exclusive"
                && sets(way.target, group)?.0.is_empty()
                && !sets(&way.scratch, group)?.0.is_empty();
            let is_in_the_way = overlaps || is_unwanted || is_to_be_empty;
            if is_in_the_way || parent.is_some_and(|parent| lifted.contains(&parent)) {
                lifted.insert(group);
            }
        }
        for group in there.iter().rev().filter(|group| lifted.contains(group)) {
            way.set(group, file, "0")?;
        }
    }
    Ok(())
}

/// A group's CPUs and nodes; none of a group that there is not.
fn sets(framework: &Framework, group: &GroupPath) -> Result<(CpuSet, NodeSet), Refusal> {
    if framework.group(group).is_err() {
        return Ok((CpuSet::EMPTY, NodeSet::EMPTY));
    }
    let cpus = read(framework, group, "cpuset.cpus")?.parse()?;
    Ok((cpus, read(framework, group, "cpuset.mems")?.parse()?))
}

/// Let the vCPUs of a one-to-one group float where it is not to be one, or where those that come might
/// find those that go still in their seats.
pub(super) fn seats(
    way: &mut Way<'_>,
    name: &HierarchyName,
    wanted: &BTreeSet<GroupPath>,
    moves: &Moves,
) -> Result<(), Refusal> {
    let mut coming: BTreeMap<&GroupPath, usize> = BTreeMap::new();
    for (task, to) in moves {
        if way
            .scratch
            .task(*task)
            .is_some_and(|task| task.name.kind.is_vcpu())
        {
            *coming.entry(to).or_default() += 1;
        }
    }
    for GroupInfo { path, tasks, .. } in way.scratch.walk(name)? {
        if !wanted.contains(&path)
            || path.is_root()
            || read(&way.scratch, &path, PLACEMENT)? != ONE_TO_ONE
        {
            continue;
        }
        let vcpus = tasks.iter().filter_map(|task| way.scratch.task(*task));
        let vcpus = vcpus.filter(|task| task.name.kind.is_vcpu()).count();
        let coming = coming.get(&path).copied().unwrap_or_default();
        let cpus = sets(&way.scratch, &path)?.0 | sets(way.target, &path)?.0;
        let seats = (cpus & way.scratch.host().allowed_cpus).len();
        let crowds = coming > 0 && vcpus + coming > seats;
        if crowds || read(way.target, &path, PLACEMENT)? == FLOAT {
            way.set(&path, PLACEMENT, FLOAT)?;
        }
    }
    Ok(())
}

/// Lift the quotas that are to be others, or of another period: no group has more than one above it at any time, and
/// a quota and its period are written one after the other.
pub(super) fn quotas(way: &mut Way<'_>, wanted: &[GroupPath]) -> Result<(), Refusal> {
    for group in wanted.iter().filter(|group| !group.is_root()) {
        if !way.target.files(group)?.contains(&QUOTA) {
            return Ok(());
        }
        let differs = |file: &str| {
            let (is, would) = (
                read(&way.scratch, group, file)?,
                read(way.target, group, file)?,
            );
            Ok::<bool, Refusal>(is != would)
        };
        if differs(QUOTA)? || differs(PERIOD)? {
            way.set(group, QUOTA, NO_QUOTA)?;
        }
    }
    Ok(())
}

/// Lift the memory limits of the groups that a machine is to enter: those that leave may go later.
pub(super) fn memory(way: &mut Way<'_>, moves: &Moves) -> Result<(), Refusal> {
    for (task, to) in moves {
        if way.scratch.memory(*task).committed == Bytes(0) {
            continue;
        }
        let mut entered = Some(to.clone());
        while let Some(group) = entered.filter(|group| !group.is_root()) {
            if way.scratch.files(&group)?.contains(&MEMORY_LIMIT) {
                way.set(&group, MEMORY_LIMIT, NO_LIMIT)?;
            }
            entered = group.parent();
        }
    }
    Ok(())
}
