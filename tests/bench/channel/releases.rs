//! From the commit that empties a group until its guest and the host know of it, beside the kernel's own
//! release agent.
//!
//! All times are CLOCK_MONOTONIC's: the commit's is the event's in the report, the guest's a reading of
//! its time-stamp counter at the moment it has read the event, the host's taken by the thread that reads
//! `pinfold run`'s standard output.

use std::time::Duration;

use host::Moment;

use super::kernel_agent::KernelAgent;
use super::script;
use crate::Sample;
use crate::support::Run;

const ROUNDS: usize = 10;
const RELEASES_A_ROUND: usize = 60;
const RELEASES: usize = ROUNDS * RELEASES_A_ROUND;

/// The kernel's release agent, as it was measured on this project's host: median, and 99 of 100.
const GOAL_P50: Duration = Duration::from_micros(390);
const GOAL_P99: Duration = Duration::from_micros(500);

const HOT: &str = "placement:/yard/hot";

pub fn bench() {
    println!("channel: from a release's commit until it is known");
    let lines = [
        "vcpu0: subscribe".into(),
        "vcpu0: print up".into(),
        format!("vcpu0: stamp {RELEASES}"),
        "vcpu0: print stamped".into(),
        "halt".into(),
    ];
    let spec = format!(
        r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/yard"]
[group."{HOT}"]
notify_on_release = true
[vm.m]
memory = "16M"
vcpus = 2
groups = ["placement:/yard"]
agent = "delegate"
guest = {{ tiny = [{}] }}
"#,
        script(lines)
    );
    let mut kernel = KernelAgent::set_up();
    let before = Moment::now();
    let mut run = Run::start(&spec);
    run.line("m | vcpu0: up");
    let (mut exits, mut moves) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for number in 0..RELEASES_A_ROUND {
            run.must(&format!("group attach {HOT} m/vcpu1"));
            rest(number);
            run.must("group attach placement:/yard m/vcpu1");
            rest(number);
        }
        if let Some(kernel) = &mut kernel {
            exits.extend((0..RELEASES_A_ROUND).map(|_| kernel.release_by_exit()));
            moves.extend((0..RELEASES_A_ROUND).map(|_| kernel.release_by_move()));
        }
    }
    run.line("m | vcpu0: stamped");
    let times = Times::of(&mut run, &before, &Moment::now());
    run.must("vm stop --force m");
    run.end();
    if kernel.is_some() {
        Sample::new(exits).row("kernel's release agent: its last task exits");
        Sample::new(moves).row("kernel's release agent: it is moved out");
    }
    for (name, times) in [
        ("release to guest", times.guest),
        ("release to host", times.host),
    ] {
        let times = Sample::new(times);
        times.row(name);
        times.within(name, GOAL_P50, GOAL_P99);
    }
}

/// A pause that is not in step with anything, and long enough for a guest to halt.
fn rest(number: usize) {
    std::thread::sleep(Duration::from_micros(1_000 + number as u64 * 37 % 1_000));
}

/// From each release's commit until it was known.
struct Times {
    guest: Vec<Duration>,
    host: Vec<Duration>,
}

impl Times {
    fn of(run: &mut Run, before: &Moment, after: &Moment) -> Times {
        let report = run.report();
        let released = report.events.iter();
        let commits: Vec<u64> = released
            .filter(|event| event.kind == "released" && event.group.as_deref() == Some(HOT))
            .map(|event| event.monotonic_ns)
            .collect();
        let lines = || run.seen.iter().zip(&run.read_at_ns);
        let stamps: Vec<u64> = lines()
            .filter_map(|(line, _)| line.strip_prefix("m | vcpu0: stamp ")?.split_once(' '))
            .filter_map(|(_, tsc)| before.monotonic_ns_at(tsc.parse().ok()?, after))
            .collect();
        let told = format!("{HOT} released");
        let reads = lines().filter(|(line, _)| line.ends_with(&told));
        let reads: Vec<u64> = reads.map(|(_, read)| *read).collect();
        assert_eq!(
            (commits.len(), stamps.len(), reads.len()),
            (RELEASES, RELEASES, RELEASES)
        );
        let since_commit = |times: &[u64]| {
            let pairs = times.iter().zip(&commits);
            let since = pairs.map(|(time, commit)| {
                // A guest whose counter is not the host's is off by all the time that the host has been up.
                assert!(
                    (*commit..after.monotonic_ns).contains(time),
                    "committed at {commit}, known at {time}, and now it is {}",
                    after.monotonic_ns
                );
                Duration::from_nanos(time - commit)
            });
            since.collect()
        };
        Times {
            guest: since_commit(&stamps),
            host: since_commit(&reads),
        }
    }
}
