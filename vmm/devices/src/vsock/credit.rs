//! Credit (VIRTIO 1.2, 5.10.6.3): how much each side of a connection may send.
//!
//! All counters are free-running 32-bit counts of bytes; only differences mean anything, and they are
//! taken modulo 2^32.

/// The peer has sent more than it was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overrun;

/// What the guest may send.
///
/// `told_fwd_cnt`, `fwd_cnt` and `received` follow one another on the circle, never more than
/// `buf_alloc` apart: bytes up to `fwd_cnt` have gone to the stream, those up to `received` wait,
/// and of those after `told_fwd_cnt` the guest believes that they wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    buf_alloc: u32,
    fwd_cnt: u32,
    told_fwd_cnt: u32,
    received: u32,
}

impl Granted {
    /// Room for `buf_alloc` bytes, counted from `first` (0 but in tests).
    pub fn new(buf_alloc: u32, first: u32) -> Self {
        Granted {
            buf_alloc,
            fwd_cnt: first,
            told_fwd_cnt: first,
            received: first,
        }
    }

    /// The size of the room.
    pub fn buf_alloc(&self) -> u32 {
        self.buf_alloc
    }

    /// The guest has sent `bytes`.
    ///
    /// # Errors
    /// By what it was told it had no right to; nothing is counted.
    pub fn receive(&mut self, bytes: u32) -> Result<(), Overrun> {
        let unacknowledged = self.received.wrapping_sub(self.told_fwd_cnt);
        match unacknowledged.checked_add(bytes) {
            Some(total) if total <= self.buf_alloc => {
                self.received = self.received.wrapping_add(bytes);
                Ok(())
            }
            _ => Err(Overrun),
        }
    }

    /// `bytes` of what was received have gone on.
    pub fn forward(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.received.wrapping_sub(self.fwd_cnt));
        self.fwd_cnt = self.fwd_cnt.wrapping_add(bytes);
    }

    /// Should the guest be told of room? Once half of it is free without the guest's knowing. So it
    /// hears twice for each `buf_alloc` bytes, and one that has run out of credit hears by the time
    /// half of it is back.
    pub fn update_due(&self) -> bool {
        self.fwd_cnt.wrapping_sub(self.told_fwd_cnt) >= self.buf_alloc / 2
    }

    /// `buf_alloc` and `fwd_cnt` for a packet that goes to the guest now.
    pub fn tell(&mut self) -> (u32, u32) {
        self.told_fwd_cnt = self.fwd_cnt;
        (self.buf_alloc, self.fwd_cnt)
    }
}

/// What the guest lets us send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    tx_cnt: u32,
    peer_buf_alloc: u32,
    peer_fwd_cnt: u32,
}

impl Allowed {
    /// None before the guest says so; counted from `first` (0 but in tests).
    pub fn new(first: u32) -> Self {
        Allowed {
            tx_cnt: first,
            peer_buf_alloc: 0,
            peer_fwd_cnt: first,
        }
    }

    /// What a packet of the guest's says.
    pub fn update(&mut self, buf_alloc: u32, fwd_cnt: u32) {
        self.peer_buf_alloc = buf_alloc;
        self.peer_fwd_cnt = fwd_cnt;
    }

    /// How many bytes may go now. None as long as the guest claims to have had more than was sent, or
    /// to have less room than is under way.
    pub fn bytes(&self) -> u32 {
        let under_way = self.tx_cnt.wrapping_sub(self.peer_fwd_cnt);
        self.peer_buf_alloc.saturating_sub(under_way)
    }

    /// `bytes` go.
    pub fn send(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.bytes());
        self.tx_cnt = self.tx_cnt.wrapping_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn credit_counts_as_if_counters_never_wrapped(
            first in prop_oneof![any::<u32>(), u32::MAX - 3000..=u32::MAX],
            steps in proptest::collection::vec((any::<bool>(), 0u32..2000), 0..100),
        ) {
            let mut granted = Granted::new(1000, first);
            let mut allowed = Allowed::new(first);
            allowed.update(1000, first);
            let (mut sent, mut forwarded) = (0u64, 0u64);
            for (send, bytes) in steps {
                if send {
                    let right = 1000 - (sent - forwarded);
                    prop_assert_eq!(u64::from(allowed.bytes()), right);
                    let fits = u64::from(bytes) <= right;
                    prop_assert_eq!(granted.receive(bytes).is_ok(), fits);
                    if fits {
                        allowed.send(bytes);
                        sent += u64::from(bytes);
                    }
                } else {
                    let bytes = u64::from(bytes).min(sent - forwarded);
                    granted.forward(bytes as u32);
                    forwarded += bytes;
                    let (buf_alloc, fwd_cnt) = granted.tell();
                    allowed.update(buf_alloc, fwd_cnt);
                }
            }
        }
    }

    #[test]
    fn a_guest_that_believes_the_room_full_hears_once_half_is_free() {
        let mut granted = Granted::new(100, u32::MAX - 10);
        granted.receive(100).unwrap();
        assert_eq!(granted.receive(1), Err(Overrun));
        granted.forward(49);
        assert!(!granted.update_due());
        granted.forward(1);
        assert!(granted.update_due());
        // Room that the guest does not know of is not its to use.
        assert_eq!(granted.receive(1), Err(Overrun));
        granted.tell();
        assert!(!granted.update_due());
        granted.receive(50).unwrap();
    }

    #[test]
    fn a_guest_that_lies_about_credit_gets_nothing() {
        let mut allowed = Allowed::new(0);
        allowed.update(u32::MAX, 1);
        assert_eq!(allowed.bytes(), 0);
        allowed.update(100, 0);
        allowed.send(100);
        allowed.update(50, 20);
        assert_eq!(allowed.bytes(), 0);
        allowed.update(100, 20);
        assert_eq!(allowed.bytes(), 20);
    }
}
