//! Between the channel's words and the keeper's.
//!
//! Names come as text and are parsed here, once. One that does not parse is an ordinary refusal: whoever
//! typed it made a mistake, the agent that passed it on did not.

use agent_protocol::{self as wire, Call, Change, FrameError, MAX_CHANGES, ToAgent};
use container_core::{
    Errno, MAX_VIEW_COMMANDS, Refusal, ViewAccess, ViewCommand, ViewEvent, ViewGroup, ViewPath,
    ViewRoot,
};

use super::{Reply, Request};
use crate::EventId;
use crate::wire::cut;

// What the channel lets through in one request is what the framework takes in one plan.
const _: () = assert!(MAX_CHANGES == MAX_VIEW_COMMANDS);

/// What a call asks the keeper for; None for one that needs no keeper.
///
/// # Errors
/// For a name that does not parse.
pub(super) fn request(call: &Call) -> Result<Option<Request>, Refusal> {
    Ok(Some(match call {
        Call::Ping => return Ok(None),
        Call::Roots => Request::Roots,
        Call::Tree { hierarchy, after } => Request::Tree {
            hierarchy: hierarchy.parse()?,
            after: after.as_deref().map(str::parse).transpose()?,
        },
        Call::Get { group, file } => Request::Read {
            group: group.parse()?,
            file: file.clone(),
        },
        Call::Change(changes) => {
            Request::Change(changes.iter().map(command).collect::<Result<_, _>>()?)
        }
        Call::Subscribe { since } => Request::Subscribe {
            since: since.map(|wire::EventId { epoch, seq }| EventId { epoch, seq }),
        },
        Call::Unsubscribe => Request::Unsubscribe,
    }))
}

fn command(change: &Change) -> Result<ViewCommand, Refusal> {
    Ok(match change {
        Change::Mkdir { group } => ViewCommand::Mkdir {
            group: group.parse()?,
        },
        Change::Rmdir { group } => ViewCommand::Rmdir {
            group: group.parse()?,
        },
        Change::Set { group, file, value } => ViewCommand::Write {
            group: group.parse()?,
            file: file.clone(),
            value: value.clone(),
        },
        Change::Attach { group, task } => ViewCommand::Attach {
            group: group.parse()?,
            task: task.parse()?,
        },
    })
}

/// The frame of an answer, which fits whatever the keeper says.
pub(super) fn answer(id: u32, outcome: Result<wire::Reply, Refusal>) -> Vec<u8> {
    let mut outcome = outcome.map_err(refusal);
    loop {
        let message = ToAgent::Answer { id, outcome };
        let error = match wire::encode(&message) {
            Ok(frame) => return frame,
            Err(error) => error,
        };
        outcome = match message {
            ToAgent::Answer {
                outcome: Ok(wire::Reply::Tree { mut groups, .. }),
                ..
            } if groups.len() > 1 => {
                groups.truncate(groups.len() / 2);
                Ok(wire::Reply::Tree { groups, more: true })
            }
            // A refusal has at most 256 characters and fits.
            _ => Err(refusal(does_not_fit(error))),
        };
    }
}

fn does_not_fit(error: FrameError) -> Refusal {
    Refusal::new(Errno::E2BIG, format!("the answer does not fit: {error}"))
}

/// What the keeper says to a call, as the agent hears it. Whether it is an answer to that call is the
/// keeper's to get right.
pub(super) fn reply(reply: Reply) -> Result<wire::Reply, Refusal> {
    Ok(match reply {
        Reply::Roots(list) => wire::Reply::Roots(roots(list)),
        Reply::Tree { groups, more } => wire::Reply::Tree {
            groups: groups.into_iter().map(group).collect(),
            more,
        },
        Reply::File(text) => wire::Reply::File(text),
        Reply::Changed { effects } => wire::Reply::Changed { effects },
        Reply::Subscribed { last, .. } => wire::Reply::Subscribed {
            last: event_id(last.epoch, last.seq),
        },
        Reply::Unsubscribed => wire::Reply::Unsubscribed,
        Reply::Replayed(_) => {
            let rule = "the keeper answered with events that the agent did not ask for";
            return Err(Refusal::new(Errno::EIO, rule));
        }
    })
}

/// The roots of a view.
pub(super) fn roots(roots: Vec<ViewRoot>) -> Vec<wire::Root> {
    let root = |root: ViewRoot| wire::Root {
        hierarchy: root.hierarchy.as_str().into(),
        subsystems: root.subsystems.into_iter().map(String::from).collect(),
        access: match root.access {
            ViewAccess::Read => wire::Access::Read,
            ViewAccess::Delegate => wire::Access::Delegate,
        },
    };
    roots.into_iter().map(root).collect()
}

fn group(group: ViewGroup) -> wire::Group {
    wire::Group {
        path: group.path.to_string(),
        cpus: group.cpus.map(|cpus| cpus.to_string()),
        tasks: u32::try_from(group.tasks).unwrap_or(u32::MAX),
        own: group.own.iter().map(ToString::to_string).collect(),
        notify_on_release: group.notify_on_release,
    }
}

fn refusal(refusal: Refusal) -> wire::Refusal {
    wire::Refusal {
        errno: format!("{:?}", refusal.errno),
        rule: cut(&refusal.rule),
    }
}

/// The number of an event.
pub(super) fn event_id(epoch: u64, seq: u64) -> wire::EventId {
    wire::EventId { epoch, seq }
}

/// An event.
pub(super) fn event(event: &ViewEvent) -> wire::Event {
    let text = |path: &ViewPath| path.to_string();
    match event {
        ViewEvent::Released { group } => wire::Event::Released { group: text(group) },
        ViewEvent::GroupCreated { group } => wire::Event::GroupCreated { group: text(group) },
        ViewEvent::GroupRemoved { group } => wire::Event::GroupRemoved { group: text(group) },
        ViewEvent::GroupRenamed { from, to } => wire::Event::GroupRenamed {
            from: text(from),
            to: text(to),
        },
        ViewEvent::TaskMoved { task, from, to } => wire::Event::TaskMoved {
            task: task.to_string(),
            from: from.as_ref().map(text),
            to: to.as_ref().map(text),
        },
        ViewEvent::GroupFrozen { group } => wire::Event::GroupFrozen { group: text(group) },
        ViewEvent::GroupThawed { group } => wire::Event::GroupThawed { group: text(group) },
        ViewEvent::FileWritten { group, file, value } => wire::Event::FileWritten {
            group: text(group),
            file: file.clone(),
            value: value.clone(),
        },
    }
}

/// What a guest says, with no text in it that is long or steers a terminal.
pub(super) fn harmless(answer: wire::Answer) -> wire::Answer {
    match answer {
        wire::Answer::Info {
            agent,
            vcpus,
            uptime_ns,
        } => wire::Answer::Info {
            agent: cut(&agent),
            vcpus,
            uptime_ns,
        },
        wire::Answer::Declined { why } => wire::Answer::Declined { why: cut(&why) },
        plain @ (wire::Answer::Pong | wire::Answer::Ending) => plain,
    }
}
