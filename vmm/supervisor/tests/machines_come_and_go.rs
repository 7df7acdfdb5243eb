//! A supervisor whose machines come and go while it runs, all its actors real; what runs in a machine's place sleeps.
//! One test only: it counts the descriptors and children of its process.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use container_core::{Credentials, Framework, Nanoseconds};
use link::{Guest, MachineConfig};
use supervisor::keeper::{ChangeError, Order, Request};
use supervisor::{Config, MachineProgram, NewMachine, Notice, Placement, Restart, Supervisor};

const PATIENCE: Duration = Duration::from_secs(60);

fn machine() -> NewMachine {
    NewMachine {
        name: "web".parse().unwrap(),
        config: MachineConfig {
            name: "web".into(),
            memory_bytes: 1 << 20,
            vcpus: 1,
            guest: Guest::Tiny { script: vec![] },
            vsock: None,
        },
        placement: Placement::default(),
        agent: None,
        namespaces: host::Namespaces::NONE,
        restart: Restart::No,
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn order(supervisor: &Supervisor, order: Order) -> Result<(), ChangeError> {
    let (by, machine) = (Credentials::ROOT, "web".parse().unwrap());
    let given = supervisor.keeper().call(|reply| Request::Order {
        by,
        machine,
        order,
        reply,
    });
    given.unwrap()
}

fn until_ended(notices: &Receiver<Notice>) {
    loop {
        match notices.recv_timeout(PATIENCE).unwrap() {
            Notice::Event(event) if event.kind == "machine_ended" => return,
            _ => {}
        }
    }
}

#[test]
fn machines_that_come_and_go_leave_no_descriptor_and_no_zombie() {
    let (tell, notices) = channel();
    let supervisor = Supervisor::start(Config {
        framework: Framework::new(host::topology::resources().unwrap()),
        history: vec![],
        onlooker: Some(Arc::new(move |notice| drop(tell.send(notice)))),
        spent_before: Nanoseconds(0),
        withhold_go: Duration::ZERO,
        cpu_controller: supervisor::CpuController::Own,
        machine_program: Some(MachineProgram {
            path: "/bin/sleep".into(),
            args: vec!["600".into()],
            kvm: File::open("/dev/null").unwrap().into(),
        }),
    })
    .unwrap();
    let mut counts = Vec::new();
    for _ in 0..3 {
        let created = supervisor.keeper().call(|reply| Request::Create {
            by: Credentials::ROOT,
            machine: Box::new(machine()),
            replace: false,
            reply,
        });
        assert_eq!(created, Ok(Ok(())));
        for _ in 0..2 {
            order(&supervisor, Order::Kill).unwrap();
            until_ended(&notices);
            order(&supervisor, Order::Start).unwrap();
        }
        order(&supervisor, Order::Kill).unwrap();
        until_ended(&notices);
        let removed = supervisor.keeper().call(|reply| Request::Remove {
            by: Credentials::ROOT,
            machine: "web".parse().unwrap(),
            reply,
        });
        assert_eq!(removed, Ok(Ok(())));
        let state = supervisor.keeper().call(Request::State).unwrap();
        assert!(state.machines.is_empty() && state.idle);
        counts.push(settled());
    }
    // One process that waits is the only child, and what is held of it does not grow.
    assert_eq!(counts, [counts[0]; 3], "descriptors and children");
    assert_eq!(counts[0].1, 1);
    supervisor.end();
    assert_eq!(children(), 0);
}

/// Descriptors and children, once the runner has refilled and the wire has let go.
fn settled() -> (usize, usize) {
    let deadline = Instant::now() + PATIENCE;
    let mut last = (0, 0);
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = (descriptors(), children());
        if now == last || Instant::now() > deadline {
            return now;
        }
        last = now;
    }
}

/// Children of this process, zombies included.
fn children() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |thread: std::io::Result<std::fs::DirEntry>| {
        let path = thread.unwrap().path().join("children");
        std::fs::read_to_string(path).unwrap_or_default()
    };
    threads
        .map(|thread| of(thread).split_whitespace().count())
        .sum()
}
