//! `io`: the thread that owns the devices.
//!
//! It sleeps in epoll until a vCPU rings for an access that has an effect, or a queue, a socket or the
//! clock does. It never waits for anything else, so a vCPU may wait for it. The console is not its business:
//! bytes that leave on the serial line go back to the vCPU that asked.
//!
//! ```text
//!             ┌─ turn ─────────────────────────────────────────────────────────┐
//!   epoll ───▶│ ≤ 16 events: the doorbell (≤ MAILBOX requests), queues, sockets │──▶ what is left, what is
//!     ▲       └─────────────────────────────────────────────────────────────────┘    due ──┐
//!     └────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The work of a turn is bounded, whatever asks for it, and whoever was not served in one is in the
//! next: epoll goes round the ready descriptors.

mod watcher;

use std::thread::JoinHandle;
use std::time::Instant;

use actor::{Address, Closed, Mailbox, Reply, mailbox_with_doorbell};
use devices::{Ports, Serial};
use hv::EventFd;
use rustix::event::EventfdFlags;

pub(crate) use watcher::{EventSet, Happened, Token, Watcher};

use crate::MachineError;
use crate::control::Report;
use crate::threads;
use crate::vsock::Channel;

/// Each vCPU has at most one request open. `control` sends two, the first before any vCPU runs and
/// answered by then, the second at the end: it is never full.
const MAILBOX: usize = link::MAX_VCPUS as usize + 1;

/// The mailbox's bell in the epoll set; the channel's tokens are higher.
const BELL: Token = Token(0);

/// A device's owner never waits for KVM to take an interrupt.
const EVENT_FLAGS: i32 = EventfdFlags::CLOEXEC.union(EventfdFlags::NONBLOCK).bits() as i32;

/// What is asked of the devices' owner.
#[derive(Debug)]
pub(crate) enum Request {
    /// Write bytes to a register of the serial port; answers those that left on the line, once the
    /// register file says what has changed.
    SerialWrite {
        offset: u8,
        bytes: Vec<u8>,
        reply: Reply<Vec<u8>>,
    },
    /// Read a register of the serial port, with the effect that has.
    SerialRead { offset: u8, reply: Reply<u8> },
    /// Take this vsock device over, too. It could not be made before the guest's memory was.
    TakeOver {
        channel: Box<Channel>,
        reply: Reply<Result<(), MachineError>>,
    },
    /// The vsock device's driver is set up; answered once the register file says so.
    Activate { reply: Reply<()> },
    /// The vsock device's driver wants it reset; answered once it is.
    Reset { reply: Reply<()> },
    /// There is no vCPU any more.
    End,
}

/// The thread, as `control` holds it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub requests: Address<Request>,
    /// What vCPU threads read of the devices.
    pub ports: Ports,
    /// The serial port's interrupt.
    pub serial_interrupt: EventFd,
    /// Where its events come from.
    pub watcher: Watcher,
    thread: JoinHandle<()>,
}

/// Start the thread, which reports its tid.
///
/// # Errors
/// No thread, or no descriptors for its event loop.
pub(crate) fn start(reports: Address<Report>) -> Result<Handle, MachineError> {
    let serial_interrupt = event()?;
    let serial = Serial::new(serial_interrupt.try_clone().map_err(no_event())?);
    let ports = Ports::new(serial.registers())?;
    let (requests, mailbox) = mailbox_with_doorbell(MAILBOX).map_err(no_event())?;
    let watcher = Watcher::new().map_err(MachineError::system("make an epoll set"))?;
    if let Some(bell) = mailbox.doorbell() {
        watcher
            .add(bell, BELL, EventSet::IN)
            .map_err(MachineError::system("watch a doorbell"))?;
    }
    let io = Io {
        mailbox,
        watcher: watcher.clone(),
        serial,
        channel: None,
    };
    let thread = threads::spawn("io".into(), move || {
        let tid = threads::this_tid();
        if reports.send(Report::IoReady { tid }).is_ok() {
            io.run();
        }
    })?;
    Ok(Handle {
        requests,
        ports,
        serial_interrupt,
        watcher,
        thread,
    })
}

impl Handle {
    /// End the thread and wait until it has.
    pub fn end(self) {
        let _ = self.requests.send(Request::End);
        let _ = self.thread.join();
    }
}

/// An eventfd that nobody waits for in read(2) or write(2).
///
/// # Errors
/// What eventfd(2) returns.
pub(crate) fn event() -> Result<EventFd, MachineError> {
    EventFd::new(EVENT_FLAGS).map_err(no_event())
}

fn no_event() -> impl FnOnce(std::io::Error) -> MachineError {
    MachineError::system("make an eventfd")
}

struct Io {
    mailbox: Mailbox<Request>,
    watcher: Watcher,
    serial: Serial,
    channel: Option<Box<Channel>>,
}

impl Io {
    fn run(mut self) {
        loop {
            let deadline = self.channel.as_ref().and_then(|channel| channel.deadline());
            let Ok(turn) = self.watcher.wait(deadline) else {
                // A fault of ours. The requests still open are answered by this end.
                return;
            };
            let now = Instant::now();
            for happened in turn {
                if happened.token == BELL {
                    if self.on_bell(now).is_err() {
                        return;
                    }
                } else if let Some(channel) = &mut self.channel {
                    channel.on_event(happened, now);
                }
            }
            if let Some(channel) = &mut self.channel {
                channel.on_turn(now);
            }
        }
    }

    /// Take what the mailbox holds, or [`Closed`] if this thread is to end.
    fn on_bell(&mut self, now: Instant) -> Result<(), Closed> {
        if let Some(bell) = self.mailbox.doorbell() {
            bell.clear();
        }
        for _ in 0..MAILBOX {
            match self.mailbox.try_recv()? {
                Some(Request::End) => return Err(Closed),
                Some(request) => self.on_request(request, now),
                None => return Ok(()),
            }
        }
        // vCPUs that ask again as soon as they are answered: the others have their turn first.
        if let Some(bell) = self.mailbox.doorbell() {
            bell.ring();
        }
        Ok(())
    }

    fn on_request(&mut self, request: Request, now: Instant) {
        match request {
            Request::SerialWrite {
                offset,
                bytes,
                reply,
            } => reply.send(self.serial.write(offset, &bytes)),
            Request::SerialRead { offset, reply } => reply.send(self.serial.read(offset)),
            Request::TakeOver { mut channel, reply } => {
                let attached = channel.attach();
                self.channel = Some(channel);
                reply.send(attached);
            }
            Request::Activate { reply } => {
                if let Some(channel) = &mut self.channel {
                    channel.activate(now);
                }
                reply.send(());
            }
            Request::Reset { reply } => {
                if let Some(channel) = &mut self.channel {
                    channel.reset(now);
                }
                reply.send(());
            }
            // Heard by whoever drains the mailbox.
            Request::End => {}
        }
    }
}
