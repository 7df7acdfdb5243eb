//! The serial port's register file: what vCPU threads may answer without its owner.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// Set in the modes word when transmitting changes no register.
const TRANSMITS_PLAINLY: u16 = 1 << 8;

/// Written by the owner after each change, read by vCPU threads.
///
/// Two words, each whole in itself. A reader that meets them half way between two publications answers
/// as if it had come a moment earlier or later; only a guest that races with itself can get there.
#[derive(Debug, Default)]
pub struct Registers {
    /// Byte n answers a read at offset n.
    answers: AtomicU64,
    /// Bit n: reading offset n has an effect. Above them [`TRANSMITS_PLAINLY`].
    modes: AtomicU16,
}

/// One state of the register file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publication {
    /// What a read at each offset answers.
    pub answers: [u8; 8],
    /// Bit n: reading offset n has an effect.
    pub effects: u8,
    /// A transmitted byte goes out and changes nothing else.
    pub transmits_plainly: bool,
}

impl Registers {
    pub(super) fn publish(&self, publication: Publication) {
        let plain = if publication.transmits_plainly {
            TRANSMITS_PLAINLY
        } else {
            0
        };
        let answers = u64::from_le_bytes(publication.answers);
        self.answers.store(answers, Ordering::Release);
        let modes = u16::from(publication.effects) | plain;
        self.modes.store(modes, Ordering::Release);
    }

    /// What reading the register at `offset` (0 to 7) answers; None where reading has an effect, which
    /// only the owner can bring about.
    pub fn read(&self, offset: u8) -> Option<u8> {
        let modes = self.modes.load(Ordering::Acquire);
        if offset > 7 || modes & (1 << offset) != 0 {
            return None;
        }
        Some(self.answers.load(Ordering::Acquire).to_le_bytes()[usize::from(offset)])
    }

    /// Do transmitted bytes go straight out, without an effect on any register?
    pub fn transmits_plainly(&self) -> bool {
        self.modes.load(Ordering::Acquire) & TRANSMITS_PLAINLY != 0
    }
}
