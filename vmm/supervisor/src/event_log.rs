//! An event log: a bounded, numbered record of what happened, in commit order.
//!
//! Numbers are `EPOCH.SEQ`: the epoch is the supervisor's, the sequence counts from 1 without holes.
//! A reader that comes back names the last number it saw and gets what followed, or is told of the
//! gap: what has been overwritten, or that the number is of another supervisor's life.
//!
//! The supervisor has one log of everything, and one of each guest's view, which counts for itself: a
//! common number would tell a guest how much happens to others.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

/// The number of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Which life of the supervisor.
    pub epoch: u64,
    /// Counts from 1; 0 stands before the first.
    pub seq: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.epoch, self.seq)
    }
}

impl FromStr for EventId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no event number EPOCH.SEQ");
        let (epoch, seq) = text.split_once('.').ok_or_else(wrong)?;
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| wrong())?;
        Ok(EventId {
            epoch,
            seq: seq.parse().map_err(|_| wrong())?,
        })
    }
}

/// How much a log keeps.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// At most this many events,
    pub events: usize,
    /// and at most this many bytes of them, by the word of whoever appends.
    pub bytes: usize,
}

/// What followed a number.
#[derive(Debug, PartialEq)]
pub struct Since<'a, E> {
    /// How many events between the number and the first of `events` are lost; None where the number is
    /// of another epoch, or of the future, and nobody can say.
    pub lost: Option<u64>,
    /// The number of the first of `events`, or of the next event to come.
    pub first: u64,
    /// What is kept, oldest first, as many as were asked for.
    pub events: Vec<&'a E>,
    /// Whether others follow.
    pub more: bool,
}

/// The log. Belongs to the keeper.
#[derive(Debug)]
pub struct EventLog<E> {
    epoch: u64,
    next: u64,
    /// Each event with its bytes.
    kept: VecDeque<(E, usize)>,
    bytes: usize,
    room: Room,
}

impl<E> EventLog<E> {
    /// An empty log of the given epoch.
    pub fn new(epoch: u64, room: Room) -> Self {
        EventLog {
            epoch,
            next: 1,
            kept: VecDeque::new(),
            bytes: 0,
            room,
        }
    }

    /// The number of the newest event.
    pub fn last(&self) -> EventId {
        EventId {
            epoch: self.epoch,
            seq: self.next - 1,
        }
    }

    /// Number an event of so many bytes and keep it; the oldest make room.
    pub fn append(&mut self, bytes: usize, event: impl FnOnce(EventId) -> E) -> &E {
        self.next += 1;
        let event = event(self.last());
        while self.kept.len() >= self.room.events || self.bytes + bytes > self.room.bytes {
            let Some((_, freed)) = self.kept.pop_front() else {
                break;
            };
            self.bytes -= freed;
        }
        self.bytes += bytes;
        self.kept.push_back((event, bytes));
        &self.kept[self.kept.len() - 1].0
    }

    /// Everything kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &E> {
        self.kept.iter().map(|(event, _)| event)
    }

    /// What followed `last`, at most `most` events of it, with the gap named.
    pub fn since(&self, last: EventId, most: usize) -> Since<'_, E> {
        let oldest = self.next - self.kept.len() as u64;
        let known = last.epoch == self.epoch && last.seq < self.next;
        let first = if known {
            oldest.max(last.seq + 1)
        } else {
            oldest
        };
        let after = self.kept().skip((first - oldest) as usize);
        Since {
            lost: known.then(|| first - (last.seq + 1)),
            first,
            events: after.take(most).collect(),
            more: self.next - first > most as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        events: 4,
        bytes: 100,
    };

    fn log(entries: u64) -> EventLog<u64> {
        let mut log = EventLog::new(7, ROOM);
        for _ in 0..entries {
            log.append(1, |id| id.seq);
        }
        log
    }

    fn since(log: &EventLog<u64>, epoch: u64, seq: u64) -> (Option<u64>, Vec<u64>) {
        let since = log.since(EventId { epoch, seq }, 100);
        assert!(!since.more);
        (since.lost, since.events.into_iter().copied().collect())
    }

    #[test]
    fn a_reader_resumes_after_the_last_number_it_saw() {
        let log = log(3);
        assert_eq!(since(&log, 7, 1), (Some(0), vec![2, 3]));
        assert_eq!(since(&log, 7, 3), (Some(0), vec![]));
    }

    #[test]
    fn overwritten_numbers_are_a_gap_of_known_size() {
        assert_eq!(since(&log(10), 7, 2), (Some(4), vec![7, 8, 9, 10]));
    }

    #[test]
    fn another_epoch_or_a_number_of_the_future_is_a_gap_of_unknown_size() {
        let log = log(2);
        assert_eq!(since(&log, 6, 1), (None, vec![1, 2]));
        assert_eq!(since(&log, 7, 3), (None, vec![1, 2]));
    }

    #[test]
    fn a_page_names_its_first_number_and_says_whether_others_follow() {
        let log = log(10);
        let page = log.since(EventId { epoch: 7, seq: 7 }, 2);
        assert_eq!(
            (page.first, page.events, page.more),
            (8, vec![&8, &9], true)
        );
        let page = log.since(EventId { epoch: 7, seq: 9 }, 2);
        assert_eq!((page.first, page.events, page.more), (10, vec![&10], false));
        let page = log.since(EventId { epoch: 7, seq: 10 }, 2);
        assert_eq!((page.first, page.events, page.more), (11, vec![], false));
    }

    #[test]
    fn large_events_push_out_as_many_small_ones_as_they_need() {
        let mut log = log(4);
        log.append(98, |id| id.seq);
        assert_eq!(log.kept().copied().collect::<Vec<_>>(), [3, 4, 5]);
        log.append(1000, |id| id.seq);
        assert_eq!(log.kept().copied().collect::<Vec<_>>(), [6]);
        log.append(1, |id| id.seq);
        assert_eq!(since(&log, 7, 6), (Some(0), vec![7]));
    }

    #[test]
    fn a_number_reads_back_as_it_is_written() {
        let id = EventId {
            epoch: 0xabc,
            seq: 12,
        };
        assert_eq!(id.to_string(), "abc.12");
        assert_eq!("abc.12".parse(), Ok(id));
        assert!("abc".parse::<EventId>().is_err());
    }
}
