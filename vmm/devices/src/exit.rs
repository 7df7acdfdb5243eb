//! Ports by which a guest ends: exit, fault and reset.

use crate::PortWrite;

/// One byte written here ends the vCPU that writes it; the byte is its exit code.
pub const EXIT_PORT: u16 = 0xf4;
/// The tiny guest reports here what it cannot go on from, as the last act of the vCPU that met it, in
/// five writes: the exception's vector (1 byte), then 4 bytes each: the low half of RIP, the error
/// code, the low half of CR2, its high half. Firmware's layout says the same.
pub const FAULT_PORT: u16 = 0xf5;
/// The i8042's command port, of which only the reset line is there.
pub const RESET_PORT: u16 = 0x64;

/// i8042 command: pulse output line 0, which is wired to the CPU's reset.
const PULSE_RESET: u8 = 0xfe;

/// A write to the exit port.
pub(crate) fn exit(data: &[u8]) -> PortWrite<'static> {
    match data {
        [code] => PortWrite::Exit(*code),
        _ => PortWrite::Done,
    }
}

/// A write to the reset port.
pub(crate) fn reset(data: &[u8]) -> PortWrite<'static> {
    match data {
        [PULSE_RESET] => PortWrite::Reset,
        _ => PortWrite::Done,
    }
}

/// A fault record under way: what a vCPU has written to [`FAULT_PORT`] so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FaultRecord {
    vector: Option<u8>,
    words: [u32; WORDS],
    filled: usize,
}

/// RIP, error code, CR2 low, CR2 high.
const WORDS: usize = 4;

impl FaultRecord {
    /// Take the next write. The vCPU is lost once the record is whole, or cannot become so.
    pub fn push(&mut self, data: &[u8]) -> PortWrite<'static> {
        match (self.vector, <[u8; 4]>::try_from(data), data) {
            (None, _, [vector]) => self.vector = Some(*vector),
            (Some(_), Ok(word), _) => {
                self.words[self.filled] = u32::from_le_bytes(word);
                self.filled += 1;
            }
            _ => {
                *self = FaultRecord::default();
                return PortWrite::Fault("a fault, reported in a form that is none".into());
            }
        }
        if self.filled < WORDS {
            return PortWrite::Done;
        }
        let record = std::mem::take(self);
        PortWrite::Fault(record.sentence())
    }

    fn sentence(&self) -> String {
        let vector = self.vector.unwrap_or_default();
        let [rip, error, low, high] = self.words;
        let name = exception(vector);
        if vector == PAGE_FAULT {
            let address = u64::from(high) << 32 | u64::from(low);
            return format!("{name} at rip {rip:#x}, address {address:#x}, error code {error:#x}");
        }
        format!("{name} at rip {rip:#x}, error code {error:#x}")
    }
}

const PAGE_FAULT: u8 = 14;

/// Intel SDM, volume 3A, table 6-1.
fn exception(vector: u8) -> String {
    let name = match vector {
        0 => "divide error",
        1 => "debug exception",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid task state segment",
        11 => "segment not present",
        12 => "stack fault",
        13 => "general protection fault",
        PAGE_FAULT => "page fault",
        16 => "x87 error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD error",
        _ => return format!("exception {vector}"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(writes: &[&[u8]]) -> Option<String> {
        let mut record = FaultRecord::default();
        let (last, before) = writes.split_last().unwrap();
        for write in before {
            assert_eq!(record.push(write), PortWrite::Done);
        }
        match record.push(last) {
            PortWrite::Fault(what) => Some(what),
            _ => None,
        }
    }

    #[test]
    fn a_whole_record_is_a_sentence() {
        let page = [
            &[14][..],
            &[0, 0x10, 0, 0],
            &[4, 0, 0, 0],
            &[0, 0x20, 0, 0],
            &[1, 0, 0, 0],
        ];
        assert_eq!(
            fault(&page).unwrap(),
            "page fault at rip 0x1000, address 0x100002000, error code 0x4"
        );
        let other = [&[13][..], &[1, 0, 0, 0], &[2, 0, 0, 0], &[0; 4], &[0; 4]];
        assert_eq!(
            fault(&other).unwrap(),
            "general protection fault at rip 0x1, error code 0x2"
        );
        let unknown = [&[200][..], &[0; 4], &[0; 4], &[0; 4], &[0; 4]];
        assert_eq!(
            fault(&unknown).unwrap(),
            "exception 200 at rip 0x0, error code 0x0"
        );
    }

    #[test]
    fn a_part_of_a_record_waits_for_the_rest() {
        assert_eq!(fault(&[&[14]]), None);
        assert_eq!(fault(&[&[14], &[0; 4], &[0; 4], &[0; 4]]), None);
    }

    #[test]
    fn a_write_of_a_wrong_size_is_a_fault_all_the_same() {
        for writes in [
            &[&[0; 4][..]][..],
            &[&[]],
            &[&[14], &[0]],
            &[&[14], &[0; 8]],
        ] {
            assert!(fault(writes).unwrap().contains("none"), "{writes:?}");
        }
    }
}
