//! `cpuacct.usage_percpu`, `cpuacct.stat` and `cpuacct.load` beside a naive model of them.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use std::collections::BTreeMap;

use container_core::*;
use proptest::prelude::*;
use proptest::sample::select;
use support::*;

const GROUPS: [&str; 4] = ["b:/", "b:/a", "b:/a/in", "b:/c"];
const CPUS: u32 = 8;

#[derive(Clone, Debug)]
enum Step {
    /// Seen on a CPU, having spent so many ticks in user mode and in the kernel.
    Seen(usize, u32, u64, u64),
    Used(usize, u64),
    Moves(usize, &'static str),
    Reset(&'static str),
    Interval(u64),
    /// `b:/a/in` goes, if it is empty, and another comes.
    Again,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let tasks = || 0..4usize;
    // Shares of which 65,535 is a multiple are exact.
    let ticks = select(vec![(1, 0), (0, 1), (2, 1), (1, 4), (0, 0)]);
    let step = prop_oneof![
        4 => (tasks(), 0..CPUS, ticks).prop_map(|(task, cpu, (user, system))| Step::Seen(task, cpu, user, system)),
        8 => (tasks(), 1..1_000u64).prop_map(|(task, used)| Step::Used(task, used * 15_000_000)),
        4 => (tasks(), select(GROUPS.to_vec())).prop_map(|(task, to)| Step::Moves(task, to)),
        1 => select(GROUPS.to_vec()).prop_map(Step::Reset),
        1 => (1..100u64).prop_map(|tenths| Step::Interval(tenths * 100_000_000)),
        1 => Just(Step::Again),
    ];
    proptest::collection::vec(step, 1..80)
}

/// What a group's files show.
#[derive(Clone, Default)]
struct Bill {
    by_cpu: [u64; CPUS as usize],
    user: u64,
    system: u64,
    interval: u64,
    load: u64,
}

proptest! {
    #[test]
    fn the_parts_of_a_bill_are_where_and_how_its_tasks_were_seen(steps in steps()) {
        let mut bench = Bench::new();
        bench.run(&[mkdir("b:/a"), mkdir("b:/a/in"), mkdir("b:/c")]);
        let tasks: Vec<TaskId> = (0..4).map(|task| bench.fork(&format!("m{task}/io"), None)).collect();
        let mut bills: BTreeMap<&str, Bill> = GROUPS.map(|group| (group, Bill::default())).into();
        // Group, CPU, ticks, and what was used in all.
        let mut states = [("b:/", 0, (1, 0), 0); 4];
        for step in steps {
            match step {
                Step::Seen(task, cpu, user, system) => {
                    let seen = Observation { cpu, user, system };
                    bench.framework.observe(tasks[task], seen).unwrap();
                    let ticks = if user + system > 0 { (user, system) } else { states[task].2 };
                    (states[task].1, states[task].2) = (cpu, ticks);
                }
                Step::Used(task, used) => {
                    let (group, cpu, (user, system), total) = &mut states[task];
                    *total += used;
                    bench.charge(tasks[task], *total);
                    for (path, bill) in &mut bills {
                        if *path == "b:/" || group.starts_with(path) {
                            bill.by_cpu[*cpu as usize] += used;
                            bill.user += used * *user / (*user + *system);
                            bill.system += used * *system / (*user + *system);
                            bill.interval += used;
                        }
                    }
                }
                Step::Moves(task, to) => {
                    bench.run(&[attach(to, tasks[task])]);
                    states[task].0 = to;
                }
                Step::Reset(group) => {
                    bench.run(&[write(group, "cpuacct.usage", "0")]);
                    bills.get_mut(group).unwrap().by_cpu = Default::default();
                }
                Step::Interval(length) => {
                    bench.framework.close_interval(Nanoseconds(length));
                    for bill in bills.values_mut() {
                        bill.load = bill.interval * 100 / length;
                        bill.interval = 0;
                    }
                }
                Step::Again => {
                    if states.iter().all(|(group, ..)| *group != "b:/a/in") {
                        bench.run(&[rmdir("b:/a/in"), mkdir("b:/a/in")]);
                        bills.insert("b:/a/in", Bill::default());
                    }
                }
            }
            bench.framework.check_invariants();
            for (path, bill) in &bills {
                let by_cpu: String = bill.by_cpu.iter().map(|share| format!("{share} ")).collect();
                prop_assert_eq!(bench.read(path, "cpuacct.usage_percpu"), by_cpu);
                prop_assert_eq!(bench.usage(path), bill.by_cpu.iter().sum::<u64>());
                let stat = format!("user {}\nsystem {}", bill.user / 10_000_000, bill.system / 10_000_000);
                prop_assert_eq!(bench.read(path, "cpuacct.stat"), stat);
                prop_assert_eq!(bench.read(path, "cpuacct.load"), bill.load.to_string());
            }
        }
    }
}

#[test]
fn nobody_is_seen_on_a_cpu_that_the_host_cannot_have() {
    let mut bench = Bench::new();
    let task = bench.fork("m/io", None);
    let seen = |cpu| Observation {
        cpu,
        ..Observation::default()
    };
    bench.framework.observe(task, seen(7)).unwrap();
    let errno = |outcome: Result<(), Refusal>| outcome.unwrap_err().errno;
    assert_eq!(errno(bench.framework.observe(task, seen(8))), Errno::ERANGE);
    bench.run(&[exit(task)]);
    assert_eq!(errno(bench.framework.observe(task, seen(7))), Errno::ESRCH);
}

#[test]
fn the_parts_are_for_reading_only() {
    let mut bench = Bench::new();
    for file in ["cpuacct.usage_percpu", "cpuacct.stat", "cpuacct.load"] {
        assert_eq!(bench.refused(write("b:/", file, "0")), Errno::EINVAL);
    }
}
