//! Several machines side by side, each with a view, and random activity of the host and of guests.
//!
//! What must stay hidden from `web` has a name that nothing else has: groups outside of its roots
//! are `secretN`, other machines `neighbourN`, owners and thread ids large numbers.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy sees only test functions as tests"
)]

#[path = "village/follower.rs"]
mod follower;
#[path = "village/knowledge.rs"]
mod knowledge;
#[path = "village/steps.rs"]
mod steps;

use container_core::*;

use crate::guest::*;
use crate::support::*;

use follower::Follower;
pub use steps::{Ask, Op, Step, steps};

pub const HIERARCHIES: [&str; 3] = ["p", "b", "x"];

pub const MACHINES: [&str; 3] = ["web", "neighbour1", "neighbour2"];

/// In no answer to `web`, refusal or event.
pub const SECRETS: [&str; 4] = ["secret", "neighbour", "987654", "70000"];
const SECRET_UID: u32 = 987_654;
const FIRST_TID: u32 = 7_000_000;

/// The framework, and the views open on it. The first four are there to ask.
pub struct Village {
    pub framework: Framework,
    pub views: Vec<Follower>,
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
}
