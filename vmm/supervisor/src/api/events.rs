//! Streams: events as they are numbered, and bodies that go on.
//!
//! A follower takes events from the feed while their numbers have no hole, and asks the keeper at each hole. So it sees
//! every number once or is told of a gap, however slowly it reads: what waits for it is bounded, and one that
//! does not read at all is ended by its connection ([`patience`](super::patience)).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::Frame;
use management::Event;
use management::api::Gap;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::mpsc;

use super::ask::Client;
use super::feed::{Log, Told};
use super::problem::Refused;
use crate::EventId;
use crate::keeper::{EventPage, Request};

/// Pieces of a stream that wait for its client.
const PIECES: usize = 16;
/// Events asked of the keeper at once.
const PAGE: usize = 256;
/// A comment tells that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// After the keeper had no time.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Why a stream ends: its client is gone, or the supervisor.
struct Over;

/// A body that goes on.
struct Pieces(mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// A page of events.
///
/// # Errors
/// As [`Client::ask`].
pub async fn page(app: &Client, last: Option<EventId>, most: usize) -> Result<EventPage, Refused> {
    app.ask(|reply| Request::EventsSince { last, most, reply })
        .await
}

/// The gap before a page, if there is one.
pub fn gap(page: &EventPage) -> Option<Gap> {
    (page.lost != Some(0)).then_some(Gap { lost: page.lost })
}

/// The events that follow a number as server-sent events; without one, those from now on.
///
/// # Errors
/// As [`Client::ask`].
pub async fn stream(app: Client, last: Option<EventId>) -> Result<Body, Refused> {
    let told = app.feed.follow();
    let last = match last {
        Some(last) => last,
        None => page(&app, None, 0).await?.last,
    };
    let (out, pieces) = mpsc::channel(PIECES);
    let mut follower = Follower { app, last, out };
    tokio::spawn(async move {
        let _: Result<(), Over> = follower.run(told).await;
    });
    Ok(Body::new(Pieces(pieces)))
}

struct Follower {
    app: Client,
    /// The last number that the client was sent.
    last: EventId,
    out: mpsc::Sender<Bytes>,
}

impl Follower {
    async fn run(&mut self, mut told: tokio::sync::broadcast::Receiver<Told>) -> Result<(), Over> {
        self.send("retry: 1000\n\n".into()).await?;
        self.catch_up().await?;
        loop {
            let told = tokio::select! {
                () = self.out.closed() => return Err(Over),
                told = told.recv() => Some(told),
                () = tokio::time::sleep(KEEP_ALIVE) => None,
            };
            match told {
                Some(Ok(Told::Event(event))) => self.on_event(&event).await?,
                Some(Ok(Told::Missed) | Err(RecvError::Lagged(_))) => self.catch_up().await?,
                Some(Err(RecvError::Closed)) => return Err(Over),
                None => self.send(":\n\n".into()).await?,
            }
        }
    }

    async fn on_event(&mut self, event: &Event) -> Result<(), Over> {
        let Ok(id) = event.id.parse::<EventId>() else {
            return Ok(());
        };
        if id.epoch == self.last.epoch && id.seq <= self.last.seq {
            return Ok(());
        }
        if id.epoch == self.last.epoch && id.seq == self.last.seq + 1 {
            return self.tell(id, event).await;
        }
        self.catch_up().await
    }

    /// Send what the keeper has after the last number.
    async fn catch_up(&mut self) -> Result<(), Over> {
        loop {
            let page = match page(&self.app, Some(self.last), PAGE).await {
                Ok(page) => page,
                Err(Refused(problem)) if problem.errno == "EAGAIN" => {
                    tokio::time::sleep(ASK_AGAIN).await;
                    continue;
                }
                Err(_) => return Err(Over),
            };
            if let Some(gap) = gap(&page) {
                self.tell_gap(gap, &page).await?;
            }
            for event in &page.events {
                if let Ok(id) = event.id.parse() {
                    self.tell(id, event).await?;
                }
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// The gap's own number is that of the last lost event, so that it is told once.
    async fn tell_gap(&mut self, gap: Gap, page: &EventPage) -> Result<(), Over> {
        let first = page
            .events
            .first()
            .and_then(|event| event.id.parse::<EventId>().ok());
        self.last = first.map_or(page.last, |first| EventId {
            epoch: first.epoch,
            seq: first.seq.saturating_sub(1),
        });
        let data = serde_json::to_string(&gap).unwrap_or_default();
        let last = self.last;
        self.send(format!("id: {last}\nevent: gap\ndata: {data}\n\n"))
            .await
    }

    async fn tell(&mut self, id: EventId, event: &Event) -> Result<(), Over> {
        self.last = id;
        // JSON on one line: serde escapes newlines.
        let data = serde_json::to_string(event).unwrap_or_default();
        let kind = &event.kind;
        self.send(format!("id: {id}\nevent: {kind}\ndata: {data}\n\n"))
            .await
    }

    async fn send(&self, text: String) -> Result<(), Over> {
        self.out.send(text.into()).await.map_err(|_| Over)
    }
}

/// A console's end and what comes, until there is nothing more to come: then what waits is sent still. Where the client does
/// not keep up, a line says that something is missing.
pub fn follow_log(mut log: Log, over: impl Future<Output = ()> + Send + 'static) -> Body {
    let (out, pieces) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        let mut over = std::pin::pin!(over);
        let mut is_over = false;
        let mut piece = Bytes::from(log.end);
        loop {
            if !piece.is_empty() && out.send(piece).await.is_err() {
                return;
            }
            let next = match is_over {
                // The console was drained before its machine counted as ended.
                true => match log.next.try_recv() {
                    Ok(piece) => Ok(piece),
                    Err(TryRecvError::Lagged(lost)) => Err(RecvError::Lagged(lost)),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => return,
                },
                false => tokio::select! {
                    () = out.closed() => return,
                    next = log.next.recv() => next,
                    () = &mut over => {
                        is_over = true;
                        piece = Bytes::new();
                        continue;
                    }
                },
            };
            piece = match next {
                Ok(piece) => piece,
                Err(RecvError::Lagged(_)) => {
                    Bytes::from_static(b"\n[pinfold: output not read in time is lost]\n")
                }
                Err(RecvError::Closed) => return,
            };
        }
    });
    Body::new(Pieces(pieces))
}
