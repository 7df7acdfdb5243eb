//! Following the events of a supervisor, over lost connections.
//!
//! A stream that breaks off is begun again after the last number that was heard, so that whoever reads sees
//! each event once; what the supervisor no longer has, it says itself, by a message `gap`. One of the client's own
//! says that a stream broke off before its first number was heard, so that nobody knows what was missed.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::header::{ACCEPT, HeaderName, HeaderValue};

use super::sse::{Message, Parser};
use super::{Client, ClientError, Stream, request};

/// A lost supervisor is looked for this long,
const SEARCH: Duration = Duration::from_secs(60);
/// at first after this pause, and then after twice the last,
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// but at least this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The kind of a message that says that others are lost.
pub const GAP: &str = "gap";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Events, without an end. The first error ends them: no supervisor has come back, or it refuses.
#[derive(Debug)]
pub struct Events<'a> {
    client: &'a Client,
    last: Option<String>,
    stream: Option<(Stream<'a>, Parser)>,
    ready: VecDeque<Message>,
    failed: bool,
}

impl<'a> Events<'a> {
    pub(super) fn begin(client: &'a Client, since: Option<&str>) -> Result<Self, ClientError> {
        let mut events = Events {
            client,
            last: since.map(str::to_owned),
            stream: None,
            ready: VecDeque::new(),
            failed: false,
        };
        events.connect()?;
        Ok(events)
    }

    fn connect(&mut self) -> Result<(), ClientError> {
        let mut request = request(Method::GET, "/v1/events", None)?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(last) = &self.last {
            let last = HeaderValue::from_str(last)
                .map_err(|_| ClientError::Protocol(format!("{last:?} is no event number")))?;
            headers.insert(LAST_EVENT_ID, last);
        }
        let stream = Stream::new(&self.client.runtime, self.client.begin(request)?);
        self.stream = Some((stream, Parser::default()));
        Ok(())
    }

    /// Look for the supervisor until it is there again, or [`SEARCH`] has passed.
    fn reconnect(&mut self) -> Result<(), ClientError> {
        let until = Instant::now() + SEARCH;
        let mut pause = FIRST_PAUSE;
        loop {
            thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
            match self.connect() {
                Err(ClientError::NoServer { .. } | ClientError::Io(_))
                    if Instant::now() < until => {}
                other => return other,
            }
        }
    }

    /// The next message: one that is there, or the next of the stream, or of its successor.
    fn advance(&mut self) -> Result<Message, ClientError> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                if !message.id.is_empty() {
                    self.last = Some(message.id.clone());
                }
                return Ok(message);
            }
            let Some((stream, parser)) = &mut self.stream else {
                self.reconnect()?;
                if self.last.is_none() {
                    self.ready.push_back(Message {
                        event: GAP.to_owned(),
                        ..Message::default()
                    });
                }
                continue;
            };
            match stream.next() {
                Some(Ok(bytes)) => {
                    let messages = parser
                        .take(&bytes)
                        .map_err(|_| ClientError::Protocol("an event without an end".to_owned()))?;
                    self.ready.extend(messages);
                }
                // However it ended: the next one begins after what was heard.
                Some(Err(_)) | None => self.stream = None,
            }
        }
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Message, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.advance();
        self.failed = next.is_err();
        Some(next)
    }
}
