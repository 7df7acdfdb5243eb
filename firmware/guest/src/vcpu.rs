//! The vCPU that runs the code: who it is, how it speaks, how it ends.

use core::fmt;

use crate::clock::Clock;
use crate::{barrier, cpu, serial};

/// One of the machine's vCPUs.
#[derive(Clone, Copy)]
pub struct Vcpu {
    /// Its number.
    pub index: u32,
    /// How many there are.
    pub count: u32,
    /// The clock they share.
    pub clock: Clock,
}

impl Vcpu {
    /// Writes `vcpuN: WHAT` and a newline to the serial port.
    pub fn print(self, what: fmt::Arguments<'_>) {
        serial::print_args(self.index, what, self.clock);
    }

    /// Ends this vCPU.
    pub fn end(self, code: u8) -> ! {
        barrier::leave(self.count);
        cpu::exit(code)
    }
}
