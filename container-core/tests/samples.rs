//! Whose counters a batch has read before its commit: each whose bill it changes, and each once.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

/// Whose counters this would have read, ascending.
#[track_caller]
fn samples(bench: &mut Bench, commands: &[Command]) -> Vec<TaskId> {
    let (effects, _) = bench.run(commands);
    let of = |effect: &Effect| match effect {
        Effect::Sample { task } => Some(*task),
        _ => None,
    };
    let mut tasks: Vec<TaskId> = effects.iter().filter_map(of).collect();
    tasks.sort_unstable();
    tasks
}

#[test]
fn who_moves_and_is_on_a_bill_that_is_reset_is_read_once() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/a"), mkdir("b:/c")]);
    let [web, db] = ["web/io", "db/io"].map(|name| bench.fork(name, None));
    let reset = |path: &str| write(path, "cpuacct.usage", "0");
    let to = |path: &str| attach(path, web);
    assert_eq!(samples(&mut bench, &[to("b:/a")]), [web]);
    assert_eq!(samples(&mut bench, &[reset("b:/")]), [web, db]);
    assert_eq!(samples(&mut bench, &[reset("b:/c")]), []);
    let moved_and_reset = [to("b:/c"), reset("b:/"), reset("b:/c")];
    assert_eq!(samples(&mut bench, &moved_and_reset), [web, db]);
    let reset_and_moved = [reset("b:/c"), to("b:/a"), to("b:/")];
    assert_eq!(samples(&mut bench, &reset_and_moved), [web]);
    let both_files = [reset("b:/"), write("b:/", "cpuacct.cycles", "0")];
    assert_eq!(samples(&mut bench, &both_files), [web, db]);
    // There and back is no move; and who is born has no counters yet.
    assert_eq!(samples(&mut bench, &[to("b:/a"), to("b:/")]), []);
    let (cache, fork) = bench.fork_command("cache/io", None);
    let born = [fork, attach("b:/a", cache), reset("b:/a")];
    assert_eq!(samples(&mut bench, &born), []);
}
