//! A whole spec, from what there is to what it says.
//!
//! ```text
//!   find ─▶ rehearse ─▶ end what is in the way ─▶ find anew ─▶ plan ─▶ make machines ─▶ amend ─▶ end and forget what is gone
//!             │ refused: nothing was done            │ refused, or a machine is not made
//!             ▼                                      ▼
//!          answered                      what was done is taken back (`back`), and answered
//! ```
//!
//! Before anything has happened all of it has been played through on a copy of the live state (`keeper/rehearsal.rs`).
//! What can fail after that is what the host does, and what others do meanwhile. The groups are one plan in one commit.
//! What ends first are only machines that the spec does not have or has otherwise, and those only where they are in the
//! way; else they end last, when everything else is as it is to be.
//!
//! An apply goes on to its end, whether its client waits for it or not.

mod back;
mod found;

use std::time::Duration;

use axum::response::Response;
use container_core::{Command, Errno, Generation, MachineName};
use management::api::{Applied, ApplyRequest};
use tokio::time::{Instant, sleep};

use found::Found;

use super::json;
use super::plan::DryRun;
use super::wait::{about, has_begun, has_ended, until};
use crate::NewMachine;
use crate::api::ask::{Client, turn};
use crate::api::extract::{InJson, InQuery};
use crate::api::problem::Refused;
use crate::api::{Wanted, words};
use crate::keeper::{ChangeError, Order, Planned, Rehearsal, Rehearsed, Request};

/// What others do meanwhile may refuse a way that was good when it was found: it is found anew so many times.
const ATTEMPTS: u32 = 16;
/// The pause before the next, times their number.
const BETWEEN: Duration = Duration::from_millis(5);
/// A machine that is told to end in good order has so long.
const IN_GOOD_ORDER: Duration = Duration::from_secs(10);
/// One that is killed has so long: it has the kernel take its memory back.
const BY_FORCE: Duration = Duration::from_secs(30);
/// A new machine has so long until its guest runs; the keeper ends one that takes longer.
const TO_BEGIN: Duration = Duration::from_secs(60);
/// What cannot be told to end yet is told again.
const ORDER_AGAIN: Duration = Duration::from_millis(20);

/// Make everything as a spec says, or nothing: machines in the way are ended, the groups change in one plan, machines are
/// made, and those that the spec does not have are ended and forgotten. What fails on the way is taken back; what cannot be
/// is said in `remains`.
#[utoipa::path(post, path = "/v1/apply", params(DryRun), request_body = ApplyRequest,
    responses((status = 200, description = "What it takes, or took", body = Applied), Refused))]
pub async fn apply(
    app: Client,
    InQuery(query): InQuery<DryRun>,
    InJson(request): InJson<ApplyRequest>,
) -> Result<Response, Refused> {
    app.own("apply a spec")?;
    let mut apply = Apply {
        app,
        request,
        done: Done::default(),
    };
    if query.dry_run {
        let found = apply.find().await?;
        return Ok(json(&found.applied(false)));
    }
    // A client that goes away leaves no half of it.
    let carried_out = tokio::spawn(async move { apply.run().await });
    let applied = carried_out.await.map_err(|_| Refused::ending())??;
    Ok(json(&applied))
}

/// An apply under way.
struct Apply {
    app: Client,
    request: ApplyRequest,
    done: Done,
}

/// What has been done, for it to be taken back.
#[derive(Default)]
struct Done {
    /// Machines that lived and were ended, as they were.
    ended: Vec<NewMachine>,
    /// The plan is in force; what takes it back, if anything does.
    planned: Option<Option<Vec<Command>>>,
    /// Machines that were made.
    made: Vec<MachineName>,
}

impl Apply {
    async fn run(&mut self) -> Result<Applied, Refused> {
        let app = self.app.clone();
        let _turn = turn(&app.applies).await?;
        match self.carry_out().await {
            Ok(applied) => Ok(applied),
            Err(refused) => Err(self.take_back(refused).await),
        }
    }

    /// Find the way, and rehearse it.
    ///
    /// # Errors
    /// What the spec breaks, what there is no way past, what the births would be refused for. Nothing was done.
    async fn find(&self) -> Result<Found, Refused> {
        let mut refused_at: Option<(Generation, Refused)> = None;
        for attempt in 0..ATTEMPTS {
            sleep(BETWEEN * attempt).await;
            let known = self.app.known().await?;
            let generation = known.framework.generation();
            // Nothing has happened in between, so that it is no one else's doing.
            if let Some((_, refused)) = refused_at.take_if(|(at, _)| *at == generation) {
                return Err(refused);
            }
            let wanted = self.app.specs.apply(&self.request, &known)?;
            match self.rehearse(&wanted).await? {
                Ok(rehearsed) => {
                    return Ok(Found {
                        known,
                        wanted,
                        rehearsed,
                    });
                }
                Err(refusal) => refused_at = Some((generation, refusal.into())),
            }
        }
        Err(refused_at.map_or_else(too_busy, |(_, refused)| refused))
    }

    async fn rehearse(
        &self,
        wanted: &Wanted,
    ) -> Result<Result<Rehearsed, container_core::Refusal>, Refused> {
        let replaced = wanted.replace.iter().map(|one| &one.machine);
        let gone = replaced.clone().map(|machine| machine.name.clone());
        let gone = gone.chain(wanted.gone.iter().cloned());
        let rehearsal = Box::new(Rehearsal {
            by: self.app.by,
            gone: gone.collect(),
            commands: wanted.commands.clone(),
            machines: wanted.start.iter().chain(replaced).cloned().collect(),
        });
        let rehearsed = self.app.ask(|reply| Request::Rehearse(rehearsal, reply));
        rehearsed.await
    }

    async fn carry_out(&mut self) -> Result<Applied, Refused> {
        let mut found = self.find().await?;
        let mut applied = found.applied(true);
        let mut attempt = 0;
        let planned = loop {
            let ending = found.ending();
            if found.wanted.ends_first && !ending.is_empty() {
                let names: Vec<MachineName> = ending.iter().map(|one| one.name.clone()).collect();
                self.done.ended.retain(|one| !names.contains(&one.name));
                self.done.ended.extend(ending);
                self.end(&names).await?;
            } else {
                match self.plan(&found).await? {
                    Ok(planned) => break planned,
                    // Others were faster.
                    Err(refusal) if attempt < ATTEMPTS && may_pass(&refusal) => {}
                    Err(refusal) => return Err(refusal.into()),
                }
            }
            attempt += 1;
            if attempt > ATTEMPTS {
                return Err(too_busy());
            }
            found = self.find().await?;
        };
        if let Some(planned) = planned {
            applied.plan = words::plan(&planned);
        }
        let wanted = &found.wanted;
        let new = wanted.start.iter().map(|machine| (machine, false));
        let anew = wanted.replace.iter().map(|one| (&one.machine, true));
        self.make(new.chain(anew)).await?;
        if !wanted.amend.is_empty() {
            let (by, amendments) = (self.app.by, wanted.amend.clone());
            let amended = self.app.ask(|reply| Request::Amend {
                by,
                amendments,
                reply,
            });
            amended.await??;
        }
        // Everything else is as the spec says, and stays so.
        self.done = Done::default();
        let forgotten = self.forget(&wanted.gone).await;
        forgotten.map_err(|Refused(mut problem)| {
            problem.detail = format!(
                "everything else is as the spec says, but {}",
                problem.detail
            );
            Refused(problem)
        })?;
        Ok(applied)
    }

    /// Put the groups' plan in force; None where there is nothing to change.
    async fn plan(
        &mut self,
        found: &Found,
    ) -> Result<Result<Option<Planned>, ChangeError>, Refused> {
        let commands = found.wanted.commands.clone();
        if commands.is_empty() {
            return Ok(Ok(None));
        }
        let planned = self.app.ask(|reply| Request::Plan {
            by: self.app.by,
            commands,
            generation: Some(found.known.framework.groups_generation()),
            dry_run: false,
            reply,
        });
        let planned = planned.await?;
        if planned.is_ok() {
            self.done.planned = Some(found.wanted.back.clone());
        }
        Ok(planned.map(Some))
    }

    /// Make machines, and wait until the guest of each runs.
    async fn make(
        &mut self,
        machines: impl Iterator<Item = (&NewMachine, bool)> + Clone,
    ) -> Result<(), Refused> {
        let mut told = self.app.feed.follow();
        for (machine, replace) in machines.clone() {
            self.create(machine, replace).await?;
            self.done.made.push(machine.name.clone());
        }
        let deadline = Instant::now() + TO_BEGIN;
        for (machine, _) in machines {
            let name = &machine.name;
            let now = until(&self.app, name, &mut told, deadline, has_begun).await?;
            let why = match &now {
                Some(now) if now.go_after_ns.is_some() => continue,
                Some(now) => now.end.as_deref().unwrap_or("it does not start"),
                None => "it was removed",
            };
            let rule = format!("machine {name} could not be started: {why}");
            return Err(Refused::new("EIO", rule));
        }
        Ok(())
    }

    async fn create(&self, machine: &NewMachine, replace: bool) -> Result<(), Refused> {
        let name = machine.name.clone();
        let machine = Box::new(machine.clone());
        let created = self.app.ask(|reply| Request::Create {
            by: self.app.by,
            machine,
            replace,
            reply,
        });
        created.await?.map_err(|error| {
            let Refused(mut problem) = error.into();
            problem.detail = format!("machine {name} could not be made: {}", problem.detail);
            Refused(problem)
        })
    }

    /// End machines in good order, by force where that takes too long, and wait until they are dead.
    async fn end(&self, names: &[MachineName]) -> Result<(), Refused> {
        let left = self.end_by(Order::Stop, names, IN_GOOD_ORDER).await?;
        let left = self.end_by(Order::Kill, &left, BY_FORCE).await?;
        let Some(name) = left.first() else {
            return Ok(());
        };
        let seconds = BY_FORCE.as_secs();
        let rule = format!("machine {name} was killed and is not dead after {seconds} s");
        Err(Refused::new("EBUSY", rule))
    }

    /// Give living machines an order that ends them; those that live on after a time.
    async fn end_by(
        &self,
        order: Order,
        names: &[MachineName],
        within: Duration,
    ) -> Result<Vec<MachineName>, Refused> {
        let mut told = self.app.feed.follow();
        let deadline = Instant::now() + within;
        for name in names {
            self.order_to_end(name, order, deadline).await?;
        }
        let mut left = Vec::new();
        for name in names {
            let now = until(&self.app, name, &mut told, deadline, has_ended).await?;
            if !has_ended(now.as_ref()) {
                left.push(name.clone());
            }
        }
        Ok(left)
    }

    async fn order_to_end(
        &self,
        name: &MachineName,
        order: Order,
        deadline: Instant,
    ) -> Result<(), Refused> {
        loop {
            let ordered = self.app.ask(|reply| Request::Order {
                by: self.app.by,
                machine: name.clone(),
                order,
                reply,
            });
            match ordered.await? {
                Ok(()) => return Ok(()),
                Err(ChangeError::Refused(refusal)) => match refusal.errno {
                    Errno::ESRCH | Errno::ENOENT => return Ok(()),
                    // Its process is just being started.
                    Errno::EBUSY if Instant::now() < deadline => {}
                    _ => return Err(refusal.into()),
                },
                Err(error) => return Err(error.into()),
            }
            let mut told = self.app.feed.follow();
            let _ = tokio::time::timeout(ORDER_AGAIN, about(name, &mut told)).await;
        }
    }

    /// End and forget what the spec does not have.
    async fn forget(&self, gone: &[MachineName]) -> Result<(), Refused> {
        self.end(gone).await?;
        for name in gone {
            self.remove(name).await?;
        }
        Ok(())
    }

    /// Forget a machine that has ended, if it is known.
    async fn remove(&self, name: &MachineName) -> Result<(), Refused> {
        let machine = name.clone();
        let removed = self.app.ask(|reply| Request::Remove {
            by: self.app.by,
            machine,
            reply,
        });
        match removed.await? {
            Err(ChangeError::Refused(refusal)) if refusal.errno == Errno::ENOENT => Ok(()),
            removed => Ok(removed?),
        }
    }
}

/// Whether a plan that was good when it was found may be refused for what others did meanwhile: groups that changed, a
/// task that ended, a place that was taken.
fn may_pass(error: &ChangeError) -> bool {
    matches!(error, ChangeError::Refused(_))
}

fn too_busy() -> Refused {
    let rule = format!("the groups have changed at each of {ATTEMPTS} attempts: try again");
    Refused::new("ESTALE", rule)
}
