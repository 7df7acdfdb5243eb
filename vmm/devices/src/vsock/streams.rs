//! What carries a connection's bytes on the host's side, as the device needs it.
//!
//! The device is lent its streams for the length of one call; it keeps no descriptor and no clock.
//! None of these calls waits.

/// A connection between the guest and CID 2. The two ports name it as long as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// The guest's port.
    pub guest_port: u32,
    /// The port of CID 2.
    pub host_port: u32,
}

/// Nobody takes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// What became of bytes for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// So many were taken, perhaps none.
    Took(usize),
    /// The stream is broken.
    Gone,
}

/// What the host had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing any more: the host's side will send no more. It may still take bytes.
    End,
    /// The stream is broken, or closed in both directions, and has nothing left to read.
    Gone,
}

/// What the device wants to be told of a stream. That it is broken or closed in both directions
/// counts as readable and as writable, whichever is wanted. Where neither is, the device is told
/// nothing, not even that (the stream must leave epoll, which reports a hang-up unasked): it cannot
/// act on it before the guest makes room, and would be told again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// That there is something to read, or its end.
    pub readable: bool,
    /// That there is room to write.
    pub writable: bool,
}

/// The host's ends of all connections of one device.
pub trait Streams {
    /// The guest asks for a connection: make its stream, watched for nothing yet.
    ///
    /// # Errors
    /// Nobody is at that port, or who is has no room.
    fn connect(&mut self, id: ConnectionId) -> Result<(), Refused>;

    /// The guest has accepted a connection that the host's side had asked for.
    fn established(&mut self, id: ConnectionId);

    /// Write what fits now.
    fn write(&mut self, id: ConnectionId, bytes: &[u8]) -> Written;

    /// Read what is there now, as far as it fits.
    fn read(&mut self, id: ConnectionId, buffer: &mut [u8]) -> Read;

    /// Tell the device of these, and of nothing else, from now on.
    fn watch(&mut self, id: ConnectionId, interest: Interest);

    /// The guest will send no more.
    fn end_writing(&mut self, id: ConnectionId);

    /// The connection is over: forget its stream. Also of one whose client still waits for the guest.
    fn close(&mut self, id: ConnectionId);
}
