//! Tasks that stand in the same groups share one css_set.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

/// The number of a task's css_set, as the task itself reads it.
fn current(bench: &Bench, task: TaskId) -> Option<usize> {
    let by = Credentials {
        task: Some(task),
        ..Credentials::ROOT
    };
    let file = "debug.current_css_set";
    let text = bench.framework.read(&by, &group("p:/"), file).unwrap();
    text.trim_end().parse().ok()
}

#[test]
fn a_css_set_is_found_by_its_groups_as_long_as_a_task_is_in_it() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/one"), mkdir("b:/two")]);
    let [first, second] = ["web/vcpu0", "web/vcpu1"].map(|name| bench.fork(name, None));
    let would_be = |bench: &Bench, path| bench.framework.css_set_for(second, &group(path));
    assert_eq!(would_be(&bench, "b:/one"), Ok(None));
    bench.run(&[attach("b:/one", first)]);
    assert_ne!(current(&bench, first), current(&bench, second));
    assert_eq!(would_be(&bench, "b:/one"), Ok(current(&bench, first)));
    assert_eq!(would_be(&bench, "b:/"), Ok(current(&bench, second)));
    assert_eq!(would_be(&bench, "b:/two"), Ok(None));

    bench.run(&[attach("b:/one", second)]);
    assert_eq!(current(&bench, second), current(&bench, first));
    bench.run(&[attach("b:/two", first), attach("b:/two", second)]);
    assert_eq!(would_be(&bench, "b:/one"), Ok(None), "it has gone");

    let errno = |found: Result<_, Refusal>| found.unwrap_err().errno;
    assert_eq!(errno(would_be(&bench, "b:/three")), Errno::ENOENT);
    bench.run(&[exit(second)]);
    assert_eq!(errno(would_be(&bench, "b:/two")), Errno::ESRCH);
}
