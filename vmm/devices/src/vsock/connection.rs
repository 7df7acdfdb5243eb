//! One connection: what state it is in and what it owes the guest.
//!
//! ```text
//!   host asks                                     guest asks (REQUEST), host accepts
//!      │                                             │
//!  Requested ────────RESPONSE──────────▶ Established ◀┘
//!      │                                  │        │
//!      │ 2 s, RST,             guest: SHUTDOWN    host's ends over, whichever way:
//!      │ abandoned             of both ways       SHUTDOWN of both ways to the guest,
//!      │                                  │       stream closed
//!      │                                  ▼        ▼
//!      │                            Draining      Closing
//!      │   the stream has taken all that  │        │  RST, or SHUTDOWN of both ways,
//!      │   waited, or takes nothing for   │        │  or nothing for 8 s
//!      │   8 s: RST                       ▼        ▼
//!      └────────────────────────────────▶ gone ◀───┘   (from anywhere: RST, a broken rule)
//! ```
//!
//! A half-closed connection is Established: one direction still works. A connection knows neither its
//! name nor its stream; [`super::table`] does, and changes it on both sides' behalf.

use std::collections::VecDeque;
use std::time::Instant;

use super::credit::{Allowed, Granted};
use super::spec::{op, shutdown};
use super::streams::Interest;

/// See the module's diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Requested,
    Established,
    Draining,
    Closing,
}

/// Control packets that are to go to the guest. A flag each, so however often one comes due, it waits
/// once: a guest that takes no packets makes nothing grow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owed {
    pub request: bool,
    pub response: bool,
    pub credit_request: bool,
    pub credit_update: bool,
    /// Directions whose end the guest is to hear of.
    pub shutdown: u32,
}

impl Owed {
    fn any(&self) -> bool {
        self.request
            || self.response
            || self.credit_request
            || self.credit_update
            || self.shutdown != 0
    }

    /// The next packet: its operation and flags.
    fn take(&mut self) -> Option<(u16, u32)> {
        let take = std::mem::take::<bool>;
        let op = if take(&mut self.request) {
            op::REQUEST
        } else if take(&mut self.response) {
            op::RESPONSE
        } else if take(&mut self.credit_request) {
            op::CREDIT_REQUEST
        } else if self.shutdown != 0 {
            return Some((op::SHUTDOWN, std::mem::take(&mut self.shutdown)));
        } else if take(&mut self.credit_update) {
            op::CREDIT_UPDATE
        } else {
            return None;
        };
        Some((op, 0))
    }
}

/// A connection between the guest and a stream.
#[derive(Debug)]
pub(super) struct Connection {
    pub state: State,
    pub granted: Granted,
    pub allowed: Allowed,
    /// Bytes from the guest that the stream had no room for.
    pub waiting: VecDeque<u8>,
    pub owed: Owed,
    /// Directions the guest has ended.
    pub guest_shutdown: u32,
    /// The guest has sent RST while it was waited for the stream.
    pub guest_gone: bool,
    /// The host's side will send no more.
    pub host_ended: bool,
    /// The host's side will take no more.
    pub host_deaf: bool,
    /// The stream knows that the guest will send no more.
    pub end_told: bool,
    /// The stream may have something to read.
    pub readable: bool,
    /// The guest was asked for credit since it last had any to give.
    pub credit_asked: bool,
    /// It stands in the line for the guest's buffers.
    pub in_line: bool,
    pub watched: Interest,
    pub deadline: Option<Instant>,
}

impl Connection {
    /// A connection with room for `buf_alloc` bytes of the guest's, its counters at `first`.
    pub fn new(state: State, buf_alloc: u32, first: u32) -> Self {
        Connection {
            state,
            granted: Granted::new(buf_alloc, first),
            allowed: Allowed::new(first),
            waiting: VecDeque::new(),
            owed: Owed::default(),
            guest_shutdown: 0,
            guest_gone: false,
            host_ended: false,
            host_deaf: false,
            end_told: false,
            readable: false,
            credit_asked: false,
            in_line: false,
            watched: Interest::default(),
            deadline: None,
        }
    }

    /// May bytes still go to the guest?
    pub fn sends(&self) -> bool {
        self.state == State::Established
            && !self.host_ended
            && self.guest_shutdown & shutdown::RECEIVE == 0
    }

    /// Are there packets to go to the guest, or perhaps?
    pub fn has_packets(&self) -> bool {
        self.owed.any() || (self.readable && self.sends() && self.allowed.bytes() > 0)
    }

    /// The next control packet owed: its operation and flags.
    pub fn take_owed(&mut self) -> Option<(u16, u32)> {
        self.owed.take()
    }

    /// `buf_alloc` and `fwd_cnt` for a packet that goes now; an update of them is owed no more.
    pub fn tell_credit(&mut self) -> (u32, u32) {
        self.owed.credit_update = false;
        self.granted.tell()
    }

    /// What to be told of its stream. Not of what is known to be readable: that waits for the guest.
    pub fn interest(&self) -> Interest {
        Interest {
            readable: self.sends() && !self.readable && self.allowed.bytes() > 0,
            writable: !self.waiting.is_empty(),
        }
    }

    /// The stream has taken `bytes` of what was received.
    pub fn forward(&mut self, bytes: usize) {
        // At most `buf_alloc` bytes wait, so it fits.
        self.granted.forward(bytes as u32);
        // A guest that has ended both directions asks for no more.
        if self.state == State::Established && self.granted.update_due() {
            self.owed.credit_update = true;
        }
    }

    /// The host's side takes no more: what waits for it is dropped.
    pub fn deafen(&mut self) {
        self.host_deaf = true;
        let dropped = self.waiting.len();
        self.waiting = VecDeque::new();
        self.forward(dropped);
    }

    /// Has the guest ended its direction, and the stream all of it?
    pub fn delivered(&self) -> bool {
        self.guest_shutdown & shutdown::SEND != 0 && self.waiting.is_empty()
    }

    /// Can no byte pass any more, in either direction?
    pub fn over(&self) -> bool {
        (self.host_deaf || self.delivered()) && !self.sends()
    }
}
