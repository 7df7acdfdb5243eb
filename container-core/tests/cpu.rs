//! The cpu subsystem: what it takes, what it asks of its back end, and whether the kernel would have said the same.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

#[path = "support/scratch.rs"]
mod scratch;
mod support;

use std::collections::BTreeMap;

use container_core::*;
use scratch::Scratch;
use support::*;

/// A hierarchy with the subsystem, and in it `a`, `a/in` and `b`.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.run(&[
        mount("c", &["cpu"]),
        mkdir("c:/a"),
        mkdir("c:/a/in"),
        mkdir("c:/b"),
    ]);
    bench
}

fn limits(shares: u64, quota_us: Option<u64>, period_us: u64) -> CpuLimits {
    CpuLimits {
        shares,
        quota_us,
        period_us,
    }
}

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

#[test]
fn limits_have_the_kernels_errnos_and_say_what_they_exceed() {
    let mut bench = bench();
    bench.run(&[write("c:/a", "cpu.cfs_quota_us", "50000")]);
    for (path, file, value, errno) in [
        ("c:/a/in", "cpu.cfs_quota_us", "50001", Errno::EINVAL),
        ("c:/a/in", "cpu.cfs_quota_us", "0", Errno::EINVAL),
        (
            "c:/a/in",
            "cpu.cfs_quota_us",
            "-9223372036854775809",
            Errno::ERANGE,
        ),
        ("c:/a", "cpu.cfs_period_us", "999", Errno::EINVAL),
        ("c:/a", "cpu.shares", "18446744073709551616", Errno::ERANGE),
        ("c:/a", "cpu.stat", "0", Errno::EINVAL),
        ("c:/", "cpu.shares", "2048", Errno::EINVAL),
        ("c:/", "cpu.cfs_quota_us", "-1", Errno::EINVAL),
    ] {
        assert_eq!(
            bench.refused(write(path, file, value)),
            errno,
            "{value} to {file}"
        );
    }
    let refusal = bench.try_run(&[write("c:/a/in", "cpu.cfs_quota_us", "60000")]);
    assert_eq!(
        refusal.unwrap_err().rule,
        "cpu.cfs_quota_us: 60000 us in 100000 is more than the 50000 us in 100000 of c:/a"
    );
    bench.run(&[write("c:/a/in", "cpu.cfs_quota_us", "50000")]);
    let refusal = bench.try_run(&[write("c:/a", "cpu.cfs_period_us", "200000")]);
    assert_eq!(
        refusal.unwrap_err().rule,
        "cpu.cfs_period_us: 50000 us in 200000 is less than the 50000 us in 100000 of c:/a/in"
    );
}

#[test]
fn a_batch_is_one_effect_a_group_and_one_a_task_in_the_order_that_the_kernel_takes() {
    let mut bench = bench();
    let task = bench.fork("web/vcpu0", None);
    bench.run(&[
        write("c:/a", "cpu.cfs_quota_us", "50000"),
        write("c:/a/in", "cpu.cfs_quota_us", "50000"),
    ]);
    let ids: Vec<CpuGroup> = bench
        .framework
        .cpu_groups()
        .map(|info| info.group)
        .collect();
    let [_, a, a_in, b] = ids[..] else {
        panic!("{ids:?}")
    };
    let (half, fifth) = (
        limits(1024, Some(50_000), 100_000),
        limits(1024, Some(20_000), 100_000),
    );
    let (effects, _) = bench.run(&[
        // Above first, since below is more than it until later; and what changes in between counts for nothing.
        write("c:/a/in", "cpu.cfs_quota_us", "10000"),
        write("c:/a", "cpu.cfs_quota_us", "20000"),
        write("c:/a/in", "cpu.cfs_quota_us", "20000"),
        mkdir("c:/a/new"),
        write("c:/a/new", "cpu.shares", "512"),
        attach("c:/a/new", task),
        rmdir("c:/b"),
        mkdir("c:/gone"),
        rmdir("c:/gone"),
    ]);
    let new = bench.framework.cpu_group(&group("c:/a/new")).unwrap();
    let effect = |group, path: &str, parent, limits, before| Effect::Limit {
        group,
        path: path.parse().unwrap(),
        parent: Some(parent),
        limits,
        before,
    };
    let expected = [
        effect(new, "c:/a/new", a, Some(limits(512, None, 100_000)), None),
        Effect::Enroll {
            task,
            group: Some(new),
            path: Some(group("c:/a/new")),
            before: Some(CpuGroup::ROOT),
        },
        effect(b, "c:/b", CpuGroup::ROOT, None, Some(CpuLimits::DEFAULT)),
        effect(a_in, "c:/a/in", a, Some(fifth), Some(half)),
        effect(a, "c:/a", CpuGroup::ROOT, Some(fifth), Some(half)),
    ];
    assert_eq!(effects, expected);
}

#[test]
fn a_rename_needs_nothing_of_the_host() {
    let mut bench = bench();
    assert_eq!(bench.run(&[rename("c:/a", "z")]).0, []);
    assert!(bench.framework.cpu_group(&group("c:/z/in")).is_some());
}

#[test]
fn a_group_is_called_by_a_number_that_outlives_a_rename_and_is_never_anothers() {
    let mut bench = bench();
    let number = |bench: &Bench, path| {
        let number = bench.framework.cpu_group(&group(path));
        number.unwrap().to_string()
    };
    assert_eq!(number(&bench, "c:/"), "0");
    let [a, b] = ["c:/a", "c:/b"].map(|path| number(&bench, path));
    assert_eq!([&*a, &*b], ["1", "3"]);
    bench.run(&[rename("c:/a", "z"), rmdir("c:/b"), mkdir("c:/b")]);
    assert_eq!(number(&bench, "c:/z"), a);
    assert_eq!(number(&bench, "c:/b"), "4");
}

#[test]
fn mounting_takes_the_tasks_in_and_unmounting_lets_them_go() {
    let mut bench = Bench::new();
    let task = bench.fork("web/vcpu0", None);
    let root = CpuGroup::ROOT;
    let mut there = [None, Some(CpuLimits::DEFAULT)];
    let mut stands = [None, Some(root)];
    for command in [mount("c", &["cpu"]), unmount("c")] {
        let (effects, _) = bench.run(&[command]);
        let limit = Effect::Limit {
            group: root,
            path: group("c:/"),
            parent: None,
            before: there[0],
            limits: there[1],
        };
        let enroll = Effect::Enroll {
            task,
            before: stands[0],
            group: stands[1],
            path: stands[1].map(|_| group("c:/")),
        };
        assert!(
            effects.contains(&limit) && effects.contains(&enroll),
            "{effects:?}"
        );
        assert_eq!(effects.len(), 2);
        assert_eq!(effects[0], if stands[0].is_none() { limit } else { enroll });
        there.reverse();
        stands.reverse();
    }
    // Without the subsystem nothing is asked of the host.
    let (_, birth) = bench.fork_command("web/vcpu1", None);
    assert_eq!(bench.run(&[birth]).0.len(), 1, "the pin alone");
}

#[test]
fn what_the_back_end_counted_is_read_and_is_not_another_groups() {
    let mut bench = bench();
    let of = |bench: &Bench, path| bench.framework.cpu_group(&group(path)).unwrap();
    let none = "nr_periods 0\nnr_throttled 0\nthrottled_time 0";
    assert_eq!(bench.read("c:/b", "cpu.stat"), none);
    let stat = CpuStat {
        nr_periods: 7,
        nr_throttled: 2,
        throttled: Nanoseconds(99),
    };
    let b = of(&bench, "c:/b");
    let note = |bench: &mut Bench, path: &str, of: CpuGroup| {
        bench.framework.note_cpu_stat(&group(path), |asked| {
            assert_eq!(asked, of);
            Some(stat)
        });
    };
    note(&mut bench, "c:/b", b);
    let text = "nr_periods 7\nnr_throttled 2\nthrottled_time 99";
    assert_eq!(bench.read("c:/b", "cpu.stat"), text);
    // Who cannot say leaves what was said before.
    bench.framework.note_cpu_stat(&group("c:/b"), |_| None);
    assert_eq!(bench.read("c:/b", "cpu.stat"), text);
    // A newcomer in its slot is not taken for it.
    bench.run(&[rmdir("c:/b")]);
    bench.run(&[mkdir("c:/b")]);
    assert_ne!(of(&bench, "c:/b"), b);
    assert_eq!(bench.read("c:/b", "cpu.stat"), none);
    for path in ["c:/absent", "p:/"] {
        let asked = |_| unreachable!("{path} is no group of the cpu hierarchy");
        bench.framework.note_cpu_stat(&group(path), asked);
    }
    note(&mut bench, "c:/", CpuGroup::ROOT);
    assert_eq!(bench.read("c:/", "cpu.stat"), text);
}

#[test]
fn what_was_counted_before_the_back_end_made_a_group_again_is_kept() {
    let mut bench = bench();
    let b = bench.framework.cpu_group(&group("c:/b")).unwrap();
    let stat = |nr_periods, nr_throttled, ns| CpuStat {
        nr_periods,
        nr_throttled,
        throttled: Nanoseconds(ns),
    };
    let note = |bench: &mut Bench, stat| {
        let path = group("c:/b");
        bench.framework.note_cpu_stat(&path, |_| Some(stat));
    };
    let carry = |bench: &mut Bench, counted| {
        let counted = BTreeMap::from([(b, counted), (CpuGroup::ROOT, None)]);
        bench.framework.carry_cpu_stats(&counted);
    };
    note(&mut bench, stat(7, 2, 99));
    for _ in 0..2 {
        carry(&mut bench, None);
        let text = "nr_periods 7\nnr_throttled 2\nthrottled_time 99";
        assert_eq!(bench.read("c:/b", "cpu.stat"), text);
    }
    note(&mut bench, stat(1, 1, 1));
    carry(&mut bench, Some(stat(3, 1, 2)));
    note(&mut bench, stat(1, 0, 0));
    let text = "nr_periods 11\nnr_throttled 3\nthrottled_time 101";
    assert_eq!(bench.read("c:/b", "cpu.stat"), text);
    // Another group of its name has nothing of it.
    bench.run(&[rmdir("c:/b"), mkdir("c:/b")]);
    let none = "nr_periods 0\nnr_throttled 0\nthrottled_time 0";
    assert_eq!(bench.read("c:/b", "cpu.stat"), none);
}
