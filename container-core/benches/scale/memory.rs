//! Bytes a group and a task, from the resident set before and after many of them.

use crate::verdict;
use crate::village::Village;

const GROUPS: usize = 50_000;
const TASKS: usize = 100_000;

pub fn bench() {
    let paths = Village::paths(GROUPS);
    let before = resident();
    let mut village = Village::empty(paths);
    let after = resident();
    let a_group = (after - before) as f64 / GROUPS as f64;
    println!("memory: resident bytes, cpuset, cpuacct and debug mounted");
    println!(
        "  a group, of {GROUPS}: {a_group:.0}, {}",
        verdict(a_group, 1024.0)
    );
    // What the bench itself notes down is touched before.
    village.tasks = vec![(container_core::TaskId(0), 0); TASKS];
    village.tasks.clear();
    let before = resident();
    village.settle(TASKS);
    let after = resident();
    let a_task = (after - before) as f64 / TASKS as f64;
    println!(
        "  a task, of {TASKS}: {a_task:.0}, {}",
        verdict(a_task, 200.0)
    );
}

/// Of this process (proc(5), statm).
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap() * 4096
}
