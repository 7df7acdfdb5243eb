//! mkdir + rmdir and attach, by the library and by the kernel's cgroup-v1 files, in turn.
//!
//! The kernel's side makes a scratch cpuset, writes into it the id of one thread of this process, in
//! decimal, and leaves nothing behind.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use container_core::*;

use crate::cage::Cage;
use crate::village::{GROUPS, Village};
use crate::{Sample, verdict};

const ROUNDS: usize = 100;

/// Operations of one side before the other has its turn: each finds its own data in the caches.
const A_TURN: usize = 20;

/// How many times faster the library is to be.
const GOAL: f64 = 10.0;

pub fn bench() {
    println!("kernel: the library beside cgroup-v1 files, ns each, median of {ROUNDS}");
    let own = std::fs::read_to_string("/sys/fs/cgroup/cpuset/cpuset.cpus").unwrap_or_default();
    let (Some(one), Some(other)) = (Cage::with_cpus(own.trim()), Cage::with_cpus(own.trim()))
    else {
        return;
    };
    let mut village = Village::empty(Village::paths(GROUPS));
    village.settle(1_000);
    let group: GroupPath = "place:/street0/new".parse().unwrap();
    let [mkdir, rmdir] = [
        Command::Mkdir {
            group: group.clone(),
        },
        Command::Rmdir { group },
    ];
    let directory = one.path().join("new");
    let (mut kernels, mut ours) = (Sample::default(), Sample::default());
    for _ in 0..ROUNDS {
        kernels.0.push(turn(|_| {
            std::fs::create_dir(&directory).unwrap();
            std::fs::remove_dir(&directory).unwrap();
        }));
        ours.0.push(turn(|_| {
            village.run(mkdir.clone());
            village.run(rmdir.clone());
        }));
    }
    row("mkdir + rmdir", &kernels, &ours);

    let (mut kernels, mut ours) = (Sample::default(), Sample::default());
    let thread = Resting::start();
    let files = [&other, &one].map(|cage| {
        let tasks = cage.path().join("tasks");
        OpenOptions::new().write(true).open(tasks).unwrap()
    });
    let tid = thread.tid.to_string();
    one.put_thread(thread.tid);
    let (task, home) = village.tasks[0];
    for _ in 0..ROUNDS {
        kernels.0.push(turn(|step| {
            files[step % 2].write_at(tid.as_bytes(), 0).unwrap();
        }));
        ours.0.push(turn(|step| {
            let group = village.groups[[home + 1, home][step % 2]].clone();
            village.run(Command::Attach { group, task });
        }));
    }
    row("attach", &kernels, &ours);
}

fn row(name: &str, kernels: &Sample, ours: &Sample) {
    let (kernels, ours) = (kernels.median(), ours.median());
    let times = kernels / ours;
    let verdict = verdict(GOAL / times, 1.0).replace("at most 1", "10 times");
    println!(
        "  {name:<16} kernel {kernels:>8.0}  library {ours:>6.0}  {times:.0} times faster, {verdict}"
    );
}

/// One side's turn, in ns an operation.
fn turn(operation: impl FnMut(usize)) -> f64 {
    let began = Instant::now();
    (0..A_TURN).for_each(operation);
    began.elapsed().as_nanos() as f64 / A_TURN as f64
}

/// A thread of our own that sleeps until it is dropped.
struct Resting {
    tid: u32,
    end: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Resting {
    fn start() -> Resting {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            // /proc/thread-self is PID/task/TID.
            let own = std::fs::read_link("/proc/thread-self").unwrap();
            let tid = own.file_name().and_then(|name| name.to_str()?.parse().ok());
            tell.send(tid.unwrap()).unwrap();
            let _ = ended.recv();
        });
        Resting {
            tid: told.recv().unwrap(),
            end: Some(end),
            thread: Some(thread),
        }
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}
