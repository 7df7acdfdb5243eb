//! The source that is a supervisor, by the management API.

use std::time::Duration;

use management::Report;
use management::api::{Command, Effect, Plan, PlanRequest};
use management::client::{Client, ClientError};

use super::app::Source;

/// The screen stands still while an answer is awaited.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A supervisor, and the generation of the groups that the last trial was made for.
pub struct ServerSource {
    client: Client,
    tried: Option<u64>,
}

impl ServerSource {
    /// The supervisor that a client asks.
    pub fn new(client: Client) -> Self {
        ServerSource {
            client: client.with_answer_limit(ANSWER_LIMIT),
            tried: None,
        }
    }

    fn plan(&self, group: &str, cpus: &str, route: &str) -> Result<Plan, ClientError> {
        let request = PlanRequest {
            commands: vec![Command::Set {
                group: group.to_owned(),
                file: "cpuset.cpus".to_owned(),
                value: cpus.to_owned(),
            }],
            generation: self.tried,
        };
        self.client.post(route, &request)?.json()
    }
}

impl Source for ServerSource {
    fn report(&mut self) -> anyhow::Result<Report> {
        Ok(self.client.get("/v1/report")?.json()?)
    }

    fn dry_run(&mut self, group: &str, cpus: &str) -> anyhow::Result<Vec<String>> {
        self.tried = None;
        let plan = self.plan(group, cpus, "/v1/plan?dry_run=true")?;
        self.tried = Some(plan.generation);
        Ok(plan.effects.iter().map(line).collect())
    }

    /// Refused where the groups have changed since the trial: what was shown would not be what is done.
    fn apply(&mut self, group: &str, cpus: &str) -> anyhow::Result<String> {
        let plan = self.plan(group, cpus, "/v1/plan")?;
        let count = plan.effects.len();
        Ok(format!("{group} has cpus {cpus}: {count} effects"))
    }
}

fn line(effect: &Effect) -> String {
    match effect {
        Effect::Pin { task, cpus, before } => match before {
            Some(before) => format!("{task} from cpus {before} to {cpus}"),
            None => format!("{task} to cpus {cpus}"),
        },
        Effect::Freeze { task } => format!("{task} leaves its guest"),
        Effect::Thaw { task } => format!("{task} enters its guest"),
        Effect::Sample { task } => format!("{task} is billed up to now"),
    }
}
