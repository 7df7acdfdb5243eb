//! The groups of one hierarchy: from what there is to what is wanted, past no forbidden state.
//!
//! ```text
//!   remove   groups that are not wanted and hold no task, deepest first
//!   relax    what would be in the way: limits, exclusive flags (deepest first), one-to-one
//!   make     top down: groups that are missing; cpus and mems that hold what is wanted here and
//!            what is still below
//!   move     the tasks
//!   remove   the other groups that are not wanted
//!   narrow   bottom up: cpus and mems as wanted
//!   relax    quotas that are to be others
//!   finish   top down: exclusive flags, one-to-one, limits, owners, whatever else differs
//! ```
//!
//! Why no state on the way is forbidden. A set is inside its parent's throughout: going down, each is
//! made to hold its wanted set and its children's present ones, and its parent does already; going up,
//! each loses only what no child has any more. A set with tasks in it is never empty: it becomes so
//! going up, after they have left. No task enters an empty one: what is wanted is there before they
//! move. Sets overlap only among siblings of which none is exclusive: a flag is lifted where
//! [`relax`](super::relax) finds that it would forbid what comes, and set again at the end, where the
//! target shows that all flags hold together.

use std::collections::{BTreeSet, HashMap};
use std::ops::BitOr;
use std::str::FromStr;

use container_core::{
    Command, CpuSet, Errno, Framework, GroupPath, HierarchyName, NodeSet, Refusal, TaskId,
};

use super::relax::{self, ONE_TO_ONE, PERIOD, PLACEMENT, QUOTA, SHARES};
use super::{Moves, SELF_FREEZING, Way, read};

/// Files that are in force before tasks move: who leaves last makes the event that the spec wants.
const EARLY: [&str; 3] = [
    "notify_on_release",
    "release_agent",
    "cgroup.clone_children",
];

/// Make one hierarchy of the scratch as the target's.
///
/// # Errors
/// What the framework refuses, and EBUSY for a task in a group that is not wanted.
pub(super) fn change(
    way: &mut Way<'_>,
    name: &HierarchyName,
    moves: &Moves,
) -> Result<(), Refusal> {
    let wanted: Vec<GroupPath> = paths(way.target, name)?;
    let is_wanted: BTreeSet<GroupPath> = wanted.iter().cloned().collect();
    remove(way, name, &is_wanted, false)?;
    relax::limits(way, name, &wanted)?;
    let cpuset = way
        .target
        .files(&GroupPath::root(name))?
        .contains(&"cpuset.cpus");
    if cpuset {
        relax::flags(way, name, &is_wanted)?;
        relax::seats(way, name, &is_wanted, moves)?;
    }
    let there = paths(&way.scratch, name)?;
    let below = by_parent(&there);
    let there: BTreeSet<&GroupPath> = there.iter().collect();
    for group in &wanted {
        if !there.contains(group) {
            way.take(Command::Mkdir {
                group: group.clone(),
            })?;
        }
        if cpuset && !group.is_root() {
            widen(way, group, below.get(group).map_or(&[], Vec::as_slice))?;
        }
    }
    let settings = |way: &mut Way<'_>, is_early: bool| {
        for group in &wanted {
            for file in compared(way.target, group)? {
                if EARLY.contains(&file) == is_early {
                    way.set_as_wanted(group, file)?;
                }
            }
        }
        Ok::<(), Refusal>(())
    };
    settings(way, true)?;
    relax::memory(way, moves)?;
    carry_out(way, name, moves)?;
    remove(way, name, &is_wanted, true)?;
    if cpuset {
        for group in wanted.iter().rev().filter(|group| !group.is_root()) {
            way.set_as_wanted(group, "cpuset.cpus")?;
            way.set_as_wanted(group, "cpuset.mems")?;
        }
    }
    relax::quotas(way, &wanted)?;
    settings(way, false)?;
    for group in &wanted {
        let owner = way.target.owner(group)?;
        if way.scratch.owner(group)? != owner {
            way.take(Command::Chown {
                group: group.clone(),
                uid: owner.uid,
                gid: owner.gid,
                mode: owner.mode,
            })?;
        }
    }
    is_as_wanted(way, name)
}

/// Take a hierarchy away that was not there.
///
/// # Errors
/// What the framework refuses.
pub(super) fn unmount(way: &mut Way<'_>, name: &HierarchyName) -> Result<(), Refusal> {
    clear(way, name)?;
    way.take(Command::Unmount {
        hierarchy: name.clone(),
    })
}

/// Its tasks to the root, and its groups away.
///
/// # Errors
/// What the framework refuses.
pub(super) fn clear(way: &mut Way<'_>, name: &HierarchyName) -> Result<(), Refusal> {
    let root = GroupPath::root(name);
    for group in way.scratch.walk(name)?.into_iter().rev() {
        if group.path.is_root() {
            continue;
        }
        for task in group.tasks {
            let group = root.clone();
            way.take(Command::Attach { group, task })?;
        }
        way.take(Command::Rmdir { group: group.path })?;
    }
    Ok(())
}

/// Paths, parents before children.
fn paths(framework: &Framework, name: &HierarchyName) -> Result<Vec<GroupPath>, Refusal> {
    let walk = framework.walk(name)?.into_iter();
    Ok(walk.map(|group| group.path).collect())
}

/// The control files that are state, and that a spec can say.
fn compared(
    framework: &Framework,
    group: &GroupPath,
) -> Result<impl Iterator<Item = &'static str> + use<>, Refusal> {
    let is_state = |file: &&str| {
        let shows = [
            "cpuset.effective_",
            "debug.",
            "cpuacct.",
            "freezer.",
            "cpu.stat",
            "memory.",
        ];
        let shown = ["tasks", "cgroup.events", "cpuset.sched_load_balance"];
        let is_shown = shows.iter().any(|start| file.starts_with(start));
        let said = [SELF_FREEZING, relax::MEMORY_LIMIT];
        said.contains(file) || !shown.contains(file) && !is_shown
    };
    // The root's are the host's.
    let hosts = [
        "cpuset.cpus",
        "cpuset.mems",
        PLACEMENT,
        QUOTA,
        PERIOD,
        SHARES,
        relax::MEMORY_LIMIT,
    ];
    let is_root = group.is_root();
    let files = framework.files(group)?.into_iter().filter(is_state);
    Ok(files.filter(move |file| !is_root || !hosts.contains(file)))
}

/// Remove the groups that are not wanted, deepest first: those without a task in or below them, or, the
/// last time, all.
fn remove(
    way: &mut Way<'_>,
    name: &HierarchyName,
    wanted: &BTreeSet<GroupPath>,
    is_last: bool,
) -> Result<(), Refusal> {
    let mut held: BTreeSet<GroupPath> = BTreeSet::new();
    for group in way.scratch.walk(name)?.into_iter().rev() {
        if wanted.contains(&group.path) {
            continue;
        }
        if let (Some(task), true) = (group.tasks.first(), is_last) {
            let task = way.scratch.task(*task);
            let task = task.map_or_else(String::new, |task| task.name.to_string());
            let rule = format!(
                "group {} is not in the spec, and its task {task} is in the way",
                group.path
            );
            return Err(Refusal::new(Errno::EBUSY, rule));
        }
        if group.tasks.is_empty() && !held.contains(&group.path) {
            way.take(Command::Rmdir { group: group.path })?;
        } else {
            held.extend(group.path.parent());
        }
    }
    Ok(())
}

/// Give a group the CPUs and nodes that are wanted, and what it must keep until its tasks and its
/// children have let go of it.
fn widen(way: &mut Way<'_>, group: &GroupPath, children: &[GroupPath]) -> Result<(), Refusal> {
    // One-to-one: those that are to leave have their CPUs until then.
    let keeps_all = read(&way.scratch, group, PLACEMENT)? == ONE_TO_ONE;
    widen_file::<CpuSet>(way, group, "cpuset.cpus", children, keeps_all)?;
    widen_file::<NodeSet>(way, group, "cpuset.mems", children, false)
}

fn widen_file<Set>(
    way: &mut Way<'_>,
    group: &GroupPath,
    file: &str,
    children: &[GroupPath],
    keeps_all: bool,
) -> Result<(), Refusal>
where
    Set: FromStr<Err = Refusal> + BitOr<Output = Set> + Copy + PartialEq + ToString,
{
    let wanted = read(way.target, group, file)?;
    let has: Set = read(&way.scratch, group, file)?.parse()?;
    let wants: Set = wanted.parse()?;
    let mut holds = wants;
    if keeps_all || wanted.is_empty() {
        holds = holds | has;
    }
    for child in children {
        holds = holds | read(&way.scratch, child, file)?.parse()?;
    }
    // What is only to become less does so in one step, once it can.
    if holds != wants && holds | has == has {
        return Ok(());
    }
    way.set(group, file, &holds.to_string())
}

/// Groups that there are, by their parent.
pub(super) fn by_parent(groups: &[GroupPath]) -> HashMap<GroupPath, Vec<GroupPath>> {
    let mut children: HashMap<GroupPath, Vec<GroupPath>> = HashMap::new();
    for group in groups {
        if let Some(parent) = group.parent() {
            children.entry(parent).or_default().push(group.clone());
        }
    }
    children
}

/// Move the tasks. A group that has tasks before and after should not be empty in between, which would
/// be a release: its last task waits for another to come, if that is not waiting for it in turn.
fn carry_out(way: &mut Way<'_>, name: &HierarchyName, moves: &Moves) -> Result<(), Refusal> {
    let mut count: HashMap<GroupPath, usize> = HashMap::new();
    let mut from: HashMap<TaskId, GroupPath> = HashMap::new();
    for group in way.scratch.walk(name)? {
        let tasks = group.tasks.iter().filter(|task| moves.contains_key(task));
        from.extend(tasks.map(|task| (*task, group.path.clone())));
        count.insert(group.path, group.tasks.len());
    }
    let entered: BTreeSet<&GroupPath> = moves.values().collect();
    let mut left: Vec<(TaskId, &GroupPath)> = moves.iter().map(|(task, to)| (*task, to)).collect();
    while !left.is_empty() {
        let mut waiting = Vec::new();
        let before = left.len();
        for (index, (task, to)) in left.into_iter().enumerate() {
            let leaves = &from[&task];
            let would_release = count[leaves] == 1 && entered.contains(leaves);
            // Where all wait for each other, one has to go first.
            let is_stuck = index + 1 == before && waiting.len() == index;
            if would_release && !is_stuck {
                waiting.push((task, to));
                continue;
            }
            let group = to.clone();
            way.take(Command::Attach { group, task })?;
            *count.entry(leaves.clone()).or_default() -= 1;
            *count.entry(to.clone()).or_default() += 1;
        }
        left = waiting;
    }
    Ok(())
}

/// The promise: what the commands leave is what the spec says.
///
/// # Errors
/// EIO with what is not so, which would be a fault of this module.
fn is_as_wanted(way: &Way<'_>, name: &HierarchyName) -> Result<(), Refusal> {
    let wanted = paths(way.target, name)?;
    let unlike = |what: String| {
        let rule =
            format!("the way that was found to what the spec says does not lead there: {what}");
        Err(Refusal::new(Errno::EIO, rule))
    };
    if paths(&way.scratch, name)? != wanted {
        return unlike(format!("{name} would have other groups"));
    }
    for group in &wanted {
        for file in compared(way.target, group)? {
            let (would, is) = (
                read(&way.scratch, group, file)?,
                read(way.target, group, file)?,
            );
            if would != is {
                return unlike(format!(
                    "{file} of {group} would be {would:?} and not {is:?}"
                ));
            }
        }
        if way.scratch.owner(group)? != way.target.owner(group)? {
            return unlike(format!("{group} would be another's"));
        }
    }
    Ok(())
}
