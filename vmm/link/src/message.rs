//! What the two sides say. Every type here is read from a peer that is not trusted.

use serde::{Deserialize, Serialize};

/// The version of this protocol; a peer of another one is refused at the first message.
pub const VERSION: u16 = 3;

/// A machine has at most this many vCPUs: a set of them is the bits of an integer.
pub const MAX_VCPUS: u16 = 64;

/// From the supervisor to a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToMachine {
    /// The first message of all: version, then what to build.
    Create {
        /// [`VERSION`] of the sender.
        version: u16,
        /// The machine to build.
        machine: MachineConfig,
    },
    /// Every thread stands in its groups: enter the guest.
    Go,
    /// Leave the guest and stay out.
    Pause,
    /// Enter the guest again.
    Resume,
    /// These vCPUs are to stay out of the guest, and no others: each order replaces the one before. It may
    /// come before `Go`. A paused machine stays out all the same.
    Hold {
        /// A bit a vCPU, vCPU 0 lowest.
        vcpus: u64,
        /// Rises from order to order.
        number: u64,
    },
    /// End the guest in good order.
    Stop,
    /// Answer with the same number.
    Ping(u64),
}

/// From a machine to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSupervisor {
    /// The first message of all: these are my threads, all of them wait.
    Born {
        /// [`VERSION`] of the sender.
        version: u16,
        /// All threads of the process.
        threads: Vec<Thread>,
    },
    /// The machine could not be built; the process ends.
    Failed {
        /// One sentence, cut by the receiver.
        why: String,
    },
    /// A thread has ended.
    Ended {
        /// Which.
        kind: ThreadKind,
    },
    /// The first byte left the serial port at this CLOCK_MONOTONIC time.
    FirstOutput {
        /// Nanoseconds of CLOCK_MONOTONIC.
        monotonic_ns: u64,
    },
    /// The guest has ended; the process follows.
    Halted {
        /// How.
        cause: HaltCause,
    },
    /// All vCPUs are out of the guest.
    Paused,
    /// All vCPUs that are not held may enter the guest.
    Resumed,
    /// All vCPUs of this `Hold` are out of the guest. One that is replaced before it is answered is not
    /// answered any more.
    Held {
        /// The order's.
        number: u64,
    },
    /// Answer to a ping.
    Pong(u64),
    /// The guest has connected to the agent port. With this message alone travels a descriptor, which
    /// [`AgentStream`](crate::AgentStream) takes or the supervisor drops.
    Agent {
        /// The guest's port, below 1024.
        source_port: u32,
    },
}

/// What to build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// The machine's name: at most 32 bytes.
    pub name: String,
    /// Guest memory in bytes.
    pub memory_bytes: u64,
    /// Number of vCPUs, 1 to [`MAX_VCPUS`].
    pub vcpus: u16,
    /// What to boot.
    pub guest: Guest,
    /// Its virtio-vsock device, if it has one.
    pub vsock: Option<VsockConfig>,
}

/// A virtio-vsock device, and who is at the host's end of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsockConfig {
    /// The guest's address, from 3 up; 2^32 - 1 means any and is nobody's.
    pub cid: u32,
    /// The unix socket of the hybrid convention: a host's client connects to it and says `CONNECT PORT`;
    /// a guest's connection to a port goes to this path with `_PORT` after it. None: neither.
    pub path: Option<String>,
    /// Port 1024 leads to the supervisor.
    pub agent: bool,
}

/// What to boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guest {
    /// The built-in tiny guest with an encoded script.
    Tiny {
        /// The script in the encoding of the firmware crate.
        script: Vec<u8>,
    },
}

/// A thread of a machine process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// What it does.
    pub kind: ThreadKind,
    /// The host's thread id.
    pub tid: u32,
}

/// What a thread of a machine process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ThreadKind {
    /// Runs a virtual CPU.
    Vcpu(u16),
    /// Runs the devices.
    Io,
    /// Talks to the supervisor.
    Control,
    /// A helper that KVM started inside the process, by its ordinal.
    Kvm(u16),
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HaltCause {
    /// Every vCPU left by the exit port; the highest code.
    Exit(u8),
    /// The guest asked for a reset.
    Reset,
    /// A vCPU met something it cannot go on from.
    Fault {
        /// Which vCPU.
        vcpu: u16,
        /// One sentence, cut by the receiver.
        what: String,
    },
    /// The supervisor asked for it.
    Stopped,
}
