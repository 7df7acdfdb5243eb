//! What the keeper is asked, one thing at a time, and what its answers are to the agent.

use std::time::Instant;

use agent_protocol::{Call, MAX_FRAME, MAX_OPEN, ToAgent, VERSION, Welcome};
use container_core::Refusal;

use super::{For, Session, State};
use crate::agent::{Act, Outcome, Reply, Request, Token, translate};

impl Session {
    /// Begin the next thing that can be done; whether there was one.
    pub(super) fn serve(&mut self, now: Instant) -> bool {
        let open = matches!(self.state, State::Open);
        if !open || self.asked.is_some() || !self.outbox.has_room() {
            return false;
        }
        if let Some(subscription) = &self.subscription
            && subscription.behind
            && (self.open.is_empty() || !self.replayed)
        {
            let after = subscription.cursor;
            self.replayed = true;
            self.ask_keeper(For::Replay, Request::Replay { after });
            return true;
        }
        let Some(&(id, ref call)) = self.open.front() else {
            return false;
        };
        self.replayed = false;
        match translate::request(call) {
            Ok(Some(request)) => self.ask_keeper(For::Answer, request),
            Ok(None) => self.answer(id, Ok(agent_protocol::Reply::Pong), now),
            Err(refusal) => self.answer(id, Err(refusal), now),
        }
        true
    }

    pub(super) fn ask_keeper(&mut self, what: For, request: Request) {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.asked = Some((token, what));
        self.acts.push(Act::Ask(token, request));
    }

    pub(super) fn on_roots(&mut self, outcome: Outcome, now: Instant) {
        let State::Greeting { agent } = &mut self.state else {
            return;
        };
        let agent = std::mem::take(agent);
        let roots = match outcome {
            Ok(Reply::Roots(roots)) => translate::roots(roots),
            Ok(_) => return self.end("the keeper gave no roots", false, now),
            Err(refusal) => return self.end(&refusal.to_string(), false, now),
        };
        self.state = State::Open;
        self.acts.push(Act::Opened { agent });
        let welcome = Welcome {
            version: VERSION,
            max_frame: MAX_FRAME as u32,
            max_open: MAX_OPEN,
            roots,
        };
        self.write(&ToAgent::Welcome(welcome), now);
    }

    pub(super) fn on_reply(&mut self, outcome: Outcome, now: Instant) {
        let Some(&(id, ref call)) = self.open.front() else {
            return;
        };
        match (call, outcome) {
            (Call::Subscribe { since }, Ok(Reply::Subscribed { last, backlog })) => {
                let since = since.map(|since| since.seq);
                self.on_subscribed(id, since, last, backlog, now);
            }
            (call, outcome) => {
                if matches!((call, &outcome), (Call::Unsubscribe, Ok(_))) {
                    self.subscription = None;
                }
                self.answer(id, outcome.and_then(translate::reply), now);
            }
        }
    }

    /// Answer the oldest open request.
    pub(super) fn answer(
        &mut self,
        id: u32,
        outcome: Result<agent_protocol::Reply, Refusal>,
        now: Instant,
    ) {
        self.open.pop_front();
        self.outbox.push(&translate::answer(id, outcome), now);
    }
}
