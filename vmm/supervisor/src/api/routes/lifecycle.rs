//! Machines made, moved from state to state, and forgotten.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use container_core::MachineName;
use management::api::{MachinePlan, StateRequest, WantedState};
use management::machine_table::MachineTable;
use management::{Machine, names};
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::json;
use super::machines::row;
use super::wait::{has_begun, until};
use crate::NewMachine;
use crate::api::ask::Client;
use crate::api::extract::{InJson, InPath, InQuery};
use crate::api::feed::Told;
use crate::api::problem::Refused;
use crate::api::words;
use crate::keeper::{Order, Rehearsal, Request};

/// A client waits for a state at most this long, and has the state that is by then.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// Whether to do it, and what to wait for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HowToMake {
    /// Only say what it would do.
    #[serde(default)]
    dry_run: bool,
    /// Answer when its guest runs or it has ended, or after 30 s.
    #[serde(default)]
    wait: bool,
}

/// Make a machine and start it. The body is the table `[vm.NAME]` of a spec file, in JSON.
#[utoipa::path(post, operation_id = "create_machine",
    path = "/v1/machines/{name}", params(("name" = names::MachineName, Path, description = "The machine"), HowToMake),
    request_body(content = MachineTable, description = "The table [vm.NAME] of a spec file"),
    responses((status = 200, description = "What it would do: nothing was made", body = MachinePlan),
        (status = 201, description = "Its process has been told what to build", body = Machine,
        headers(("Location" = String, description = "The machine's path"))), Refused))]
pub async fn create(
    app: Client,
    InPath(name): InPath<String>,
    InQuery(query): InQuery<HowToMake>,
    InJson(body): InJson<serde_json::Map<String, serde_json::Value>>,
) -> Result<Response, Refused> {
    let name: MachineName = name.parse()?;
    app.own("make machines")?;
    let known = app.known().await?;
    let machine = app.specs.machine(name.as_str(), &body.into(), &known)?;
    if query.dry_run {
        return would_make(&app, machine).await;
    }
    let mut told = app.feed.follow();
    let machine = Box::new(machine);
    let created = app.ask(|reply| Request::Create {
        by: app.by,
        machine,
        replace: false,
        reply,
    });
    created.await??;
    let deadline = Instant::now() + WAIT_LIMIT;
    let made = match query.wait {
        true => until(&app, &name, &mut told, deadline, has_begun).await?,
        false => None,
    };
    let made = match made {
        Some(made) => made,
        None => row(&app, &name).await?,
    };
    let location = [(header::LOCATION, format!("/v1/machines/{name}"))];
    Ok((StatusCode::CREATED, location, json(&made)).into_response())
}

async fn would_make(app: &Client, machine: NewMachine) -> Result<Response, Refused> {
    let name = machine.name.to_string();
    let rehearsal = Box::new(Rehearsal {
        by: app.by,
        gone: Vec::new(),
        commands: Vec::new(),
        machines: vec![machine],
    });
    let rehearsed = app.ask(|reply| Request::Rehearse(rehearsal, reply));
    let births = rehearsed.await??.births;
    Ok(json(&MachinePlan {
        machine: name,
        births: births.iter().map(words::birth).collect(),
    }))
}

/// Forget a machine that has ended.
#[utoipa::path(delete, operation_id = "remove_machine",
    path = "/v1/machines/{name}", params(("name" = names::MachineName, Path, description = "The machine")),
    responses((status = 204, description = "It is not known any more"), Refused))]
pub async fn remove(app: Client, InPath(name): InPath<String>) -> Result<Response, Refused> {
    let machine: MachineName = name.parse()?;
    app.own("remove machines")?;
    let removed = app.ask(|reply| Request::Remove {
        by: app.by,
        machine,
        reply,
    });
    removed.await??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whether to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Answer when the machine is there, or after 30 s.
    #[serde(default)]
    wait: bool,
}

/// Tell a machine to go to a state.
#[utoipa::path(put, operation_id = "set_machine_state",
    path = "/v1/machines/{name}/state", request_body = StateRequest,
    params(("name" = names::MachineName, Path, description = "The machine"), Wait),
    responses((status = 200, description = "It is there", body = Machine),
        (status = 202, description = "It has been told", body = Machine), Refused))]
pub async fn state(
    app: Client,
    InPath(name): InPath<String>,
    InQuery(query): InQuery<Wait>,
    InJson(request): InJson<StateRequest>,
) -> Result<Response, Refused> {
    let name: MachineName = name.parse()?;
    app.own("give orders to machines")?;
    if request.force && request.state != WantedState::Stopped {
        return Err(Refused::new("EINVAL", "force goes with the state stopped"));
    }
    let told = app.feed.follow();
    let now = row(&app, &name).await?;
    match order(&app, &name, order_for(request, &now.state)).await {
        // It is where it is to be, and was not about to leave it.
        Err(refused) if request.state == WantedState::Stopped && refused.0.errno == "ESRCH" => {}
        ordered => ordered?,
    }
    let machine = match query.wait {
        true => wait_for(&app, &name, request.state, told).await?,
        false => row(&app, &name).await?,
    };
    let there = machine.state == state_word(request.state);
    let status = if there {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, json(&machine)).into_response())
}

fn state_word(state: WantedState) -> &'static str {
    match state {
        WantedState::Running => "running",
        WantedState::Paused => "paused",
        WantedState::Stopped => "ended",
    }
}

/// What leads from a state to another; None where nothing has to.
fn order_for(request: StateRequest, now: &str) -> Option<Order> {
    match (request.state, now) {
        (WantedState::Running, "ended") => Some(Order::Start),
        (WantedState::Running, "paused") => Some(Order::Resume),
        // It may wait for its restart, which the order calls off.
        (WantedState::Stopped, "ended") => Some(Order::Stop),
        (WantedState::Running, _) => None,
        (WantedState::Paused, "paused") => None,
        (WantedState::Paused, _) => Some(Order::Pause),
        (WantedState::Stopped, _) if request.force => Some(Order::Kill),
        (WantedState::Stopped, _) => Some(Order::Stop),
    }
}

async fn order(app: &Client, name: &MachineName, order: Option<Order>) -> Result<(), Refused> {
    let Some(order) = order else {
        return Ok(());
    };
    let machine = name.clone();
    let ordered = app.ask(|reply| Request::Order {
        by: app.by,
        machine,
        order,
        reply,
    });
    Ok(ordered.await??)
}

/// The machine once it is in a state, has ended, or has been waited for long enough.
async fn wait_for(
    app: &Client,
    name: &MachineName,
    state: WantedState,
    mut told: Receiver<Told>,
) -> Result<Machine, Refused> {
    let deadline = Instant::now() + WAIT_LIMIT;
    let is_there = |machine: Option<&Machine>| {
        machine.is_none_or(|now| now.state == state_word(state) || now.state == "ended")
    };
    let machine = until(app, name, &mut told, deadline, is_there).await?;
    machine.ok_or_else(|| Refused::new("ENOENT", format!("there is no machine {name}")))
}
