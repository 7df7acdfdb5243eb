//! `debug` shows who shares a css_set with whom, and of which one the reader is.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

/// The number of the reader's css_set.
fn current(bench: &mut Bench, reader: Option<TaskId>) -> String {
    bench.by.task = reader;
    let number = bench.read("d:/", "debug.current_css_set");
    bench.by.task = None;
    number
}

#[test]
fn current_is_the_css_set_of_the_task_that_reads_and_has_one_number_in_all_files() {
    let mut bench = Bench::new();
    bench.run(&[unmount("p"), mount("d", &["debug"])]);
    bench.run(&[mkdir("d:/a"), mkdir("d:/c")]);
    let [one, two, three] = ["m/vcpu0", "m/vcpu1", "m/vcpu2"].map(|name| bench.fork(name, None));
    bench.run(&[
        attach("d:/a", one),
        attach("d:/a", two),
        attach("d:/c", three),
    ]);
    let in_a = current(&mut bench, Some(one));
    assert_eq!(current(&mut bench, Some(two)), in_a, "the same groups");
    let in_c = current(&mut bench, Some(three));
    assert_ne!(in_c, in_a);
    assert_eq!(
        bench.read("d:/a", "debug.cgroup_css_links"),
        format!("css_set {in_a} refs 2\n  task {one}\n  task {two}")
    );
    assert_eq!(
        bench.read("d:/c", "debug.cgroup_css_links"),
        format!("css_set {in_c} refs 1\n  task {three}")
    );
    // Who is no task, or no more, is told of the root css_set.
    assert_eq!(current(&mut bench, None), "0");
    bench.run(&[exit(three)]);
    assert_eq!(current(&mut bench, Some(three)), "0");
}
