//! The session beside a naive model: an agent that counts, and what it must have counted.

use std::mem::replace;
use std::time::Duration;

use agent_protocol::{
    Answer, Call, Change, EventId, FromAgent, MAX_CHANGES, Reply, ToAgent, encode,
};
use proptest::collection::vec as list;
use proptest::prelude::*;

use super::fake::{EPOCH, Keeper, Stage, hello, since};
use crate::agent::translate;

#[derive(Clone, Debug)]
enum Op {
    Call(Call),
    /// Subscribe after the last number seen.
    Resume,
    /// The wire reads this many bytes.
    Feed(usize),
    /// The agent reads at most this many bytes, times what it reads at once in this play.
    Drain(usize),
    Keep,
    /// The session hears so many things of the keeper.
    Tell(usize),
    /// So many events of this size happen, and the session is not told of some.
    Happen {
        count: u64,
        size: usize,
        skip_every: u64,
    },
    Pass(u64),
    Reconnect,
}

fn call() -> impl Strategy<Value = Call> {
    let group = || {
        prop_oneof![
            4 => Just("placement:/hot".to_string()),
            1 => Just("no such: name".to_string()),
        ]
    };
    let hierarchy = prop_oneof![
        Just("placement".to_string()),
        Just("no such: name".to_string())
    ];
    let file = prop_oneof![Just("debug".to_string()), Just("nothing".to_string())];
    let change = prop_oneof![
        group().prop_map(|group| Change::Mkdir { group }),
        group().prop_map(|group| Change::Attach {
            group,
            task: "vcpu0".into()
        }),
    ];
    let numbers = (
        prop_oneof![4 => Just(EPOCH), 1 => Just(EPOCH - 1)],
        0u64..300,
    );
    prop_oneof![
        3 => Just(Call::Ping),
        1 => Just(Call::Roots),
        1 => hierarchy.prop_map(|hierarchy| Call::Tree { hierarchy, after: None }),
        2 => (group(), file).prop_map(|(group, file)| Call::Get { group, file }),
        2 => list(change, 0..4).prop_map(Call::Change),
        1 => Just(Call::Subscribe { since: None }),
        1 => numbers.prop_map(|(epoch, seq)| Call::Subscribe { since: Some(EventId { epoch, seq }) }),
        1 => Just(Call::Unsubscribe),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = prop_oneof![1usize..40, Just(100_000usize)];
    prop_oneof![
        6 => call().prop_map(Op::Call),
        2 => Just(Op::Resume),
        6 => bytes.prop_map(Op::Feed),
        4 => (1usize..40).prop_map(Op::Drain),
        6 => Just(Op::Keep),
        6 => (1usize..40).prop_map(Op::Tell),
        4 => (1u64..40, prop_oneof![Just(3usize), Just(9_000)], 1u64..6)
            .prop_map(|(count, size, skip_every)| Op::Happen { count, size, skip_every }),
        1 => (0u64..30).prop_map(Op::Pass),
        1 => Just(Op::Reconnect),
    ]
}

/// An agent that keeps what it sent and checks what it hears.
#[derive(Default)]
struct Ledger {
    /// Requests without an answer, oldest first.
    open: std::collections::VecDeque<(u32, Call)>,
    ids: u32,
    /// How much of what the stage heard has been looked at.
    looked: usize,
    /// While subscribed: the number that comes next, None where a gap of unknown size is due.
    next: Option<Option<u64>>,
    /// The last number seen or reported lost, of this epoch.
    seen: u64,
    ever: bool,
    /// Whether this connection has had its Welcome.
    greeted: bool,
}

impl Ledger {
    fn send(&mut self, stage: &mut Stage, call: Call) {
        self.ids += 1;
        stage.request(self.ids, call.clone());
        self.open.push_back((self.ids, call));
    }

    fn look(&mut self, stage: &Stage) {
        for message in &stage.heard[self.looked..] {
            match message {
                ToAgent::Welcome(_) => assert!(!replace(&mut self.greeted, true), "once"),
                _ if !self.greeted => panic!("{message:?} before the Welcome"),
                ToAgent::Answer { id, outcome } => {
                    let (asked, call) = self.open.pop_front().expect("something was asked");
                    assert_eq!(*id, asked, "in the order asked");
                    self.answered(&call, outcome);
                }
                ToAgent::Event { id, event } => {
                    assert_eq!(Some(Some(id.seq)), self.next, "each once, in order");
                    let happened = &stage.keeper.events[id.seq as usize - 1];
                    assert_eq!(*event, translate::event(happened));
                    self.past(id.seq);
                }
                ToAgent::Gap { lost, next } => {
                    match (self.next, lost) {
                        (Some(Some(due)), Some(lost)) => {
                            assert_eq!(next.seq, due + lost);
                            assert!(
                                *lost > 0 && next.seq <= stage.keeper.oldest(),
                                "really lost"
                            );
                        }
                        (Some(None), None) => {}
                        other => panic!("a gap out of place: {other:?}"),
                    }
                    self.past(next.seq - 1);
                }
                other => panic!("unexpected {other:?}"),
            }
            self.looked += 1;
        }
    }

    fn past(&mut self, seq: u64) {
        self.seen = seq;
        self.next = Some(Some(seq + 1));
    }

    fn answered(&mut self, call: &Call, outcome: &Result<Reply, agent_protocol::Refusal>) {
        match (call, outcome) {
            (Call::Subscribe { since }, Ok(Reply::Subscribed { last })) => {
                assert_eq!(last.epoch, EPOCH);
                self.ever = true;
                self.next = Some(match since {
                    None => Some(last.seq + 1),
                    Some(id) if id.epoch == EPOCH && id.seq <= last.seq => Some(id.seq + 1),
                    Some(_) => None,
                });
                if let Some(Some(next)) = self.next {
                    self.seen = next - 1;
                }
            }
            (Call::Unsubscribe, Ok(Reply::Unsubscribed)) => self.next = None,
            (Call::Ping, Ok(Reply::Pong))
            | (Call::Roots, Ok(Reply::Roots(_)))
            | (Call::Tree { .. }, Ok(Reply::Tree { .. })) => {}
            (Call::Get { group, file }, Ok(Reply::File(text))) => {
                assert_eq!(*text, format!("{group} {file}"));
            }
            (Call::Change(changes), Ok(Reply::Changed { effects })) => {
                assert_eq!(*effects as usize, changes.len());
            }
            (Call::Get { file, .. }, Err(refusal)) if file == "nothing" => {
                assert!(["ENOENT", "EINVAL"].contains(&refusal.errno.as_str()));
            }
            (call, Err(refusal)) => {
                assert!(format!("{call:?}").contains("no such: name"), "{call:?}");
                assert_eq!(refusal.errno, "EINVAL");
            }
            other => panic!("{other:?}"),
        }
    }

    fn reconnect(&mut self, stage: &mut Stage) {
        stage.reconnect();
        self.open.clear();
        self.next = None;
        self.greeted = false;
        stage.say(&hello("again"));
        stage.feed(usize::MAX);
        if self.ever {
            self.send(stage, since(self.seen));
        }
    }
}

fn play(ops: Vec<Op>, kept: usize, page: usize, gulp: usize) {
    let mut stage = Stage::silent(Keeper::new(kept, page));
    let mut ledger = Ledger::default();
    stage.greet();
    for op in ops {
        match op {
            Op::Call(call) => ledger.send(&mut stage, call),
            Op::Resume => ledger.send(&mut stage, since(ledger.seen)),
            Op::Feed(bytes) => _ = stage.feed(bytes),
            Op::Drain(gulps) => _ = stage.drain(gulps * gulp),
            Op::Keep => _ = stage.keep(),
            Op::Tell(count) => (0..count).for_each(|_| _ = stage.tell()),
            Op::Happen {
                count,
                size,
                skip_every,
            } => (0..count).for_each(|n| stage.happen(size, n % skip_every == 1)),
            Op::Pass(ms) => stage.pass(Duration::from_millis(ms)),
            Op::Reconnect => {
                ledger.look(&stage);
                ledger.reconnect(&mut stage);
            }
        }
        ledger.look(&stage);
        assert!(!stage.session.is_over(), "{:?}", stage.end());
    }
    stage.settle();
    // The keeper's last push arrives; what was skipped before it is asked for.
    stage.happen(3, false);
    stage.settle();
    ledger.look(&stage);
    assert!(ledger.open.is_empty(), "every request is answered");
    if ledger.next.is_some() {
        assert_eq!(ledger.seen, stage.keeper.last(), "every event is there");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_request_is_answered_in_order_and_every_event_comes_once_or_is_reported_lost(
        ops in list(op(), 1..150),
        kept in 1usize..200,
        page in prop_oneof![1usize..5, Just(100)],
        gulp in prop_oneof![Just(1usize), Just(300), Just(100_000)],
    ) {
        play(ops, kept, page, gulp);
    }
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let answer = (any::<u8>(), 0u8..4).prop_map(|(id, kind)| FromAgent::Answer {
        id: id.into(),
        answer: match kind {
            0 => Answer::Pong,
            1 => Answer::Ending,
            _ => Answer::Declined {
                why: "\u{1b}[2J".repeat(200),
            },
        },
    });
    let changes = (0..=MAX_CHANGES + 1).prop_map(|count| {
        Call::Change(vec![
            Change::Mkdir {
                group: "placement:/x".into()
            };
            count
        ])
    });
    let request = (any::<u8>(), prop_oneof![9 => call(), 1 => changes]);
    let request = request.prop_map(|(id, call)| FromAgent::Request {
        id: id.into(),
        call,
    });
    let message =
        prop_oneof![8 => request, 1 => answer, 1 => ".{0,70}".prop_map(|name| hello(&name))];
    prop_oneof![
        12 => message.prop_map(|message| encode(&message).unwrap()),
        1 => list(any::<u8>(), 0..80),
        1 => list(0u8..5, 4..80),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// The stage holds the bounds after each step: output, open requests, one question to the keeper.
    #[test]
    fn whatever_an_agent_sends_the_session_is_bounded_and_ends_at_most_once(
        greets in prop::bool::weighted(0.9),
        frames in list(frame(), 0..60),
        steps in list((0u8..6, 0usize..300), 1..200),
    ) {
        let mut stage = Stage::silent(Keeper::new(10, 3));
        if greets {
            stage.greet();
        }
        stage.pipe.extend(frames.into_iter().flatten());
        for (kind, size) in steps {
            match kind {
                0 | 1 => _ = stage.feed(size),
                2 => _ = stage.drain(size),
                3 => _ = stage.keep(),
                4 => _ = stage.tell(),
                _ => stage.happen(size, size % 3 == 0),
            }
        }
        stage.pass(Duration::from_secs(11));
        stage.settle();
        if stage.session.is_over() {
            let (why, _) = stage.end().expect("an end is given");
            prop_assert!(why.chars().count() <= 256 && !why.chars().any(char::is_control));
            prop_assert_eq!(stage.session.input_room(), 0);
            prop_assert_eq!(stage.session.deadline(), None);
        }
    }
}
