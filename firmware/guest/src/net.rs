//! Connections over the vsock device: `virtio-drivers`' driver, and what it leaves to its user.
//!
//! The driver's own connection manager answers a shutdown of one direction with a reset as soon as its
//! buffer is read, and makes a buffer for every connection at once; so connections are kept here. Bytes
//! are copied once, from the packet into the connection's queue. A connection stays in the table until
//! it is forgotten (`connection`). What a packet costs stands with `registers`.

use alloc::vec::Vec;
use core::hint::spin_loop;

use virtio_drivers::device::socket::{
    DisconnectReason, SocketError, VirtIOSocket, VsockEvent, VsockEventType,
};

use crate::clock::Clock;
use crate::connection::{BUFFER_BYTES, Connection, Flow, Phase, deliver};
use crate::failure::Failure;
use crate::memory::OneToOne;
use crate::registers::Registers;
use crate::{cpu, halting};

/// Size of each of the driver's eight receive buffers. A packet is not longer, so larger ones mean
/// fewer packets; with the connections' queues they have to fit in the heap.
const RX_BUFFER_BYTES: usize = 64 * 1024;

/// Most bytes in one packet to the host.
const MAX_PACKET: usize = 64 * 1024;

/// How long a wait for credit halts before it asks for credit again.
const CREDIT_MICROSECONDS: u64 = 10_000;

/// The device, and its connections.
pub struct Net {
    socket: VirtIOSocket<OneToOne, Registers, RX_BUFFER_BYTES>,
    clock: Clock,
    connections: Vec<Connection>,
    listening: Option<u32>,
}

impl Net {
    /// Sets the device up.
    pub fn new(clock: Clock) -> Result<Self, Failure> {
        let registers = Registers::new(clock).ok_or(Failure::NoDevice)?;
        Ok(Self {
            socket: VirtIOSocket::new(registers)?,
            clock,
            connections: Vec::new(),
            listening: None,
        })
    }

    /// A deadline, so many seconds from now.
    pub fn seconds(&self, seconds: u64) -> u64 {
        self.clock.deadline(seconds * 1_000_000)
    }

    /// Asks for a connection.
    pub fn connect(&mut self, flow: Flow) -> Result<(), Failure> {
        self.forget(flow)?;
        let connection = Connection::new(flow, Phase::Asked);
        self.socket.connect(&connection.info)?;
        self.connections.push(connection);
        Ok(())
    }

    /// Asks for a connection and waits until it is there; false if it is refused.
    pub fn open(&mut self, flow: Flow, deadline: u64) -> Result<bool, Failure> {
        self.connect(flow)?;
        self.wait(deadline, |net| Ok(net.is_decided(flow).then_some(())))?;
        Ok(self.phase(flow) != Phase::Gone)
    }

    /// Whether a connection that was asked for has been made or refused.
    pub fn is_decided(&self, flow: Flow) -> bool {
        self.phase(flow) != Phase::Asked
    }

    /// Takes the next connection to `port`, and no other.
    pub fn accept(&mut self, port: u32, deadline: u64) -> Result<Flow, Failure> {
        self.listening = Some(port);
        let accepted = self.wait(deadline, |net| {
            let here = |connection: &&Connection| connection.flow.local == port;
            Ok(net.connections.iter().find(here).map(|found| found.flow))
        });
        self.listening = None;
        accepted
    }

    /// How far a connection has come. One that is not known is gone.
    pub fn phase(&self, flow: Flow) -> Phase {
        self.find(flow)
            .map_or(Phase::Gone, |connection| connection.phase)
    }

    /// Whether nothing more will come that has not.
    pub fn is_drained(&self, flow: Flow) -> bool {
        self.find(flow).is_none_or(|connection| {
            matches!(connection.phase, Phase::HalfClosed | Phase::Gone)
                && connection.received.is_empty()
        })
    }

    /// Sends all of `bytes`, waiting for credit. False if the connection is gone.
    ///
    /// `patience` bounds, in microseconds, each wait for credit.
    pub fn send(&mut self, flow: Flow, bytes: &[u8], patience: u64) -> Result<bool, Failure> {
        let mut rest = bytes;
        while !rest.is_empty() {
            // Empty receive buffers before each packet: a device whose answers find none may stop
            // taking what is sent.
            self.poll_all()?;
            let Some(at) = self.position(flow) else {
                return Ok(false);
            };
            let connection = &mut self.connections[at];
            if connection.phase == Phase::Gone {
                return Ok(false);
            }
            // With no credit the driver refuses, and asks the host for some if it has not yet.
            let length = rest.len().min(MAX_PACKET).min(connection.credit().max(1));
            match self.socket.send(&rest[..length], &mut connection.info) {
                Ok(()) => {
                    connection.sent = connection.sent.wrapping_add(length as u32);
                    connection.untold = 0;
                    rest = &rest[length..];
                }
                Err(virtio_drivers::Error::SocketDeviceError(
                    SocketError::InsufficientBufferSpaceInPeer,
                )) => self.wait_for_credit(flow, patience)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Waits until the host has room or the connection is gone. An answer to the driver's request may
    /// say "none" and be the last word for a host that tells nothing unasked, so it asks again now and
    /// then.
    fn wait_for_credit(&mut self, flow: Flow, patience: u64) -> Result<(), Failure> {
        let deadline = self.clock.deadline(patience);
        loop {
            let again = self.clock.deadline(CREDIT_MICROSECONDS).min(deadline);
            let has_credit = |net: &mut Self| {
                let connection = net.find(flow);
                let waits = connection
                    .is_some_and(|found| found.phase != Phase::Gone && found.credit() == 0);
                Ok((!waits).then_some(()))
            };
            match self.wait(again, has_credit) {
                Err(Failure::TimedOut) if cpu::timestamp() < deadline => {}
                other => return other,
            }
            let Some(at) = self.position(flow) else {
                return Ok(());
            };
            // One byte, for which there is no credit: the driver asks.
            let info = &mut self.connections[at].info;
            if self.socket.send(&[0], info).is_ok() {
                return Err(Failure::wrong("credit came from nowhere"));
            }
        }
    }

    /// Hands what has come to `take`, which says how many bytes of its start it took, and tells the host
    /// that there is room once half of it is free. Returns how many.
    pub fn take(
        &mut self,
        flow: Flow,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Result<usize, Failure> {
        let Some(at) = self.position(flow) else {
            return Ok(0);
        };
        let connection = &mut self.connections[at];
        let taken = take(connection.received.as_slices().0);
        connection.received.drain(..taken);
        connection.info.done_forwarding(taken);
        connection.untold += taken;
        if connection.untold >= BUFFER_BYTES / 2 && connection.phase == Phase::Open {
            connection.untold = 0;
            self.socket.credit_update(&connection.info)?;
        }
        Ok(taken)
    }

    /// Says that the guest will send and take no more, waits until the host has agreed, and forgets the
    /// connection. False if the host did neither agree nor say the same.
    pub fn close(&mut self, flow: Flow, deadline: u64) -> Result<bool, Failure> {
        if let Some(at) = self.position(flow)
            && self.connections[at].phase != Phase::Gone
        {
            self.socket.shutdown(&self.connections[at].info)?;
        }
        let end = self.wait(deadline, |net| {
            // What still comes is thrown away, lest it holds up the end.
            net.take(flow, |bytes| bytes.len())?;
            Ok((net.phase(flow) == Phase::Gone).then_some(()))
        });
        let agreed = match end {
            Ok(()) => true,
            Err(Failure::TimedOut) => self.phase(flow) == Phase::HalfClosed,
            Err(failure) => return Err(failure),
        };
        self.forget(flow)?;
        Ok(agreed)
    }

    /// Forgets a connection, with a reset if it is not gone.
    pub fn forget(&mut self, flow: Flow) -> Result<(), Failure> {
        if let Some(at) = self.position(flow) {
            let connection = self.connections.swap_remove(at);
            if connection.phase != Phase::Gone {
                self.socket.force_close(&connection.info)?;
            }
        }
        Ok(())
    }

    /// Waits until `done` gives something, looking at what comes meanwhile.
    pub fn wait<T>(
        &mut self,
        deadline: u64,
        mut done: impl FnMut(&mut Self) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let mut spin_end = self.clock.deadline(halting::SPIN_MICROSECONDS);
        loop {
            if let Some(result) = done(self)? {
                return Ok(result);
            }
            if self.poll()? {
                spin_end = self.clock.deadline(halting::SPIN_MICROSECONDS);
                continue;
            }
            let now = cpu::timestamp();
            if now >= deadline {
                return Err(Failure::TimedOut);
            }
            if now < spin_end {
                spin_loop();
            } else {
                halting::halt(self.clock, deadline);
            }
        }
    }

    /// Looks at all that has come and waits for nothing.
    pub fn poll_all(&mut self) -> Result<(), Failure> {
        while self.poll()? {}
        Ok(())
    }

    /// Looks at one packet, if one has come; whether one had.
    fn poll(&mut self) -> Result<bool, Failure> {
        let Self {
            socket,
            connections,
            ..
        } = self;
        let event =
            socket.poll(|event, body| deliver(connections, &event, body).map(|()| Some(event)))?;
        let Some(event) = event else {
            return Ok(false);
        };
        self.react(&event)?;
        Ok(true)
    }

    fn react(&mut self, event: &VsockEvent) -> Result<(), Failure> {
        let flow = Flow::of(event);
        let Some(at) = self.position(flow) else {
            return self.meet(event, flow);
        };
        let connection = &mut self.connections[at];
        match event.event_type {
            VsockEventType::Connected if connection.phase == Phase::Asked => {
                connection.phase = Phase::Open;
            }
            VsockEventType::CreditRequest => {
                connection.untold = 0;
                self.socket.credit_update(&connection.info)?;
            }
            VsockEventType::Disconnected { reason } if connection.phase != Phase::Gone => {
                connection.phase = match reason {
                    DisconnectReason::Reset => Phase::Gone,
                    DisconnectReason::Shutdown => Phase::HalfClosed,
                };
            }
            _ => {}
        }
        Ok(())
    }

    /// A packet of a connection that is not known: a request that is waited for, or nothing good.
    fn meet(&mut self, event: &VsockEvent, flow: Flow) -> Result<(), Failure> {
        let is_reset = VsockEventType::Disconnected {
            reason: DisconnectReason::Reset,
        };
        if event.event_type == is_reset {
            return Ok(());
        }
        let mut connection = Connection::new(flow, Phase::Open);
        let wanted = event.event_type == VsockEventType::ConnectionRequest
            && self.listening == Some(flow.local);
        if !wanted {
            self.socket.force_close(&connection.info)?;
            return Ok(());
        }
        self.listening = None;
        connection.update(event);
        self.socket.accept(&connection.info)?;
        self.connections.push(connection);
        Ok(())
    }

    fn position(&self, flow: Flow) -> Option<usize> {
        self.connections
            .iter()
            .position(|connection| connection.flow == flow)
    }

    fn find(&self, flow: Flow) -> Option<&Connection> {
        self.connections
            .iter()
            .find(|connection| connection.flow == flow)
    }
}
