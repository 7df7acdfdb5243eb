//! Events: pushed, replayed, lost, stopped.

use agent_protocol::{Call, Reply, ToAgent};

use super::fake::{Keeper, Stage, numbers, since};
use crate::agent::Request;

#[test]
fn pushes_are_written_as_they_come_and_a_hole_is_filled_by_the_keeper() {
    let mut stage = Stage::open();
    stage.request(1, Call::Subscribe { since: None });
    stage.settle();
    stage.happen(1, false);
    stage.tell();
    assert!(!stage.session.output().is_empty());
    stage.happen(1, true);
    stage.happen(1, false);
    stage.tell();
    assert!(matches!(
        stage.asked,
        Some((_, Request::Replay { after: 1 }))
    ));
    stage.happen(1, false);
    stage.settle();
    let all = [(1, true), (2, true), (3, true), (4, true)];
    assert_eq!(numbers(&stage.heard), all);
}

#[test]
fn requests_and_replays_take_turns() {
    let mut stage = Stage::silent(Keeper::new(1_000, 1));
    stage.greet();
    (0..100).for_each(|_| stage.happen(1, false));
    stage.request(1, since(0));
    (2..6).for_each(|id| stage.request(id, Call::Roots));
    stage.settle();
    let answers = |message: &ToAgent| matches!(message, ToAgent::Answer { .. });
    let last = stage.heard.iter().rposition(answers).expect("answers");
    assert_eq!(
        last, 10,
        "a welcome, an answer and an event, four answers and events in turn"
    );
    assert_eq!(numbers(&stage.heard).len(), 100);
}

#[test]
fn an_event_that_finds_no_room_comes_when_there_is_some() {
    let mut stage = Stage::open();
    stage.request(1, Call::Subscribe { since: None });
    stage.settle();
    for _ in 0..50 {
        stage.happen(9_000, false);
        stage.tell();
    }
    assert!(stage.session.output().len() < 256 * 1024 + 10_000);
    assert!(
        stage.asked.is_none(),
        "nothing is asked for that could not be written"
    );
    stage.drain(10_000);
    assert!(matches!(stage.asked, Some((_, Request::Replay { .. }))));
    stage.settle();
    assert_eq!(
        numbers(&stage.heard),
        (1..51).map(|n| (n, true)).collect::<Vec<_>>()
    );
}

#[test]
fn what_the_log_no_longer_keeps_is_reported_as_a_gap() {
    let mut stage = Stage::silent(Keeper::new(2, 100));
    stage.greet();
    (0..5).for_each(|_| stage.happen(1, false));
    stage.request(1, since(1));
    stage.settle();
    assert_eq!(numbers(&stage.heard), [(4, false), (4, true), (5, true)]);
    stage.request(2, since(77));
    stage.settle();
    let gap =
        |message: &ToAgent| matches!(message, ToAgent::Gap { lost: None, next } if next.seq == 4);
    assert_eq!(stage.heard.iter().filter(|message| gap(message)).count(), 1);
}

#[test]
fn no_event_follows_the_answer_to_unsubscribe() {
    let mut stage = Stage::open();
    stage.request(1, Call::Subscribe { since: None });
    stage.settle();
    stage.happen(1, true);
    stage.happen(1, false);
    stage.tell();
    assert!(matches!(stage.asked, Some((_, Request::Replay { .. }))));
    stage.request(2, Call::Unsubscribe);
    stage.feed(usize::MAX);
    stage.keep();
    stage.happen(1, false);
    stage.settle();
    stage.happen(1, false);
    stage.settle();
    let last = stage.heard.last();
    assert!(matches!(
        last,
        Some(ToAgent::Answer {
            id: 2,
            outcome: Ok(Reply::Unsubscribed)
        })
    ));
    assert_eq!(numbers(&stage.heard), [(1, true), (2, true), (3, true)]);
}

#[test]
fn past_events_are_taken_from_what_the_agent_may_ask_for() {
    let mut stage = Stage::silent(Keeper::new(4_096, 64));
    stage.greet();
    (0..4_096).for_each(|_| stage.happen(1, false));
    let began = stage.now;
    (0..10).for_each(|id| stage.request(id, since(0)));
    stage.settle();
    // Ten times 33 tokens and one for eight events, and 256 are there.
    let least = (10 * (33 + 512) - 256) * 1_000 / 4_096;
    assert!((stage.now - began).as_millis() >= least);
    assert_eq!(numbers(&stage.heard).last(), Some(&(4_096, true)));
}
