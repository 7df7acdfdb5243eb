//! Many changes as one.

use axum::response::Response;
use container_core::GroupsGeneration;
use management::api::{self, PlanRequest};
use serde::Deserialize;
use utoipa::IntoParams;

use super::json;
use crate::api::ask::Client;
use crate::api::extract::{InJson, InQuery};
use crate::api::problem::Refused;
use crate::api::words;
use crate::keeper::{ChangeError, Request};

/// Whether to do it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Only say what it would do.
    #[serde(default)]
    pub(super) dry_run: bool,
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
    let several = !commands.is_empty();
    let commands = app.commands(commands).await?;
    let planned = app.ask(|reply| Request::Plan {
        by: app.by,
        commands,
        generation: generation.map(GroupsGeneration),
        dry_run,
        reply,
    });
    planned
        .await?
        .map(|planned| words::plan(&planned))
        .map_err(|error| {
            let struck = match &error {
                // A stale generation strikes none of them.
                ChangeError::Refused(refusal) if refusal.errno != container_core::Errno::ESTALE => {
                    several.then_some(refusal.command)
                }
                _ => None,
            };
            let Refused(mut problem) = error.into();
            problem.command = struck;
            Refused(problem)
        })
}
