//! A number that comes round again is somebody else.

use container_core::{CpuSet, Tid};
use host::{Counter, PinError, Process, TaskDirectory, fork_process};

/// A child whose pid is `pid`, if the kernel can be brought to it: it gives the number after the last
/// one it gave, and others start processes too.
fn child_with_pid(pid: u32) -> Option<Process> {
    for _ in 0..200 {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let child = sleeper();
        if child.pid() == pid {
            return Some(child);
        }
        bury(&child);
    }
    None
}

fn sleeper() -> Process {
    fork_process(&[], || {
        loop {
            std::thread::park();
        }
    })
    .expect("a fork")
}

fn bury(child: &Process) {
    child.kill().expect("our child");
    child.wait_without_reaping(false).expect("our child");
    child.reap().expect("a zombie");
}

pub fn a_reused_pid_is_not_followed() {
    let first = sleeper();
    let tid = Tid(first.pid());
    let tasks = TaskDirectory::open(&first).expect("it lives");
    let thread = tasks.open_thread(tid).expect("its main thread");
    let mut counter = Counter::baseline(&thread).expect("it lives");
    assert!(tasks.contains(tid).expect("it lives") && thread.is_alive());
    assert_eq!(tasks.tids().expect("it lives"), [tid]);

    first.kill().expect("our child");
    first.wait_without_reaping(false).expect("our child");
    assert!(!thread.is_alive(), "a zombie runs no more");
    first.reap().expect("a zombie");

    let Some(second) = child_with_pid(tid.0) else {
        return println!("skipped: pid {} could not be had again", tid.0);
    };
    let now = TaskDirectory::open(&second).expect("it lives");
    assert!(
        now.contains(tid).expect("it lives"),
        "the number is in use again"
    );
    let before = host::affinity::get(tid).expect("it lives");

    assert!(!tasks.contains(tid).expect("no is an answer"));
    assert!(tasks.tids().expect_err("the first is gone").is_ended());
    assert!(
        tasks
            .open_thread(tid)
            .expect_err("the first is gone")
            .is_ended()
    );
    assert!(!thread.is_alive());
    let elsewhere = CpuSet::from_iter(before.first());
    assert_eq!(thread.pin(&elsewhere), Err(PinError::Ended { tid }));
    assert!(
        thread
            .observed_cpus()
            .expect_err("the first is gone")
            .is_ended()
    );
    let last = counter.last();
    assert_eq!(counter.sample().expect("the last known"), last);
    assert!(TaskDirectory::open(&first).expect_err("reaped").is_ended());
    assert!(first.cpu_time().expect_err("reaped").is_ended());
    assert!(first.resident_bytes().expect_err("reaped").is_ended());
    assert_eq!(
        host::affinity::get(tid).expect("it lives"),
        before,
        "the newcomer is untouched"
    );
    bury(&second);
}
