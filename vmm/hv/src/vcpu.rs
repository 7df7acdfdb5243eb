//! One vCPU.

use std::io;
use std::mem::ManuallyDrop;

use kvm_bindings::{CpuId, KVM_MP_STATE_RUNNABLE, kvm_mp_state, kvm_regs, kvm_run};
use kvm_ioctls::VcpuFd;

use crate::kick::Registration;
use crate::{Entry, GuestMemory, HvError, Kicker, VcpuStats, VmExit, cpuid, exit};

/// A virtual processor. It may be made on one thread and run on another, but only ever runs on one
/// at a time.
#[derive(Debug)]
pub struct Vcpu {
    /// Not dropped where a signal handler may still write to its `kvm_run`: see `drop`.
    fd: ManuallyDrop<VcpuFd>,
    registration: Option<Registration>,
    /// An earlier registration, on another thread, may still write to `kvm_run`.
    registered_elsewhere: bool,
    run_bytes: usize,
    /// The guest's memory must stay mapped as long as the guest can run.
    _memory: GuestMemory,
}

impl Vcpu {
    pub(crate) fn new(
        fd: VcpuFd,
        run_bytes: usize,
        memory: GuestMemory,
        index: u16,
        supported: Option<&CpuId>,
        entry: &Entry,
    ) -> Result<Self, HvError> {
        let fd = ManuallyDrop::new(fd);
        let vcpu = Self {
            fd,
            registration: None,
            registered_elsewhere: false,
            run_bytes,
            _memory: memory,
        };
        if let Some(supported) = supported {
            vcpu.fd
                .set_cpuid2(&cpuid::of_vcpu(supported, index))
                .map_err(HvError::kvm("KVM_SET_CPUID2"))?;
        }
        if index != 0 {
            // The first vCPU is born runnable, the others wait for INIT and SIPI until told not to.
            let runnable = kvm_mp_state {
                mp_state: KVM_MP_STATE_RUNNABLE,
            };
            vcpu.fd
                .set_mp_state(runnable)
                .map_err(HvError::kvm("KVM_SET_MP_STATE"))?;
        }
        let mut sregs = vcpu.fd.get_sregs().map_err(HvError::kvm("KVM_GET_SREGS"))?;
        entry.apply(&mut sregs);
        vcpu.fd
            .set_sregs(&sregs)
            .map_err(HvError::kvm("KVM_SET_SREGS"))?;
        vcpu.fd
            .set_regs(&entry.regs())
            .map_err(HvError::kvm("KVM_SET_REGS"))?;
        Ok(vcpu)
    }

    /// Runs the guest until it leaves. The answer to a read exit goes into its `data`, and reaches
    /// the guest at the next run.
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`] if KVM refused to run at all. What the guest does wrong is not an error but
    /// a [`VmExit::Fault`] or [`VmExit::Shutdown`].
    pub fn run(&mut self) -> Result<VmExit<'_>, HvError> {
        match self.fd.run().map(drop) {
            Ok(()) => {}
            Err(error) if error.errno() == libc::EINTR => return Ok(VmExit::Kicked),
            Err(error) if matches!(error.errno(), libc::EFAULT | libc::EHWPOISON) => {
                let what = format!("KVM_RUN: {}", io::Error::from_raw_os_error(error.errno()));
                return Ok(VmExit::Fault {
                    what: self.with_registers(&what),
                });
            }
            Err(error) => return Err(HvError::kvm("KVM_RUN")(error)),
        }
        let run: *mut kvm_run = self.fd.get_kvm_run();
        // SAFETY: `run` is the start of this vCPU's mapping of `run_bytes`, KVM_RUN has returned 0,
        // and `&mut self` is held for as long as the result lives.
        let exit = unsafe { exit::decode(run, self.run_bytes) };
        Ok(match exit {
            VmExit::Fault { what } => VmExit::Fault {
                what: self.with_registers(&what),
            },
            exit => exit,
        })
    }

    /// Enters KVM_RUN once without executing a guest instruction, so that KVM starts the helper
    /// threads it starts at a VM's first run.
    ///
    /// It leaves the vCPU kicked: call [`Vcpu::clear_kick`] before [`Vcpu::run`], as after any
    /// kick. (Clearing here could wipe out a true kick.)
    ///
    /// # Errors
    ///
    /// [`HvError::Kvm`] if KVM refused; [`HvError::TouchRan`] if it ran the guest.
    pub fn touch(&mut self) -> Result<(), HvError> {
        self.set_immediate_exit(1);
        match self.fd.run().map(drop) {
            Ok(()) => Err(HvError::TouchRan),
            Err(error) if error.errno() == libc::EINTR => Ok(()),
            Err(error) => Err(HvError::kvm("KVM_RUN")(error)),
        }
    }

    /// Takes note of all kicks so far. The caller then looks at its mailbox, and only then runs:
    /// in this order no message stays unseen.
    pub fn clear_kick(&mut self) {
        self.set_immediate_exit(0);
    }

    /// Makes the calling thread the one where this vCPU's kicks go. Call it on the thread that
    /// will run the vCPU, and drop the vCPU there.
    ///
    /// # Errors
    ///
    /// [`HvError::ThreadTaken`] if the thread has another vCPU; [`HvError::Signal`] if the signal
    /// cannot be set up.
    pub fn kick_handle_for_this_thread(&mut self) -> Result<Kicker, HvError> {
        let byte = &raw mut self.fd.get_kvm_run().immediate_exit;
        // SAFETY: the byte lies in the vCPU's mapping, which `drop` unmaps only if every
        // registration of it was released on its own thread; all writes to it are volatile.
        let (registration, kicker) = unsafe { Registration::new(byte) }?;
        if let Some(earlier) = self.registration.replace(registration) {
            self.registered_elsewhere |= !earlier.is_of_this_thread();
        }
        Ok(kicker)
    }

    pub(crate) fn stats(&self) -> Result<VcpuStats, HvError> {
        VcpuStats::of(&self.fd)
    }

    fn set_immediate_exit(&mut self, value: u8) {
        let byte = &raw mut self.fd.get_kvm_run().immediate_exit;
        // SAFETY: the byte lies in this vCPU's live mapping. Volatile, since the signal handler
        // writes it too.
        unsafe { byte.write_volatile(value) };
    }

    fn with_registers(&self, what: &str) -> String {
        let regs = self.fd.get_regs().unwrap_or_default();
        format!("{what}; {}", registers(&regs))
    }
}

impl Drop for Vcpu {
    fn drop(&mut self) {
        let released = self.registration.as_ref().is_none_or(Registration::release);
        if released && !self.registered_elsewhere {
            // SAFETY: dropped once, here, and `self.fd` is not used after.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
        // Otherwise this is not the thread that is kicked, and a handler may be writing to the
        // mapping on that thread right now. Leaking the mapping is the only answer that is sound.
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send::<Vcpu>();
    is_send_and_sync::<Kicker>();
    is_send_and_sync::<crate::Vm>();
};

fn registers(r: &kvm_regs) -> String {
    format!(
        "rip {:#x} rsp {:#x} rflags {:#x} rax {:#x} rbx {:#x} rcx {:#x} rdx {:#x} rsi {:#x} rdi {:#x}",
        r.rip, r.rsp, r.rflags, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi
    )
}
