//! What there is to know: all that a guest is told and can find out, and all that is not to change by its doing.

use container_core::*;

use super::{HIERARCHIES, Village};

/// Every control file that there is in these hierarchies, and one that there is not.
const FILES: [&str; 30] = [
    "tasks",
    "notify_on_release",
    "release_agent",
    "cgroup.events",
    "cgroup.clone_children",
    "cgroup.max.depth",
    "cgroup.max.descendants",
    "cpuset.cpus",
    "cpuset.mems",
    "cpuset.effective_cpus",
    "cpuset.effective_mems",
    "cpuset.cpu_exclusive",
    "cpuset.mem_exclusive",
    "cpuset.sched_load_balance",
    "cpuset.placement",
    "cpuacct.usage",
    "cpuacct.cycles",
    "cpuacct.usage_percpu",
    "cpuacct.stat",
    "cpuacct.load",
    "freezer.state",
    "freezer.self_freezing",
    "freezer.parent_freezing",
    "debug.taskcount",
    "debug.releasable",
    "debug.current_css_set",
    "debug.current_css_set_refcount",
    "debug.current_css_set_cg_links",
    "debug.cgroup_css_links",
    "nothing",
];

impl Village {
    /// What web was told by the last commit, all its views together.
    pub fn told_to_web(&self, events: usize) -> String {
        let all = (0..events).flat_map(|index| self.framework.views_of(index));
        let web = self
            .views
            .iter()
            .filter(|view| view.machine.as_str() == "web");
        let web: Vec<ViewId> = web.map(|view| view.id).collect();
        let told = all.filter(|(id, _)| web.contains(id));
        told.map(|(_, event)| format!("{event:?}\n")).collect()
    }

    /// Everything that a guest can find out by asking, through one of the views.
    pub fn found_out(&mut self, view: usize, probes: &[ViewCommand]) -> String {
        let view = self.views[view].id;
        let mut text = format!("{:?}\n", self.framework.view_roots(view));
        for name in HIERARCHIES.into_iter().chain(["y"]) {
            let page = self
                .framework
                .view_tree(view, &name.parse().unwrap(), None, usize::MAX);
            text += &format!("{page:?}\n");
            for group in page.map(|(page, _)| page).unwrap_or_default() {
                for file in FILES {
                    let read = self.framework.view_read(view, &group.path, file);
                    text += &format!("{} {file} {read:?}\n", group.path);
                }
            }
        }
        for probe in probes {
            let read = self.framework.view_read(view, probe.group(), "tasks");
            let plan = self.framework.view_plan(view, std::slice::from_ref(probe));
            let outcome = plan.map(|plan| plan.effects().len());
            text += &format!("{probe:?} {outcome:?} {read:?}\n");
        }
        text
    }

    /// Everything that the host sees outside of a view: groups with all their files, and tasks.
    ///
    /// Left out are the debug files that number css_sets, which tasks share across hierarchies.
    pub fn outside(&self, view: usize) -> String {
        let view = &self.views[view];
        let mut text = String::new();
        for name in HIERARCHIES {
            for info in self.framework.walk(&name.parse().unwrap()).unwrap() {
                if view.sees(&info.path).is_some() {
                    continue;
                }
                let files = self.framework.files(&info.path).unwrap();
                for file in files.into_iter().filter(|file| !file.contains("css")) {
                    let read = self.framework.read(&Credentials::ROOT, &info.path, file);
                    text += &format!("{file} {}", read.unwrap());
                }
                text += &format!("{info:?}\n");
            }
        }
        for mut task in self.framework.tasks() {
            if task.name.machine == view.machine {
                task.groups.retain(|group| view.sees(group).is_none());
                task.cpus = None;
            }
            text += &format!("{task:?}\n");
        }
        text
    }
}
