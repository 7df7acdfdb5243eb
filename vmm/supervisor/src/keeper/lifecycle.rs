//! The life of machines by order: made, started again, ended, forgotten.
//!
//! ```text
//!  Create ─▶ tried ─▶ launching ──News::Launched──▶ a machine (`machines`) ──▶ … ──▶ Ended ──Remove──▶ forgotten
//!              ▲          │ no process: the asker is told why                         │
//!              └──────────┼────────────────────── Start, or its restart ◀─────────────┘
//! ```
//!
//! The runner starts the process, since an exec may block; the keeper goes on meanwhile. A name is taken from the
//! moment that its process is asked for until its machine is forgotten.

use std::time::Duration;

use actor::{Reply, TrySendError};
use container_core::{Credentials, Errno, MachineName, Refusal};
use link::ToMachine;

use super::machines::{MachineId, State};
use super::{ChangeError, Keeper, Order};
use crate::runner::Job;
use crate::{Launch, NewMachine};

/// Answers a verb.
type Answer = Reply<Result<(), ChangeError>>;

/// A machine whose process is being started.
pub(super) struct Launching {
    pub machine: NewMachine,
    /// Who waits for it; None where it is a restart.
    reply: Option<Answer>,
    /// What it was waited with before this restart.
    waited: Option<Duration>,
}

impl Keeper {
    pub(super) fn on_create(
        &mut self,
        by: &Credentials,
        machine: NewMachine,
        replace: bool,
        reply: Answer,
    ) {
        match self.create(by, machine, replace) {
            Ok(launching) => launching.reply = Some(reply),
            Err(refusal) => reply.send(Err(refusal.into())),
        }
    }

    fn create(
        &mut self,
        by: &Credentials,
        machine: NewMachine,
        replace: bool,
    ) -> Result<&mut Launching, Refusal> {
        let name = &machine.name;
        may(by, "create", name)?;
        let state = self.state_word(name);
        if let Some(state) = state.filter(|state| !replace || *state != "ended") {
            let rule = format!("machine {name} is there already, and {state}");
            return Err(Refusal::new(Errno::EEXIST, rule));
        }
        self.ask_for_process(machine, None)
    }

    /// Start one that has ended.
    fn start(&mut self, by: &Credentials, name: &MachineName) -> Result<&mut Launching, Refusal> {
        may(by, "start", name)?;
        let id = self.known(name)?;
        let word = self.state_word(name).unwrap_or_default();
        let ended = self.machines.get(id).filter(|_| word == "ended");
        let Some(machine) = ended else {
            let rule = format!("machine {name} is {word}: only one that has ended is started");
            return Err(Refusal::new(Errno::EBUSY, rule));
        };
        self.ask_for_process(machine.asked.clone(), None)
    }

    /// Try its birth, and have the runner start its process.
    ///
    /// # Errors
    /// What its birth would be refused for; EAGAIN where too many are being started.
    pub(super) fn ask_for_process(
        &mut self,
        machine: NewMachine,
        waited: Option<Duration>,
    ) -> Result<&mut Launching, Refusal> {
        let name = machine.name.clone();
        self.try_birth(&machine)?;
        match self.runner.try_send(Job::Launch(Box::new(machine.clone()))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                let rule = format!("machine {name} is one too many to be started now");
                return Err(Refusal::new(Errno::EAGAIN, rule));
            }
        }
        // A wait for its restart is over, whoever starts it.
        if let Some(id) = self.machines.by_name(&name)
            && let Some(ended) = self.machines.get_mut(id)
        {
            ended.restart_at = None;
        }
        let launching = self.launching.entry(name);
        Ok(launching
            .insert_entry(Launching {
                machine,
                reply: None,
                waited,
            })
            .into_mut())
    }

    /// A process has been told what to build, or there is none.
    pub(super) fn on_launched(&mut self, name: &MachineName, launch: Result<Box<Launch>, String>) {
        let Some(launching) = self.launching.remove(name) else {
            // Not asked for: it is not let live.
            if let Ok(launch) = launch {
                let _ = launch.process.kill();
            }
            return;
        };
        let former = self.machines.by_name(name);
        match (launch, launching.reply) {
            (Ok(mut launch), reply) => {
                // As it was asked for by now.
                launch.machine = launching.machine;
                if let Some(former) = former {
                    self.forget(former);
                }
                let id = self.on_launch(*launch);
                if let Some(machine) = self.machines.get_mut(id) {
                    machine.waited = launching.waited;
                }
                self.tell_of(id, "machine_starting", "has its process, and is built");
                if let Some(reply) = reply {
                    reply.send(Ok(()));
                }
            }
            (Err(why), Some(reply)) => {
                reply.send(Err(ChangeError::Host {
                    why,
                    drifted: Vec::new(),
                }));
                // One that waited for its restart when it was told to start waits on.
                if let Some(id) = former {
                    self.wait_with_restart(id);
                }
            }
            (Err(why), None) => {
                if let Some(id) = former {
                    self.wait_again(id, Duration::ZERO, &format!(": {why}"));
                }
            }
        }
        self.tell_if_all_ended();
    }

    /// Forget a machine that has ended.
    pub(super) fn on_remove(
        &mut self,
        by: &Credentials,
        name: &MachineName,
    ) -> Result<(), ChangeError> {
        may(by, "remove", name)?;
        let id = self.known(name)?;
        match self.state_word(name) {
            Some("ended") => {
                self.tell_of(id, "machine_removed", "is forgotten");
                self.forget(id);
                Ok(())
            }
            state => {
                let state = state.unwrap_or_default();
                let rule = format!("machine {name} is {state}: only one that has ended is removed");
                Err(Refusal::new(Errno::EBUSY, rule).into())
            }
        }
    }

    /// Nothing is left of an ended machine and its tasks but the sums of the ledger.
    pub(super) fn forget(&mut self, id: MachineId) {
        if let Some(machine) = self.machines.forget(id) {
            self.tasks.forget(id);
            self.framework.forget_machine(machine.name());
        }
    }

    pub(super) fn on_order(
        &mut self,
        by: &Credentials,
        name: &MachineName,
        order: Order,
        reply: Answer,
    ) {
        if order != Order::Start {
            let given = self.order(by, name, order);
            return reply.send(given.map_err(ChangeError::Refused));
        }
        match self.start(by, name) {
            Ok(launching) => launching.reply = Some(reply),
            Err(refusal) => reply.send(Err(refusal.into())),
        }
    }

    fn order(&mut self, by: &Credentials, name: &MachineName, order: Order) -> Result<(), Refusal> {
        may(by, "give orders to", name)?;
        let id = self.known(name)?;
        let ends = matches!(order, Order::Stop | Order::Kill);
        let is_launching = self.launching.contains_key(name);
        let Some(machine) = self.machines.get_mut(id) else {
            return Ok(());
        };
        if machine.state == State::Ended {
            if ends && machine.restart_at.take().is_some() {
                machine.end_ordered = true;
                self.tell_of(id, "machine_stays_ended", "is not started again, by order");
                return Ok(());
            }
            return Err(match is_launching {
                true => starting(name),
                false => Refusal::new(Errno::ESRCH, format!("machine {name} has ended")),
            });
        }
        machine.end_ordered |= ends;
        match order {
            Order::Stop => self.say(id, ToMachine::Stop),
            Order::Kill => self.kill(id, "killed on request".into()),
            Order::Pause => self.say(id, ToMachine::Pause),
            Order::Resume => self.say(id, ToMachine::Resume),
            Order::Start => {}
        }
        Ok(())
    }

    /// The machine of that name, living or ended.
    ///
    /// # Errors
    /// ENOENT where there is none, EBUSY for a new one whose process is being started.
    pub(super) fn known(&self, name: &MachineName) -> Result<MachineId, Refusal> {
        let known = self.machines.by_name(name);
        known.ok_or_else(|| match self.launching.contains_key(name) {
            true => starting(name),
            false => Refusal::new(Errno::ENOENT, format!("there is no machine {name}")),
        })
    }

    /// The word for where a machine is in its life; None where none of that name is known.
    pub(super) fn state_word(&self, name: &MachineName) -> Option<&'static str> {
        if self.launching.contains_key(name) {
            return Some("starting");
        }
        let machine = self.machines.get(self.machines.by_name(name)?)?;
        Some(machine.state_word())
    }
}

fn starting(name: &MachineName) -> Refusal {
    Refusal::new(Errno::EBUSY, format!("machine {name} is being started"))
}

/// A machine acts on the host with the supervisor's rights: only who has them may make it do so.
///
/// # Errors
/// EPERM for another user than root and the supervisor's own.
pub(super) fn may(by: &Credentials, verb: &str, machine: &MachineName) -> Result<(), Refusal> {
    let own = rustix::process::geteuid().as_raw();
    if by.uid == 0 || by.uid == own {
        return Ok(());
    }
    let uid = by.uid;
    let rule = format!(
        "user {uid} may not {verb} machine {machine}: only root and the supervisor's user {own} may"
    );
    Err(Refusal::new(Errno::EPERM, rule))
}

#[cfg(test)]
mod tests;
