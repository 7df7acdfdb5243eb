mod ask;
mod events;
mod fake;
mod model;

use std::time::Duration;

use agent_protocol::{
    Answer, Ask, Call, Change, FromAgent, Hello, MAX_OPEN, Refusal, Reply, ToAgent,
};
use agent_protocol::{MAX_CHANGES, MAX_FRAME};
use container_core::{CpuSet, Errno, ViewGroup};

use crate::agent::{Act, NotNow, Request, Token};
use fake::{Keeper, Stage, hello, path};

/// What a session makes of this, said after the handshake.
fn end_after(messages: &[FromAgent]) -> String {
    let mut stage = Stage::open();
    messages.iter().for_each(|message| stage.say(message));
    stage.settle();
    fault(&mut stage)
}

/// The rule that an agent broke; it has been told.
fn fault(stage: &mut Stage) -> String {
    stage.drain(usize::MAX);
    let (why, fault) = stage.end().expect("the session has ended");
    assert!(fault, "{why}");
    let goodbye = ToAgent::Goodbye { why: why.into() };
    assert_eq!(stage.heard.last(), Some(&goodbye));
    why.into()
}

fn ping(id: u32) -> FromAgent {
    FromAgent::Request {
        id,
        call: Call::Ping,
    }
}

#[test]
fn a_session_opens_when_the_agent_is_introduced_and_the_keeper_has_said_what_it_sees() {
    let mut stage = Stage::silent(Keeper::new(1, 1));
    stage.say(&hello("tool\u{1b}[2J 1"));
    stage.say(&ping(1));
    stage.feed(usize::MAX);
    assert!(matches!(stage.asked, Some((_, Request::Greet))));
    assert!(stage.session.output().is_empty());
    stage.settle();
    let agent = "tool\u{fffd}[2J 1".into();
    assert_eq!(stage.acts, [Act::Opened { agent }]);
    assert!(matches!(
        &stage.heard[..],
        [ToAgent::Welcome(_), ToAgent::Answer { id: 1, .. }]
    ));
}

#[test]
fn a_bad_introduction_ends_the_session() {
    let other = FromAgent::Hello(Hello {
        version: 9,
        agent: "x".into(),
    });
    for (message, rule) in [
        (other, "agent protocol version 9, not 2"),
        (hello(&"x".repeat(65)), "an agent's name is past 64 bytes"),
        (ping(1), "its first message is not Hello"),
    ] {
        let mut stage = Stage::silent(Keeper::new(1, 1));
        stage.say(&message);
        stage.settle();
        assert_eq!(fault(&mut stage), rule);
    }
}

#[test]
fn an_agent_that_says_nothing_for_5_s_is_sent_away() {
    let mut stage = Stage::silent(Keeper::new(1, 1));
    assert_eq!(
        stage.session.deadline(),
        Some(stage.now + Duration::from_secs(5))
    );
    stage.pass(Duration::from_millis(4_999));
    assert!(!stage.session.is_over());
    stage.pass(Duration::from_millis(1));
    assert_eq!(fault(&mut stage), "no Hello within 5 s");
}

#[test]
fn without_a_view_there_is_no_session() {
    let mut stage = Stage::silent(Keeper::new(1, 1));
    stage.say(&hello("x"));
    stage.feed(usize::MAX);
    let refusal = container_core::Refusal::new(Errno::EACCES, "this machine has no agent");
    let acts = stage.session.on_answer(Token(1), Err(refusal), stage.now);
    let why = "this machine has no agent (EACCES)".into();
    assert_eq!(acts, [Act::End { why, fault: false }]);
}

#[test]
fn breaking_a_rule_of_the_channel_ends_the_session_with_the_rule() {
    let too_many = Call::Change(vec![Change::Mkdir { group: "a".into() }; MAX_CHANGES + 1]);
    let unasked = FromAgent::Answer {
        id: 3,
        answer: Answer::Pong,
    };
    let get = |id| FromAgent::Request {
        id,
        call: Call::Roots,
    };
    for (messages, rule) in [
        (vec![hello("again")], "a second Hello"),
        (vec![unasked], "an answer to 3, which was not asked"),
        (vec![get(5), get(5)], "request 5 is open already"),
        (
            vec![FromAgent::Request {
                id: 1,
                call: too_many,
            }],
            "more than 32 changes in one request",
        ),
    ] {
        assert_eq!(end_after(&messages), rule);
    }
}

#[test]
fn bytes_that_are_no_frame_end_the_session() {
    for (bytes, rule) in [
        (&[1, 0, 0, 0, 9][..], "a frame holds no message"),
        (
            &[4, 0, 0, 0, 1, 7, 0, 0],
            "a message ends 1 bytes before its frame",
        ),
        (&[0, 0, 1, 1], "a message of 16842752 bytes is past 65536"),
    ] {
        let mut stage = Stage::open();
        stage.pipe.extend(bytes);
        stage.settle();
        assert_eq!(fault(&mut stage), rule);
    }
}

#[test]
fn bytes_that_come_one_by_one_are_read_no_faster_than_messages() {
    let mut stage = Stage::open();
    let long = FromAgent::Request {
        id: 1,
        call: Call::Get {
            group: "x".repeat(10_000),
            file: String::new(),
        },
    };
    stage.say(&long);
    let read = (0..10_000).take_while(|_| stage.feed(1)).count();
    assert!((200..=256).contains(&read), "{read}");
    stage.pass(Duration::from_millis(16));
    assert!((0..10_000).take_while(|_| stage.feed(1)).count() <= 64);
    stage.settle();
    assert!(matches!(&stage.answers()[..], [(1, Err(_))]));
}

#[test]
fn a_name_that_does_not_parse_is_a_refusal_and_not_the_end() {
    let mut stage = Stage::open();
    let attach = Change::Attach {
        group: "placement:/hot".into(),
        task: "\u{1b}[2Jvcpu".into(),
    };
    stage.request(1, Call::Change(vec![attach]));
    stage.request(
        2,
        Call::Get {
            group: "no colon".into(),
            file: "tasks".into(),
        },
    );
    stage.request(
        3,
        Call::Get {
            group: "placement:/".into(),
            file: "x".repeat(9_000),
        },
    );
    stage.settle();
    let answers = stage.answers();
    let errno = |index: usize| answers[index].1.as_ref().unwrap_err().errno.clone();
    assert_eq!([errno(0), errno(1)], ["EINVAL", "EINVAL"]);
    assert!(answers[2].1.is_ok());
    let rule = &answers[0].1.as_ref().unwrap_err().rule;
    assert!(!rule.contains('\u{1b}') && rule.chars().count() <= 256);
}

#[test]
fn requests_are_read_ahead_up_to_the_bound_and_answered_in_order() {
    let mut stage = Stage::open();
    for id in 0..20 {
        let call = if id % 2 == 0 { Call::Roots } else { Call::Ping };
        stage.request(id, call);
    }
    stage.feed(usize::MAX);
    assert_eq!(stage.session.open.len(), usize::from(MAX_OPEN));
    assert_eq!(stage.session.input_room(), 0, "the stream is left alone");
    assert!(
        stage.session.output().is_empty(),
        "the ping waits for the roots before it"
    );
    stage.settle();
    let ids: Vec<u32> = stage.answers().iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
}

#[test]
fn an_agent_past_its_rate_is_not_read_until_the_bucket_has_been_filled() {
    let mut stage = Stage::open();
    (0..1_000).for_each(|id| stage.say(&ping(id)));
    while stage.feed(usize::MAX) {
        stage.drain(usize::MAX);
    }
    // The burst, less the Hello.
    assert_eq!(stage.answers().len(), 255);
    assert_eq!(stage.session.input_room(), 0);
    let tick = stage.session.deadline().expect("when it goes on") - stage.now;
    stage.pass(tick);
    stage.drain(usize::MAX);
    assert_eq!(stage.answers().len(), 255 + 64);
    let began = stage.now;
    stage.settle();
    assert_eq!(stage.answers().len(), 1_000);
    let took = (stage.now - began).as_millis();
    assert!(
        (160..200).contains(&took),
        "{took} ms for 681 at 4,096 a second"
    );
}

#[test]
fn an_agent_that_does_not_read_is_not_served_and_after_10_s_cut_off() {
    let mut stage = Stage::open();
    let file = "x".repeat(60_000);
    for id in 0..20 {
        let (group, file) = ("placement:/".into(), file.clone());
        stage.request(id, Call::Get { group, file });
    }
    while stage.feed(usize::MAX) || stage.keep() || stage.tell() {}
    assert_eq!(stage.session.input_room(), 0);
    assert_eq!(
        stage.session.ask(Ask::Ping, 1, stage.now),
        Err(NotNow::Full)
    );
    let open = stage.session.open.len();
    assert!(open < usize::from(MAX_OPEN), "not even read ahead");
    let waiting = stage.session.output().len();
    assert!((256 * 1024..256 * 1024 + MAX_FRAME).contains(&waiting));
    stage.pass(Duration::from_secs(9));
    stage.drain(1);
    stage.pass(Duration::from_secs(9));
    assert!(!stage.session.is_over(), "a byte is a sign of life");
    stage.pass(Duration::from_secs(1));
    let end = ("the agent does not read what waits for it", true);
    assert_eq!(stage.end(), Some(end));
}

#[test]
fn a_session_that_is_over_does_nothing_more() {
    let mut stage = Stage::open();
    let acts = stage.session.hang_up("the machine is ending", stage.now);
    let why = "the machine is ending".into();
    assert_eq!(acts, [Act::End { why, fault: false }]);
    let now = stage.now;
    assert_eq!(stage.session.on_eof(now), []);
    assert_eq!(stage.session.on_bytes(b"whatever", now), []);
    assert_eq!(stage.session.on_time(now + Duration::from_secs(60)), []);
    assert_eq!(stage.session.ask(Ask::Ping, 1, now), Err(NotNow::NotOpen));
    assert_eq!(stage.session.deadline(), None);
    stage.drain(usize::MAX);
    assert!(matches!(stage.heard.last(), Some(ToAgent::Goodbye { .. })));
}

#[test]
fn a_page_of_a_tree_is_cut_to_what_fits_and_a_file_that_does_not_is_refused() {
    let group = |index: usize| ViewGroup {
        path: path(&format!("placement:/{}{index}", "x".repeat(200))),
        cpus: Some(CpuSet::default()),
        tasks: 1,
        own: vec![],
        notify_on_release: false,
    };
    let answer = |reply| {
        let mut stage = Stage::open();
        let tree = Call::Tree {
            hierarchy: "placement".into(),
            after: None,
        };
        stage.request(1, tree);
        stage.feed(usize::MAX);
        let (token, _) = stage.asked.take().expect("the keeper is asked");
        let acts = stage.session.on_answer(token, Ok(reply), stage.now);
        assert_eq!(acts, []);
        stage.settle();
        stage.answers().remove(0).1
    };
    let groups = (0..1_000).map(group).collect();
    let page = answer(crate::agent::Reply::Tree {
        groups,
        more: false,
    });
    let Ok(Reply::Tree { groups, more: true }) = page else {
        panic!("not a page with others to follow")
    };
    assert_eq!(groups.len(), 250);
    let file = answer(crate::agent::Reply::File("x".repeat(MAX_FRAME)));
    let rule = "the answer does not fit: a message of 65543 bytes is past 65536".into();
    let errno = "E2BIG".into();
    assert_eq!(file, Err(Refusal { errno, rule }));
}
