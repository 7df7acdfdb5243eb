//! From the supervisor's order to a VM that vCPUs can be made in.
//!
//! No thread is started here and nothing runs. What the order says is not trusted: sizes are checked
//! where they are used, by what owns the limit.

use std::io::Cursor;

use devices::SERIAL_GSI;
use hv::{BlankVm, Entry, EventFd, GuestMemory, Vm};
use link::{Guest, MAX_VCPUS, MachineConfig};
use linux_loader::loader::{Elf, KernelLoader};
use vm_memory::{Bytes, GuestAddress};

use crate::{MachineError, TinyImage};

/// Make the VM that `config` asks for: its memory, with the guest in it, and its interrupt lines.
/// Returns where vCPU 0 starts; the others start there with their index as the argument.
///
/// # Errors
/// The limit that was broken, or what KVM refused.
pub(crate) fn build(
    blank: BlankVm,
    tiny: &TinyImage,
    config: &MachineConfig,
    serial_interrupt: &EventFd,
) -> Result<(Vm, Entry), MachineError> {
    if !(1..=MAX_VCPUS).contains(&config.vcpus) {
        return Err(MachineError::Vcpus {
            asked: config.vcpus,
            most: MAX_VCPUS,
        });
    }
    let memory = hv::guest_memory(config.memory_bytes)?;
    // Without CPUID, which the tiny guest never looks at: finding its leaves out takes KVM longer than
    // all the rest.
    let vm = blank.with_memory(memory)?;
    vm.irqfd(serial_interrupt, SERIAL_GSI)?;
    let Guest::Tiny { script } = &config.guest;
    let boot_page = (tiny.boot_page)(config.vcpus, vm.tsc_khz()?, script);
    let instruction = load(vm.memory(), tiny, &boot_page, config.memory_bytes)?;
    let entry = Entry {
        instruction,
        page_table_root: tiny.page_table_root,
        argument: 0,
    };
    Ok((vm, entry))
}

/// Put image and boot page into guest memory; returns the address of the first instruction.
fn load(
    memory: &GuestMemory,
    tiny: &TinyImage,
    boot_page: &[u8],
    memory_bytes: u64,
) -> Result<u64, MachineError> {
    let does_not_fit = |what, reason: String| MachineError::DoesNotFit {
        what,
        memory_bytes,
        reason,
    };
    let loaded = Elf::load(memory, None, &mut Cursor::new(tiny.elf), None)
        .map_err(|error| does_not_fit("the tiny guest", error.to_string()))?;
    memory
        .write_slice(boot_page, GuestAddress(tiny.boot_page_address))
        .map_err(|error| does_not_fit("the boot page", error.to_string()))?;
    Ok(loaded.kernel_load.0)
}
