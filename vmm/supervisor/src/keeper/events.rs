//! What happened: numbered, told to the onlooker, shown to the guests that see it, and acted on.

use container_core::{Event, GroupPath, TaskId};

use super::share::EVENT;
use super::{Keeper, MachineId, report};
use crate::Notice;
use crate::event_log::Room;
use crate::runner::Job;

/// What the log keeps: at about 200 bytes an event some 13 MB, and no more than this whatever guests write.
pub(super) const ROOM: Room = Room {
    events: 65_536,
    bytes: 32 << 20,
};
/// What an event takes beside its texts.
const FIXED_BYTES: usize = 200;

impl Keeper {
    /// Number what a commit made happen, and set off what follows from it: on behalf of this machine's
    /// guest, or of the host.
    pub(super) fn record(&mut self, events: Vec<Event>, guest: Option<MachineId>) {
        if let Some(guest) = guest {
            self.charge_share(guest, EVENT * events.len() as u32);
        }
        for (index, event) in events.into_iter().enumerate() {
            if let Event::TaskExited { task, .. } = &event {
                self.note_exit(*task);
            }
            self.append_event(report::event(&event));
            self.show(index);
            if let Event::Released {
                group,
                agent: Some(program),
            } = event
            {
                self.run_agent(program, group, guest);
            }
        }
    }

    fn note_exit(&mut self, task: TaskId) {
        if let Some(record) = self.tasks.get_mut(task) {
            record.end();
        }
        self.cpu.forget(task);
    }

    fn run_agent(&mut self, program: String, group: GroupPath, guest: Option<MachineId>) {
        if guest.is_some_and(|guest| !self.may_run_agent(guest)) {
            let text = format!("release agent for {group}: not run, its guest sets off too many");
            self.append("release_agent_ended", text, |event| {
                event.group = Some(group.to_string())
            });
            return;
        }
        let job = Job::ReleaseAgent {
            program,
            group: group.clone(),
        };
        if self.runner.try_send(job).is_ok() {
            self.agents += 1;
        } else {
            let text = format!("release agent for {group}: not run, too many wait");
            self.append("release_agent_ended", text, |_| {});
        }
    }

    pub(super) fn append(
        &mut self,
        kind: &str,
        text: String,
        about: impl FnOnce(&mut management::Event),
    ) {
        let mut event = management::Event {
            kind: kind.into(),
            text,
            ..Default::default()
        };
        about(&mut event);
        self.append_event(event);
    }

    fn append_event(&mut self, mut event: management::Event) {
        event.monotonic_ns = host::monotonic_ns();
        let group = event.group.as_ref().map_or(0, String::len);
        let bytes = FIXED_BYTES + event.text.len() + group;
        let event = self.log.append(bytes, |id| {
            event.id = id.to_string();
            event
        });
        if let Some(onlooker) = &self.onlooker {
            onlooker(Notice::Event(Box::new(event.clone())));
        }
    }

    /// An event about a machine: `NAME TEXT`.
    pub(super) fn tell_of(&mut self, machine: MachineId, kind: &str, text: &str) {
        let Some(name) = self
            .machines
            .get(machine)
            .map(|machine| machine.name().to_string())
        else {
            return;
        };
        self.append(kind, format!("{name} {text}"), |event| {
            event.machine = Some(name)
        });
    }
}

/// A number that no other life of a supervisor on this host has: the milliseconds of the wall clock.
pub(super) fn epoch() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
