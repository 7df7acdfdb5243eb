//! Why a machine process cannot go on.

use std::io;

use devices::DeviceError;
use hv::HvError;
use link::LinkError;

/// What ends a machine process other than its guest.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// No supervisor connected, or none said what to build, in time.
    #[error("no supervisor within {0} s")]
    NoSupervisor(u64),
    /// The link to the supervisor cannot be used.
    #[error("the link: {0}")]
    Link(#[from] LinkError),
    /// The supervisor speaks another protocol.
    #[error("the supervisor speaks version {theirs} of the link, this machine {ours}")]
    Version {
        /// The version in the supervisor's first message.
        theirs: u16,
        /// This program's.
        ours: u16,
    },
    /// The supervisor's first message was not the order to build a machine.
    #[error("the supervisor's first message was not Create")]
    OutOfOrder,
    /// The number of vCPUs is out of range.
    #[error("{asked} vCPUs: from 1 to {most} are possible")]
    Vcpus {
        /// The number asked for.
        asked: u16,
        /// The most there may be.
        most: u16,
    },
    /// What the guest starts with does not fit its memory.
    #[error("{what} does not fit {memory_bytes} bytes of guest memory: {reason}")]
    DoesNotFit {
        /// What was to be put there.
        what: &'static str,
        /// The size of guest memory.
        memory_bytes: u64,
        /// What the loader said.
        reason: String,
    },
    /// KVM refused.
    #[error(transparent)]
    Hypervisor(#[from] HvError),
    /// The device map is wrong.
    #[error(transparent)]
    Devices(#[from] DeviceError),
    /// The kernel refused a thread, a descriptor or a look into /proc.
    #[error("{doing}: {error}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// The guest's vsock address is out of range.
    #[error("vsock cid {0}: from 3 to 4294967294 are possible")]
    VsockCid(u32),
    /// The vsock device cannot listen at this path.
    #[error("vsock path {path:?}: {why}")]
    VsockPath {
        /// The path asked for.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The kernel refused a socket at the vsock device's path.
    #[error("vsock path {path:?}: {error}")]
    VsockSocket {
        /// The path asked for.
        path: String,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// A thread of this machine did not get ready.
    #[error("{0} did not get ready in time")]
    NotReady(String),
}

impl MachineError {
    /// An adapter for `map_err`: names what was being done.
    pub(crate) fn system<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| MachineError::System {
            doing,
            error: error.into(),
        }
    }

    /// The exit code of a process that ends for this reason.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            MachineError::NoSupervisor(_) | MachineError::Link(LinkError::Closed) => {
                crate::EXIT_NO_SUPERVISOR
            }
            MachineError::Link(_) | MachineError::Version { .. } | MachineError::OutOfOrder => {
                crate::EXIT_PROTOCOL
            }
            _ => crate::EXIT_BUILD,
        }
    }
}
