//! A device's interrupt: the reason in a register, then the line.

use std::sync::Arc;

use vmm_sys_util::eventfd::EventFd;

use super::Registers;

/// How a device's owner speaks up.
#[derive(Debug)]
pub(crate) struct Interrupt {
    registers: Arc<Registers>,
    line: EventFd,
}

impl Interrupt {
    /// Interrupts go to `line`, their reasons to `registers`.
    pub fn new(registers: Arc<Registers>, line: EventFd) -> Self {
        Interrupt { registers, line }
    }

    /// Buffers of a queue have been used.
    pub fn used_buffers(&self) {
        self.registers.note_used_buffer();
        self.raise();
    }

    /// The device cannot go on before it is reset (VIRTIO 1.2, 2.1.2).
    pub fn needs_reset(&self) {
        self.registers.note_needs_reset();
        self.raise();
    }

    fn raise(&self) {
        // The only failure is a full counter, which KVM empties: then the line is up already.
        let _ = self.line.write(1);
    }
}
