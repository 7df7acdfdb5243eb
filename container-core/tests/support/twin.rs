//! An attempt and a rehearsal, held against a plan and its commit.

use container_core::*;

/// Copies on which a batch is attempted, and rehearsed, that the original plans and commits.
pub struct Twin {
    framework: Framework,
    before: String,
    attempt: Result<Attempt, Refusal>,
    rehearsed: Framework,
    rehearsal: Result<Vec<Event>, Refusal>,
}

impl Twin {
    pub fn attempt(original: &Framework, by: &Credentials, commands: &[Command]) -> Twin {
        let mut framework = original.clone();
        let before = framework.snapshot();
        let attempt = framework.attempt(by, commands);
        let mut rehearsed = original.clone();
        let rehearsal = rehearsed.rehearse(by, commands);
        Twin {
            framework,
            before,
            attempt,
            rehearsed,
            rehearsal,
        }
    }

    /// As the plan was, and nothing has changed.
    #[track_caller]
    pub fn refused(self, refusal: &Refusal) {
        assert_eq!(self.attempt.unwrap_err(), *refusal);
        assert_eq!(self.framework.snapshot(), self.before);
        assert_eq!(self.rehearsal.unwrap_err(), *refusal);
        assert_eq!(self.rehearsed.snapshot(), self.before);
    }

    /// In force, and all as in the original, where the plan had no effects; else the same plan, and nothing has changed.
    #[track_caller]
    pub fn agrees(self, effects: &[Effect], events: &[Event], original: &Framework) {
        assert_eq!(self.rehearsal.unwrap(), events);
        assert_eq!(self.rehearsed.snapshot(), original.snapshot());
        match self.attempt.unwrap() {
            Attempt::Committed(happened) => {
                assert_eq!((effects, events), (&[][..], &happened[..]));
                assert_eq!(self.framework.snapshot(), original.snapshot());
                assert_eq!(
                    self.framework.groups_generation(),
                    original.groups_generation()
                );
            }
            Attempt::Planned(plan) => {
                assert!(!effects.is_empty(), "nothing is in the way of a commit");
                // Tasks of several css_sets come in the order of these, which a trial may change.
                let in_order = |effects: &[Effect]| {
                    let mut texts: Vec<String> =
                        effects.iter().map(|it| format!("{it:?}")).collect();
                    texts.sort();
                    texts
                };
                assert_eq!(in_order(plan.effects()), in_order(effects));
                assert_eq!(self.framework.snapshot(), self.before);
            }
        }
    }
}
