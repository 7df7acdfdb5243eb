//! Bills of threads against the CPU clock of their dead process.

use std::time::{Duration, Instant};

use container_core::CpuSet;
use host::{Counter, ExactCounter, PerfKeepAlive, TaskDirectory, Thread, fork_process};

use super::workload::{Crew, Outcome, Work};

const MS: Duration = Duration::from_millis(1);

fn host_steal() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").expect("proc is mounted");
    let ticks = stat
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(8));
    Duration::from_millis(
        ticks
            .and_then(|ticks| ticks.parse::<u64>().ok())
            .unwrap_or(0)
            * 10,
    )
}

fn cpus() -> Vec<u32> {
    host::resources()
        .expect("this host")
        .allowed_cpus
        .iter()
        .collect()
}

/// Read every member every `pause` until they are done, and check that no reading goes back.
fn watch(crew: &mut Crew, pause: Duration, mut each: impl FnMut(&Crew, usize)) -> usize {
    let mut rounds = 0;
    let give_up = Instant::now() + Duration::from_secs(60);
    while crew.members.iter().any(|member| member.thread.is_alive()) {
        assert!(Instant::now() < give_up);
        each(crew, rounds);
        for member in &mut crew.members {
            let last = member.counter.last().usage;
            assert!(member.counter.sample().expect("readable").usage >= last);
            let last = member.counter.last().usage;
            assert!(member.counter.exact().expect("readable").usage >= last);
        }
        rounds += 1;
        std::thread::sleep(pause);
    }
    rounds
}

/// Print the figures, and hold them against what the counters promise.
fn check(name: &str, outcome: &Outcome, rounds: usize, stolen: Duration) {
    let us = |ns: i64| ns / 1000;
    let all = |errors: &[i64]| errors.iter().copied().map(us).collect::<Vec<_>>();
    println!(
        "{name}: {rounds} rounds, {stolen:?} stolen; witness {} µs, unseen by the counters {} µs; members are off \
         by {:?} µs, settled by {:?} µs; residual {} µs, overbilled {} µs",
        us(outcome.witness),
        us(outcome.unseen),
        all(&outcome.errors),
        all(&outcome.settled_errors),
        us(outcome.residual),
        us(outcome.overbilled),
    );
    let tick = host::tick().as_nanos() as i64;
    // At the worst 12 µs are missed at each switch since the last reading.
    assert!(outcome.errors.iter().all(|error| *error > -2_000_000));
    assert!(outcome.unseen < 5_000_000);
    // Only stolen time is taken for the thread's own. The host tells it in steps of 10 ms a CPU.
    let stolen_at_most = match host_steal() {
        Duration::ZERO => Duration::ZERO,
        _ => stolen + 30 * MS,
    };
    let too_much = (stolen_at_most + MS / 10).as_nanos() as i64;
    assert!(outcome.unseen > -too_much);
    // Its own last report is a little before a thread's end: under load, milliseconds of exit work.
    assert!(
        outcome
            .errors
            .iter()
            .all(|error| *error < too_much + 10_000_000)
    );
    assert!(outcome.overbilled <= tick * outcome.estimates.len() as i64);
}

pub fn burning() {
    for pause in [5 * MS, 50 * MS, 2000 * MS] {
        let steal = host_steal();
        let mut crew = Crew::start(2, Work::Burn(400 * MS));
        crew.go();
        let rounds = watch(&mut crew, pause, |_, _| {});
        let name = format!("burning, read every {pause:?}");
        check(&name, &crew.finish(), rounds, host_steal() - steal);
    }
}

pub fn napping() {
    let steal = host_steal();
    let work = Work::Nap {
        rounds: 200,
        burn: Duration::from_micros(300),
        sleep: MS,
    };
    let mut crew = Crew::start(2, work);
    for member in &mut crew.members {
        // They all wait: schedstat is the truth, and an exact reading is no other.
        let written = member.counter.sample().expect("it lives");
        assert_eq!(member.counter.exact().expect("it lives"), written);
    }
    crew.go();
    let rounds = watch(&mut crew, 20 * MS, |_, _| {});
    check("napping", &crew.finish(), rounds, host_steal() - steal);
}

/// Every switch takes a little that the count does not see; a sampler that never asks for an exact reading
/// keeps that from adding up.
pub fn sampled() {
    let steal = host_steal();
    let work = Work::Nap {
        rounds: 1500,
        burn: Duration::from_micros(20),
        sleep: Duration::from_micros(100),
    };
    let mut crew = Crew::start(1, work);
    crew.go();
    let mut rounds = 0;
    while crew.members[0].thread.is_alive() {
        crew.members[0].counter.sample().expect("readable");
        rounds += 1;
        std::thread::sleep(10 * MS);
    }
    check("sampled only", &crew.finish(), rounds, host_steal() - steal);
}

pub fn migrating() {
    let cpus = cpus();
    let steal = host_steal();
    let mut crew = Crew::start(2, Work::Burn(300 * MS));
    crew.go();
    let rounds = watch(&mut crew, 2 * MS, |crew, round| {
        for member in 0..2 {
            let cpu = cpus[(round + member) % cpus.len()];
            // One that has just ended is not moved any more.
            let _ = crew.members[member].thread.pin(&CpuSet::from_iter([cpu]));
        }
    });
    check("migrating", &crew.finish(), rounds, host_steal() - steal);
}

pub fn crowded() {
    let cpu = CpuSet::from_iter([cpus()[0]]);
    let steal = host_steal();
    let mut crew = Crew::start(4, Work::Burn(100 * MS));
    (0..4).for_each(|member| crew.pin(member, &cpu));
    crew.go();
    let rounds = watch(&mut crew, 10 * MS, |_, _| {});
    check(
        "four on one CPU",
        &crew.finish(),
        rounds,
        host_steal() - steal,
    );
}

pub fn killed() {
    let steal = host_steal();
    let mut crew = Crew::start(2, Work::Forever);
    crew.go();
    std::thread::sleep(200 * MS);
    let before: Vec<_> = crew
        .members
        .iter_mut()
        .map(|member| member.counter.exact().expect("alive").usage)
        .collect();
    std::thread::sleep(20 * MS);
    crew.process.kill().expect("our child");
    assert!(super::forks::dies_within(&crew.process, super::forks::LONG));
    let outcome = crew.finish();
    assert!(
        outcome
            .estimates
            .iter()
            .zip(&before)
            .all(|(estimate, before)| estimate > before)
    );
    check("killed", &outcome, 1, host_steal() - steal);
}

pub fn a_count_of_a_dead_thread_is_not_taken() {
    let child = fork_process(&[], || {
        loop {
            std::thread::park();
        }
    })
    .expect("a fork");
    let tasks = TaskDirectory::open(&child).expect("it lives");
    let tid = container_core::Tid(child.pid());
    let thread = tasks.open_thread(tid).expect("it lives");
    let mut counter = Counter::baseline(&thread).expect("it lives");
    let count = ExactCounter::open(tid).expect("perf");
    child.kill().expect("ours");
    child.wait_without_reaping(false).expect("ours");
    child.reap().expect("a zombie");
    counter.attach_exact(count);
    assert!(!counter.is_exact());
    assert!(Counter::baseline(&thread).expect_err("dead").is_ended());
    assert!(ExactCounter::open(tid).expect_err("dead").is_ended());
}

fn time(name: &str, rounds: u32, mut call: impl FnMut()) {
    let mut times: Vec<u64> = (0..rounds)
        .map(|_| {
            let start = host::monotonic_ns();
            call();
            host::monotonic_ns() - start
        })
        .collect();
    let first = times[0];
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100] as f64 / 1000.0;
    println!(
        "{name}: p50 {:.2} µs, p99 {:.2} µs, first {:.2} µs",
        at(50),
        at(99),
        first as f64 / 1000.0
    );
}

pub fn costs() {
    time("first perf event", 1, || {
        std::mem::forget(PerfKeepAlive::open().expect("perf"));
    });
    let cpus = cpus();
    let (here, there) = (
        CpuSet::from_iter([cpus[0]]),
        CpuSet::from_iter(cpus.last().copied()),
    );
    let mut crew = Crew::start(2, Work::Forever);
    let tid = crew.members[0].thread.tid();
    time("perf open", 50, || {
        drop(ExactCounter::open(tid).expect("perf"))
    });
    time("sample, at rest", 1000, || {
        drop(crew.members[0].counter.sample())
    });
    time("exact, at rest", 1000, || {
        drop(crew.members[0].counter.exact())
    });
    let pin = |thread: &Thread, cpus: &CpuSet| assert_eq!(thread.pin(cpus).expect("may"), *cpus);
    time("pin, at rest", 1000, || pin(&crew.members[0].thread, &here));
    (0..2).for_each(|member| crew.pin(member, &there));
    host::affinity::set(container_core::Tid(std::process::id()), &here).expect("our own");
    crew.go();
    std::thread::sleep(20 * MS);
    time("sample, burning", 1000, || {
        drop(crew.members[0].counter.sample())
    });
    time("exact, burning", 1000, || {
        drop(crew.members[0].counter.exact())
    });
    time("pin, burning, same CPU", 200, || {
        pin(&crew.members[0].thread, &there)
    });
    time("is_alive", 200, || {
        assert!(crew.members[0].thread.is_alive())
    });
    let mut at = here;
    time("pin, burning, to and fro", 100, || {
        at = if at == here { there } else { here };
        pin(&crew.members[0].thread, &at);
    });
    crew.process.kill().expect("ours");
    crew.finish();
    let all: CpuSet = cpus.into_iter().collect();
    host::affinity::set(container_core::Tid(std::process::id()), &all).expect("our own");
    time("host::resources", 200, || drop(host::resources()));
    time("topology::read", 50, || drop(host::topology::read()));
    time("tsc_khz, first", 1, || {
        assert_eq!(host::tsc_khz(), host::tsc_khz())
    });
    time("fork_process and its end", 50, || {
        let child = fork_process(&[], || 0).expect("a fork");
        child.wait_without_reaping(false).expect("ours");
        child.reap().expect("a zombie");
    });
}
