//! The handlers, by what they are about.

#![allow(
    unused_qualifications,
    reason = "what utoipa's macro writes is qualified"
)]

pub mod apply;
pub mod events;
pub mod groups;
pub mod lifecycle;
pub mod machines;
pub mod plan;
pub mod show;
pub mod tasks;
mod wait;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

fn json(value: &impl Serialize) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, serde_json::to_vec(value).unwrap_or_default()).into_response()
}

pub(super) fn text(body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, TEXT)], body).into_response()
}
