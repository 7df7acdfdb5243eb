//! Who is billed for CPU time, and what is taken back of it. How a bill falls into parts is in `bills.rs`.

mod support;

use container_core::*;
use support::*;

#[test]
fn the_bill_stays_where_the_time_was_spent() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/a"), mkdir("b:/a/in"), mkdir("b:/c")]);
    let task = bench.fork("web/vcpu0", None);
    bench.charge(task, 5);
    bench.run(&[attach("b:/a/in", task)]);
    bench.charge(task, 105);
    bench.charge(task, 100);
    bench.run(&[attach("b:/c", task)]);
    bench.charge(task, 1105);
    let used = ["b:/", "b:/a", "b:/a/in", "b:/c"].map(|path| bench.usage(path));
    assert_eq!(used, [1105, 100, 100, 1000]);
    assert_eq!(bench.read("b:/c", "cpuacct.cycles"), "3000");
    let (effects, _) = bench.run(&[write("b:/", "cpuacct.usage", "0")]);
    assert_eq!(effects, [sample(task)]);
    bench.run(&[rmdir("b:/a/in"), exit(task)]);
    let used = ["b:/", "b:/a", "b:/c"].map(|path| bench.usage(path));
    assert_eq!(
        used,
        [0, 100, 1000],
        "a reset is of one file; a removed child's stays"
    );
    let info = bench.framework.group(&group("b:/a")).unwrap();
    assert_eq!(info.removed.unwrap().usage, Nanoseconds(100));
    assert_eq!(
        bench.framework.task(task).unwrap().usage.usage,
        Nanoseconds(1105)
    );
    let forgotten = bench.framework.forget_machine(&"web".parse().unwrap());
    assert_eq!(forgotten.usage, Nanoseconds(1105));
    assert_eq!(bench.framework.task(task), None);
    assert_eq!(bench.framework.ledger().retired, forgotten);
    bench.framework.check_invariants();
}

#[test]
fn the_ledger_is_kept_without_a_mount() {
    let mut bench = Bench::unmounted(host());
    let task = bench.fork("web/vcpu0", None);
    bench.charge(task, 7);
    bench.run(&[mount("b", &["cpuacct"])]);
    assert_eq!(bench.usage("b:/"), 7);
    bench.charge(task, 9);
    bench.run(&[unmount("b")]);
    bench.charge(task, 11);
    assert_eq!(bench.framework.ledger().groups.usage, Nanoseconds(11));
    bench.framework.check_invariants();
}

#[test]
fn a_credit_takes_back_from_the_task_and_its_present_group_alike() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/a"), mkdir("b:/a/in"), mkdir("b:/c")]);
    let task = bench.fork("web/vcpu0", None);
    bench.run(&[attach("b:/c", task)]);
    bench.charge(task, 100);
    bench.run(&[attach("b:/a/in", task)]);
    bench.charge(task, 400);
    let over = |nanoseconds, cycles| Usage {
        usage: Nanoseconds(nanoseconds),
        cycles: Cycles(cycles),
    };
    let used = |bench: &Bench| ["b:/", "b:/a", "b:/a/in", "b:/c"].map(|path| bench.usage(path));

    assert_eq!(bench.framework.credit(task, over(50, 30)), Ok(over(50, 30)));
    assert_eq!(used(&bench), [350, 250, 250, 100]);
    assert_eq!(bench.read("b:/a", "cpuacct.cycles"), "870");
    bench.framework.check_invariants();

    let all = bench.framework.credit(task, over(u64::MAX, 0));
    assert_eq!(all, Ok(over(250, 0)), "what it used in b:/c stays there");
    assert_eq!(used(&bench), [100, 0, 0, 100]);
    let usage = bench.framework.task(task).unwrap().usage;
    assert_eq!(usage, over(100, 1170), "cycles are credited for themselves");
    bench.framework.check_invariants();
}

#[test]
fn a_credit_after_a_reset_shows_nothing_below_zero_and_hides_nothing_later() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("b:/a")]);
    let task = bench.fork("web/vcpu0", None);
    bench.run(&[attach("b:/a", task)]);
    bench.charge(task, 100);
    bench.run(&[write("b:/a", "cpuacct.usage", "0")]);
    let over = |nanoseconds| Usage {
        usage: Nanoseconds(nanoseconds),
        cycles: Cycles(0),
    };
    assert_eq!(bench.framework.credit(task, over(10)), Ok(over(10)));
    assert_eq!([bench.usage("b:/a"), bench.usage("b:/")], [0, 90]);
    bench.charge(task, 120);
    assert_eq!([bench.usage("b:/a"), bench.usage("b:/")], [30, 120]);
}

#[test]
fn a_closed_bill_takes_no_credit() {
    let mut bench = Bench::new();
    let task = bench.fork("web/vcpu0", None);
    bench.charge(task, 100);
    bench.run(&[exit(task)]);
    let over = Usage {
        usage: Nanoseconds(10),
        cycles: Cycles(0),
    };
    let before = bench.framework.snapshot();
    for id in [task, TaskId(u64::MAX)] {
        let refusal = bench.framework.credit(id, over).unwrap_err();
        assert_eq!(refusal.errno, Errno::ESRCH);
    }
    assert_eq!(before, bench.framework.snapshot());
}
