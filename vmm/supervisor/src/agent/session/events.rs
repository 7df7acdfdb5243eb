//! The events of a session: each number of the view once, in order, or reported lost.
//!
//! A push that is the next number is written at once. After any other the session is behind, and asks the
//! keeper for what it has not got as soon as there is room, until it has caught up (`subscription.rs` has
//! the diagram). An event that finds no room is not kept here: the keeper's log keeps it.

use std::time::Instant;

use agent_protocol::{self as wire, ToAgent, encode};
use container_core::ViewEvent;

use super::Session;
use crate::EventId;
use crate::agent::subscription::{Place, Subscription};
use crate::agent::{Backlog, Outcome, Reply, rate, translate};

impl Session {
    /// A push.
    pub(super) fn take_push(&mut self, seq: u64, event: &ViewEvent, now: Instant) {
        let room = self.outbox.has_room();
        if let Some(subscription) = &mut self.subscription {
            match subscription.place(seq) {
                Place::Old => {}
                Place::Next if room => self.write_event(seq, event, now),
                Place::Next | Place::After(_) => subscription.behind = true,
            }
        }
    }

    /// The keeper's answer to the subscription that is the oldest open request.
    pub(super) fn on_subscribed(
        &mut self,
        id: u32,
        since: Option<u64>,
        last: EventId,
        backlog: Backlog,
        now: Instant,
    ) {
        let EventId { epoch, seq } = last;
        let last = translate::event_id(epoch, seq);
        self.answer(id, Ok(wire::Reply::Subscribed { last }), now);
        if let Some((first, _)) = backlog.events.first() {
            // All that are past, of which this is the first page.
            self.bucket
                .take(rate::of_past((seq + 1).saturating_sub(*first)));
        }
        // Where nobody can say what is lost, the agent's number means nothing here: what is kept follows.
        let unknown = since.is_some() && backlog.lost.is_none();
        let cursor = match since {
            Some(since) if !unknown => since,
            Some(_) => match backlog.events.first() {
                Some((first, _)) => first.saturating_sub(1),
                None => seq,
            },
            None => seq,
        };
        self.subscription = Some(Subscription::new(epoch, cursor));
        if unknown {
            self.write_gap(None, cursor, now);
        }
        self.deliver(backlog, now);
    }

    /// The keeper's answer to a replay.
    pub(super) fn on_replayed(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Ok(Reply::Replayed(backlog)) => self.deliver(backlog, now),
            Ok(_) => self.end("the keeper gave no events", false, now),
            // To go on without them would be to drop them silently.
            Err(refusal) => self.end(&refusal.to_string(), false, now),
        }
    }

    /// Write past events for as long as there is room. The rest is asked for again.
    fn deliver(&mut self, backlog: Backlog, now: Instant) {
        let Backlog { lost, events, more } = backlog;
        if events.is_empty()
            && let Some(lost @ 1..) = lost
            && let Some(subscription) = &mut self.subscription
        {
            subscription.cursor += lost;
            let cursor = subscription.cursor;
            self.write_gap(Some(lost), cursor, now);
        }
        let mut behind = more;
        for (seq, event) in &events {
            if !self.outbox.has_room() {
                behind = true;
                break;
            }
            self.write_event(*seq, event, now);
        }
        if let Some(subscription) = &mut self.subscription {
            subscription.behind = behind;
        }
    }

    /// Write an event that the agent does not have, and before it the gap, if there is one.
    fn write_event(&mut self, seq: u64, event: &ViewEvent, now: Instant) {
        let Some(subscription) = &mut self.subscription else {
            return;
        };
        let epoch = subscription.epoch;
        let lost = match subscription.place(seq) {
            Place::Old => return,
            Place::Next => 0,
            Place::After(lost) => lost,
        };
        subscription.cursor = seq;
        if lost > 0 {
            self.write_gap(Some(lost), seq - 1, now);
        }
        let message = ToAgent::Event {
            id: translate::event_id(epoch, seq),
            event: translate::event(event),
        };
        match encode(&message) {
            Ok(frame) => self.outbox.push(&frame, now),
            // No event is that long today; if one were, the agent would hear that it was there.
            Err(_) => self.write_gap(Some(1), seq, now),
        }
    }

    /// Report a gap up to and with the number `last`.
    fn write_gap(&mut self, lost: Option<u64>, last: u64, now: Instant) {
        if let Some(subscription) = &self.subscription {
            let next = translate::event_id(subscription.epoch, last + 1);
            self.write(&ToAgent::Gap { lost, next }, now);
        }
    }
}
