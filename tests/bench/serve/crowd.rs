//! Many machines by one `apply`, and what the supervisor weighs with them.

use std::fmt::Write;
use std::time::{Duration, Instant};

use management::Event;
use management::api::{Applied, EventPage};

use super::server::{Connection, Server};
use crate::Sample;
use crate::support::PATIENCE;

const MACHINES: usize = 200;
const READS: usize = 500;
/// Goal for the supervisor's resident size.
const GOAL_KB: u64 = 30 << 10;
/// keeper, wire, runner and api, beside main.
const GOAL_THREADS: usize = 4;

const GROUPS: &str = r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[hierarchy.billing]
subsystems = ["cpuacct"]
[group."placement:/pen"]
[group."billing:/tenant"]
"#;

pub fn bench() {
    println!(
        "serve: crowd: {MACHINES} halted machines, 4 MiB, 1 vCPU, by one apply; {}",
        super::load()
    );
    let server = Server::start();
    let mut connection = server.connect();
    let before_kb = server.resident_kb();
    let mut spec = GROUPS.to_owned();
    for number in 0..MACHINES {
        write!(
            spec,
            "[vm.m{number}]\nmemory = '4M'\nvcpus = 1\nguest = {{ tiny = ['halt'] }}\n\
             groups = ['placement:/pen', 'billing:/tenant']\n"
        )
        .expect("a string");
    }
    let answer = connection.apply(&spec);
    let (asked_ns, took) = (answer.asked_ns, answer.took());
    let applied: Applied = answer.json();
    assert_eq!(applied.started.len(), MACHINES);
    let started = wait_for(&mut connection, "machine_started");
    let all = Duration::from_nanos(started[MACHINES - 1].monotonic_ns - asked_ns);
    println!(
        "  apply is answered after {took:.2?}, the last machine started after {all:.2?} : {:.0} machines a second",
        MACHINES as f64 / all.as_secs_f64()
    );
    let (with_kb, threads) = (server.resident_kb(), server.threads());
    println!(
        "  supervisor RSS {before_kb} kB without, {with_kb} kB with them, goal {GOAL_KB} kB : {}",
        verdict(with_kb <= GOAL_KB)
    );
    println!(
        "  supervisor threads {}, goal {GOAL_THREADS} : {} ({})",
        threads.len(),
        verdict(threads.len() <= GOAL_THREADS),
        threads.join(" ")
    );
    for (name, path) in [
        (
            "GET cpuset.cpus beside them",
            "/v1/files/placement/pen/cpuset.cpus",
        ),
        (
            "GET cpuacct.usage beside them",
            "/v1/files/billing/tenant/cpuacct.usage",
        ),
        ("GET one machine beside them", "/v1/machines/m7"),
    ] {
        let reads = (0..READS).map(|_| connection.get(path).ok().took());
        Sample::new(reads.collect()).row(name);
    }
    let refused = end(&mut connection);
    println!("  an apply without them was refused {refused} times before all were told to end");
    wait_for(&mut connection, "machine_ended");
    println!(
        "  supervisor RSS {} kB when all have ended",
        server.resident_kb()
    );
}

/// Have all end, and count the times that it was to be tried again: their ends fill the keeper's mailbox (503), and make the
/// groups others than those that the plan is for (409).
fn end(connection: &mut Connection) -> usize {
    for refused in 0.. {
        let answer = connection.try_apply(GROUPS);
        if ![503, 409].contains(&answer.status) {
            answer.ok();
            return refused;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    unreachable!("it is tried until it is done")
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED" }
}

/// As many events of a kind as there are machines.
fn wait_for(connection: &mut Connection, kind: &str) -> Vec<Event> {
    let (mut events, mut since) = (Vec::new(), String::new());
    let deadline = Instant::now() + PATIENCE;
    while events.len() < MACHINES {
        assert!(Instant::now() < deadline, "{} of {kind}", events.len());
        std::thread::sleep(Duration::from_millis(20));
        let answer = connection.get(&format!("/v1/events?limit=4096{since}"));
        if answer.status == 503 {
            continue;
        }
        let page: EventPage = answer.json();
        since = format!("&since={}", page.last);
        events.extend(page.events.into_iter().filter(|event| event.kind == kind));
    }
    events
}
