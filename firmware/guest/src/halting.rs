//! Halting while the vsock device works, by the vCPU that holds the channel.
//!
//! The interrupt flag is on only inside the gate, so an interrupt that comes between a look at the
//! queues and the halt is still pending there and ends it at once, or keeps it from beginning (`awaited` in
//! the stub): nothing is missed.
//!
//! Setting the timer takes four register writes, each an exit of 25 to 38 µs, so a shot under way
//! serves for every wait whose deadline is not before its end.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::clock::Clock;
use crate::vcpu::Vcpu;
use crate::{cpu, ioapic, lapic};

/// How long a wait looks at the queues at full speed before it halts: about what halting and waking
/// cost, and what an answer of the supervisor takes.
pub const SPIN_MICROSECONDS: u64 = 100;

/// Until when the holder's timer is surely running.
static ARMED_UNTIL: AtomicU64 = AtomicU64::new(0);

/// The vCPU that holds the channel, counted from 1; 0 before the first.
static HOLDER: AtomicU32 = AtomicU32::new(0);

/// How many vCPUs there are.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Makes `vcpu` the one that halts here. It holds the channel.
pub fn take_over(vcpu: Vcpu) {
    // Whatever this vCPU did since it last held the channel may have set its timer anew.
    ARMED_UNTIL.store(0, Relaxed);
    COUNT.store(vcpu.count, Relaxed);
    let before = HOLDER.swap(vcpu.index + 1, Relaxed);
    if before == 0 {
        ioapic::silence_pic();
    }
    if before != vcpu.index + 1 {
        lapic::turn_on();
        ioapic::route_vsock_to(vcpu.index);
    }
}

/// The vCPU that holds the channel.
pub fn holder(clock: Clock) -> Vcpu {
    Vcpu {
        index: HOLDER.load(Relaxed).saturating_sub(1),
        count: COUNT.load(Relaxed),
        clock,
    }
}

/// Halts until an interrupt comes, and no longer than until `deadline`.
pub fn halt(clock: Clock, deadline: u64) {
    let armed_until = ARMED_UNTIL.load(Relaxed);
    if !(cpu::timestamp()..=deadline).contains(&armed_until) {
        match clock.arm(deadline) {
            Some(until) => ARMED_UNTIL.store(until, Relaxed),
            None => return,
        }
    }
    cpu::wait_for_interrupt();
}

/// Waits for what the device does without an interrupt: spins, then naps. Whether it is done before
/// `deadline`.
pub fn wait_unannounced(clock: Clock, deadline: u64, nap: u64, done: impl Fn() -> bool) -> bool {
    let spin_end = clock.deadline(SPIN_MICROSECONDS);
    while !done() {
        let now = cpu::timestamp();
        if now >= deadline {
            return false;
        }
        if now < spin_end {
            spin_loop();
        } else {
            halt(clock, clock.deadline(nap));
        }
    }
    true
}
