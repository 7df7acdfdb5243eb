//! Events that have come and that no verb has asked for yet.

use alloc::collections::VecDeque;
use core::fmt;

use agent_protocol::{Event, EventId};

/// Most that are kept. Of more, the oldest are lost, and said to be.
pub const MAX_KEPT: usize = 256;

/// What the supervisor pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event {
        /// Its number.
        id: EventId,
        /// What.
        event: Event,
        /// The counter's value when it was read.
        ticks: u64,
    },
    /// Events were lost; how many, if anybody knows.
    Gap(Option<u64>),
}

impl Item {
    /// The group that this says is released.
    pub fn released(&self) -> Option<&str> {
        match self {
            Self::Event {
                event: Event::Released { group },
                ..
            } => Some(group),
            _ => None,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, event) = match self {
            Self::Gap(Some(lost)) => return write!(f, "gap lost {lost}"),
            Self::Gap(None) => return write!(f, "gap lost ?"),
            Self::Event { id, event, .. } => (id, event),
        };
        write!(f, "event {} ", id.seq)?;
        match event {
            Event::Released { group } => write!(f, "released {group}"),
            Event::GroupCreated { group } => write!(f, "created {group}"),
            Event::GroupRemoved { group } => write!(f, "removed {group}"),
            Event::GroupRenamed { from, to } => write!(f, "renamed {from} to {to}"),
            Event::TaskMoved { task, from, to } => {
                let name = |group: &Option<_>| group.clone().unwrap_or_else(|| "outside".into());
                write!(f, "moved {task} from {} to {}", name(from), name(to))
            }
            Event::GroupFrozen { group } => write!(f, "frozen {group}"),
            Event::GroupThawed { group } => write!(f, "thawed {group}"),
            Event::FileWritten { group, file, value } => {
                write!(f, "written {group} {file} {value}")
            }
        }
    }
}

/// A bounded queue of them.
pub struct Kept {
    items: VecDeque<Item>,
    /// What had to go before the first of the items.
    lost: Option<Item>,
}

impl Kept {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            items: VecDeque::new(),
            lost: None,
        }
    }

    /// Keeps one more.
    pub fn push(&mut self, item: Item) {
        if self.items.len() == MAX_KEPT {
            let oldest = self.items.pop_front();
            let before = match self.lost {
                None => Some(0),
                Some(Item::Gap(lost)) => lost,
                Some(Item::Event { .. }) => Some(1),
            };
            let more = match oldest {
                None => Some(0),
                Some(Item::Gap(lost)) => lost,
                Some(Item::Event { .. }) => Some(1),
            };
            self.lost = Some(Item::Gap(
                before.zip(more).map(|(a, b)| a.saturating_add(b)),
            ));
        }
        self.items.push_back(item);
    }

    /// The oldest.
    pub fn pop(&mut self) -> Option<Item> {
        self.lost.take().or_else(|| self.items.pop_front())
    }

    /// The oldest release of `group`; what came before it stays.
    pub fn pop_release(&mut self, group: &str) -> Option<Item> {
        let at = self
            .items
            .iter()
            .position(|item| item.released() == Some(group))?;
        self.items.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(seq: u64, event: Event) -> Item {
        Item::Event {
            id: EventId { epoch: 9, seq },
            event,
            ticks: 0,
        }
    }

    fn released(seq: u64, group: &str) -> Item {
        item(
            seq,
            Event::Released {
                group: group.into(),
            },
        )
    }

    #[test]
    fn events_are_printed_by_kind() {
        let created = Event::GroupCreated {
            group: "p:/a".into(),
        };
        let moved = Event::TaskMoved {
            task: "vcpu0".into(),
            from: Some("p:/a".into()),
            to: None,
        };
        let written = Event::FileWritten {
            group: "p:/a".into(),
            file: "cpuset.cpus".into(),
            value: "0-1".into(),
        };
        let renamed = Event::GroupRenamed {
            from: "p:/a".into(),
            to: "p:/b".into(),
        };
        for (item, text) in [
            (released(7, "p:/hot"), "event 7 released p:/hot"),
            (item(1, created), "event 1 created p:/a"),
            (item(2, renamed), "event 2 renamed p:/a to p:/b"),
            (item(3, moved), "event 3 moved vcpu0 from p:/a to outside"),
            (item(4, written), "event 4 written p:/a cpuset.cpus 0-1"),
            (Item::Gap(Some(3)), "gap lost 3"),
            (Item::Gap(None), "gap lost ?"),
        ] {
            assert_eq!(item.to_string(), text);
        }
    }

    #[test]
    fn a_release_is_found_behind_other_events() {
        let mut kept = Kept::new();
        for (seq, group) in [(1, "a"), (2, "b"), (3, "a")] {
            kept.push(released(seq, group));
        }
        assert_eq!(kept.pop_release("b"), Some(released(2, "b")));
        assert_eq!(kept.pop_release("b"), None);
        assert_eq!(kept.pop(), Some(released(1, "a")));
        assert_eq!(kept.pop(), Some(released(3, "a")));
        assert_eq!(kept.pop(), None);
    }

    #[test]
    fn what_is_not_kept_is_a_gap() {
        let mut kept = Kept::new();
        kept.push(Item::Gap(Some(10)));
        for seq in 0..MAX_KEPT as u64 + 4 {
            kept.push(released(seq, "a"));
        }
        assert_eq!(kept.pop(), Some(Item::Gap(Some(14))));
        assert_eq!(kept.pop(), Some(released(4, "a")));
        kept.push(Item::Gap(None));
        assert_eq!(kept.pop(), Some(released(5, "a")));
    }
}
