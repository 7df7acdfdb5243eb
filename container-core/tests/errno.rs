//! The error table through the library, and what only the library can be asked.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

#[path = "../../tests/errors/mod.rs"]
mod errors;
mod support;

use std::collections::BTreeSet;

use container_core::*;
use errors::world::World;
use errors::{Answer, Door, HALF, LINES, Op, Row, UNASKABLE, table};
use support::*;

use Errno::*;

/// What the library says to a row: the refusal, or nothing where it is in force.
fn asked(world: &mut World, row: &Row, before: Option<Op>) -> Result<(), Refusal> {
    let by = row.by.credentials();
    if let Op::Read(group, file) = row.op {
        return world.framework.read(&by, &group.parse()?, file).map(drop);
    }
    let ops = before.into_iter().chain([row.op]);
    let commands: Result<Vec<_>, _> = ops.map(|op| world.command(op)).collect();
    let plan = world.framework.plan(&by, &commands?)?;
    world.framework.commit(plan)?;
    world.framework.check_invariants();
    Ok(())
}

fn assert_answered(row: &Row, answer: Result<(), Refusal>) {
    match (row.answer, answer) {
        (Answer::Refused(errno, operands), Err(refusal)) => {
            assert_eq!(refusal.errno, errno, "{row:#?}: {refusal}");
            for operand in operands {
                let told = refusal.rule.contains(operand);
                assert!(told, "{row:#?}: no {operand:?} in {:?}", refusal.rule);
            }
        }
        (Answer::Taken(_), Ok(())) => {}
        (_, other) => panic!("{row:#?}: {other:?}"),
    }
}

#[test]
fn every_row_of_the_error_table_is_answered_by_the_library_and_a_refusal_leaves_no_trace() {
    for row in table() {
        for before in [None, Some(HALF)] {
            if before.is_some() && !row.can_follow() {
                continue;
            }
            let mut world = World::new(row.setting);
            let snapshot = world.framework.snapshot();
            let answer = asked(&mut world, row, before);
            if answer.is_err() {
                assert_eq!(snapshot, world.framework.snapshot(), "{row:#?}");
            }
            assert_answered(row, answer);
            if let (Answer::Taken(then), Op::Write(group, file, _)) = (row.answer, row.op) {
                assert_eq!(World::read(&world.framework, group, file), then, "{row:#?}");
            }
        }
    }
}

#[test]
fn every_line_of_the_oracles_error_table_has_a_row_or_a_reason() {
    let rows: BTreeSet<&str> = table().map(|row| row.of).collect();
    for line in LINES {
        let reason = UNASKABLE.iter().find(|(of, _)| of == line);
        let has_row = rows.contains(line);
        assert!(
            has_row != reason.is_some_and(|(_, why)| why.len() > 20),
            "{line}"
        );
    }
}

#[test]
fn a_row_names_its_operands_and_a_door_that_answers_otherwise_says_why() {
    for row in table() {
        for answer in [Some(row.answer), row.guest.other()].into_iter().flatten() {
            let is_told = |operand: &&str| !operand.is_empty();
            if let Answer::Refused(_, operands) = answer {
                assert!(
                    !operands.is_empty() && operands.iter().all(is_told),
                    "{row:#?}"
                );
            }
        }
        if let Door::Differs(_, why) | Door::Lacks(why) = row.guest {
            assert!(why.len() > 15, "{row:#?}");
        }
    }
}

fn bench() -> (Bench, TaskId) {
    let mut bench = Bench::new();
    bench.run(&[
        mkdir("p:/a"),
        write("p:/a", "cpuset.cpus", "0-1"),
        write("p:/a", "cpuset.mems", "0"),
    ]);
    let task = bench.fork("web/control", None);
    bench.run(&[attach("p:/a", task)]);
    (bench, task)
}

#[test]
fn zero_written_to_tasks_moves_the_writer() {
    let (mut bench, task) = bench();
    bench.run(&[mkdir("p:/a/b")]);
    bench.run(&[
        write("p:/a/b", "cpuset.cpus", "0"),
        write("p:/a/b", "cpuset.mems", "0"),
    ]);
    bench.by.task = Some(task);
    bench.run(&[write("p:/a/b", "tasks", "0")]);
    assert_eq!(bench.read("p:/a/b", "tasks"), task.0.to_string());
    bench.run(&[write("p:/a", "tasks", &format!("{}\n", task.0))]);
    assert_eq!(bench.read("p:/a", "tasks"), task.0.to_string());
}

#[test]
fn tasks_are_born_and_die_with_the_kernels_errnos() {
    let (mut bench, task) = bench();
    let fork = |task, name: &str, tid, parent| Command::Fork {
        task,
        name: name.parse().unwrap(),
        tid: Tid(tid),
        parent,
    };
    let id = bench.framework.allocate_task();
    for (command, errno) in [
        (fork(TaskId(99), "web/io", 50, None), EINVAL),
        (fork(task, "web/io", 50, None), EEXIST),
        (fork(id, "web/control", 50, None), EEXIST),
        (
            fork(id, "web/io", u32::try_from(task.0).unwrap(), None),
            EEXIST,
        ),
        (fork(id, "web/io", 50, Some(id)), ESRCH),
        (exit(id), ESRCH),
    ] {
        assert_eq!(bench.refused(command.clone()), errno, "{command:?}");
    }
    bench.run(&[exit(task)]);
    assert_eq!(
        bench.refused(fork(task, "web/io", 50, None)),
        EEXIST,
        "ids are not reused"
    );
    assert_eq!(bench.refused(exit(task)), ESRCH);
    assert_eq!(
        bench
            .framework
            .charge(task, Reading::default())
            .unwrap_err()
            .errno,
        ESRCH
    );
}

#[test]
fn an_owner_hands_a_group_on_to_none_but_closes_it_to_others() {
    let (mut bench, _) = bench();
    let chown = |mode| Command::Chown {
        group: group("p:/a"),
        uid: 1000,
        gid: 100,
        mode,
    };
    bench.run(&[chown(0o755)]);
    let user = |uid| Credentials {
        uid,
        gid: 100,
        task: None,
    };
    bench.by = user(1000);
    bench.run(&[mkdir("p:/a/b"), chown(0o700)]);
    bench.by = user(7);
    let read = bench.framework.read(&bench.by, &group("p:/a"), "tasks");
    assert_eq!(read.unwrap_err().errno, EACCES);
    assert_eq!(bench.read("p:/a/b", "cpuset.cpus"), "");
}

#[test]
fn a_user_who_was_handed_a_group_takes_no_hierarchy_from_the_others() {
    let mut bench = Bench::new();
    let make = |group: &str, numbers: std::ops::Range<u32>| {
        let made = numbers.map(|number| mkdir(&format!("b:/{group}/{number}")));
        made.collect::<Vec<_>>()
    };
    let user = |uid| Credentials {
        uid,
        gid: uid,
        task: None,
    };
    let hand_over = |bench: &mut Bench, group: &str, uid| {
        bench.by = Credentials::ROOT;
        let group: GroupPath = format!("b:/{group}").parse().unwrap();
        bench.run(&[
            Command::Mkdir {
                group: group.clone(),
            },
            Command::Chown {
                group,
                uid,
                gid: uid,
                mode: 0o755,
            },
        ]);
        bench.by = user(uid);
    };
    hand_over(&mut bench, "one", 1000);
    bench.run(&make("one", 0..4095));
    let before = bench.framework.snapshot();
    let refusal = bench.try_run(&make("one", 4095..5000)).unwrap_err();
    let rule = "one more than 4096 groups below b:/one is past the 4096 of user 1000, whom it was handed to \
                without a cgroup.max.descendants";
    assert_eq!((refusal.errno, refusal.rule.as_str()), (EAGAIN, rule));
    assert_eq!(refusal.command, 1, "one more there is");
    assert_eq!(bench.framework.snapshot(), before);
    bench.run(&make("one", 4095..4096));
    // Not deeper down either, nor by a limit of its own; but with root's word, and by root.
    assert_eq!(bench.refused(mkdir("b:/one/0/x")), EAGAIN);
    bench.run(&[write("b:/one/0", "cgroup.max.descendants", "9000")]);
    assert_eq!(bench.refused(mkdir("b:/one/0/x")), EAGAIN);
    bench.by = Credentials::ROOT;
    bench.run(&[
        mkdir("b:/one/roots"),
        write("b:/one", "cgroup.max.descendants", "60000"),
    ]);
    bench.by = user(1000);
    bench.run(&make("one", 4096..57_341));
    let rule = "b has 57344 groups, and 57344 is the most that users other than 0 may make";
    let refusal = bench.try_run(&make("one", 60_000..60_001)).unwrap_err();
    assert_eq!((refusal.errno, refusal.rule.as_str()), (EAGAIN, rule));
    hand_over(&mut bench, "two", 1001);
    assert_eq!(bench.refused(mkdir("b:/two/x")), EAGAIN);
    bench.by = Credentials::ROOT;
    bench.run(&make("two", 0..100));
}

#[test]
fn a_group_as_deep_as_there_can_be_has_none_below() {
    let mut bench = Bench::new();
    let mut path = String::from("b:");
    for _ in 0..32 {
        path += "/d";
        bench.run(&[mkdir(&path)]);
    }
    assert_eq!(bench.refused(mkdir(&(path + "/d"))), EAGAIN);
}

#[test]
fn a_refusal_says_which_command_of_the_batch_and_which_rule() {
    let (mut bench, _) = bench();
    let refusal = bench
        .try_run(&[mkdir("p:/a/x"), write("p:/a/x", "cpuset.cpus", "0-2")])
        .expect_err("2 is not the parent's");
    let rule = "cpuset.cpus 0-2 is not a subset of the parent's 0-1 in p:/a";
    assert_eq!((refusal.command, refusal.rule.as_str()), (1, rule));
}
