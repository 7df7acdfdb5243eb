//! The event log: a bounded, numbered record of what happened, in commit order.
//!
//! Numbers are `EPOCH.SEQ`: the epoch is the supervisor's, the sequence counts from 1 without holes.
//! A reader that comes back names the last number it saw and gets what followed, or is told of the
//! gap: what has been overwritten, or that the number is of another supervisor's life.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use management::Event;

/// Kept entries; at about 200 bytes each this bounds the log to some 13 MB.
const KEPT: usize = 65_536;

/// The number of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Which life of the supervisor.
    pub epoch: u64,
    /// Counts from 1.
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

/// What followed a number.
#[derive(Debug, PartialEq)]
pub struct Since<'a> {
    /// How many events between the number and the first of `events` are lost; None where the number is
    /// of another epoch, or of the future, and nobody can say.
    pub lost: Option<u64>,
    /// What is kept, oldest first.
    pub events: Vec<&'a Event>,
}

/// The log. Belongs to the keeper.
#[derive(Debug)]
pub struct EventLog {
    epoch: u64,
    next: u64,
    kept: VecDeque<Event>,
    capacity: usize,
}

impl EventLog {
    /// An empty log of the given epoch.
    pub fn new(epoch: u64) -> Self {
        EventLog::with_capacity(epoch, KEPT)
    }

    fn with_capacity(epoch: u64, capacity: usize) -> Self {
        EventLog {
            epoch,
            next: 1,
            kept: VecDeque::new(),
            capacity,
        }
    }

    /// Number an event and keep it.
    pub fn append(&mut self, mut event: Event) -> &Event {
        event.id = EventId {
            epoch: self.epoch,
            seq: self.next,
        }
        .to_string();
        self.next += 1;
        if self.kept.len() == self.capacity {
            self.kept.pop_front();
        }
        self.kept.push_back(event);
        &self.kept[self.kept.len() - 1]
    }

    /// Everything kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Event> {
        self.kept.iter()
    }

    /// What followed `last`, with the gap named.
    pub fn since(&self, last: EventId) -> Since<'_> {
        let oldest = self.next - self.kept.len() as u64;
        if last.epoch != self.epoch || last.seq >= self.next {
            return Since {
                lost: None,
                events: self.kept.iter().collect(),
            };
        }
        let lost = oldest.saturating_sub(last.seq + 1);
        let seen = (last.seq + 1).saturating_sub(oldest) as usize;
        Since {
            lost: Some(lost),
            events: self.kept.iter().skip(seen).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(entries: u64) -> EventLog {
        let mut log = EventLog::with_capacity(7, 4);
        for number in 1..=entries {
            log.append(Event {
                text: number.to_string(),
                ..Event::default()
            });
        }
        log
    }

    fn texts<'a>(since: &Since<'a>) -> Vec<&'a str> {
        since
            .events
            .iter()
            .map(|event| event.text.as_str())
            .collect()
    }

    #[test]
    fn a_reader_resumes_after_the_last_number_it_saw() {
        let log = log(3);
        let since = log.since(EventId { epoch: 7, seq: 1 });
        assert_eq!((since.lost, texts(&since)), (Some(0), vec!["2", "3"]));
        let since = log.since(EventId { epoch: 7, seq: 3 });
        assert_eq!((since.lost, texts(&since)), (Some(0), vec![]));
    }

    #[test]
    fn overwritten_numbers_are_a_gap_of_known_size() {
        let log = log(10);
        let since = log.since(EventId { epoch: 7, seq: 2 });
        assert_eq!(
            (since.lost, texts(&since)),
            (Some(4), vec!["7", "8", "9", "10"])
        );
    }

    #[test]
    fn another_epoch_or_a_number_of_the_future_is_a_gap_of_unknown_size() {
        let log = log(2);
        assert_eq!(log.since(EventId { epoch: 6, seq: 1 }).lost, None);
        assert_eq!(log.since(EventId { epoch: 7, seq: 3 }).lost, None);
        assert_eq!(log.since(EventId { epoch: 7, seq: 3 }).events.len(), 2);
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
