//! A change under way: planned, carried out a batch at a time, committed or rolled back, and its asker told.

use std::time::Instant;

use actor::Reply;
use container_core::{Command, Credentials, Plan, TaskId};

use super::flight::{Flight, Step};
use super::{Asker, ChangeError, Done, Keeper, MachineId};

/// Effects carried out before waiting reads have their turn: a forced move of a running thread can
/// take milliseconds.
const BATCH: usize = 16;
/// Whom a flight is for.
pub(super) enum Then {
    Answer(Reply<Result<Done, ChangeError>>),
    Place(MachineId),
    Adopt(Vec<TaskId>),
    /// The guest that asked, and when it did.
    Guest(Asker, Instant),
    Nothing,
}

pub(super) struct UnderWay {
    flight: Flight,
    then: Then,
    effects: usize,
    began: Instant,
}

impl Keeper {
    /// Plan a change and carry its first batch out.
    pub(super) fn begin(&mut self, by: &Credentials, commands: &[Command], then: Then) {
        let began = Instant::now();
        match self.framework.plan(by, commands) {
            Ok(plan) => self.carry_out(plan, then, began),
            Err(refusal) => self.failed(then, refusal.into()),
        }
    }

    pub(super) fn carry_out(&mut self, plan: Plan, then: Then, began: Instant) {
        let effects = plan.effects().len();
        self.under_way = Some(UnderWay {
            flight: Flight::new(plan),
            then,
            effects,
            began,
        });
        self.advance();
    }

    /// Carry out the next batch of the flight under way; at its end commit or roll back.
    pub(super) fn advance(&mut self) {
        let Some(mut under_way) = self.under_way.take() else {
            return;
        };
        match under_way
            .flight
            .step(&mut self.tasks.hands(&mut self.framework), BATCH)
        {
            Step::More => self.under_way = Some(under_way),
            Step::Complete => match self.framework.commit(under_way.flight.into_plan()) {
                Ok(events) => {
                    let took_ns = under_way.began.elapsed().as_nanos() as u64;
                    let guest = match &under_way.then {
                        Then::Guest(asker, _) => Some(asker.machine),
                        _ => None,
                    };
                    self.record(events, guest);
                    self.succeeded(
                        under_way.then,
                        Done {
                            effects: under_way.effects,
                            took_ns,
                        },
                    );
                }
                // Changes are taken one at a time, so that this is a fault of ours; the watch sets the
                // pins right.
                Err(refusal) => self.failed(under_way.then, refusal.into()),
            },
            Step::Failed { why, .. } => {
                let hands = &mut self.tasks.hands(&mut self.framework);
                let drifted = under_way.flight.roll_back(hands);
                self.mark_drifted(&drifted);
                self.failed(under_way.then, ChangeError::Host { why, drifted });
            }
        }
    }

    fn succeeded(&mut self, then: Then, done: Done) {
        match then {
            Then::Answer(reply) => reply.send(Ok(done)),
            Then::Place(machine) => self.on_placed(machine),
            Then::Adopt(tasks) => self.open_counters(&tasks),
            Then::Guest(asker, began) => self.on_view_changed(asker, began, Ok(done)),
            Then::Nothing => self.tell_if_all_ended(),
        }
    }

    fn failed(&mut self, then: Then, error: ChangeError) {
        match then {
            Then::Answer(reply) => reply.send(Err(error)),
            Then::Place(machine) => {
                self.kill(machine, format!("its threads could not be placed: {error}"));
            }
            Then::Adopt(tasks) => {
                for task in tasks {
                    self.tasks.remove(task);
                }
            }
            Then::Guest(asker, began) => self.on_view_changed(asker, began, Err(error)),
            Then::Nothing => {
                let text = format!("a change of the supervisor's own was refused: {error}");
                self.append("refused", text, |_| {});
            }
        }
    }
}
