//! The vsock verbs as bytes: all of one shape, a code, two numbers and a text.
//!
//! One source file, compiled into the guest, which decodes, and into the crate that hands the guest
//! out, which encodes. Numbers are little-endian.

/// One thing for a vCPU to do with the vsock device. What each prints stands with the script language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb<'a> {
    /// Print the groups of a hierarchy, or of all if the name is empty.
    Tree(&'a str),
    /// Print the roots of the view.
    Roots,
    /// Print a file: `GROUP FILE`.
    Get(&'a str),
    /// Change groups: what [`changes`](crate::change::changes) reads.
    Change(&'a str),
    /// So many round trips with the supervisor.
    Ping(u64),
    /// So many reads of a register.
    Exits(u64),
    /// Have events pushed.
    Subscribe,
    /// Have none pushed any more.
    Unsubscribe,
    /// Wait until a group is released.
    WaitRelease(&'a str),
    /// Wait for the next event.
    WaitEvent,
    /// Wait for releases, and connect anew after so many of them, unless that is 0.
    Collect {
        /// How many to wait for.
        releases: u64,
        /// How many a connection.
        each: u64,
    },
    /// Wait for so many releases and note when they came.
    Stamp(u64),
    /// Close the session and open another.
    Reconnect,
    /// Close the session.
    Disconnect,
    /// Answer the host until it asks to end.
    Serve,
    /// Send bytes to a port of the host.
    Send {
        /// The port.
        port: u32,
        /// How many.
        bytes: u64,
    },
    /// Receive bytes from a port of the host.
    Receive {
        /// The port.
        port: u32,
        /// How many.
        bytes: u64,
    },
    /// Accept a connection at a port of the guest and echo what comes.
    Accept(u32),
    /// Exchange small messages with an echoing port of the host.
    Rtt {
        /// The port.
        port: u32,
        /// How many.
        rounds: u64,
    },
    /// Send so many requests without reading an answer.
    Flood(u64),
    /// Send a frame that is no message.
    Garbage,
    /// Send the length of a frame of 4 GiB.
    Huge,
    /// Open so many connections and say nothing.
    HalfOpen(u64),
    /// Connect from a port that any process could have.
    Unprivileged,
    /// Set up a malformed queue.
    BadQueue(BadQueue),
}

/// What is wrong with a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadQueue {
    /// Two descriptors that name each other as the next.
    Loop,
    /// A descriptor of memory that does not exist.
    Outside,
    /// A descriptor of nothing.
    Empty,
    /// More is available than the queue holds.
    Jump,
}

impl BadQueue {
    /// All of them, in the order of their numbers on the wire.
    pub const ALL: [Self; 4] = [Self::Loop, Self::Outside, Self::Empty, Self::Jump];

    /// What a script calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Outside => "outside",
            Self::Empty => "empty",
            Self::Jump => "jump",
        }
    }
}

impl<'a> Verb<'a> {
    /// Hands the bytes of this verb to `out`, piece by piece.
    pub fn encode(&self, mut out: impl FnMut(&[u8])) {
        let (code, a, b, text) = self.parts();
        // A line of a script is never so long that its text would be cut.
        let text = &text.as_bytes()[..text.len().min(u16::MAX.into())];
        out(&[code]);
        out(&a.to_le_bytes());
        out(&b.to_le_bytes());
        out(&(text.len() as u16).to_le_bytes());
        out(text);
    }

    /// The verb at the start of `bytes`, and the bytes after it, or nothing if they are none.
    pub fn decode(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[code], bytes) = bytes.split_first_chunk()?;
        let (a, bytes) = bytes.split_first_chunk()?;
        let (b, bytes) = bytes.split_first_chunk()?;
        let (length, bytes) = bytes.split_first_chunk()?;
        let (text, rest) = bytes.split_at_checked(u16::from_le_bytes(*length).into())?;
        let text = core::str::from_utf8(text).ok()?;
        let verb = Self::of(code, u64::from_le_bytes(*a), u64::from_le_bytes(*b), text)?;
        Some((verb, rest))
    }

    /// What a message about this verb calls it: its first word.
    pub fn name(&self) -> &'a str {
        match self {
            Self::Tree(_) => "tree",
            Self::Roots => "roots",
            Self::Get(_) => "get",
            Self::Change(line) => line.split_whitespace().next().unwrap_or("change"),
            Self::Ping(_) => "ping",
            Self::Exits(_) => "exits",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::WaitRelease(_) | Self::WaitEvent => "wait",
            Self::Collect { .. } => "collect",
            Self::Stamp(_) => "stamp",
            Self::Reconnect => "reconnect",
            Self::Disconnect => "disconnect",
            Self::Serve => "serve",
            Self::Send { .. } => "send",
            Self::Receive { .. } => "receive",
            Self::Accept(_) => "accept",
            Self::Rtt { .. } => "rtt",
            Self::Flood(_) => "flood",
            Self::Garbage => "garbage",
            Self::Huge => "huge",
            Self::HalfOpen(_) => "half-open",
            Self::Unprivileged => "unprivileged",
            Self::BadQueue(_) => "badqueue",
        }
    }

    fn parts(&self) -> (u8, u64, u64, &'a str) {
        match *self {
            Self::Tree(hierarchy) => (1, 0, 0, hierarchy),
            Self::Roots => (2, 0, 0, ""),
            Self::Get(operands) => (3, 0, 0, operands),
            Self::Change(line) => (4, 0, 0, line),
            Self::Ping(count) => (5, count, 0, ""),
            Self::Exits(count) => (6, count, 0, ""),
            Self::Subscribe => (7, 0, 0, ""),
            Self::Unsubscribe => (8, 0, 0, ""),
            Self::WaitRelease(group) => (9, 0, 0, group),
            Self::WaitEvent => (10, 0, 0, ""),
            Self::Collect { releases, each } => (11, releases, each, ""),
            Self::Stamp(count) => (12, count, 0, ""),
            Self::Reconnect => (13, 0, 0, ""),
            Self::Disconnect => (14, 0, 0, ""),
            Self::Serve => (15, 0, 0, ""),
            Self::Send { port, bytes } => (16, port.into(), bytes, ""),
            Self::Receive { port, bytes } => (17, port.into(), bytes, ""),
            Self::Accept(port) => (18, port.into(), 0, ""),
            Self::Rtt { port, rounds } => (19, port.into(), rounds, ""),
            Self::Flood(count) => (20, count, 0, ""),
            Self::Garbage => (21, 0, 0, ""),
            Self::Huge => (22, 0, 0, ""),
            Self::HalfOpen(count) => (23, count, 0, ""),
            Self::Unprivileged => (24, 0, 0, ""),
            Self::BadQueue(kind) => (25, kind as u64, 0, ""),
        }
    }

    fn of(code: u8, a: u64, b: u64, text: &'a str) -> Option<Self> {
        let port = u32::try_from(a);
        Some(match code {
            1 => Self::Tree(text),
            2 => Self::Roots,
            3 => Self::Get(text),
            4 => Self::Change(text),
            5 => Self::Ping(a),
            6 => Self::Exits(a),
            7 => Self::Subscribe,
            8 => Self::Unsubscribe,
            9 => Self::WaitRelease(text),
            10 => Self::WaitEvent,
            11 => Self::Collect {
                releases: a,
                each: b,
            },
            12 => Self::Stamp(a),
            13 => Self::Reconnect,
            14 => Self::Disconnect,
            15 => Self::Serve,
            16 => Self::Send {
                port: port.ok()?,
                bytes: b,
            },
            17 => Self::Receive {
                port: port.ok()?,
                bytes: b,
            },
            18 => Self::Accept(port.ok()?),
            19 => Self::Rtt {
                port: port.ok()?,
                rounds: b,
            },
            20 => Self::Flood(a),
            21 => Self::Garbage,
            22 => Self::Huge,
            23 => Self::HalfOpen(a),
            24 => Self::Unprivileged,
            25 => Self::BadQueue(*BadQueue::ALL.get(usize::try_from(a).ok()?)?),
            _ => return None,
        })
    }
}
