//! Random activity of a host and several guests, and what no order of it may bring about.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

#[path = "support/guest.rs"]
mod guest;
mod support;
#[path = "support/village.rs"]
mod village;

use container_core::*;
use guest::*;
use proptest::prelude::*;
use village::*;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..Default::default()
    }
}

/// Changes that a guest tries only to see what comes back: most are refused.
fn probes() -> Vec<ViewCommand> {
    let mut probes = vec![
        make("p:/"),
        make("p:/new"),
        make("p:/in0"),
        make("p:/in0/tasks"),
        make("p:/release_agent"),
        make("p:/none/x"),
        make("b:/new"),
        make("x:/new"),
        make("y:/new"),
        remove("p:/"),
        remove("p:/in0"),
        remove("b:/in0"),
        remove("p:/none"),
        set("p:/", "cpuset.cpus", "0"),
        set("p:/in0", "tasks", "1"),
        set("p:/in0", "tasks", "io"),
        set("p:/in0", "release_agent", "/bin/true"),
        set("p:/in0", "debug.taskcount", "1"),
        set("p:/in0", "cpuset.mems", "0-3"),
        set("p:/in0", "cpuset.cpu_exclusive", "1"),
        set("p:/in0", "cpuset.placement", "one-to-one"),
        set("b:/in0", "cpuacct.usage", "1"),
    ];
    for cpus in [
        "0", "1", "2", "3", "4", "7", "8", "64", "5000", "0-3", "all", "\n", "x",
    ] {
        probes.push(set("p:/in0", "cpuset.cpus", cpus));
        probes.push(set("p:/in1", "cpuset.cpus", cpus));
    }
    for number in 0..4 {
        for group in ["p:/", "p:/in0", "p:/in1", "b:/in0"] {
            probes.push(enter(group, &format!("vcpu{number}")));
        }
    }
    probes
}

/// Guesses at names of the host's, whether they are right or not.
fn guesses() -> Vec<ViewCommand> {
    let mut guesses = probes();
    for name in [
        "secret0",
        "secret1",
        "secret2",
        "web",
        "neighbour1",
        "secret0/web",
    ] {
        guesses.push(remove(&format!("p:/{name}")));
        guesses.push(make(&format!("p:/{name}/x")));
        guesses.push(make(&format!("p:/{name}")));
        guesses.push(set("p:/in0", "cpuset.cpus", &format!("p:/{name}")));
        guesses.push(set("p:/in0", "tasks", &format!("{name}/vcpu0")));
        guesses.push(set("p:/in0", "cpuset.placement", &format!("p:/{name}")));
        guesses.push(set(&format!("b:/{name}"), "notify_on_release", "1"));
    }
    guesses
}

/// Guests ask through the view, the host refuses or carries it out.
fn ask(village: &mut Village, view: usize, asks: &[Ask]) -> Option<usize> {
    let id = village.views[view].id;
    let commands = village.view_commands(id, asks);
    let (before, outside) = (village.framework.snapshot(), village.outside(view));
    let plan = village.framework.view_plan(id, &commands);
    assert_eq!(
        before,
        village.framework.snapshot(),
        "a plan leaves the state as it was"
    );
    let plan = plan.ok()?;
    for effect in plan.effects() {
        let (Effect::Pin { task, .. }
        | Effect::Sample { task }
        | Effect::Freeze { task }
        | Effect::Thaw { task }
        | Effect::Enroll { task, .. }) = effect
        else {
            continue;
        };
        let machine = village.framework.task(*task).unwrap().name.machine;
        assert_eq!(
            machine, village.views[view].machine,
            "{effect:?} is on its own task"
        );
    }
    let events = village.carry_out(plan);
    assert_eq!(
        outside,
        village.outside(view),
        "{commands:?} changed nothing outside"
    );
    Some(events.len())
}

/// How many events the step made.
fn step(village: &mut Village, step: &Step) -> usize {
    match step {
        Step::Host(ops) => {
            let commands: Vec<Command> = ops.iter().filter_map(|op| village.command(op)).collect();
            village.commit(&commands).map_or(0, |events| events.len())
        }
        Step::Guest(view, asks) => ask(village, *view, asks).unwrap_or(0),
        Step::Charge(used) => {
            charge(village, *used, |_| true);
            0
        }
        Step::Obey(number) => {
            let living = village.living();
            let task = living.get(number % living.len().max(1)).map(|task| task.id);
            task.map_or(0, |task| village.obey(task).len())
        }
        Step::Open(place) => {
            let groups = village.groups();
            let root = groups[place % groups.len()].to_string();
            if village.views.len() > 5 {
                let closed = village.views.pop().unwrap();
                village.framework.close_view(closed.id);
            }
            village.open("neighbour1", ViewAccess::Read, &[&root]);
            0
        }
    }
}

fn charge(village: &mut Village, used: u64, whose: impl Fn(&TaskInfo) -> bool) {
    for task in village.living().into_iter().filter(whose) {
        let reading = Reading {
            usage: Nanoseconds(task.usage.usage.0 + used),
            cycles: Cycles(task.usage.cycles.0 + used),
        };
        village.framework.charge(task.id, reading).unwrap();
    }
}

/// Whether web can see nothing of a command, done now.
fn is_outside(village: &Village, command: &Command) -> bool {
    let is_apart = |group: &GroupPath| !village.web_sees(group);
    let task_is_apart = |task: TaskId| {
        let task = village.framework.task(task);
        task.is_none_or(|task| {
            task.groups
                .iter()
                .filter(|it| it.hierarchy().as_str() != "x")
                .all(is_apart)
        })
    };
    match command {
        // The root of a view under another name is the same.
        Command::Rename { group, .. } => is_apart(&group.parent().unwrap()),
        Command::Write { group, file, .. } => is_apart(group) && !file.starts_with("cgroup.max"),
        Command::Attach { group, task } => {
            let task = village.framework.task(*task).unwrap();
            let from = task
                .groups
                .iter()
                .find(|from| from.hierarchy() == group.hierarchy());
            is_apart(group) && from.is_none_or(is_apart)
        }
        Command::Fork { parent, .. } => parent.is_none_or(task_is_apart),
        Command::Exit { task } | Command::Clone { task, .. } => task_is_apart(*task),
        Command::Mkdir { group } => is_apart(&group.parent().unwrap()),
        Command::Rmdir { group } | Command::Chown { group, .. } => is_apart(group),
        Command::Mount { .. }
        | Command::Unmount { .. }
        | Command::Remount { .. }
        | Command::Reserve { .. } => false,
    }
}

fn is_limit(op: &Op) -> bool {
    matches!(op, Op::Write(_, file, _) if file.starts_with("cgroup.max"))
}

/// One step of what happens outside of web's first view; whether anything did.
fn step_outside(village: &mut Village, step: &Step) -> bool {
    match step {
        Step::Host(ops) => ops.iter().any(|op| {
            let command = village
                .command(op)
                .filter(|command| is_outside(village, command));
            command.is_some_and(|command| village.commit(&[command]).is_ok())
        }),
        // Views of others only, with their roots elsewhere.
        Step::Guest(view, asks) => ask(village, 1 + view % 2, asks).is_some(),
        Step::Charge(used) => {
            let apart: Vec<TaskId> = village
                .living()
                .iter()
                .filter(|task| {
                    task.groups
                        .iter()
                        .all(|it| it.hierarchy().as_str() != "b" || !village.web_sees(it))
                })
                .map(|task| task.id)
                .collect();
            charge(village, *used, |task| apart.contains(&task.id));
            true
        }
        Step::Obey(number) => {
            let living = village.living();
            let apart = |task: &&TaskInfo| task.groups.iter().all(|it| !village.web_sees(it));
            let apart: Vec<TaskId> = living.iter().filter(apart).map(|task| task.id).collect();
            let task = apart.get(number % apart.len().max(1));
            task.is_some_and(|task| !village.obey(*task).is_empty())
        }
        Step::Open(place) => {
            let groups: Vec<GroupPath> = village.groups();
            let apart: Vec<&GroupPath> = groups.iter().filter(|it| !village.web_sees(it)).collect();
            let root = apart[place % apart.len()].to_string();
            village.open("neighbour1", ViewAccess::Delegate, &[&root]);
            true
        }
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn what_happens_outside_of_a_view_makes_no_difference_to_anything_in_it(
        before in steps(),
        after in steps(),
    ) {
        let mut village = Village::new();
        // `x` is everybody's.
        village.views.retain(|view| !view.roots.contains_key("x") || view.machine.as_str() != "web");
        for some in &before {
            // A limit above the root is felt inside when others use it up: that is what it is for.
            let without_limits = match some {
                Step::Host(ops) => Step::Host(ops.iter().filter(|op| !is_limit(op)).cloned().collect()),
                other => other.clone(),
            };
            step(&mut village, &without_limits);
        }
        let guesses = guesses();
        let found_out = village.found_out(0, &guesses);
        for some in &after {
            if step_outside(&mut village, some) {
                prop_assert_eq!(&found_out, &village.found_out(0, &guesses), "after {:?}", some);
            }
        }
    }

    #[test]
    fn no_answer_refusal_or_event_names_or_numbers_what_is_outside(steps in steps()) {
        let mut village = Village::new();
        let probes = probes();
        for some in &steps {
            // One by one: a batch may name a group after another in mid-batch, and so put a name
            // that was meant for the outside into the view.
            let ones = match some {
                Step::Host(ops) => ops.iter().map(|op| Step::Host(vec![op.clone()])).collect(),
                other => vec![other.clone()],
            };
            for one in ones {
                let events = step(&mut village, &one);
                let mut heard = village.told_to_web(events);
                heard += &village.found_out(0, &probes);
                for secret in SECRETS {
                    prop_assert!(!heard.contains(secret), "{} in {}", secret, heard);
                }
            }
        }
    }

    /// With it: a guest changes nothing outside and no task but its own, a refused plan changes
    /// nothing at all, and every view sees just the events of a model that knows its roots as text.
    #[test]
    fn guests_stay_inside_and_see_what_a_naive_model_sees(steps in steps()) {
        let mut village = Village::new();
        for some in &steps {
            step(&mut village, some);
        }
    }
}
