//! A thread that uses all of one CPU that it gets, and what it got.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use container_core::{CpuSet, Tid};
use host::{Process, TaskDirectory, Thread, affinity};

/// It ends with this.
pub struct Busy {
    thread: Thread,
    is_over: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Busy {
    /// On the first CPU that we may use.
    pub fn start() -> Busy {
        let (tell, tids) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = is_over.clone();
        let worker = std::thread::spawn(move || {
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            tell.send(Tid(tid.unsigned_abs())).expect("it waits");
            while !ends.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let tid = tids.recv().expect("its tid");
        let allowed = host::resources().expect("the host tells").allowed_cpus;
        let cpu = CpuSet::from_iter(allowed.first());
        affinity::set(tid, &cpu).expect("a CPU that we may use");
        let process = Process::open(std::process::id()).expect("we live");
        let directory = TaskDirectory::open(&process).expect("we live");
        Busy {
            thread: directory.open_thread(tid).expect("it lives"),
            is_over,
            worker: Some(worker),
        }
    }

    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// CPU time that it has used, in nanoseconds, a tick behind at the most (/proc/PID/task/TID/schedstat).
    fn used(&self) -> u64 {
        let path = format!("/proc/self/task/{}/schedstat", self.thread.tid().0);
        let text = std::fs::read_to_string(path).expect("it lives");
        let first = text.split(' ').next();
        first
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// What each of these uses from now until all together have used so much, and how long that took; nanoseconds.
pub fn run<const N: usize>(all: &[Busy; N], until: u64) -> ([u64; N], u64) {
    let used = || std::array::from_fn(|index| all[index].used());
    let (before, at): ([u64; N], Instant) = (used(), Instant::now());
    loop {
        sleep(Duration::from_millis(20));
        let now: [u64; N] = used();
        let wall = at.elapsed();
        let since = std::array::from_fn(|index| now[index] - before[index]);
        if since.iter().sum::<u64>() >= until {
            return (
                since,
                u64::try_from(wall.as_nanos()).expect("not that long"),
            );
        }
        assert!(
            wall < Duration::from_secs(60),
            "only {since:?} ns in {wall:?}"
        );
    }
}
