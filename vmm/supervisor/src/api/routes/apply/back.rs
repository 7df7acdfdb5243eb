//! An apply that failed half-way, taken back.
//!
//! In the opposite order of what was done: machines that were made are killed and forgotten, the groups go back by the
//! way that was found together with the way there, and machines that were ended for it are made as they were. What
//! their guests held in memory is gone; that much was lost when they ended. What cannot be taken back is said.

use container_core::{Command, Errno, MachineName};
use tokio::time::Instant;

use super::{Apply, BY_FORCE, IN_GOOD_ORDER, TO_BEGIN};
use crate::NewMachine;
use crate::api::problem::Refused;
use crate::api::routes::wait::{has_begun, has_ended, until};
use crate::keeper::{ChangeError, Order, Request};

impl Apply {
    /// Take back what was done, and say so in what is answered.
    pub(super) async fn take_back(&mut self, refused: Refused) -> Refused {
        let done = std::mem::take(&mut self.done);
        let Refused(mut problem) = refused;
        let (mut said, mut remains) = (Vec::new(), Vec::new());
        for name in &done.made {
            if let Err(why) = self.unmake(name).await {
                remains.push(format!("machine {name} is there: {why}"));
            }
        }
        if let Some(back) = &done.planned {
            match self.go_back(back.clone()).await {
                Ok(()) => said.push("the groups are as they were".to_owned()),
                Err(why) => remains.push(format!("the groups are as the spec says: {why}")),
            }
        }
        let mut again = Vec::new();
        for machine in &done.ended {
            let name = &machine.name;
            match self.revive(machine).await {
                Ok(()) => again.push(name.to_string()),
                Err(why) => remains.push(format!(
                    "machine {name}, which was ended for it, is not there again: {why}"
                )),
            }
        }
        match &again[..] {
            [] => {}
            [one] => said.push(format!("machine {one}, which was ended for it, runs anew")),
            all => said.push(format!(
                "machines {}, which were ended for it, run anew",
                all.join(", ")
            )),
        }
        for sentence in said.iter().chain(&remains) {
            problem.detail = format!("{}; {sentence}", problem.detail);
        }
        problem.remains = remains.into();
        Refused(problem)
    }

    /// Kill a machine that was made, and forget it.
    async fn unmake(&self, name: &MachineName) -> Result<(), String> {
        let names = std::slice::from_ref(name);
        let left = self.end_by(Order::Kill, names, BY_FORCE).await;
        if !left.map_err(text)?.is_empty() {
            return Err("it was killed and is not dead".into());
        }
        self.remove(name).await.map_err(text)
    }

    /// Have the groups as they were. A task that has ended meanwhile need not go back.
    async fn go_back(&self, back: Option<Vec<Command>>) -> Result<(), String> {
        let Some(mut commands) = back else {
            return Err("no way back to what they were was found".into());
        };
        loop {
            let planned = self.app.ask(|reply| Request::Plan {
                by: self.app.by,
                commands: commands.clone(),
                generation: None,
                dry_run: false,
                reply,
            });
            let error = match planned.await.map_err(text)? {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            match &error {
                ChangeError::Refused(refusal)
                    if refusal.errno == Errno::ESRCH
                        && matches!(
                            commands.get(refusal.command),
                            Some(Command::Attach { .. })
                        ) =>
                {
                    commands.remove(refusal.command);
                }
                error => return Err(format!("taking that back was refused: {error}")),
            }
        }
    }

    /// Make a machine as it was, and wait until its guest runs.
    async fn revive(&self, machine: &NewMachine) -> Result<(), String> {
        let name = &machine.name;
        let mut told = self.app.feed.follow();
        let deadline = Instant::now() + IN_GOOD_ORDER;
        let now = until(&self.app, name, &mut told, deadline, has_ended).await;
        if let Some(now) = now.map_err(text)?
            && !has_ended(Some(&now))
        {
            return Err(format!("it was told to end and is still {}", now.state));
        }
        self.create(machine, true).await.map_err(text)?;
        let deadline = Instant::now() + TO_BEGIN;
        let now = until(&self.app, name, &mut told, deadline, has_begun).await;
        match now.map_err(text)? {
            Some(now) if now.go_after_ns.is_some() => Ok(()),
            Some(now) => Err(now.end.unwrap_or_else(|| "it does not start".into())),
            None => Err("it was removed".into()),
        }
    }
}

fn text(Refused(problem): Refused) -> String {
    problem.detail
}
