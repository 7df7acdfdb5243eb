//! The arithmetic of an exact reading, apart from the files it is read from: see [`crate::Counter`].

/// What the scheduler's number is behind a continuous count, learnt from readings of both.
///
/// All quantities are nanoseconds. With T the CPU time that the scheduler would state if it were asked
/// to sum up now, S what it last wrote down, and P the continuous count, the fit keeps an offset for
/// which T = P + offset, as nearly as the readings tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fit {
    /// None before the first reading.
    offset: Option<i64>,
}

impl Fit {
    /// T of a thread that may run: P was read between `before` and `after`, two readings of S, and S is
    /// behind T by no more than `max_stale`.
    ///
    /// T was at least `before` when P was read, and at most `after` + `max_stale`. The offset is moved into
    /// that interval, by the least that it takes; so each reading narrows what the next may be, and a
    /// drift of P in either direction is followed. Nothing known, the lower end is taken: it is what the
    /// scheduler vouches for.
    pub(crate) fn running(&mut self, before: u64, count: u64, after: u64, max_stale: u64) -> u64 {
        let least = signed(before) - signed(count);
        let most = signed(after) + signed(max_stale) - signed(count);
        let offset = self
            .offset
            .map_or(least, |offset| offset.clamp(least, most));
        self.offset = Some(offset);
        self.estimate(count).max(after)
    }

    /// T of a thread that was off the CPU while S and P were read: there S is exact.
    pub(crate) fn resting(&mut self, sched: u64, count: u64) -> u64 {
        self.offset = Some(signed(sched) - signed(count));
        sched
    }

    /// T where only P is left to read.
    pub(crate) fn estimate(&self, count: u64) -> u64 {
        u64::try_from(signed(count) + self.offset.unwrap_or(0)).unwrap_or(0)
    }
}

/// Three centuries of nanoseconds fit.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: u64 = 4_000_000;

    /// A thread as the kernel sees it: T exact, S written down at ticks and when it leaves the CPU, P with
    /// steal in it and a part of each switch left out.
    #[derive(Default)]
    struct Kernel {
        truth: u64,
        written: u64,
        count: u64,
    }

    impl Kernel {
        fn run(&mut self, ns: u64, stolen: u64) {
            self.truth += ns;
            self.count += ns + stolen;
            self.written = self.written.max(self.truth - self.truth % TICK);
        }

        fn sleep(&mut self, missed: u64) {
            self.written = self.truth;
            self.count -= missed.min(self.count);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Run { ns: u64, stolen: u64 },
        Sleep { missed: u64 },
        Read,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..20_000_000u64, 0..1_000_000u64).prop_map(|(ns, stolen)| Step::Run { ns, stolen }),
            (0..2_000u64).prop_map(|missed| Step::Sleep { missed }),
            Just(Step::Read),
        ]
    }

    proptest! {
        #[test]
        fn a_reading_is_within_a_tick_of_the_truth_and_of_what_is_written(
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let (mut kernel, mut fit) = (Kernel::default(), Fit::default());
            for step in steps {
                match step {
                    Step::Run { ns, stolen } => kernel.run(ns, stolen),
                    Step::Sleep { missed } => {
                        kernel.sleep(missed);
                        prop_assert_eq!(fit.resting(kernel.written, kernel.count), kernel.truth);
                    }
                    Step::Read => {
                        let Kernel { truth, written, count } = kernel;
                        let reading = fit.running(written, count, written, TICK);
                        prop_assert!((written..=written + TICK).contains(&reading));
                        prop_assert!(reading.abs_diff(truth) <= TICK);
                    }
                }
            }
        }

        #[test]
        fn without_steal_a_thread_once_seen_resting_is_read_to_the_nanosecond(
            runs in prop::collection::vec(1..50_000_000u64, 1..60),
        ) {
            let (mut kernel, mut fit) = (Kernel::default(), Fit::default());
            fit.resting(kernel.written, kernel.count);
            for ns in runs {
                kernel.run(ns, 0);
                let Kernel { truth, written, count } = kernel;
                prop_assert_eq!(fit.running(written, count, written, TICK), truth);
                prop_assert_eq!(fit.estimate(count), truth);
            }
        }

        #[test]
        fn without_steal_a_thread_never_seen_resting_is_never_read_too_high(
            runs in prop::collection::vec(1..50_000_000u64, 1..60),
        ) {
            let (mut kernel, mut fit) = (Kernel::default(), Fit::default());
            for ns in runs {
                kernel.run(ns, 0);
                let Kernel { truth, written, count } = kernel;
                prop_assert!(fit.running(written, count, written, TICK) <= truth);
            }
        }
    }
}
