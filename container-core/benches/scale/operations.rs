//! What one operation costs with few tasks and with many.

use std::hint::black_box;
use std::time::Instant;

use container_core::*;

use crate::floor::Floor;
use crate::village::{GROUPS, Village};
use crate::{Sample, verdict};

const POPULATIONS: [usize; 3] = [10, 1_000, 100_000];

/// Rounds of all populations in turn.
const ROUNDS: usize = 300;

/// Operations in one round of one population.
const A_ROUND: usize = 400;

/// Operations between two looks at the clock, so that looking costs nothing and few tasks stay few.
const A_LOOK: usize = 4;

/// An operation: prepares `A_LOOK` of them, does them, and says how long that took, in ns.
type Operation = fn(&mut Village) -> f64;

pub fn bench() {
    let mut villages = POPULATIONS.map(|tasks| {
        let mut village = Village::empty(Village::paths(GROUPS));
        village.settle(tasks);
        village.floor = Floor::new(tasks, (tasks / 2).min(GROUPS));
        village
    });
    println!("operations: ns each, in {GROUPS} groups, by the number of tasks");
    let rows: [(&str, Operation, Goal); 11] = [
        ("attach, no effects", attach, Goal::RatioAnd(1_000.0)),
        (
            "the same, plan + commit",
            attach_in_two,
            Goal::RatioAnd(1_000.0),
        ),
        (
            "attach anywhere, no effects",
            attach_anywhere,
            Goal::RatioAnd(1_000.0),
        ),
        ("attach, counters to be read", attach_billed, Goal::Ratio),
        ("plan + commit of a write", write, Goal::Ratio),
        ("fork", fork, Goal::Ratio),
        ("exit", exit, Goal::Ratio),
        ("the same, plan + commit", exit_in_two, Goal::Ratio),
        ("css_set lookup", lookup, Goal::Ratio),
        ("its lines alone", lookup_floor, Goal::None),
        ("css_set lookup, any group", lookup_anywhere, Goal::Ratio),
    ];
    for (name, operation, goal) in rows {
        let mut taken = POPULATIONS.map(|_| Sample::default());
        for _ in 0..ROUNDS {
            for (village, taken) in villages.iter_mut().zip(&mut taken) {
                let looks = A_ROUND / A_LOOK;
                let total: f64 = (0..looks).map(|_| operation(village)).sum();
                taken.0.push(total / (looks * A_LOOK) as f64);
            }
        }
        row(name, &taken, goal);
        if let Goal::RatioAnd(ns) = goal {
            let most = taken.iter().map(Sample::least).fold(0.0, f64::max);
            println!("  {:<30} {}", "", verdict(most, ns));
        }
    }
}

/// What an operation is held against.
#[derive(Clone, Copy)]
enum Goal {
    None,
    /// Among many tasks at most this many times what it is among few.
    Ratio,
    /// And nowhere more than so many nanoseconds.
    RatioAnd(f64),
}

const RATIO: f64 = 1.5;

fn row(name: &str, taken: &[Sample; 3], goal: Goal) {
    let least = taken.each_ref().map(Sample::least);
    let median = taken.each_ref().map(Sample::median);
    for (which, [few, some, many]) in [("least", least), ("median", median)] {
        print!(
            "  {name:<30} {which:<6} {few:>6.0} {some:>6.0} {many:>6.0}  ratio {:.2}",
            many / few
        );
        match (which, goal) {
            ("least", Goal::Ratio | Goal::RatioAnd(_)) => {
                println!(", {}", verdict(many / few, RATIO));
            }
            _ => println!(),
        }
    }
}

/// Time `A_LOOK` batches of one command, as their owner has them: those without an effect in one attempt.
fn timed(village: &mut Village, commands: [Command; A_LOOK], effects: usize) -> f64 {
    let began = Instant::now();
    let found: usize = commands
        .into_iter()
        .map(|command| village.run(command))
        .sum();
    let took = began.elapsed().as_nanos() as f64;
    assert_eq!(found, effects * A_LOOK);
    took
}

/// The same, all of them planned and then committed.
fn timed_in_two(village: &mut Village, commands: [Command; A_LOOK]) -> f64 {
    let began = Instant::now();
    for command in &commands {
        let command = std::slice::from_ref(command);
        let plan = village.framework.plan(&Credentials::ROOT, command).unwrap();
        black_box(village.framework.commit(plan).unwrap());
    }
    began.elapsed().as_nanos() as f64
}

/// Two pairs of tasks that are not in one group change places: everyone's css_set is there already.
fn attach(village: &mut Village) -> f64 {
    let commands = exchanges(village);
    timed(village, commands, 0)
}

fn attach_in_two(village: &mut Village) -> f64 {
    let commands = exchanges(village);
    timed_in_two(village, commands)
}

fn exchanges(village: &mut Village) -> [Command; A_LOOK] {
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
    [a, b, c, d].map(|(task, to)| Command::Attach {
        group: village.groups[to].clone(),
        task: village.tasks[task].0,
    })
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
    timed_in_two(village, commands)
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
    let commands = deaths(village);
    timed(village, commands, 0)
}

fn exit_in_two(village: &mut Village) -> f64 {
    let commands = deaths(village);
    timed_in_two(village, commands)
}

fn deaths(village: &mut Village) -> [Command; A_LOOK] {
    for _ in 0..A_LOOK {
        let (parent, home) = village.anyone();
        let task = village.fork(Some(parent));
        village.tasks.push((task, home));
    }
    std::array::from_fn(|_| {
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
    })
}

/// By hash, for a random task and the group of another.
fn lookup(village: &mut Village) -> f64 {
    let pairs: [(TaskId, usize); A_LOOK] = std::array::from_fn(|_| {
        let (task, _) = village.anyone();
        let (_, group) = village.anyone();
        (task, group)
    });
    timed_lookups(village, pairs)
}

/// The walk of a lookup over lines that hold nothing else.
fn lookup_floor(village: &mut Village) -> f64 {
    let pairs: [(usize, usize); A_LOOK] = std::array::from_fn(|_| {
        let tasks = village.tasks.len();
        (village.below(tasks), village.anyone().1)
    });
    let began = Instant::now();
    for (task, group) in pairs {
        black_box(village.floor.walk(task, group));
    }
    began.elapsed().as_nanos() as f64
}

/// By hash, for a random task and any of the groups; mostly there is no such css_set.
fn lookup_anywhere(village: &mut Village) -> f64 {
    let pairs = std::array::from_fn(|_| (village.anyone().0, village.below(GROUPS)));
    timed_lookups(village, pairs)
}

fn timed_lookups(village: &Village, pairs: [(TaskId, usize); A_LOOK]) -> f64 {
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

/// Reading `tasks` of a group of 1,000 tasks, alone and among 100,000.
pub fn listing() {
    const LISTED: usize = 1_000;
    println!("listing: ns a task, {LISTED} tasks in one group");
    let mut villages = [0, 100_000 - LISTED].map(|others| {
        let mut village = Village::empty(Village::paths(GROUPS));
        if others > 0 {
            village.settle(others);
        }
        let crowd: GroupPath = "place:/crowd".parse().unwrap();
        village.run(Command::Mkdir {
            group: crowd.clone(),
        });
        for _ in 0..LISTED {
            let task = village.fork(None);
            village.run(Command::Attach {
                group: crowd.clone(),
                task,
            });
        }
        village.groups.push(crowd);
        village
    });
    let mut taken = [Sample::default(), Sample::default()];
    for _ in 0..ROUNDS {
        for (village, taken) in villages.iter_mut().zip(&mut taken) {
            // What others do meanwhile: it has the caches after this.
            for _ in 0..100 {
                attach_if_any(village);
            }
            let group = &village.groups[GROUPS];
            let began = Instant::now();
            let text = village
                .framework
                .read(&Credentials::ROOT, group, "tasks")
                .unwrap();
            taken
                .0
                .push(began.elapsed().as_nanos() as f64 / LISTED as f64);
            assert_eq!(black_box(text).lines().count(), LISTED);
        }
    }
    let [alone, among] = [0, 1].map(|village: usize| taken[village].least());
    let medians = [0, 1].map(|village: usize| taken[village].median());
    let ratio = among / alone;
    println!(
        "  alone {alone:.1} (median {:.1}), among 100000 {among:.1} (median {:.1}), ratio {ratio:.2}, {}",
        medians[0],
        medians[1],
        verdict(ratio, RATIO)
    );
}

fn attach_if_any(village: &mut Village) {
    if !village.tasks.is_empty() {
        attach(village);
    }
}
