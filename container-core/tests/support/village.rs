//! Several machines side by side, each with a view, and random activity of the host and of guests.
//!
//! What must stay hidden from `web` has a name that nothing else has: groups outside of its roots
//! are `secretN`, other machines `neighbourN`, owners and thread ids large numbers.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy sees only test functions as tests"
)]

use std::collections::BTreeMap;

use container_core::*;
use proptest::prelude::*;
use proptest::sample::select;

use crate::guest::*;
use crate::support::*;

pub const HIERARCHIES: [&str; 3] = ["p", "b", "x"];
/// Every control file that there is, and one that there is not.
const FILES: [&str; 27] = [
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

pub const MACHINES: [&str; 3] = ["web", "neighbour1", "neighbour2"];

/// In no answer to `web`, refusal or event.
pub const SECRETS: [&str; 4] = ["secret", "neighbour", "987654", "70000"];
const SECRET_UID: u32 = 987_654;
const FIRST_TID: u32 = 7_000_000;

/// A host's command in the making; places and tasks are numbers, modulo what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Mkdir(usize, usize),
    Rmdir(usize),
    Rename(usize, usize),
    Write(usize, &'static str, &'static str),
    Attach(usize, usize),
    Fork(usize, TaskKind, usize),
    Exit(usize),
    Chown(usize),
    Clone(usize),
}

/// A guest's command in the making.
#[derive(Clone, Debug)]
pub enum Ask {
    Make(usize, usize),
    Remove(usize),
    Set(usize, &'static str, &'static str),
    Enter(usize, TaskKind),
    Odd(&'static str),
}

#[derive(Clone, Debug)]
pub enum Step {
    Host(Vec<Op>),
    /// Which of the first views asks.
    Guest(usize, Vec<Ask>),
    Charge(u64),
    /// A machine does with a vCPU what it was told.
    Obey(usize),
    /// A neighbour's view is closed, and opened elsewhere.
    Open(usize),
}

fn writes() -> impl Strategy<Value = (&'static str, &'static str)> {
    let flags = select(vec![
        "notify_on_release",
        "notify_on_release",
        "cgroup.clone_children",
        "cpuset.cpu_exclusive",
    ]);
    let cpus = select(vec!["0", "1", "0-1", "2-3", "0-3", "1-2", "\n", "7", "all"]);
    prop_oneof![
        5 => (Just("cpuset.cpus"), cpus),
        3 => (Just("cpuset.mems"), select(vec!["0", "0", "\n", "1"])),
        5 => (flags, select(vec!["0", "1"])),
        2 => (Just("cpuset.placement"), select(vec!["float", "one-to-one"])),
        4 => (Just("freezer.state"), select(vec!["FROZEN", "THAWED"])),
        2 => (select(vec!["cgroup.max.depth", "cgroup.max.descendants"]), limits()),
        1 => (select(vec!["cpuacct.usage", "cpuacct.cycles"]), select(vec!["0", "1"])),
        1 => (Just("release_agent"), Just("/secret/agent")),
    ]
}

fn limits() -> impl Strategy<Value = &'static str> {
    select(vec!["0", "2", "5", "max"])
}

fn kinds() -> impl Strategy<Value = TaskKind> {
    prop_oneof![4 => (0..3u16).prop_map(TaskKind::Vcpu), 1 => Just(TaskKind::Io)]
}

pub fn ops() -> impl Strategy<Value = Op> {
    let place = || 0..100usize;
    prop_oneof![
        6 => (place(), 0..3usize).prop_map(|(place, name)| Op::Mkdir(place, name)),
        5 => place().prop_map(Op::Rmdir),
        4 => (place(), 0..3usize).prop_map(|(place, name)| Op::Rename(place, name)),
        8 => (place(), writes()).prop_map(|(place, (file, value))| Op::Write(place, file, value)),
        // The first two groups are above most roots.
        2 => (0..2usize, select(vec!["cgroup.max.depth", "cgroup.max.descendants"]), limits())
            .prop_map(|(place, file, limit)| Op::Write(place, file, limit)),
        10 => (place(), place()).prop_map(|(place, task)| Op::Attach(place, task)),
        3 => (place(), kinds(), place()).prop_map(|(m, kind, parent)| Op::Fork(m, kind, parent)),
        1 => place().prop_map(Op::Exit),
        1 => place().prop_map(Op::Chown),
        1 => place().prop_map(Op::Clone),
    ]
}

pub fn asks() -> impl Strategy<Value = Ask> {
    let place = || 0..100usize;
    let files = (
        select(vec!["tasks", "tasks", "debug.cgroup_css_links"]),
        select(vec!["vcpu0", "vcpu1", "7"]),
    );
    prop_oneof![
        5 => (place(), 0..3usize).prop_map(|(place, name)| Ask::Make(place, name)),
        3 => place().prop_map(Ask::Remove),
        8 => (place(), writes()).prop_map(|(place, (file, value))| Ask::Set(place, file, value)),
        1 => (place(), files).prop_map(|(place, (file, value))| Ask::Set(place, file, value)),
        8 => (place(), kinds()).prop_map(|(place, kind)| Ask::Enter(place, kind)),
        1 => select(vec!["p:/a", "x:/a", "b:/", "y:/", "p:/a/b"]).prop_map(Ask::Odd),
    ]
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => ops().prop_map(|op| Step::Host(vec![op])),
        4 => proptest::collection::vec(ops(), 2..5).prop_map(Step::Host),
        8 => (0..4usize, asks()).prop_map(|(view, ask)| Step::Guest(view, vec![ask])),
        3 => (0..4usize, proptest::collection::vec(asks(), 2..4))
            .prop_map(|(view, asks)| Step::Guest(view, asks)),
        1 => (1..1000u64).prop_map(Step::Charge),
        2 => (0..100usize).prop_map(Step::Obey),
        1 => (0..100usize).prop_map(Step::Open),
    ];
    proptest::collection::vec(step, 10..50)
}

/// A view as a naive model knows it: root paths as text, followed through the events.
pub struct Follower {
    pub id: ViewId,
    pub machine: MachineName,
    /// By hierarchy; None for one that was removed.
    pub roots: BTreeMap<String, Option<String>>,
}

/// The framework, and the views open on it. The first four are there to ask.
pub struct Village {
    pub framework: Framework,
    pub views: Vec<Follower>,
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

impl Village {
    pub fn new() -> Village {
        let mut village = Village {
            framework: Framework::new(host()),
            views: Vec::new(),
        };
        let mut prelude = vec![
            mount("p", &["cpuset", "debug"]),
            mount("b", &["cpuacct", "freezer"]),
        ];
        prelude.push(mount("x", &[]));
        prelude.extend(["p:/secret0", "p:/secret0/web", "p:/secret0/web/in0"].map(mkdir));
        prelude.extend(["p:/secret0/secret1", "b:/secret0", "b:/secret1"].map(mkdir));
        prelude.push(mkdir("b:/secret0/in0"));
        for (path, cpus) in [
            ("p:/secret0", "0-3"),
            ("p:/secret0/web", "0-2"),
            ("p:/secret0/web/in0", "0-1"),
            ("p:/secret0/secret1", "1-3"),
        ] {
            prelude.push(write(path, "cpuset.cpus", cpus));
            prelude.push(write(path, "cpuset.mems", "0"));
            prelude.push(write(path, "notify_on_release", "1"));
        }
        village.commit(&prelude).unwrap();
        let delegate = ViewAccess::Delegate;
        village.open("web", delegate, &["p:/secret0/web", "b:/secret0"]);
        village.open(
            "neighbour1",
            delegate,
            &["p:/secret0/secret1", "b:/secret1"],
        );
        village.open("neighbour2", delegate, &["x:/", "p:/secret0"]);
        village.open("web", ViewAccess::Read, &["x:/"]);
        village.open("neighbour2", ViewAccess::Read, &["b:/"]);
        for (machine, kind, roots) in [
            (0, TaskKind::Vcpu(0), ["p:/secret0/web", "b:/secret0"]),
            (0, TaskKind::Vcpu(1), ["p:/secret0/web/in0", "b:/secret0"]),
            (0, TaskKind::Io, ["p:/secret0/web", "b:/secret0/in0"]),
            (1, TaskKind::Vcpu(0), ["p:/secret0/secret1", "b:/secret1"]),
            (1, TaskKind::Vcpu(1), ["p:/secret0/secret1", "b:/secret1"]),
            (2, TaskKind::Vcpu(0), ["p:/", "b:/"]),
        ] {
            let fork = village
                .command(&Op::Fork(machine, kind, usize::MAX))
                .unwrap();
            let Command::Fork { task, .. } = &fork else {
                unreachable!()
            };
            let [p, b] = roots.map(|root| attach(root, *task));
            village.commit(&[fork, p, b]).unwrap();
        }
        village
    }

    pub fn open(&mut self, machine: &str, access: ViewAccess, roots: &[&str]) {
        let roots: Vec<GroupPath> = roots.iter().map(|root| group(root)).collect();
        let machine: MachineName = machine.parse().unwrap();
        let id = self
            .framework
            .open_view(machine.clone(), access, &roots)
            .unwrap();
        let roots = roots
            .iter()
            .map(|root| (root.hierarchy().to_string(), Some(root.path().into())));
        let roots = roots.collect();
        self.views.push(Follower { id, machine, roots });
    }

    /// Plan and commit; what each view saw, as the framework and as the model tell it.
    pub fn commit(&mut self, commands: &[Command]) -> Result<Vec<Event>, Refusal> {
        let plan = self.framework.plan(&Credentials::ROOT, commands)?;
        Ok(self.carry_out(plan))
    }

    pub fn carry_out(&mut self, plan: Plan) -> Vec<Event> {
        let events = self
            .framework
            .commit(plan)
            .expect("nothing was committed since");
        self.show(&events);
        events
    }

    /// The machine of this task does what it was told, and says so.
    pub fn obey(&mut self, task: TaskId) -> Vec<Event> {
        let frozen = self.framework.is_to_be_held(task);
        let events = self.framework.note_held(task, frozen).unwrap();
        self.show(&events);
        events
    }

    /// Each view sees just what the model says of it.
    fn show(&mut self, events: &[Event]) {
        self.framework.check_invariants();
        for view in &mut self.views {
            let modelled: Vec<ViewEvent> =
                events.iter().filter_map(|event| view.hear(event)).collect();
            let all = (0..events.len()).flat_map(|index| self.framework.views_of(index));
            let seen = all
                .filter(|(id, _)| *id == view.id)
                .map(|(_, seen)| seen.clone());
            assert_eq!(
                seen.collect::<Vec<_>>(),
                modelled,
                "{} sees just this of {events:?}",
                view.machine
            );
        }
    }

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

    pub fn groups(&self) -> Vec<GroupPath> {
        let trees = HIERARCHIES.map(|name| self.framework.walk(&name.parse().unwrap()).unwrap());
        trees.into_iter().flatten().map(|info| info.path).collect()
    }

    pub fn living(&self) -> Vec<TaskInfo> {
        self.framework.tasks().filter(|task| task.alive).collect()
    }

    /// None where it takes a task and there is none. A name tells whether the group is in a root of web.
    pub fn command(&mut self, op: &Op) -> Option<Command> {
        let groups = self.groups();
        let place = |number: &usize| groups[number % groups.len()].clone();
        let living = self.living();
        let task = |number: &usize| Some(living.get(number % living.len().max(1))?.id);
        let named = |above: &GroupPath, number: &usize| {
            let inside = self.web_sees(above);
            format!("{}{number}", if inside { "in" } else { "secret" })
        };
        Some(match op {
            Op::Mkdir(above, name) => {
                let above = place(above);
                let name = named(&above, name);
                Command::Mkdir {
                    group: above.child(&name).unwrap(),
                }
            }
            Op::Rmdir(group) => Command::Rmdir {
                group: place(group),
            },
            Op::Rename(group, name) => {
                let group = place(group);
                let to = named(&group.parent()?, name);
                Command::Rename { group, to }
            }
            Op::Write(group, file, value) => write(&place(group).to_string(), file, value),
            Op::Attach(group, number) => Command::Attach {
                group: place(group),
                task: task(number)?,
            },
            Op::Exit(number) => exit(task(number)?),
            // In a view, the name that clone gives to a group would be a thread id by the host's own
            // doing.
            Op::Clone(number) => {
                let groups = self.framework.task(task(number)?)?.groups;
                let mut placed = groups
                    .iter()
                    .filter(|group| group.hierarchy().as_str() == "p");
                if placed.any(|group| self.web_sees(group)) {
                    return None;
                }
                clone(task(number)?, "debug")
            }
            Op::Chown(group) => Command::Chown {
                group: place(group),
                uid: SECRET_UID,
                gid: SECRET_UID,
                mode: 0o700,
            },
            Op::Fork(machine, kind, parent) => {
                let parent = if *parent == usize::MAX {
                    None
                } else {
                    task(parent)
                };
                let id = self.framework.allocate_task();
                Command::Fork {
                    task: id,
                    name: TaskName {
                        machine: MACHINES[machine % MACHINES.len()].parse().unwrap(),
                        kind: *kind,
                    },
                    tid: Tid(FIRST_TID + u32::try_from(id.0).unwrap()),
                    parent,
                }
            }
        })
    }

    pub fn view_commands(&self, view: ViewId, asks: &[Ask]) -> Vec<ViewCommand> {
        let groups: Vec<ViewPath> = HIERARCHIES
            .iter()
            .filter_map(|name| {
                self.framework
                    .view_tree(view, &name.parse().unwrap(), None, 99)
                    .ok()
            })
            .flat_map(|(page, _)| page.into_iter().map(|group| group.path))
            .collect();
        let place = |number: &usize| match groups.is_empty() {
            true => path("p:/"),
            false => groups[number % groups.len()].clone(),
        };
        let commands = asks.iter().map(|ask| match ask {
            Ask::Make(above, name) => ViewCommand::Mkdir {
                group: place(above).child(&format!("in{name}")).unwrap(),
            },
            Ask::Remove(group) => ViewCommand::Rmdir {
                group: place(group),
            },
            Ask::Set(group, file, value) => set(&place(group).to_string(), file, value),
            Ask::Enter(group, task) => ViewCommand::Attach {
                group: place(group),
                task: *task,
            },
            Ask::Odd(group) => make(group),
        });
        commands.collect()
    }

    /// Whether a group is in a view of web's.
    pub fn web_sees(&self, group: &GroupPath) -> bool {
        let mut web = self
            .views
            .iter()
            .filter(|view| view.machine.as_str() == "web");
        web.any(|view| view.sees(group).is_some())
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
}
