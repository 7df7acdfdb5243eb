//! The state in which a vCPU starts: 64-bit long mode at privilege level 0, paging on.
//!
//! Bit and field names are those of the Intel SDM, volume 3A, chapters 2 to 4.

use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};

/// Protection enable, monitor coprocessor, extension type, numeric error, paging. EM is off and MP
/// on, as SSE asks.
const CR0: u64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 31;

/// PAE, OSFXSR, OSXMMEXCPT: long mode with SSE. SMEP and SMAP stay off, so that a page open to the
/// user level is also open to level 0.
const CR4: u64 = 1 << 5 | 1 << 9 | 1 << 10;

/// Long mode enabled and active.
const EFER: u64 = 1 << 8 | 1 << 10;

/// RFLAGS with nothing but its bit that is always one: interrupts are off.
const RFLAGS: u64 = 1 << 1;

const CODE_SELECTOR: u16 = 0x08;
const DATA_SELECTOR: u16 = 0x10;

/// Where a vCPU starts, in 64-bit long mode.
///
/// The vCPU has flat segments, interrupts off, SSE usable, **no stack and no descriptor tables**: the
/// first code must load its own before it can take a fault or an interrupt. All registers not named
/// here are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Address of the first instruction, as the page tables translate it.
    pub instruction: u64,
    /// Guest-physical address of the top page table.
    pub page_table_root: u64,
    /// What the first instruction finds in RDI.
    pub argument: u64,
}

impl Entry {
    pub(crate) fn regs(&self) -> kvm_regs {
        kvm_regs {
            rip: self.instruction,
            rdi: self.argument,
            rflags: RFLAGS,
            ..kvm_regs::default()
        }
    }

    /// Turns a vCPU's reset state into the entry state. The APIC base and what KVM keeps for itself
    /// stay as they were.
    pub(crate) fn apply(&self, sregs: &mut kvm_sregs) {
        let data = segment(DATA_SELECTOR, SegmentKind::Data);
        sregs.cs = segment(CODE_SELECTOR, SegmentKind::Code64);
        (sregs.ds, sregs.es, sregs.ss) = (data, data, data);
        (sregs.fs, sregs.gs) = (data, data);
        sregs.cr0 = CR0;
        sregs.cr3 = self.page_table_root;
        sregs.cr4 = CR4;
        sregs.efer = EFER;
    }
}

enum SegmentKind {
    Code64,
    Data,
}

fn segment(selector: u16, kind: SegmentKind) -> kvm_segment {
    // Types of the SDM's table 3-1, accessed: execute and read, or read and write.
    let (type_, l, db) = match kind {
        SegmentKind::Code64 => (0xb, 1, 0),
        SegmentKind::Data => (0x3, 0, 1),
    };
    kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        type_,
        present: 1,
        dpl: 0,
        db,
        s: 1,
        l,
        g: 1,
        ..kvm_segment::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_state_is_long_mode_with_interrupts_off() {
        let entry = Entry {
            instruction: 0x10_0000,
            page_table_root: 0x3000,
            argument: 7,
        };
        let mut sregs = kvm_sregs {
            apic_base: 0xfee0_0900,
            ..kvm_sregs::default()
        };
        entry.apply(&mut sregs);
        assert_eq!((sregs.cs.l, sregs.cs.db, sregs.cs.dpl), (1, 0, 0));
        assert_eq!(sregs.efer & 0x500, 0x500);
        assert_eq!((sregs.cr3, sregs.apic_base), (0x3000, 0xfee0_0900));
        let regs = entry.regs();
        assert_eq!(
            (regs.rip, regs.rdi, regs.rsp, regs.rflags),
            (0x10_0000, 7, 0, 2)
        );
    }
}
