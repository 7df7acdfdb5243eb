//! Why an answer is not there.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::StatusCode;

use crate::api::Problem;

/// Why a request has no answer, or an unwelcome one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no supervisor listens at {}: start one with `pinfold serve`", .path.display())]
    NoServer {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The kernel lets only the supervisor's user and group connect.
    #[error("the supervisor's socket {} is not for this user (EACCES)", .path.display())]
    NotForUs {
        /// The socket.
        path: PathBuf,
    },
    /// The supervisor says no, and why.
    #[error("{}", in_one_line(.0))]
    Refused(Problem),
    /// What came is not of this protocol.
    #[error("no Pinfold supervisor answers at the socket: {0}")]
    Protocol(String),
    /// The socket failed, or the answer took too long.
    // No source: what is said of it is in the message, and would stand there twice.
    #[error("the supervisor's socket: {0}")]
    Io(io::Error),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        ClientError::Io(error)
    }
}

/// The rule and the errno, once each. A group's name in it may hold any byte, and what is said here goes to terminals.
fn in_one_line(problem: &Problem) -> String {
    let detail = problem.detail.trim_end();
    let detail = detail.replace(|c: char| c.is_control(), " ");
    let detail = if detail.is_empty() {
        format!("{} {}", problem.status, problem.title)
    } else {
        detail
    };
    if problem.errno.is_empty() || detail.contains(&problem.errno) {
        detail
    } else {
        format!("{detail} ({})", problem.errno)
    }
}

impl ClientError {
    /// Whether the supervisor has refused what was asked, as against failed at it: that the host would not do it
    /// (EIO), or that the supervisor is too busy or is ending (503), is no rule.
    pub fn is_refusal(&self) -> bool {
        match self {
            ClientError::Refused(problem) => problem.status < 500 && problem.errno != "EIO",
            ClientError::NotForUs { .. } => true,
            _ => false,
        }
    }

    pub(super) fn connect(path: &Path, error: io::Error) -> Self {
        use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
        match error.kind() {
            PermissionDenied => ClientError::NotForUs {
                path: path.to_owned(),
            },
            NotFound | ConnectionRefused => ClientError::NoServer {
                path: path.to_owned(),
            },
            kind => {
                let text = format!("{}: {error}", path.display());
                ClientError::Io(io::Error::new(kind, text))
            }
        }
    }

    pub(super) fn late(limit: Duration) -> Self {
        let text = format!("no answer in {} s", limit.as_secs_f64());
        ClientError::Io(io::Error::new(io::ErrorKind::TimedOut, text))
    }

    /// A failure of the socket below, or of the bytes that came by it.
    pub(super) fn http(error: hyper::Error) -> Self {
        let below = error.source().and_then(|below| below.downcast_ref());
        let kind = below.map(io::Error::kind);
        if error.is_incomplete_message() || kind == Some(io::ErrorKind::UnexpectedEof) {
            let text = "the connection broke off before the end of the answer";
            return ClientError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        match below {
            Some(below) => ClientError::Io(io::Error::new(below.kind(), below.to_string())),
            None => ClientError::Protocol(error.to_string()),
        }
    }

    /// What an answer that is an error says; one that does not say it our way is quoted.
    pub(super) fn from_answer(status: StatusCode, kind: &[u8], text: &str) -> Self {
        if kind.starts_with(b"application/problem+json")
            && let Ok(problem) = serde_json::from_str(text)
        {
            return ClientError::Refused(problem);
        }
        let first = text.lines().next().unwrap_or_default();
        let first: String = first
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        ClientError::Protocol(format!("HTTP {status} {first}").trim_end().to_owned())
    }
}
