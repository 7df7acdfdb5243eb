//! Running a script: every vCPU goes through all steps and takes its own.

use crate::clock::Clock;
use crate::layout::{BootHeader, MAPPED_END};
use crate::step::Step;
use crate::vcpu::Vcpu;
use crate::{barrier, cpu, memory, serial, verbs};

/// Does what `script` says for vCPU `index`, and ends it.
pub fn script(index: u32, header: &BootHeader, script: &[u8]) -> ! {
    let vcpu = Vcpu {
        index,
        count: header.vcpus,
        clock: Clock::new(header.tsc_khz),
    };
    let mut rest = script;
    while let Some((target, step, after)) = Step::decode(rest) {
        rest = after;
        if target.is_none_or(|target| u32::from(target) == index) {
            take(step, vcpu);
        }
    }
    vcpu.end(0)
}

fn take(step: Step<'_>, vcpu: Vcpu) {
    let clock = vcpu.clock;
    match step {
        Step::Burn(microseconds) => clock.burn_until(clock.deadline(microseconds)),
        Step::Sleep(microseconds) => clock.sleep_until(clock.deadline(microseconds)),
        Step::Print(text) => serial::print(vcpu.index, text, clock),
        Step::Exit(code) => vcpu.end(code),
        Step::Barrier => barrier::wait(vcpu.count, clock),
        Step::Forever => clock.burn_until(u64::MAX),
        Step::Halt => cpu::halt(),
        // SAFETY: none: the page is not mapped, and the fault that this meets is what was asked for.
        Step::Fault => unsafe { (MAPPED_END as *mut u8).write_volatile(0) },
        Step::Reset => cpu::reset(),
        Step::Touch(bytes) => memory::touch(bytes),
        Step::Vsock(verb) => verbs::run(verb, vcpu),
    }
}
