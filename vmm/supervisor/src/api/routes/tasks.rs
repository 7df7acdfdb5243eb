//! Tasks: a thread of a machine each.

use axum::response::Response;
use container_core::{Command, GroupPath, HierarchyName};
use management::api::{AttachRequest, Plan};
use management::{Task, names};

use super::json;
use super::plan::carry_out_one;
use crate::api::ask::Client;
use crate::api::extract::{InJson, InPath};
use crate::api::metrics::Operation;
use crate::api::problem::Refused;
use crate::api::words;

/// Every task, the dead included, by birth.
#[utoipa::path(get, operation_id = "list_tasks",
    path = "/v1/tasks",
    responses((status = 200, description = "The tasks", body = Vec<Task>), Refused))]
pub async fn list(app: Client) -> Result<Response, Refused> {
    Ok(json(&app.state().await?.tasks))
}

/// One task: of several of that name or thread id the one that lives, else the last.
#[utoipa::path(get, operation_id = "show_task",
    path = "/v1/tasks/{id}",
    params(("id" = names::TaskName, Path, description = "MACHINE/KIND with its slash encoded, or a thread id")),
    responses((status = 200, description = "The task", body = Task), Refused))]
pub async fn one(app: Client, InPath(id): InPath<String>) -> Result<Response, Refused> {
    let tid: Option<u32> = id.parse().ok();
    let tasks = app.state().await?.tasks.into_iter();
    let named = tasks.filter(|task| task.name == id || Some(task.tid) == tid);
    let task = named.max_by_key(|task| task.alive);
    let task = task.ok_or_else(|| Refused::new("ESRCH", format!("there is no task {id}")))?;
    Ok(json(&task))
}

/// Move a task into a group of one hierarchy.
#[utoipa::path(put, operation_id = "attach_task",
    path = "/v1/tasks/{id}/groups/{hierarchy}", request_body = AttachRequest,
    params(("id" = names::TaskName, Path, description = "MACHINE/KIND with its slash encoded, or a thread id"),
        ("hierarchy" = names::HierarchyName, Path, description = "The hierarchy that the group is in")),
    responses((status = 200, description = "What it did", body = Plan), Refused))]
pub async fn attach(
    app: Client,
    InPath((id, hierarchy)): InPath<(String, String)>,
    InJson(request): InJson<AttachRequest>,
) -> Result<Response, Refused> {
    let hierarchy: HierarchyName = hierarchy.parse()?;
    let group = match request.group.strip_prefix('/') {
        Some(path) => words::group(hierarchy.as_str(), path)?,
        None => request.group.parse::<GroupPath>()?,
    };
    if *group.hierarchy() != hierarchy {
        let rule = format!("group {group} is not in hierarchy {hierarchy}");
        return Err(Refused::new("EINVAL", rule));
    }
    let task = app.task(id).await?;
    let attach = Command::Attach { group, task };
    let attached = carry_out_one(&app, Operation::ATTACH, attach).await?;
    Ok(json(&words::plan(&attached)))
}
