//! A machine by one request: from just before it is written to the first guest serial byte, beside the bare KVM
//! floor of the same run.

use std::process::Command;
use std::time::{Duration, Instant};

use management::Machine;
use serde_json::json;

use super::server::{Connection, Server};
use crate::Sample;
use crate::start::{build_floor, first_byte};
use crate::support::PATIENCE;

const ROUNDS: usize = 60;
/// The next process has this long to be ready in: a machine is asked for now and then, not always.
const REST: Duration = Duration::from_millis(30);
const GOAL: f64 = 1.5;

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
        "serve: create: request to first guest byte, 64 MiB, 1 vCPU, a process waiting; {}",
        super::load()
    );
    let server = Server::start();
    let Some(floor) = build_floor(&server.scratch) else {
        return;
    };
    let floor = || first_byte(&mut Command::new(&floor), &server.scratch, b"").0;
    let mut connection = server.connect();
    connection.apply(GROUPS);
    let mut parts = [(); 6].map(|()| Vec::new());
    for round in 0..=ROUNDS {
        std::thread::sleep(REST);
        let bare = floor();
        std::thread::sleep(REST);
        let times = one(&mut connection);
        if round > 0 {
            parts[0].push(bare);
            for (part, time) in parts[1..].iter_mut().zip(times) {
                part.push(time);
            }
        }
    }
    let [floor, out, spawned, born, go, answered] = parts.map(Sample::new);
    floor.row("bare KVM floor");
    out.row("create: byte leaves the serial port");
    spawned.row("  of it, the waiting process is asked");
    born.row("  of it, its threads are announced");
    go.row("  of it, they are placed, and Go is said");
    answered.row("create: the answer is read");
    out.against("create / floor", &floor, GOAL);
}

/// Make one machine, and forget it. Times since the request: first byte, process asked, born, Go, answer.
fn one(connection: &mut Connection) -> [Duration; 5] {
    let body = json!({
        "memory": "64M", "vcpus": 1, "guest": { "tiny": ["print x", "exit"] },
        "groups": ["placement:/pen", "billing:/tenant"],
    });
    let answer = connection.post("/v1/machines/m", &body).ok();
    // Nothing is asked meanwhile.
    std::thread::sleep(REST);
    let machine = ended(connection);
    connection
        .ask("DELETE", "/v1/machines/m", "text/plain", "")
        .ok();
    let since = |after: Option<u64>| {
        let at = machine.spawned_ns + after.expect("it has been there");
        Duration::from_nanos(at - answer.asked_ns)
    };
    [
        since(machine.first_output_after_ns),
        since(Some(0)),
        since(machine.born_after_ns),
        since(machine.go_after_ns),
        answer.took(),
    ]
}

fn ended(connection: &mut Connection) -> Machine {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let machine: Machine = connection.get("/v1/machines/m").json();
        if machine.state == "ended" {
            return machine;
        }
        assert!(Instant::now() < deadline, "{machine:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
