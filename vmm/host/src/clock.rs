//! The clocks: time since boot, CPU time of processes, and the scheduler's tick.
#![allow(unsafe_code)]

use std::time::Duration;

use container_core::Nanoseconds;
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// Nanoseconds since boot, time asleep not counted (CLOCK_MONOTONIC). Does not enter the kernel.
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic)).0
}

/// CPU time of this process so far, all threads, the dead ones included.
pub fn own_cpu_time() -> Nanoseconds {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
}

/// The period of the scheduler's tick: 4 ms where the kernel is built with HZ=250.
///
/// The resolution of the coarse clock *is* the tick (`LOW_RES_NSEC` in the kernel's
/// kernel/time/posix-timers.c), which spares a search for the kernel's build configuration.
pub fn tick() -> Duration {
    Duration::from_nanos(nanoseconds(clock_getres(ClockId::MonotonicCoarse)).0)
}

/// The CPU clock of a process, which stands still once it is dead and is readable until it is reaped.
///
/// The number is looked up like any pid: the caller makes sure afterwards that it is still its own.
pub(crate) fn process_cpu_time(pid: u32) -> Result<Nanoseconds, Errno> {
    /// The scheduler's clock of a whole process (`CPUCLOCK_SCHED` in linux/posix-timers.h).
    const CPUCLOCK_SCHED: libc::clockid_t = 2;
    let pid = libc::clockid_t::try_from(pid).map_err(|_| Errno::SRCH)?;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that outlives the call; an unknown clock is an error.
    if unsafe { libc::clock_gettime((!pid << 3) | CPUCLOCK_SCHED, &mut time) } != 0 {
        // The clock id names the process, so an unknown process is an invalid clock.
        return Err(Errno::SRCH);
    }
    Ok(nanoseconds(Timespec {
        tv_sec: time.tv_sec,
        tv_nsec: time.tv_nsec,
    }))
}

/// None of these clocks is ever before its own zero.
fn nanoseconds(time: Timespec) -> Nanoseconds {
    Nanoseconds(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_is_one_that_linux_can_be_built_with() {
        let hertz = Duration::from_secs(1).as_nanos() / tick().as_nanos();
        assert!(
            [100, 250, 300, 1000].contains(&hertz),
            "{hertz} ticks a second"
        );
    }

    #[test]
    fn the_clock_of_a_process_by_number_is_its_own_clock() {
        let before = own_cpu_time();
        let by_number = process_cpu_time(std::process::id()).expect("our own clock");
        // Threads running at this moment are counted up to their last tick.
        assert!(by_number.0 + 100_000_000 >= before.0);
        assert_eq!(process_cpu_time(u32::MAX), Err(Errno::SRCH));
    }
}
