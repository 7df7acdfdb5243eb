//! Hierarchies, groups and their control files.

use std::time::Duration;

use axum::Extension;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use container_core::{Command, GroupPath, HierarchyName};
use management::api::{GroupView, Hierarchy};
use management::names;
use serde::Deserialize;
use utoipa::IntoParams;

use super::plan::carry_out_one;
use super::{json, text};
use crate::api::ask::Client;
use crate::api::extract::{InPath, InQuery, InText};
use crate::api::listing;
use crate::api::metrics::Operation;
use crate::api::poll::{self, Tags, Waits};
use crate::api::problem::Refused;
use crate::api::words;
use crate::keeper::Request;

/// Every hierarchy, in the order they were mounted.
#[utoipa::path(get, operation_id = "list_hierarchies",
    path = "/v1/hierarchies",
    responses((status = 200, description = "The hierarchies", body = Vec<Hierarchy>), Refused))]
pub async fn hierarchies(app: Client) -> Result<Response, Refused> {
    Ok(json(&all(&app).await?))
}

async fn all(app: &Client) -> Result<Vec<Hierarchy>, Refused> {
    let all = app.ask(Request::Hierarchies).await?;
    Ok(all.iter().map(words::hierarchy).collect())
}

/// One hierarchy.
#[utoipa::path(get, operation_id = "show_hierarchy",
    path = "/v1/hierarchies/{name}", params(("name" = names::HierarchyName, Path, description = "The hierarchy")),
    responses((status = 200, description = "The hierarchy", body = Hierarchy), Refused))]
pub async fn hierarchy(app: Client, InPath(name): InPath<String>) -> Result<Response, Refused> {
    let name: HierarchyName = name.parse()?;
    let mut named = all(&app).await?.into_iter();
    let one = named.find(|one| one.name == name.as_str());
    let one = one.ok_or_else(|| Refused::new("ENOENT", format!("there is no hierarchy {name}")))?;
    Ok(json(&one))
}

/// How much to show.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HowDeep {
    /// The groups below as well.
    #[serde(default)]
    recursive: bool,
}

/// The root group of a hierarchy.
#[utoipa::path(get, operation_id = "show_root_group",
    path = "/v1/groups/{hierarchy}",
    params(("hierarchy" = names::HierarchyName, Path, description = "The hierarchy"), HowDeep),
    responses((status = 200, description = "The group", body = GroupView), Refused))]
pub async fn root(
    app: Client,
    InPath(hierarchy): InPath<String>,
    InQuery(query): InQuery<HowDeep>,
) -> Result<Response, Refused> {
    let hierarchy: HierarchyName = hierarchy.parse()?;
    view(&app, GroupPath::root(hierarchy), query.recursive).await
}

/// A group.
#[utoipa::path(get, operation_id = "show_group",
    path = "/v1/groups/{hierarchy}/{path}",
    params(("hierarchy" = names::HierarchyName, Path, description = "The hierarchy"),
        ("path" = names::GroupComponents, Path, description = "The group's components, with slashes between"), HowDeep),
    responses((status = 200, description = "The group", body = GroupView), Refused))]
pub async fn group(
    app: Client,
    InPath((hierarchy, path)): InPath<(String, String)>,
    InQuery(query): InQuery<HowDeep>,
) -> Result<Response, Refused> {
    view(&app, words::group(&hierarchy, &path)?, query.recursive).await
}

async fn view(app: &Client, group: GroupPath, recursive: bool) -> Result<Response, Refused> {
    let path = group.clone();
    let files = app
        .ask(|reply| Request::Files { group: path, reply })
        .await??;
    let name = group.to_string();
    let mut rows = app
        .state()
        .await?
        .groups
        .into_iter()
        .skip_while(|row| row.group != name);
    let Some(top) = rows.next() else {
        return Err(Refused::new("ENOENT", format!("there is no group {name}")));
    };
    // Depth first: what is below stands behind, up to the next of its own depth.
    let below = if recursive {
        rows.take_while(|row| row.depth > top.depth).collect()
    } else {
        Vec::new()
    };
    Ok(json(&GroupView {
        group: top,
        files: files.iter().map(ToString::to_string).collect(),
        below,
    }))
}

/// Whether to wait for the file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Waiting {
    /// Of `cgroup.events`: for so many seconds, until it is not what `If-None-Match` has. Without that header it is never
    /// waited for.
    #[param(minimum = 0, maximum = 60)]
    wait: Option<u32>,
}

/// What the client has: shown only, since no header is read into a struct.
#[allow(dead_code, reason = "shown only")]
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
struct Has {
    /// An `ETag` of `cgroup.events`.
    #[param(rename = "If-None-Match", required = false)]
    tag: Option<String>,
}

/// Read a control file. `cgroup.events` has an `ETag`, and can be waited for (`wait`). `tasks` of a large group comes in chunks, and the trailer `pinfold-torn` says whether one
/// came or went meanwhile; without `TE: trailers` such a listing breaks off.
#[utoipa::path(get, operation_id = "read_file",
    path = "/v1/files/{hierarchy}/{path}",
    params(("hierarchy" = names::HierarchyName, Path, description = "The hierarchy"),
        ("path" = names::FilePath, Path, description = "The group's components and the file, with slashes between"),
        Waiting, Has),
    responses((status = 200, description = "Its text", body = String, content_type = "text/plain",
            headers(("ETag" = String, description = "Of `cgroup.events`"))),
        (status = 304, description = "It is what the client has, all the while"), Refused))]
pub async fn read(
    app: Client,
    InPath((hierarchy, path)): InPath<(String, String)>,
    InQuery(query): InQuery<Waiting>,
    waits: Option<Extension<Waits>>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let (group, file) = group_and_file(&hierarchy, &path)?;
    if file == poll::FILE {
        let wait = query.wait.unwrap_or_default();
        if wait > poll::MAX_WAIT {
            let rule = format!("wait {wait} is past {} seconds", poll::MAX_WAIT);
            return Err(Refused::malformed(rule));
        }
        let wait = Duration::from_secs(wait.into());
        let Extension(waits) = waits.unwrap_or_default();
        return poll::read(&app, &group, &Tags::of(&headers), wait, &waits).await;
    }
    if query.wait.is_some() {
        let rule = format!("{file} cannot be waited for, {} can", poll::FILE);
        return Err(Refused::new("EINVAL", rule));
    }
    if file == "tasks" {
        return listing::tasks(app, &headers, group).await;
    }
    let read = app.ask(|reply| Request::Read {
        by: app.by,
        group,
        file,
        reply,
    });
    Ok(text(read.await??))
}

/// Write a control file.
#[utoipa::path(put, operation_id = "write_file",
    path = "/v1/files/{hierarchy}/{path}",
    params(("hierarchy" = names::HierarchyName, Path, description = "The hierarchy"),
        ("path" = names::FilePath, Path, description = "The group's components and the file, with slashes between")),
    request_body(content = String, content_type = "text/plain", description = "At most 64 KiB"),
    responses((status = 204, description = "It is in force"), Refused))]
pub async fn write(
    app: Client,
    InPath((hierarchy, path)): InPath<(String, String)>,
    InText(value): InText,
) -> Result<Response, Refused> {
    let (group, file) = group_and_file(&hierarchy, &path)?;
    let operation = Operation::set(&file);
    let write = Command::Write { group, file, value };
    carry_out_one(&app, operation, write).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The last component is the file.
fn group_and_file(hierarchy: &str, path: &str) -> Result<(GroupPath, String), Refused> {
    let (group, file) = path.rsplit_once('/').unwrap_or(("", path));
    Ok((words::group(hierarchy, group)?, file.to_owned()))
}
