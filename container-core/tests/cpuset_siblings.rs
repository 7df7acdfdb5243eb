//! What siblings forbid each other, and until when.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

/// A new group with these CPUs.
fn made(path: &str, cpus: &str) -> [Command; 3] {
    [
        mkdir(path),
        write(path, "cpuset.cpus", cpus),
        write(path, "cpuset.mems", "0"),
    ]
}

#[test]
fn an_exclusive_group_is_in_its_siblings_way_until_it_is_removed_and_not_after() {
    let mut bench = Bench::new();
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

#[test]
fn one_exclusive_group_less_leaves_the_others_in_the_way() {
    for way_out in [write("p:/a", "cpuset.cpu_exclusive", "0"), rmdir("p:/a")] {
        let mut bench = Bench::new();
        for (path, cpus) in [("p:/a", "0"), ("p:/b", "1")] {
            bench.run(&made(path, cpus));
            bench.run(&[write(path, "cpuset.cpu_exclusive", "1")]);
        }
        bench.run(&made("p:/c", "2"));
        bench.run(&[way_out]);
        bench.run(&[write("p:/c", "cpuset.cpus", "0,2")]);
        let grow = write("p:/c", "cpuset.cpus", "0-2");
        assert_eq!(bench.refused(grow), Errno::EINVAL);
    }
}
