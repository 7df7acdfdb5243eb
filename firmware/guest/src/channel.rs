//! The guest's one vsock device and its one session, used by one vCPU at a time.

use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

use agent_protocol::{Call, PORT, PRIVILEGED_PORTS, Refusal, Reply};

use crate::connection::Flow;
use crate::failure::Failure;
use crate::halting;
use crate::kept::{Item, Kept};
use crate::net::Net;
use crate::session::{Memory, PATIENCE_MICROSECONDS, PATIENCE_SECONDS, Session};
use crate::vcpu::Vcpu;

/// The first of the ports that connections of the data verbs come from.
const FIRST_OPEN_PORT: u32 = 49152;

/// How long a vCPU waits for its turn: longer than any verb waits for one thing.
const TURN_MICROSECONDS: u64 = 120_000_000;

/// How long the supervisor may take to agree to an end.
const CLOSING_SECONDS: u64 = 1;

static CHANNEL: Shared = Shared {
    held: AtomicBool::new(false),
    channel: UnsafeCell::new(None),
};

struct Shared {
    held: AtomicBool,
    channel: UnsafeCell<Option<Channel>>,
}

// SAFETY: `channel` is only reached through a `Turn`, of which there is one at a time.
unsafe impl Sync for Shared {}

/// The right to use the channel. Ends when dropped.
pub struct Turn(());

impl Turn {
    /// Waits for the channel.
    pub fn take(vcpu: Vcpu) -> Result<Self, Failure> {
        let deadline = vcpu.clock.deadline(TURN_MICROSECONDS);
        let free = || !CHANNEL.held.swap(true, Ordering::Acquire);
        if !vcpu.clock.wait_until(deadline, free) {
            return Err(Failure::TimedOut);
        }
        let mut turn = Self(());
        halting::take_over(vcpu);
        let channel = turn.slot().get_or_insert_with(|| Channel::new(vcpu));
        channel.memory.vcpu = vcpu;
        Ok(turn)
    }

    fn slot(&mut self) -> &mut Option<Channel> {
        // SAFETY: `held` is true from before this turn was made until it is dropped, so there is no
        // other turn, and this borrows the turn.
        unsafe { &mut *CHANNEL.channel.get() }
    }
}

impl Deref for Turn {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        // SAFETY: as in `slot`; a shared borrow of the turn allows only shared ones of the channel.
        match unsafe { &*CHANNEL.channel.get() } {
            Some(channel) => channel,
            None => unreachable!("a turn begins with a channel"),
        }
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut Channel {
        match self.slot() {
            Some(channel) => channel,
            None => unreachable!("a turn begins with a channel"),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        CHANNEL.held.store(false, Ordering::Release);
    }
}

/// The device, if it is set up, and the session, if one is open.
pub struct Channel {
    /// What outlives a session.
    pub memory: Memory,
    /// Connections that were opened to say nothing.
    pub half_open: Vec<Flow>,
    net: Option<Net>,
    session: Option<Session>,
    next_session_port: u32,
    next_open_port: u32,
}

impl Channel {
    fn new(vcpu: Vcpu) -> Self {
        Self {
            memory: Memory::new(vcpu),
            half_open: Vec::new(),
            net: None,
            session: None,
            next_session_port: PRIVILEGED_PORTS - 1,
            next_open_port: FIRST_OPEN_PORT,
        }
    }

    /// The vCPU whose turn it is.
    pub fn vcpu(&self) -> Vcpu {
        self.memory.vcpu
    }

    /// The device, set up.
    pub fn net(&mut self) -> Result<&mut Net, Failure> {
        if self.net.is_none() {
            self.net = Some(Net::new(self.memory.vcpu.clock)?);
        }
        self.net.as_mut().ok_or(Failure::NoDevice)
    }

    /// Resets the device, and with it all connections.
    pub fn drop_net(&mut self) {
        self.session = None;
        self.half_open.clear();
        self.net = None;
    }

    /// The port that the session comes from, if one is open.
    pub fn session_port(&self) -> Option<u32> {
        self.session.as_ref().map(|session| session.flow.local)
    }

    /// Ends the connections that were opened to say nothing.
    pub fn forget_half_open(&mut self) -> Result<(), Failure> {
        if let Some(net) = &mut self.net {
            for flow in core::mem::take(&mut self.half_open) {
                net.forget(flow)?;
            }
        }
        Ok(())
    }

    /// A port that no connection of this guest comes from yet.
    pub fn open_port(&mut self) -> u32 {
        let port = self.next_open_port;
        self.next_open_port = if port == u16::MAX.into() {
            FIRST_OPEN_PORT
        } else {
            port + 1
        };
        port
    }

    /// The session, opened if it is not, and what it is used with.
    pub fn session(&mut self) -> Result<(&mut Session, &mut Net, &mut Memory), Failure> {
        if self.session.is_none() {
            let port = self.next_session_port;
            self.next_session_port = if port > 1 {
                port - 1
            } else {
                PRIVILEGED_PORTS - 1
            };
            self.net()?;
            let Self {
                net: Some(net),
                memory,
                ..
            } = self
            else {
                return Err(Failure::NoDevice);
            };
            match Session::open(net, memory, port) {
                Ok(session) => self.session = Some(session),
                Err(failure) => {
                    let remote = PORT;
                    net.forget(Flow {
                        local: port,
                        remote,
                    })?;
                    return Err(failure);
                }
            }
        }
        match self {
            Self {
                session: Some(session),
                net: Some(net),
                memory,
                ..
            } => Ok((session, net, memory)),
            _ => Err(Failure::NoDevice),
        }
    }

    /// Asks the supervisor, and waits for the answer.
    pub fn call(&mut self, call: Call) -> Result<Result<Reply, Refusal>, Failure> {
        let (session, net, memory) = self.session()?;
        session.call(net, memory, call)
    }

    /// Waits until `pick` finds something among the events that are kept.
    pub fn wait_for_item(
        &mut self,
        deadline: u64,
        mut pick: impl FnMut(&mut Kept) -> Option<Item>,
    ) -> Result<Item, Failure> {
        self.wait_for(deadline, |memory| pick(&mut memory.kept))
    }

    /// Listens to the supervisor until `done` gives something.
    pub fn wait_for<T>(
        &mut self,
        deadline: u64,
        mut done: impl FnMut(&mut Memory) -> Option<T>,
    ) -> Result<T, Failure> {
        if let Some(result) = done(&mut self.memory) {
            return Ok(result);
        }
        let (session, net, memory) = self.session()?;
        net.wait(deadline, |net| {
            loop {
                let heard = session.pump_one(net, memory);
                // What came before the end counts.
                match done(memory) {
                    Some(result) => return Ok(Some(result)),
                    None if heard? => {}
                    None => return Ok(None),
                }
            }
        })
    }

    /// Sends bytes that are no message, in place of one.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        let (session, net, _) = self.session()?;
        net.send(session.flow, bytes, PATIENCE_MICROSECONDS)
    }

    /// Closes the session, if one is open: by agreement where the supervisor agrees.
    pub fn close(&mut self) -> Result<(), Failure> {
        if let (Some(session), Some(net)) = (self.session.take(), &mut self.net) {
            let deadline = net.seconds(CLOSING_SECONDS);
            net.close(session.flow, deadline)?;
        }
        Ok(())
    }

    /// Forgets the session with a reset, if one is open: after a failure nothing on it can be trusted.
    pub fn abandon(&mut self) -> Result<(), Failure> {
        if let (Some(session), Some(net)) = (self.session.take(), &mut self.net) {
            net.forget(session.flow)?;
        }
        Ok(())
    }

    /// Opens a connection to a port of the host, from an unprivileged port.
    pub fn connect(&mut self, remote: u32) -> Result<Flow, Failure> {
        let local = self.open_port();
        let flow = Flow { local, remote };
        let net = self.net()?;
        if net.open(flow, net.seconds(PATIENCE_SECONDS))? {
            return Ok(flow);
        }
        net.forget(flow)?;
        Err(Failure::Wrong(
            alloc::format!("port {remote} refused the connection").into(),
        ))
    }
}
