//! What one operation costs with few tasks and with many.

use std::hint::black_box;
use std::time::Instant;

use container_core::*;

use crate::village::{GROUPS, Village};
use crate::{median, verdict};

const POPULATIONS: [usize; 3] = [10, 1_000, 100_000];

/// Rounds of all populations in turn.
const ROUNDS: usize = 60;

/// Operations in one round of one population.
const A_ROUND: usize = 2_000;

/// Operations between two looks at the clock, so that looking costs nothing and few tasks stay few.
const A_LOOK: usize = 4;

/// An operation: prepares `A_LOOK` of them, does them, and says how long that took, in ns.
type Operation = fn(&mut Village) -> f64;

pub fn bench() {
    let mut villages = POPULATIONS.map(|tasks| {
        let mut village = Village::empty(Village::paths(GROUPS));
        village.settle(tasks);
        village
    });
    println!("operations: ns each, in {GROUPS} groups, by the number of tasks");
    let rows: [(&str, Operation, f64); 7] = [
        ("attach, no effects", attach, 1_000.0),
        ("attach anywhere, no effects", attach_anywhere, 1_000.0),
        ("attach, counters to be read", attach_billed, f64::INFINITY),
        ("plan + commit of a write", write, f64::INFINITY),
        ("fork", fork, f64::INFINITY),
        ("exit", exit, f64::INFINITY),
        ("css_set lookup", lookup, f64::INFINITY),
    ];
    for (name, operation, goal) in rows {
        let mut taken = POPULATIONS.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for (village, taken) in villages.iter_mut().zip(&mut taken) {
                let looks = A_ROUND / A_LOOK;
                let total: f64 = (0..looks).map(|_| operation(village)).sum();
                taken.push(total / (looks * A_LOOK) as f64);
            }
        }
        let [few, some, many] = taken.map(median);
        let ratio = many / few;
        println!(
            "  {name:<30} {few:>6.0} {some:>6.0} {many:>6.0}  ratio {ratio:.2}, {}",
            verdict(ratio, 1.5)
        );
        if goal.is_finite() {
            println!("  {:<30} {}", "", verdict(many, goal));
        }
    }
}

/// Time `A_LOOK` batches of one command.
fn timed(village: &mut Village, commands: [Command; A_LOOK], effects: usize) -> f64 {
    let began = Instant::now();
    let mut found = 0;
    for command in &commands {
        let plan = village
            .framework
            .plan(&Credentials::ROOT, std::slice::from_ref(command));
        let plan = plan.unwrap();
        found += plan.effects().len();
        black_box(village.framework.commit(plan).unwrap());
    }
    let took = began.elapsed().as_nanos() as f64;
    assert_eq!(found, effects * A_LOOK, "{commands:?}");
    took
}

/// Two pairs of tasks that are not in one group change places: everyone's css_set is there already.
fn attach(village: &mut Village) -> f64 {
    let mut pair = || loop {
        let tasks = village.tasks.len();
        let (one, other) = (village.below(tasks), village.below(tasks));
        let (home, away) = (village.tasks[one].1, village.tasks[other].1);
        // Of one bill, so that the set that is left is the set that is entered.
        if home != away && home % 2 == away % 2 {
            village.tasks[one].1 = away;
            village.tasks[other].1 = home;
            return [(one, away), (other, home)];
        }
    };
    let ([a, b], [c, d]) = (pair(), pair());
    let commands = [a, b, c, d].map(|(task, to)| Command::Attach {
        group: village.groups[to].clone(),
        task: village.tasks[task].0,
    });
    timed(village, commands, 0)
}

/// To any group at all and home again; with few tasks a css_set is made for it.
fn attach_anywhere(village: &mut Village) -> f64 {
    let mut moves = || {
        let (task, home) = village.anyone();
        let away = (home + 1 + village.below(GROUPS - 1)) % GROUPS;
        [away, home].map(|to| Command::Attach {
            group: village.groups[to].clone(),
            task,
        })
    };
    let ([a, b], [c, d]) = (moves(), moves());
    timed(village, [a, b, c, d], 0)
}

/// To the other bill and back.
fn attach_billed(village: &mut Village) -> f64 {
    let mut moves = || {
        let (task, home) = village.anyone();
        [(home + 1) % 2, home % 2].map(|bill| Command::Attach {
            group: village.bills[bill].clone(),
            task,
        })
    };
    let ([a, b], [c, d]) = (moves(), moves());
    timed(village, [a, b, c, d], 1)
}

/// A flag of groups that have tasks.
fn write(village: &mut Village) -> f64 {
    let commands = std::array::from_fn(|_| {
        let (_, home) = village.anyone();
        Command::Write {
            group: village.groups[home].clone(),
            file: "notify_on_release".into(),
            value: "0".into(),
        }
    });
    timed(village, commands, 0)
}

/// Births, each with a random parent; their deaths are not timed.
fn fork(village: &mut Village) -> f64 {
    let (took, born) = births(village);
    for task in born {
        village.run(Command::Exit { task });
    }
    took
}

fn births(village: &mut Village) -> (f64, [TaskId; A_LOOK]) {
    let commands = std::array::from_fn(|_| {
        let (parent, _) = village.anyone();
        village.fork_command(Some(parent))
    });
    let born = std::array::from_fn(|index| match commands[index] {
        Command::Fork { task, .. } => task,
        _ => unreachable!("births were asked for"),
    });
    (timed(village, commands, 1), born)
}

/// Random deaths; the births that make up for them are not timed.
fn exit(village: &mut Village) -> f64 {
    for _ in 0..A_LOOK {
        let (parent, home) = village.anyone();
        let task = village.fork(Some(parent));
        village.tasks.push((task, home));
    }
    let commands = std::array::from_fn(|_| {
        loop {
            let tasks = village.tasks.len();
            let index = village.below(tasks);
            let (task, home) = village.tasks[index];
            // A group of few is not to become empty: it would be another operation.
            let others = village.tasks.len() > 100
                || village
                    .tasks
                    .iter()
                    .filter(|(_, other)| *other == home)
                    .count()
                    > 1;
            if others {
                village.tasks.swap_remove(index);
                return Command::Exit { task };
            }
        }
    });
    timed(village, commands, 0)
}

/// By hash, for a random task and the group of another.
fn lookup(village: &mut Village) -> f64 {
    let pairs: [(TaskId, usize); A_LOOK] = std::array::from_fn(|_| {
        let (task, _) = village.anyone();
        let (_, group) = village.anyone();
        (task, group)
    });
    let began = Instant::now();
    for (task, group) in pairs {
        black_box(
            village
                .framework
                .css_set_for(task, &village.groups[group])
                .unwrap(),
        );
    }
    began.elapsed().as_nanos() as f64
}

/// Reading `tasks` of one group among many tasks.
pub fn listing() {}
