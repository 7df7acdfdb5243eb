//! The life of machines by order: made, started again, ended, forgotten.

use actor::Reply;
use container_core::{Credentials, Errno, MachineName, Refusal};
use link::ToMachine;

use super::{ChangeError, Keeper, Order};
use crate::{Launch, NewMachine};

/// Answers a verb.
type Answer = Reply<Result<(), ChangeError>>;

impl Keeper {
    pub(super) fn on_create(&mut self, by: &Credentials, machine: NewMachine, reply: Answer) {
        let _ = (by, machine);
        reply.send(Err(Refusal::new(Errno::ENODEV, "not yet").into()));
    }

    pub(super) fn on_remove(
        &mut self,
        by: &Credentials,
        machine: &MachineName,
    ) -> Result<(), ChangeError> {
        let _ = (by, machine);
        Err(Refusal::new(Errno::ENODEV, "not yet").into())
    }

    pub(super) fn on_launched(&mut self, _: &MachineName, _: Result<Box<Launch>, String>) {}

    pub(super) fn on_order(
        &mut self,
        by: &Credentials,
        name: &MachineName,
        order: Order,
        reply: Answer,
    ) {
        let given = self.order(by, name, order);
        reply.send(given.map_err(ChangeError::Refused));
    }

    fn order(&mut self, by: &Credentials, name: &MachineName, order: Order) -> Result<(), Refusal> {
        may(by, "give orders to", name)?;
        let Some(id) = self.machines.living_by_name(name) else {
            return Err(Refusal::new(
                Errno::ENOENT,
                format!("no machine {name} runs"),
            ));
        };
        match order {
            Order::Stop => self.say(id, ToMachine::Stop),
            Order::Kill => self.kill(id, "killed on request".into()),
            Order::Pause => self.say(id, ToMachine::Pause),
            Order::Resume => self.say(id, ToMachine::Resume),
            Order::Start => {}
        }
        Ok(())
    }
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
