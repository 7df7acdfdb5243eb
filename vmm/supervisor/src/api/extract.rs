//! What a handler takes out of a request. Each failure is a [`Refused`], never a text of the library's.

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use container_core::Credentials;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::problem::Refused;

/// Largest body, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// Largest text for a control file, in bytes.
pub const MAX_TEXT: usize = 64 << 10;
/// A body has so long to be there whole.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// Who asks, by the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub Credentials);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let peer = parts.extensions.get::<Peer>().copied();
        peer.ok_or_else(|| Refused::new("EPERM", "nobody knows who asks"))
    }
}

/// Parts of the path.
#[derive(Debug)]
pub struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let path: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(value) = path.map_err(|error| Refused::malformed(error.body_text()))?;
        Ok(InPath(value))
    }
}

/// What stands after the question mark.
#[derive(Debug)]
pub struct InQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let Query(value) = query.map_err(|error| Refused::malformed(error.body_text()))?;
        Ok(InQuery(value))
    }
}

/// A body of JSON.
#[derive(Debug)]
pub struct InJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for InJson<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        expect_type(request.headers(), "application/json")?;
        let body = body(request, MAX_BODY).await?;
        let value = serde_json::from_slice(&body).map_err(|error| {
            let rule = format!("the body: {error}");
            match error.classify() {
                serde_json::error::Category::Data => Refused::new("EINVAL", rule),
                _ => Refused::malformed(rule),
            }
        })?;
        Ok(InJson(value))
    }
}

/// A body of text.
#[derive(Debug)]
pub struct InText(pub String);

impl<S: Send + Sync> FromRequest<S> for InText {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        expect_type(request.headers(), "text/plain")?;
        let body = body(request, MAX_TEXT).await?;
        match String::from_utf8(body) {
            Ok(text) => Ok(InText(text)),
            Err(error) => Err(Refused::malformed(format!("the body: {error}"))),
        }
    }
}

fn expect_type(headers: &HeaderMap, wanted: &str) -> Result<(), Refused> {
    let said = headers.get(header::CONTENT_TYPE);
    let said = said.map_or("", |said| said.to_str().unwrap_or("?"));
    let kind = said.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let rule = format!("the content type {kind:?} is not {wanted}");
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Refused::with_status(unsupported, "EINVAL", rule))
}

async fn body(request: Request, most: usize) -> Result<Vec<u8>, Refused> {
    let body = request.into_body();
    let told = body.size_hint().exact();
    let body = Limited::new(body, most).collect();
    let collected = tokio::time::timeout(BODY_LIMIT, body).await.map_err(|_| {
        let rule = format!("the body was not there after {} s", BODY_LIMIT.as_secs());
        Refused::with_status(StatusCode::REQUEST_TIMEOUT, "ETIMEDOUT", rule)
    })?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes().to_vec()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Refused::new(
            "E2BIG",
            match told {
                Some(bytes) => format!("a body of {bytes} bytes is past {most}"),
                None => format!("the body has more than {most} bytes"),
            },
        )),
        Err(error) => Err(Refused::malformed(format!("the body: {error}"))),
    }
}
