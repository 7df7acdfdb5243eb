//! What siblings forbid each other, and until when.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

#[test]
fn an_exclusive_group_is_in_its_siblings_way_until_it_is_removed_and_not_after() {
    let mut bench = Bench::new();
    let made = |path: &str, cpus: &str| {
        let files = [("cpuset.cpus", cpus), ("cpuset.mems", "0")];
        let files = files.map(|(file, value)| write(path, file, value));
        [&[mkdir(path)], &files[..]].concat()
    };
    bench.run(&made("p:/mine", "0"));
    bench.run(&made("p:/other", "1"));
    bench.run(&[write("p:/mine", "cpuset.cpu_exclusive", "1")]);
    let grow = write("p:/other", "cpuset.cpus", "0-1");
    assert_eq!(bench.refused(grow.clone()), Errno::EINVAL);
    // A removal that is taken back leaves it there.
    let batch = [rmdir("p:/mine"), grow.clone(), rmdir("p:/none")];
    assert_eq!(bench.try_run(&batch).unwrap_err().command, 2);
    assert_eq!(bench.refused(grow.clone()), Errno::EINVAL);

    bench.run(&[rmdir("p:/mine")]);
    bench.run(&[grow]);
    // Nor is the next that is made there, which is not exclusive.
    bench.run(&made("p:/mine", "0"));
    bench.run(&[write("p:/other", "cpuset.cpus", "0-2")]);
}
