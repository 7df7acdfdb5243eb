//! The link: messages between the supervisor and one machine process, over a SOCK_SEQPACKET unix
//! socket.
//!
//! One packet is one message in postcard's encoding, at most [`MAX_FRAME`] bytes. The first message in
//! either direction carries a version. A packet that is cut short, too long, carries cut-off or
//! uninvited descriptors, or does not decode to the last byte is a [`LinkError`], after which the
//! link is not used again. Nothing here knows what a message means.
//!
//! A packet may carry one descriptor, which the receiver must ask for. The bytes of a guest's agent
//! run over a socket of their own, [`AgentStream`], so that no flood of them stands before a message.

mod agent;
mod listener;
mod message;
mod socket;

pub use agent::{AgentOffer, AgentStream};
pub use listener::{Listener, connect};
pub use message::{
    Guest, HaltCause, MAX_VCPUS, MachineConfig, Thread, ThreadKind, ToMachine, ToSupervisor,
    VERSION, VcpuCounts, VsockConfig,
};
pub use socket::{Link, LinkError, MAX_FRAME};
