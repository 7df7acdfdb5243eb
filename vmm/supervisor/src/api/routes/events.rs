//! What happened, as a page or as it happens.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use management::api::EventPage;
use management::names::{EventNumber, LastEventId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::json;
use crate::EventId;
use crate::api::ask::Client;
use crate::api::events::{gap, page, stream};
use crate::api::extract::InQuery;
use crate::api::problem::Refused;

const EVENT_STREAM: &str = "text/event-stream";
/// Events of a page, unless another number is asked for,
const LIMIT: usize = 256;
/// and at most.
const MAX_LIMIT: usize = 4096;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Those that follow this number, EPOCH.SEQ. A page without one begins with the oldest that is kept, a stream with
    /// the next to come.
    #[param(value_type = Option<EventNumber>)]
    since: Option<String>,
    /// At most so many on a page.
    #[param(minimum = 0, maximum = 4096)]
    limit: Option<usize>,
}

/// Where a stream goes on: shown only, since no header is read into a struct.
#[allow(dead_code, reason = "shown only")]
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
struct Resume {
    /// The last number seen, for a stream; an empty one is none.
    #[param(rename = "Last-Event-ID", value_type = LastEventId, required = false)]
    last: Option<String>,
}

/// Events: a page of them, or with `Accept: text/event-stream` a stream that goes on. The stream resumes after
/// `Last-Event-ID`; what is not kept any more is an event `gap`.
#[utoipa::path(get, path = "/v1/events",
    params(Which, Resume),
    responses((status = 200, description = "A page, or a stream", content(
        (EventPage = "application/json"), (String = "text/event-stream"))), Refused))]
pub async fn events(
    app: Client,
    headers: HeaderMap,
    InQuery(query): InQuery<Which>,
) -> Result<Response, Refused> {
    let since = number(query.since.as_deref())?;
    let limit = query.limit.unwrap_or(LIMIT);
    if limit > MAX_LIMIT {
        let rule = format!("limit {limit} is past {MAX_LIMIT}");
        return Err(Refused::malformed(rule));
    }
    // A page is not resumed by it, and yet is not asked for with what is no number.
    let heard = headers.get("last-event-id");
    let heard = heard.map(|heard| heard.to_str().unwrap_or("?"));
    let heard = number(heard.filter(|heard| !heard.is_empty()))?;
    let accepts = headers.get_all(header::ACCEPT).iter();
    let mut accepts = accepts.filter_map(|accept| accept.to_str().ok());
    if accepts.any(|accept| accept.contains(EVENT_STREAM)) {
        let last = heard.or(since);
        let headers = [
            (header::CONTENT_TYPE, EVENT_STREAM),
            (header::CACHE_CONTROL, "no-store"),
        ];
        return Ok((headers, stream(app, last).await?).into_response());
    }
    let page = page(&app, since, limit).await?;
    Ok(json(&EventPage {
        gap: gap(&page),
        more: page.more,
        last: page.last.to_string(),
        events: page.events,
    }))
}

fn number(text: Option<&str>) -> Result<Option<EventId>, Refused> {
    text.map(|text| text.parse().map_err(Refused::malformed))
        .transpose()
}
