//! The error table through the guest channel: every row that a guest can ask, as frames to a session, with the keeper
//! behind it.

use std::time::Instant;

use agent_protocol::{
    Call, Change, FrameReader, FromAgent, Hello, Refusal, Reply, ToAgent, VERSION, encode,
};

use container_core::Command;

use super::Stage;
use crate::agent::{Act, Session};
use crate::errors::world::{World, child};
use crate::errors::{Answer, Door, HALF, Op, Row, in_view, table};
use crate::keeper::share::Share;

/// A guest in the world of a row, its session open.
struct Guest {
    stage: Stage,
    session: Session,
    reader: FrameReader,
    now: Instant,
}

impl Guest {
    fn new(row: &Row) -> Self {
        let now = Instant::now();
        let world = World::new(&[]);
        let setting = row.setting.iter().map(|op| world.command(*op).unwrap());
        let setting: Vec<Command> = setting.collect();
        let mut stage = Stage::of(world.framework, &["p:/home", "b:/home"]);
        stage.change(&setting);
        let mut guest = Guest {
            stage,
            session: Session::new(now),
            reader: FrameReader::new(),
            now,
        };
        let agent = "test".into();
        let version = VERSION;
        let welcome = guest.say(&FromAgent::Hello(Hello { version, agent }));
        assert!(matches!(welcome, ToAgent::Welcome(_)), "{welcome:?}");
        guest
    }

    /// Say something, and hear what is said to it.
    fn say(&mut self, message: &FromAgent) -> ToAgent {
        let mut acts = self.session.on_bytes(&encode(message).unwrap(), self.now);
        while let Some(act) = acts.pop() {
            match act {
                Act::Ask(token, request) => {
                    let outcome = self.stage.ask(request);
                    acts.extend(self.session.on_answer(token, outcome, self.now));
                }
                Act::Opened { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let output = self.session.output().to_vec();
        assert_eq!(self.reader.push(&output), output.len());
        self.session.took(output.len(), self.now);
        self.reader.next_message().unwrap().expect("an answer")
    }

    /// However slow this host is: the guest's share of the keeper's time is not what is tested.
    fn call(&mut self, call: Call) -> Result<Reply, Refusal> {
        let machine = self.stage.machine;
        self.stage.keeper.sight_mut(machine).unwrap().share = Share::full(Instant::now());
        match self.say(&FromAgent::Request { id: 1, call }) {
            ToAgent::Answer { id: 1, outcome } => outcome,
            other => panic!("{other:?}"),
        }
    }

    /// Everything there is, and the numbers of the last events, the host's and the view's.
    fn snapshot(&self) -> String {
        let keeper = &self.stage.keeper;
        let seen = keeper.sight(self.stage.machine).unwrap().log.last();
        let framework = keeper.framework.snapshot();
        format!("{framework}{}{seen}", keeper.log.last())
    }
}

/// A row in the guest's words; None for what the channel has none for.
fn change(op: Op) -> Option<Change> {
    Some(match op {
        Op::Mkdir(parent, name) => Change::Mkdir {
            group: in_view(&child(parent, name)),
        },
        Op::Rmdir(group) => Change::Rmdir {
            group: in_view(group),
        },
        Op::Write(group, file, value) => Change::Set {
            group: in_view(group),
            file: file.into(),
            value: value.into(),
        },
        Op::Attach(group, task) => Change::Attach {
            group: in_view(group),
            task: task.strip_prefix("web/").unwrap_or(task).into(),
        },
        _ => return None,
    })
}

fn calls(row: &Row) -> Vec<Call> {
    if let Op::Read(group, file) = row.op {
        return vec![get(group, file)];
    }
    let asked = || change(row.op).unwrap_or_else(|| panic!("{row:#?} has no words"));
    let mut calls = vec![Call::Change(vec![asked()])];
    if row.can_follow() {
        calls.push(Call::Change(vec![change(HALF).unwrap(), asked()]));
    }
    calls
}

fn get(group: &str, file: &str) -> Call {
    Call::Get {
        group: in_view(group),
        file: file.into(),
    }
}

fn assert_answered(row: &Row, answer: Answer, call: Call) {
    let mut guest = Guest::new(row);
    let before = guest.snapshot();
    match (answer, guest.call(call)) {
        (Answer::Refused(errno, operands), Err(refusal)) => {
            assert_eq!(guest.snapshot(), before, "{row:#?}");
            let told = (&refusal.errno, &refusal.rule);
            assert_eq!(refusal.errno, format!("{errno:?}"), "{row:#?}: {told:?}");
            for operand in operands.iter().map(|operand| in_view(operand)) {
                let is_there = refusal.rule.contains(&operand);
                assert!(is_there, "{row:#?}: no {operand:?} in {told:?}");
            }
        }
        (Answer::Taken(then), Ok(_)) => {
            if let Op::Write(group, file, _) = row.op {
                let file = guest.call(get(group, file));
                let then = match then {
                    "" => String::new(),
                    _ => format!("{then}\n"),
                };
                assert_eq!(file, Ok(Reply::File(then)), "{row:#?}");
            }
        }
        (_, other) => panic!("{row:#?}: {other:?}"),
    }
}

#[test]
fn every_row_of_the_error_table_that_a_guest_can_ask_is_answered_and_a_refusal_leaves_no_trace() {
    let mut asked = 0;
    for row in table() {
        let answer = match row.guest {
            Door::Same => row.answer,
            Door::Differs(answer, _) => answer,
            Door::Lacks(_) => continue,
        };
        for call in calls(row) {
            assert_answered(row, answer, call);
        }
        asked += 1;
    }
    assert!(asked > 100, "only {asked} rows");
}
