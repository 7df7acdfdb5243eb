//! What an epoll event is about.

use crate::keeper::MachineId;

use super::agents::MAX_SESSIONS;

/// Which descriptor of which machine an epoll event is about, packed into its 32 bits of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Doorbell,
    Link(MachineId),
    Pidfd(MachineId),
    Console(MachineId),
    /// The stream of an agent's session, by its slot.
    Agent(MachineId, u32),
}

/// The first of the four numbers that are left for the slots of agents' sessions.
const FIRST_SLOT: u32 = 4;
const _: () = assert!(FIRST_SLOT as usize + MAX_SESSIONS == 8);

impl Source {
    /// As epoll data.
    pub fn pack(self) -> u32 {
        match self {
            Source::Doorbell => 0,
            Source::Link(machine) => machine.0 << 3 | 1,
            Source::Pidfd(machine) => machine.0 << 3 | 2,
            Source::Console(machine) => machine.0 << 3 | 3,
            Source::Agent(machine, slot) => machine.0 << 3 | (FIRST_SLOT + slot),
        }
    }

    /// From epoll data.
    pub fn unpack(data: u32) -> Source {
        let machine = MachineId(data >> 3);
        match data & 7 {
            1 => Source::Link(machine),
            2 => Source::Pidfd(machine),
            3 => Source::Console(machine),
            slot @ FIRST_SLOT.. => Source::Agent(machine, slot - FIRST_SLOT),
            _ => Source::Doorbell,
        }
    }
}
