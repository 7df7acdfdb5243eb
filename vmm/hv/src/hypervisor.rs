//! The open KVM device.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use kvm_bindings::{KVM_API_VERSION, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Cap, Kvm};

use crate::{BlankVm, GuestMemory, HvError, Vm};

/// What every machine needs of KVM. All are older than Linux 4.13.
const NEEDED: [(Cap, &str); 7] = [
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::MpState, "KVM_CAP_MP_STATE"),
    (Cap::Irqfd, "KVM_CAP_IRQFD"),
    (Cap::Ioeventfd, "KVM_CAP_IOEVENTFD"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
];

/// An open `/dev/kvm`.
#[derive(Debug)]
pub struct Hypervisor {
    kvm: Kvm,
}

impl Hypervisor {
    /// Opens `/dev/kvm` and checks that it can do all a machine needs.
    ///
    /// # Errors
    ///
    /// [`HvError::Absent`], [`HvError::NoRight`], [`HvError::Open`] for the open itself;
    /// [`HvError::ApiVersion`] and [`HvError::MissingCapability`] for what was opened.
    pub fn open() -> Result<Self, HvError> {
        let kvm = Kvm::new().map_err(|error| opening(error.errno()))?;
        let hypervisor = Self { kvm };
        hypervisor.check()?;
        Ok(hypervisor)
    }

    /// Takes a `/dev/kvm` that another process opened, and checked, with [`Hypervisor::open`].
    ///
    /// A descriptor of anything else is safe: each request on it then fails.
    pub fn from_fd(fd: OwnedFd) -> Self {
        // SAFETY: `Kvm::from_raw_fd` asks for an open descriptor that nobody else closes;
        // `into_raw_fd` hands over the sole ownership of one.
        let kvm = unsafe { Kvm::from_raw_fd(fd.into_raw_fd()) };
        Self { kvm }
    }

    /// Gives the descriptor away, to be sent to another process.
    pub fn into_fd(self) -> OwnedFd {
        // The wrapper has no `IntoRawFd` of its own.
        let raw = self.kvm.as_raw_fd();
        std::mem::forget(self.kvm);
        // SAFETY: `raw` is open, and its former owner was just forgotten without closing it.
        unsafe { OwnedFd::from_raw_fd(raw) }
    }

    /// Makes a VM over `memory`, with an in-kernel interrupt controller and no timer chip.
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`] names the request the kernel refused.
    pub fn create_vm(&self, memory: GuestMemory) -> Result<Vm, HvError> {
        let cpuid = self
            .kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(HvError::kvm("KVM_GET_SUPPORTED_CPUID"))?;
        Vm::new(self.blank_vm()?, memory, Some(cpuid))
    }

    /// Makes a VM that has no memory yet.
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`] names the request the kernel refused.
    pub fn blank_vm(&self) -> Result<BlankVm, HvError> {
        BlankVm::new(&self.kvm)
    }

    /// As [`Hypervisor::create_vm`], for a guest that never looks at CPUID: its leaves all stay
    /// zero.
    ///
    /// What is left out, KVM_GET_SUPPORTED_CPUID once and KVM_SET_CPUID2 for each vCPU, executes
    /// CPUID some two hundred times. That is nothing on bare hardware, and half a millisecond of a
    /// start on a host that is a guest itself.
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`] names the request the kernel refused.
    pub fn create_vm_without_cpuid(&self, memory: GuestMemory) -> Result<Vm, HvError> {
        self.blank_vm()?.with_memory(memory)
    }

    fn check(&self) -> Result<(), HvError> {
        let wanted = KVM_API_VERSION as i32;
        let found = self.kvm.get_api_version();
        if found != wanted {
            return Err(HvError::ApiVersion { found, wanted });
        }
        match NEEDED
            .into_iter()
            .find(|(cap, _)| !self.kvm.check_extension(*cap))
        {
            Some((_, name)) => Err(HvError::MissingCapability(name)),
            None => Ok(()),
        }
    }
}

impl AsFd for Hypervisor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is owned by `self.kvm`, which lives as long as the borrow.
        unsafe { BorrowedFd::borrow_raw(self.kvm.as_raw_fd()) }
    }
}

/// The meaning of an errno of `open("/dev/kvm")`: ENXIO and ENODEV are a node without a driver.
fn opening(errno: i32) -> HvError {
    match errno {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => HvError::Absent,
        libc::EACCES | libc::EPERM => HvError::NoRight,
        other => HvError::Open(io::Error::from_raw_os_error(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_distinguishes_an_absent_device_from_a_missing_right() {
        assert!(opening(libc::ENOENT).to_string().contains("absent"));
        assert!(opening(libc::EACCES).to_string().contains("no right"));
        assert!(
            opening(libc::EMFILE)
                .to_string()
                .contains("Too many open files")
        );
    }

    #[test]
    fn a_descriptor_of_something_else_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let hypervisor = Hypervisor::from_fd(file.into());
        assert!(matches!(
            hypervisor.check(),
            Err(HvError::ApiVersion { found: -1, .. })
        ));
        let memory = crate::guest_memory(1 << 20).unwrap();
        assert!(matches!(
            hypervisor.create_vm(memory),
            Err(HvError::Kvm { .. })
        ));
    }
}
