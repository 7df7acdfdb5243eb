//! The client of the management API: blocking calls over a unix socket.
//!
//! ```no_run
//! # fn main() -> Result<(), management::client::ClientError> {
//! use management::client::{Client, route};
//!
//! let client = Client::new("/run/pinfold.sock")?;
//! let machines: Vec<management::Machine> = client.get("/v1/machines")?.json()?;
//! let group = route::group("placement:/gold");
//! let usage = client.get(&route::file("billing:/tenant-a", "cpuacct.usage"))?;
//! # let _ = (machines, group, usage.text());
//! # Ok(())
//! # }
//! ```
//!
//! Each request has a connection of its own, which ends with its answer: a client is a command that is over
//! soon, or holds one stream. The HTTP is hyper's, run by a private runtime on the calling thread; no thread
//! is started. What is asked for and what it means is not known here: routes are in [`route`], bodies in
//! [`api`](crate::api).

mod error;
mod events;
pub mod route;
mod sse;
mod stream;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, ETAG, HOST, HeaderValue, IF_NONE_MATCH, TE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

pub use error::ClientError;
pub use events::{Events, GAP};
pub use sse::Message;
pub use stream::Stream;

/// An answer has this long to be there whole. The longest that a server takes is for a machine to start or to end.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Largest answer, in bytes: a report of 100,000 tasks and a full event log has a tenth of this.
const MAX_ANSWER: usize = 512 << 20;

/// The trailer of a listing that was sent in pieces.
const TORN: &str = "pinfold-torn";

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// A supervisor, as seen from a program that asks it.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
    answer_limit: Duration,
}

/// A successful answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    text: String,
    torn: bool,
    tag: Option<String>,
}

impl Answer {
    /// As it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a listing that changed while it was made: what it has was there at no one time, though
    /// whatever was there all the while is in it.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// What it is called, where it can be asked for when it is otherwise ([`Client::get_other`]).
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The JSON in it.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] for what is not of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_str(&self.text)
            .map_err(|error| ClientError::Protocol(format!("an answer of another form: {error}")))
    }
}

impl Client {
    /// A client of the supervisor that listens at this unix socket. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`ClientError::Io`] where the kernel refuses an epoll.
    pub fn new(socket: impl Into<PathBuf>) -> Result<Self, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Client {
            socket: socket.into(),
            runtime,
            answer_limit: ANSWER_LIMIT,
        })
    }

    /// The same, whose answers have this long to be there whole, in place of a minute. Streams have no limit.
    #[must_use]
    pub fn with_answer_limit(self, answer_limit: Duration) -> Self {
        Client {
            answer_limit,
            ..self
        }
    }

    /// Where the supervisor is to listen.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn get(&self, route: &str) -> Result<Answer, ClientError> {
        self.ask(Method::GET, route, None)
    }

    /// `GET` what is otherwise than the answer of this tag. None where it is not, all the while that the route has it
    /// waited for, which is to be less than an answer may take.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn get_other(&self, route: &str, tag: &str) -> Result<Option<Answer>, ClientError> {
        let mut request = request(Method::GET, route, None)?;
        let tag = HeaderValue::from_str(tag)
            .map_err(|_| ClientError::Protocol(format!("{tag:?} is no tag")))?;
        request.headers_mut().insert(IF_NONE_MATCH, tag);
        self.within_limit(async {
            let answer = send(&self.socket, request).await?;
            match answer.status() {
                StatusCode::NOT_MODIFIED => Ok(None),
                _ => read(answer).await.map(Some),
            }
        })
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn delete(&self, route: &str) -> Result<Answer, ClientError> {
        self.ask(Method::DELETE, route, None)
    }

    /// `POST` a body as JSON.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn post(&self, route: &str, body: &impl Serialize) -> Result<Answer, ClientError> {
        self.ask(Method::POST, route, Some((JSON, json(body)?)))
    }

    /// `PUT` a body as JSON.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn put(&self, route: &str, body: &impl Serialize) -> Result<Answer, ClientError> {
        self.ask(Method::PUT, route, Some((JSON, json(body)?)))
    }

    /// `PUT` text, as a control file takes it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn put_text(&self, route: &str, text: &str) -> Result<Answer, ClientError> {
        self.ask(Method::PUT, route, Some((TEXT, text.to_owned().into())))
    }

    /// `GET` something that goes on, as a log that is followed: its bytes as they come.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stream(&self, route: &str) -> Result<Stream<'_>, ClientError> {
        let request = request(Method::GET, route, None)?;
        let body = self.begin(request)?;
        Ok(Stream::new(&self.runtime, body))
    }

    /// The events that follow `since`, `EPOCH.SEQ`; without one, those from now on. The connection is made here.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn events(&self, since: Option<&str>) -> Result<Events<'_>, ClientError> {
        Events::begin(self, since)
    }

    /// Send a request and wait for the whole answer.
    fn ask(&self, method: Method, route: &str, body: Body) -> Result<Answer, ClientError> {
        let request = request(method, route, body)?;
        self.within_limit(async {
            let answer = send(&self.socket, request).await?;
            read(answer).await
        })
    }

    /// Send a request and wait for the head of an answer that goes on.
    fn begin(&self, request: Request<Full<Bytes>>) -> Result<Incoming, ClientError> {
        let answer = self.within_limit(send(&self.socket, request))?;
        Ok(answer.into_body())
    }

    fn within_limit<T>(
        &self,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let limit = self.answer_limit;
        // A timer is made inside of the runtime or not at all.
        let waited = async { tokio::time::timeout(limit, answer).await };
        self.runtime
            .block_on(waited)
            .unwrap_or_else(|_| Err(ClientError::late(limit)))
    }
}

/// A body and its type.
type Body = Option<(&'static str, Bytes)>;

fn json(body: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| {
        ClientError::Protocol(format!("this request cannot be written as JSON: {error}"))
    })
}

fn request(method: Method, route: &str, body: Body) -> Result<Request<Full<Bytes>>, ClientError> {
    let builder = Request::builder()
        .method(method)
        .uri(route)
        // HTTP/1.1 wants one; a unix socket has none to say.
        .header(HOST, "pinfold")
        // Long listings end with one.
        .header(TE, "trailers")
        .header(ACCEPT, "application/json, text/plain, */*");
    let built = match body {
        Some((kind, bytes)) => builder.header(CONTENT_TYPE, kind).body(Full::new(bytes)),
        None => builder.body(Full::default()),
    };
    built.map_err(|error| ClientError::Protocol(format!("{route} is no route: {error}")))
}

/// Send a request over a connection of its own. An answer that is an error becomes one.
async fn send(
    socket: &Path,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, ClientError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| ClientError::connect(socket, error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ClientError::http)?;
    let may_be_same = request.headers().contains_key(IF_NONE_MATCH);
    // It ends with the answer's body; an error of it is told to whoever reads that.
    tokio::spawn(connection);
    let answer = sender
        .send_request(request)
        .await
        .map_err(ClientError::http)?;
    let is_same = may_be_same && answer.status() == StatusCode::NOT_MODIFIED;
    if answer.status().is_success() || is_same {
        return Ok(answer);
    }
    let status = answer.status();
    let kind = answer.headers().get(CONTENT_TYPE);
    let kind = kind.map_or(&b""[..], |kind| kind.as_bytes()).to_vec();
    let Answer { text, .. } = read(answer).await?;
    Err(ClientError::from_answer(status, &kind, &text))
}

async fn read(answer: Response<Incoming>) -> Result<Answer, ClientError> {
    let tag = answer.headers().get(ETAG);
    let tag = tag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let whole = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    let whole = whole.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => ClientError::http(*error),
        Err(_) => ClientError::Protocol(format!("an answer of more than {MAX_ANSWER} bytes")),
    })?;
    let torn = whole.trailers().and_then(|trailers| trailers.get(TORN));
    let torn = torn.is_some_and(|torn| torn == "true");
    // What a guest prints is part of some answers, and need not be text.
    let bytes = whole.to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answer { text, torn, tag })
}

#[cfg(test)]
mod tests;
