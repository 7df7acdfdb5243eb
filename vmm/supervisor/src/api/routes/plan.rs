//! Many changes as one.

use axum::response::Response;
use container_core::{Command, Generation};
use management::api::{self, Applied, ApplyRequest, PlanRequest};
use serde::Deserialize;
use utoipa::IntoParams;

use super::json;
use crate::api::ask::Client;
use crate::api::extract::{InJson, InQuery};
use crate::api::metrics::Operation;
use crate::api::problem::Refused;
use crate::api::{Wanted, words};
use crate::keeper::{ChangeError, Order, Planned, Request};

/// Whether to do it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Only say what it would do.
    #[serde(default)]
    dry_run: bool,
}

/// Change groups and tasks: all of it or nothing.
#[utoipa::path(post, path = "/v1/plan", params(DryRun), request_body = PlanRequest,
    responses((status = 200, description = "What it does, or did", body = api::Plan), Refused))]
pub async fn plan(
    app: Client,
    InQuery(query): InQuery<DryRun>,
    InJson(request): InJson<PlanRequest>,
) -> Result<Response, Refused> {
    let planned = carry_out(&app, request.commands, request.generation, query.dry_run);
    Ok(json(&planned.await?))
}

/// Plan, and commit unless it is a dry run. A refusal names the command.
async fn carry_out(
    app: &Client,
    commands: Vec<api::Command>,
    generation: Option<u64>,
    dry_run: bool,
) -> Result<api::Plan, Refused> {
    let operations: Vec<Operation> = commands.iter().map(Operation::of).collect();
    let commands = app.commands(commands).await?;
    let planned = app.ask(|reply| Request::Plan {
        by: app.by,
        commands,
        generation: generation.map(Generation),
        dry_run,
        reply,
    });
    planned
        .await?
        .map(|planned| words::plan(&planned))
        .map_err(|error| {
            let struck = struck(&error).filter(|index| *index < operations.len());
            let Refused(mut problem) = error.into();
            if let Some(index) = struck {
                app.requests
                    .count_refused(operations[index], &problem.errno);
            }
            problem.command = struck;
            Refused(problem)
        })
}

/// Carry out one command that a route of its own stands for.
pub(super) async fn carry_out_one(
    app: &Client,
    operation: Operation,
    command: Command,
) -> Result<Planned, Refused> {
    let planned = app.ask(|reply| Request::Plan {
        by: app.by,
        commands: vec![command],
        generation: None,
        dry_run: false,
        reply,
    });
    planned.await?.map_err(|error| {
        let struck = struck(&error);
        let refused = Refused::from(error);
        if struck.is_some() {
            app.requests.count_refused(operation, &refused.0.errno);
        }
        refused
    })
}

/// Which command an error struck.
fn struck(error: &ChangeError) -> Option<usize> {
    match error {
        // A stale generation strikes none of them.
        ChangeError::Refused(refusal) if refusal.errno != container_core::Errno::ESTALE => {
            Some(refusal.command)
        }
        _ => None,
    }
}

/// Make everything as a spec says: the groups in one plan, then machines to start, then those to end. A machine that cannot
/// be made leaves the plan in force.
#[utoipa::path(post, path = "/v1/apply", params(DryRun), request_body = ApplyRequest,
    responses((status = 200, description = "What it takes, or took", body = Applied), Refused))]
pub async fn apply(
    app: Client,
    InQuery(query): InQuery<DryRun>,
    InJson(request): InJson<ApplyRequest>,
) -> Result<Response, Refused> {
    app.own("apply a spec")?;
    let known = app.known().await?;
    let wanted = app.specs.apply(&request, &known)?;
    let commands = wanted.commands.clone();
    let generation = Some(known.framework.generation().0);
    let plan = carry_out(&app, commands, generation, query.dry_run).await?;
    let applied = Applied {
        commands: wanted.commands.clone(),
        plan,
        started: wanted
            .start
            .iter()
            .map(|machine| machine.name.to_string())
            .collect(),
        stopped: wanted.stop.iter().map(ToString::to_string).collect(),
    };
    if !query.dry_run {
        machines(&app, wanted).await?;
    }
    Ok(json(&applied))
}

async fn machines(app: &Client, wanted: Wanted) -> Result<(), Refused> {
    for machine in wanted.start {
        let name = machine.name.clone();
        let machine = Box::new(machine);
        let created = app.ask(|reply| Request::Create {
            by: app.by,
            machine,
            reply,
        });
        created
            .await?
            .map_err(|error| of_machine(error, name.as_str()))?;
    }
    for machine in wanted.stop {
        let name = machine.clone();
        let order = Order::Stop;
        let ordered = app.ask(|reply| Request::Order {
            by: app.by,
            machine,
            order,
            reply,
        });
        ordered
            .await?
            .map_err(|error| of_machine(error, name.as_str()))?;
    }
    Ok(())
}

fn of_machine(error: ChangeError, name: &str) -> Refused {
    let Refused(mut problem) = error.into();
    problem.detail = format!(
        "the groups are as the spec says, but machine {name}: {}",
        problem.detail
    );
    Refused(problem)
}
