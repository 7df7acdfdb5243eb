//! The kernel's own word on threads, read from /proc beside the program under test.

use std::fs;
use std::time::{Duration, Instant};

use container_core::CpuSet;

use management::Report;

use super::{PATIENCE, Run};

/// All threads of a process.
pub fn threads(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// `Cpus_allowed_list` of a thread.
pub fn affinity(pid: u32, tid: u32) -> Option<CpuSet> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().parse().ok()
}

/// CPU time of a thread in nanoseconds, exact when it sleeps.
pub fn cpu_time(pid: u32, tid: u32) -> u64 {
    schedstat(pid, tid, 0)
}

/// Time for which a thread was ready and had no CPU, in nanoseconds, without the wait under way.
pub fn wait_time(pid: u32, tid: u32) -> u64 {
    schedstat(pid, tid, 1)
}

fn schedstat(pid: u32, tid: u32, field: usize) -> u64 {
    let schedstat =
        fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).expect("a live thread");
    schedstat
        .split_whitespace()
        .nth(field)
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// Every thread of every running machine is reported, and the kernel's mask of each is the one asked for.
pub fn assert_all_pinned(run: &mut Run) {
    assert_pinned(&run.report());
}

/// The same of a report that has just been made, whoever made it.
pub fn assert_pinned(report: &Report) {
    for machine in report
        .machines
        .iter()
        .filter(|machine| machine.state == "running")
    {
        for tid in threads(machine.pid) {
            let Some(observed) = affinity(machine.pid, tid) else {
                continue;
            }; // ended meanwhile
            let found = report
                .tasks
                .iter()
                .find(|task| task.tid == tid && task.alive);
            let task =
                found.unwrap_or_else(|| panic!("{}: thread {tid} is unreported", machine.name));
            assert_eq!(observed.to_string(), task.requested_cpus, "{}", task.name);
            assert_eq!(task.observed_cpus, task.requested_cpus, "{}", task.name);
        }
    }
}

/// Wait, within bounds, until something holds.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
