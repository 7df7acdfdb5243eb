//! A change under way: in force at once where it asks nothing of the host, and else planned, carried out a batch at a
//! time, committed or rolled back; and its asker told.

use std::time::Instant;

use actor::Reply;
use container_core::{
    Attempt, Command, Credentials, Effect, Errno, Event, GroupsGeneration, Plan, Refusal, TaskId,
};

use super::flight::{Flight, Hands, Step};
use super::{Asker, ChangeError, Keeper, MachineId, Planned, PlannedEffect};

/// Effects carried out before waiting reads have their turn: a forced move of a running thread can
/// take milliseconds.
const BATCH: usize = 16;

/// Whom a flight is for.
pub(super) enum Then {
    Answer(Vec<PlannedEffect>, Reply<Result<Planned, ChangeError>>),
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

/// A change that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// Host effects it took.
    pub effects: usize,
    /// From the plan's beginning to its commit, in nanoseconds, on the keeper's thread.
    pub took_ns: u64,
}

impl Keeper {
    /// A host's client wants a change, or to know what it would do.
    pub(super) fn on_plan(
        &mut self,
        by: &Credentials,
        commands: &[Command],
        generation: Option<GroupsGeneration>,
        dry_run: bool,
        reply: Reply<Result<Planned, ChangeError>>,
    ) {
        let began = Instant::now();
        let outcome = self.of_generation(generation);
        if dry_run {
            let plan = outcome.and_then(|()| self.framework.plan(by, commands));
            let planned = plan.map(|plan| Planned {
                generation: self.framework.groups_generation(),
                effects: self.named(plan.effects()),
                committed: false,
                took_ns: None,
            });
            return reply.send(planned.map_err(ChangeError::from));
        }
        match outcome.and_then(|()| self.framework.attempt(by, commands)) {
            Ok(attempt) => {
                let effects = match &attempt {
                    Attempt::Planned(plan) => self.named(plan.effects()),
                    Attempt::Committed(_) => Vec::new(),
                };
                self.go_on(attempt, Then::Answer(effects, reply), began);
            }
            Err(refusal) => {
                self.framework.count_failure(&refusal);
                reply.send(Err(refusal.into()));
            }
        }
    }

    fn of_generation(&self, wanted: Option<GroupsGeneration>) -> Result<(), Refusal> {
        let now = self.framework.groups_generation();
        match wanted.filter(|wanted| *wanted != now) {
            None => Ok(()),
            Some(wanted) => Err(Refusal::new(
                Errno::ESTALE,
                format!(
                    "the change is for groups of generation {} and they are of generation {}",
                    wanted.0, now.0
                ),
            )),
        }
    }

    /// Effects in the words of a client. Each task is one that we hold.
    pub(super) fn named(&self, effects: &[Effect]) -> Vec<PlannedEffect> {
        let name = |task: &TaskId| Some(self.tasks.get(*task)?.name.clone());
        let named = effects.iter().filter_map(|effect| {
            Some(match effect {
                Effect::Pin { task, cpus, before } => PlannedEffect::Pin {
                    task: name(task)?,
                    cpus: *cpus,
                    before: *before,
                },
                Effect::Freeze { task } => PlannedEffect::Freeze { task: name(task)? },
                Effect::Thaw { task } => PlannedEffect::Thaw { task: name(task)? },
                Effect::Sample { task } => PlannedEffect::Sample { task: name(task)? },
                Effect::Limit { path, limits, .. } => PlannedEffect::Limit {
                    group: path.clone(),
                    limits: *limits,
                },
                Effect::Enroll { task, path, .. } => PlannedEffect::Enroll {
                    task: name(task)?,
                    group: path.clone(),
                },
            })
        });
        named.collect()
    }

    /// Make a change, or begin to: what asks nothing of the host is in force at once.
    pub(super) fn begin(&mut self, by: &Credentials, commands: &[Command], then: Then) {
        let began = Instant::now();
        match self.framework.attempt(by, commands) {
            Ok(attempt) => self.go_on(attempt, then, began),
            Err(refusal) => {
                self.framework.count_failure(&refusal);
                self.failed(then, refusal.into());
            }
        }
    }

    fn go_on(&mut self, attempt: Attempt, then: Then, began: Instant) {
        match attempt {
            Attempt::Committed(events) => {
                let took_ns = began.elapsed().as_nanos() as u64;
                self.note(events, &then);
                self.succeeded(
                    then,
                    Done {
                        effects: 0,
                        took_ns,
                    },
                );
            }
            Attempt::Planned(plan) => self.carry_out(plan, then, began),
        }
    }

    /// Carry the first batch of a plan's effects out.
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
        // Whoever limits a group counts from nothing where a removal is taken back.
        let budget = under_way.flight.budget(BATCH);
        let removes = under_way.flight.removes(budget).into_iter();
        let counted = removes.map(|(number, group)| (number, (group, self.cpu.stat(group))));
        let counted: Vec<_> = counted.collect();
        let step = under_way.flight.step(&mut self.hands(), budget);
        let carried = counted
            .into_iter()
            .filter(|(number, _)| step.has_done(*number));
        let carried = carried.map(|(_, counted)| counted).collect();
        self.framework.carry_cpu_stats(&carried);
        match step {
            Step::More => {
                self.post_holds();
                self.under_way = Some(under_way);
            }
            Step::Complete => {
                // Before the commit, after which a machine may be told to go.
                self.post_holds();
                self.commit(under_way);
            }
            Step::Failed { why, .. } => {
                let drifted = under_way.flight.roll_back(&mut self.hands());
                self.post_holds();
                self.mark_drifted(&drifted.pins);
                self.mark_cpu_drifted(&drifted);
                let drifted = drifted.tasks();
                self.failed(under_way.then, ChangeError::Host { why, drifted });
            }
        }
    }

    /// All effects of a change are in force: make it real, and let those go that it thaws.
    fn commit(&mut self, under_way: UnderWay) {
        let thaws = under_way.flight.thaws();
        match self.framework.commit(under_way.flight.into_plan()) {
            Ok(events) => {
                let took_ns = under_way.began.elapsed().as_nanos() as u64;
                self.note(events, &under_way.then);
                for task in thaws {
                    self.hands().thaw(task);
                }
                self.post_holds();
                let effects = under_way.effects;
                self.succeeded(under_way.then, Done { effects, took_ns });
            }
            // Changes are taken one at a time, so that this is a fault of ours; the watch sets the
            // pins right.
            Err(refusal) => self.failed(under_way.then, refusal.into()),
        }
    }

    /// Tell what a commit made happen, and remember where its asker put machines.
    fn note(&mut self, events: Vec<Event>, then: &Then) {
        let guest = match then {
            Then::Guest(asker, _) => Some(asker.machine),
            _ => None,
        };
        let by_host = matches!(then, Then::Answer(..));
        self.keep_places(&events, by_host);
        self.record(events, guest);
    }

    fn succeeded(&mut self, then: Then, done: Done) {
        match then {
            Then::Answer(effects, reply) => reply.send(Ok(Planned {
                generation: self.framework.groups_generation(),
                effects,
                committed: true,
                took_ns: Some(done.took_ns),
            })),
            Then::Place(machine) => self.on_placed(machine),
            Then::Adopt(tasks) => self.open_counters(&tasks),
            Then::Guest(asker, began) => self.on_view_changed(asker, began, Ok(done)),
            Then::Nothing => self.tell_if_all_ended(),
        }
    }

    fn failed(&mut self, then: Then, error: ChangeError) {
        match then {
            Then::Answer(_, reply) => reply.send(Err(error)),
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

#[cfg(test)]
mod tests;
