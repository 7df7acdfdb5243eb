//! A plan being carried out: its effects, a few at a time, and the way back.
//!
//! ```text
//!   plan ──▶ step ──▶ step ──▶ … ──▶ Complete ──▶ commit
//!              │ an effect fails
//!              ▼
//!           roll_back: the done pins undone, last first; one that cannot be undone is drifted
//! ```
//!
//! A thaw is not on the way: it asks nothing of the host but an order to the machine, which cannot fail, and it
//! could not be taken back, since the guest would have run. So whoever is thawed is let go once the plan is in force
//! ([`Flight::thaws`]).
//!
//! Pure but for the [`Hands`] it is lent; the tests lend it hands that fail where they are told to.

use container_core::{CpuSet, Effect, Plan, TaskId};

/// What carries effects out.
pub trait Hands {
    /// Confine a task to CPUs and verify it.
    fn pin(&mut self, task: TaskId, cpus: &CpuSet) -> Result<(), HandError>;
    /// Undo a pin: back to `before`, or to all CPUs where the task had never been confined.
    fn restore(&mut self, task: TaskId, before: Option<&CpuSet>) -> Result<(), HandError>;
    /// Read a task's counters exactly and charge them.
    fn sample(&mut self, task: TaskId) -> Result<(), HandError>;
    /// Order a vCPU out of its guest; nobody waits until it is. Only one that has ended is no more to be
    /// had.
    fn freeze(&mut self, task: TaskId) -> Result<(), HandError>;
    /// Order a vCPU into its guest again, if nothing else keeps it out.
    fn thaw(&mut self, task: TaskId);
}

/// Why an effect was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandError {
    /// The task has ended: not a failure, its exit is on its way.
    Ended,
    /// The host refused; a sentence.
    Failed(String),
}

/// Where a flight stands after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Effects remain.
    More,
    /// All done: commit.
    Complete,
    /// One failed: roll back. The effect and the host's sentence.
    Failed {
        /// The task it was about.
        task: TaskId,
        /// What the host said.
        why: String,
    },
}

/// A plan and how far it has come.
#[derive(Debug)]
pub struct Flight {
    plan: Plan,
    done: usize,
}

impl Flight {
    /// At the first effect.
    pub fn new(plan: Plan) -> Self {
        Flight { plan, done: 0 }
    }

    /// Carry out at most `budget` effects.
    pub fn step(&mut self, hands: &mut impl Hands, budget: usize) -> Step {
        for effect in self.plan.effects().iter().skip(self.done).take(budget) {
            let (task, outcome) = match effect {
                Effect::Pin { task, cpus, .. } => (*task, hands.pin(*task, cpus)),
                Effect::Sample { task } => (*task, hands.sample(*task)),
                Effect::Freeze { task } => (*task, hands.freeze(*task)),
                Effect::Thaw { task } => (*task, Ok(())),
            };
            match outcome {
                Ok(()) | Err(HandError::Ended) => self.done += 1,
                Err(HandError::Failed(why)) => {
                    // A pin that failed half-way (the kernel intersects silently) is undone as well.
                    self.done += 1;
                    return Step::Failed { task, why };
                }
            }
        }
        if self.done == self.plan.effects().len() {
            Step::Complete
        } else {
            Step::More
        }
    }

    /// Undo what was done, last first. Returns the tasks whose pin could not be undone.
    pub fn roll_back(self, hands: &mut impl Hands) -> Vec<TaskId> {
        let mut drifted = Vec::new();
        for effect in self.plan.effects()[..self.done].iter().rev() {
            match effect {
                Effect::Pin { task, before, .. } => {
                    let restored = hands.restore(*task, before.as_ref());
                    if let Err(HandError::Failed(_)) = restored {
                        drifted.push(*task);
                    }
                }
                Effect::Freeze { task } => hands.thaw(*task),
                Effect::Sample { .. } | Effect::Thaw { .. } => {}
            }
        }
        drifted
    }

    /// Whom to thaw once the plan is in force.
    pub fn thaws(&self) -> Vec<TaskId> {
        let thaws = self
            .plan
            .effects()
            .iter()
            .filter_map(|effect| match effect {
                Effect::Thaw { task } => Some(*task),
                _ => None,
            });
        thaws.collect()
    }

    /// The plan, all of whose effects are in force.
    pub fn into_plan(self) -> Plan {
        self.plan
    }
}

#[cfg(test)]
mod tests;
