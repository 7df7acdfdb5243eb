//! What the host's kernel can tell and do for the machines: confine a thread, read its bill, start
//! and end a process, describe the CPUs.
//!
//! Every function is a system call or a few, made by the calling thread and finished when it
//! returns; nothing here keeps a thread, a queue or a policy, and nothing knows a group or a VM. Most
//! take microseconds; those that do not say so. The unsafe code that the callers are spared is here,
//! in the modules that allow it by name.
//!
//! A thread id is only a label, which the kernel gives to another thread once its owner is dead. So
//! ids that come from outside are looked up in a [`TaskDirectory`], a process is held by its pidfd,
//! and a [`Thread`] by its directory in /proc: none of the three follows a reused number.

pub mod affinity;
mod cgroup;
pub mod checks;
mod clock;
mod counter;
mod cpu_controller;
mod error;
mod fit;
mod fork;
mod inherited;
mod malloc;
mod memory;
mod namespaces;
mod perf;
mod process;
mod procfs;
mod settlement;
mod thread;
pub mod topology;
mod tsc;

pub use clock::{monotonic_ns, own_cpu_time, tick};
pub use counter::{Counter, CounterReading, REFIT_SWITCHES};
pub use cpu_controller::{CgroupVersion, CpuController};
pub use error::{HostError, PinError};
pub use fork::{SETUP_FAILED, fork_process, fork_process_in, spawn_process, spawn_process_in};
pub use inherited::take_inherited;
pub use malloc::share_malloc_arena;
pub use memory::ProcessMemory;
pub use namespaces::{Namespace, Namespaces, UnknownNamespace, own_namespaces};
pub use perf::{ExactCounter, PerfKeepAlive};
pub use process::{End, Exit, Process, raise_descriptor_limit};
pub use rustix::io::Errno;
pub use rustix::process::Signal;
pub use settlement::{Settled, Settlement, settle};
pub use thread::{MAX_THREADS, TaskDirectory, Thread, Whereabouts};
pub use topology::resources;
pub use tsc::{Moment, cycles_from, tsc_khz};
