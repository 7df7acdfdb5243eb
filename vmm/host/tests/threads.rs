//! Threads of this very process, held the way those of a machine are.
#![allow(unsafe_code)]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use container_core::{CpuSet, Tid};
use host::{
    Counter, Errno, ExactCounter, PinError, Process, TaskDirectory, Thread, affinity, cycles_from,
    tick,
};
use rustix::thread::gettid;

const LONG: Duration = Duration::from_secs(20);

/// A thread that does what it is told until it is let go.
struct Worker {
    tid: Tid,
    handle: JoinHandle<()>,
    go: Sender<()>,
}

impl Worker {
    fn start(name: &str, work: impl Fn(&Receiver<()>) + Send + 'static) -> Worker {
        let ((tell, tids), (go, gone)) = (channel(), channel());
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                tell.send(own_tid()).expect("it waits");
                work(&gone);
            })
            .expect("a thread");
        Worker {
            tid: tids.recv_timeout(LONG).expect("its tid"),
            handle,
            go,
        }
    }

    fn idle(name: &str) -> Worker {
        Worker::start(name, |gone| while gone.recv().is_ok() {})
    }

    fn burning(name: &str) -> Worker {
        Worker::start(name, |gone| {
            while gone.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {}
        })
    }

    fn hold(&self) -> Thread {
        own_tasks().open_thread(self.tid).expect("it lives")
    }

    /// Let it end, and wait until the kernel has forgotten it.
    fn end(self, thread: &Thread) {
        drop(self.go);
        self.handle.join().expect("no panic");
        let give_up = Instant::now() + LONG;
        while thread.is_alive() {
            assert!(Instant::now() < give_up);
            std::thread::yield_now();
        }
    }
}

fn own_tid() -> Tid {
    Tid(gettid().as_raw_nonzero().get().unsigned_abs())
}

fn own_tasks() -> TaskDirectory {
    TaskDirectory::open(&Process::open(std::process::id()).expect("ourselves")).expect("ourselves")
}

fn allowed() -> CpuSet {
    host::resources().expect("this host").allowed_cpus
}

fn only(cpu: u32) -> CpuSet {
    CpuSet::from_iter([cpu])
}

/// Ourselves to the first CPU, the thread to the last.
fn part(thread: &Thread) {
    let cpus = allowed();
    let ends = (
        cpus.first().expect("a CPU"),
        cpus.iter().last().expect("a CPU"),
    );
    affinity::set(own_tid(), &only(ends.0)).expect("ourselves");
    thread.pin(&only(ends.1)).expect("it lives");
}

/// Exact, and only a process can read it of its own threads.
fn clock_of_own_thread(tid: Tid) -> u64 {
    /// The scheduler's clock of one thread (`CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD_MASK`).
    const THREAD_CLOCK: libc::clockid_t = 6;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that outlives the call.
    let outcome = unsafe { libc::clock_gettime((!(tid.0 as i32) << 3) | THREAD_CLOCK, &mut time) };
    assert_eq!(outcome, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[test]
fn a_pin_reads_back_what_is_in_force() {
    let worker = Worker::idle("pinned");
    let thread = worker.hold();
    for cpu in allowed().iter() {
        assert_eq!(thread.pin(&only(cpu)), Ok(only(cpu)));
        assert_eq!(thread.observed_cpus().expect("it lives"), only(cpu));
    }
    affinity::set(worker.tid, &allowed()).expect("it lives");
    assert_eq!(affinity::get(worker.tid).expect("it lives"), allowed());
    assert_eq!(thread.comm().expect("it lives"), "pinned");
    worker.end(&thread);
}

#[test]
fn a_dead_thread_has_ended_for_every_call() {
    let worker = Worker::idle("ended");
    let (tid, thread) = (worker.tid, worker.hold());
    let tasks = own_tasks();
    assert!(tasks.contains(tid).expect("proc") && tasks.tids().expect("proc").contains(&tid));
    let mut counter = Counter::baseline(&thread).expect("it lives");
    worker.end(&thread);

    assert_eq!(thread.pin(&allowed()), Err(PinError::Ended { tid }));
    assert!(thread.observed_cpus().expect_err("dead").is_ended());
    assert!(thread.comm().expect_err("dead").is_ended());
    assert!(!tasks.contains(tid).expect("proc"));
    assert!(tasks.open_thread(tid).expect_err("dead").is_ended());
    let last = counter.last();
    assert_eq!(counter.exact().expect("the last known"), last);
}

#[test]
fn a_mask_that_is_taken_in_part_is_told_from_one_that_is_taken() {
    let first = allowed().first().expect("a CPU");
    let absent = 1023;
    let worker = Worker::idle("partial");
    let (tid, thread) = (worker.tid, worker.hold());
    let wanted = Box::new(CpuSet::from_iter([first, absent]));
    let observed = Box::new(only(first));
    assert_eq!(
        thread.pin(&wanted),
        Err(PinError::Partial {
            tid,
            wanted,
            observed
        })
    );
    let wanted = Box::new(only(absent));
    let refusal = thread.pin(&wanted).expect_err("no such CPU");
    assert_eq!(
        refusal,
        PinError::Refused {
            tid,
            wanted,
            errno: Errno::INVAL
        }
    );
    assert_eq!(
        thread.observed_cpus().expect("it lives"),
        only(first),
        "the last mask stands"
    );
    worker.end(&thread);
}

#[test]
fn a_thread_of_another_process_is_not_in_the_directory() {
    let tasks = own_tasks();
    assert!(!tasks.contains(Tid(1)).expect("proc"));
    assert!(tasks.open_thread(Tid(1)).expect_err("init's").is_ended());
    assert!(!tasks.contains(Tid(0)).expect("proc"));
    assert!(
        affinity::set(Tid(0), &allowed())
            .expect_err("nobody, not ourselves")
            .is_ended()
    );
    assert!(
        ExactCounter::open(Tid(0))
            .expect_err("nobody, not ourselves")
            .is_ended()
    );
}

#[test]
fn a_count_of_another_thread_is_not_taken() {
    let worker = Worker::idle("counted");
    let thread = worker.hold();
    let mut counter = Counter::baseline(&thread).expect("it lives");
    counter.attach_exact(ExactCounter::open(own_tid()).expect("perf"));
    assert!(!counter.is_exact());
    counter.attach_exact(ExactCounter::open(worker.tid).expect("perf"));
    assert!(counter.is_exact());
    worker.end(&thread);
}

#[test]
fn a_burning_thread_is_read_between_its_ticks() {
    // Apart, so that our own waking does not make the scheduler sum up what it has run.
    let worker = Worker::burning("burning");
    let thread = worker.hold();
    part(&thread);
    let mut counter = Counter::baseline(&thread).expect("it lives");
    counter.attach_exact(ExactCounter::open(worker.tid).expect("perf"));
    let (mut samples, mut readings) = (Vec::new(), Vec::new());
    for _ in 0..400 {
        samples.push(counter.sample().expect("it lives").usage);
        readings.push(counter.exact().expect("it lives").usage);
        assert!(readings.last() >= samples.last());
        std::thread::sleep(Duration::from_micros(100));
    }
    assert!(readings.is_sorted() && samples.is_sorted());
    let distinct = |mut values: Vec<_>| {
        values.dedup();
        values.len()
    };
    println!(
        "of 400: {} samples differ, {} readings",
        distinct(samples.clone()),
        distinct(readings.clone())
    );
    assert!(
        distinct(readings.clone()) > 40,
        "an exact reading does not wait for the tick"
    );
    let behind = readings
        .iter()
        .zip(&samples)
        .map(|(exact, sample)| exact.0 - sample.0);
    println!(
        "samples were behind by up to {} ns, the tick is {:?}",
        behind.max().unwrap_or(0),
        tick()
    );
    assert!(cycles_from(readings[399], 2_000_000).0 == readings[399].0 * 2);
    worker.end(&thread);
}

/// The kernel sums up what a running thread has used when its mask changes, so a reading right after a
/// move is right to the time since, whatever a hypervisor above us has stolen before.
#[test]
fn a_reading_after_a_move_is_as_the_thread_itself_would_read_it() {
    let cpus = allowed();
    let last = only(cpus.iter().last().expect("a CPU"));
    if cpus == last {
        return println!("skipped: there is one CPU");
    }
    let worker = Worker::burning("moved");
    let thread = worker.hold();
    part(&thread);
    let mut counter = Counter::baseline(&thread).expect("it lives");
    counter.attach_exact(ExactCounter::open(worker.tid).expect("perf"));
    let mut off = Vec::new();
    for round in 0..50 {
        std::thread::sleep(Duration::from_millis(3));
        let start = host::monotonic_ns();
        let (_, written) = thread
            .pin_and_read(if round % 2 == 0 { &cpus } else { &last })
            .expect("may");
        let reading = counter.at_move(written).usage;
        let truth = clock_of_own_thread(worker.tid);
        let took = host::monotonic_ns() - start;
        assert!(
            truth >= reading.0.saturating_sub(took),
            "{truth} read as {reading}, in {took} ns"
        );
        off.push(truth.abs_diff(reading.0));
    }
    off.sort_unstable();
    println!(
        "a reading after a move is off by {} ns (median), {} ns (worst)",
        off[25], off[49]
    );
    worker.end(&thread);
}

#[test]
fn a_thread_that_is_confined_to_a_cpu_is_found_there_and_its_time_is_user_time() {
    let worker = Worker::burning("where");
    let thread = worker.hold();
    let all = thread.observed_cpus().expect("it lives");
    let give_up = Instant::now() + LONG;
    for cpu in all.iter() {
        thread
            .pin(&CpuSet::from_iter([cpu]))
            .expect("it may run there");
        let before = thread.whereabouts().expect("it lives").user_ticks;
        loop {
            let found = thread.whereabouts().expect("it lives");
            if found.cpu == cpu && found.user_ticks > before {
                break;
            }
            assert!(Instant::now() < give_up, "{found:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    worker.end(&thread);
    assert!(thread.whereabouts().is_err());
}
