//! What is told to whoever looks on, as it happens. Telling never waits: an onlooker that does not
//! keep up sees a gap in the event numbers and asks for a report.

use container_core::MachineName;

/// One thing told.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Bytes a guest wrote to its serial console.
    Console {
        /// Whose.
        machine: MachineName,
        /// What, as written.
        bytes: Vec<u8>,
    },
    /// A numbered event.
    Event(Box<management::Event>),
    /// No machine is left.
    AllEnded,
}

/// Whoever looks on: called on the threads of the keeper and the wire, so it must not wait. What it cannot
/// take at once it drops.
pub type Onlooker = std::sync::Arc<dyn Fn(Notice) + Send + Sync>;
