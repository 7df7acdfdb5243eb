//! The cpu subsystem: what it takes, what it asks of its back end, and whether the kernel would have said the same.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

#[path = "cpu/kernel.rs"]
mod kernel;
#[path = "support/scratch.rs"]
mod scratch;
mod support;

use std::collections::BTreeMap;

use container_core::*;
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
