//! The hierarchies themselves: each there, with the subsystems that are wanted of it.
//!
//! ```text
//!   give up   what a hierarchy has, and another is to have
//!   take      new ones are mounted, those that have another set are mounted anew with theirs
//! ```
//!
//! One with groups keeps its set: what the spec says of such a one is refused, by the framework's rule.

use std::collections::BTreeSet;

use container_core::{Command, Errno, Framework, HierarchyInfo, HierarchyName, Refusal};

use super::{Way, groups};

/// Make hierarchies there as they are in the target.
///
/// # Errors
/// Which one is refused, and why: EBUSY for another set where there are groups, for a subsystem that another has, and for
/// one that was unmounted and lives on.
pub(super) fn bring<'a>(
    way: &mut Way<'_>,
    names: &'a [HierarchyName],
) -> Result<(), (&'a HierarchyName, Refusal)> {
    for name in names {
        give_up(way, name, names).map_err(|refusal| (name, refusal))?;
    }
    for name in names {
        take(way, name).map_err(|refusal| (name, refusal))?;
    }
    Ok(())
}

/// As [`bring`], for those that are all there; where one has another set, its groups go first.
///
/// # Errors
/// What the framework refuses.
pub(super) fn bring_back(way: &mut Way<'_>, names: &[&HierarchyName]) -> Result<(), Refusal> {
    let mut others = Vec::new();
    for name in names {
        let is = find(&way.scratch, name).map(set);
        if is != find(way.target, name).map(set) {
            groups::clear(way, name)?;
            others.push((*name).clone());
        }
    }
    bring(way, &others).map_err(|(_, refusal)| refusal)
}

fn give_up(
    way: &mut Way<'_>,
    name: &HierarchyName,
    names: &[HierarchyName],
) -> Result<(), Refusal> {
    let Some(is) = find(&way.scratch, name).filter(|is| is.mounted) else {
        return Ok(());
    };
    let others = names.iter().filter(|other| *other != name);
    let wanted: BTreeSet<&str> = others.flat_map(|other| wanted(way, other)).collect();
    let has = set(is);
    let keeps: BTreeSet<&str> = has.difference(&wanted).copied().collect();
    match keeps == has {
        true => Ok(()),
        false => remount(way, name, keeps),
    }
}

fn take(way: &mut Way<'_>, name: &HierarchyName) -> Result<(), Refusal> {
    let wanted = wanted(way, name);
    match find(&way.scratch, name) {
        None => way.take(Command::Mount {
            hierarchy: name.clone(),
            subsystems: wanted.into_iter().map(str::to_owned).collect(),
        }),
        Some(hierarchy) if !hierarchy.mounted => {
            let rule = format!(
                "hierarchy {name} was unmounted and lives on with {} groups, which only a mount brings \
                 back: mount it, and apply again",
                hierarchy.groups
            );
            Err(Refusal::new(Errno::EBUSY, rule))
        }
        Some(is) => match set(is) == wanted {
            true => Ok(()),
            false => remount(way, name, wanted),
        },
    }
}

fn remount(
    way: &mut Way<'_>,
    name: &HierarchyName,
    subsystems: BTreeSet<&str>,
) -> Result<(), Refusal> {
    way.take(Command::Remount {
        hierarchy: name.clone(),
        subsystems: subsystems.into_iter().map(str::to_owned).collect(),
    })
}

fn find(framework: &Framework, name: &HierarchyName) -> Option<HierarchyInfo> {
    let all = framework.hierarchies();
    all.into_iter().find(|one| one.name == *name)
}

/// What the target has in it.
fn wanted(way: &Way<'_>, name: &HierarchyName) -> BTreeSet<&'static str> {
    find(way.target, name).map(set).unwrap_or_default()
}

fn set(hierarchy: HierarchyInfo) -> BTreeSet<&'static str> {
    hierarchy.subsystems.into_iter().collect()
}
