//! Closing the bill of a dead process against its own CPU clock.
//!
//! While threads live, each one's bill is estimated by itself. The zombie's clock knows the sum: what
//! is above it was never used (an estimate that mistook stolen time), what is below it was used where no
//! counter looks (freeing the guest's memory on the way out).

use container_core::Nanoseconds;

/// One thread's part in a settlement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Billed already, and not to be taken back.
    pub billed: Nanoseconds,
    /// What the bill should come to, by the thread's own counter; no less than `billed`.
    pub estimate: Nanoseconds,
}

/// How a bill closes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The final usage of each thread, in the order they were given.
    pub usages: Vec<Nanoseconds>,
    /// What the witness has seen beside the threads.
    pub residual: Nanoseconds,
    /// By how much the bills given out before were above the witness; zero but for a thread that ended
    /// right after a reading that was too high.
    pub overbilled: Nanoseconds,
}

/// Divide what the witness saw among the threads of a process, all of which are dead.
///
/// Always Σ `usages` + `residual` = `witness` + `overbilled`. Where the estimates exceed the witness,
/// each gives way in proportion to how far it is from what was billed, to the nanosecond.
pub fn settle(witness: Nanoseconds, threads: &[Settlement]) -> Settled {
    let room = |thread: &Settlement| u128::from(thread.estimate.0.saturating_sub(thread.billed.0));
    let billed: u128 = threads
        .iter()
        .map(|thread| u128::from(thread.billed.0))
        .sum();
    let room_of_all: u128 = threads.iter().map(room).sum();
    let left = u128::from(witness.0).saturating_sub(billed);
    let given = left.min(room_of_all);
    let (mut room_so_far, mut given_so_far) = (0u128, 0u128);
    let usages = threads.iter().map(|thread| {
        // Shares are differences of a running total, so that their roundings cancel.
        room_so_far += room(thread);
        let total = (given * room_so_far).checked_div(room_of_all).unwrap_or(0);
        let share = total - given_so_far;
        given_so_far = total;
        Nanoseconds(thread.billed.0 + share as u64)
    });
    Settled {
        usages: usages.collect(),
        residual: Nanoseconds((left - given) as u64),
        overbilled: Nanoseconds(billed.saturating_sub(u128::from(witness.0)) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn thread(billed: u64, estimate: u64) -> Settlement {
        Settlement {
            billed: Nanoseconds(billed),
            estimate: Nanoseconds(estimate),
        }
    }

    #[test]
    fn what_no_counter_saw_is_residual() {
        let settled = settle(Nanoseconds(100), &[thread(10, 40), thread(20, 50)]);
        assert_eq!(settled.usages, [Nanoseconds(40), Nanoseconds(50)]);
        assert_eq!(
            (settled.residual, settled.overbilled),
            (Nanoseconds(10), Nanoseconds(0))
        );
    }

    #[test]
    fn estimates_above_the_witness_give_way_in_proportion() {
        let settled = settle(Nanoseconds(60), &[thread(10, 40), thread(20, 80)]);
        assert_eq!(settled.usages, [Nanoseconds(20), Nanoseconds(40)]);
        assert_eq!(
            (settled.residual, settled.overbilled),
            (Nanoseconds(0), Nanoseconds(0))
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_taken_back(
            witness in 0..1u64 << 50,
            parts in prop::collection::vec((0..1u64 << 45, 0..1u64 << 45), 0..20),
        ) {
            let threads: Vec<_> =
                parts.iter().map(|(billed, more)| thread(*billed, billed + more)).collect();
            let settled = settle(Nanoseconds(witness), &threads);
            let sum: u64 = settled.usages.iter().map(|usage| usage.0).sum();
            prop_assert_eq!(sum + settled.residual.0, witness + settled.overbilled.0);
            prop_assert_eq!(settled.usages.len(), threads.len());
            for (usage, thread) in settled.usages.iter().zip(&threads) {
                prop_assert!((thread.billed..=thread.estimate).contains(usage));
            }
        }
    }
}
