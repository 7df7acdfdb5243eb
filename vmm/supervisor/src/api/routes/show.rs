//! The whole state, in the forms that others read.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use management::api::Version;
use management::{Report, names};
use utoipa::OpenApi;

use super::{json, text};
use crate::api::ask::Client;
use crate::api::extract::InPath;
use crate::api::metrics::{self, OPEN_METRICS};
use crate::api::openapi::Document;
use crate::api::problem::Refused;
use crate::keeper::Request;

/// The text of `/proc/cgroups`: a line a subsystem.
#[utoipa::path(get, path = "/v1/proc/groups",
    responses((status = 200, description = "The lines", body = String, content_type = "text/plain"), Refused))]
pub async fn proc_groups(app: Client) -> Result<Response, Refused> {
    Ok(text(app.ask(Request::ProcGroups).await?))
}

/// The text of `/proc/PID/cgroup`: a line a hierarchy.
#[utoipa::path(get, path = "/v1/proc/{task}/group",
    params(("task" = names::TaskName, Path, description = "MACHINE/KIND with its slash encoded, or a thread id")),
    responses((status = 200, description = "The lines", body = String, content_type = "text/plain"), Refused))]
pub async fn proc_task(app: Client, InPath(task): InPath<String>) -> Result<Response, Refused> {
    let lines = app.ask(|reply| Request::ProcTask { task, reply });
    Ok(text(lines.await??))
}

/// Everything.
#[utoipa::path(get, path = "/v1/report",
    responses((status = 200, description = "Everything", body = Report), Refused))]
pub async fn report(app: Client) -> Result<Response, Refused> {
    Ok(json(&app.report().await?))
}

/// Who serves.
#[utoipa::path(get, path = "/v1/version",
    responses((status = 200, description = "The program and its API", body = Version), Refused))]
pub async fn version() -> Response {
    json(&Version {
        name: "pinfold".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        api: "v1".into(),
    })
}

/// Counters for Prometheus (OpenMetrics).
#[utoipa::path(get, path = "/metrics",
    responses((status = 200, description = "The counters", body = String,
        content_type = "application/openmetrics-text"), Refused))]
pub async fn metrics(app: Client) -> Result<Response, Refused> {
    let report = app.state().await?;
    let counts = app.feed.counts().await;
    let body = metrics::text(&report, &counts, &app.requests);
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], body).into_response())
}

/// This description.
#[utoipa::path(get, path = "/openapi.json",
    responses((status = 200, description = "OpenAPI 3.1", body = Object), Refused))]
pub async fn openapi() -> Response {
    json(&Document::openapi())
}
