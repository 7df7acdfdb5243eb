//! A machine process: one VM, its vCPU threads and its devices.
//!
//! ```text
//!                 supervisor
//!                     │ link
//!   ┌─────────────────┴──────────────────┐
//!   │ control: link, life of the machine │──── command + kick ────▶ vcpu0 … vcpuN
//!   └──▲──────────────────▲──────────────┘                             │     │
//!      │ report           └───────────── report ───────────────────────┤     │ string of bytes
//!   ┌──┴─────────────────────────┐                                     │     ▼
//!   │ io: owner of the devices   │◀──── ask (access with an effect) ───┤   console pipe
//!   └──▲───────────────────▲─────┘                                     │
//!      │ unix sockets      └────────── ioeventfd (queue notify) ◀──────┘
//!   host's clients and servers of the guest's vsock
//! ```
//!
//! Who waits for whom: a vCPU waits for `io` (an access with an effect) and, for a bounded time, for the
//! reader of the console; `control` waits for a thread that has said that it ends, and once, before any
//! vCPU runs, for `io` to take over the vsock device; `io` waits for nobody. Nobody but `control`
//! touches the link, and each of its sends is bounded in time. There is no lock. What threads see of
//! each other beyond messages are the register files of [`devices`], the console's counters, made of
//! atomics, and the eventfds that a guest rings for its queues.
//!
//! [`run`] is the life of the process. It builds what the supervisor orders, announces every thread
//! of the process, and enters the guest no sooner than the supervisor says `Go`; the vCPU threads wait
//! for that in their mailboxes, so there is no path into the guest before it. The machine ends with
//! its guest, by order, or when its supervisor is gone.
//!
//! The exit code of the process, for a reader that has no link; the link's `Halted` says more:
//!
//! | code | end |
//! |---|---|
//! | the guest's | all vCPUs left by the exit port; the highest code |
//! | 0 | stopped by order, or the guest asked for a reset or a power-off |
//! | 69 | no supervisor came, or it went away |
//! | 70 | a vCPU met a fault |
//! | 71 | the machine could not be built |
//! | 76 | the supervisor broke the protocol or speaks another version |

mod board;
mod builder;
mod console;
mod control;
mod cradle;
mod error;
mod io;
mod life;
mod peer;
mod threads;
mod vcpu;
mod vsock;

use std::os::fd::OwnedFd;

use link::{Listener, ToSupervisor};
use rustix::fs::Mode;

pub use error::MachineError;

use cradle::Cradle;
use peer::Peer;

/// Exit code: no supervisor came, or it went away (EX_UNAVAILABLE of sysexits.h).
pub const EXIT_NO_SUPERVISOR: u8 = 69;
/// Exit code: a vCPU met a fault (EX_SOFTWARE).
pub const EXIT_FAULT: u8 = 70;
/// Exit code: the machine could not be built (EX_OSERR).
pub const EXIT_BUILD: u8 = 71;
/// Exit code: the supervisor broke the protocol (EX_PROTOCOL).
pub const EXIT_PROTOCOL: u8 = 76;

/// What the process makes in the file system, the vsock device's socket, is for owner and group, whatever mask it inherits.
const MASK: Mode = Mode::from_raw_mode(0o007);

/// The tiny guest, as the binary hands it over.
#[derive(Clone, Copy, Debug)]
pub struct TinyImage {
    /// An ELF file to be loaded at its physical addresses; every vCPU starts at its entry point.
    pub elf: &'static [u8],
    /// Guest-physical address of the top page table, which the image contains.
    pub page_table_root: u64,
    /// Guest-physical address of the boot page.
    pub boot_page_address: u64,
    /// Makes the boot page: number of vCPUs, rate of the time stamp counter, encoded script.
    pub boot_page: fn(vcpus: u16, tsc_khz: u32, script: &[u8]) -> Vec<u8>,
}

/// What a machine process starts with.
#[derive(Debug)]
pub struct Inheritance {
    /// Where the supervisor will connect.
    pub listener: Listener,
    /// An open `/dev/kvm`.
    pub kvm: OwnedFd,
    /// Where the serial port's output goes: the write end of a pipe. It is made non-blocking.
    pub console: OwnedFd,
    /// The built-in guest.
    pub tiny: TinyImage,
}

/// The whole life of a machine process; returns its exit code. The calling thread, which should be
/// the process's only one, becomes `control`.
///
/// The caller owes: SIGPIPE ignored, as every Rust program has it; no other descriptors open; the
/// process exits with the code returned, also if a thread should be left behind.
pub fn run(inheritance: Inheritance) -> u8 {
    threads::name_this_thread(c"control");
    rustix::process::umask(MASK);
    live(inheritance).unwrap_or_else(|error| error.exit_code())
}

fn live(inheritance: Inheritance) -> Result<u8, MachineError> {
    let Inheritance {
        listener,
        kvm,
        console,
        tiny,
    } = inheritance;
    let cradle = Cradle::new(console, kvm);
    let (peer, config) = Peer::meet(listener)?;
    let started = cradle.and_then(|cradle| cradle.grow(&tiny, &config));
    match started {
        Ok(control) => control.run(peer),
        Err(error) => {
            let why = error.to_string();
            let _ = peer.send(&ToSupervisor::Failed { why });
            Err(error)
        }
    }
}
