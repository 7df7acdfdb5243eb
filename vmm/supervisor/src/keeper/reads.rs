//! Reads: what changes nothing, and is answered also while a change is under way.

use container_core::{Errno, Refusal, TaskId, Tid};
use management::Report;

use super::machines::State;
use super::{EventPage, Keeper, Request};
use crate::api::{Known, KnownMachine};
use crate::{EventId, NewMachine};

/// How the control files begin that show what tasks have used.
const BILL: &str = "cpuacct.";
/// And those that show what machines hold.
const MEMORY: &str = "memory.";

/// The one that shows what a group's limit has come to.
pub(super) const CPU_STAT: &str = "cpu.stat";

impl Keeper {
    /// Answer one.
    pub(super) fn on_read(&mut self, request: Request) {
        match request {
            Request::Rehearse(rehearsal, reply) => reply.send(self.rehearse(&rehearsal)),
            Request::Find(name, reply) => reply.send(self.find(&name)),
            Request::Read {
                by,
                group,
                file,
                reply,
            } => {
                // Of all files only a bill is made of counters, and reading those of a host takes milliseconds.
                if file.starts_with(BILL) {
                    self.sample_all();
                }
                if file == CPU_STAT {
                    let counted = |group| self.cpu.stat(group);
                    self.framework.note_cpu_stat(&group, counted);
                }
                if file.starts_with(MEMORY) {
                    self.note_memory();
                }
                reply.send(self.framework.read(&by, &group, &file));
            }
            Request::Tasks {
                by,
                group,
                cursor,
                most,
                reply,
            } => reply.send(self.framework.tasks_after(&by, &group, cursor, most)),
            Request::Files { group, reply } => reply.send(self.framework.files(&group)),
            Request::Hierarchies(reply) => reply.send(self.framework.hierarchies()),
            Request::ProcGroups(reply) => reply.send(self.framework.proc_groups()),
            Request::ProcTask { task, reply } => reply.send(self.proc_task(&task)),
            Request::EventsSince { last, most, reply } => reply.send(self.events_since(last, most)),
            Request::Known(reply) => reply.send(self.copy()),
            Request::Machine(name, reply) => {
                let machine = self.machines.by_name(&name);
                if let Some(id) = machine {
                    self.note_memory_of(id);
                }
                let machine = machine.and_then(|id| self.machines.get(id));
                reply.send(machine.map(|machine| self.machine_row(machine)));
            }
            Request::Report(reply) => {
                self.sample_all();
                self.note_memory();
                let events = self.log.kept().cloned().collect();
                let state = self.state();
                reply.send(Report { events, ..state });
            }
            Request::State(reply) => {
                self.sample_all();
                self.note_memory();
                reply.send(self.state());
            }
            _ => unreachable!("every other request is taken before"),
        }
    }

    fn copy(&self) -> Known {
        // Of one that is started again, what it was is in the way no more.
        let is_launching = |machine: &NewMachine| self.launching.contains_key(&machine.name);
        let known = |asked: &NewMachine, alive| KnownMachine {
            asked: asked.clone(),
            alive,
        };
        let machines = self.machines.iter().map(|(_, machine)| machine);
        let machines = machines
            .filter(|machine| !is_launching(&machine.asked))
            .map(|machine| known(&machine.asked, machine.state != State::Ended));
        let launching = self.launching.values().map(|one| known(&one.machine, true));
        Known {
            framework: self.framework.clone(),
            machines: machines.chain(launching).collect(),
        }
    }

    fn find(&self, name: &str) -> Option<TaskId> {
        match name.parse::<u32>() {
            Ok(tid) => self.framework.task_by_tid(Tid(tid)),
            Err(_) => self.framework.task_by_name(&name.parse().ok()?),
        }
    }

    fn proc_task(&self, name: &str) -> Result<String, Refusal> {
        let found = self.find(name);
        let task =
            found.ok_or_else(|| Refusal::new(Errno::ESRCH, format!("no task {name} lives")))?;
        self.framework.task_group_lines(task)
    }

    fn events_since(&self, last: Option<EventId>, most: usize) -> EventPage {
        let newest = self.log.last();
        let start = EventId { seq: 0, ..newest };
        let since = self.log.since(last.unwrap_or(start), most);
        let given = since.events.len() as u64;
        EventPage {
            lost: since.lost,
            last: match given {
                0 => newest,
                _ => EventId {
                    seq: since.first + given - 1,
                    ..newest
                },
            },
            more: since.more,
            events: since.events.into_iter().cloned().collect(),
        }
    }
}
