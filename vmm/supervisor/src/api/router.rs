//! Which path is whose, and what is said where nothing is.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};

use super::ask::App;
use super::problem::Refused;
use super::routes::{apply, events, groups, lifecycle, machines, plan, show, tasks};
use super::{metrics, unread};

/// The whole API.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/plan", post(plan::plan))
        .route("/v1/apply", post(apply::apply))
        .route("/v1/machines", get(machines::list))
        .route(
            "/v1/machines/{name}",
            get(machines::one)
                .post(lifecycle::create)
                .delete(lifecycle::remove),
        )
        .route("/v1/machines/{name}/state", put(lifecycle::state))
        .route("/v1/machines/{name}/log", get(machines::log))
        .route("/v1/machines/{name}/agent", post(machines::agent))
        .route("/v1/hierarchies", get(groups::hierarchies))
        .route("/v1/hierarchies/{name}", get(groups::hierarchy))
        .route("/v1/groups/{hierarchy}", get(groups::root))
        .route("/v1/groups/{hierarchy}/{*path}", get(groups::group))
        .route(
            "/v1/files/{hierarchy}/{*path}",
            get(groups::read).put(groups::write),
        )
        .route("/v1/tasks", get(tasks::list))
        .route("/v1/tasks/{id}", get(tasks::one))
        .route("/v1/tasks/{id}/groups/{hierarchy}", put(tasks::attach))
        .route("/v1/events", get(events::events))
        .route("/v1/proc/groups", get(show::proc_groups))
        .route("/v1/proc/{task}/group", get(show::proc_task))
        .route("/v1/report", get(show::report))
        .route("/v1/version", get(show::version))
        .route("/metrics", get(show::metrics))
        .route("/openapi.json", get(show::openapi))
        .method_not_allowed_fallback(wrong_method)
        .fallback(nowhere)
        .layer(from_fn_with_state(app.clone(), metrics::count))
        .layer(from_fn(unread::close))
        .with_state(app)
}

/// The router adds `Allow`.
async fn wrong_method(request: Request) -> Refused {
    let rule = format!("{} is not for {}", request.method(), request.uri().path());
    Refused::with_status(StatusCode::METHOD_NOT_ALLOWED, "EOPNOTSUPP", rule)
}

async fn nowhere(request: Request) -> Refused {
    let rule = format!("there is nothing at {}", request.uri().path());
    Refused::new("ENOENT", rule)
}
