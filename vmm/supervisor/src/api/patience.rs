//! How long a connection is waited for.
//!
//! ```text
//!             first byte              head is whole              answer is out
//!   idle ────────────────▶ head ─────────────────────▶ busy ─────────────────────▶ idle
//!   60 s                   10 s                         for ever, but 10 s where the client does not read
//! ```
//!
//! A body that does not come is its reader's to give up (`extract`). So a client can keep nothing but its own
//! connection busy, and that not for long.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// A connection may be idle for so long.
const IDLE: Duration = Duration::from_secs(60);
/// The head of a request has so long to be there whole.
const HEAD: Duration = Duration::from_secs(10);
/// A client may leave what was written to it unread for so long.
const UNREAD: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Busy,
}

/// One connection's clock, shared by what reads, writes and serves it.
#[derive(Clone, Debug)]
pub struct Patience(Rc<State>);

#[derive(Debug)]
struct State {
    phase: Cell<Phase>,
    /// When the phase is over; None for one without an end.
    phase_ends: Cell<Option<Instant>>,
    /// Since when the client does not read.
    unread_since: Cell<Option<Instant>>,
    /// Wakes [`Patience::gone`] where an end came closer.
    changed: tokio::sync::Notify,
}

impl Patience {
    /// Of a connection that has just been made.
    pub fn new() -> Self {
        Patience(Rc::new(State {
            phase: Cell::new(Phase::Idle),
            phase_ends: Cell::new(Some(Instant::now() + IDLE)),
            unread_since: Cell::new(None),
            changed: tokio::sync::Notify::new(),
        }))
    }

    fn enter(&self, phase: Phase, limit: Option<Duration>) {
        self.0.phase.set(phase);
        self.0
            .phase_ends
            .set(limit.map(|limit| Instant::now() + limit));
        self.0.changed.notify_one();
    }

    /// The head of a request is there.
    pub fn serve(&self) {
        self.enter(Phase::Busy, None);
    }

    fn on_read(&self) {
        if self.0.phase.get() == Phase::Idle {
            self.enter(Phase::Head, Some(HEAD));
        }
    }

    fn on_write(&self, waits: bool) {
        let since = self.0.unread_since.get();
        if waits && since.is_none() {
            self.0.unread_since.set(Some(Instant::now()));
            self.0.changed.notify_one();
        } else if !waits && since.is_some() {
            self.0.unread_since.set(None);
        }
    }

    fn end(&self) -> Option<Instant> {
        let unread = self.0.unread_since.get().map(|since| since + UNREAD);
        match (self.0.phase_ends.get(), unread) {
            (Some(phase), Some(unread)) => Some(phase.min(unread)),
            (one, other) => one.or(other),
        }
    }

    /// Returns when the client has been waited for long enough.
    pub async fn gone(&self) {
        loop {
            let changed = self.0.changed.notified();
            match self.end() {
                None => changed.await,
                Some(end) if end <= Instant::now() => return,
                Some(end) => tokio::select! {
                    () = sleep_until(end) => {}
                    () = changed => {}
                },
            }
        }
    }
}

/// A stream that tells the clock of what it reads and writes.
#[derive(Debug)]
pub struct Watched<S> {
    pub stream: S,
    pub patience: Patience,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.patience.on_read();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patience.on_write(polled.is_pending());
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// An answer's body, whose end makes the connection idle.
#[derive(Debug)]
pub struct Answer {
    pub body: Body,
    pub patience: Patience,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.patience.enter(Phase::Idle, Some(IDLE));
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
