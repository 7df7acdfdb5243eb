//! What the keeper is asked and told. What it answers is in [`answer`](super::answer).

use actor::Reply;
use agent_protocol::Ask;
use container_core::{
    Command, Credentials, GroupPath, GroupsGeneration, HierarchyInfo, MachineName, Refusal,
    TaskCursor, TaskId, TaskPage,
};
use host::ExactCounter;
use management::Report;

use super::{AgentAnswer, Asker, ChangeError, EventPage, MachineId, Planned, Rehearsal, Rehearsed};
use crate::agent;
use crate::wire::Said;
use crate::{EventId, Launch, NewMachine, Placement, Restart};

/// What the keeper is asked.
pub enum Request {
    /// Take a machine in that has just been started.
    Launch(Box<Launch>),
    /// Change groups or tasks, all of it or nothing; or say what a change would do.
    Plan {
        /// Who asks.
        by: Credentials,
        /// What.
        commands: Vec<Command>,
        /// Refused (ESTALE) unless the groups are still those of this generation.
        generation: Option<GroupsGeneration>,
        /// Only say what it would do.
        dry_run: bool,
        /// Answers when it is in force, or why it is not.
        reply: Reply<Result<Planned, ChangeError>>,
    },
    /// Say what an apply would come to.
    Rehearse(Box<Rehearsal>, Reply<Result<Rehearsed, Refusal>>),
    /// Find a task by `MACHINE/KIND` or by its tid.
    Find(String, Reply<Option<TaskId>>),
    /// Read a control file.
    Read {
        /// Who asks.
        by: Credentials,
        /// Of which group.
        group: GroupPath,
        /// Which file.
        file: String,
        /// The file's text.
        reply: Reply<Result<String, Refusal>>,
    },
    /// A page of a group's tasks.
    Tasks {
        /// Who asks.
        by: Credentials,
        /// Of which group.
        group: GroupPath,
        /// Where the page before ended; None for the first.
        cursor: Option<TaskCursor>,
        /// At most so many.
        most: usize,
        /// ENOENT where there is no such group, EACCES without the right to read it.
        reply: Reply<Result<TaskPage, Refusal>>,
    },
    /// The names of a group's control files.
    Files {
        /// Of which group.
        group: GroupPath,
        /// ENOENT where there is no such group.
        reply: Reply<Result<Vec<&'static str>, Refusal>>,
    },
    /// Every hierarchy, in the order they were mounted.
    Hierarchies(Reply<Vec<HierarchyInfo>>),
    /// The text of `/proc/cgroups`: a line a subsystem.
    ProcGroups(Reply<String>),
    /// The text of `/proc/PID/cgroup`: a line a hierarchy.
    ProcTask {
        /// `MACHINE/KIND`, or a thread id.
        task: String,
        /// ESRCH where no such task lives.
        reply: Reply<Result<String, Refusal>>,
    },
    /// What happened after an event, as far as it is kept.
    EventsSince {
        /// The last event that the asker saw; None: from the oldest that is kept.
        last: Option<EventId>,
        /// At most so many. 0 asks for the number of the newest.
        most: usize,
        /// Answers at once, with none where nothing has happened: that something has is told to the
        /// [`Onlooker`](crate::Onlooker).
        reply: Reply<EventPage>,
    },
    /// A copy of the groups and what each machine was asked to be: what a spec is held against.
    Known(Reply<crate::api::Known>),
    /// One machine; of several lives under one name, the last.
    Machine(MachineName, Reply<Option<management::Machine>>),
    /// The whole state, counters sampled now.
    Report(Reply<Report>),
    /// The same without the events, which are most of it.
    State(Reply<Report>),
    /// Make a machine and start it.
    Create {
        /// Who asks: root or the supervisor's own user.
        by: Credentials,
        /// What is to be.
        machine: Box<NewMachine>,
        /// One of that name that has ended gives way, once there is a process for this.
        replace: bool,
        /// Answers when its process has been told what to build. That it runs is told by an event.
        ///
        /// EPERM for another user; EEXIST while a machine of that name is known, ended ones included; EINVAL for
        /// what no machine can be; what the groups refuse its tasks; EAGAIN for too many at once; the host's
        /// sentence where no process could be started.
        reply: Reply<Result<(), ChangeError>>,
    },
    /// Forget a machine that has ended.
    Remove {
        /// Who asks: root or the supervisor's own user.
        by: Credentials,
        /// Which.
        machine: MachineName,
        /// EPERM for another user, ENOENT where it is not known, EBUSY while it lives.
        reply: Reply<Result<(), ChangeError>>,
    },
    /// Change what machines are asked to be, as far as that needs no life of their own: all of it or nothing. What it
    /// means is said in [`Amendment`].
    Amend {
        /// Who asks: root or the supervisor's own user.
        by: Credentials,
        /// What.
        amendments: Vec<Amendment>,
        /// EPERM for another user, ENOENT for a machine that is not known.
        reply: Reply<Result<(), ChangeError>>,
    },
    /// Give a machine an order. It is posted: that it has been followed is told by an event. `Start` answers as
    /// `Create` does.
    Order {
        /// Who asks: root or the supervisor's own user.
        by: Credentials,
        /// Which.
        machine: MachineName,
        /// What it is to do.
        order: Order,
        /// EPERM for another user, ENOENT where the machine is not known, ESRCH where it has ended, EBUSY for a
        /// `Start` of one that lives.
        reply: Reply<Result<(), ChangeError>>,
    },
    /// A guest's agent asks something of its view.
    Agent(Asker, Box<agent::Request>),
    /// Ask a machine's guest for something.
    AskAgent {
        /// Who asks: root or the supervisor's own user.
        by: Credentials,
        /// Which.
        machine: MachineName,
        /// What.
        ask: Ask,
        /// What the guest says.
        reply: AgentAnswer,
    },
    /// From the wire and the runner.
    News(News),
    /// Kill what lives and end.
    End,
}

/// What changes of a machine while it lives.
#[derive(Clone, Debug)]
pub struct Amendment {
    /// Which.
    pub machine: MachineName,
    /// When it is started anew from now on. One that waits for its restart waits on only if it still is to be.
    pub restart: Restart,
    /// Where its tasks go at its next start. Those that live are moved by a plan.
    pub placement: Placement,
}

/// What a machine can be ordered to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End its guest in good order.
    Stop,
    /// Die, unasked.
    Kill,
    /// Leave the guest and stay out.
    Pause,
    /// Enter it again.
    Resume,
    /// Be started again, having ended: the same machine, in a process of its own.
    Start,
}

/// What the other actors have to tell.
pub enum News {
    /// A machine said something well-formed.
    Said {
        /// Which.
        machine: MachineId,
        /// What.
        said: Said,
    },
    /// A machine broke the link's protocol, or does not read.
    Broken {
        /// Which.
        machine: MachineId,
        /// The rule.
        why: String,
    },
    /// A machine's end of the link is closed.
    LinkClosed {
        /// Which.
        machine: MachineId,
    },
    /// A machine has not answered for some seconds.
    Unresponsive {
        /// Which.
        machine: MachineId,
    },
    /// A machine's process is dead, and all it said has been passed on.
    Died {
        /// Which.
        machine: MachineId,
    },
    /// Exact counters, as far as they could be opened.
    Counters {
        /// By task.
        counters: Vec<(TaskId, ExactCounter)>,
        /// The TSC's rate.
        tsc_khz: Option<u32>,
    },
    /// A guest's agent has introduced itself.
    AgentReady {
        /// Whose.
        machine: MachineId,
        /// How it calls itself.
        agent: String,
    },
    /// A session of a guest's agent was ended for breaking a rule.
    AgentCutOff {
        /// Whose.
        machine: MachineId,
        /// The rule.
        why: String,
    },
    /// A machine process has been started and told what to build, or has not.
    Launched {
        /// Whose.
        machine: MachineName,
        /// The process, or why there is none.
        launch: Result<Box<Launch>, String>,
    },
    /// A release agent has ended.
    ReleaseAgentEnded {
        /// The group it was run for.
        group: GroupPath,
        /// How.
        outcome: String,
    },
}

impl Request {
    /// Whether it changes nothing and may be answered while a change is under way.
    pub(super) fn is_read(&self) -> bool {
        match self {
            Request::Rehearse(..)
            | Request::Find(..)
            | Request::Read { .. }
            | Request::Tasks { .. }
            | Request::Files { .. }
            | Request::Hierarchies(_)
            | Request::ProcGroups(_)
            | Request::ProcTask { .. }
            | Request::EventsSince { .. }
            | Request::Known(_)
            | Request::Machine(..)
            | Request::Report(_)
            | Request::State(_)
            | Request::AskAgent { .. }
            | Request::End => true,
            Request::Agent(_, request) => !matches!(**request, agent::Request::Change(_)),
            _ => false,
        }
    }
}
