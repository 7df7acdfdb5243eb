//! `tasks` a page at a time, beside the same file in one piece.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use container_core::*;
use proptest::prelude::*;
use proptest::sample::select;
use support::*;

const GROUPS: [&str; 3] = ["p:/", "p:/a", "p:/b"];

/// What may happen between two pages.
#[derive(Clone, Debug)]
enum Step {
    /// Read the next page of the group that is listed.
    Page(usize),
    /// Plan a move and think better of it.
    Trial(usize, &'static str),
    /// In the listed hierarchy.
    Move(usize, &'static str),
    /// In the other one, so that one group is linked to several css_sets.
    Bill(usize, &'static str),
    Out(usize),
    Born(&'static str),
    Dies(usize),
    /// Something about the groups that is not who is in them.
    Flag(&'static str),
    /// The group goes, and another comes by its name.
    Again,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let groups = || select(GROUPS.to_vec());
    let step = prop_oneof![
        12 => (1..5usize).prop_map(Step::Page),
        1 => (0..30usize, groups()).prop_map(|(task, to)| Step::Trial(task, to)),
        1 => (0..30usize, groups()).prop_map(|(task, to)| Step::Move(task, to)),
        1 => (0..30usize, select(vec!["b:/", "b:/x"])).prop_map(|(task, to)| Step::Bill(task, to)),
        1 => (0..30usize).prop_map(Step::Out),
        1 => groups().prop_map(Step::Born),
        1 => (0..30usize).prop_map(Step::Dies),
        1 => groups().prop_map(Step::Flag),
        1 => Just(Step::Again),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A framework, and who is where in `p`, by thread id: what a naive listing is made of.
struct World {
    bench: Bench,
    tasks: BTreeMap<Tid, (TaskId, &'static str)>,
    next: u32,
}

impl World {
    fn new(places: &[(usize, bool)]) -> World {
        let mut bench = Bench::new();
        bench.run(&[mkdir("p:/a"), mkdir("p:/b"), mkdir("b:/x")]);
        for group in ["p:/a", "p:/b"] {
            bench.run(&[
                write(group, "cpuset.cpus", "0"),
                write(group, "cpuset.mems", "0"),
            ]);
        }
        let mut world = World {
            bench,
            tasks: BTreeMap::new(),
            next: 0,
        };
        for (group, billed) in places {
            let tid = world.born(GROUPS[*group]);
            if *billed {
                world.bench.run(&[attach("b:/x", world.tasks[&tid].0)]);
            }
        }
        world
    }

    /// Ids neither ascend with births nor go on for ever: the host reuses them.
    fn born(&mut self, group: &'static str) -> Tid {
        let tid = loop {
            self.next += 1;
            let tid = Tid(self.next * 37 % 101 + 1);
            if !self.tasks.contains_key(&tid) {
                break tid;
            }
        };
        let task = self.bench.framework.allocate_task();
        let name = format!("m{}/io", task.0).parse().unwrap();
        self.bench.run(&[
            Command::Fork {
                task,
                name,
                tid,
                parent: None,
            },
            attach(group, task),
        ]);
        self.tasks.insert(tid, (task, group));
        tid
    }

    fn pick(&self, number: usize) -> Option<(Tid, TaskId, &'static str)> {
        let (tid, (task, group)) = self.tasks.iter().nth(number % self.tasks.len().max(1))?;
        Some((*tid, *task, group))
    }

    fn members(&self, group: &str) -> BTreeSet<Tid> {
        let members = self.tasks.iter().filter(|(_, (_, of))| *of == group);
        members.map(|(tid, _)| *tid).collect()
    }

    /// Whether anybody came to or went from the group, or it is another by now.
    fn step(&mut self, listed: &'static str, step: &Step) -> bool {
        match *step {
            Step::Page(_) => false,
            Step::Trial(number, to) => {
                if let Some((_, task, _)) = self.pick(number) {
                    self.bench
                        .framework
                        .plan(&Credentials::ROOT, &[attach(to, task)])
                        .unwrap();
                }
                false
            }
            Step::Move(number, to) => {
                let Some((tid, task, from)) = self.pick(number) else {
                    return false;
                };
                self.bench.run(&[attach(to, task)]);
                self.tasks.insert(tid, (task, to));
                from != to && [from, to].contains(&listed)
            }
            Step::Bill(number, to) => {
                if let Some((_, task, _)) = self.pick(number) {
                    self.bench.run(&[attach(to, task)]);
                }
                false
            }
            Step::Out(number) => {
                // There and back is a change as well, though nothing is to be seen of it.
                let Some((_, task, from)) = self.pick(number) else {
                    return false;
                };
                let to = GROUPS[usize::from(from == GROUPS[0])];
                self.bench.run(&[attach(to, task), attach(from, task)]);
                [from, to].contains(&listed)
            }
            Step::Born(group) => {
                self.born(group);
                // Into the root first.
                [group, GROUPS[0]].contains(&listed)
            }
            Step::Dies(number) => {
                let Some((tid, task, group)) = self.pick(number) else {
                    return false;
                };
                self.bench.run(&[exit(task)]);
                self.tasks.remove(&tid);
                group == listed
            }
            Step::Flag(group) => {
                self.bench.run(&[write(group, "notify_on_release", "1")]);
                false
            }
            Step::Again => {
                if listed == GROUPS[0] || !self.members(listed).is_empty() {
                    return false;
                }
                self.bench.run(&[rmdir(listed), mkdir(listed)]);
                self.bench.run(&[
                    write(listed, "cpuset.cpus", "0"),
                    write(listed, "cpuset.mems", "0"),
                ]);
                true
            }
        }
    }

    fn page(&self, listed: &str, cursor: Option<TaskCursor>, most: usize) -> TaskPage {
        let framework = &self.bench.framework;
        let page = framework.tasks_after(&Credentials::ROOT, &group(listed), cursor, most);
        page.unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_the_listing_or_say_that_they_are_torn(
        places in proptest::collection::vec((0..3usize, any::<bool>()), 0..30),
        listed in select(GROUPS.to_vec()),
        steps in steps(),
    ) {
        let mut world = World::new(&places);
        let mut given = Vec::new();
        let (mut cursor, mut began, mut torn) = (None, false, false);
        let mut always = world.members(listed);
        let rest = std::iter::repeat_n(Step::Page(3), 30);
        for step in steps.into_iter().chain(rest) {
            let Step::Page(most) = step else {
                torn |= world.step(listed, &step) && began;
                if began {
                    let now = world.members(listed);
                    always.retain(|tid| now.contains(tid));
                } else {
                    always = world.members(listed);
                }
                continue;
            };
            let page = world.page(listed, cursor, most);
            began = true;
            prop_assert_eq!(page.torn, torn);
            prop_assert!(page.tids.len() <= most);
            prop_assert!(page.tids.len() == most || page.next.is_none());
            let now = world.members(listed);
            prop_assert!(page.tids.iter().all(|tid| now.contains(tid)));
            given.extend(page.tids);
            prop_assert!(given.is_sorted_by(|one, next| one < next), "ascending, and none twice");
            let Some(next) = page.next else {
                let missed: Vec<_> = always.iter().filter(|tid| !given.contains(tid)).collect();
                prop_assert!(missed.is_empty(), "{missed:?} were there all the while");
                if !torn {
                    let lines: String = given.iter().map(|tid| format!("{tid}\n")).collect();
                    let whole = world.bench.framework.read(&Credentials::ROOT, &group(listed), "tasks");
                    prop_assert_eq!(lines, whole.unwrap());
                }
                return Ok(());
            };
            cursor = Some(next);
        }
        prop_assert!(false, "a listing of thirty tasks ends");
    }
}

#[test]
fn a_listing_goes_by_the_rules_of_the_file() {
    let mut bench = Bench::new();
    let handed = Command::Chown {
        group: group("p:/a"),
        uid: 7,
        gid: 7,
        mode: 0o700,
    };
    bench.run(&[mkdir("p:/a"), handed]);
    let page = |by: u32, path: &str, cursor| {
        let by = Credentials {
            uid: by,
            gid: by,
            task: None,
        };
        bench.framework.tasks_after(&by, &group(path), cursor, 10)
    };
    assert!(page(7, "p:/a", None).unwrap().tids.is_empty());
    assert_eq!(page(8, "p:/a", None).unwrap_err().errno, Errno::EACCES);
    assert_eq!(page(0, "p:/c", None).unwrap_err().errno, Errno::ENOENT);
}

#[test]
fn another_group_under_the_same_name_tears_the_listing_however_old_it_is() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/a"), mkdir("b:/old")]);
    for (number, path) in [
        (0, "b:/a"),
        (1, "b:/old"),
        (2, "b:/old"),
        (3, "b:/old"),
        (4, "b:/a"),
    ] {
        let task = bench.fork(&format!("m{number}/io"), None);
        bench.run(&[attach(path, task)]);
    }
    let first = bench
        .framework
        .tasks_after(&Credentials::ROOT, &group("b:/a"), None, 1)
        .unwrap();
    assert!(!first.torn);
    bench.run(&[rename("b:/a", "gone"), rename("b:/old", "a")]);
    let second = bench
        .framework
        .tasks_after(&Credentials::ROOT, &group("b:/a"), first.next, 1);
    let second = second.unwrap();
    assert!(second.torn);
    bench.run(&[rename("b:/a", "old"), rename("b:/gone", "a")]);
    let third = bench
        .framework
        .tasks_after(&Credentials::ROOT, &group("b:/a"), second.next, 1);
    assert!(third.unwrap().torn, "once torn, a listing stays so");
}

#[test]
fn a_listing_that_begins_right_after_a_change_is_torn_by_the_next_and_not_by_that() {
    let mut bench = Bench::new();
    let tasks = ["m0/io", "m1/io", "m2/io"].map(|name| bench.fork(name, None));
    let page = |bench: &Bench, cursor| {
        let (by, group) = (Credentials::ROOT, group("p:/"));
        bench.framework.tasks_after(&by, &group, cursor, 1).unwrap()
    };
    let first = page(&bench, None);
    let second = page(&bench, first.next);
    assert!(!first.torn && !second.torn, "nobody came or went since");
    bench.run(&[exit(tasks[2])]);
    assert!(page(&bench, first.next).torn && page(&bench, second.next).torn);
}
