//! What the host asks a guest for.

use std::time::Duration;

use agent_protocol::{Answer, Ask, FromAgent};

use super::fake::Stage;
use super::fault;
use crate::agent::{Act, AskError, NotNow};

#[test]
fn a_question_of_the_host_is_answered_or_times_out_and_a_late_answer_is_no_fault() {
    let mut stage = Stage::open();
    assert_eq!(stage.session.ask(Ask::Info, 70, stage.now), Ok(vec![]));
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.session.ask(Ask::Ping, 71, stage.now), Ok(vec![]));
    let answer = |id, answer| FromAgent::Answer { id, answer };
    stage.say(&answer(
        2,
        Answer::Declined {
            why: "\n".repeat(900),
        },
    ));
    stage.settle();
    let why = "\u{fffd}".repeat(256);
    let result = Ok(Answer::Declined { why });
    assert_eq!(stage.acts[1..], [Act::AskDone { token: 71, result }]);
    stage.pass(Duration::from_secs(3));
    let result = Err(AskError::TimedOut);
    assert_eq!(stage.acts[2..], [Act::AskDone { token: 70, result }]);
    let info = Answer::Info {
        agent: "x".into(),
        vcpus: 1,
        uptime_ns: 1,
    };
    stage.say(&answer(1, info));
    stage.settle();
    assert_eq!((stage.acts.len(), stage.end()), (3, None));
    stage.say(&answer(1, Answer::Pong));
    stage.settle();
    assert_eq!(fault(&mut stage), "an answer to 1, which was not asked");
}

#[test]
fn an_agent_that_answers_nothing_is_soon_asked_nothing() {
    let mut stage = Stage::open();
    for token in 0..4 {
        assert!(stage.session.ask(Ask::Ping, token, stage.now).is_ok());
    }
    stage.pass(Duration::from_secs(6));
    assert_eq!(
        stage.session.ask(Ask::Ping, 4, stage.now),
        Err(NotNow::TooMany)
    );
    stage.settle();
    assert_eq!(stage.acts.len(), 5, "opened, and four timed out");
}

#[test]
fn a_question_answered_with_something_else_ends_the_session_and_the_question() {
    let mut stage = Stage::open();
    assert!(stage.session.ask(Ask::Info, 1, stage.now).is_ok());
    stage.say(&FromAgent::Answer {
        id: 1,
        answer: Answer::Ending,
    });
    stage.feed(usize::MAX);
    let why = fault(&mut stage);
    assert_eq!(why, "Info is answered with Ending");
    let result = Err(AskError::Ended(why));
    assert_eq!(stage.acts[1], Act::AskDone { token: 1, result });
}
