//! The bill of one thread.
//!
//! The kernel keeps a thread's CPU time in two books, and neither is the bill by itself.
//!
//! **S**, the first number of `/proc/PID/task/TID/schedstat`, is the scheduler's own
//! `sum_exec_runtime`: the numbers that the process CPU clock adds up, and so the currency of the
//! witness a machine's bill is held against. The scheduler writes it down at its tick and whenever the
//! thread leaves a CPU. Of a sleeping thread it is exact; of a running one it is behind the truth T
//! by up to one tick, 4 ms where HZ=250. Reading it disturbs nobody and takes a microsecond. With the
//! thread it is gone.
//!
//! **P**, a perf task-clock, goes on while the thread runs, and reading it sends one interrupt to the
//! CPU it runs on. It stays readable after death. But it runs on the raw clock and starts and stops a
//! little to the side of the scheduler. Time that a hypervisor above us stole is in P and not in T
//! (PARAVIRT_TIME_ACCOUNTING). What a context switch takes is in T and not in P: 0.2 µs from thread to thread,
//! 12 µs measured where an idle virtual CPU is woken.
//!
//! So a reading is P + offset, with an offset that holds for a while and is learnt again at every
//! chance. [`Counter::exact`] reads S, P and S again, in this order, and there are three cases:
//!
//! 1. *The thread rests.* Where two readings of P, one on either side of the second S, are equal, the
//!    thread was off the CPU all along (P counts every nanosecond of a running one). Then S = T: the reading is
//!    S, and the offset is S - P, exactly. The second reading of P would be another interrupt to a
//!    running thread, so it is made only where the first came back too quickly to have sent one. The
//!    time is a hint; the proof is that the counts are equal.
//! 2. *The thread may run.* T was no less than the first S when P was read, and no more than the second S
//!    plus one tick. The offset is moved into that interval by the least that it takes.
//! 3. *The thread is dead.* S is gone, P + offset is what remains. It is held below what the last S
//!    allows: one tick and the wall time since. A process's main thread is an exception: its S stays
//!    readable, and exact, until the process is reaped.
//!
//! A reading never goes back: where a corrected offset would lower it, the last one stands until
//! the truth has caught up.
//!
//! How good is it? Once the thread has been seen at rest (every thread has, before its `Go`), a reading lacks
//! what its switches took since it was last seen so; and with steal the offset of a thread that never rests
//! is off by what was stolen since the last reading, and corrected to within one tick at the next. At the end
//! of a machine the witness knows better: [`settle`](crate::settle).
//!
//! A move mends even that: the scheduler sums up what a running thread has used when its mask changes.
//! So S is behind by no more than the time since: [`Counter::exact_after_move`].
//!
//! [`Counter::sample`] reads S alone: no interrupt, one tick behind at most. But of a thread that is switched all
//! the time it reads P too, once in [`REFIT_SWITCHES`] switches, so that its death finds the offset fresh: one
//! interrupt among as many switches is nothing, and a thread that has its CPU for itself is not switched.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use container_core::{Nanoseconds, Tid};
use rustix::io::{Errno, pread};

use crate::fit::Fit;
use crate::{ExactCounter, HostError, Settlement, Thread, monotonic_ns, tick};

/// A perf reading that took less has sent no interrupt to another CPU: 0.5 µs against 10 µs here.
const QUICK_NS: u64 = 3_000;

/// So often a thread is switched before [`Counter::sample`] learns its offset again: 0.4 ms of switches at their
/// worst.
pub const REFIT_SWITCHES: u64 = 32;

/// What a thread has used since its birth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterReading {
    /// CPU time, in guest mode too.
    pub usage: Nanoseconds,
    /// Time it was ready to run and waited for a CPU.
    pub wait: Nanoseconds,
    /// How often it was put on a CPU.
    pub timeslices: u64,
}

/// Reads one thread's bill: from its schedstat, and exactly where a perf count is attached.
///
/// Has the thread's schedstat file in common with its [`Thread`], which need not be kept.
#[derive(Debug)]
pub struct Counter {
    tid: Tid,
    schedstat: Arc<OwnedFd>,
    exact: Option<ExactCounter>,
    fit: Fit,
    /// How often the thread had been put on a CPU when the offset was last learnt.
    fitted_timeslices: u64,
    /// The highest reading given out.
    last: CounterReading,
    /// The last S, and when it was read.
    written_ns: u64,
    written_at_ns: u64,
    has_ended: bool,
}

impl Counter {
    /// Begin, from schedstat alone: the time since the thread's birth is in the first reading.
    ///
    /// # Errors
    /// [`HostError::Ended`] where the thread is dead; ENOENT on a kernel without schedstat.
    pub fn baseline(thread: &Thread) -> Result<Self, HostError> {
        let mut counter = Counter {
            tid: thread.tid(),
            schedstat: thread.schedstat(),
            exact: None,
            fit: Fit::default(),
            fitted_timeslices: 0,
            last: CounterReading::default(),
            written_ns: 0,
            written_at_ns: 0,
            has_ended: false,
        };
        match counter.read_schedstat()? {
            Some(written) => counter.last = written,
            None => return Err(HostError::of_thread("pread", counter.tid, Errno::SRCH)),
        }
        Ok(counter)
    }

    /// Read exactly from now on. What was used before the count was opened is billed from schedstat.
    ///
    /// A count is opened by thread id: it is taken only if the thread still lives, for then the id was its own.
    /// Where it does not, or where the count is another thread's, the bill stays as it is; see
    /// [`is_exact`](Counter::is_exact).
    pub fn attach_exact(&mut self, exact: ExactCounter) {
        let is_ours = exact.tid() == self.tid && matches!(self.read_schedstat(), Ok(Some(_)));
        if is_ours {
            self.exact = Some(exact);
            self.fit = Fit::default();
            // Fits the offset. A failure shows at the next reading, where somebody asks for one.
            let _ = self.exact();
        }
    }

    /// Whether a perf count is attached.
    pub fn is_exact(&self) -> bool {
        self.exact.is_some()
    }

    /// Read without disturbing the thread, at most one tick behind; one that is switched all the time is read
    /// exactly now and then ([`REFIT_SWITCHES`]). After its death: what
    /// [`exact`](Counter::exact) says.
    ///
    /// # Errors
    /// [`HostError::Malformed`] where schedstat is not what proc(5) says.
    pub fn sample(&mut self) -> Result<CounterReading, HostError> {
        match self.read_schedstat()? {
            Some(written) if self.wants_fit(written.timeslices) => self.exact(),
            Some(written) => Ok(self.advance(written.usage.0, written)),
            None => self.after_death(),
        }
    }

    /// Read as exactly as can be: see the head of this module. Without a perf count the same as
    /// [`sample`](Counter::sample). After death: the last count, and without one the last reading.
    ///
    /// # Errors
    /// As [`sample`](Counter::sample), or what reading the perf count returns.
    pub fn exact(&mut self) -> Result<CounterReading, HostError> {
        if self.exact.is_none() {
            return self.sample();
        }
        let Some(before) = self.read_schedstat()? else {
            return self.after_death();
        };
        let start = monotonic_ns();
        let count = self.count()?;
        let is_quick = monotonic_ns() - start < QUICK_NS;
        let Some(after) = self.read_schedstat()? else {
            return self.after_death();
        };
        self.fitted_timeslices = after.timeslices;
        let usage = if is_quick && before.usage == after.usage && self.count()? == count {
            self.fit.resting(after.usage.0, count)
        } else {
            self.fit
                .running(before.usage.0, count, after.usage.0, max_stale_ns())
        };
        Ok(self.advance(usage, after))
    }

    /// Take what [`Thread::pin_and_read`] has read as an exact reading: what the thread had used when its mask
    /// was changed, to the nanosecond and without an interrupt.
    ///
    /// The caller vouches for the change: a pin to the very mask that was in force makes the scheduler sum
    /// up nothing, and then the reading may be up to a tick too low.
    pub fn at_move(&mut self, written: CounterReading) -> CounterReading {
        (self.written_ns, self.written_at_ns) = (written.usage.0, monotonic_ns());
        self.advance(written.usage.0, written)
    }

    /// What schedstat last said, without a new look: the thread's part in the process clock of that moment, be
    /// it less than what has been given out.
    pub fn written(&self) -> Nanoseconds {
        Nanoseconds(self.written_ns)
    }

    /// The last reading given out, without a new one.
    pub fn last(&self) -> CounterReading {
        self.last
    }

    /// The final word on a dead thread, for [`settle`](crate::settle): what was billed so far, and what
    /// should be. To be called in place of a last [`exact`](Counter::exact).
    ///
    /// # Errors
    /// As [`exact`](Counter::exact).
    pub fn settlement(&mut self) -> Result<Settlement, HostError> {
        let billed = self.last.usage;
        Ok(Settlement {
            billed,
            estimate: self.exact()?.usage,
        })
    }

    fn wants_fit(&self, timeslices: u64) -> bool {
        self.is_exact() && timeslices - self.fitted_timeslices.min(timeslices) >= REFIT_SWITCHES
    }

    fn count(&self) -> Result<u64, HostError> {
        self.exact
            .as_ref()
            .map_or(Ok(0), |exact| exact.count().map(|count| count.0))
    }

    fn after_death(&mut self) -> Result<CounterReading, HostError> {
        if self.exact.is_some() && !self.has_ended {
            let since = monotonic_ns().saturating_sub(self.written_at_ns);
            let most = self
                .written_ns
                .saturating_add(max_stale_ns())
                .saturating_add(since);
            let usage = self.fit.estimate(self.count()?).min(most);
            self.advance(usage, self.last);
        }
        self.has_ended = true;
        Ok(self.last)
    }

    fn advance(&mut self, usage_ns: u64, counts: CounterReading) -> CounterReading {
        self.last = CounterReading {
            usage: self.last.usage.max(Nanoseconds(usage_ns)),
            wait: counts.wait,
            timeslices: counts.timeslices,
        };
        self.last
    }

    /// S, wait and timeslices; None once the thread is gone.
    fn read_schedstat(&mut self) -> Result<Option<CounterReading>, HostError> {
        let mut buffer = [0u8; 80];
        let length = match pread(&*self.schedstat, &mut buffer, 0) {
            Ok(length) => length,
            Err(Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(HostError::of_thread("pread", self.tid, errno)),
        };
        let reading = parse(&buffer[..length]).ok_or_else(|| {
            let text = String::from_utf8_lossy(&buffer[..length]);
            let file = format!("schedstat of thread {}", self.tid.0);
            HostError::malformed(file, text.trim(), "three numbers")
        })?;
        (self.written_ns, self.written_at_ns) = (reading.usage.0, monotonic_ns());
        Ok(Some(reading))
    }
}

/// `CPU-time wait timeslices` (Documentation/scheduler/sched-stats.rst).
pub(crate) fn parse(text: &[u8]) -> Option<CounterReading> {
    let mut numbers = std::str::from_utf8(text)
        .ok()?
        .split_ascii_whitespace()
        .map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    Some(CounterReading {
        usage: Nanoseconds(next()?),
        wait: Nanoseconds(next()?),
        timeslices: next()?,
    })
}

/// How far S can be behind: one tick, or a second where CPUs run without one (nohz_full), for the
/// kernel then writes down what they do once a second (`sched_tick_remote`).
fn max_stale_ns() -> u64 {
    static MAX_STALE_NS: OnceLock<u64> = OnceLock::new();
    *MAX_STALE_NS.get_or_init(|| {
        let tickless = fs::read_to_string("/sys/devices/system/cpu/nohz_full").unwrap_or_default();
        let is_tickless = tickless.starts_with(|first: char| first.is_ascii_digit());
        tick().as_nanos() as u64 + if is_tickless { 1_000_000_000 } else { 0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Process, TaskDirectory};

    #[test]
    fn schedstat_is_three_numbers() {
        let reading = parse(b"4000123 77 9\n").expect("well formed");
        assert_eq!(reading.usage, Nanoseconds(4_000_123));
        assert_eq!(reading.wait, Nanoseconds(77));
        assert_eq!(reading.timeslices, 9);
        for text in ["", "1 2", "1 2 x", "-1 2 3"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_sample_learns_the_offset_again_only_of_a_thread_that_is_switched() {
        let (tell, tids) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let napper = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid()).expect("it waits");
            // Every message is a nap; the end of them is the end.
            wait.iter()
                .for_each(|()| std::thread::sleep(std::time::Duration::from_micros(50)));
        });
        let tid = Tid(tids
            .recv()
            .expect("its tid")
            .as_raw_nonzero()
            .get()
            .unsigned_abs());
        let own = Process::open(std::process::id()).expect("ourselves");
        let tasks = TaskDirectory::open(&own).expect("ourselves");
        let mut counter =
            Counter::baseline(&tasks.open_thread(tid).expect("it lives")).expect("it lives");
        counter.attach_exact(ExactCounter::open(tid).expect("perf"));

        let fitted = counter.fitted_timeslices;
        counter.sample().expect("it lives");
        assert_eq!(counter.fitted_timeslices, fitted, "nothing to learn");
        (0..REFIT_SWITCHES).for_each(|_| go.send(()).expect("it naps"));
        let give_up = monotonic_ns() + 20_000_000_000;
        while counter.fitted_timeslices == fitted {
            assert!(monotonic_ns() < give_up);
            counter.sample().expect("it lives");
        }
        assert!(counter.fitted_timeslices >= fitted + REFIT_SWITCHES);
        drop(go);
        napper.join().expect("no panic");
    }
}
