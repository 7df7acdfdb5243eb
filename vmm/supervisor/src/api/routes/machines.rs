//! Machines as they are.

use agent_protocol::{Answer, Ask};
use axum::response::Response;
use container_core::MachineName;
use management::Machine;
use management::api::{AgentAnswer, AgentRequest, Question};
use management::names;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use utoipa::IntoParams;

use super::wait::{about, has_ended};
use super::{json, text};
use crate::api::ask::Client;
use crate::api::events::follow_log;
use crate::api::extract::{InJson, InPath, InQuery};
use crate::api::feed::Told;
use crate::api::problem::Refused;
use crate::keeper::Request;

/// All machines, in the order they came.
#[utoipa::path(get, operation_id = "list_machines",
    path = "/v1/machines",
    responses((status = 200, description = "The machines", body = Vec<Machine>), Refused))]
pub async fn list(app: Client) -> Result<Response, Refused> {
    Ok(json(&app.state().await?.machines))
}

/// One machine.
#[utoipa::path(get, operation_id = "show_machine",
    path = "/v1/machines/{name}", params(("name" = names::MachineName, Path, description = "The machine")),
    responses((status = 200, description = "The machine", body = Machine), Refused))]
pub async fn one(app: Client, InPath(name): InPath<String>) -> Result<Response, Refused> {
    Ok(json(&row(&app, &name.parse()?).await?))
}

/// A machine's row: of several lives under one name, the last.
///
/// # Errors
/// ENOENT.
pub async fn row(app: &Client, name: &MachineName) -> Result<Machine, Refused> {
    let machine = app.ask(|reply| Request::Machine(name.clone(), reply));
    machine
        .await?
        .ok_or_else(|| Refused::new("ENOENT", format!("there is no machine {name}")))
}

/// How to read a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Follow {
    /// Go on with what comes, until the machine has ended and is not about to be started anew.
    #[serde(default)]
    follow: bool,
}

/// The end of a machine's serial console, at most 64 KiB. What a guest writes is its secret as much as its name:
/// for root and the supervisor's user.
#[utoipa::path(get, operation_id = "read_log",
    path = "/v1/machines/{name}/log",
    params(("name" = names::MachineName, Path, description = "The machine"), Follow),
    responses((status = 200, description = "As the guest wrote it", body = String, content_type = "text/plain"), Refused))]
pub async fn log(
    app: Client,
    InPath(name): InPath<String>,
    InQuery(query): InQuery<Follow>,
) -> Result<Response, Refused> {
    let name: MachineName = name.parse()?;
    app.own("read a console")?;
    let told = app.feed.follow();
    row(&app, &name).await?;
    let Some(log) = app.feed.log(name.as_str()).await else {
        return Err(Refused::ending());
    };
    Ok(match query.follow {
        true => {
            let over = async move { until_over(&app, &name, told).await };
            text(follow_log(log, over))
        }
        false => text(log.end),
    })
}

/// Until a machine has ended and is not about to be started anew, is not known any more, or nobody can say.
async fn until_over(app: &Client, name: &MachineName, mut told: Receiver<Told>) {
    loop {
        let machine = app.ask(|reply| Request::Machine(name.clone(), reply));
        match machine.await {
            Ok(machine) if has_ended(machine.as_ref()) => {
                // Its console was drained before it counted as ended, and the feed has heard of that by its answer.
                let _ = app.feed.log(name.as_str()).await;
                return;
            }
            Ok(_) => {}
            Err(Refused(problem)) if problem.errno == "EAGAIN" => {}
            Err(_) => return,
        }
        if about(name, &mut told).await.is_err() {
            return;
        }
    }
}

/// Ask a machine's guest for something. It has some seconds to answer.
#[utoipa::path(post, operation_id = "ask_guest",
    path = "/v1/machines/{name}/agent", request_body = AgentRequest,
    params(("name" = names::MachineName, Path, description = "The machine")),
    responses((status = 200, description = "What the guest says", body = AgentAnswer), Refused))]
pub async fn agent(
    app: Client,
    InPath(name): InPath<String>,
    InJson(request): InJson<AgentRequest>,
) -> Result<Response, Refused> {
    let machine: MachineName = name.parse()?;
    app.own("ask a guest")?;
    let ask = match request.ask {
        Question::Ping => Ask::Ping,
        Question::Info => Ask::Info,
        Question::Shutdown => Ask::Shutdown,
    };
    let answer = app.ask(|reply| Request::AskAgent {
        by: app.by,
        machine,
        ask,
        reply,
    });
    Ok(json(&match answer.await?? {
        Answer::Pong => AgentAnswer::Pong,
        Answer::Info {
            agent,
            vcpus,
            uptime_ns,
        } => AgentAnswer::Info {
            agent,
            vcpus,
            uptime_ns,
        },
        Answer::Ending => AgentAnswer::Ending,
        Answer::Declined { why } => AgentAnswer::Declined { why },
    }))
}
