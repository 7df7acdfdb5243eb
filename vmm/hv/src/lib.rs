//! Everything that touches `/dev/kvm`.
//!
//! [`Hypervisor`] opens the device and makes [`Vm`]s; a [`Vm`] makes [`Vcpu`]s; a [`Vcpu`] runs and
//! returns [`VmExit`]s; a [`Kicker`] interrupts a running one from another thread. KVM's constants
//! and structures are decoded here and never seen above.
//!
//! This crate has no policy: it knows no device, no mailbox and no guest image. It starts no
//! thread; a [`Vcpu`] belongs to whichever thread runs it.

#![allow(unsafe_code)]

mod cpuid;
mod entry;
mod error;
mod exit;
mod hypervisor;
mod kick;
mod memory;
mod stats;
mod vcpu;
mod vm;

pub use entry::Entry;
pub use error::HvError;
pub use exit::{SystemEvent, VmExit};
pub use hypervisor::Hypervisor;
pub use kick::Kicker;
pub use kvm_ioctls::IoEventAddress;
pub use memory::{GuestMemory, HOLE_END, HOLE_START, guest_memory};
pub use stats::{VcpuCounts, VcpuStats};
pub use vcpu::Vcpu;
pub use vm::{BlankVm, Vm};
pub use vmm_sys_util::eventfd::EventFd;
