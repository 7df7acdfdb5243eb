//! A child whose threads wait for a go, work, and report their own CPU time with their last breath.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use container_core::{CpuSet, Nanoseconds, Tid};
use host::{
    Counter, ExactCounter, Process, Settlement, TaskDirectory, Thread, fork_process, settle,
};
use rustix::time::{ClockId, clock_gettime};

/// What a thread does between its go and its end.
#[derive(Clone, Copy)]
pub enum Work {
    /// Use this much CPU time.
    Burn(Duration),
    /// So many rounds of a little CPU time and a little sleep.
    Nap {
        rounds: u32,
        burn: Duration,
        sleep: Duration,
    },
    /// Wait for the kill.
    Forever,
}

pub struct Member {
    pub thread: Thread,
    pub counter: Counter,
}

pub struct Crew {
    pub process: Process,
    /// All but the main thread, by tid.
    pub members: Vec<Member>,
    main: Counter,
    tell: PipeWriter,
    reports: PipeReader,
}

/// What came of it, all in nanoseconds.
pub struct Outcome {
    pub witness: i64,
    /// What each member is estimated to have used.
    pub estimates: Vec<Nanoseconds>,
    /// Final estimate less what the thread itself reported just before its end, by member.
    pub errors: Vec<i64>,
    /// The same of the settled usage.
    pub settled_errors: Vec<i64>,
    /// Witness less all estimates.
    pub unseen: i64,
    pub residual: i64,
    pub overbilled: i64,
}

fn thread_cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn burn(time: Duration) {
    let end = thread_cpu_time() + time;
    while thread_cpu_time() < end {
        std::hint::black_box((0..500).fold(0u64, |sum, number| sum ^ std::hint::black_box(number)));
    }
}

fn work(work: Work) {
    match work {
        Work::Burn(time) => burn(time),
        Work::Nap {
            rounds,
            burn: busy,
            sleep,
        } => (0..rounds).for_each(|_| {
            burn(busy);
            std::thread::sleep(sleep);
        }),
        Work::Forever => loop {
            burn(Duration::from_secs(1));
        },
    }
}

impl Crew {
    /// Start a child of so many threads beside its main thread, all waiting and all counted.
    pub fn start(threads: usize, kind: Work) -> Crew {
        let (go, tell) = pipe().expect("a pipe");
        let (reports, report) = pipe().expect("a pipe");
        let process = fork_process(&[go.as_fd(), report.as_fd()], || {
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        let _ = (&go).read(&mut [0]);
                        work(kind);
                        let mut line = [0; 16];
                        let tid = rustix::thread::gettid().as_raw_nonzero().get() as u64;
                        line[..8].copy_from_slice(&tid.to_ne_bytes());
                        let used = thread_cpu_time().as_nanos() as u64;
                        line[8..].copy_from_slice(&used.to_ne_bytes());
                        let _ = (&report).write_all(&line);
                    });
                }
            });
            0
        })
        .expect("a fork");
        let tasks = TaskDirectory::open(&process).expect("it lives");
        let give_up = Instant::now() + Duration::from_secs(20);
        let tids = loop {
            let tids = tasks.tids().expect("it lives");
            if tids.len() == threads + 1 {
                break tids;
            }
            assert!(Instant::now() < give_up, "only {tids:?}");
            std::thread::sleep(Duration::from_millis(1));
        };
        // Give them the time to fall asleep on the pipe.
        std::thread::sleep(Duration::from_millis(5));
        let main_tid = Tid(process.pid());
        let member = |tid: Tid| {
            let thread = tasks.open_thread(tid).expect("it waits");
            let mut counter = Counter::baseline(&thread).expect("it waits");
            counter.attach_exact(ExactCounter::open(tid).expect("perf"));
            assert!(counter.is_exact());
            Member { thread, counter }
        };
        let members = tids
            .iter()
            .filter(|tid| **tid != main_tid)
            .map(|tid| member(*tid))
            .collect();
        Crew {
            process,
            members,
            main: member(main_tid).counter,
            tell,
            reports,
        }
    }

    pub fn go(&mut self) {
        self.tell
            .write_all(&vec![0; self.members.len()])
            .expect("they wait");
    }

    pub fn pin(&self, member: usize, cpus: &CpuSet) {
        self.members[member]
            .thread
            .pin(cpus)
            .expect("it lives and may");
    }

    /// Wait for the end, close the bill, and compare.
    pub fn finish(mut self) -> Outcome {
        assert!(super::forks::dies_within(
            &self.process,
            Duration::from_secs(60)
        ));
        let witness = self.process.cpu_time().expect("a zombie");
        let mut parts: Vec<Settlement> = Vec::new();
        for member in &mut self.members {
            parts.push(member.counter.settlement().expect("its count stays"));
            let again = member.counter.exact().expect("its count stays");
            assert_eq!(
                again.usage,
                parts[parts.len() - 1].estimate,
                "the dead use nothing"
            );
        }
        parts.push(self.main.settlement().expect("a zombie's schedstat stays"));
        let settled = settle(witness, &parts);
        let settled_sum: u64 = settled.usages.iter().map(|usage| usage.0).sum();
        assert_eq!(
            settled_sum + settled.residual.0,
            witness.0 + settled.overbilled.0
        );
        self.process.reap().expect("a zombie");
        drop(self.tell);

        let mut text = Vec::new();
        // Nobody has the other end any more but the dead.
        self.reports.read_to_end(&mut text).expect("reports");
        let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
        let own: Vec<(u64, u64)> = text
            .chunks(16)
            .map(|line| (number(&line[..8]), number(&line[8..])))
            .collect();
        let error = |member: &Member, usage: Nanoseconds| {
            let tid = u64::from(member.thread.tid().0);
            let own = own.iter().find(|(of, _)| *of == tid)?.1;
            Some(usage.0 as i64 - own as i64)
        };
        let errors = self.members.iter().zip(&parts);
        let settled_errors = self.members.iter().zip(&settled.usages);
        let sum: Nanoseconds = Nanoseconds(parts.iter().map(|part| part.estimate.0).sum());
        Outcome {
            witness: witness.0 as i64,
            estimates: parts[..self.members.len()]
                .iter()
                .map(|part| part.estimate)
                .collect(),
            errors: errors
                .filter_map(|(member, part)| error(member, part.estimate))
                .collect(),
            settled_errors: settled_errors
                .filter_map(|(m, usage)| error(m, *usage))
                .collect(),
            unseen: witness.0 as i64 - sum.0 as i64,
            residual: settled.residual.0 as i64,
            overbilled: settled.overbilled.0 as i64,
        }
    }
}
