//! The bytes in docs/agent-protocol.md are the bytes that this crate writes and reads.

use std::fmt::{Debug, Write};

use agent_protocol::{
    Access, Answer, Ask, Call, Change, Event, EventId, FrameReader, FromAgent, Hello, MAX_FRAME,
    MAX_OPEN, Reply, Root, ToAgent, VERSION, Welcome, encode,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const DOC: &str = include_str!("../../../docs/agent-protocol.md");

/// A frame as the document shows it: who writes it, what it is, its bytes.
fn shown<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    who: &str,
    what: &str,
    message: T,
) -> String {
    let frame = encode(&message).expect("it fits");
    let mut reader = FrameReader::new();
    reader.push(&frame);
    assert_eq!(reader.next_message::<T>(), Ok(Some(message)));
    let mut text = format!("{who}: {what}\n");
    for line in frame.chunks(16) {
        for byte in line {
            write!(text, " {byte:02x}").expect("a string takes it");
        }
        text.push('\n');
    }
    text
}

fn example() -> String {
    let hello = FromAgent::Hello(Hello {
        version: VERSION,
        agent: "demo 1".into(),
    });
    let welcome = ToAgent::Welcome(Welcome {
        version: VERSION,
        max_frame: MAX_FRAME as u32,
        max_open: MAX_OPEN,
        roots: vec![Root {
            hierarchy: "placement".into(),
            subsystems: vec!["cpuset".into()],
            access: Access::Delegate,
        }],
    });
    let group = || "placement:/hot".to_string();
    let change = FromAgent::Request {
        id: 1,
        call: Call::Change(vec![
            Change::Mkdir { group: group() },
            Change::Attach {
                group: group(),
                task: "vcpu1".into(),
            },
        ]),
    };
    let changed = ToAgent::Answer {
        id: 1,
        outcome: Ok(Reply::Changed { effects: 1 }),
    };
    let refused = ToAgent::Answer {
        id: 1,
        outcome: Err(agent_protocol::Refusal {
            errno: "EEXIST".into(),
            rule: "placement:/hot is there".into(),
        }),
    };
    let subscribe = FromAgent::Request {
        id: 2,
        call: Call::Subscribe { since: None },
    };
    let epoch = 0x1234;
    let subscribed = ToAgent::Answer {
        id: 2,
        outcome: Ok(Reply::Subscribed {
            last: EventId { epoch, seq: 2 },
        }),
    };
    let event = ToAgent::Event {
        id: EventId { epoch, seq: 3 },
        event: Event::Released { group: group() },
    };
    [
        shown("agent", "Hello", hello),
        shown("supervisor", "Welcome", welcome),
        shown("agent", "Request 1, Change: Mkdir and Attach", change),
        shown("supervisor", "Answer 1, Changed", changed),
        shown("supervisor", "the same, had it been refused", refused),
        shown("agent", "Request 2, Subscribe", subscribe),
        shown("supervisor", "Answer 2, Subscribed", subscribed),
        shown("supervisor", "Event 3, Released", event),
    ]
    .concat()
}

#[test]
fn the_worked_example_of_the_document_is_what_goes_over_the_channel() {
    let example = example();
    assert!(
        DOC.contains(&format!("```text\n{example}```\n")),
        "docs/agent-protocol.md is stale; its example reads:\n{example}"
    );
}

#[test]
fn the_document_names_the_constants_as_they_are() {
    for (name, value) in [
        ("PORT", agent_protocol::PORT as usize),
        (
            "PRIVILEGED_PORTS",
            agent_protocol::PRIVILEGED_PORTS as usize,
        ),
        ("VERSION", VERSION.into()),
        ("MAX_FRAME", MAX_FRAME),
        ("MAX_OPEN", MAX_OPEN.into()),
        ("MAX_CHANGES", agent_protocol::MAX_CHANGES),
        ("MAX_AGENT_NAME", agent_protocol::MAX_AGENT_NAME),
    ] {
        assert!(
            DOC.contains(&format!("| `{name}` | {value} |")),
            "docs/agent-protocol.md says something else than {name} = {value}"
        );
    }
}

/// The document has a row for this variant, with its number on the channel.
fn numbered<T: Serialize + Debug>(section: &str, variants: impl IntoIterator<Item = T>) {
    let after = DOC.split_once(section).expect("a section").1;
    let section = after.split("\n## ").next().expect("its text");
    for variant in variants {
        let number = encode(&variant).expect("it fits")[4];
        let text = format!("{variant:?}");
        let name = text.split(|c: char| !c.is_alphanumeric()).next();
        let row = format!("| {number} | {} |", name.expect("a name"));
        assert!(section.contains(&row), "docs/agent-protocol.md lacks {row}");
    }
}

#[test]
fn what_an_agent_says_has_the_numbers_of_the_document() {
    let text = String::new;
    let (since, why) = (None, text());
    let hello = Hello {
        version: 0,
        agent: text(),
    };
    let (id, call, answer) = (0, Call::Ping, Answer::Pong);
    let section = "\n## From the agent";
    numbered(
        section,
        [
            FromAgent::Hello(hello),
            FromAgent::Request { id, call },
            FromAgent::Answer { id, answer },
        ],
    );
    let (group, file, value, task) = (text(), text(), text(), text());
    let (hierarchy, after) = (text(), None);
    numbered(
        section,
        [
            Call::Ping,
            Call::Roots,
            Call::Tree { hierarchy, after },
            Call::Get { group, file },
            Call::Change(vec![]),
            Call::Subscribe { since },
            Call::Unsubscribe,
        ],
    );
    let (group, file) = (text(), text());
    numbered(
        section,
        [
            Change::Mkdir { group: text() },
            Change::Rmdir { group: text() },
            Change::Set { group, file, value },
            Change::Attach {
                group: text(),
                task,
            },
        ],
    );
    let info = Answer::Info {
        agent: text(),
        vcpus: 0,
        uptime_ns: 0,
    };
    let declined = Answer::Declined { why };
    numbered(section, [Answer::Pong, info, Answer::Ending, declined]);
}

#[test]
fn what_the_supervisor_says_has_the_numbers_of_the_document() {
    let text = String::new;
    let section = "\n## From the supervisor";
    let event_id = EventId { epoch: 0, seq: 0 };
    let (id, lost, next) = (event_id, None, event_id);
    let released = Event::Released { group: text() };
    let welcome = Welcome {
        version: 0,
        max_frame: 0,
        max_open: 0,
        roots: vec![],
    };
    let (outcome, event) = (Ok(Reply::Pong), released.clone());
    numbered(
        section,
        [
            ToAgent::Welcome(welcome),
            ToAgent::Answer { id: 0, outcome },
            ToAgent::Event { id, event },
            ToAgent::Gap { lost, next },
            ToAgent::Request {
                id: 0,
                ask: Ask::Ping,
            },
            ToAgent::Goodbye { why: text() },
        ],
    );
    let (groups, more) = (vec![], false);
    numbered(
        section,
        [
            Reply::Pong,
            Reply::Roots(vec![]),
            Reply::Tree { groups, more },
            Reply::File(text()),
            Reply::Changed { effects: 0 },
            Reply::Subscribed { last: event_id },
            Reply::Unsubscribed,
        ],
    );
    let (from, to, task) = (None, None, text());
    let (group, file, value) = (text(), text(), text());
    numbered(
        section,
        [
            released,
            Event::GroupCreated { group: text() },
            Event::GroupRemoved { group: text() },
            Event::GroupRenamed {
                from: text(),
                to: text(),
            },
            Event::TaskMoved { task, from, to },
            Event::FileWritten { group, file, value },
            Event::GroupFrozen { group: text() },
            Event::GroupThawed { group: text() },
        ],
    );
    for (number, ask) in [Ask::Ping, Ask::Info, Ask::Shutdown].iter().enumerate() {
        assert_eq!(usize::from(encode(ask).expect("it fits")[4]), number);
        assert!(DOC.contains(&format!("{number} {ask:?}")));
    }
}
