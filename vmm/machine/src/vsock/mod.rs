//! The machine's vsock: the device, the host's ends of its connections, and where vCPUs meet it.
//!
//! ```text
//!  vCPU ── MMIO ──▶ Window ── activate, reset (asked of io) ─▶┐         ┌── clients ◀── PATH
//!   │               (register file)                           ▼         │
//!   └── notify ──▶ ioeventfd, one a queue ──────────────▶ [ device ⇄ relay ]──────────▶ PATH_PORT
//!  guest ◀── irqfd ◀──────────────────────────────────────────┘         │
//!                                          supervisor ◀── offer (report) ┘ port 1024
//! ```
//!
//! Made by `control` once the guest's memory is known, and owned by `io` from then on. The device
//! ([`devices::vsock`]) speaks virtio and keeps the credit; the [`relay`] has the sockets. Neither waits.
//! The hybrid convention is Firecracker's: a host's client says `CONNECT PORT` and is answered
//! `OK HOST_PORT` once the guest has accepted, or is closed.
//!
//! Pausing a machine stops its vCPUs only: what sockets deliver meanwhile fills the guest's queues as far
//! as its credit goes, and waits in the sockets from then on.

mod agents;
mod clients;
mod greeting;
mod path;
mod relay;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use actor::Address;
use devices::virtio::{MMIO_BYTES, MmioWrite, QUEUE_NOTIFY, Registers};
use devices::vsock::{Streams as _, Turn, VSOCK_GSI, VSOCK_MMIO_ADDRESS, VSOCK_QUEUES, Vsock};
use hv::{EventFd, IoEventAddress, Vm};
use link::VsockConfig;

pub(crate) use agents::SESSIONS;

use crate::MachineError;
use crate::control::Report;
use crate::io::{self, EventSet, Happened, Token, Watcher};
use relay::{Outcome, Relay};

/// The listening socket in the epoll set.
const LISTENER: Token = Token(1);
/// The kick of queue 0; those of the others follow.
const FIRST_KICK: u64 = 2;
/// Sockets have higher tokens.
const FIRST_SOCKET: u64 = FIRST_KICK + VSOCK_QUEUES as u64;

/// CIDs of guests begin here (0 to 2 are the hypervisor's, local and the host's), and end before the one
/// that means any.
const FIRST_CID: u32 = 3;

/// Where the guest rings, one a queue.
type Kicks = Arc<[EventFd]>;

/// The device as vCPU threads meet it. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    registers: Arc<Registers>,
    kicks: Kicks,
}

impl Window {
    /// The distance of `address` from the device's first register, if it is one of its.
    pub fn offset(address: u64) -> Option<u64> {
        address
            .checked_sub(VSOCK_MMIO_ADDRESS)
            .filter(|offset| *offset < MMIO_BYTES)
    }

    /// Read the register at `offset`.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        self.registers.read(offset, data);
    }

    /// Write the register at `offset`; returns what is left to do.
    pub fn write(&self, offset: u64, data: &[u8]) -> MmioWrite {
        self.registers.write(offset, data)
    }

    /// Ring for `queue`, if there is one: for a kernel that left that to us.
    pub fn ring(&self, queue: u16) {
        if let Some(kick) = self.kicks.get(usize::from(queue)) {
            // A bell that is rung already stays so.
            let _ = kick.write(1);
        }
    }
}

/// The device and its relay.
#[derive(Debug)]
pub(crate) struct Channel {
    device: Vsock,
    relay: Relay,
    kicks: Kicks,
    watcher: Watcher,
    /// The device has work left over from its last turn, at this time.
    more: Option<Instant>,
}

impl Channel {
    /// The device that `config` asks for in `vm`, with its interrupt line and its bells, listening at its
    /// path. Its events are to come from `watcher`.
    ///
    /// # Errors
    /// [`MachineError::VsockCid`], [`MachineError::VsockPath`], or what KVM or the kernel refused.
    pub fn new(
        vm: &Vm,
        config: &VsockConfig,
        watcher: Watcher,
        reports: Address<Report>,
    ) -> Result<Self, MachineError> {
        if !(FIRST_CID..u32::MAX).contains(&config.cid) {
            return Err(MachineError::VsockCid(config.cid));
        }
        let relay = Relay::new(config, watcher.clone(), reports)?;
        let interrupt = io::event()?;
        vm.irqfd(&interrupt, VSOCK_GSI)?;
        let kicks: Kicks = (0..VSOCK_QUEUES)
            .map(|_| io::event())
            .collect::<Result<_, _>>()?;
        for (queue, kick) in (0..).zip(kicks.iter()) {
            let address = IoEventAddress::Mmio(VSOCK_MMIO_ADDRESS + QUEUE_NOTIFY);
            vm.ioeventfd(kick, &address, Some(queue))?;
        }
        Ok(Channel {
            device: Vsock::new(vm.memory().clone(), config.cid, interrupt),
            relay,
            kicks,
            watcher,
            more: None,
        })
    }

    /// What vCPU threads need of it.
    pub fn window(&self) -> Window {
        Window {
            registers: self.device.registers(),
            kicks: Arc::clone(&self.kicks),
        }
    }

    /// Begin to hear the guest and the host.
    ///
    /// # Errors
    /// What epoll_ctl(2) returns.
    pub fn attach(&mut self) -> Result<(), MachineError> {
        for (token, kick) in (FIRST_KICK..).zip(self.kicks.iter()) {
            self.watcher
                .add(kick, Token(token), EventSet::IN)
                .map_err(MachineError::system("watch a queue"))?;
        }
        self.relay
            .open()
            .map_err(MachineError::system("watch a socket"))
    }

    /// The guest's driver is set up.
    pub fn activate(&mut self, now: Instant) {
        self.relay.set_time(now);
        self.device.activate();
    }

    /// The guest's driver wants the device as it was: every connection is closed.
    pub fn reset(&mut self, now: Instant) {
        self.relay.set_time(now);
        self.device.reset(&mut self.relay);
    }

    /// Something happened at one of its descriptors.
    pub fn on_event(&mut self, happened: Happened, now: Instant) {
        self.relay.set_time(now);
        let queue = happened.token.0.wrapping_sub(FIRST_KICK);
        let turn = match u16::try_from(queue) {
            Ok(queue) if queue < VSOCK_QUEUES => self.on_kick(queue, now),
            _ => {
                let outcome = self.relay.on_event(happened);
                self.on_outcome(outcome, now)
            }
        };
        self.note(turn, now);
    }

    /// The end of a turn: what is due, and what was left over.
    pub fn on_turn(&mut self, now: Instant) {
        self.relay.set_time(now);
        if self.relay.deadline().is_some_and(|due| due <= now) {
            self.relay.on_time();
        }
        if self.device.deadline().is_some_and(|due| due <= now) {
            let turn = self.device.on_time(now, &mut self.relay);
            self.note(turn, now);
        }
        for id in self.relay.take_missed() {
            let turn = self.device.on_ready(id, true, true, &mut self.relay, now);
            self.note(turn, now);
        }
        if self.more.take().is_some() {
            let turn = self.device.proceed(&mut self.relay, now);
            self.note(turn, now);
        }
    }

    /// When it has something to do unasked.
    pub fn deadline(&self) -> Option<Instant> {
        let device = self.device.deadline();
        let times = [self.more, device, self.relay.deadline()];
        times.into_iter().flatten().min()
    }

    fn on_kick(&mut self, queue: u16, now: Instant) -> Turn {
        if let Some(kick) = self.kicks.get(usize::from(queue)) {
            // Silenced before the queue is looked at: a ring that comes meanwhile is heard again.
            let _ = kick.read();
        }
        self.device.on_kick(queue, &mut self.relay, now)
    }

    fn on_outcome(&mut self, outcome: Outcome, now: Instant) -> Turn {
        match outcome {
            Outcome::None => Turn::Done,
            Outcome::Ready {
                id,
                readable,
                writable,
            } => self
                .device
                .on_ready(id, readable, writable, &mut self.relay, now),
            Outcome::Ask(id) => match self.device.request(id.host_port, id.guest_port, now) {
                Ok(_) => Turn::More,
                Err(_) => {
                    self.relay.close(id);
                    Turn::Done
                }
            },
            Outcome::Abandon(id) => self.device.abandon(id, &mut self.relay, now),
        }
    }

    fn note(&mut self, turn: Turn, now: Instant) {
        if turn == Turn::More {
            self.more = Some(now);
        }
    }
}
