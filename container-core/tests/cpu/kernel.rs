//! What is written, held against the kernel of this host.

use super::bench;
use crate::scratch::Scratch;
use crate::support::*;

/// Writes, in order, to groups of [`bench`]: numbers, what is no number, and quotas above and below each other.
const WRITES: &[(&str, &str, &[&str])] = &[
    (
        "a",
        "cpu.shares",
        &[
            "0",
            "1",
            "2",
            "3",
            "262144",
            "262145",
            "18446744073709551615",
            "18446744073709551616",
            "-1",
            "abc",
            "",
            "\n",
            "512\n",
            " 512",
            "512 ",
            "+5",
            "0x10",
            "010",
            "5 6",
            "1.5",
        ],
    ),
    (
        "a",
        "cpu.cfs_quota_us",
        &[
            "0",
            "1",
            "999",
            "1000",
            "50000",
            "-1",
            "-2",
            "-9223372036854775808",
            "-9223372036854775809",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551616",
            "-18446744073709551616",
            "abc",
            "",
            "\n",
            "0x4000",
            "010000",
            " 5000",
            "-0",
            "-010",
            "+5000",
            "+-1",
            "-+1",
            "--1",
            "-",
            "18446744073709551",
            "17592186044415",
            "17592186044416",
            "-1",
        ],
    ),
    (
        "a",
        "cpu.cfs_period_us",
        &[
            "0",
            "1",
            "999",
            "1000",
            "1000000",
            "1000001",
            "-1",
            "abc",
            "",
            "\n",
            "18446744073709551615",
            "18446744073709551616",
            "100000",
        ],
    ),
    ("a", "cpu.stat", &["0", "abc"]),
    // The parent's half of a CPU is not exceeded, neither by a child nor from above.
    ("a", "cpu.cfs_quota_us", &["50000"]),
    ("a/in", "cpu.cfs_quota_us", &["50001", "50000"]),
    ("a", "cpu.cfs_quota_us", &["49999", "-1", "40000", "60000"]),
    (
        "a/in",
        "cpu.cfs_period_us",
        &["80000", "83333", "83334", "1000000", "100000"],
    ),
    (
        "a",
        "cpu.cfs_period_us",
        &["120000", "120001", "1000000", "100000", "1000"],
    ),
    ("a/in", "cpu.cfs_quota_us", &["-1", "60001", "60000"]),
    // Ratios are compared with 20 bits behind the point.
    ("a/in", "cpu.cfs_quota_us", &["-1"]),
    ("a", "cpu.cfs_quota_us", &["-1"]),
    ("a", "cpu.cfs_period_us", &["3000"]),
    ("a", "cpu.cfs_quota_us", &["1000"]),
    ("a/in", "cpu.cfs_period_us", &["300000"]),
    (
        "a/in",
        "cpu.cfs_quota_us",
        &["100001", "100000", "-1", "17592186044415"],
    ),
    // Siblings have nothing to do with each other.
    ("b", "cpu.cfs_quota_us", &["17592186044415"]),
    ("b", "cpu.cfs_period_us", &["1000", "1000000"]),
];

const ROOT_WRITES: &[(&str, &str)] = &[
    ("cpu.shares", "1024"),
    ("cpu.shares", "abc"),
    ("cpu.shares", "18446744073709551616"),
    ("cpu.cfs_quota_us", "-1"),
    ("cpu.cfs_quota_us", "50000"),
    ("cpu.cfs_period_us", "100000"),
    ("cpu.stat", "0"),
];

/// What a write comes to: the errno, and what the group's files read then.
type Outcome = (Option<String>, [String; 3]);

const FILES: [&str; 3] = ["cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us"];

fn write_here(bench: &mut Bench, path: &str, file: &str, value: &str) -> Outcome {
    let outcome = bench.try_run(&[write(path, file, value)]);
    let errno = outcome.err().map(|refusal| format!("{:?}", refusal.errno));
    (errno, FILES.map(|file| bench.read(path, file)))
}

#[test]
fn what_is_written_is_taken_and_refused_as_by_the_kernel_of_this_host() {
    let Some(scratch) = Scratch::cpu() else {
        println!("SKIPPED: there is no cgroup-v1 cpu mount to write to");
        return;
    };
    let mut bench = bench();
    for name in ["a", "a/in", "b"] {
        scratch.mkdir(name);
    }
    for (name, file, values) in WRITES {
        for value in *values {
            let here = write_here(&mut bench, &format!("c:/{name}"), file, value);
            let there = scratch.write(name, file, value);
            let there = (there, FILES.map(|file| scratch.read(name, file)));
            assert_eq!(here, there, "{value:?} to {file} of {name}");
        }
    }
    for (file, value) in ROOT_WRITES {
        let here = write_here(&mut bench, "c:/", file, value);
        // Refused all of them: nothing of the host is changed.
        assert_eq!(
            here.0,
            scratch.write_to_root(file, value),
            "{value} to {file}"
        );
    }
}
