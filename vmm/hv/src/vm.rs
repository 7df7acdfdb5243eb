//! One VM: its memory, its interrupt controller, its event descriptors.

use kvm_bindings::{CpuId, KVM_CAP_BINARY_STATS_FD, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, NoDatamatch, VmFd};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::ioctl::ioctl;
use vmm_sys_util::ioctl_io_nr;

use crate::{Entry, GuestMemory, HvError, IoEventAddress, Vcpu, VcpuStats};

ioctl_io_nr!(KVM_GET_TSC_KHZ, kvm_bindings::KVMIO, 0xa3);

/// Where Intel hosts without unrestricted guests keep a task state segment of their own: three
/// pages of guest-physical space below the 4 GiB line, inside the MMIO hole.
const TSS_ADDRESS: usize = 0xfffb_d000;

/// A virtual machine.
#[derive(Debug)]
pub struct Vm {
    fd: VmFd,
    memory: GuestMemory,
    /// What CPUID says to its vCPUs, but for their numbers; nothing if absent.
    cpuid: Option<CpuId>,
}

/// A virtual machine without memory: what of one can be made before anybody says how large it is to be.
/// KVM_CREATE_VM is the costliest request of a start.
#[derive(Debug)]
pub struct BlankVm {
    fd: VmFd,
}

impl BlankVm {
    pub(crate) fn new(kvm: &Kvm) -> Result<Self, HvError> {
        let fd = kvm.create_vm().map_err(HvError::kvm("KVM_CREATE_VM"))?;
        Ok(Self { fd })
    }

    /// Give it its memory and an interrupt controller; see
    /// [`Hypervisor::create_vm_without_cpuid`](crate::Hypervisor::create_vm_without_cpuid).
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`] names the request the kernel refused.
    pub fn with_memory(self, memory: GuestMemory) -> Result<Vm, HvError> {
        Vm::new(self, memory, None)
    }
}

impl Vm {
    /// Memory regions come before the interrupt controller: each memory slot added after it waits
    /// for a grace period of the kernel's, 6 to 9 ms; before it, one costs 0.05 ms. No PIT either:
    /// its kernel thread belongs to no process and so could be billed to nobody.
    pub(crate) fn new(
        blank: BlankVm,
        memory: GuestMemory,
        cpuid: Option<CpuId>,
    ) -> Result<Self, HvError> {
        let vm = Self {
            fd: blank.fd,
            memory,
            cpuid,
        };
        vm.map_memory()?;
        vm.fd
            .set_tss_address(TSS_ADDRESS)
            .map_err(HvError::kvm("KVM_SET_TSS_ADDR"))?;
        vm.fd
            .create_irq_chip()
            .map_err(HvError::kvm("KVM_CREATE_IRQCHIP"))?;
        Ok(vm)
    }

    /// The guest's memory.
    pub fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    /// Makes vCPU number `index`, ready to run from `entry`. Every vCPU starts at its first
    /// [`Vcpu::run`]: none waits for INIT or SIPI.
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`] names the request the kernel refused, such as a second vCPU of one number.
    pub fn create_vcpu(&self, index: u16, entry: &Entry) -> Result<Vcpu, HvError> {
        let fd = self
            .fd
            .create_vcpu(u64::from(index))
            .map_err(HvError::kvm("KVM_CREATE_VCPU"))?;
        let run_bytes = self.fd.run_size();
        Vcpu::new(
            fd,
            run_bytes,
            self.memory.clone(),
            index,
            self.cpuid.as_ref(),
            entry,
        )
    }

    /// What is counted of `vcpu`, one of this VM's that does not run; None where KVM does not count (before Linux 5.14).
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`]: the process is out of descriptors.
    pub fn stats_of(&self, vcpu: &Vcpu) -> Result<Option<VcpuStats>, HvError> {
        let counts = self.fd.check_extension_raw(KVM_CAP_BINARY_STATS_FD.into()) > 0;
        counts.then(|| vcpu.stats()).transpose()
    }

    /// Has a write to `event` raise the interrupt line `gsi`, from any thread, without an exit.
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`] if the line does not exist or `event` is bound already.
    pub fn irqfd(&self, event: &EventFd, gsi: u32) -> Result<(), HvError> {
        self.fd
            .register_irqfd(event, gsi)
            .map_err(HvError::kvm("KVM_IRQFD"))
    }

    /// Has a guest's write to `address` ring `event` instead of leaving the guest. With `datamatch`
    /// only writes of that 32-bit value do.
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`] if that address and value are bound already.
    pub fn ioeventfd(
        &self,
        event: &EventFd,
        address: &IoEventAddress,
        datamatch: Option<u32>,
    ) -> Result<(), HvError> {
        match datamatch {
            Some(value) => self.fd.register_ioevent(event, address, value),
            None => self.fd.register_ioevent(event, address, NoDatamatch),
        }
        .map_err(HvError::kvm("KVM_IOEVENTFD"))
    }

    /// The rate of the guest's time stamp counter, in kHz. Needs Linux 5.16.
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`] where the kernel answers this for a vCPU only.
    pub fn tsc_khz(&self) -> Result<u32, HvError> {
        // SAFETY: the request takes no argument and touches none of our memory; `self.fd` is a VM.
        let khz = unsafe { ioctl(&self.fd, KVM_GET_TSC_KHZ()) };
        u32::try_from(khz)
            .map_err(|_| HvError::kvm("KVM_GET_TSC_KHZ")(vmm_sys_util::errno::Error::last()))
    }

    fn map_memory(&self) -> Result<(), HvError> {
        for (slot, region) in self.memory.iter().enumerate() {
            let mapping = kvm_userspace_memory_region {
                slot: slot as u32,
                flags: 0,
                guest_phys_addr: region.start_addr().raw_value(),
                memory_size: region.len(),
                userspace_addr: region.as_ptr() as u64,
            };
            // SAFETY: the range is a live mapping of `self.memory`. It must stay one as long as
            // a guest can run: a guest runs only through a `Vcpu`, each of which holds a clone.
            unsafe { self.fd.set_user_memory_region(mapping) }
                .map_err(HvError::kvm("KVM_SET_USER_MEMORY_REGION"))?;
        }
        Ok(())
    }
}
