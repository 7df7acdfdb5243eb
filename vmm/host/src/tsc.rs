//! The time-stamp counter: its rate, for bills in cycles where there is no hardware counter, and the time
//! that a reading of it was taken.
#![allow(unsafe_code)]

use std::arch::x86_64::{__cpuid, _rdtsc};
use std::sync::OnceLock;
use std::time::Duration;

use container_core::{Cycles, Nanoseconds};
use rustix::time::{ClockId, clock_gettime};

/// How long a calibration takes. Its error is some 20 ns over this, 20 parts in a million.
const CALIBRATION: Duration = Duration::from_millis(1);

/// TSC ticks a millisecond; None where the counter changes its rate with the CPU's.
///
/// From CPUID where it says (leaf 0x15, or a hypervisor's 0x4000_0010), else measured once, which takes
/// a millisecond: not on the path of a start. The same number for the life of the process. KVM knows
/// the rate better (KVM_GET_TSC_KHZ); who has a vCPU at hand asks it.
pub fn tsc_khz() -> Option<u32> {
    static KHZ: OnceLock<Option<u32>> = OnceLock::new();
    *KHZ.get_or_init(|| {
        is_invariant()
            .then(|| told_khz().or_else(measured_khz))
            .flatten()
    })
}

/// CPU time as TSC ticks, rounded down.
///
/// Of a difference of two readings take the difference of their cycles, not the cycles of their
/// difference: only so do roundings not add up.
pub fn cycles_from(time: Nanoseconds, khz: u32) -> Cycles {
    let cycles = u128::from(time.0) * u128::from(khz) / 1_000_000;
    Cycles(u64::try_from(cycles).unwrap_or(u64::MAX))
}

/// CPUID 0x8000_0007, EDX bit 8.
fn is_invariant() -> bool {
    __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & 1 << 8 != 0
}

fn told_khz() -> Option<u32> {
    let crystal = (__cpuid(0).eax >= 0x15).then(|| __cpuid(0x15));
    let of_crystal = crystal.filter(|leaf| leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0);
    if let Some(leaf) = of_crystal {
        let hertz = u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax);
        return u32::try_from(hertz / 1000).ok();
    }
    let under_hypervisor = __cpuid(1).ecx & 1 << 31 != 0;
    if under_hypervisor && __cpuid(0x4000_0000).eax >= 0x4000_0010 {
        return Some(__cpuid(0x4000_0010).eax).filter(|khz| *khz != 0);
    }
    None
}

fn measured_khz() -> Option<u32> {
    let (start_ns, start) = paired_reading(ClockId::MonotonicRaw);
    std::thread::sleep(CALIBRATION);
    let (end_ns, end) = paired_reading(ClockId::MonotonicRaw);
    let khz = u128::from(end.checked_sub(start)?) * 1_000_000
        / u128::from(end_ns.checked_sub(start_ns).filter(|ns| *ns > 0)?);
    u32::try_from(khz).ok()
}

/// One moment on two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub monotonic_ns: u64,
    /// The time-stamp counter, as this host's RDTSC returns it.
    pub tsc: u64,
}

impl Moment {
    /// This moment. Its two readings are some 20 ns apart.
    pub fn now() -> Self {
        let (monotonic_ns, tsc) = paired_reading(ClockId::Monotonic);
        Moment { monotonic_ns, tsc }
    }

    /// CLOCK_MONOTONIC, in nanoseconds, when the counter stood at `tsc`: on the straight line through this
    /// moment and a `later` one, which may be extended a little beyond both. So a time that was taken where
    /// the clock cannot be read, as in a guest, becomes one of the host's.
    ///
    /// None if the counter has not advanced between the two.
    pub fn monotonic_ns_at(&self, tsc: u64, later: &Moment) -> Option<u64> {
        let ticks = i128::from(later.tsc) - i128::from(self.tsc);
        let ns = i128::from(later.monotonic_ns) - i128::from(self.monotonic_ns);
        let after = i128::from(tsc) - i128::from(self.tsc);
        let since = (ticks > 0).then(|| after * ns / ticks)?;
        u64::try_from(i128::from(self.monotonic_ns) + since).ok()
    }
}

/// Both clocks at one moment: of a few tries the one with the least time between its two ends, so
/// that an interrupt in the middle spoils none.
fn paired_reading(clock: ClockId) -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..8 {
        let before = rdtsc();
        let time = clock_gettime(clock);
        let width = rdtsc().wrapping_sub(before);
        let ns = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
        if width < best.0 {
            best = (width, ns, before.wrapping_add(width / 2));
        }
    }
    (best.1, best.2)
}

fn rdtsc() -> u64 {
    // SAFETY: every x86-64 CPU has the instruction; where it is forbidden it is a signal, not a wrong
    // memory access.
    unsafe { _rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_exact_over_centuries() {
        assert_eq!(
            cycles_from(Nanoseconds(1_000_000), 2_445_432),
            Cycles(2_445_432)
        );
        assert_eq!(cycles_from(Nanoseconds(1), 2_445_432), Cycles(2));
        let year = 365 * 24 * 3600 * 1_000_000_000u64;
        assert_eq!(cycles_from(Nanoseconds(year), 3_000_000), Cycles(year * 3));
        assert_eq!(
            cycles_from(Nanoseconds(u64::MAX), u32::MAX),
            Cycles(u64::MAX)
        );
    }

    #[test]
    fn a_counter_between_two_moments_is_a_time_between_them() {
        let at = |monotonic_ns, tsc| Moment { monotonic_ns, tsc };
        let (first, last) = (at(1_000, 50), at(3_000, 4_050));
        assert_eq!(first.monotonic_ns_at(50, &last), Some(1_000));
        assert_eq!(first.monotonic_ns_at(2_050, &last), Some(2_000));
        assert_eq!(first.monotonic_ns_at(4_150, &last), Some(3_050));
        assert_eq!(first.monotonic_ns_at(30, &last), Some(990));
        assert_eq!(first.monotonic_ns_at(2_050, &first), None);
        let (before, after) = (Moment::now(), Moment::now());
        assert_eq!(
            before.monotonic_ns_at(after.tsc, &after),
            Some(after.monotonic_ns)
        );
    }

    #[test]
    fn the_rate_is_the_same_at_every_call_and_near_what_is_measured_over_longer() {
        let Some(khz) = tsc_khz() else {
            return println!("skipped: the TSC is not invariant");
        };
        assert_eq!(tsc_khz(), Some(khz));
        let (start_ns, start) = paired_reading(ClockId::MonotonicRaw);
        std::thread::sleep(Duration::from_millis(50));
        let (end_ns, end) = paired_reading(ClockId::MonotonicRaw);
        let longer = (end - start) as f64 * 1e6 / (end_ns - start_ns) as f64;
        println!("TSC: {khz} kHz, over 50 ms {longer:.0} kHz");
        assert!(
            (f64::from(khz) / longer - 1.0).abs() < 1e-3,
            "{khz} against {longer}"
        );
    }
}
