//! Why a vCPU came back: KVM's exit structure, decoded.

use kvm_bindings::{
    KVM_EXIT_FAIL_ENTRY, KVM_EXIT_HLT, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_INTR, KVM_EXIT_IO,
    KVM_EXIT_IO_IN, KVM_EXIT_MMIO, KVM_EXIT_SHUTDOWN, KVM_EXIT_SYSTEM_EVENT,
    KVM_INTERNAL_ERROR_EMULATION, KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_SHUTDOWN, kvm_run,
};

/// One return from the guest.
#[derive(Debug, PartialEq, Eq)]
pub enum VmExit<'a> {
    /// The guest reads `port`. `data` holds the bytes it will get at the next run.
    PioRead {
        /// The I/O port.
        port: u16,
        /// As many bytes as the access is wide; several accesses' worth for a string instruction.
        data: &'a mut [u8],
    },
    /// The guest wrote `data` to `port`.
    PioWrite {
        /// The I/O port.
        port: u16,
        /// As many bytes as the access is wide; several accesses' worth for a string instruction.
        data: &'a [u8],
    },
    /// The guest reads an address that is not memory. `data` holds the bytes it will get at the
    /// next run.
    MmioRead {
        /// Guest-physical address.
        address: u64,
        /// 1 to 8 bytes.
        data: &'a mut [u8],
    },
    /// The guest wrote `data` to an address that is not memory.
    MmioWrite {
        /// Guest-physical address.
        address: u64,
        /// 1 to 8 bytes.
        data: &'a [u8],
    },
    /// A kick or another signal ended the run; the guest noticed nothing.
    Kicked,
    /// The guest halted and no in-kernel interrupt controller can wake it.
    Halted,
    /// The guest met a triple fault.
    Shutdown,
    /// The guest asked KVM for a shutdown or a reset.
    SystemEvent(SystemEvent),
    /// KVM cannot go on with this guest.
    Fault {
        /// What KVM said, and the registers.
        what: String,
    },
}

/// What a guest asked of its platform by way of KVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemEvent {
    /// Power off.
    Shutdown,
    /// Start again.
    Reset,
    /// Any other, by KVM's number.
    Other(u32),
}

/// Bytes of an instruction that KVM shows when it cannot emulate it: as long as one can be.
const INSTRUCTION_BYTES: usize = 15;

/// Decodes the exit that `run` describes.
///
/// `run_bytes` is the length of the mapping `run` lies at the start of. The registers are not known
/// here: the caller adds them to a [`VmExit::Fault`].
///
/// # Safety
///
/// `run` must point to the start of a live KVM_RUN mapping of `run_bytes`, filled by a KVM_RUN that
/// returned 0, and nothing else may use it during `'a`.
pub(crate) unsafe fn decode<'a>(run: *mut kvm_run, run_bytes: usize) -> VmExit<'a> {
    // SAFETY: the caller vouches for `run` and its sole use; only this field is read, by value.
    let reason = unsafe { (*run).exit_reason };
    // SAFETY: the caller's obligations are passed on; `reason` says which member of the union the
    // kernel filled, as `decode_io` and `decode_mmio` ask.
    unsafe {
        match reason {
            KVM_EXIT_IO => decode_io(run, run_bytes),
            KVM_EXIT_MMIO => decode_mmio(run),
            KVM_EXIT_INTR => VmExit::Kicked,
            KVM_EXIT_HLT => VmExit::Halted,
            KVM_EXIT_SHUTDOWN => VmExit::Shutdown,
            KVM_EXIT_SYSTEM_EVENT => {
                VmExit::SystemEvent(system_event((*run).__bindgen_anon_1.system_event.type_))
            }
            _ => VmExit::Fault {
                what: describe(&*run),
            },
        }
    }
}

/// # Safety
///
/// As [`decode`], and the exit must be KVM_EXIT_IO.
unsafe fn decode_io<'a>(run: *mut kvm_run, run_bytes: usize) -> VmExit<'a> {
    // SAFETY: the exit is KVM_EXIT_IO, so the kernel filled `io`.
    let io = unsafe { (*run).__bindgen_anon_1.io };
    let port = io.port;
    let length = io.count as usize * usize::from(io.size);
    let inside = usize::try_from(io.data_offset).ok().filter(|offset| {
        offset
            .checked_add(length)
            .is_some_and(|end| end <= run_bytes)
    });
    let Some(offset) = inside else {
        return VmExit::Fault {
            what: format!("port {port:#x}: data outside of kvm_run"),
        };
    };
    // SAFETY: `offset..offset + length` was just found to be inside the mapping; bytes have no
    // alignment and no invalid value; the caller vouches that nothing else uses it during `'a`.
    let data = unsafe { std::slice::from_raw_parts_mut(run.cast::<u8>().add(offset), length) };
    if u32::from(io.direction) == KVM_EXIT_IO_IN {
        VmExit::PioRead { port, data }
    } else {
        VmExit::PioWrite { port, data }
    }
}

/// # Safety
///
/// As [`decode`], and the exit must be KVM_EXIT_MMIO.
unsafe fn decode_mmio<'a>(run: *mut kvm_run) -> VmExit<'a> {
    // SAFETY: the exit is KVM_EXIT_MMIO, so the kernel filled `mmio`; it is ours alone during `'a`.
    let mmio = unsafe { &mut (*run).__bindgen_anon_1.mmio };
    let address = mmio.phys_addr;
    let length = (mmio.len as usize).min(mmio.data.len());
    let data = &mut mmio.data[..length];
    if mmio.is_write == 0 {
        VmExit::MmioRead { address, data }
    } else {
        VmExit::MmioWrite { address, data }
    }
}

fn system_event(kind: u32) -> SystemEvent {
    match kind {
        KVM_SYSTEM_EVENT_SHUTDOWN => SystemEvent::Shutdown,
        KVM_SYSTEM_EVENT_RESET => SystemEvent::Reset,
        other => SystemEvent::Other(other),
    }
}

/// What KVM says of an exit that ends the guest.
fn describe(run: &kvm_run) -> String {
    match run.exit_reason {
        KVM_EXIT_FAIL_ENTRY => {
            // SAFETY: the reason says that the kernel filled `fail_entry`.
            let fail = unsafe { run.__bindgen_anon_1.fail_entry };
            let reason = fail.hardware_entry_failure_reason;
            format!("the processor refused to enter the guest, reason {reason:#x}")
        }
        KVM_EXIT_INTERNAL_ERROR => {
            // SAFETY: the reason says that the kernel filled `internal`, and that with suberror
            // "emulation" the same bytes also read as `emulation_failure`; all are integers.
            let (suberror, emulation) = unsafe {
                (
                    run.__bindgen_anon_1.internal.suberror,
                    run.__bindgen_anon_1.emulation_failure,
                )
            };
            if suberror != KVM_INTERNAL_ERROR_EMULATION {
                return format!("KVM internal error {suberror}");
            }
            // SAFETY: as above; the sizes and bytes are plain integers whatever KVM wrote.
            let code = unsafe { emulation.__bindgen_anon_1.__bindgen_anon_1 };
            let length = usize::from(code.insn_size).min(INSTRUCTION_BYTES);
            if emulation.ndata < 1 || length == 0 {
                return "KVM cannot emulate an instruction".into();
            }
            format!(
                "KVM cannot emulate the instruction {:02x?}",
                &code.insn_bytes[..length]
            )
        }
        other => format!("KVM exit reason {other}, which this program does not handle"),
    }
}
