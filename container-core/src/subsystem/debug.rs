//! debug: the framework's own structure, read-only.
//!
//! The files are those of kernel/cgroup/debug.c. Where the kernel prints the address of a css_set,
//! its slot number stands here. `current` is the reading task; a reader that is no task (the
//! supervisor, root) is told of the root css_set.

use std::fmt::Write;

use crate::Credentials;
use crate::core::Core;
use crate::css_set::{CssSetId, INIT_CSS_SET};
use crate::group::{DUMMY, GroupId};
use crate::subsystem::{ControlFile, Subsystem};

/// Tasks listed for each css_set (kernel: MAX_TASKS_SHOWN_PER_CSS).
const MAX_TASKS_SHOWN: usize = 25;

static FILES: &[ControlFile] = &[
    ControlFile::read_only("debug.taskcount").shown_to_guests(),
    ControlFile::read_only("debug.current_css_set"),
    ControlFile::read_only("debug.current_css_set_refcount"),
    ControlFile::read_only("debug.current_css_set_cg_links"),
    ControlFile::read_only("debug.cgroup_css_links"),
    ControlFile::read_only("debug.releasable").shown_to_guests(),
];

/// Keeps no state.
#[derive(Clone)]
pub(crate) struct Debug;

impl Subsystem for Debug {
    fn name(&self) -> &'static str {
        "debug"
    }

    fn files(&self) -> &'static [ControlFile] {
        FILES
    }

    fn read(&self, core: &Core, by: &Credentials, group: GroupId, file: &str) -> String {
        let reader = by.task.and_then(|task| core.tasks.get(task));
        let current = reader.map_or(INIT_CSS_SET, |task| core.tasks.slots[task].css_set);
        match file {
            "debug.taskcount" => core.groups[group].tasks.to_string(),
            "debug.current_css_set" => current.index().to_string(),
            "debug.current_css_set_refcount" => core.css.sets[current].tasks.len().to_string(),
            "debug.current_css_set_cg_links" => cg_links(core, current),
            "debug.cgroup_css_links" => css_links(core, group),
            _ => u8::from(core.groups[group].is_empty()).to_string(),
        }
    }
}

/// The groups that one css_set is linked to, a line each.
fn cg_links(core: &Core, set: CssSetId) -> String {
    let mut lines = Vec::new();
    for group in core.css.sets[set].key.iter().flatten() {
        let group = &core.groups[*group];
        if group.hierarchy != DUMMY {
            lines.push(format!(
                "Root {} group {}",
                group.hierarchy.index(),
                group.path.path()
            ));
        }
    }
    lines.join("\n")
}

/// The css_sets that one group is linked to, and their tasks.
fn css_links(core: &Core, group: GroupId) -> String {
    let links = core.groups[group].css_sets.iter(&core.css.links);
    let mut sets: Vec<CssSetId> = links.map(|link| core.css.links[link].set).collect();
    sets.sort_unstable();
    let mut text = String::new();
    for set in sets {
        let tasks = &core.css.sets[set].tasks;
        let separator = if text.is_empty() { "" } else { "\n" };
        let _ = write!(
            text,
            "{separator}css_set {} refs {}",
            set.index(),
            tasks.len()
        );
        for tid in tasks.iter().take(MAX_TASKS_SHOWN) {
            let _ = write!(text, "\n  task {tid}");
        }
        if tasks.len() > MAX_TASKS_SHOWN {
            let _ = write!(text, "\n  ... {} more", tasks.len() - MAX_TASKS_SHOWN);
        }
    }
    text
}
