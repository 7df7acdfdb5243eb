//! A control file that can be polled: an answer that is not there before the file is otherwise, or the wait is over.
//!
//! ```text
//!                     otherwise
//!   GET ──▶ read ─────────────────▶ 200, its text and the tag of that
//!           ▲  │ as the client has it
//!     event │  ▼
//!           wait ─────────────────▶ 304
//!                      over
//! ```
//!
//! The keeper waits for nobody: each reads again after the feed has told of something, and then not again for a while. What
//! is told in that while, or during the read, is one reading more. So whoever waits costs the keeper a bounded number of
//! readings a second, however much happens, and nothing where nothing does.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use container_core::GroupPath;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::ask::Client;
use super::problem::Refused;
use crate::keeper::Request;

/// The file that can be waited for: as in cgroup v2.
pub const FILE: &str = "cgroup.events";
/// The longest wait, in seconds.
pub const MAX_WAIT: u32 = 60;
/// Waits of one user at once, over all connections.
pub const MAX_WAITS: usize = 128;
/// A file is read again after this long at the earliest.
pub const PACE: Duration = Duration::from_millis(50);

/// The places of one user to wait in; shared by the user's connections.
#[derive(Clone, Debug)]
pub struct Waits(Arc<Semaphore>);

impl Default for Waits {
    fn default() -> Self {
        Waits(Arc::new(Semaphore::new(MAX_WAITS)))
    }
}

impl Waits {
    /// Whether no connection shares these any more.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// What a client has of the file: the tags of `If-None-Match`.
#[derive(Debug)]
pub struct Tags(Vec<String>);

impl Tags {
    /// None of what is not text.
    pub fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::IF_NONE_MATCH).iter();
        let lists = values.filter_map(|value| value.to_str().ok());
        // Our tags have no comma in them.
        let tags = lists.flat_map(|list| list.split(','));
        let tags = tags.map(|tag| tag.trim().trim_start_matches("W/").to_owned());
        Tags(tags.collect())
    }

    fn has(&self, tag: &str) -> bool {
        self.0.iter().any(|known| known == "*" || known == tag)
    }
}

/// The file's text where it is not what the client has, at the latest after `wait`; else 304, however much has
/// happened meanwhile.
///
/// # Errors
/// What reading it is refused with, then or later: ENOENT where the group goes away meanwhile. EAGAIN for a wait too many,
/// ESHUTDOWN where the supervisor ends.
pub async fn read(
    app: &Client,
    group: &GroupPath,
    known: &Tags,
    wait: Duration,
    waits: &Waits,
) -> Result<Response, Refused> {
    let deadline = Instant::now() + wait;
    let mut place = None;
    loop {
        // Followed since before the reading, so that nothing falls between.
        let mut told = app.feed.follow();
        let read = app.ask(|reply| Request::Read {
            by: app.by,
            group: group.clone(),
            file: FILE.to_owned(),
            reply,
        });
        let text = read.await??;
        let tag = tag(&text);
        if !known.has(&tag) {
            return Ok(answer(StatusCode::OK, &tag, text));
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(answer(StatusCode::NOT_MODIFIED, &tag, String::new()));
        }
        if place.is_none() {
            let taken = waits.0.try_acquire().map_err(|_| {
                Refused::busy(format!(
                    "user {} waits {MAX_WAITS} times already",
                    app.by.uid
                ))
            });
            place = Some(taken?);
        }
        match tokio::time::timeout_at(deadline, told.recv()).await {
            // Whatever it was: what was told, or that something was not.
            Ok(_) => tokio::time::sleep_until(deadline.min(now + PACE)).await,
            Err(_) => return Ok(answer(StatusCode::NOT_MODIFIED, &tag, String::new())),
        }
    }
}

/// `"populated=1;frozen=0"`: what it says is what it is of.
fn tag(text: &str) -> String {
    let text = text.trim_end().replace(' ', "=").replace('\n', ";");
    format!("\"{text}\"")
}

fn answer(status: StatusCode, tag: &str, text: String) -> Response {
    let mut response = (status, super::routes::text(text)).into_response();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
