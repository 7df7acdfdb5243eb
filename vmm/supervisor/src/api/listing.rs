//! The file `tasks`, page by page.
//!
//! A group may have more tasks than are to be held for one reader. So its listing is made of pages, each
//! one question to the keeper, and sent as they come; a client that reads slowly is asked for no page
//! ahead of the few that wait for it. A group that fits a page is answered whole, as any file.
//!
//! Between two pages tasks come and go. A listing that this happened to is *torn*: it is in order, has
//! no id twice and none missing that was there all the while, but is not what the group had at any one
//! time. A client that takes trailers (`TE: trailers`) is told at the end by `pinfold-torn: true` or
//! `false`. To one that does not, nothing can be said behind the last line of a text: its torn listing
//! breaks off instead of ending.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use container_core::{GroupPath, TaskCursor, TaskPage};
use http_body::Frame;
use tokio::sync::mpsc;

use super::ask::Client;
use super::problem::Refused;
use crate::keeper::Request;

/// Ids asked of the keeper at once: some ten kilobytes of text, and tens of microseconds of its time.
const PAGE: usize = 1024;
/// Pages that wait for their client.
const PAGES: usize = 2;
/// After the keeper had no time, and how often.
const ASK_AGAIN: Duration = Duration::from_millis(50);
const MOST_ASKED: usize = 100;

/// The trailer of a listing of several pages.
static TORN: HeaderName = HeaderName::from_static("pinfold-torn");

/// A listing's body.
struct Pages(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl http_body::Body for Pages {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context)
    }
}

/// The tasks of a group as its file has them.
///
/// # Errors
/// As [`Client::ask`], and what the framework refuses.
pub async fn tasks(app: Client, asked: &HeaderMap, group: GroupPath) -> Result<Response, Refused> {
    let first = page(&app, &group, None).await?;
    let kind = (header::CONTENT_TYPE, super::routes::TEXT);
    let Some(cursor) = first.next else {
        return Ok(([kind], lines(&first)).into_response());
    };
    let takes_trailers = asked.get_all(header::TE).iter().any(|value| {
        let listed = value.to_str().unwrap_or_default().split(',');
        listed
            .map(str::trim)
            .any(|coding| coding.eq_ignore_ascii_case("trailers"))
    });
    let (out, pages) = mpsc::channel(PAGES);
    tokio::spawn(async move {
        let listing = Listing { app, group, out };
        listing.run(first, cursor, takes_trailers).await;
    });
    let trailer = (header::TRAILER, TORN.as_str());
    Ok(([kind, trailer], Body::new(Pages(pages))).into_response())
}

struct Listing {
    app: Client,
    group: GroupPath,
    out: mpsc::Sender<io::Result<Frame<Bytes>>>,
}

impl Listing {
    /// Ends early where the client is gone.
    async fn run(self, mut page: TaskPage, mut cursor: TaskCursor, takes_trailers: bool) {
        loop {
            if self
                .out
                .send(Ok(Frame::data(lines(&page).into())))
                .await
                .is_err()
            {
                return;
            }
            page = match self.next(cursor).await {
                Ok(page) => page,
                Err(why) => {
                    let _ = self.out.send(Err(io::Error::other(why))).await;
                    return;
                }
            };
            match page.next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        let torn = page.torn;
        if self
            .out
            .send(Ok(Frame::data(lines(&page).into())))
            .await
            .is_err()
        {
            return;
        }
        let end = match takes_trailers {
            true => {
                let value = HeaderValue::from_static(if torn { "true" } else { "false" });
                Ok(Frame::trailers(HeaderMap::from_iter([(
                    TORN.clone(),
                    value,
                )])))
            }
            false if torn => Err(io::Error::other("the listing is torn")),
            false => return,
        };
        let _ = self.out.send(end).await;
    }

    async fn next(&self, cursor: TaskCursor) -> Result<TaskPage, String> {
        for _ in 0..MOST_ASKED {
            match page(&self.app, &self.group, Some(cursor)).await {
                Ok(page) => return Ok(page),
                Err(Refused(problem)) if problem.errno == "EAGAIN" => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(Refused(problem)) => return Err(problem.detail),
            }
        }
        Err("the keeper has no time".into())
    }
}

async fn page(
    app: &Client,
    group: &GroupPath,
    cursor: Option<TaskCursor>,
) -> Result<TaskPage, Refused> {
    let group = group.clone();
    let page = app.ask(|reply| Request::Tasks {
        by: app.by,
        group,
        cursor,
        most: PAGE,
        reply,
    });
    Ok(page.await??)
}

fn lines(page: &TaskPage) -> String {
    page.tids.iter().map(|tid| format!("{tid}\n")).collect()
}
