//! The errors of this crate. Each message says what was being done and the kernel's answer.

use std::io;

use vmm_sys_util::errno;

/// What can go wrong between this process and `/dev/kvm`.
#[derive(Debug, thiserror::Error)]
pub enum HvError {
    /// The device node does not exist.
    #[error("/dev/kvm is absent: load kvm_intel or kvm_amd, or turn virtualization on in firmware")]
    Absent,
    /// The device node exists and this process may not open it.
    #[error("no right to open /dev/kvm: join its group (usually `kvm`) or ask for an ACL")]
    NoRight,
    /// Opening failed in another way.
    #[error("cannot open /dev/kvm: {0}")]
    Open(#[source] io::Error),
    /// The kernel speaks another KVM API.
    #[error("/dev/kvm has API version {found}, this program needs {wanted}")]
    ApiVersion {
        /// What KVM_GET_API_VERSION returned.
        found: i32,
        /// The only version there has been since Linux 2.6.22.
        wanted: i32,
    },
    /// The kernel lacks something this program cannot do without.
    #[error("this KVM lacks the capability {0}")]
    MissingCapability(&'static str),
    /// A KVM request failed.
    #[error("{call} failed: {error}")]
    Kvm {
        /// The request's name in the KVM API.
        call: &'static str,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// The size asked for guest memory is zero or not whole pages.
    #[error("guest memory of {0} bytes: must be a multiple of 4096 above zero")]
    MemorySize(u64),
    /// The host would not map the guest's memory.
    #[error("cannot map {bytes} bytes of guest memory: {reason}")]
    MapMemory {
        /// The size asked for.
        bytes: u64,
        /// What the mapper said.
        reason: String,
    },
    /// A thread can be kicked for one vCPU only.
    #[error("this thread already runs another vCPU")]
    ThreadTaken,
    /// The kick signal's handler could not be put in place.
    #[error("cannot prepare this thread for kicks: {0}")]
    Signal(#[source] io::Error),
    /// What KVM counts of a vCPU could not be read.
    #[error("cannot read a vCPU's statistics: {0}")]
    Statistics(#[source] io::Error),
    /// KVM took an immediate-exit request and ran the guest all the same.
    #[error("KVM_RUN ignored immediate_exit")]
    TouchRan,
}

impl HvError {
    /// An adapter for `map_err`: names the request that failed.
    pub(crate) fn kvm(call: &'static str) -> impl FnOnce(errno::Error) -> Self {
        move |error| Self::Kvm {
            call,
            error: io::Error::from_raw_os_error(error.errno()),
        }
    }
}
