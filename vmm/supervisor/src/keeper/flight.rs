//! A plan being carried out: its effects, a few at a time, and the way back.
//!
//! ```text
//!   plan ──▶ step ──▶ step ──▶ … ──▶ Complete ──▶ commit
//!              │ an effect fails
//!              ▼
//!           roll_back: what was done undone, last first; what cannot be undone is drifted
//! ```
//!
//! A thaw is not on the way: it asks nothing of the host but an order to the machine, which cannot fail, and it
//! could not be taken back, since the guest would have run. So whoever is thawed is let go once the plan is in force
//! ([`Flight::thaws`]).
//!
//! Pure but for the [`Hands`] it is lent; the tests lend it hands that fail where they are told to.

use container_core::{CpuGroup, CpuLimits, CpuSet, Effect, Plan, TaskId};

/// What carries effects out.
pub trait Hands {
    /// Confine a task to CPUs and verify it.
    fn pin(&mut self, task: TaskId, cpus: &CpuSet) -> Result<(), HandError>;
    /// Undo a pin: back to `before`, or to all CPUs where the task had never been confined.
    fn restore(&mut self, task: TaskId, before: Option<&CpuSet>) -> Result<(), HandError>;
    /// Read a task's counters exactly and charge them.
    fn sample(&mut self, task: TaskId) -> Result<(), HandError>;
    /// Have a group of the cpu hierarchy be there with these limits, or with None not be there.
    fn limit(
        &mut self,
        group: CpuGroup,
        parent: Option<CpuGroup>,
        limits: Option<&CpuLimits>,
    ) -> Result<(), HandError>;
    /// Have what a task uses count in a group of the cpu hierarchy, or with None in none.
    fn enroll(&mut self, task: TaskId, group: Option<CpuGroup>) -> Result<(), HandError>;
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
        /// Its number, from 0.
        effect: usize,
        /// What the host said.
        why: String,
    },
}

impl Step {
    /// Whether an effect was carried out, of those that this step came to or was to come to.
    pub fn has_done(&self, number: usize) -> bool {
        match self {
            Step::Failed { effect, .. } => number < *effect,
            Step::More | Step::Complete => true,
        }
    }
}

/// What could not be undone, as it was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drifted {
    /// Tasks on other CPUs than before.
    pub pins: Vec<TaskId>,
    /// Groups of the cpu hierarchy with other limits than before.
    pub limits: Vec<CpuGroup>,
    /// Tasks that count in another of these than before.
    pub enrollments: Vec<TaskId>,
}

impl Drifted {
    /// The tasks that anything of could not be undone.
    pub fn tasks(&self) -> Vec<TaskId> {
        let mut tasks = [&self.pins[..], &self.enrollments].concat();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }
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
            let outcome = match effect {
                Effect::Pin { task, cpus, .. } => hands.pin(*task, cpus),
                Effect::Sample { task } => hands.sample(*task),
                Effect::Freeze { task } => hands.freeze(*task),
                Effect::Thaw { .. } => Ok(()),
                Effect::Limit {
                    group,
                    parent,
                    limits,
                    ..
                } => hands.limit(*group, *parent, limits.as_ref()),
                Effect::Enroll { task, group, .. } => hands.enroll(*task, *group),
            };
            // One that failed half-way (the kernel intersects silently) is undone as well.
            self.done += 1;
            match outcome {
                Ok(()) | Err(HandError::Ended) => {}
                Err(HandError::Failed(why)) => {
                    let effect = self.done - 1;
                    return Step::Failed { effect, why };
                }
            }
        }
        if self.done == self.plan.effects().len() {
            Step::Complete
        } else {
            Step::More
        }
    }

    /// Undo what was done, last first. Returns what could not be.
    pub fn roll_back(self, hands: &mut impl Hands) -> Drifted {
        let mut drifted = Drifted::default();
        for effect in self.plan.effects()[..self.done].iter().rev() {
            let undone = match effect {
                Effect::Pin { task, before, .. } => hands.restore(*task, before.as_ref()),
                Effect::Freeze { task } => {
                    hands.thaw(*task);
                    Ok(())
                }
                Effect::Sample { .. } | Effect::Thaw { .. } => Ok(()),
                Effect::Limit {
                    group,
                    parent,
                    before,
                    ..
                } => hands.limit(*group, *parent, before.as_ref()),
                Effect::Enroll { task, before, .. } => hands.enroll(*task, *before),
            };
            if !matches!(undone, Err(HandError::Failed(_))) {
                continue;
            }
            match effect {
                Effect::Pin { task, .. } => drifted.pins.push(*task),
                Effect::Limit { group, .. } => drifted.limits.push(*group),
                Effect::Enroll { task, .. } => drifted.enrollments.push(*task),
                Effect::Freeze { .. } | Effect::Sample { .. } | Effect::Thaw { .. } => {}
            }
        }
        drifted
    }

    /// How many effects to carry out next, at most so many: none that removes a group of the cpu hierarchy together with
    /// one that does not. So nothing is counted of the groups that it removes between its beginning and their end.
    pub fn budget(&self, most: usize) -> usize {
        let mut next = self.plan.effects()[self.done..].iter().take(most);
        let removes = next.next().is_some_and(|it| removed_by(it).is_some());
        1 + next
            .take_while(|it| removed_by(it).is_some() == removes)
            .count()
    }

    /// Groups of the cpu hierarchy that so many effects remove, by the number of the effect, and that may have to be made
    /// again: nothing takes the last effect back.
    pub fn removes(&self, budget: usize) -> Vec<(usize, CpuGroup)> {
        let last = self.plan.effects().len().saturating_sub(1);
        let next = self.plan.effects()[..last].iter().enumerate();
        let next = next.skip(self.done).take(budget);
        next.filter_map(|(number, effect)| Some((number, removed_by(effect)?)))
            .collect()
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

/// The group of the cpu hierarchy that is to be there no more.
fn removed_by(effect: &Effect) -> Option<CpuGroup> {
    match effect {
        Effect::Limit {
            group,
            limits: None,
            ..
        } => Some(*group),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
