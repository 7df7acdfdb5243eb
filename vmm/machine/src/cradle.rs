//! From a process to a machine whose vCPUs wait for their order to enter.
//!
//! [`Cradle::new`] makes what does not depend on the order, while the supervisor is on its way, and
//! [`Cradle::grow`] the rest: memory, guest, vsock device, vCPU threads.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use actor::{Address, Mailbox, mailbox_with_doorbell};
use hv::{BlankVm, Entry, Hypervisor};
use link::MachineConfig;

use crate::board::Board;
use crate::console::Console;
use crate::control::{Control, MAILBOX, Report};
use crate::io::{self, Request};
use crate::vsock::Channel;
use crate::{MachineError, TinyImage, builder, vcpu};

/// What a machine has that does not depend on its order: made while the supervisor is on its way.
#[derive(Debug)]
pub(crate) struct Cradle {
    reports: Address<Report>,
    mailbox: Mailbox<Report>,
    io: io::Handle,
    console: Console,
    blank: BlankVm,
}

impl Cradle {
    /// Start `io`, take the console, and make a VM without memory.
    ///
    /// # Errors
    /// No thread, no descriptors, or KVM refuses.
    pub fn new(console: OwnedFd, kvm: OwnedFd) -> Result<Self, MachineError> {
        let (reports, mailbox) =
            mailbox_with_doorbell(MAILBOX).map_err(MachineError::system("make an eventfd"))?;
        Ok(Cradle {
            io: io::start(reports.clone())?,
            console: Console::new(console)?,
            blank: Hypervisor::from_fd(kvm).blank_vm()?,
            reports,
            mailbox,
        })
    }

    /// Build what `config` says, start its vCPU threads, and wait until each waits for its orders.
    ///
    /// # Errors
    /// Something could not be built, or a thread did not get ready.
    pub fn grow(self, tiny: &TinyImage, config: &MachineConfig) -> Result<Control, MachineError> {
        let (vm, entry) = builder::build(self.blank, tiny, config, &self.io.serial_interrupt)?;
        let vm = Arc::new(vm);
        let (window, taken) = match &config.vsock {
            Some(vsock) => {
                let (watcher, reports) = (self.io.watcher.clone(), self.reports.clone());
                let channel = Box::new(Channel::new(&vm, vsock, watcher, reports)?);
                let window = channel.window();
                let taken = self
                    .io
                    .requests
                    .ask(|reply| Request::TakeOver { channel, reply });
                (Some(window), Some(taken))
            }
            None => (None, None),
        };
        let start = |index: u16| {
            let entry = Entry {
                argument: index.into(),
                ..entry
            };
            let (ports, requests) = (self.io.ports.clone(), self.io.requests.clone());
            let (console, reports) = (self.console.clone(), self.reports.clone());
            let board = Board::new(ports, window.clone(), requests, console, reports);
            vcpu::start(index, Arc::clone(&vm), entry, board)
        };
        let vcpus = (0..config.vcpus).map(start).collect::<Result<_, _>>()?;
        let mut control = Control::new(self.mailbox, vcpus, self.io, self.console, vm);
        control.await_ready()?;
        if let Some(taken) = taken {
            let ended = |_| MachineError::NotReady("io".into());
            taken.and_then(|taken| taken.wait()).map_err(ended)??;
        }
        Ok(control)
    }
}
