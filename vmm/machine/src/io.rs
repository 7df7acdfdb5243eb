//! `io`: the thread that owns the devices.
//!
//! It sleeps in epoll until a vCPU rings for an access that has an effect, or (later devices) a queue
//! or a back end does. It never waits for anything else, so a vCPU may wait for it. The console is
//! not its business: bytes that leave on the serial line go back to the vCPU that asked.

use std::thread::JoinHandle;

use actor::{Address, Closed, Mailbox, Reply, mailbox_with_doorbell};
use devices::{Ports, Serial};
use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};

use hv::EventFd;
use rustix::event::EventfdFlags;

use crate::MachineError;
use crate::control::Report;
use crate::threads;

/// Each vCPU has at most one request open, and `control` sends one at the end: it is never full.
const MAILBOX: usize = link::MAX_VCPUS as usize + 1;

/// One descriptor today; a handful of devices later.
const EVENTS_AT_ONCE: usize = 16;

/// A device's owner never waits for KVM to take an interrupt.
const INTERRUPT_FLAGS: i32 = EventfdFlags::CLOEXEC.union(EventfdFlags::NONBLOCK).bits() as i32;

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
    thread: JoinHandle<()>,
}

/// Start the thread, which reports its tid.
///
/// # Errors
/// No thread, or no descriptors for its event loop.
pub(crate) fn start(reports: Address<Report>) -> Result<Handle, MachineError> {
    let serial_interrupt = EventFd::new(INTERRUPT_FLAGS).map_err(eventfd())?;
    let serial = Serial::new(serial_interrupt.try_clone().map_err(eventfd())?);
    let ports = Ports::new(serial.registers())?;
    let (requests, mailbox) = mailbox_with_doorbell(MAILBOX).map_err(eventfd())?;
    let mut events =
        EventManager::new_with_capacity(EVENTS_AT_ONCE).map_err(MachineError::EventLoop)?;
    let io = Io {
        mailbox,
        serial,
        ended: false,
    };
    let thread = threads::spawn("io".into(), move || {
        let tid = threads::this_tid();
        if reports.send(Report::IoReady { tid }).is_ok() {
            io.run(&mut events);
        }
    })?;
    Ok(Handle {
        requests,
        ports,
        serial_interrupt,
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

fn eventfd() -> impl FnOnce(std::io::Error) -> MachineError {
    MachineError::system("make an eventfd")
}

struct Io {
    mailbox: Mailbox<Request>,
    serial: Serial,
    ended: bool,
}

impl Io {
    fn run(self, events: &mut EventManager<Io>) {
        let id = events.add_subscriber(self);
        while events.subscriber_mut(id).is_ok_and(|io| !io.ended) {
            if events.run().is_err() {
                // epoll_wait fails only for a descriptor that is none: a fault of ours. The requests
                // still open are answered by this end.
                return;
            }
        }
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::SerialWrite {
                offset,
                bytes,
                reply,
            } => reply.send(self.serial.write(offset, &bytes)),
            Request::SerialRead { offset, reply } => reply.send(self.serial.read(offset)),
            Request::End => self.ended = true,
        }
    }
}

impl MutEventSubscriber for Io {
    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {
        if let Some(bell) = self.mailbox.doorbell() {
            bell.clear();
        }
        loop {
            match self.mailbox.try_recv() {
                Ok(Some(request)) => self.on_request(request),
                Ok(None) => return,
                Err(Closed) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        let bell = self.mailbox.doorbell();
        let added = bell.map(|bell| ops.add(Events::new(bell, EventSet::IN)));
        // Without its bell the thread would never wake; it ends, and vCPUs learn it by their replies.
        self.ended = !matches!(added, Some(Ok(())));
    }
}
